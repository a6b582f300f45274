//! Searches of a knowledge base that are tools, and what it means that they find nothing.
//!
//! Many agents search their documents with a tool. If every such search of a run finds nothing, its answer has no source, as after a retriever
//! without documents. An empty result of other tools is an answer: `search_flights` returns `[]` if there is no flight.
//!
//! | tool and result | |
//! |---|---|
//! | `search_policies` returns `{"results": []}` | found nothing |
//! | `faq_lookup` returns `No matching articles.` | found nothing |
//! | `search_flights` returns `[]` | an answer |
//! | `search_policies` returns `{"results": [], "error": "timeout"}` | a failure, which is another incident |

use super::tool_nature::words_of;
use crate::model::{Span, SpanKind, Trace};

/// Whether the searches of a run, retrievers included, found anything.
pub(super) fn any_search_found(trace: &Trace) -> bool {
    trace.spans.iter().any(|span| match span.kind {
        SpanKind::Retriever => span.documents.as_ref().is_some_and(|documents| !documents.is_empty()),
        SpanKind::Tool => is_search(span) && result_of(span).is_some_and(|result| !is_empty_result(result)),
        _ => false,
    })
}

/// Whether the span is a search of a knowledge base that found nothing.
pub(super) fn found_nothing(span: &Span) -> bool {
    span.kind == SpanKind::Tool && is_search(span) && result_of(span).is_some_and(is_empty_result)
}

fn result_of(span: &Span) -> Option<&str> {
    span.tool.as_ref()?.result.as_deref()
}

/// Whether the name of the tool says that it searches documents.
fn is_search(span: &Span) -> bool {
    const SOURCES: [&str; 24] = [
        "article",
        "articles",
        "doc",
        "docs",
        "document",
        "documents",
        "documentation",
        "faq",
        "faqs",
        "guide",
        "guides",
        "handbook",
        "help",
        "kb",
        "knowledge",
        "leaflet",
        "leaflets",
        "manual",
        "manuals",
        "passages",
        "policies",
        "policy",
        "rag",
        "wiki",
    ];
    const VERBS: [&str; 4] = ["retrieve", "retriever", "retrieval", "search"];
    let Some(tool) = &span.tool else { return false };
    let words: Vec<String> = words_of(&tool.name);
    let is_only_verb = words.iter().all(|word| VERBS.contains(&word.as_str()));
    !words.is_empty() && (is_only_verb || words.iter().any(|word| SOURCES.contains(&word.as_str())))
}

/// Whether a result is an empty list, an object whose lists are all empty, or a short sentence that says so.
fn is_empty_result(result: &str) -> bool {
    const RESULT_BYTES_MAX: usize = 2_000;
    const SENTENCES: [&str; 9] =
        ["no results", "no result ", "no matching", "no matches", "no hits", "no documents", "no relevant", "no articles", "nothing found"];
    /// A longer sentence says more than that nothing was found.
    const SENTENCE_BYTES_MAX: usize = 120;
    let result = result.trim();
    if result.len() > RESULT_BYTES_MAX {
        return false;
    }
    match serde_json::from_str::<serde_json::Value>(result) {
        Ok(serde_json::Value::Array(items)) => items.is_empty(),
        Ok(serde_json::Value::Object(fields)) => {
            let has_error = fields.iter().any(|(key, value)| key.contains("error") && !value.is_null());
            let mut lists = fields.values().filter_map(serde_json::Value::as_array).peekable();
            !has_error && lists.peek().is_some() && lists.all(Vec::is_empty)
        }
        Ok(serde_json::Value::String(text)) => text != result && is_empty_result(&text),
        _ => {
            let sentence = result.to_lowercase();
            sentence.len() <= SENTENCE_BYTES_MAX && SENTENCES.iter().any(|start| sentence.starts_with(start))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ToolUse;

    fn search(name: &str, result: &str) -> Span {
        let tool = ToolUse { name: name.into(), result: Some(result.into()), ..ToolUse::default() };
        Span { kind: SpanKind::Tool, tool: Some(tool), ..Span::default() }
    }

    #[test]
    fn a_search_of_documents_that_returns_nothing_found_nothing() {
        for (name, result) in [
            ("search_policies", r#"{"results": []}"#),
            ("searchHelpArticles", "[]"),
            ("faq_lookup", "No matching articles."),
            ("search", r#"{"hits": [], "total": 0}"#),
            ("knowledge-base.query", "\"[]\""),
        ] {
            assert!(found_nothing(&search(name, result)), "{name} {result}");
        }
        for (name, result) in [
            ("search_flights", "[]"),
            ("search_policies", r#"{"results": [{"text": "30 days"}]}"#),
            ("search_policies", r#"{"results": [], "error": "timeout"}"#),
            ("search_policies", "{}"),
            ("get_document", "Section 4: no results are final before the audit."),
        ] {
            assert!(!found_nothing(&search(name, result)), "{name} {result}");
        }
    }

    #[test]
    fn one_search_that_found_something_is_enough() {
        let trace =
            |results: &[&str]| Trace { spans: results.iter().map(|result| search("search_docs", result)).collect(), ..Trace::default() };
        assert!(any_search_found(&trace(&["[]", r#"[{"text": "30 days"}]"#])));
        assert!(!any_search_found(&trace(&["[]", "[]"])));
    }
}
