//! Facts of a search for documents: the query, how many were asked for and found, filters, scores, the index, and how many words of the question occur in
//! the documents.

use std::collections::HashSet;

use serde_json::Value;

use super::super::byte_regex::ByteRegex;
use super::super::text::clip;
use super::names::fact_names;
use super::{Case, Extractor, Facts, Place, shortened};
use super::{filters, relevance, retrieval_wordings};
use crate::model::{Span, SpanKind};

fact_names! {
    QUERY = "query", Text, "the query of the search";
    DOCUMENTS_FOUND = "documents_found", Count, "the number of documents that were found";
    TOP_K = "top_k", Count, "the number of documents that were asked for";
    FILTERS = "filters", Text, "the filters of the search";
    FILTER_CONDITIONS = "filter_conditions", Text, "the conditions of the filters, as field and value";
    SCORE_THRESHOLD = "score_threshold", Number, "the score below which documents are dropped";
    BEST_SCORE = "best_score", Number, "the best score";
    WORST_SCORE = "worst_score", Number, "the lowest score";
    INDEX_NAME = "index_name", Text, "the index or collection that was searched";
    NAMESPACE = "index_namespace", Text, "the namespace of the index";
    STORE = "vector_store", Text, "the vector store or search engine";
    QUERY_WORDS = "query_words", Count, "the number of words of the query";
    QUERY_WORDS_FOUND = "query_words_found", Count, "how many words of the query occur in the documents";
    SEARCH_ERROR = "search_error", Text, "the message of the search";
    DIMENSIONS = "embedding_dimensions", Text, "the dimensions of the query and of the index";
    QUERY_MODEL = "query_embedding_model", Text, "the model that embedded the query";
    OTHER_QUERIES = "other_queries", Text, "the queries of the other searches that failed";
    FAILED_SEARCHES = "failed_searches", Count, "the number of searches that failed or found nothing";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

const TEXT_CHARS_MAX: usize = 120;

/// Characters of a query in a fact, which is quoted in titles.
const QUERY_CHARS_MAX: usize = 80;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let is_search = case.is(&["empty_retrieval", "irrelevant_retrieval", "retriever_error", "stale_source"]);
    let Some((incident, span)) = case.root.zip(case.span()).filter(|_| is_search) else { return };
    // What a grader or a threshold dropped, another step had found.
    let search = if case.is(&["retriever_error"]) { None } else { judged_search(case, span) };
    let is_judged = search.is_some();
    let search = search.unwrap_or(span);
    add_query(search, facts);
    if is_judged {
        for (field, text) in case.messages() {
            relevance::add_of_text(text, Place::Field(span, field), facts);
        }
    }
    if let Some(documents) = search.documents.as_deref().filter(|_| !case.is(&["retriever_error"])) {
        facts.add(&DOCUMENTS_FOUND, documents.len(), Place::Span(search));
        add_scores(search, facts);
        add_shared_words(search, facts);
    } else if let Some(listed) = relevance::listed_in(search).filter(|_| is_judged) {
        relevance::add_listed(search, &listed, facts);
        let contents: Vec<&str> = listed.iter().map(|document| document.content.as_str()).collect();
        add_words_shared_with(search, &contents, facts);
    }
    if case.is(&["irrelevant_retrieval"]) {
        relevance::add_grader(case, search, facts);
    }
    // The call of the store may have a span of its own, below the retriever or around it.
    let index =
        if is_judged { case.trace.spans.iter().position(|other| std::ptr::eq(other, search)) } else { None }.unwrap_or(incident.index);
    let below = case.tree.children(index).iter().filter_map(|child| case.trace.spans.get(*child)).take(8);
    let around = case.tree.parent(index).and_then(|parent| case.trace.spans.get(parent));
    let around = around.filter(|span| matches!(span.kind, SpanKind::Retriever | SpanKind::Tool));
    for source in std::iter::once(search).chain(below).chain(around).chain(is_judged.then_some(span)) {
        add_settings(source, facts);
    }
    for (field, text) in case.messages().filter(|_| case.is(&["irrelevant_retrieval"])) {
        // `best score 0.131 < 0.35`
        static BEST_BELOW: ByteRegex = ByteRegex::new(
            r"(?i)(?:score|similarity|relevance)[ :=]{1,3}(?:of |was |is )?(-?[0-9]{1,3}\.[0-9]{1,8}),? ?(?:<=?|(?:is |was )?(?:below|under|less than))(?: the)?(?: threshold| minimum| cut-?off)?(?: of)? ?(-?[0-9]{1,3}(?:\.[0-9]{1,8})?)(?-u:\b)",
        );
        if let Some(captures) = BEST_BELOW.captures(text)
            && let Some((best, threshold)) = captures.get(1).zip(captures.get(2))
        {
            facts.add(&BEST_SCORE, best.as_str(), Place::Field(span, field));
            facts.add(&SCORE_THRESHOLD, threshold.as_str(), Place::Field(span, field));
        }
    }
    for (field, text) in case.messages().filter(|_| case.is(&["retriever_error"])) {
        let place = Place::Field(span, field);
        if let Some(line) = text.lines().map(str::trim).find(|line| line.contains(char::is_alphanumeric)) {
            facts.add(&SEARCH_ERROR, shortened(line.trim_end_matches(['.', ' ']), TEXT_CHARS_MAX), place);
        }
        retrieval_wordings::add(text, place, facts);
    }
    add_query_elsewhere(case, search, facts);
    if let Some((model, span)) = embedding_before(case, search).and_then(|span| Some((span.model.as_deref()?, span))) {
        facts.add(&QUERY_MODEL, model, Place::Field(span, "model"));
    }
    add_other_searches(case, search, facts);
}

