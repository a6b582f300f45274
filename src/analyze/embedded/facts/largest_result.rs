//! The tool result that took most of a budget of tokens.

use super::names::fact_names;
use super::records::{FieldValue, list_length, records_in};
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::{Span, SpanKind};

fact_names! {
    LARGEST_RESULT_TOOL = "largest_result_tool", Text, "the tool with the largest result of the run";
    LARGEST_RESULT_BYTES = "largest_result_bytes", Bytes, "the size of the largest tool result";
    LARGEST_RESULT_ITEMS = "largest_result_items", Count, "the number of items in the largest tool result";
    LARGEST_RESULT_ARGUMENTS = "largest_result_arguments", Text, "the arguments of the call with the largest result";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Spans that are compared.
const SPANS_MAX: usize = 5_000;

/// A smaller result is no reason for a spent budget.
const BYTES_MIN: usize = 2_048;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if !case.is(&["token_budget_exhausted", "context_window_exceeded"]) {
        return;
    }
    let results = case.trace.spans.iter().take(SPANS_MAX).filter_map(result_of);
    let Some((span, name, result, arguments)) = results.max_by_key(|(_, _, result, _)| result.len()) else { return };
    let bytes = result.len();
    if bytes < BYTES_MIN {
        return;
    }
    facts.add(&LARGEST_RESULT_TOOL, name, Place::Span(span));
    facts.add(&LARGEST_RESULT_BYTES, bytes, Place::Span(span));
    if let Some(items) = longest_list(result) {
        facts.add(&LARGEST_RESULT_ITEMS, items, Place::Span(span));
    }
    if !matches!(arguments.trim(), "" | "{}" | "null") {
        facts.add(&LARGEST_RESULT_ARGUMENTS, shortened(arguments.trim(), 100).trim_end_matches('…'), Place::Field(span, "tool.arguments"));
    }
}

/// The number of items in the longest list of a result.
fn longest_list(result: &str) -> Option<usize> {
    let records = records_in(result);
    let lists = records.iter().flat_map(|record| &record.fields).filter_map(|(_, value)| match value {
        FieldValue::List(items, _) => Some(*items),
        _ => None,
    });
    lists.chain(list_length(result)).max().filter(|items| *items > 1)
}

fn result_of(span: &Span) -> Option<(&Span, &str, &str, &str)> {
    let tool = span.tool.as_ref().filter(|tool| span.kind == SpanKind::Tool && !tool.name.is_empty())?;
    Some((span, tool.name.as_str(), tool.result.as_deref()?, tool.arguments.as_str()))
}
