//! Patterns as a sheet for a person to rate, and the ratings read back.
//!
//! CSV, because every spreadsheet opens it. The person fills `right` (yes, category, no) and, where the answer is wrong, may write the
//! right one into `correct_label`.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::Scored;
use crate::model::{Label, PatternRow};

/// Columns in their order; the last three are the person's.
const COLUMNS: [&str; 12] = [
    "trace_id",
    "category",
    "contributing_factor",
    "confidence",
    "title",
    "summary",
    "root_cause_hypothesis",
    "evidence",
    "actions",
    "right",
    "correct_label",
    "comment",
];

/// Why ratings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RatingsError {
    /// The sheet cannot be written or read.
    #[error("cannot use the sheet {file}: {reason}")]
    Sheet {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A row cannot be understood.
    #[error("cannot read the sheet {file} row {row}: {reason}\n  hint: `right` is yes, category (only the category is right) or no")]
    Row {
        /// The file.
        file: String,
        /// From 1, the header not counted.
        row: usize,
        /// What is wrong.
        reason: String,
    },
    /// Nobody has rated anything.
    #[error("no row of the sheet {0} is rated\n  hint: fill the column `right` with yes, category or no")]
    Unrated(String),
}

/// Writes `count` patterns, chosen by a hash of their trace ids, so that the same input gives the same sheet and no order matters.
/// Returns how many there were.
///
/// # Errors
/// [`RatingsError::Sheet`].
pub fn write_sheet(patterns: &[PatternRow], count: usize, path: &Path) -> Result<usize, RatingsError> {
    let failed = |reason: String| RatingsError::Sheet { file: path.display().to_string(), reason };
    let mut chosen: Vec<&PatternRow> = patterns.iter().collect();
    chosen.sort_by_key(|pattern| Sha256::digest(&pattern.trace_id));
    chosen.truncate(count);
    let mut writer = csv::Writer::from_path(path).map_err(|error| failed(error.to_string()))?;
    writer.write_record(COLUMNS).map_err(|error| failed(error.to_string()))?;
    for pattern in &chosen {
        let evidence: Vec<&str> = pattern.evidence.iter().filter_map(|one| one.excerpt.as_deref().or(one.signal.as_deref())).collect();
        let record = [
            pattern.trace_id.clone(),
            pattern.category.clone(),
            pattern.contributing_factor.clone(),
            format!("{:.3}", pattern.confidence),
            pattern.title.clone(),
            pattern.summary.clone(),
            pattern.root_cause_hypothesis.clone(),
            evidence.join("\n"),
            pattern.actions.join("\n"),
            String::new(),
            String::new(),
            String::new(),
        ];
        writer.write_record(record.iter().map(|cell| harmless(cell))).map_err(|error| failed(error.to_string()))?;
    }
    writer.flush().map_err(|error| failed(error.to_string()))?;
    Ok(chosen.len())
}

/// A cell that no spreadsheet takes for a formula: trace text is hostile.
fn harmless(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{cell}") } else { cell.to_owned() }
}

/// Reads the rows that somebody has rated.
///
/// # Errors
/// [`RatingsError`].
pub fn read_ratings(path: &Path) -> Result<Vec<Scored>, RatingsError> {
    let file = path.display().to_string();
    let failed = |reason: String| RatingsError::Sheet { file: file.clone(), reason };
    let mut reader = csv::Reader::from_path(path).map_err(|error| failed(error.to_string()))?;
    let headers = reader.headers().map_err(|error| failed(error.to_string()))?.clone();
    let column =
        |name: &str| headers.iter().position(|header| header.trim() == name).ok_or_else(|| failed(format!("it has no column {name:?}")));
    let [id, category, factor, confidence, right, correct] =
        ["trace_id", "category", "contributing_factor", "confidence", "right", "correct_label"].map(column);
    let (id, category, factor, confidence, right, correct) = (id?, category?, factor?, confidence?, right?, correct?);
    let mut scored = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let wrong = |reason: String| RatingsError::Row { file: file.clone(), row: index + 1, reason };
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let cell = |column: usize| record.get(column).unwrap_or_default().trim();
        if cell(right).is_empty() {
            continue;
        }
        let label = |text: &str| Label::parse(text).map_err(|error| wrong(error.to_string()));
        let answer = label(&format!("{}/{}", cell(category), cell(factor)))?;
        let (is_right, category_right) = match cell(right).to_lowercase().as_str() {
            "yes" | "y" | "true" | "1" | "right" => (true, true),
            "category" | "partly" => (false, true),
            "no" | "n" | "false" | "0" | "wrong" => (false, false),
            other => return Err(wrong(format!("{other:?} is no rating"))),
        };
        let truth = match (is_right, cell(correct)) {
            (true, _) => Some(answer),
            (false, "") => None,
            (false, text) => Some(label(text)?),
        };
        scored.push(Scored {
            trace_id: cell(id).to_owned(),
            answer: Some(answer),
            confidence: cell(confidence).parse().map_err(|_| wrong(format!("{:?} is no confidence", cell(confidence))))?,
            truth,
            right: is_right,
            category_right: category_right || truth.is_some_and(|truth| truth.category() == answer.category()),
            strict: is_right,
            accepted: truth.into_iter().collect(),
            span_shown: None,
        });
    }
    if scored.is_empty() { Err(RatingsError::Unrated(file)) } else { Ok(scored) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_become_text() {
        assert_eq!(harmless("=HYPERLINK(\"http://x\")"), "'=HYPERLINK(\"http://x\")");
        assert_eq!(harmless("fx_rates was rate-limited"), "fx_rates was rate-limited");
    }

    #[test]
    fn ratings_are_read_and_what_is_not_rated_is_left_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let row = |id: &str, right: &str, correct: &str| format!("{id},tool_failure,tool_timeout,0.9,t,s,r,e,a,{right},{correct},\n");
        let text = format!(
            "{}\n{}{}{}{}",
            COLUMNS.join(","),
            row("a", "Yes", ""),
            row("b", "category", ""),
            row("c", "no", "provider_error/rate_limited"),
            row("d", "", "")
        );
        std::fs::write(file.path(), &text).unwrap();
        let scored = read_ratings(file.path()).unwrap();
        let told: Vec<_> = scored.iter().map(|one| (one.right, one.category_right, one.truth.is_some())).collect();
        assert_eq!(told, [(true, true, true), (false, true, false), (false, false, true)]);
        std::fs::write(file.path(), text.replace("Yes", "maybe")).unwrap();
        assert!(read_ratings(file.path()).unwrap_err().to_string().contains("row 1: \"maybe\" is no rating"));
    }
}
