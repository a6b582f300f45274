//! Detects the format of an object by the keys of its records or by the columns of its table.
//!
//! Each format lists its [`Signature`]s. The best match is its score for a set of keys, and the format with the highest score wins. The
//! first record of an object that any format recognizes decides for the whole object, so broken records before it do not matter.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::datatypes::Schema;

use super::formats::{FORMATS, Format, Otlp};
use super::{ParsedChunk, text_record};
use crate::model::{Rejection, RejectionKind, Stage};
use crate::read::Chunk;

/// Keys by which a format recognizes a record; all of them are required.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    keys: &'static [&'static str],
    strength: Strength,
}

/// What the keys of a signature prove.
#[derive(Debug, Clone, Copy)]
enum Strength {
    Unique,
    Common,
    Page,
}

impl Signature {
    /// Keys that only this format has, at least in this combination.
    pub(super) const fn unique(keys: &'static [&'static str]) -> Self {
        Self { keys, strength: Strength::Unique }
    }

    /// Keys that records of other programs may have too.
    pub(super) const fn common(keys: &'static [&'static str]) -> Self {
        Self { keys, strength: Strength::Common }
    }

    /// Keys of a page of its API, whose items decide if they are records of another format.
    pub(super) const fn page(keys: &'static [&'static str]) -> Self {
        Self { keys, strength: Strength::Page }
    }

    fn score(&self, keys: &[String]) -> Option<DetectionScore> {
        let matches = self.keys.iter().all(|required| keys.iter().any(|key| key == required));
        matches.then_some(match self.strength {
            Strength::Unique => DetectionScore::Certain,
            Strength::Common => DetectionScore::Weak(self.keys.len()),
            Strength::Page => DetectionScore::Page,
        })
    }
}

/// How well the keys of a record fit a format.
///
/// | score | meaning | example |
/// |---|---|---|
/// | none | every signature lacks a key | |
/// | `Page` | the keys of a page of its API are present | `data` and `next_cursor` for `phoenix` |
/// | `Weak(n)` | the `n` keys of a common signature are present | `role` and `content`: `Weak(2)` for `chat` |
/// | `Certain` | the keys of a unique signature are present | `resourceSpans` for `otlp` |
///
/// More keys outweigh fewer: `trace_id`, `project_id` and `spans` are a trace of Phoenix, `trace_id` and `spans` alone one of failsift. No
/// known export gives two formats the same score; if one did, the order of [`FORMATS`] would decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DetectionScore {
    /// Keys of a page, which pages of other APIs have too.
    Page,
    /// Keys that other programs may write too; their number.
    Weak(usize),
    /// Keys that only this format has.
    Certain,
}

/// The highest score among signatures.
pub(super) fn best_score(signatures: &[Signature], keys: &[String]) -> Option<DetectionScore> {
    signatures.iter().filter_map(|signature| signature.score(keys)).max()
}

/// The format with the highest score for these keys; only `forced` counts if the user named it.
pub(super) fn format_of_keys(keys: &[String], forced: Option<&'static dyn Format>) -> Option<(DetectionScore, &'static dyn Format)> {
    let candidates = FORMATS.into_iter().filter(|format| forced.is_none_or(|forced| forced.name() == format.name()));
    let scored = candidates.filter_map(|format| Some((format.detect_keys(keys)?, format)));
    scored.reduce(|best, next| if next.0 > best.0 { next } else { best })
}

fn column_names(columns: &Schema) -> Vec<String> {
    columns.fields().iter().map(|field| field.name().clone()).collect()
}

/// What an object contains.
#[derive(Clone, Copy)]
pub(super) struct Detected {
    pub(super) format: &'static dyn Format,
    /// Whether the records are in envelopes, or in lines of a log.
    pub(super) is_log: bool,
}

impl Detected {
    pub(super) fn direct(format: &'static dyn Format) -> Self {
        Self { format, is_log: false }
    }
}

