//! Facts of documents that were found and then dropped: the threshold, the best score, how many there were, and what a grader said.

use serde_json::Value;

use super::call::spans_before;
use super::find::{bare, capture, expressions};
use super::names::fact_names;
use super::retrieval::{BEST_SCORE, DOCUMENTS_FOUND, SCORE_THRESHOLD, WORST_SCORE};
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::{Span, SpanKind};

fact_names! {
    BEST_DOCUMENT = "best_document", Text, "the document with the best score";
    GRADER_ANSWER = "grader_answer", Text, "what the grader of the documents said";
}

/// The facts are added by `retrieval`, which knows the search.
pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add: |_, _| {} };

expressions! {
    THRESHOLD = r"(?i)(?:(?-u:\b)|_)(?:threshold|cut-?off|min(?:imum)?[_ -]?(?:score|similarity|relevance)(?:[_ -]score)?)(?: of| is| was|:| ?=| \(|\s){0,3} ?\(?['\x22]?(-?[0-9]{0,4}\.?[0-9]{1,8})(?-u:\b)|(?-u:\b)(?:scor[A-Za-z0-9_]{1,3}|similarit[A-Za-z0-9_]{1,3}|relevance) (?:was |is |were |all )?(?:below|under|less than|<|<=|above|over|>=|>) (-?[0-9]{0,4}\.[0-9]{1,8})(?-u:\b)";
    BEST = r"(?i)(?-u:\b)(?:best|top|highest|max(?:imum)?|closest)(?:[_ -](?:1|scor[A-Za-z0-9_]{1,3}|similarity|relevance|match|candidate|document|hit|result|chunk)){0,3}(?: was| is| of| at| only|:| ?=| \(|\s){0,3} ?\(?(-?[0-9]{0,4}\.[0-9]{1,8})(?-u:\b)";
    FOUND = r"(?i)(?-u:\b)(?:all|of|from|with|had|got|retrieved|found|filtered(?: out)?|dropped|rejected|discarded|removed|graded|[(,]) ?(?:all |the |out of )?([0-9]{1,5}) (?:retrieved |graded |candidate )?(?:candidates?|documents?|docs|results?|chunks?|passages?|nodes?|hits?|matches|contexts?)(?-u:\b)|(?-u:\b)([0-9]{1,5}) (?:candidates?|documents?|docs|chunks?|passages?|nodes?) (?:were |was )?(?:found|retrieved|graded|below|filtered|dropped|rejected|discarded)(?-u:\b)";
    VERDICT = r#"(?i)^\W{0,3}((?:not relevant|irrelevant|relevant|yes|no|true|false)(?-u:\b)[^\n]{0,40})|"(?:binary_score|score|relevant|is_relevant|grade|relevance)"\s{0,2}:\s{0,2}"?(yes|no|true|false|not relevant|irrelevant|relevant|[0-9.]{1,6})(?-u:\b)"#;
}

/// Adds what the error says about scores.
pub(super) fn add_of_text(text: &str, place: Place<'_>, facts: &mut Facts) {
    for (name, expression) in [(&SCORE_THRESHOLD, &THRESHOLD), (&BEST_SCORE, &BEST), (&DOCUMENTS_FOUND, &FOUND)] {
        if let Some(number) = capture(expression, text).map(bare).filter(|number| number.parse::<f64>().is_ok()) {
            facts.add(name, number, place);
        }
    }
}

/// A document in the output of a search that no convention describes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Listed {
    pub(super) id: Option<String>,
    pub(super) score: Option<f64>,
    pub(super) content: String,
}

/// The documents that the output of a step lists; `None` if it is no list of documents.
pub(super) fn listed_in(span: &Span) -> Option<Vec<Listed>> {
    const OUTPUT_BYTES_MAX: usize = 512 * 1024;
    const DOCUMENTS_MAX: usize = 200;
    let result = span.tool.as_ref().and_then(|tool| tool.result.as_deref());
    let text = result.or(span.output_text.as_deref()).map(str::trim).filter(|text| text.len() <= OUTPUT_BYTES_MAX)?;
    if !text.starts_with(['[', '{', '"']) {
        return None;
    }
    let mut value: Value = serde_json::from_str(text).ok()?;
    if let Value::String(inner) = &value {
        value = serde_json::from_str(inner).ok()?;
    }
    let items = match &value {
        Value::Array(items) => items,
        Value::Object(fields) => ["documents", "results", "hits", "matches", "nodes", "chunks", "items", "points"]
            .iter()
            .find_map(|key| fields.get(*key)?.as_array())?,
        _ => return None,
    };
    let documents: Vec<Listed> = items.iter().take(DOCUMENTS_MAX).filter_map(document).collect();
    (!documents.is_empty() && documents.len() == items.len().min(DOCUMENTS_MAX)).then_some(documents)
}

