//! What a run used: tokens and costs, and the prompt of its failed step. For facts and for columns.

use super::tree::SpanTree;
use crate::model::{RunContext, Span, SpanKind, Trace};

/// What the calls of a trace used together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Totals {
    /// `None` if no call records tokens.
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    /// `None` if no span records a cost.
    pub(super) cost_usd: Option<f64>,
}

/// The version of the prompt of the failed step, or else of the first call that has one.
pub(super) fn prompt_version(trace: &Trace, step: Option<&Span>, context: &RunContext<'_>) -> Option<String> {
    context.prompt_version(step.into_iter().chain(step.and_then(|step| nearest_model_call(trace, step))))
}

/// The span itself if it names a model, or the last call before it that does.
pub(super) fn nearest_model_call<'t>(trace: &'t Trace, span: &'t Span) -> Option<&'t Span> {
    let end = trace.spans.iter().position(|other| std::ptr::eq(other, span)).unwrap_or(trace.spans.len());
    let before = trace.spans.iter().take(end).rev().filter(|other| other.kind == SpanKind::Llm);
    std::iter::once(span).chain(before).find(|call| call.model.is_some())
}

impl Totals {
    pub(super) fn of(trace: &Trace, tree: &SpanTree, context: &RunContext<'_>) -> Self {
        let all = |property: &dyn Fn(&Span) -> bool| trace.spans.iter().map(property).collect::<Vec<bool>>();
        let has_usage = |span: &Span| span.usage.input.is_some() || span.usage.output.is_some();
        let is_counted = all(&|span| span.kind == SpanKind::Llm && has_usage(span));
        // The span of a framework and that of the client below it describe one call, so the innermost ones count.
        let mut counted = without(&is_counted, &tree.has_descendant_with(&is_counted));
        if counted.is_empty() {
            // Only a run or an agent has a total.
            counted = outermost(tree, &all(&has_usage));
        }
        let usages = || counted.iter().filter_map(|index| trace.spans.get(*index)).map(|span| span.usage);
        Self {
            input_tokens: usages().filter_map(|usage| usage.input).reduce(u64::saturating_add),
            output_tokens: usages().filter_map(|usage| usage.output).reduce(u64::saturating_add),
            cost_usd: cost(tree, context),
        }
    }
}

/// The cost of a run: what its resource or its outermost spans record. A run or an agent records the total of the calls in it, so both never count.
fn cost(tree: &SpanTree, context: &RunContext<'_>) -> Option<f64> {
    let costs = context.costs();
    let has_cost: Vec<bool> = costs.iter().map(Option::is_some).collect();
    let cost_at = |index: usize| costs.get(index).copied().flatten();
    let of_spans = || outermost(tree, &has_cost).into_iter().filter_map(cost_at).reduce(|sum, cost| sum + cost);
    // Sums of decimal fractions are not exact: 0.1 + 0.2.
    context.cost_of_trace().or_else(of_spans).map(|cost| (cost * 1e10).round() / 1e10)
}

/// The indexes of the spans with the first property and without the second one.
fn without(property: &[bool], other: &[bool]) -> Vec<usize> {
    let pairs = property.iter().zip(other).enumerate();
    pairs.filter(|(_, (property, other))| **property && !**other).map(|(index, _)| index).collect()
}

/// The indexes of the spans with a property that have no ancestor with it.
fn outermost(tree: &SpanTree, property: &[bool]) -> Vec<usize> {
    let has = |index: usize| property.get(index) == Some(&true);
    if !property.contains(&true) {
        return Vec::new();
    }
    // Marked from the roots down, so that the time is linear in traces of any depth.
    let mut outermost = Vec::new();
    let mut open: Vec<usize> = (0..property.len()).filter(|index| tree.parent(*index).is_none()).collect();
    while let Some(index) = open.pop() {
        if has(index) {
            outermost.push(index);
        } else {
            open.extend(tree.children(index));
        }
    }
    outermost.sort_unstable();
    outermost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attribute, TokenUsage};

    fn attribute(key: &str, value: &str) -> Attribute {
        Attribute { key: key.into(), value: value.into() }
    }

    fn span(id: &str, parent: Option<&str>, kind: SpanKind) -> Span {
        Span { span_id: id.into(), parent_span_id: parent.map(str::to_owned), kind, ..Span::default() }
    }

    fn call(id: &str, parent: &str, input: u64, cost: &str) -> Span {
        let usage = TokenUsage { input: Some(input), output: Some(input / 10) };
        Span { usage, attributes: vec![attribute("gen_ai.usage.cost", cost)], ..span(id, Some(parent), SpanKind::Llm) }
    }

    fn totals(spans: Vec<Span>) -> Totals {
        let trace = Trace { spans, ..Trace::default() };
        Totals::of(&trace, &SpanTree::new(&trace), &RunContext::of(&trace))
    }

    #[test]
    fn a_call_that_wraps_another_one_counts_once() {
        let agent = span("a", None, SpanKind::Agent);
        let found = totals(vec![agent, call("b", "a", 100, "0.1"), call("c", "b", 100, "0.1"), call("d", "a", 50, "0.2")]);
        assert_eq!((found.input_tokens, found.output_tokens, found.cost_usd), (Some(150), Some(15), Some(0.3)));
    }

    #[test]
    fn the_total_of_the_root_outweighs_the_sum_of_its_calls() {
        let root = Span { attributes: vec![attribute("gen_ai.usage.cost", "0.5")], ..span("a", None, SpanKind::Agent) };
        assert_eq!(totals(vec![root, call("b", "a", 100, "0.1")]).cost_usd, Some(0.5));
    }

    #[test]
    fn the_usage_of_an_agent_counts_where_no_call_records_any() {
        let usage = TokenUsage { input: Some(9), output: None };
        let agent = Span { usage, ..span("a", None, SpanKind::Agent) };
        let found = totals(vec![agent.clone(), span("b", Some("a"), SpanKind::Llm)]);
        assert_eq!((found.input_tokens, found.output_tokens, found.cost_usd), (Some(9), None, None));
        assert_eq!(totals(vec![agent, call("b", "a", 5, "x")]).input_tokens, Some(5));
        assert_eq!(totals(vec![span("b", None, SpanKind::Llm)]), Totals::default());
    }
}
