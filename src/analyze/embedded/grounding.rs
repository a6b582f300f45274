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

/// The share of the answer's words that sources contain at least.
const SHARE_MIN: f64 = 0.25;

/// An answer of fewer words (`Done.`) says nothing that a source could back.
const WORDS_MIN: usize = 3;

/// The grounding of the final answer in the words of tool results and documents. `failed` contains the indexes of the spans with an incident, whose
/// results back nothing.
pub(super) fn of(trace: &Trace, failed: &HashSet<usize>) -> Grounding {
    let Some(answer) = final_answer(trace) else { return Grounding::NoAnswer };
    let answer = words(answer);
    let mut backed: HashSet<&String> = HashSet::new();
    for source in sources(trace, failed) {
        if answer.len() < WORDS_MIN {
            return Grounding::Backed;
        }
        let source = words(source);
        backed.extend(answer.iter().filter(|word| source.contains(*word)));
        if share(backed.len(), answer.len()) >= SHARE_MIN {
            return Grounding::Backed;
        }
    }
    Grounding::NotBacked
}

/// What a comparison of the final answer with the whole trace says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// No step recorded an answer.
    NoAnswer,
    /// The trace has sources in the script of the answer, and neither they nor the prompt have its numbers or ids.
    Unsupported,
    /// There is nothing to compare: no source, no number or id in the answer, or another language.
    NotComparable,
    /// A tool result, a document or, without any, the prompt contains words, numbers or ids of the answer.
    Supported,
}

/// Compares the final answer with results, documents and prompts: a claim that nothing backs it needs more than that its words are others.
pub(super) fn compared(trace: &Trace, failed: &HashSet<usize>) -> Comparison {
    /// The share of its numbers and ids.
    const NUMBERS_SHARE_MIN: f64 = 0.5;
    let Some(text) = final_answer(trace) else { return Comparison::NoAnswer };
    let answer = words(text);
    let numbers: HashSet<String> = numbers(text);
    let (mut words_backed, mut numbers_backed): (HashSet<&String>, HashSet<&String>) = (HashSet::new(), HashSet::new());
    let (mut any_source, mut any_in_script) = (false, false);
    for source in sources(trace, failed) {
        any_source = true;
        if answer.len() < WORDS_MIN {
            return Comparison::Supported;
        }
        any_in_script |= is_in_script_of(source, text);
        let words = words(source);
        words_backed.extend(answer.iter().filter(|word| words.contains(*word)));
        numbers_backed.extend(numbers.iter().filter(|number| words.contains(*number) || has_number(source, number)));
        let has_numbers = numbers.len() > 1 && share(numbers_backed.len(), numbers.len()) >= NUMBERS_SHARE_MIN;
        if share(words_backed.len(), answer.len()) >= SHARE_MIN || has_numbers {
            return Comparison::Supported;
        }
    }
    let prompts: Vec<&str> = prompts(trace).collect();
    let in_prompt = numbers.iter().any(|number| prompts.iter().any(|prompt| has_number(prompt, number)));
    if !any_source {
        let prompted: HashSet<String> = prompts.iter().flat_map(|prompt| words(prompt)).collect();
        let repeated = answer.iter().filter(|word| prompted.contains(*word)).count();
        // A question repeats itself in its answer; a text to be summarized has most of it.
        let is_from_prompt = answer.len() >= WORDS_MIN && share(repeated, answer.len()) >= NUMBERS_SHARE_MIN;
        return if is_from_prompt { Comparison::Supported } else { Comparison::NotComparable };
    }
    if numbers.is_empty() || !any_in_script || in_prompt || !numbers_backed.is_empty() {
        return Comparison::NotComparable;
    }
    Comparison::Unsupported
}

#[expect(clippy::cast_precision_loss, reason = "words of an answer")]
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Whether a source has words of the script that the answer is mostly written in.
fn is_in_script_of(source: &str, answer: &str) -> bool {
    let is_latin = |text: &str| {
        let (mut latin, mut other) = (0_usize, 0_usize);
        for c in clip(text).chars().filter(|c| c.is_alphabetic()) {
            // Up to Latin Extended Additional, without Greek and what follows.
            if c < '\u{0370}' || ('\u{1E00}'..='\u{1EFF}').contains(&c) { latin += 1 } else { other += 1 }
        }
        latin >= other
    };
    is_latin(source) == is_latin(answer)
}

/// The numbers and ids of an answer: words with a digit. Those of one or two characters occur anywhere.
fn numbers(answer: &str) -> HashSet<String> {
    const CHARS_MIN: usize = 3;
    const NUMBERS_MAX: usize = 40;
    let has_digit = |word: &str| word.contains(|c: char| c.is_ascii_digit());
    let split = clip(answer).split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | ',' | '-' | '_')));
    let words = split.map(|word| word.trim_matches(['.', ',', '-', '_']).to_lowercase());
    words.filter(|word| word.len() >= CHARS_MIN && has_digit(word)).take(NUMBERS_MAX).collect()
}