fn document(value: &Value) -> Option<Listed> {
    let fields = value.as_object()?;
    let fields_of = |key: &str| fields.get(key).and_then(Value::as_object);
    let text = |keys: &[&str]| {
        let direct = keys.iter().find_map(|key| fields.get(*key)).cloned();
        let inner = || {
            ["document", "metadata", "payload", "node", "_source"]
                .iter()
                .find_map(|key| keys.iter().find_map(|name| fields_of(key)?.get(*name)))
                .cloned()
        };
        direct.or_else(inner)
    };
    let score = text(&["score", "_score", "similarity", "relevance_score", "certainty", "rerank_score", "relevance"])
        .and_then(|score| score.as_f64());
    let content =
        text(&["text", "content", "page_content", "pageContent", "snippet", "chunk"]).and_then(|text| text.as_str().map(str::to_owned));
    let id = text(&["id", "_id", "doc_id", "document_id", "source", "title", "url"])
        .map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
    if score.is_none() && content.is_none() {
        return None;
    }
    Some(Listed { id, score, content: content.unwrap_or_default() })
}

/// Adds the number, the scores and the best of listed documents.
pub(super) fn add_listed(span: &Span, documents: &[Listed], facts: &mut Facts) {
    facts.add(&DOCUMENTS_FOUND, documents.len(), Place::Span(span));
    let scored = documents.iter().filter_map(|document| Some((document, document.score?))).filter(|(_, score)| score.is_finite());
    let (mut best, mut worst): (Option<(&Listed, f64)>, Option<f64>) = (None, None);
    for (document, score) in scored {
        if best.is_none_or(|(_, known)| score > known) {
            best = Some((document, score));
        }
        worst = Some(worst.map_or(score, |known| known.min(score)));
    }
    let Some((document, score)) = best else { return };
    facts.add(&BEST_SCORE, score, Place::Span(span));
    if let Some(worst) = worst.filter(|worst| *worst < score) {
        facts.add(&WORST_SCORE, worst, Place::Span(span));
    }
    if let Some(id) = &document.id {
        facts.add(&BEST_DOCUMENT, shortened(id, 80), Place::Span(span));
    }
}

/// Adds what a model that graded the documents said: a short verdict between the search and the failure.
pub(super) fn add_grader(case: &Case<'_, '_>, search: &Span, facts: &mut Facts) {
    const SPANS_READ_MAX: usize = 50;
    const VERDICT_BYTES_MAX: usize = 200;
    let is_after = |span: &&Span| search.ended_at_ns.is_none_or(|end| span.started_at_ns.is_none_or(|start| start >= end));
    let calls = spans_before(case).rev().take(SPANS_READ_MAX).filter(|span| span.kind == SpanKind::Llm).filter(is_after);
    let verdict = |span: &'_ Span| {
        let answer = span.output.last().map(|message| message.content.trim()).filter(|text| text.len() <= VERDICT_BYTES_MAX)?;
        capture(&VERDICT, answer).map(|verdict| bare(verdict).to_owned())
    };
    if let Some((span, verdict)) = calls.into_iter().find_map(|span| Some((span, verdict(span)?))) {
        facts.add(&GRADER_ANSWER, shortened(&verdict, 60), Place::Span(span));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_and_scores_are_read_from_errors() {
        for (text, threshold, best, found) in [
            ("no document above relevance threshold 0.55 (best 0.312, 5 candidates)", "0.55", "0.312", "5"),
            ("All 8 documents were below the similarity threshold of 0.7; top score: 0.41", "0.7", "0.41", "8"),
            ("No relevant docs were retrieved using the relevance score threshold 0.8", "0.8", "", ""),
            ("similarity_cutoff=0.75 removed all nodes", "0.75", "", ""),
            ("score_threshold=0.4: filtered out 12 chunks, highest similarity was 0.29", "0.4", "0.29", "12"),
            ("4 documents rejected by the grader", "", "", "4"),
            ("the threshold was too strict", "", "", ""),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            add_of_text(text, Place::Span(&span), &mut facts);
            let values = [&SCORE_THRESHOLD, &BEST_SCORE, &DOCUMENTS_FOUND].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(values, [threshold, best, found], "{text}");
        }
    }

    #[test]
    fn documents_are_read_from_any_list() {
        let of = |output: &str| listed_in(&Span { output_text: Some(output.into()), ..Span::default() });
        let found = of(r#"[{"id": "P-1", "score": 0.31, "text": "x"}, {"id": "P-2", "score": 0.2, "text": "y"}]"#).unwrap();
        let (span, mut facts) = (Span::default(), Facts::default());
        add_listed(&span, &found, &mut facts);
        let values = [&DOCUMENTS_FOUND, &BEST_SCORE, &WORST_SCORE, &BEST_DOCUMENT].map(|name| facts.get(name).unwrap_or_default());
        assert_eq!(values, ["2", "0.31", "0.2", "P-1"]);
        assert_eq!(of(r#"{"matches": [{"id": "a", "score": 0.9, "metadata": {"text": "t"}}]}"#).unwrap().len(), 1);
        for other in [r#"[{"bin": "A", "qty": 1}]"#, "[]", "plain", r#"{"total": 0}"#] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
