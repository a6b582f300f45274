//! Facts of code that another participant of the conversation ran: how often it failed, how it begins, and the names that an earlier execution had printed.

use super::super::code_results::{Execution, execution_of};
use super::environment::{EXECUTED_CODE, EXECUTED_LANGUAGE};
use super::names::fact_names;
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::Span;

fact_names! {
    FAILED_EXECUTIONS = "failed_executions", Count, "the number of executions that failed";
    PRINTED_NAMES = "printed_names", Text, "the list that an earlier execution had printed";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(incident) = case.root.filter(|_| case.is(&["code_execution_error"])) else { return };
    if execution_of(incident.span).is_none() {
        return;
    }
    let executions: Vec<(usize, &Span, Execution<'_>)> =
        case.trace.spans.iter().enumerate().filter_map(|(index, span)| Some((index, span, execution_of(span)?))).collect();
    facts.add(&FAILED_EXECUTIONS, executions.iter().filter(|(.., execution)| execution.exit_code != 0).count(), Place::Trace);
    let before = case.trace.spans.get(..incident.index).unwrap_or_default();
    if let Some(writer) = before.iter().rev().find(|span| span.output.iter().any(|message| message.content.contains("```"))) {
        add_code(writer, facts);
    }
    let worked = executions.iter().rev().filter(|(index, _, execution)| *index < incident.index && execution.exit_code == 0);
    if let Some((span, names)) = worked.into_iter().find_map(|(_, span, execution)| Some((*span, printed_list(execution.text)?))) {
        facts.add(&PRINTED_NAMES, names, Place::Span(span));
    }
}

/// The language and the first line of the last block of code of a message.
fn add_code(writer: &Span, facts: &mut Facts) {
    let content =
        writer.output.iter().rev().map(|message| message.content.as_str()).find(|content| content.contains("```")).unwrap_or_default();
    let Some((_, block)) = content.split_once("```") else { return };
    let Some((language, code)) = block.split_once('\n') else { return };
    let language = language.trim();
    if !language.is_empty() && language.len() <= 20 && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+') {
        facts.add(&EXECUTED_LANGUAGE, language, Place::Span(writer));
    }
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with(['#', '`']);
    if let Some(line) = code.lines().map(str::trim).find(is_code) {
        facts.add(&EXECUTED_CODE, shortened(line, 120), Place::Span(writer));
    }
}

/// The names in an output that is one short list: `['order_id', 'qtr']`.
fn printed_list(text: &str) -> Option<String> {
    const OUTPUT_BYTES_MAX: usize = 400;
    let (_, output) =
        text.split_once("Code output:").or_else(|| text.split_once("Its output was:")).or_else(|| text.split_once("output:"))?;
    let list = output
        .trim()
        .strip_prefix("Index(")
        .map_or(output.trim(), |inner| inner.split(']').next().map_or(inner, |list| inner.get(..=list.len()).unwrap_or(inner)));
    let inner =
        list.strip_prefix('[')?.strip_suffix(']').filter(|inner| inner.len() <= OUTPUT_BYTES_MAX && !inner.contains(['[', '{', '\n']))?;
    let names: Vec<&str> = inner.split(',').map(|name| name.trim().trim_matches(['\'', '"'])).filter(|name| !name.is_empty()).collect();
    (names.len() > 1).then(|| shortened(&names.join(", "), 160))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_list_is_read() {
        for (text, expected) in [
            ("exitcode: 0 (execution succeeded)\nCode output: ['order_id', 'qtr', 'net']", Some("order_id, qtr, net")),
            ("exitcode: 0 (execution succeeded)\nCode output: Index(['a', 'b'], dtype='object')", Some("a, b")),
            ("exitcode: 0 (execution succeeded)\nCode output: 7", None),
            ("exitcode: 0 (execution succeeded)\nCode output: [[1, 2], [3, 4]]", None),
        ] {
            assert_eq!(printed_list(text).as_deref(), expected, "{text}");
        }
    }
}
