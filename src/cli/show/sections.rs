//! The sections of the page of one pattern, most important first. What a row does not have is left out.

use super::layout::{Page, Style, columns_of, fitted};
use super::row::Row;
use super::spans::{add_spans, add_timeline};

/// Columns of the names in the section about a trace.
const LABEL_COLUMNS: usize = 11;

/// The pattern as a page. `add_seen` adds the section about other traces of the same kind.
pub(super) fn add_pattern(page: &mut Page, row: Row<'_>, note: Option<String>, add_seen: impl FnOnce(&mut Page)) {
    page.heading(row.text("title").unwrap_or("Untitled pattern"));
    let label: Vec<&str> = ["category", "contributing_factor"].iter().filter_map(|key| row.text(key)).collect();
    let confidence = row.number("confidence").map(|confidence| format!("confidence {confidence:.2}"));
    page.items("", &[Some(label.join("/")), confidence].into_iter().flatten().collect::<Vec<_>>());
    if let Some(note) = note {
        page.paragraph("", &note, Style::Alarm);
    }
    let is_healthy = row.text("contributing_factor") == Some("no_failure_found");
    for (heading, key) in [("What happened", "summary"), (if is_healthy { "Note" } else { "Why" }, "root_cause_hypothesis")] {
        if let Some(text) = row.text(key) {
            page.heading(heading);
            page.paragraph("  ", text, Style::Plain);
        }
    }
    add_spans(page, row);
    add_timeline(page, row);
    add_seen(page);
    add_evidence(page, row);
    add_actions(page, row);
    if let Some(rationale) = row.text("confidence_rationale") {
        page.heading("How sure");
        let confidence = row.number("confidence").map(|confidence| format!("{confidence:.2}. ")).unwrap_or_default();
        page.paragraph("  ", &format!("{confidence}{rationale}"), Style::Plain);
    }
    add_facts(page, row);
    add_trace(page, row);
}

fn add_actions(page: &mut Page, row: Row<'_>) {
    let actions = row.texts("actions");
    if actions.is_empty() {
        return;
    }
    page.heading("What to do");
    for (action, number) in actions.into_iter().zip(1..) {
        page.paragraph(&format!("  {number}. "), action, Style::Plain);
    }
}

/// Signals of one place stand in one line.
fn add_evidence(page: &mut Page, row: Row<'_>) {
    let mut lines: Vec<(Option<String>, Option<String>)> = Vec::new();
    for item in row.list("evidence") {
        let place = place_of(row, item);
        match (item.text("excerpt"), item.text("signal")) {
            (Some(excerpt), _) => lines.push((Some(format!("\"{}\"", excerpt.replace('\n', " "))), place)),
            (None, Some(signal)) => match lines.last_mut() {
                Some((Some(text), last)) if *last == place && !text.starts_with('"') => text.extend([", ", signal]),
                _ => lines.push((Some(signal.to_owned()), place)),
            },
            _ => {}
        }
    }
    if lines.is_empty() {
        return;
    }
    page.heading("Evidence");
    for (text, place) in lines {
        let place = place.map(|place| format!("  [{place}]")).unwrap_or_default();
        page.paragraph("  - ", &format!("{}{place}", text.unwrap_or_default()), Style::Plain);
    }
}

/// The field that an item of evidence names, and its span unless it is the failed one.
fn place_of(row: Row<'_>, item: Row<'_>) -> Option<String> {
    let (id, field) = (item.text("span_id")?, item.text("field")?);
    if Some(id) == row.text("failed_span_id") {
        return Some(field.to_owned());
    }
    let name = row.list("span_tree").into_iter().find(|span| span.text("span_id") == Some(id)).and_then(|span| span.text("name"));
    Some(name.map_or_else(|| format!("span {id}, {field}"), |name| format!("{name} {id}, {field}")))
}

/// Facts of the page. Those of the cause come first.
const FACTS_SHOWN_MAX: usize = 16;

