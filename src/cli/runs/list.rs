//! Runs as a list of lines, one per run.

use unicode_width::UnicodeWidthStr;

use crate::model::escape_to_one_line;
use crate::runs::ListedRun;

/// Columns of the longest name of a pipeline that is not cut.
const PIPELINE_WIDTH_MAX: usize = 24;

/// The list, with a line of headings.
pub(super) fn text(runs: &[ListedRun]) -> String {
    let headings = ["run", "pipeline", "status", "started (UTC)", "duration", "received", "stored", "failed", "errors", "cost in $"];
    let mut rows = vec![headings.map(str::to_owned)];
    rows.extend(runs.iter().map(cells));
    let widths: Vec<usize> = (0..headings.len()).map(|column| rows.iter().map(|row| width(row, column)).max().unwrap_or(0)).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            let padding = " ".repeat(width.saturating_sub(cell.width()));
            // Numbers are aligned to the right.
            if column < 4 { format!("{cell}{padding}") } else { format!("{padding}{cell}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    });
    lines.collect()
}

fn width(row: &[String; 10], column: usize) -> usize {
    row.get(column).map_or(0, |cell| cell.width())
}

fn cells(run: &ListedRun) -> [String; 10] {
    let pipeline = escape_to_one_line(&run.pipeline);
    let pipeline = if pipeline.chars().count() > PIPELINE_WIDTH_MAX {
        pipeline.chars().take(PIPELINE_WIDTH_MAX - 1).chain(['…']).collect()
    } else {
        pipeline
    };
    let status = match &run.exit_reason {
        Some(reason) if *reason != run.status => format!("{} ({reason})", run.status),
        _ => run.status.clone(),
    };
    let started = chrono::DateTime::parse_from_rfc3339(&run.started_at);
    let started = started.map_or_else(|_| run.started_at.clone(), |time| time.to_utc().format("%Y-%m-%d %H:%M").to_string());
    [
        escape_to_one_line(&run.run_id),
        pipeline,
        escape_to_one_line(&status),
        escape_to_one_line(&started),
        duration(run.duration_seconds),
        run.received.to_string(),
        run.stored.to_string(),
        run.failed_traces.map_or_else(|| "-".to_owned(), |failed| failed.to_string()),
        run.errors.to_string(),
        format!("{:.4}", run.cost_usd),
    ]
}

/// `3.2 s`, `12 min 5 s`, `3 h 20 min`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration of years fits, and a negative one is shown as 0")]
fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..60 => format!("{:.1} s", seconds.max(0.0)),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_names_are_escaped() {
        let run = ListedRun {
            run_id: "0192".into(),
            pipeline: "a very long name of a pipeline \u{1b}[31m".into(),
            status: "complete".into(),
            exit_reason: Some("error_rate".into()),
            started_at: "2026-11-25T02:00:00.5Z".into(),
            duration_seconds: 725.4,
            received: 12,
            stored: 10,
            failed_traces: None,
            errors: 2,
            cost_usd: 0.5,
        };
        let text = text(&[run]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1],
            "0192  a very long name of a p…  complete (error_rate)  2026-11-25 02:00  12 min 5 s        12      10       -       2     0.5000"
        );
        assert_eq!(
            lines[0],
            "run   pipeline                  status                 started (UTC)       duration  received  stored  failed  errors  cost in $"
        );
    }

    #[test]
    fn durations_are_short() {
        assert_eq!([0.04, 59.4, 61.0, 7_260.0, -1.0].map(duration), ["0.0 s", "59.4 s", "1 min 1 s", "2 h 1 min", "0.0 s"]);
    }
}
