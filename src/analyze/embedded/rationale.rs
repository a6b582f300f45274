//! Says in words what decided a verdict about a step: the signs of the error, and the layer that knows them.

use super::diagnosis::{Diagnosis, Layer};
use super::facts::shortened;
use super::incident::Incident;
use super::signals::Signal;
use super::text::message_of;

/// Signs that are named.
const SIGNS_MAX: usize = 4;

/// Characters of the words of an error that are quoted.
const WORDS_CHARS_MAX: usize = 60;

/// `Recognized by the error type RateLimitError, HTTP 429 and the words "rate limit" (rule provider-rate-limited).`
pub(super) fn of_step(diagnosis: &Diagnosis<'_>, incident: &Incident<'_>) -> String {
    let signs = listed(&signs(diagnosis, incident));
    let id = &diagnosis.rule.id;
    match diagnosis.layer {
        Layer::Rule => format!("Recognized by {signs} (rule {id})."),
        Layer::Catalogue(_) => format!("Recognized by {signs}, which the catalogue of errors knows."),
        Layer::Status => format!("Recognized by {signs}."),
        Layer::TextModel => {
            format!("Recognized by its words, which are most like those of {} errors. Recorded: {signs}.", diagnosis.label.factor())
        }
        Layer::CatchAll => format!("No rule for a specific cause matched; {id} covers what is left. Recorded: {signs}."),
    }
}

/// What the step shows: its signals, and the words that the rule matched.
fn signs(diagnosis: &Diagnosis<'_>, incident: &Incident<'_>) -> Vec<String> {
    let mut signs: Vec<String> = Vec::new();
    for sign in diagnosis.signal.iter().chain(&incident.signals).map(words_of) {
        if !signs.contains(&sign) {
            signs.push(sign);
        }
    }
    signs.truncate(SIGNS_MAX);
    if diagnosis.layer == Layer::Rule {
        let matched = incident.texts.iter().find_map(|(_, text)| {
            let message = message_of(text);
            message.get(diagnosis.rule.matched_range(message)?)
        });
        let words = matched.map(|words| shortened(&words.split_whitespace().collect::<Vec<_>>().join(" "), WORDS_CHARS_MAX));
        signs.extend(words.filter(|words| !words.is_empty()).map(|words| format!("the words {words:?}")));
    }
    signs
}

/// A signal in words: `http_status=429` is "HTTP 429".
fn words_of(signal: &Signal) -> String {
    let (name, value) = signal.text.split_once('=').unwrap_or((signal.text.as_str(), ""));
    match name {
        "error_type" => format!("the error type {value}"),
        "error_class" => format!("the error class {value}"),
        "error_code" => format!("the error code {value}"),
        "http_status" => format!("HTTP {value}"),
        "rpc_status" => format!("the RPC status {value}"),
        "db_status" => format!("the database status {value}"),
        "exit_code" => format!("the exit code {value}"),
        "finish_reason" => format!("the finish reason {value}"),
        "tool_offered" => "a call of a tool that the model was not offered".to_owned(),
        "arguments" => "arguments that end in the middle of their JSON".to_owned(),
        "answer_ends" => "an answer that ends inside a JSON string".to_owned(),
        "answer_written_by" => "an answer that software wrote instead of the model".to_owned(),
        "error_in_tool_result" => "an error in the result of the tool".to_owned(),
        "refusal_field" => "the refusal that the provider recorded".to_owned(),
        "refusal_text" => "the words of a refusal".to_owned(),
        "retrieved_documents" => "a search without documents".to_owned(),
        "best_document_score" => format!("the best score {value}"),
        "question_words_in_documents" => format!("{} words of the question in the documents", value.replace('/', " of ")),
        "output_characters" => "an answer without characters".to_owned(),
        "output_tokens" => format!("{value} output tokens"),
        "page" => "a page that checks for robots".to_owned(),
        "run_ends" => "a run that ends with a tool call".to_owned(),
        "span_status" => "the error status of the step".to_owned(),
        name if name.starts_with("tool_called_") => "the same call, repeated with the same arguments".to_owned(),
        _ => format!("{name} {value}").trim().to_owned(),
    }
}

/// `a, b and c`; "the text" if there is nothing.
fn listed(signs: &[String]) -> String {
    match signs.split_last() {
        None => "the text of the error".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::incidents;
    use super::super::tree::SpanTree;
    use super::*;
    use crate::analyze::embedded::diagnosis::Knowledge;
    use crate::model::{Span, SpanKind, Status, Trace};
    use crate::runtime::Deadline;

    fn rationale(span: Span) -> String {
        let trace = Trace { spans: vec![span], ..Trace::default() };
        let found = incidents::find(&trace, &SpanTree::new(&trace), Deadline::after(std::time::Duration::from_mins(1))).unwrap();
        let knowledge = Knowledge::shipped().unwrap();
        of_step(&knowledge.diagnose(&found[0]).unwrap(), &found[0])
    }

    #[test]
    fn a_rationale_names_the_signs_in_words() {
        let failed = |kind, message: &str| Span { kind, status: Status::Error, status_message: Some(message.into()), ..Span::default() };
        assert_eq!(
            rationale(failed(SpanKind::Llm, "RateLimitError: Error code: 429 - Rate limit reached for gpt-4o")),
            "Recognized by the error type RateLimitError, HTTP 429 and the words \"RateLimit\" (rule provider-rate-limited)."
        );
        let finish = Span { kind: SpanKind::Llm, finish_reasons: vec!["length".into()], ..Span::default() };
        assert_eq!(rationale(finish), "Recognized by the finish reason length (rule output-truncated).");
        let vague = rationale(failed(SpanKind::Chain, "something odd"));
        assert!(vague.ends_with("Recorded: the error status of the step."), "{vague}");
    }

    #[test]
    fn every_signal_of_the_detectors_has_words() {
        // A detector that adds a signal without words would print its internal name.
        let sources = ["incidents.rs", "tool_incidents.rs", "signals.rs", "searches.rs", "canned_answers.rs", "diagnosis.rs"];
        for file in sources {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/analyze/embedded").join(file);
            let text = std::fs::read_to_string(path).unwrap();
            for rest in text.split("Signal::new(\"").skip(1) {
                let name = rest.split('"').next().unwrap();
                let words = words_of(&Signal { text: format!("{name}=x"), field: None });
                assert!(!words.contains(name) || !name.contains('_'), "{file}: {name}");
            }
        }
    }
}
