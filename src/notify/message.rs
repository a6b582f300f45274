//! The body of a notification, in the formats that receivers accept.
//!
//! - `slack`: `{"text": …}` in Slack's markup. Mattermost, Rocket.Chat, Google Chat and Discord (`…/slack`) accept it too; Google Chat refuses
//!   further fields, such as `blocks`.
//! - `teams`: an Adaptive Card, the only format that the Workflows web hooks of Microsoft Teams accept.
//! - `json`: all fields, for programs.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::fingerprints::NewFingerprint;
use super::report::{Problem, RunCounts, RunReport};
use super::{NotifyConfig, Target};
use crate::model::escape_to_one_line;

/// The format of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// All fields, for programs
    Json,
    /// Text for Slack, Mattermost, Google Chat and others that accept Slack's format
    Slack,
    /// A card for Workflows of Microsoft Teams
    Teams,
}

/// Version of the `json` format: changes when a field is renamed or removed.
const SCHEMA_VERSION: u32 = 1;

/// Longest title in a notification.
const TITLE_CHARS_MAX: usize = 200;

/// The body for a receiver.
pub(super) fn body(report: &RunReport, config: &NotifyConfig, target: &Target) -> Value {
    match config.format.unwrap_or_else(|| target.format()) {
        Format::Json => json(report, config),
        Format::Slack => json!({"text": lines(report, config).iter().map(|line| slack_escaped(line)).collect::<Vec<_>>().join("\n")}),
        Format::Teams => card(&lines(report, config)),
    }
}

fn json(report: &RunReport, config: &NotifyConfig) -> Value {
    let new = report.new_fingerprints.as_ref();
    let named = new.map(|new| new.first.iter().map(|new| fingerprint(new, config.titles)).collect::<Vec<_>>());
    json!({
        "event": "run_finished",
        "schema_version": SCHEMA_VERSION,
        "run_id": report.run_id,
        "pipeline": report.pipeline,
        "status": report.status,
        "exit_code": report.exit_code,
        "exit_reason": report.exit_reason,
        "problems": report.problems(config),
        "duration_seconds": report.duration_seconds,
        "counts": report.counts,
        "failure_rate": report.counts.as_ref().map(RunCounts::failure_rate),
        "rejected_rate": report.counts.as_ref().map(RunCounts::rejected_rate),
        "new_fingerprints_count": new.map(|new| new.count),
        "new_fingerprints": named,
    })
}

fn fingerprint(new: &NewFingerprint, with_title: bool) -> Value {
    let mut value = json!({
        "fingerprint": new.fingerprint,
        "category": new.category,
        "contributing_factor": new.contributing_factor,
        "traces": new.traces,
    });
    if with_title && let Some(object) = value.as_object_mut() {
        object.insert("title".to_owned(), title(&new.title).into());
    }
    value
}

/// The text for people, line by line.
fn lines(report: &RunReport, config: &NotifyConfig) -> Vec<String> {
    let reason = report.exit_reason.map(|reason| format!(", {reason}")).unwrap_or_default();
    let mut lines =
        vec![format!("failsift {}: {}, exit code {}{reason}", escape_to_one_line(&report.pipeline), report.status, report.exit_code)];
    if let Some(counts) = &report.counts {
        lines.push(counts_line(counts));
        lines.extend(report.problems(config).into_iter().filter_map(|problem| threshold_line(problem, counts, config)));
    }
    if let Some(new) = report.new_fingerprints.as_ref().filter(|new| new.count > 0) {
        lines.push(format!("{} new:", plural(new.count, "failure is", "failures are")));
        for new in &new.first {
            let title = if config.titles { format!(": {}", title(&new.title)) } else { String::new() };
            let label = format!("{}/{}", new.category, new.contributing_factor);
            lines.push(format!("• {label}, {}, fingerprint {}{title}", plural(new.traces, "trace", "traces"), new.fingerprint));
        }
        let more = new.count.saturating_sub(new.first.len() as u64);
        if more > 0 {
            lines.push(format!("… and {more} more in the table fingerprints"));
        }
    }
    let cost = report.counts.filter(|counts| counts.cost_usd > 0.0).map(|counts| format!(", {:.2} US dollars", counts.cost_usd));
    lines.push(format!("run {}, {:.0} s{}", report.run_id, report.duration_seconds, cost.unwrap_or_default()));
    lines
}

