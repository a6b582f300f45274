//! What the error of a vector store or a search engine says: the index, the store, and dimensions that do not fit.

use super::super::byte_regex::ByteRegex;

use super::retrieval::{DIMENSIONS, INDEX_NAME, STORE};
use super::{Facts, Place};

/// Adds the index, the store and the dimensions that a message names.
pub(super) fn add(text: &str, place: Place<'_>, facts: &mut Facts) {
    static INDEX: ByteRegex = ByteRegex::new(concat!(
        r#"(?i)\b(?:vector )?(?:index|collection|class|namespace|data ?store|knowledge base|table|vector store)(?: named| name| with name| id)?:? \\?["'`\[<(]?(?P<n>[A-Za-z0-9][A-Za-z0-9_.:/-]{1,80})\\?["'`\])>]?"#,
        r#"(?: (?:is|was|does|could|has|not|doesn't|isn't|cannot|at)|:|,|$|\.)"#,
    ));
    static NAMED: ByteRegex = ByteRegex::new(
        r"(?i)\b(?P<s>qdrant|pinecone|weaviate|chromadb|chroma|milvus|pgvector|faiss|elasticsearch|opensearch|redis|lancedb|vespa|typesense|azure ai search|mongodb atlas|marqo)\b",
    );
    static SIZES: [ByteRegex; 5] = [
        ByteRegex::new(
            r"(?i)(?:embedding |vector )?dimensions? (?:of )?(?P<a>[0-9]{2,5}) (?:does not|doesn't|do not) match (?:the )?(?:collection |index |dimension )?(?:dimensionality|dimension)?s?(?: of (?:the )?(?:index|collection))? ?(?P<b>[0-9]{2,5})",
        ),
        ByteRegex::new(r"(?i)different vector dimensions (?P<a>[0-9]{2,5}) and (?P<b>[0-9]{2,5})"),
        ByteRegex::new(r"(?i)(?P<a>[0-9]{2,5}) vs\.? (?P<b>[0-9]{2,5})"),
        ByteRegex::new(
            r"(?i)expected (?:dim(?:ension)?s?:? ?)?(?P<b>[0-9]{2,5})(?: dimensions)?,? (?:but )?(?:got|not|received|found) (?P<a>[0-9]{2,5})",
        ),
        ByteRegex::new(r"shapes? \([0-9]{0,6},? ?(?P<a>[0-9]{2,5}),?\) and \((?P<b>[0-9]{2,5}),?"),
    ];
    const NO_NAMES: [&str; 12] = ["is", "was", "not", "does", "name", "with", "has", "could", "at", "search", "error", "the"];
    let mut names = INDEX.captures_iter(text).take(6).filter_map(|found| found.name("n").map(|name| name.as_str()));
    if let Some(name) = names.find(|name| !NO_NAMES.contains(&name.to_ascii_lowercase().as_str())) {
        facts.add(&INDEX_NAME, name, place);
    }
    if let Some(store) = NAMED.captures(text).and_then(|captures| captures.name("s")) {
        facts.add(&STORE, store.as_str(), place);
    }
    let sizes = SIZES.iter().find_map(|sizes| {
        let found = sizes.captures(text)?;
        Some(format!("{} and {}", found.name("a")?.as_str(), found.name("b")?.as_str()))
    });
    if let (Some(sizes), Place::Field(span, _)) = (sizes, place) {
        facts.add(&DIMENSIONS, sizes, Place::Span(span));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    #[test]
    fn the_errors_of_stores_name_the_index_and_the_dimensions() {
        let of = |text: &str, name: &super::super::FactName| {
            let (span, mut facts) = (Span::default(), Facts::default());
            add(text, Place::Field(&span, "status_message"), &mut facts);
            facts.get(name).unwrap_or_default().to_owned()
        };
        for (text, name, expected) in [
            ("(404) Reason: Not Found: Index acme-kb not found", &INDEX_NAME, "acme-kb"),
            ("vector index 'kb-2026' is not loaded: connection refused", &INDEX_NAME, "kb-2026"),
            ("vector store kb-prod: connection refused (127.0.0.1:6333)", &INDEX_NAME, "kb-prod"),
            ("Collection `rules` doesn't exist!", &INDEX_NAME, "rules"),
            ("explorer: vector search: object vector search at index menu_notes: shard x", &INDEX_NAME, "menu_notes"),
            ("Embedding dimension 384 does not match collection dimensionality 1536", &DIMENSIONS, "384 and 1536"),
            ("distance between entrypoint and query node: 768 vs 1536: lengths", &DIMENSIONS, "768 and 1536"),
            ("Wrong input: Vector dimension error: expected dim: 1536, got 384", &DIMENSIONS, "384 and 1536"),
            ("different vector dimensions 1536 and 3072", &DIMENSIONS, "1536 and 3072"),
            ("expected 768 dimensions, not 1536", &DIMENSIONS, "1536 and 768"),
            ("Vector dimension 1536 does not match the dimension of the index 768", &DIMENSIONS, "1536 and 768"),
            ("shapes (0,768) and (1536,) not aligned", &DIMENSIONS, "768 and 1536"),
            ("qdrant at 10.0.0.7:6333 refused the connection", &STORE, "qdrant"),
            ("connection refused", &INDEX_NAME, ""),
        ] {
            assert_eq!(of(text, name), expected, "{text}");
        }
    }
}
