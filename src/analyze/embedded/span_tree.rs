//! The spans around the failed one, as a small tree for a page.
//!
//! In: a trace of any shape and the span that failed. Out: at most [`TREE_SPANS_MAX`] spans in tree order, each with its depth, and items that count the
//! spans that are left out at their place. The counts and the listed spans add up to the spans of the trace.

use std::borrow::Cow;

use super::facts::{display_name, duration_ms, shortened};
use super::tree::SpanTree;
use super::wording::NAME_CHARS_MAX;
use crate::limits::{TREE_ITEMS_MAX, TREE_SPANS_MAX};
use crate::model::{Span, SpanKind, Status, Trace, TreeSpan};

/// Ancestors of the failed span that are listed, innermost first. The root is listed in any case.
const ANCESTORS_MAX: usize = 5;

/// Children of the failed span that failed too, latest first.
const FAILED_CHILDREN_MAX: usize = 3;

/// Siblings before the failed span that failed too, nearest first: often earlier attempts.
const FAILED_SIBLINGS_MAX: usize = 2;

/// Spans elsewhere that failed before.
const EARLIER_FAILURES_MAX: usize = 2;

/// Spans elsewhere that failed later.
const LATER_FAILURES_MAX: usize = 2;

/// Spans of the tree of a trace in which no single span failed.
const OVERVIEW_SPANS_MAX: usize = 10;

/// The spans around the one with this id or, if a run was killed, around the last one that never ended; otherwise the first spans of the trace.
pub(super) fn span_tree(trace: &Trace, tree: &SpanTree, failed: Option<&str>, is_healthy: bool) -> Vec<TreeSpan> {
    let by_id = failed.and_then(|id| trace.spans.iter().position(|span| span.span_id == id));
    let unfinished = || trace.spans.iter().rposition(|span| span.ended_at_ns.is_none()).filter(|_| !is_healthy && tree.unfinished > 0);
    let shape = Shape { trace, tree, roots: (0..trace.spans.len()).filter(|index| tree.parent(*index).is_none()).collect() };
    let mut picks = match by_id.or_else(unfinished) {
        _ if trace.spans.len() <= TREE_SPANS_MAX => (0..trace.spans.len()).collect(),
        Some(focus) => shape.around(focus),
        None => shape.overview(),
    };
    let sizes = shape.subtree_sizes();
    // A line that says that one span is left out could as well show it, and then those around it.
    for _ in 0..2 {
        let single = shape.items(&picks, &sizes).single;
        picks.extend(single.into_iter().take(TREE_SPANS_MAX.saturating_sub(picks.len())));
    }
    loop {
        let items = shape.items(&picks, &sizes).list;
        if items.len() <= TREE_ITEMS_MAX || picks.pop().is_none() {
            return items;
        }
    }
}

/// The spans of a trace as a forest.
struct Shape<'t> {
    trace: &'t Trace,
    tree: &'t SpanTree,
    roots: Vec<usize>,
}