/// The format of the first record that any format recognizes.
fn format_of_chunk(chunk: &Chunk) -> Option<Detected> {
    match chunk {
        // Protobuf has no keys, and OTLP is the only format that uses it.
        Chunk::Records(records) if records.binary && records.iter().all(|(_, record)| is_protobuf(record)) => Some(Detected::direct(&Otlp)),
        Chunk::Records(records) => {
            let detected = records.iter().find_map(|(_, record)| text_record::detect(record))?;
            Some(Detected { is_log: detected.is_log || records.is_log, ..detected })
        }
        Chunk::Rows(rows) => format_of_keys(&column_names(rows.batch.schema_ref()), None).map(|(_, format)| Detected::direct(format)),
        Chunk::Skipped(_) => None,
    }
}

/// Whether a framed message is protobuf; the Collector frames JSON too.
pub(super) fn is_protobuf(message: &[u8]) -> bool {
    !message.starts_with(b"{")
}

/// The formats of the objects that were read most recently, so that an object's first chunk decides for the following ones. An object that
/// is evicted while it is still read is detected again from its next chunk.
#[derive(Default)]
pub(super) struct ObjectFormats(VecDeque<(String, Option<Detected>)>);

impl ObjectFormats {
    const LEN_MAX: usize = 64;

    /// The format of the chunk's object; `None` if no record of it was recognized yet.
    pub(super) fn format_of(&mut self, chunk: &Chunk) -> Option<Detected> {
        let uri = match chunk {
            Chunk::Records(records) => &records.object.uri,
            Chunk::Rows(rows) => &rows.object.uri,
            Chunk::Skipped(_) => return None,
        };
        let known = self.0.iter().position(|(known, _)| known == uri).and_then(|index| self.0.remove(index));
        let detected = known.and_then(|(_, detected)| detected).or_else(|| format_of_chunk(chunk));
        self.0.push_back((uri.clone(), detected));
        if self.0.len() > Self::LEN_MAX {
            self.0.pop_front();
        }
        detected
    }
}

/// Whether failsift itself wrote a table with these columns: an input prefix often contains the tables of other runs.
pub(super) fn is_failsift_table(columns: &Schema) -> bool {
    let tables: [&[&str]; 3] = [
        &["trace_id", "category", "contributing_factor", "fingerprint", "confidence_rationale"],
        &["trace_ref", "stage", "kind", "reason", "retryable", "source_uri"],
        &["run_id", "pipeline", "status", "received", "stored", "redaction_key_id"],
    ];
    tables.iter().any(|names| names.iter().all(|name| columns.column_with_name(name).is_some()))
}

/// Rejects a chunk of an object in no known format. Only the first chunk of an object adds a rejection, which covers the whole object; the
/// records of the following ones are counted.
pub(super) fn reject_unrecognized(chunk: &Chunk) -> ParsedChunk {
    let (object, records, is_first) = match chunk {
        Chunk::Records(records) => (&records.object, records.iter().count(), records.first),
        Chunk::Rows(rows) => (&rows.object, rows.batch.num_rows(), rows.first_row == 0),
        Chunk::Skipped(object) => (object, 0, false),
    };
    let mut out = ParsedChunk { object: Some((Arc::clone(object), None)), ..ParsedChunk::default() };
    out.records.add_rejected(records as u64);
    if is_first {
        let (uri, content) = (&object.uri, describe_content(chunk));
        let reason = format!(
            "cannot read {uri}: unknown trace format; {content}\n  hint: if this is a trace, name its format with --input-format; otherwise exclude the file",
        );
        let _counted_above = out.reject_as(Rejection::at_location(uri, uri, Stage::Parse, RejectionKind::UnrecognisedFormat, reason));
    }
    out
}

