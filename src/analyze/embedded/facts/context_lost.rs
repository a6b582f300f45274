//! Facts of a conversation that could not be restored: its id, the kind of record and the store.

use super::super::byte_regex::ByteRegex;

use super::names::fact_names;
use super::texts::{Source, add_match};
use super::{Case, Extractor, Facts};

fact_names! {
    LOST_RECORD = "lost_record", Text, "what was not found: a session, a thread, a checkpoint";
    LOST_RECORD_ID = "lost_record_id", Text, "the id of the lost conversation";
    LOST_STORE = "lost_store", Text, "the store that should have it";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if case.is(&["context_lost"]) {
        add_facts(case.error_texts(), facts);
    }
}

fn add_facts(sources: &[Source<'_>], facts: &mut Facts) {
    static RECORD: ByteRegex = ByteRegex::new(r"(?i)(?-u:\b)(conversation|session|thread|checkpoint|memory|history)(?-u:\b)");
    static ID: ByteRegex = ByteRegex::new(concat!(
        r#"(?i)(?-u:\b)(?:conversation|session|thread|checkpoint)(?:[_ ]id)?(?: with id| id)?[ :=]{1,2}[`'"]?([0-9A-Za-z_:.<>-]*[0-9][0-9A-Za-z_:.<>-]*[0-9A-Za-z_]|[0-9]+)[`'"]? (?:was |is |has )?(?:not|expired|lost|deleted|gone|does)|"#,
        r#"(?-u:\b)(?:thread|session|conversation|checkpoint)_id[ :=]{1,2}[`'"]([^`'"\n]+)[`'"]|(?-u:\b)no (?:[0-9A-Za-z_]+ )?(?:thread|session|conversation) found (?:with|for) (?:id )?[`'"]?([0-9A-Za-z_:.-]*[0-9A-Za-z_])"#,
    ));
    static STORE: ByteRegex = ByteRegex::new(
        r"(?i)(?-u:\b)(redis|postgres(?:ql)?|sqlite|mongo(?:db)?|dynamodb|memcached|cosmos ?db|firestore|zep|mem0|in-memory store)(?-u:\b)",
    );
    for (name, expression) in [(&LOST_RECORD, &RECORD), (&LOST_RECORD_ID, &ID), (&LOST_STORE, &STORE)] {
        add_match(name, sources, expression, facts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    #[test]
    fn lost_conversations_are_named() {
        for (text, record, id, store) in [
            ("session 17 not found in redis", "session", "17", "redis"),
            ("No checkpoint found for thread_id 'u-77'", "checkpoint", "u-77", ""),
            ("Thread with id thread_abc123 was not found", "Thread", "thread_abc123", ""),
            ("conversation conv_9f3 has expired", "conversation", "conv_9f3", ""),
            ("No thread found with id 'thread_x'", "thread", "thread_x", ""),
            ("Session expired", "Session", "", ""),
            ("conversation history was truncated", "conversation", "", ""),
            ("checkpoint 7f8a does not exist in Postgres", "checkpoint", "7f8a", "Postgres"),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            add_facts(&[Source { span: &span, field: "status_message".into(), text }], &mut facts);
            let found = [&LOST_RECORD, &LOST_RECORD_ID, &LOST_STORE].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [record, id, store], "{text}");
        }
    }
}
