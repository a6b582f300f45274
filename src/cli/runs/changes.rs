//! A comparison of runs as a page: both sides, what became of traces that both analyzed, then the changes by category, contributing factor and
//! fingerprint.

use crate::cli::counted;
use crate::cli::run_summary::shell_word;
use crate::cli::show::layout::{Page, Style};
use crate::runs::{Change, ChangeKind, Diff, GroupDiff, LEVEL, RunGroup};

/// Changes of each list that are shown; JSON has all.
const CHANGES_SHOWN: usize = 20;

/// Values of a column that are shown, and changes of each.
const VALUES_SHOWN: usize = 20;
const CHANGES_OF_VALUE_SHOWN: usize = 5;

/// Columns of the words for a kind of change.
const KIND_WIDTH: usize = 9;

/// The page. `tables` is the location of the tables.
pub(super) fn page(diff: &Diff, tables: &str) -> String {
    let mut page = Page::for_stdout();
    add_sides(&mut page, diff);
    for (heading, changes) in
        [("Categories", &diff.categories), ("Contributing factors", &diff.factors), ("Fingerprints", &diff.fingerprints)]
    {
        page.heading(heading);
        add_changes(&mut page, changes, CHANGES_SHOWN, "  ");
    }
    if let Some(column) = diff.by {
        add_groups(&mut page, column, &diff.groups);
    }
    page.heading("How to read this");
    page.paragraph(
        "  ",
        &format!(
            "A share is of all analyzed traces of its side. Differences are significant if chance explains one in the list with a probability \
             below {LEVEL} (exact test of Fisher, Bonferroni); the others are marked \"may be chance\". Gone: all its traces were analyzed \
             again, and none fails so. Not seen: some of them were not analyzed again."
        ),
        Style::Quiet,
    );
    let example = diff.factors.iter().find(|change| matches!(change.change, ChangeKind::New | ChangeKind::More));
    if let Some(change) = example {
        page.paragraph("  ", &format!("failsift show {} --tables {tables}", shell_word(&change.example_trace_id)), Style::Plain);
    }
    page.into_text()
}

fn add_sides(page: &mut Page, diff: &Diff) {
    page.heading("Runs");
    add_side(page, "A", &diff.a);
    add_side(page, "B", &diff.b);
    if let Some(shared) = &diff.shared_traces {
        page.items(
            "  ",
            &[
                format!("traces analyzed by both: {}", shared.traces),
                format!("failed in B only: {}", shared.fail_now),
                format!("failed in A only: {}", shared.repaired),
                format!("failed in another way: {}", shared.fail_otherwise),
                format!("failed in A and not analyzed again: {}", shared.failed_not_analyzed_again),
            ],
        );
    }
    for note in &diff.notes {
        page.paragraph("  note: ", note, Style::Plain);
    }
}

fn add_side(page: &mut Page, name: &str, side: &RunGroup) {
    let runs = match side.run_ids.as_slice() {
        [only] => only.clone(),
        [newest, ..] => format!("{} runs, the last {newest}", side.run_ids.len()),
        [] => String::new(),
    };
    let time = |text: &str| {
        chrono::DateTime::parse_from_rfc3339(text).map_or_else(|_| text.to_owned(), |time| time.format("%Y-%m-%d %H:%M").to_string())
    };
    let mut items = vec![format!("{} ({})", runs, side.pipelines.join(", ")), format!("started {} UTC", time(&side.started_at))];
    items.push(format!("{} analyzed", counted(side.traces, "trace")));
    items.push(format!("{} failed ({})", side.failed, percent(side.failed, side.traces)));
    if side.errors > 0 {
        items.push(format!("{} not processed", side.errors));
    }
    page.items(&format!("  {name}  "), &items);
}

fn add_changes(page: &mut Page, changes: &[Change], shown: usize, indent: &str) {
    let (same, changed): (Vec<&Change>, Vec<&Change>) = changes.iter().partition(|change| change.change == ChangeKind::Same);
    if changes.is_empty() {
        page.paragraph(indent, "no failures", Style::Plain);
    }
    for change in changed.iter().take(shown) {
        add_change(page, change, indent);
    }
    let more = changed.len().saturating_sub(shown);
    if more > 0 {
        page.paragraph(indent, &format!("… and {more} more; --format json has all"), Style::Plain);
    }
    if !same.is_empty() {
        page.paragraph(indent, &format!("in both, without a significant difference: {}", same.len()), Style::Quiet);
    }
}

fn add_change(page: &mut Page, change: &Change, indent: &str) {
    let (kind, style) = match change.change {
        ChangeKind::New => ("new", Style::Alarm),
        ChangeKind::More => ("more", Style::Alarm),
        ChangeKind::Gone => ("gone", Style::Plain),
        ChangeKind::Less => ("less", Style::Plain),
        ChangeKind::NotSeen => ("not seen", Style::Plain),
        ChangeKind::Same => ("same", Style::Quiet),
        ChangeKind::Unknown => ("unknown", Style::Quiet),
    };
    let name = match &change.contributing_factor {
        Some(factor) => format!("{}/{factor}", change.category),
        None => change.category.clone(),
    };
    let fingerprint = change.fingerprint.as_ref().map(|fingerprint| format!("  {fingerprint}")).unwrap_or_default();
    page.line(&[(indent, Style::Plain), (&format!("{kind:<KIND_WIDTH$} "), style), (&name, Style::Strong), (&fingerprint, Style::Quiet)]);
    let share = |traces, rate: f64| format!("{traces} ({:.1} %)", rate * 100.0);
    let mut items = vec![format!("{} -> {}", share(change.a_traces, change.a_rate), share(change.b_traces, change.b_rate))];
    items.push(match change.change {
        ChangeKind::Gone => "all analyzed again".to_owned(),
        _ if change.is_significant => probability(change.p_value),
        _ => format!("may be chance: {}", probability(change.p_value)),
    });
    if let (ChangeKind::NotSeen, Some(again)) = (change.change, change.analyzed_again) {
        items.push(format!("{again} of {} analyzed again", change.a_traces));
    }
    let mark = format!("{indent}{:KIND_WIDTH$} ", "");
    page.items(&mark, &items);
    page.paragraph(&mark, &format!("{} (trace {})", change.title, change.example_trace_id), Style::Plain);
}

fn add_groups(page: &mut Page, column: &str, groups: &[GroupDiff]) {
    page.heading(&format!("By {column}"));
    for group in groups.iter().take(VALUES_SHOWN) {
        let side = |name: &str, traces, failed| match traces {
            0 => format!("{name} none"),
            _ => format!("{name} {}, {failed} failed ({})", counted(traces, "trace"), percent(failed, traces)),
        };
        let mut items = vec![side("A", group.a_traces, group.a_failed), side("B", group.b_traces, group.b_failed)];
        if group.compared_with == "all" {
            items.push(format!("compared with all traces of {}", if group.a_traces == 0 { "A" } else { "B" }));
        }
        page.paragraph("  ", group.value.as_deref().unwrap_or("(no value)"), Style::Strong);
        page.items("    ", &items);
        add_changes(page, &group.factors, CHANGES_OF_VALUE_SHOWN, "    ");
    }
    let more = groups.len().saturating_sub(VALUES_SHOWN);
    if more > 0 {
        page.paragraph("  ", &format!("… and {more} more values; --format json has all"), Style::Plain);
    }
}

/// `p = 0.021`, `p < 0.001`.
fn probability(p_value: f64) -> String {
    if p_value < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p_value:.3}") }
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / whole.max(1) as f64)
}