fn add_facts(page: &mut Page, row: Row<'_>) {
    // A fact that is a column too is shown with the trace.
    let is_column = |fact: &Row<'_>| fact.text("name").is_some_and(|name| row.0.get(name).is_some_and(|value| !value.is_null()));
    let facts = row.list("facts").into_iter().filter(|fact| !is_column(fact));
    let facts: Vec<(&str, String)> = facts.filter_map(|fact| Some((fact.text("name")?, fact.fact_value()?))).collect();
    if facts.is_empty() {
        return;
    }
    page.heading("Facts");
    let columns = facts.iter().map(|(name, _)| columns_of(name)).max().unwrap_or(0).min(page.width() / 2);
    let hidden = facts.len().saturating_sub(FACTS_SHOWN_MAX);
    for (name, value) in facts.into_iter().take(FACTS_SHOWN_MAX) {
        page.paragraph(&format!("  {}  ", fitted(name, columns)), &value, Style::Plain);
    }
    if hidden > 0 {
        page.line(&[(&format!("  … {hidden} more in --format json"), Style::Quiet)]);
    }
}

/// Where the trace is from: one line for each question.
fn add_trace(page: &mut Page, row: Row<'_>) {
    let named = |name: &str, key: &str| row.text(key).map(|value| format!("{name} {value}"));
    let plain = |key: &str| row.text(key).map(str::to_owned);
    let spans = row.separated("spans_total").map(|count| if count == "1" { "1 span".to_owned() } else { format!("{count} spans") });
    let service = [plain("service"), plain("service_version")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let model = match (row.text("model_name"), row.text("provider")) {
        (Some(model), Some(provider)) => Some(format!("{model} ({provider})")),
        (model, provider) => model.or(provider).map(str::to_owned),
    };
    let retries = row.count("retries").map(|count| if count == 1 { "1 retry".to_owned() } else { format!("{count} retries") });
    let failed = plain("failed_span_name").map(|name| match row.text("failed_span_kind") {
        Some(kind) => format!("{name} ({kind})"),
        None => name,
    });
    let lines = [
        ("trace", vec![plain("trace_id"), time(row, "trace_started_at"), row.duration("trace_duration_ms"), spans]),
        ("link", vec![plain("trace_url")]),
        (
            "service",
            vec![
                Some(service).filter(|service| !service.is_empty()),
                plain("environment"),
                plain("region"),
                named("instance", "service_instance_id"),
                named("revision", "vcs_revision"),
                named("project", "project"),
            ],
        ),
        ("root span", vec![plain("root_span_name").filter(|_| row.list("span_tree").is_empty())]),
        (
            if has_failed_span(row) { "failed span" } else { "span" },
            vec![failed, plain("failed_span_id"), row.duration("duration_ms"), retries],
        ),
        ("error", vec![plain("error_type"), row.count("http_status").map(|status| format!("HTTP {status}"))]),
        ("tool", vec![plain("tool_name")]),
        ("model", vec![model, named("prompt version", "prompt_version")]),
        ("usage", usage(row)),
        ("user", vec![plain("user_token"), named("session", "session_token")]),
        ("read from", vec![plain("source_uri")]),
        (
            "pattern",
            vec![
                time(row, "extracted_at").map(|time| format!("extracted {time}")),
                [named("by", "analyzer"), row.text("model").map(|model| format!("({model})"))]
                    .into_iter()
                    .flatten()
                    .reduce(|analyzer, model| format!("{analyzer} {model}")),
                named("fingerprint", "fingerprint"),
                named("run", "run_id"),
            ],
        ),
    ];
    page.heading("Trace");
    for (label, items) in lines {
        let items: Vec<String> = items.into_iter().flatten().collect();
        let mark = format!("  {}  ", fitted(label, LABEL_COLUMNS));
        match (label, items.as_slice()) {
            (_, []) => {}
            // People copy these; a line break would be copied too.
            ("link" | "read from", [value]) => page.line(&[(&mark, Style::Quiet), (value, Style::Plain)]),
            _ => page.items(&mark, &items),
        }
    }
}

/// Whether the span reports its failure. A dialogue is quoted at a span that reports none.
fn has_failed_span(row: Row<'_>) -> bool {
    let is_it = |item: &Row<'_>| item.text("span_id").is_some() && item.text("span_id") == row.text("failed_span_id");
    row.list("incidents").iter().any(is_it) || row.list("span_tree").iter().any(|span| is_it(span) && span.text("status") == Some("error"))
}

/// What the trace itself used, and what its analysis did.
fn usage(row: Row<'_>) -> Vec<Option<String>> {
    let tokens = |name: &str, key: &str| row.separated(key).map(|count| format!("{count} {name} tokens"));
    let paid = row.number("cost_usd").filter(|cost| *cost > 0.0);
    vec![
        tokens("input", "trace_input_tokens"),
        tokens("output", "trace_output_tokens"),
        row.number("trace_cost_usd").map(dollars),
        paid.map(|cost| format!("analysis {}", dollars(cost))),
    ]
}

/// `$12.40`, `$0.0031`.
fn dollars(cost: f64) -> String {
    if cost >= 1.0 || cost == 0.0 {
        return format!("${cost:.2}");
    }
    let digits = format!("{cost:.6}");
    format!("${}", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// A time to the second: `2026-11-23 09:00:00 UTC`.
fn time(row: Row<'_>, key: &str) -> Option<String> {
    let text = row.text(key)?;
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => Some(time.to_utc().format("%Y-%m-%d %H:%M:%S UTC").to_string()),
        Err(_) => Some(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn page(row: &Value, columns: usize) -> String {
        let mut page = Page::new(columns, false);
        add_pattern(&mut page, Row(row), None, |_| {});
        page.into_text()
    }

    #[test]
    fn a_row_of_an_older_version_has_the_sections_that_it_can_have() {
        let mut row = json!({
            "title": "lookup timed out", "category": "tool_failure", "contributing_factor": "tool_timeout", "confidence": 0.9,
            "summary": "It failed.", "root_cause_hypothesis": "The backend was slow.", "actions": ["Set a timeout."],
            "evidence": [{ "kind": "signal", "signal": "span_status=error", "span_id": "2", "field": "status", "excerpt": null }],
            "confidence_rationale": "A rule matched.", "trace_id": "t-1", "trace_started_at": "2026-11-23T09:00:00Z", "spans_total": 12_000,
            "extracted_at": "2026-11-23T10:00:00.5Z", "analyzer": "gemini", "model": "gemini-2.5-flash", "cost_usd": 0.0031,
        });
        let expected = "lookup timed out\ntool_failure/tool_timeout · confidence 0.90\n\nWhat happened\n  It failed.\n\nWhy\n  The backend was \
                        slow.\n\nEvidence\n  - span_status=error [span 2, status]\n\nWhat to do\n  1. Set a timeout.\n\nHow sure\n  0.90. A rule \
                        matched.\n\nTrace\n  trace        t-1 · 2026-11-23 09:00:00 UTC · 12,000 spans\n  usage        analysis $0.0031\n  \
                        pattern      extracted 2026-11-23 10:00:00 UTC ·\n               by gemini (gemini-2.5-flash)\n";
        assert_eq!(page(&row, 70), expected);
        // Columns that it does not have are null in a table that a newer version extended.
        for column in ["facts", "failed_span_id", "span_tree", "incidents", "http_status", "trace_duration_ms", "trace_url"] {
            row[column] = Value::Null;
        }
        assert_eq!(page(&row, 70), expected);
        assert_eq!(page(&json!({}), 70), "Untitled pattern\n\nTrace\n");
    }

    #[test]
    fn costs_have_the_digits_that_matter() {
        assert_eq!([12.4, 0.0031, 0.5, 0.0, 0.000_000_1].map(dollars), ["$12.40", "$0.0031", "$0.5", "$0.00", "$0"]);
    }
}