/// The search whose documents the failed step judged: the last one before it that returned documents, or before a step that does not search itself.
fn judged_search<'t>(case: &Case<'_, 't>, failed: &'t Span) -> Option<&'t Span> {
    const SPANS_READ_MAX: usize = 200;
    if failed.documents.is_some() || relevance::listed_in(failed).is_some() {
        return None;
    }
    let has_documents = |span: &&Span| {
        let is_search = matches!(span.kind, SpanKind::Retriever) || is_named_search(&span.name);
        span.documents.as_ref().is_some_and(|documents| !documents.is_empty()) || (is_search && relevance::listed_in(span).is_some())
    };
    super::call::spans_before(case).rev().take(SPANS_READ_MAX).find(has_documents)
}

/// Whether the name of a step says that it searches.
fn is_named_search(name: &str) -> bool {
    const WORDS: [&str; 9] = ["search", "retriev", "query", "lookup", "vector", "similarity", "find_doc", "fetch_doc", "knn"];
    let name = name.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word))
}

/// The query from the step around the search, or from the call that embedded it.
fn add_query_elsewhere(case: &Case<'_, '_>, search: &Span, facts: &mut Facts) {
    const ANCESTORS_READ_MAX: usize = 3;
    if facts.has(&QUERY) {
        return;
    }
    let index = case.trace.spans.iter().position(|span| std::ptr::eq(span, search)).unwrap_or(0);
    let ancestors = case.tree.self_and_ancestors(index).skip(1).take(ANCESTORS_READ_MAX).filter_map(|index| case.trace.spans.get(index));
    for span in ancestors.filter(|span| matches!(span.kind, SpanKind::Retriever | SpanKind::Tool)) {
        add_query(span, facts);
    }
    if let Some(span) = embedding_before(case, search).filter(|_| !facts.has(&QUERY)) {
        add_query(span, facts);
    }
}

/// The last embedding call that ended before the search, or the one inside of it.
fn embedding_before<'t>(case: &Case<'_, 't>, search: &Span) -> Option<&'t Span> {
    let is_before =
        |span: &&Span| search.ended_at_ns.or(search.started_at_ns).is_none_or(|end| span.started_at_ns.is_none_or(|start| start <= end));
    case.trace.spans.iter().filter(|span| span.kind == SpanKind::Embedding).rfind(is_before)
}

/// How many searches failed alike, and with which other queries.
fn add_other_searches(case: &Case<'_, '_>, search: &Span, facts: &mut Facts) {
    const QUERIES_MAX: usize = 3;
    let is_search = |span: &Span| span.kind == search.kind && span.name == search.name;
    let failed: Vec<&Span> = case.incidents.iter().map(|incident| incident.span).filter(|span| is_search(span)).take(50).collect();
    if failed.len() > 1 {
        facts.add(&FAILED_SEARCHES, failed.len(), Place::Trace);
    }
    let own = facts.get(&QUERY).map(str::to_owned);
    let mut queries: Vec<String> = Vec::new();
    for span in failed {
        let mut of_span = Facts::default();
        add_query(span, &mut of_span);
        if let Some(query) =
            of_span.get(&QUERY).filter(|query| own.as_deref() != Some(*query) && queries.iter().all(|known| known != query))
        {
            queries.push(query.to_owned());
        }
    }
    if own.is_some() && !queries.is_empty() {
        queries.truncate(QUERIES_MAX);
        facts.add(&OTHER_QUERIES, queries.iter().map(|query| format!("\"{query}\"")).collect::<Vec<_>>().join(", "), Place::Trace);
    }
}

