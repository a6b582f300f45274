//! The sections of the page about the spans: the tree around the failed one, and everything that went wrong in the order of time.

use super::layout::{Page, Style, columns_of, fitted};
use super::row::Row;

/// The tree of spans, with a mark at the one that failed.
pub(super) fn add_spans(page: &mut Page, row: Row<'_>) {
    let spans = row.list("span_tree");
    if spans.is_empty() {
        return;
    }
    let failed = row.text("failed_span_id");
    page.heading(if failed.is_some() { "Where" } else { "Spans" });
    let incidents = row.list("incidents");
    let spans_of = |recovered: bool| -> Vec<&str> {
        incidents
            .iter()
            .filter(|incident| incident.is_true("recovered") == recovered)
            .filter_map(|incident| incident.text("span_id"))
            .collect()
    };
    let (recovered, unrecovered) = (spans_of(true), spans_of(false));
    let mut levels = Levels::default();
    let lines: Vec<(String, Row<'_>)> = spans.into_iter().map(|span| (levels.indented(span), span)).collect();
    let durations: Vec<String> = lines.iter().map(|(_, span)| span.duration("duration_ms").unwrap_or_default()).collect();
    let kind_columns = lines.iter().filter_map(|(_, span)| span.text("kind")).map(columns_of).max().unwrap_or(0);
    let duration_columns = durations.iter().map(|text| columns_of(text)).max().unwrap_or(0);
    // The mark, two gaps of two columns, and the status.
    let room = page.width().saturating_sub(kind_columns + duration_columns + 4 + 6 + 18);
    let name_columns = lines.iter().map(|(name, _)| columns_of(name)).max().unwrap_or(0).min(room.max(12));
    for ((name, span), duration) in lines.iter().zip(durations) {
        if span.count("omitted").unwrap_or(0) > 0 {
            page.line(&[("    ", Style::Plain), (name, Style::Quiet)]);
            continue;
        }
        let id = span.text("span_id");
        let is_failed = id.is_some() && id == failed;
        let style = if is_failed { Style::Alarm } else { Style::Plain };
        let status = match span.text("status").unwrap_or_default() {
            "error" if id.is_some_and(|id| !is_failed && recovered.contains(&id)) => "error, recovered",
            // A step may fail without an error status: a tool that returns its error, an answer that was cut.
            "ok" | "unset" if id.is_some_and(|id| unrecovered.contains(&id)) => "failed",
            "ok" | "unset" if id.is_some_and(|id| recovered.contains(&id)) => "failed, recovered",
            "unset" => "",
            status => status,
        };
        page.line(&[
            (if is_failed { "  → " } else { "    " }, style),
            (&fitted(name, name_columns), style),
            (&format!("  {}", fitted(span.text("kind").unwrap_or_default(), kind_columns)), Style::Quiet),
            (&format!("  {duration:>duration_columns$}"), Style::Plain),
            (&format!("  {status}"), style),
        ]);
    }
}

/// The depths on the way to the present line of a tree. Depths that no line has take no room.
#[derive(Default)]
struct Levels(Vec<u64>);

impl Levels {
    /// The name of a span, or how many are left out, indented by its level.
    fn indented(&mut self, span: Row<'_>) -> String {
        let depth = span.count("depth").unwrap_or(0);
        while self.0.last().is_some_and(|last| *last > depth) {
            self.0.pop();
        }
        if self.0.last() != Some(&depth) {
            self.0.push(depth);
        }
        let text = match span.count("omitted").unwrap_or(0) {
            0 => span.text("name").or(span.text("kind")).unwrap_or_default().to_owned(),
            1 => "… 1 more".to_owned(),
            _ => format!("… {} more", span.separated("omitted").unwrap_or_default()),
        };
        "  ".repeat(self.0.len().saturating_sub(1)) + &text
    }
}

/// Lines of the timeline.
const TIMELINE_LINES_MAX: usize = 8;

/// Everything that went wrong in the order of time, if it is more than one thing. Equal entries in a row become one line.
pub(super) fn add_timeline(page: &mut Page, row: Row<'_>) {
    let failed = row.text("failed_span_id");
    let is_root = |incident: Row<'_>| failed.is_some() && incident.text("span_id") == failed;
    let mut incidents = row.list("incidents");
    // An error that only propagated is no further event; the tree shows it. A limit that was reached after it is one.
    let propagated = ancestors_of_failed(row);
    let is_event = |incident: &Row<'_>| {
        let is_limit = incident.text("label").is_some_and(|label| label.starts_with("runaway_execution/"));
        is_limit || !incident.text("span_id").is_some_and(|id| propagated.contains(&id))
    };
    incidents.retain(is_event);
    let key = |incident: Row<'_>| {
        (incident.text("label").map(str::to_owned), incident.text("span_name").map(str::to_owned), incident.is_true("recovered"))
    };
    let mut groups: Vec<(Row<'_>, u64)> = Vec::new();
    for incident in incidents {
        match groups.last_mut() {
            Some((first, count)) if key(*first) == key(incident) && !is_root(*first) && !is_root(incident) => *count += 1,
            _ => groups.push((incident, 1)),
        }
    }
    if groups.len() < 2 {
        return;
    }
    page.heading("Timeline");
    // The root cause is listed in any case.
    let root = groups.iter().position(|(incident, _)| is_root(*incident));
    let last = root.map_or(TIMELINE_LINES_MAX, |root| TIMELINE_LINES_MAX - usize::from(root >= TIMELINE_LINES_MAX));
    let is_shown = |index: usize| index < last || Some(index) == root;
    // A chat log may have one time for all of its messages.
    let has_times = groups.iter().any(|(first, _)| first.number("offset_ms").is_some_and(|offset| offset > 0.0));
    let offsets: Vec<String> = groups
        .iter()
        .map(|(first, _)| first.duration("offset_ms").filter(|_| has_times).map(|offset| format!("+{offset}")).unwrap_or_default())
        .collect();
    let shown = || groups.iter().zip(&offsets).enumerate().filter(|(index, _)| is_shown(*index)).map(|(_, line)| line);
    let offset_columns = shown().map(|(_, offset)| columns_of(offset)).max().unwrap_or(0);
    let name_of = |incident: Row<'_>, count: u64| {
        let times = if count > 1 { format!(" ×{count}") } else { String::new() };
        fitted(incident.text("span_name").unwrap_or_default(), columns_of(incident.text("span_name").unwrap_or_default()).min(30)) + &times
    };
    let name_columns = shown().map(|((incident, count), _)| columns_of(&name_of(*incident, *count))).max().unwrap_or(0);
    for ((incident, count), offset) in shown() {
        let is_root = is_root(*incident);
        let style = if is_root { Style::Alarm } else { Style::Plain };
        let recovered = if incident.is_true("recovered") { ", recovered" } else { "" };
        page.line(&[
            (if is_root { "  → " } else { "    " }, style),
            (&format!("{offset:>offset_columns$}  "), Style::Quiet),
            (&fitted(&name_of(*incident, *count), name_columns), style),
            (&format!("  {}{recovered}", incident.text("label").unwrap_or("an error without a type")), style),
        ]);
    }
    let hidden = groups.iter().enumerate().filter(|(index, _)| !is_shown(*index)).map(|(_, (_, count))| count).sum::<u64>();
    if hidden > 0 {
        page.line(&[(&format!("    … {hidden} more"), Style::Quiet)]);
    }
}

