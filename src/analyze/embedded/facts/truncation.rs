//! Where an answer breaks that was cut at its token limit. `model_call` has the limit and what was used.

use super::names::fact_names;
use super::texts::model_call;
use super::{Case, Extractor, Facts, Place};
use crate::model::{Message, Span};

fact_names! {
    OUTPUT_BYTES = "output_bytes", Bytes, "the size of the answer";
    OUTPUT_BREAKS_INSIDE = "output_breaks_inside", Text, "what the end of the answer is part of";
    OUTPUT_ENDS_WITH = "output_ends_with", Text, "the last words of the answer";
    CUT_TOOL_CALL = "cut_tool_call", Text, "the tool whose call was cut";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if let Some(call) = model_call(case).filter(|_| case.is(&["output_truncated"])) {
        add_end(call, facts);
    }
}

/// Where the answer breaks off.
fn add_end(call: &Span, facts: &mut Facts) {
    /// Longer answers are not parsed.
    const PARSED_BYTES_MAX: usize = 1024 * 1024;
    let Some((index, answer)) = call.output.iter().enumerate().next_back() else { return };
    if let Some(cut) = answer.tool_calls.last().filter(|cut| is_unfinished_json(&cut.arguments)) {
        facts.add(&CUT_TOOL_CALL, &cut.name, Place::Field(call, &format!("output[{index}].tool_calls.name")));
        facts.add(&OUTPUT_BREAKS_INSIDE, "the arguments of a tool call", Place::Span(call));
        return;
    }
    let bytes: usize = [answer].into_iter().map(|message: &Message| message.content.len()).sum();
    facts.add(&OUTPUT_BYTES, bytes, Place::Span(call));
    if answer.content.trim().is_empty() {
        return;
    }
    if let Some(inside) = Some(answer.content.as_str()).filter(|text| text.len() <= PARSED_BYTES_MAX).and_then(broken_structure) {
        facts.add(&OUTPUT_BREAKS_INSIDE, inside, Place::Span(call));
    }
    facts.add(
        &OUTPUT_ENDS_WITH,
        last_words(&answer.content).trim_end_matches('.'),
        Place::Field(call, &format!("output[{index}].content")),
    );
}

fn is_unfinished_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_err_and(|error| error.is_eof())
}

/// What the end of a cut text is part of.
fn broken_structure(text: &str) -> Option<&'static str> {
    let fences = text.matches("```").count();
    let in_fence = !fences.is_multiple_of(2);
    let body = if in_fence { text.rsplit("```").next().and_then(|body| body.split_once('\n')).map_or("", |(_, body)| body) } else { text };
    if body.trim_start().starts_with(['{', '[']) {
        let error = serde_json::from_str::<serde::de::IgnoredAny>(body).err().filter(serde_json::Error::is_eof);
        if let Some(problem) = error.map(|error| error.to_string()) {
            return Some(match () {
                () if problem.starts_with("EOF while parsing a string") => "a JSON string",
                () if problem.starts_with("EOF while parsing a list") => "a JSON list",
                () => "a JSON object",
            });
        }
    }
    if in_fence {
        return Some("a code block");
    }
    let line = text.trim_end().lines().next_back()?.trim();
    match line.chars().next()? {
        '|' => Some("a table"),
        '-' | '*' | '•' if line.len() > 1 && !line.ends_with(['.', '!', '?', '*']) => Some("a list"),
        _ if line.ends_with(['.', '!', '?', '。', '！', '？', '"', '”', ')', '`']) => None,
        _ => Some("a sentence"),
    }
}

/// The last words of a text.
fn last_words(text: &str) -> &str {
    const CHARS: usize = 60;
    let text = text.trim_end();
    let Some((start, _)) = text.char_indices().rev().nth(CHARS) else { return text.trim_start() };
    let end = text.get(start..).unwrap_or(text);
    // Without a part of a word at the start, unless there is only one.
    end.split_once(char::is_whitespace).map_or(end, |(_, words)| words).trim_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_where_a_text_breaks_is_recognized() {
        for (text, expected) in [
            (r#"{"sku": "R2-AR"#, Some("a JSON string")),
            (r#"{"sku": "R2-AR", "n": 1"#, Some("a JSON object")),
            (r#"[{"sku": 1}, {"sku": 2}"#, Some("a JSON list")),
            ("Here it is:\n```json\n{\"a\": \"b", Some("a JSON string")),
            ("Here it is:\n```python\nprint(", Some("a code block")),
            ("| a | b |\n|---|---|\n| 1 | 2", Some("a table")),
            ("First:\n- take the", Some("a list")),
            ("First disconnect the power, then remove the four", Some("a sentence")),
            ("It is done.", None),
            ("これで終わりです。", None),
        ] {
            assert_eq!(broken_structure(text), expected, "{text}");
        }
    }

    #[test]
    fn the_last_words_are_whole() {
        assert_eq!(last_words("short"), "short");
        let long = "word ".repeat(40);
        assert!(last_words(&long).starts_with("word word") && last_words(&long).len() <= 60);
        assert_eq!(last_words(&"x".repeat(100)).len(), 61);
    }
}