/// The text of the query, out of the JSON around it.
fn add_query(span: &Span, facts: &mut Facts) {
    let arguments = span.tool.as_ref().map(|tool| ("tool.arguments", tool.arguments.as_str()));
    let attribute = ["gen_ai.retrieval.query.text", "retrieval.query", "db.query.text", "query"]
        .iter()
        .find_map(|key| Some((format!("attributes.{key}"), span.attribute(key)?)));
    let texts = span.input_text.as_deref().map(|text| ("input_text".to_owned(), text)).into_iter();
    let texts = texts.chain(arguments.map(|(field, text)| (field.to_owned(), text))).chain(attribute);
    for (field, text) in texts.filter(|(_, text)| !text.trim().is_empty()) {
        let query = if text.trim_start().starts_with(['{', '[']) { query_in(text) } else { Some(text.to_owned()) };
        if let Some(query) = query {
            facts.add(&QUERY, shortened(&query, QUERY_CHARS_MAX), Place::Field(span, &field));
        }
    }
}

/// The query in the JSON of a call: `{"query": "…"}`, `{"args": ["…"]}`, `{"q": {"query_str": "…"}}`.
fn query_in(text: &str) -> Option<String> {
    fn find(value: &Value, depth: usize) -> Option<String> {
        const KEYS: [&str; 16] = [
            "query",
            "query_str",
            "question",
            "q",
            "search_query",
            "searchQuery",
            "query_text",
            "queryText",
            "input",
            "text",
            "search",
            "keywords",
            "args",
            "search_text",
            "prompt",
            "kwargs",
        ];
        match value {
            Value::String(text) => (!text.trim().is_empty()).then(|| text.clone()),
            Value::Array(items) => items.first().filter(|_| depth < 4).and_then(|item| find(item, depth + 1)),
            Value::Object(fields) => {
                KEYS.iter().filter_map(|key| fields.get(*key)).filter(|_| depth < 4).find_map(|value| find(value, depth + 1))
            }
            _ => None,
        }
    }
    find(&json(text)?, 0)
}

/// A text as JSON, if it is short.
fn json(text: &str) -> Option<Value> {
    const JSON_BYTES_MAX: usize = 32 * 1024;
    Some(text)
        .filter(|text| text.len() <= JSON_BYTES_MAX && text.trim_start().starts_with(['{', '[']))
        .and_then(|text| serde_json::from_str(text).ok())
}

/// The best and the lowest score.
fn add_scores(span: &Span, facts: &mut Facts) {
    let scores = span.documents.iter().flatten().enumerate().filter_map(|(index, document)| Some((index, document.score?)));
    let scores: Vec<(usize, f64)> = scores.filter(|(_, score)| score.is_finite()).collect();
    let best = scores.iter().max_by(|left, right| left.1.total_cmp(&right.1));
    let worst = scores.iter().min_by(|left, right| left.1.total_cmp(&right.1)).filter(|_| scores.len() > 1);
    for (name, found) in [(&BEST_SCORE, best), (&WORST_SCORE, worst)] {
        if let Some((index, score)) = found {
            facts.add(name, score, Place::Field(span, &format!("documents[{index}].score")));
        }
    }
}

/// How many words of the query occur in the documents.
fn add_shared_words(span: &Span, facts: &mut Facts) {
    let contents: Vec<&str> = span.documents.iter().flatten().map(|document| document.content.as_str()).collect();
    add_words_shared_with(span, &contents, facts);
}

fn add_words_shared_with(span: &Span, contents: &[&str], facts: &mut Facts) {
    const DOCUMENTS_MAX: usize = 100;
    let Some(query) = facts.get(&QUERY).map(words).filter(|query| !query.is_empty()) else { return };
    let texts: HashSet<String> = contents.iter().take(DOCUMENTS_MAX).flat_map(|content| words(content)).collect();
    if texts.is_empty() {
        return;
    }
    let shared = query.iter().filter(|word| texts.contains(*word)).count();
    facts.add(&QUERY_WORDS, query.len(), Place::Span(span));
    facts.add(&QUERY_WORDS_FOUND, shared, Place::Span(span));
}