/// Ids of the ancestors of the failed span, as far as the tree lists them.
fn ancestors_of_failed(row: Row<'_>) -> Vec<&str> {
    let mut path: Vec<(u64, Option<&str>)> = Vec::new();
    for span in row.list("span_tree") {
        let depth = span.count("depth").unwrap_or(0);
        path.retain(|(above, _)| *above < depth);
        if span.text("span_id").is_some() && span.text("span_id") == row.text("failed_span_id") {
            return path.into_iter().filter_map(|(_, id)| id).collect();
        }
        path.push((depth, span.text("span_id")));
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn page(row: &Value, columns: usize) -> String {
        let mut page = Page::new(columns, false);
        add_spans(&mut page, Row(row));
        add_timeline(&mut page, Row(row));
        page.into_text()
    }

    #[test]
    fn a_deep_tree_is_not_indented_beyond_the_page() {
        let span = |depth: u64, id: &str, omitted: u64| json!({ "depth": depth, "span_id": id, "name": id.repeat(20), "kind": "chain", "omitted": omitted });
        let row = json!({
            "failed_span_id": "c", "span_tree": [span(0, "a", 0), span(1, "", 9_000), span(9_001, "b", 0), span(9_002, "c", 0), span(1, "", 1)],
            "incidents": [],
        });
        let text = page(&row, 60);
        let lines: Vec<&str> = text.lines().skip(1).take(5).collect();
        assert_eq!(
            lines,
            [
                "    aaaaaaaaaaaaaaaaaaaa        chain",
                "      … 9000 more",
                "        bbbbbbbbbbbbbbbbbbbb    chain",
                "  →       cccccccccccccccccccc  chain",
                "      … 1 more"
            ],
            "{text}"
        );
    }

    #[test]
    fn the_timeline_names_each_event_once_and_always_the_root_cause() {
        let incident = |position: u64, label: &str, id: &str, recovered: bool| json!({ "position": position, "label": label, "span_id": id, "span_name": format!("step {}", label.len()), "recovered": recovered, "offset_ms": position * 1_000 });
        let mut incidents: Vec<Value> = (1..=5).map(|position| incident(position, "a/b", "x", true)).collect();
        incidents.extend((6..30).map(|position| incident(position, if position % 2 == 0 { "c/dd" } else { "e/fff" }, "y", true)));
        incidents.push(incident(30, "g/h", "root", false));
        incidents.push(incident(31, "g/h", "parent", false));
        let tree = [("parent", 0), ("root", 1)]
            .map(|(id, depth)| json!({ "depth": depth, "span_id": id, "name": id, "kind": "tool", "status": "error", "omitted": 0 }));
        let text = page(&json!({ "failed_span_id": "root", "incidents": incidents, "span_tree": tree }), 80);
        let timeline: Vec<&str> = text.lines().skip_while(|line| *line != "Timeline").skip(1).take_while(|line| !line.is_empty()).collect();
        assert_eq!(timeline.len(), TIMELINE_LINES_MAX + 1, "{text}");
        assert_eq!(timeline[0], "     +1 s  step 3 ×5  a/b, recovered");
        assert_eq!(timeline[7..], ["  → +30 s  step 3     g/h", "    … 18 more"]);
    }
}