/// What an unrecognized chunk contains, without any value of it.
fn describe_content(chunk: &Chunk) -> String {
    const KEYS_SHOWN_MAX: usize = 8;
    let list = |names: Vec<String>| names.iter().take(KEYS_SHOWN_MAX).map(|name| display_key(name)).collect::<Vec<_>>().join(", ");
    match chunk {
        Chunk::Records(records) => match records.iter().find_map(|(_, record)| text_record::keys(record)) {
            Some(keys) => format!("its JSON objects have the keys {}", list(keys)),
            None => "it contains no JSON object".to_owned(),
        },
        Chunk::Rows(rows) => format!("its columns are {}", list(column_names(rows.batch.schema_ref()))),
        Chunk::Skipped(_) => String::new(),
    }
}

/// A key as messages show it. A key that does not look like a name is replaced by its size, because it may contain personal data; it is not
/// truncated, because redaction could not recognize half of a value.
pub(super) fn display_key(key: &str) -> String {
    const SHOWN_BYTES_MAX: usize = 40;
    let is_name = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$'));
    if is_name && key.len() <= SHOWN_BYTES_MAX { key.to_owned() } else { format!("… ({} bytes)", key.len()) }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::read::{self, ReadOptions};
    use crate::runtime::FatalError;
    use crate::store::{self, Location};

    /// Every export in the repository, with its format.
    const EXPORTS: &[(&str, &str)] = &[
        ("tests/captures/bedrock", "bedrock"),
        ("tests/captures/braintrust/*.csv.gz", "braintrust"),
        ("tests/captures/braintrust/*.jsonl.gz", "braintrust"),
        ("tests/captures/chat", "chat"),
        ("tests/captures/clickhouse", "clickhouse"),
        ("tests/captures/datadog", "datadog"),
        ("tests/captures/jaeger/*.jsonl.gz", "jaeger"),
        // Some records about the program, the oldest form, and events of a stream are recognized only by another record of their object.
        ("tests/captures/claude_code/2.1.197", "claude_code"),
        ("tests/captures/claude_code/stream", "claude_code"),
        ("tests/captures/codex/sessions/0.[136]*/*", "codex"),
        ("tests/captures/gemini_cli/chats", "gemini_cli"),
        ("tests/captures/inspect_ai", "inspect_ai"),
        ("tests/captures/langfuse", "langfuse"),
        ("tests/captures/langfuse_api", "langfuse"),
        ("tests/captures/langsmith", "langsmith"),
        ("tests/captures/logfire/rows*", "logfire"),
        ("tests/captures/litellm", "litellm"),
        ("tests/captures/openai_agents", "openai_agents"),
        ("tests/captures/mlflow/v2.*", "mlflow"),
        ("tests/captures/mlflow/v3.[!a]*", "mlflow"),
        ("tests/captures/otlp/*.*", "otlp"),
        ("tests/captures/phoenix", "phoenix"),
        ("tests/captures/weave", "weave"),
        ("tests/captures/mini_swe_agent", "mini_swe_agent"),
        ("tests/captures/openhands", "openhands"),
        ("tests/captures/swe_agent", "swe_agent"),
        ("tests/captures/tau2", "tau2"),
        ("tests/captures/opentelemetry_sdk/gemini_cli*", "opentelemetry_sdk"),
        ("tests/captures/opentelemetry_sdk/go_*", "opentelemetry_sdk"),
        ("tests/captures/opentelemetry_sdk/javascript_*", "opentelemetry_sdk"),
        ("tests/captures/opentelemetry_sdk/python_*", "opentelemetry_sdk"),
        ("tests/captures/tempo", "otlp"),
        ("tests/captures/xray", "xray"),
        ("tests/captures/zipkin", "zipkin"),
        ("data/samples/broken", "otlp"),
        ("data/samples/failsift", "failsift"),
        ("data/samples/otlp", "otlp"),
        ("data/samples/phoenix", "phoenix"),
        ("data/labelled/agent_runs", "chat"),
        ("data/labelled/captures/datadog_*", "datadog"),
        ("data/labelled/captures/genai_*", "otlp"),
        ("data/labelled/captures/langfuse_*", "langfuse"),
        ("data/labelled/captures/langsmith_*", "langsmith"),
        ("data/labelled/captures/otlp_*", "otlp"),
        ("data/labelled/datadog_export", "datadog"),
        ("data/labelled/error_messages", "failsift"),
        ("data/labelled/healthy_runs", "chat"),
        ("data/labelled/who_and_when", "chat"),
    ];

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The formats that recognize these keys, the best first.
    fn scores(keys: &[String]) -> Vec<(DetectionScore, &'static str)> {
        let mut scores: Vec<_> = FORMATS.into_iter().filter_map(|format| Some((format.detect_keys(keys)?, format.name()))).collect();
        scores.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        scores
    }

    /// The chunks of all objects below a path of the repository.
    async fn chunks(path: &str) -> Vec<Chunk> {
        let location = Location::parse(&format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let objects = store::objects(&[location], &url::Url::parse("memory://nowhere/").unwrap(), false).await.unwrap();
        let options = ReadOptions { record_bytes_max: 64 * 1024 * 1024 };
        let chunks = read::chunks(objects, options, Arc::default(), &FatalError::default(), CancellationToken::new());
        chunks.filter_map(|chunk| std::future::ready(chunk.ok())).collect().await
    }

    #[tokio::test]
    async fn one_format_recognizes_each_record_of_every_export_best() {
        for &(path, expected) in EXPORTS {
            let mut recognized = 0;
            for chunk in chunks(path).await {
                let all_keys: Vec<Vec<String>> = match &chunk {
                    Chunk::Records(records) => {
                        let texts = records.iter().filter(|(_, record)| !(records.binary && is_protobuf(record)));
                        texts.filter_map(|(_, record)| text_record::keys(record)).collect()
                    }
                    Chunk::Rows(rows) => vec![column_names(rows.batch.schema_ref())],
                    Chunk::Skipped(_) => continue,
                };
                for keys in all_keys {
                    let scores = scores(&keys);
                    assert_eq!(scores.first().map(|(_, name)| *name), Some(expected), "{path}: {keys:?}");
                    assert!(scores.get(1).is_none_or(|second| second.0 < scores[0].0), "{path}: {scores:?} for {keys:?}");
                }
                assert_eq!(format_of_chunk(&chunk).map(|detected| detected.format.name()), Some(expected), "{path}");
                recognized += 1;
            }
            assert!(recognized > 0, "{path}");
        }
    }

    #[test]
    fn unique_keys_outweigh_common_ones_and_more_keys_outweigh_fewer() {
        use DetectionScore::{Certain, Page, Weak};
        assert!(Certain > Weak(9) && Weak(3) > Weak(2) && Weak(1) > Page && Some(Page) > None);
        assert_eq!(scores(&keys(&["trace_id", "project_id", "spans"])), [(Weak(3), "phoenix"), (Weak(2), "failsift")]);
        assert_eq!(scores(&keys(&["trace_id", "parent_observation_id", "id", "type", "attributes"]))[0], (Certain, "langfuse"));
        assert_eq!(scores(&keys(&["name"])), []);
    }

    #[test]
    fn the_order_of_formats_decides_between_equal_scores() {
        let ambiguous = keys(&["role", "content", "trace_id", "spans"]);
        assert_eq!(scores(&ambiguous).iter().map(|(score, _)| *score).collect::<Vec<_>>(), [DetectionScore::Weak(2); 2]);
        assert_eq!(format_of_keys(&ambiguous, None).map(|(_, format)| format.name()), Some("failsift"));
    }

    #[test]
    fn keys_that_are_not_names_are_not_displayed() {
        assert_eq!(display_key("resourceSpans"), "resourceSpans");
        assert_eq!(display_key("ann@example.com"), "… (15 bytes)");
        assert_eq!(display_key(&"a".repeat(41)), "… (41 bytes)");
    }
}