impl Shape<'_> {
    fn has_failed(&self, index: usize) -> bool {
        self.trace.spans.get(index).is_some_and(Span::failed)
    }

    /// The children of the same parent, or all roots.
    fn siblings(&self, index: usize) -> &[usize] {
        self.tree.parent(index).map_or(&self.roots, |parent| self.tree.children(parent))
    }

    /// The siblings before and after a span, in the order of time.
    fn siblings_around(&self, index: usize) -> (&[usize], &[usize]) {
        let siblings = self.siblings(index);
        let at = siblings.iter().position(|sibling| *sibling == index).unwrap_or(0);
        (siblings.get(..at).unwrap_or_default(), siblings.get(at + 1..).unwrap_or_default())
    }

    /// The spans that explain a failed one, most useful first.
    fn around(&self, focus: usize) -> Vec<usize> {
        let mut picks = Picks::default();
        picks.add([focus]);
        let ancestors: Vec<usize> = self.tree.self_and_ancestors(focus).skip(1).collect();
        picks.add(ancestors.last().copied());
        picks.add(ancestors.iter().copied().take(ANCESTORS_MAX));
        // What a failed span did last explains most.
        let children = self.tree.children(focus);
        picks.add(children.iter().rev().copied().filter(|child| self.has_failed(*child)).take(FAILED_CHILDREN_MAX));
        picks.add(children.iter().rev().copied().take(2));
        picks.add(children.first().copied());
        let (before, after) = self.siblings_around(focus);
        picks.add(before.last().copied());
        picks.add(after.first().copied());
        let attempts = before.iter().rev().copied().filter(|sibling| self.has_failed(*sibling)).take(FAILED_SIBLINGS_MAX);
        for attempt in attempts {
            let children = self.tree.children(attempt);
            picks.add([attempt]);
            picks.add(children.iter().copied().find(|child| self.has_failed(*child)).or(children.first().copied()));
        }
        // What had failed elsewhere before, whether or not the run recovered.
        let earlier = (0..focus).rev().filter(|index| self.has_failed(*index) && !picks.indexes.contains(index));
        picks.add(earlier.take(EARLIER_FAILURES_MAX).collect::<Vec<_>>());
        // What failed afterwards, where it began: often the end of the run.
        let began = |index: &usize| !self.tree.children(*index).iter().any(|child| self.has_failed(*child));
        let later = (focus + 1..self.trace.spans.len()).rev().filter(|index| self.has_failed(*index) && !picks.indexes.contains(index));
        picks.add(later.filter(began).take(LATER_FAILURES_MAX).collect::<Vec<_>>());
        // A chat log has no other structure than the order of its messages.
        let is_flat = self.tree.parent(focus).is_none() && children.is_empty();
        picks.add(before.iter().rev().copied().take(if is_flat { 4 } else { 2 }));
        picks.add(after.iter().copied().take(if is_flat { 2 } else { 1 }));
        // The step before the one that contains the failed span.
        for ancestor in ancestors {
            picks.add(self.siblings_around(ancestor).0.last().copied());
            if picks.is_full() {
                break;
            }
        }
        picks.indexes
    }

    /// The spans nearest to the roots, in the order of time.
    fn overview(&self) -> Vec<usize> {
        let mut picks: Vec<usize> = self.roots.iter().copied().take(OVERVIEW_SPANS_MAX).collect();
        let mut next = 0;
        while let Some(index) = picks.get(next).copied() {
            let room = OVERVIEW_SPANS_MAX.saturating_sub(picks.len());
            picks.extend(self.tree.children(index).iter().copied().take(room));
            next += 1;
        }
        picks
    }

    /// For each span the number of spans below it and itself.
    fn subtree_sizes(&self) -> Vec<usize> {
        let mut order = self.roots.clone();
        let mut next = 0;
        while let Some(index) = order.get(next).copied() {
            order.extend_from_slice(self.tree.children(index));
            next += 1;
        }
        let mut sizes = vec![1; self.trace.spans.len()];
        for index in order.into_iter().rev() {
            let size = sizes.get(index).copied().unwrap_or_default();
            if let Some(total) = self.tree.parent(index).and_then(|parent| sizes.get_mut(parent)) {
                *total += size;
            }
        }
        sizes
    }

    /// The picked spans in tree order, with an item for each group of others.
    fn items(&self, picks: &[usize], sizes: &[usize]) -> Items {
        let mut places = vec![Place::Hidden; self.trace.spans.len()];
        for index in picks {
            if let Some(place) = places.get_mut(*index) {
                *place = Place::Listed;
            }
        }
        for index in picks {
            for ancestor in self.tree.self_and_ancestors(*index).skip(1) {
                match places.get_mut(ancestor) {
                    Some(place @ Place::Hidden) => *place = Place::Passed,
                    // Its ancestors are marked already, or will be. This keeps the time linear.
                    _ => break,
                }
            }
        }
        let mut items = Items::default();
        // An explicit stack, because a trace may be thousands of spans deep.
        let mut stack = vec![(self.roots.iter(), 0, true)];
        while let Some((siblings, depth, is_listed)) = stack.last_mut() {
            let (depth, is_listed) = (*depth, *is_listed);
            let Some(index) = siblings.next().copied() else {
                if is_listed {
                    items.flush();
                }
                stack.pop();
                continue;
            };
            match places.get(index) {
                Some(Place::Listed) => {
                    items.flush();
                    items.list.extend(self.trace.spans.get(index).map(|span| listed(span, depth)));
                    stack.push((self.tree.children(index).iter(), depth + 1, true));
                }
                Some(Place::Passed) => {
                    items.omit(index, 1, depth);
                    stack.push((self.tree.children(index).iter(), depth + 1, false));
                }
                _ => items.omit(index, sizes.get(index).copied().unwrap_or_default(), depth),
            }
        }
        items
    }
}

/// What the tree shows of a span.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Nothing, and nothing below it.
    Hidden,
    /// Only something below it.
    Passed,
    Listed,
}

/// The spans to list, most useful first.
#[derive(Default)]
struct Picks {
    indexes: Vec<usize>,
}

