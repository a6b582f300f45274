//! Review sheets: writes patterns as CSV for a person to rate, and reads the ratings back.
//!
//! The person fills the column `right` (yes, category, no), and may put the right label of a wrong answer into `correct_label`.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::ScoredAnswer;
use crate::messages::io_cause;
use crate::model::{Label, PatternRow, escape_control_chars, without_formula};

/// The columns in order. The person fills the last three.
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

/// Why a review sheet cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RatingsError {
    /// The sheet cannot be written.
    #[error("cannot write the sheet {file}: {reason}")]
    Unwritable {
        /// The file.
        file: String,
        /// The cause.
        reason: String,
    },
    /// The sheet cannot be read.
    #[error("cannot read the sheet {file}: {reason}\n  hint: --ratings takes a sheet that `failsift eval --review` wrote")]
    Unreadable {
        /// The file.
        file: String,
        /// The cause.
        reason: String,
    },
    /// A row is not a valid rating.
    #[error("cannot read the sheet {file}, row {row}: {reason}\n  hint: `right` is yes, category (only the category is right) or no")]
    Row {
        /// The file.
        file: String,
        /// Row number from 1, without the header.
        row: usize,
        /// The cause.
        reason: String,
    },
    /// No row is rated.
    #[error("no row of the sheet {0} is rated\n  hint: fill the column `right` with yes, category or no")]
    Unrated(String),
}

/// Writes up to `count` patterns, chosen by a hash of their trace ids: the same input gives the same sheet, in any order. Returns how many were
/// written.
///
/// # Errors
/// [`RatingsError::Unwritable`].
pub fn write_sheet(patterns: &[PatternRow], count: usize, path: &Path) -> Result<usize, RatingsError> {
    let failed = |reason: String| RatingsError::Unwritable { file: path.display().to_string(), reason };
    let mut chosen: Vec<&PatternRow> = patterns.iter().collect();
    chosen.sort_by_key(|pattern| Sha256::digest(&pattern.trace_id));
    chosen.truncate(count);
    let mut writer = csv::Writer::from_path(path).map_err(|error| failed(csv_cause(&error)))?;
    writer.write_record(COLUMNS).map_err(|error| failed(error.to_string()))?;
    for pattern in &chosen {
        let evidence: Vec<&str> = pattern.evidence.iter().filter_map(|item| item.excerpt.as_deref().or(item.signal.as_deref())).collect();
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
        writer.write_record(record.iter().map(|cell| safe_cell(cell))).map_err(|error| failed(error.to_string()))?;
    }
    writer.flush().map_err(|error| failed(error.to_string()))?;
    Ok(chosen.len())
}

/// A cell without formulas and control characters, because a spreadsheet or a terminal would interpret those of hostile trace text.
fn safe_cell(cell: &str) -> String {
    escape_control_chars(&without_formula(cell)).into_owned()
}

/// Reads the rated rows of a sheet.
///
/// # Errors
/// [`RatingsError`].
pub fn read_ratings(path: &Path) -> Result<Vec<ScoredAnswer>, RatingsError> {
    let file = path.display().to_string();
    let failed = |reason: String| RatingsError::Unreadable { file: file.clone(), reason };
    let mut reader = csv::Reader::from_path(path).map_err(|error| failed(csv_cause(&error)))?;
    let headers = reader.headers().map_err(|error| failed(error.to_string()))?.clone();
    let column =
        |name: &str| headers.iter().position(|header| header.trim() == name).ok_or_else(|| failed(format!("it has no column `{name}`")));
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
            other => return Err(wrong(format!("unknown rating '{other}'"))),
        };
        let truth = match (is_right, cell(correct)) {
            (true, _) => Some(answer),
            (false, "") => None,
            (false, text) => Some(label(text)?),
        };
        scored.push(ScoredAnswer {
            trace_id: cell(id).to_owned(),
            answer: Some(answer),
            confidence: cell(confidence).parse().map_err(|_| wrong(format!("invalid confidence '{}'", cell(confidence))))?,
            truth,
            suspected: None,
            right: is_right,
            category_right: category_right || truth.is_some_and(|truth| truth.category() == answer.category()),
            strict: is_right,
            accepted: truth.into_iter().collect(),
            span_shown: None,
        });
    }
    if scored.is_empty() { Err(RatingsError::Unrated(file)) } else { Ok(scored) }
}

fn csv_cause(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => io_cause(error),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Draft;

    #[test]
    fn a_sheet_contains_no_formulas_and_no_control_characters() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let row = PatternRow {
            title: "=HYPERLINK(\"http://x\")".into(),
            summary: "fx_rates was rate-limited".into(),
            root_cause_hypothesis: "\u{ff1d}1+1".into(),
            actions: vec!["@SUM(A1)".into(), "a\u{1b}[31mb".into()],
            ..pattern("-5")
        };
        assert_eq!(write_sheet(&[row], 1, file.path()).unwrap(), 1);
        let mut reader = csv::Reader::from_path(file.path()).unwrap();
        let record = reader.records().next().unwrap().unwrap();
        let cell = |name: &str| &record[COLUMNS.iter().position(|column| *column == name).unwrap()];
        assert_eq!(cell("trace_id"), "-5");
        assert_eq!(cell("title"), "'=HYPERLINK(\"http://x\")");
        assert_eq!(cell("summary"), "fx_rates was rate-limited");
        assert_eq!(cell("root_cause_hypothesis"), "'\u{ff1d}1+1");
        assert_eq!(cell("actions"), "'@SUM(A1)\na\\u{1b}[31mb");
    }

    fn pattern(trace_id: &str) -> PatternRow {
        let draft = Draft { trace_id: trace_id.into(), ..Draft::sample("summary") };
        PatternRow {
            trace_id: draft.trace_id,
            title: draft.title,
            category: draft.label.category().into(),
            contributing_factor: draft.label.factor().into(),
            summary: draft.summary,
            root_cause_hypothesis: draft.root_cause_hypothesis,
            evidence: draft.evidence,
            actions: draft.actions,
            confidence: draft.confidence,
            confidence_rationale: draft.confidence_rationale,
            fingerprint: draft.fingerprint,
            service: draft.service,
            environment: draft.environment,
            trace_started_at: None,
            analyzer: draft.analyzer,
            model: draft.model,
            source_uri: draft.source.uri,
            content_digest: draft.content_digest,
            run_id: "run".into(),
            extracted_at: 0,
            schema_version: "1".into(),
            spans_seen: draft.spans_seen,
            spans_total: draft.spans_total,
            input_tokens: draft.input_tokens,
            output_tokens: draft.output_tokens,
            cost_usd: draft.cost_usd,
            settings_digest: draft.settings_digest,
            facts: draft.facts,
            step: draft.step,
            incidents: draft.incidents,
            span_tree: draft.span_tree,
            profile: draft.profile,
            usage: draft.usage,
        }
    }

    #[test]
    fn ratings_are_read_and_unrated_rows_are_left_out() {
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
        let ratings: Vec<_> = scored.iter().map(|answer| (answer.right, answer.category_right, answer.truth.is_some())).collect();
        assert_eq!(ratings, [(true, true, true), (false, true, false), (false, false, true)]);
        std::fs::write(file.path(), text.replace("Yes", "maybe")).unwrap();
        assert!(read_ratings(file.path()).unwrap_err().to_string().contains("row 1: unknown rating 'maybe'"));
    }
}