/// Whether a text has a number, perhaps with other separators: `4590` is `4,590.00`.
fn has_number(text: &str, number: &str) -> bool {
    let digits = |text: &str| text.chars().filter(|c| !matches!(c, ',' | '.' | '\'' | ' ')).collect::<String>().to_lowercase();
    let text = clip(text);
    let without_fraction = number.strip_suffix(".00").or_else(|| number.strip_suffix(",00")).unwrap_or(number);
    text.to_lowercase().contains(number) || digits(text).contains(&digits(without_fraction))
}

/// The messages of people and of the system that the model calls got.
fn prompts(trace: &Trace) -> impl Iterator<Item = &str> {
    const PROMPTS_MAX: usize = 50;
    let calls = trace.spans.iter().filter(|span| span.kind == SpanKind::Llm);
    let messages = calls.flat_map(|span| &span.input).filter(|message| matches!(message.role.as_str(), "user" | "system" | "developer"));
    let plain = trace.spans.iter().filter_map(|span| span.input_text.as_deref());
    messages.map(|message| message.content.as_str()).take(PROMPTS_MAX).chain(plain.take(PROMPTS_MAX))
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

    fn comparison(spans: Vec<Span>) -> Comparison {
        compared(&Trace { spans, ..Trace::default() }, &HashSet::new())
    }

    #[test]
    fn an_answer_is_backed_by_a_result_or_document_with_its_words() {
        let order = || result(r#"{"order": "A-2210", "state": "shipped", "carrier": "Nordpost"}"#);
        assert_eq!(grounding(vec![order(), answer("Your order A-2210 was shipped with Nordpost.")]), Grounding::Backed);
        assert_eq!(
            grounding(vec![order(), answer("Capital cities usually attract visitors throughout summer months.")]),
            Grounding::NotBacked
        );
        let plain = answer("Capital cities usually attract visitors throughout summer months.");
        assert_eq!(comparison(vec![order(), plain]), Comparison::NotComparable);
        assert_eq!(comparison(vec![order(), answer("Order B-9931 arrives on 14 March in Lisbon.")]), Comparison::Unsupported);
        assert_eq!(grounding(vec![order(), answer("Done.")]), Grounding::Backed);
        // An error that the answer repeats backs nothing.
        let error = result("Error: carrier Nordpost did not respond within 20 s");
        let trace = Trace { spans: vec![error, answer("The carrier Nordpost did not respond.")], ..Trace::default() };
        assert_eq!(of(&trace, &HashSet::from([0])), Grounding::NotBacked);
        assert_eq!(grounding(vec![answer("The capital of Australia is Canberra.")]), Grounding::NotBacked);
        assert_eq!(comparison(vec![answer("The capital of Australia is Canberra.")]), Comparison::NotComparable);
        let document = Document { content: "返品は30日以内に可能です".into(), ..Document::default() };
        let search = Span { kind: SpanKind::Retriever, documents: Some(vec![document]), ..Span::default() };
        assert_eq!(grounding(vec![search, answer("30日以内なら返品は可能です。")]), Grounding::Backed);
        assert_eq!(grounding(vec![order()]), Grounding::NoAnswer);
    }
    #[test]
    fn numbers_and_ids_back_an_answer_in_other_words() {
        let refund = || result(r#"{"status": "accepted", "amount_eur": 4590.0, "reference": "rf_77"}"#);
        assert_eq!(comparison(vec![refund(), answer("Listo: le devolvimos 4.590,00 EUR con la referencia rf_77.")]), Comparison::Supported);
        // Another script, whose words a source cannot have.
        assert_eq!(
            comparison(vec![refund(), answer("返金の手続きが完了しました。ご確認ください。12日かかります。")]),
            Comparison::NotComparable
        );
        // The prompt has the number.
        let asked = Message { role: "user".into(), content: "Is 250 EUR too much?".into(), ..Message::default() };
        let asking = Span { input: vec![asked], ..answer("No, 250 EUR seems fair considering everything.") };
        assert_eq!(comparison(vec![refund(), asking]), Comparison::NotComparable);
        // A summary of the prompt.
        let text = "Exports fail since Monday. Twelve customers wrote about exports, seven about single sign-on.";
        let asked = Message { role: "user".into(), content: text.into(), ..Message::default() };
        let summary = Span { input: vec![asked], ..answer("Exports fail since Monday; customers wrote about exports.") };
        assert_eq!(comparison(vec![summary]), Comparison::Supported);
    }
}