/// The words of a text without stopwords and single characters, in lower case.
fn words(text: &str) -> HashSet<String> {
    const STOPWORDS: [&str; 34] = [
        "the", "and", "for", "what", "which", "how", "does", "did", "are", "was", "were", "with", "from", "that", "this", "when", "where",
        "who", "why", "can", "you", "your", "our", "has", "is", "of", "in", "to", "do", "it", "my", "an", "on", "at",
    ];
    let words = clip(text).split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
    words.filter(|word| word.chars().count() >= 2 && !STOPWORDS.contains(&word.as_str())).collect()
}

/// What a setting of a search is.
fn setting(key: &str) -> Option<&'static super::FactName> {
    let last = key.rsplit('.').next().unwrap_or(key);
    let last: String = last.chars().filter(|c| *c != '_' && *c != '-').flat_map(char::to_lowercase).collect();
    Some(match last.as_str() {
        "topk" | "k" | "nresults" | "numresults" | "similaritytopk" | "limit" | "maxresults" | "size" | "nprobes" | "numdocuments"
        | "maxdocuments" | "numberofresults" | "topn" => &TOP_K,
        "filter" | "filters" | "where" | "wheredocument" | "metadatafilter" | "metadatafilters" | "expr" => &FILTERS,
        "scorethreshold"
        | "minscore"
        | "similaritythreshold"
        | "similaritycutoff"
        | "threshold"
        | "minsimilarity"
        | "minrelevance"
        | "cutoff"
        | "relevancethreshold" => &SCORE_THRESHOLD,
        "index" | "indexname" | "collection" | "collectionname" | "knowledgebaseid" | "datastoreid" | "vectorstoreid" | "indexid"
        | "tablename" => &INDEX_NAME,
        "namespace" => &NAMESPACE,
        "vectorstore" | "vectorstoreprovider" | "lsvectorstoreprovider" | "retrievername" | "vectordb" => &STORE,
        _ => match key {
            "db.collection.name" | "gen_ai.data_source.id" | "db.sql.table" | "db.elasticsearch.path_parts.index" => &INDEX_NAME,
            "db.system" | "db.system.name" => &STORE,
            "db.name" | "db.namespace" => &NAMESPACE,
            _ => return None,
        },
    })
}

/// The settings of the search among the attributes of a span, its arguments and its input.
fn add_settings(span: &Span, facts: &mut Facts) {
    const ATTRIBUTES_MAX: usize = 256;
    for attribute in span.attributes.iter().take(ATTRIBUTES_MAX) {
        let field = format!("attributes.{}", attribute.key);
        if let Some(name) = setting(&attribute.key) {
            add_setting(name, &Value::String(attribute.value.clone()), Place::Field(span, &field), facts);
        } else if attribute.value.trim_start().starts_with('{')
            && let Some(value) = json(&attribute.value)
        {
            add_nested(&value, Place::Field(span, &field), 0, facts);
        }
    }
    let arguments = span.tool.as_ref().map(|tool| ("tool.arguments", tool.arguments.as_str()));
    for (field, text) in span.input_text.as_deref().map(|text| ("input_text", text)).into_iter().chain(arguments) {
        if let Some(value) = json(text) {
            add_nested(&value, Place::Field(span, field), 0, facts);
        }
    }
}

/// The settings in JSON, to a small depth.
fn add_nested(value: &Value, place: Place<'_>, depth: usize, facts: &mut Facts) {
    const DEPTH_MAX: usize = 4;
    const FIELDS_MAX: usize = 64;
    let Value::Object(fields) = value else { return };
    for (key, value) in fields.iter().take(FIELDS_MAX) {
        if let Some(name) = setting(key) {
            add_setting(name, value, place, facts);
        } else if depth < DEPTH_MAX {
            add_nested(value, place, depth + 1, facts);
        }
    }
}

