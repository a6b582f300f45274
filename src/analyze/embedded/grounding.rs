//! Whether the final answer of a run is backed by something in the trace: a tool result or a retrieved document with the same words.
//!
//! No analyzer without a source of truth can know whether a fluent answer is true. It can see where an answer repeats what a tool returned.

use std::collections::HashSet;

use super::answers;
use super::text::clip;
use super::tool_result;
use crate::model::{SpanKind, Trace};

/// The final answer of a run, and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grounding {
    /// No step recorded an answer.
    NoAnswer,
    /// Nothing in the trace backs the answer.
    NotBacked,
    /// A tool result or document contains words of the answer.
    Backed,
}

/// The grounding of the final answer. `failed` contains the indexes of the spans with an incident, whose results back nothing.
pub(super) fn of(trace: &Trace, failed: &HashSet<usize>) -> Grounding {
    /// The share of the answer's words that sources contain at least.
    const SHARE_MIN: f64 = 0.25;
    /// An answer of fewer words (`Done.`) says nothing that a source could back.
    const WORDS_MIN: usize = 3;
    let Some(answer) = final_answer(trace) else { return Grounding::NoAnswer };
    let answer = words(answer);
    let mut backed: HashSet<&String> = HashSet::new();
    for source in sources(trace, failed) {
        if answer.len() < WORDS_MIN {
            return Grounding::Backed;
        }
        let source = words(source);
        backed.extend(answer.iter().filter(|word| source.contains(*word)));
        #[expect(clippy::cast_precision_loss, reason = "words of an answer")]
        let share = backed.len() as f64 / answer.len() as f64;
        if share >= SHARE_MIN {
            return Grounding::Backed;
        }
    }
    Grounding::NotBacked
}

/// The text of the last answer of a model call, of an agent or of a chain, in this order.
fn final_answer(trace: &Trace) -> Option<&str> {
    let of_kind = |kind: SpanKind| {
        let mut spans = trace.spans.iter().rev().filter(move |span| span.kind == kind);
        spans.find_map(|span| span.output.iter().rev().find_map(answers::answer_of).map(|(text, _)| text))
    };
    let plain = || trace.spans.iter().find_map(|span| span.output_text.as_deref().filter(|text| !text.trim().is_empty()));
    [SpanKind::Llm, SpanKind::Agent, SpanKind::Chain].into_iter().find_map(of_kind).or_else(plain)
}

/// Results of tools that worked, retrieved documents, and results among the messages of the last model call, a bounded number of each. The messages
/// come last, because they must be read to know which of them are errors.
fn sources<'t>(trace: &'t Trace, failed: &'t HashSet<usize>) -> impl Iterator<Item = &'t str> {
    const SOURCES_MAX: usize = 500;
    let worked = trace.spans.iter().enumerate().filter(|(index, span)| !span.failed() && !failed.contains(index)).map(|(_, span)| span);
    let results = worked.filter_map(|span| span.tool.as_ref()?.result.as_deref());
    let documents = trace.spans.iter().filter_map(|span| span.documents.as_deref()).flatten().map(|document| document.content.as_str());
    // The last call has the whole history.
    let last = trace.spans.iter().rev().find(|span| span.kind == SpanKind::Llm && !span.input.is_empty());
    let messages = last.into_iter().flat_map(|span| &span.input).filter(|message| message.role == "tool");
    let messages = messages.map(|message| message.content.as_str()).take(SOURCES_MAX);
    let messages = messages.filter(|content| tool_result::error_in_result("", "", content).is_none());
    results.take(SOURCES_MAX).chain(documents.take(SOURCES_MAX)).chain(messages).filter(|text| !text.trim().is_empty())
}

/// The words of a text that carry facts: numbers, and words of five letters and more; of scripts without spaces, pairs of characters.
fn words(text: &str) -> HashSet<String> {
    const LETTERS_MIN: usize = 5;
    let mut found = HashSet::new();
    for word in clip(text).split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let has_digit = word.contains(|c: char| c.is_numeric());
        if word.chars().any(is_of_script_without_spaces) {
            let characters: Vec<char> = word.chars().collect();
            found.extend(characters.windows(2).map(|pair| pair.iter().collect::<String>()));
        } else if has_digit || word.chars().count() >= LETTERS_MIN {
            found.insert(word.to_lowercase());
        }
    }
    found
}

/// Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces.
fn is_of_script_without_spaces(c: char) -> bool {
    matches!(c, '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Document, Message, Span, ToolUse};

    fn answer(content: &str) -> Span {
        Span { kind: SpanKind::Llm, output: vec![Message { content: content.into(), ..Message::default() }], ..Span::default() }
    }

    fn result(text: &str) -> Span {
        let tool = ToolUse { result: Some(text.into()), ..ToolUse::default() };
        Span { kind: SpanKind::Tool, tool: Some(tool), ..Span::default() }
    }

    fn grounding(spans: Vec<Span>) -> Grounding {
        of(&Trace { spans, ..Trace::default() }, &HashSet::new())
    }

    #[test]
    fn an_answer_is_backed_by_a_result_or_document_with_its_words() {
        let order = || result(r#"{"order": "A-2210", "state": "shipped", "carrier": "Nordpost"}"#);
        assert_eq!(grounding(vec![order(), answer("Your order A-2210 was shipped with Nordpost.")]), Grounding::Backed);
        assert_eq!(
            grounding(vec![order(), answer("Capital cities usually attract visitors throughout summer months.")]),
            Grounding::NotBacked
        );
        assert_eq!(grounding(vec![order(), answer("Done.")]), Grounding::Backed);
        // An error that the answer repeats backs nothing.
        let error = result("Error: carrier Nordpost did not respond within 20 s");
        let trace = Trace { spans: vec![error, answer("The carrier Nordpost did not respond.")], ..Trace::default() };
        assert_eq!(of(&trace, &HashSet::from([0])), Grounding::NotBacked);
        assert_eq!(grounding(vec![answer("The capital of Australia is Canberra.")]), Grounding::NotBacked);
        let document = Document { content: "返品は30日以内に可能です".into(), ..Document::default() };
        let search = Span { kind: SpanKind::Retriever, documents: Some(vec![document]), ..Span::default() };
        assert_eq!(grounding(vec![search, answer("30日以内なら返品は可能です。")]), Grounding::Backed);
        assert_eq!(grounding(vec![order()]), Grounding::NoAnswer);
    }
}
