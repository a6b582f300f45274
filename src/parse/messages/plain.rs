//! Inputs and outputs of model calls that are text instead of messages, in the envelopes of SDKs whose models complete a prompt.
//!
//! | source | shape |
//! |---|---|
//! | LangChain's LLMs, DSPy | `["text", …]` |
//! | Haystack's generators | `{"prompt": "text"}` and `{"replies": ["text"], "meta": [{"finish_reason": "stop"}]}` |
//! | Google's SDK | `{"model": "…", "contents": "text"}` |
//! | CrewAI, LlamaIndex | `{"messages": "text"}`, `{"prompt": "text", "formatted": false}` |
//! | speech to text, Bedrock Titan | `{"text": "…"}`, `{"results": [{"outputText": "…"}]}` |

use crate::limits::SPAN_ITEMS_MAX;
use crate::model::Message;
use crate::parse::value::Value;

/// The fields with the prompt of a request.
const PROMPT_KEYS: [&str; 12] =
    ["prompt", "prompts", "contents", "messages", "message", "input", "inputs", "text", "query", "question", "user_prompt", "inputText"];
/// The fields with the text of a response.
const ANSWER_KEYS: [&str; 13] = [
    "replies",
    "text",
    "texts",
    "content",
    "answer",
    "output",
    "outputs",
    "response",
    "completion",
    "generation",
    "output_text",
    "outputText",
    "results",
];

/// The prompt of a request as messages of the user; none if there is no prompt in text.
pub(in crate::parse) fn prompt(tree: &Value<'_>) -> Vec<Message> {
    messages("user", tree, &PROMPT_KEYS)
}

/// The text of a response as messages of the assistant; none if it is no text.
pub(in crate::parse) fn answer(tree: &Value<'_>) -> Vec<Message> {
    messages("assistant", tree, &ANSWER_KEYS)
}

fn messages(role: &str, tree: &Value<'_>, keys: &[&str]) -> Vec<Message> {
    let texts = match tree {
        Value::Map(_) => keys.iter().map(|key| texts_in(tree.get(key), keys)).find(|texts| !texts.is_empty()).unwrap_or_default(),
        list => texts_in(list, keys),
    };
    let message = |text: String| Message { role: role.to_owned(), content: text, ..Message::default() };
    texts.into_iter().map(message).take(SPAN_ITEMS_MAX + 1).collect()
}

/// A text, or the texts of a list of nothing else.
fn texts_in(value: &Value<'_>, keys: &[&str]) -> Vec<String> {
    let text_of = |item: &Value<'_>| item.as_str().or_else(|| item.first(keys).as_str()).map(str::to_owned);
    match value {
        Value::Text(text) => vec![text.to_string()],
        Value::List(items) => items.iter().map(text_of).collect::<Option<Vec<_>>>().unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(messages: &[Message]) -> Vec<(&str, &str)> {
        messages.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect()
    }

    #[test]
    fn prompts_and_answers_in_text_become_messages() {
        for text in [
            r#"["hi"]"#,
            r#"{"prompt":"hi","formatted":false}"#,
            r#"{"model":"m","contents":"hi"}"#,
            r#"{"contents":["hi"]}"#,
            r#"{"messages":"hi"}"#,
        ] {
            assert_eq!(contents(&prompt(&Value::parse(text).unwrap())), [("user", "hi")], "{text}");
        }
        for text in
            [r#"["ok"]"#, r#"{"replies":["ok"],"meta":[{}]}"#, r#"{"text":"ok"}"#, r#"{"results":[{"outputText":"ok","tokenCount":1}]}"#]
        {
            assert_eq!(contents(&answer(&Value::parse(text).unwrap())), [("assistant", "ok")], "{text}");
        }
        for text in [r#"{"verdict":"late"}"#, r#"[1, "x"]"#, "[]"] {
            assert!(answer(&Value::parse(text).unwrap()).is_empty(), "{text}");
        }
    }
}