/// Adds a setting if its value is of the right type and not empty.
fn add_setting(name: &'static super::FactName, value: &Value, place: Place<'_>, facts: &mut Facts) {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Object(fields) if !fields.is_empty() && *name == FILTERS => value.to_string(),
        Value::Array(items) if !items.is_empty() && *name == FILTERS => value.to_string(),
        _ => return,
    };
    let is_nothing = matches!(text.as_str(), "" | "null" | "None" | "{}" | "[]" | "undefined");
    let is_count = || text.parse::<u64>().is_ok_and(|number| (1..=100_000).contains(&number));
    let is_right = if *name == TOP_K {
        is_count()
    } else if *name == SCORE_THRESHOLD {
        text.parse::<f64>().is_ok()
    } else {
        *name == FILTERS || (text.len() <= 120 && !text.starts_with(['{', '[']))
    };
    if !is_nothing && is_right {
        // Objects are written again, without the spaces of the source and in another order.
        let place = match (value, place) {
            (Value::Object(_) | Value::Array(_), Place::Field(span, _)) => Place::Span(span),
            (_, place) => place,
        };
        if *name == FILTERS
            && let Some(conditions) = match value {
                Value::String(text) => json(text).as_ref().and_then(filters::conditions),
                value => filters::conditions(value),
            }
        {
            let place = if let Place::Field(span, _) = place { Place::Span(span) } else { place };
            facts.add(&FILTER_CONDITIONS, shortened(&conditions, TEXT_CHARS_MAX), place);
        }
        facts.add(name, shortened(&text, TEXT_CHARS_MAX), place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attribute, Document, ToolUse};

    fn with(attributes: &[(&str, &str)]) -> Facts {
        let attributes = attributes.iter().map(|(key, value)| Attribute { key: (*key).into(), value: (*value).into() }).collect();
        let (span, mut facts) = (Span { attributes, ..Span::default() }, Facts::default());
        add_settings(&span, &mut facts);
        facts
    }

    #[test]
    fn settings_are_found_by_the_names_of_instrumentations() {
        for (key, value, name, expected) in [
            ("db.pinecone.query.top_k", "5", &TOP_K, "5"),
            ("db.chroma.query.n_results", "4", &TOP_K, "4"),
            ("db.milvus.search.limit", "10", &TOP_K, "10"),
            ("haystack.component.input", r#"{"query": "q", "top_k": 7, "filters": null}"#, &TOP_K, "7"),
            ("llm.invocation_parameters", r#"{"similarity_top_k": 3}"#, &TOP_K, "3"),
            ("db.pinecone.query.filter", r#"{"year": 2019}"#, &FILTERS, r#"{"year": 2019}"#),
            ("retriever.score_threshold", "0.8", &SCORE_THRESHOLD, "0.8"),
            ("db.collection.name", "kb-prod", &INDEX_NAME, "kb-prod"),
            ("gen_ai.data_source.id", "H7STPQYOND", &INDEX_NAME, "H7STPQYOND"),
            ("db.pinecone.query.namespace", "de", &NAMESPACE, "de"),
            ("db.system", "chroma", &STORE, "chroma"),
            ("metadata", r#"{"ls_vector_store_provider": "Chroma", "k": 2}"#, &STORE, "Chroma"),
        ] {
            assert_eq!(with(&[(key, value)]).get(name), Some(expected), "{key}");
        }
        assert_eq!(with(&[("gen_ai.request.limit", "none"), ("db.pinecone.query.filter", "{}")]).get(&TOP_K), None);
    }

    #[test]
    fn the_query_is_taken_out_of_the_json_around_it() {
        for (text, expected) in [
            (r#"{"args": ["What is the noise level?"], "kwargs": {}}"#, "What is the noise level?"),
            (r#"{"q": {"query_str": "vacation days", "embedding": null}}"#, "vacation days"),
            (r#"{"query":"parking permit fee"}"#, "parking permit fee"),
            (r#"["a question"]"#, "a question"),
        ] {
            assert_eq!(query_in(text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(query_in("{}"), None);
        let tool = ToolUse { name: "search".into(), arguments: r#"{"query": "fee"}"#.into(), ..ToolUse::default() };
        let (span, mut facts) = (Span { tool: Some(tool), ..Span::default() }, Facts::default());
        add_query(&span, &mut facts);
        assert_eq!(facts.get(&QUERY), Some("fee"));
    }

    #[test]
    fn scores_and_shared_words_are_counted() {
        let document = |content: &str, score: f64| Document { id: None, content: content.into(), score: Some(score) };
        let documents = vec![document("Firmware 4.1 fixes the drift of the R2.", 0.21), document("The canteen opens at 11:30.", 0.08)];
        let span = Span { documents: Some(documents), input_text: Some("What is the payload of the R2?".into()), ..Span::default() };
        let mut facts = Facts::default();
        add_query(&span, &mut facts);
        add_scores(&span, &mut facts);
        add_shared_words(&span, &mut facts);
        let values = [&BEST_SCORE, &WORST_SCORE, &QUERY_WORDS, &QUERY_WORDS_FOUND].map(|name| facts.get(name).unwrap_or_default());
        assert_eq!(values, ["0.21", "0.08", "2", "1"]);
    }
}