impl Picks {
    fn add(&mut self, indexes: impl IntoIterator<Item = usize>) {
        for index in indexes {
            if !self.is_full() && !self.indexes.contains(&index) {
                self.indexes.push(index);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.indexes.len() >= TREE_SPANS_MAX
    }
}

/// The items of the tree, and the spans that are left out since the last one.
#[derive(Default)]
struct Items {
    list: Vec<TreeSpan>,
    /// Spans that are left out alone at their place.
    single: Vec<usize>,
    omitted: usize,
    omitted_first: usize,
    omitted_depth: u64,
}

impl Items {
    fn omit(&mut self, index: usize, count: usize, depth: u64) {
        if self.omitted == 0 {
            self.omitted_first = index;
            self.omitted_depth = depth;
        }
        self.omitted += count;
    }

    fn flush(&mut self) {
        if self.omitted == 1 {
            self.single.push(self.omitted_first);
        }
        if self.omitted > 0 {
            self.list.push(TreeSpan {
                depth: self.omitted_depth,
                span_id: String::new(),
                name: String::new(),
                kind: String::new(),
                status: String::new(),
                duration_ms: None,
                omitted: self.omitted as u64,
            });
            self.omitted = 0;
        }
    }
}

/// The name of a span, and its tool where the name is one for all tools: `running tool`.
fn name_with_tool(span: &Span) -> Cow<'_, str> {
    let name = display_name(span);
    match span.tool.as_ref().map(|tool| tool.name.as_str()) {
        Some(tool) if span.kind == SpanKind::Tool && !tool.is_empty() && !name.contains(tool) => Cow::Owned(format!("{name} {tool}")),
        _ => name,
    }
}

fn listed(span: &Span, depth: u64) -> TreeSpan {
    let status = match span.status {
        _ if span.failed() => "error",
        Status::Ok => "ok",
        Status::Error | Status::Unset => "unset",
    };
    TreeSpan {
        depth,
        span_id: span.span_id.clone(),
        name: shortened(&name_with_tool(span), NAME_CHARS_MAX),
        kind: span.kind.as_str().to_owned(),
        status: status.to_owned(),
        duration_ms: duration_ms(span),
        omitted: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;
    use crate::model::ToolUse;

    /// A trace from lines such as `a`, `b<a`, `c<a!`: a name, its parent, and `!` for a failed span.
    fn trace<'l>(lines: impl IntoIterator<Item = &'l str>) -> Trace {
        let span = |line: &str| {
            let (line, failed) = line.strip_suffix('!').map_or((line, false), |line| (line, true));
            let (name, parent) = line.split_once('<').map_or((line, None), |(name, parent)| (name, Some(parent)));
            Span {
                span_id: name.into(),
                name: name.into(),
                parent_span_id: parent.map(str::to_owned),
                status: if failed { Status::Error } else { Status::Unset },
                ended_at_ns: Some(1),
                ..Span::default()
            }
        };
        Trace { spans: lines.into_iter().map(span).collect(), ..Trace::default() }
    }

    /// The tree as text: a name on each line, indented by its depth, or `+3`.
    fn drawn(trace: &Trace, failed: Option<&str>) -> String {
        let items = span_tree(trace, &SpanTree::new(trace), failed, failed.is_none());
        let listed = items.iter().filter(|item| item.omitted == 0).count();
        let omitted: u64 = items.iter().map(|item| item.omitted).sum();
        assert_eq!(listed as u64 + omitted, trace.spans.len() as u64, "{items:?}");
        assert!(listed <= TREE_SPANS_MAX && items.len() <= TREE_ITEMS_MAX, "{items:?}");
        let mut text = String::new();
        for item in &items {
            let name = if item.omitted > 0 { format!("+{}", item.omitted) } else { item.name.clone() };
            let _ = write!(text, "{}{name};", " ".repeat(usize::try_from(item.depth.min(20)).unwrap()));
        }
        text
    }

    #[test]
    fn a_small_trace_is_shown_whole_in_tree_order() {
        let trace = trace(["root", "turn-1<root", "turn-2<root!", "llm<turn-1", "tool<turn-2!", "orphan<gone"]);
        assert_eq!(drawn(&trace, Some("tool")), "root; turn-1;  llm; turn-2;  tool;orphan;");
        assert_eq!(drawn(&trace, None), "root; turn-1;  llm; turn-2;  tool;orphan;");
    }

    #[test]
    fn of_ten_thousand_children_those_around_the_failed_one_are_listed() {
        let lines: Vec<String> = (0..10_000).map(|index| format!("s{index}<root{}", if index == 4_990 { "!" } else { "" })).collect();
        let with_root = |failed: &str| {
            let lines = std::iter::once("root").chain(lines.iter().map(String::as_str)).chain(["x<s5000", failed, "z<s5000"]);
            trace(lines)
        };
        assert_eq!(drawn(&with_root("y<s5000!"), Some("s5000")), "root; +4990; s4990; +7; s4998; s4999; s5000;  x;  y;  z; s5001; +4998;");
        assert_eq!(drawn(&with_root("y<s5000"), Some("root")), "root; s0; +4989; s4990; +5010; s9998; s9999;");
        assert_eq!(drawn(&with_root("y<s5000"), None), "root; s0; s1; s2; s3; s4; s5; s6; s7; s8; +9994;");
        assert_eq!(drawn(&with_root("y<s5000"), Some("s0")), "root; s0; s1; +4988; s4990; +5012;");
    }

    #[test]
    fn a_tool_is_named_where_its_span_has_a_name_for_all_tools() {
        let tool = |name: &str| Some(ToolUse { name: name.into(), ..ToolUse::default() });
        let named = |name: &str| {
            name_with_tool(&Span { kind: SpanKind::Tool, name: name.into(), tool: tool("search"), ..Span::default() }).into_owned()
        };
        assert_eq!(
            [named("running tool"), named("execute_tool search"), named("search")],
            ["running tool search", "execute_tool search", "search"]
        );
    }

    #[test]
    fn of_ten_thousand_ancestors_the_root_and_the_nearest_are_listed() {
        let lines: Vec<String> =
            (0..10_000).map(|index: usize| index.checked_sub(1).map_or("0".into(), |parent| format!("{index}<{parent}"))).collect();
        let trace = trace(lines.iter().map(String::as_str));
        let items = span_tree(&trace, &SpanTree::new(&trace), Some("9999"), false);
        let depths: Vec<(u64, u64)> = items.iter().map(|item| (item.depth, item.omitted)).collect();
        assert_eq!(depths, [(0, 0), (1, 9_993), (9_994, 0), (9_995, 0), (9_996, 0), (9_997, 0), (9_998, 0), (9_999, 0)]);
        assert!(drawn(&trace, Some("5000")).contains("5000;") && drawn(&trace, None).starts_with("0; 1;  2;"));
    }

    #[test]
    fn earlier_attempts_are_listed_with_what_failed_below_them() {
        let mut lines = vec!["root", "a1<root!", "a1x<a1", "a1y<a1!", "b<root", "a2<root!", "a2x<a2!"];
        let others: Vec<String> = (0..20).map(|index| format!("o{index}<root")).collect();
        lines.extend(others.iter().map(String::as_str));
        lines.extend(["a3<root!", "a3x<a3!"]);
        assert_eq!(drawn(&trace(lines), Some("a3")), "root; a1;  a1x;  a1y; b; a2;  a2x; +18; o18; o19; a3;  a3x;");
    }

    #[test]
    fn cycles_and_many_roots_are_tolerated() {
        let mut lines: Vec<String> = (0..100).map(|index| format!("r{index}")).collect();
        lines.extend(["p<q".into(), "q<p".into(), "self<self!".into()]);
        let trace = trace(lines.iter().map(String::as_str));
        assert!(drawn(&trace, Some("q")).contains("q;"));
        assert!(drawn(&trace, Some("self")).ends_with("self;"));
        assert_eq!(drawn(&trace, Some("r50")), "+46;r46;r47;r48;r49;r50;r51;r52;+49;self;");
        assert_eq!(drawn(&trace, Some("gone")).matches(';').count(), OVERVIEW_SPANS_MAX + 1);
    }

    #[test]
    fn a_killed_run_is_shown_around_its_last_unfinished_span() {
        let lines: Vec<String> = std::iter::once("root".to_owned()).chain((0..50).map(|index| format!("s{index}<root"))).collect();
        let mut trace = trace(lines.iter().map(String::as_str));
        for index in [0, 31] {
            trace.spans[index].ended_at_ns = None;
        }
        let items = span_tree(&trace, &SpanTree::new(&trace), None, false);
        assert!(items.iter().any(|item| item.name == "s30"), "{items:?}");
    }

    #[test]
    fn names_are_shortened_and_statuses_are_words() {
        let mut trace = trace(["root!"]);
        trace.spans[0].name = "x".repeat(500);
        let items = span_tree(&trace, &SpanTree::new(&trace), Some("root"), false);
        assert_eq!((items[0].name.chars().count(), items[0].status.as_str()), (NAME_CHARS_MAX, "error"));
    }

    #[test]
    fn the_number_of_items_is_limited() {
        // Each turn hides two spans, and turns in between are left out.
        let mut lines = vec!["root".to_owned()];
        for turn in 0..40 {
            let mark = if turn % 3 == 0 { "!" } else { "" };
            lines.push(format!("t{turn}<root{mark}"));
            lines.extend(["a", "b", "c"].map(|step| format!("{step}{turn}<t{turn}")));
            lines.push(format!("f{turn}<b{turn}!"));
        }
        let trace = trace(lines.iter().map(String::as_str));
        for span in &trace.spans {
            assert!(drawn(&trace, Some(&span.span_id)).contains(&format!("{};", span.name)));
        }
    }
}