fn counts_line(counts: &RunCounts) -> String {
    let mut parts = vec![format!("{} stored, {:.1} % of them failures", counts.stored, counts.failure_rate() * 100.0)];
    if counts.rejected() > 0 {
        parts.push(format!("{} rejected ({:.1} %)", counts.rejected(), counts.rejected_rate() * 100.0));
    }
    for (count, what) in [(counts.unchanged, "unchanged"), (counts.filtered, "filtered")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    format!("{}: {}", plural(counts.received, "trace or record", "traces and records"), parts.join("; "))
}

fn threshold_line(problem: Problem, counts: &RunCounts, config: &NotifyConfig) -> Option<String> {
    let (what, rate, threshold) = match problem {
        Problem::FailureRate => ("failures", counts.failure_rate(), config.failure_rate_over?),
        Problem::RejectedRate => ("rejections", counts.rejected_rate(), config.rejected_rate_over?),
        Problem::ExitCode | Problem::NewFingerprints => return None,
    };
    Some(format!("the rate of {what}, {:.1} %, is over {:.1} %", rate * 100.0, threshold * 100.0))
}

fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn title(title: &str) -> String {
    escape_to_one_line(title).chars().take(TITLE_CHARS_MAX).collect()
}

/// Slack's markup has links and mentions in angle brackets.
fn slack_escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn card(lines: &[String]) -> Value {
    let block = |(index, line): (usize, &String)| {
        let weight = if index == 0 { "Bolder" } else { "Default" };
        // Text blocks are Markdown; fingerprints, labels and counts have no special characters, titles may.
        json!({"type": "TextBlock", "text": markdown_escaped(line), "wrap": true, "weight": weight, "spacing": "Small"})
    };
    let content = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": lines.iter().enumerate().map(block).collect::<Vec<_>>(),
    });
    json!({"type": "message", "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": content}]})
}

fn markdown_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '\\' | '*' | '_' | '[' | ']' | '`' | '~' | '#') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::NewFingerprints;
    use super::super::report::tests::report;
    use super::*;

    fn with_new(count: u64) -> RunReport {
        let first = NewFingerprint {
            fingerprint: "fp1a2b".into(),
            category: "tool_failure".into(),
            contributing_factor: "tool_exception".into(),
            traces: 12,
            title: "<!channel> A tool_failed & more".into(),
        };
        RunReport {
            exit_code: 3,
            exit_reason: Some("error_rate"),
            new_fingerprints: Some(NewFingerprints { count, first: vec![first] }),
            ..report()
        }
    }

    fn body_in(format: Format, titles: bool) -> String {
        let config = NotifyConfig { format: Some(format), titles, rejected_rate_over: Some(0.01), ..NotifyConfig::default() };
        body(&with_new(3), &config, &Target::parse("https://a.example").unwrap()).to_string()
    }

    #[test]
    fn titles_are_sent_only_if_asked_for() {
        for format in [Format::Json, Format::Slack, Format::Teams] {
            assert!(!body_in(format, false).contains("channel"), "{format:?}");
            assert!(body_in(format, true).contains("channel"), "{format:?}");
        }
    }

    #[test]
    fn the_text_tells_counts_thresholds_and_new_failures() {
        let expected = [
            "failsift nightly: complete, exit code 3, error_rate",
            "100 traces and records: 80 stored, 25.0 % of them failures; 5 rejected (5.0 %); 10 unchanged; 5 filtered",
            "the rate of rejections, 5.0 %, is over 1.0 %",
            "3 failures are new:",
            "• tool_failure/tool_exception, 12 traces, fingerprint fp1a2b",
            "… and 2 more in the table fingerprints",
            "run 0198-run, 83 s",
        ];
        let config = NotifyConfig { rejected_rate_over: Some(0.01), ..NotifyConfig::default() };
        assert_eq!(lines(&with_new(3), &config), expected);
        let failed = RunReport { exit_code: 1, status: "failed", counts: None, new_fingerprints: None, ..report() };
        assert_eq!(lines(&failed, &config), ["failsift nightly: failed, exit code 1", "run 0198-run, 83 s"]);
    }

    #[test]
    fn markup_of_the_receiver_is_escaped() {
        let text: Value = serde_json::from_str(&body_in(Format::Slack, true)).unwrap();
        assert!(text["text"].as_str().unwrap().contains("&lt;!channel&gt; A tool_failed &amp; more"), "{text}");
        let card: Value = serde_json::from_str(&body_in(Format::Teams, true)).unwrap();
        let blocks = card["attachments"][0]["content"]["body"].as_array().unwrap();
        assert!(blocks.iter().any(|block| block["text"].as_str().unwrap().contains("A tool\\_failed")), "{card}");
    }

    #[test]
    fn programs_get_every_field() {
        let value: Value = serde_json::from_str(&body_in(Format::Json, false)).unwrap();
        assert_eq!(value["problems"], json!(["exit_code", "new_fingerprints", "rejected_rate"]));
        assert_eq!(
            (&value["counts"]["stored"], &value["rejected_rate"], &value["new_fingerprints_count"]),
            (&json!(80), &json!(0.05), &json!(3))
        );
        assert_eq!(value["new_fingerprints"][0]["fingerprint"], "fp1a2b");
    }
}
