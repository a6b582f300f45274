//! Every trace format: one file each, which implements [`Format`] and has one entry in [`FORMATS`].
//!
//! A format finds the spans in one record and takes their fields. Its documentation names the specification and the version that was checked, shows
//! a short sample, and lists the quirks of real exports. The meaning of attributes is that of `conventions`; bodies of providers are read by
//! `messages`. Pages of an API and envelopes of log shippers are opened before a format sees their records, see `envelope`.

mod bedrock;
mod braintrust;
mod chat;
mod claude_code;
mod clickhouse;
mod codex;
mod datadog;
mod failsift;
mod gemini_cli;
mod inspect_ai;
mod jaeger;
mod langfuse;
mod langfuse_api;
mod langsmith;
mod litellm;
mod logfire;
mod mini_swe_agent;
mod mlflow;
mod openai_agents;
mod openhands;
mod opentelemetry_sdk;
mod otlp;
mod phoenix;
mod session;
mod swe_agent;
mod tau2;
mod weave;
mod xray;
mod zipkin;

use arrow::array::RecordBatch;

pub(super) use self::bedrock::add_body as add_bedrock_body;
#[cfg(test)]
pub(super) use self::chat::Chat;
pub(super) use self::otlp::Otlp;
use super::detect::{self, DetectionScore, Signature};
use super::json;
use super::{Accounted, ParsedChunk, Record, RecordLocation};
use crate::model::RejectionKind;

/// A trace format: one way in which programs export traces.
///
/// A format overrides [`Self::parse_record`] if its records are objects whose fields are all optional, and [`Self::parse_json`] or
/// [`Self::parse_message`] if it has a decoder of its own. It never fails: an error in a record becomes a rejection in the
/// output, and the returned [`Accounted`] proves that every record has an outcome.
pub trait Format: Send + Sync {
    /// The name for `--input-format`.
    fn name(&self) -> &'static str;

    /// The keys that identify its records, companion records included. A table is recognized by its
    /// columns, as if each row were an object with these keys.
    fn signatures(&self) -> &'static [Signature];

    /// How well the top-level keys of a JSON object, or the columns of a table, fit this format; `None` if they do not.
    fn detect_keys(&self, keys: &[String]) -> Option<DetectionScore> {
        detect::best_score(self.signatures(), keys)
    }

    /// Fields that are skipped without being decoded; sorted.
    fn skipped_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// Parses one record, a JSON object or a table row, whose fields were decoded generically.
    fn parse_record(&self, record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        drop(record);
        let reason =
            format!("cannot read {location}: format {} has no table rows\n  hint: --input-format auto detects the format", self.name());
        out.reject(location, RejectionKind::UnrecognisedFormat, reason)
    }

    /// Parses one JSON text.
    ///
    /// # Errors
    /// The parser's error if the text is not a JSON object. Nothing was added to `out` then, so the caller may repair the text and try again.
    fn parse_json(&self, json: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Result<Accounted, serde_json::Error> {
        let record = Record::from_json(json, self.skipped_fields())?;
        Ok(self.parse_record(record, location, out))
    }

    /// Parses a batch of rows; returns one outcome per row.
    fn parse_rows(&self, batch: &RecordBatch, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Vec<Accounted> {
        let rows = Record::rows(batch, self.skipped_fields(), location).map(|(record, location)| {
            out.begin_record();
            let _budget = json::Budget::for_record(record.text_bytes());
            let accounted = self.parse_record(record, &location, out);
            out.end_record(&location);
            accounted
        });
        rows.collect()
    }

    /// Parses one binary message.
    fn parse_message(&self, message: &[u8], location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let _ = message;
        let reason = format!(
            "cannot read {location}: format {} has no binary messages\n  hint: --input-format auto detects the format",
            self.name()
        );
        out.reject(location, RejectionKind::UnrecognisedFormat, reason)
    }
}

/// Every format. The order decides only if two formats have the same detection score.
pub const FORMATS: [&dyn Format; 27] = [
    &otlp::Otlp,
    &opentelemetry_sdk::OpenTelemetrySdk,
    &zipkin::Zipkin,
    &xray::XRay,
    &jaeger::Jaeger,
    &clickhouse::ClickHouse,
    &logfire::Logfire,
    &mlflow::Mlflow,
    &phoenix::Phoenix,
    &langsmith::LangSmith,
    &datadog::Datadog,
    &langfuse::Langfuse,
    &braintrust::Braintrust,
    &weave::Weave,
    &litellm::LiteLlm,
    &bedrock::Bedrock,
    &openai_agents::OpenAiAgents,
    &inspect_ai::InspectAi,
    &swe_agent::SweAgent,
    &mini_swe_agent::MiniSweAgent,
    &openhands::OpenHands,
    &tau2::Tau2,
    &claude_code::ClaudeCode,
    &codex::Codex,
    &gemini_cli::GeminiCli,
    &failsift::Failsift,
    &chat::Chat,
];

/// The format with this name; `None` for `auto`, which detects the format of each object.
///
/// # Errors
/// A message with the known names, if `name` is not one of them.
pub fn format_named(name: &str) -> Result<Option<&'static dyn Format>, String> {
    if name == "auto" {
        return Ok(None);
    }
    let unknown = || crate::messages::unknown_name("input format", name, &[&["auto"], FORMATS.map(Format::name).as_slice()].concat());
    FORMATS.into_iter().find(|format| format.name() == name).map(Some).ok_or_else(unknown)
}

/// The number of a format in [`FORMATS`], from 1.
pub fn format_number(name: &str) -> u8 {
    let index = FORMATS.iter().position(|format| format.name() == name);
    index.and_then(|index| u8::try_from(index + 1).ok()).unwrap_or_default()
}

/// The name of the format with this number; `None` for 0.
pub fn format_name(number: u8) -> Option<&'static str> {
    FORMATS.get(usize::from(number).checked_sub(1)?).map(|format| format.name())
}

/// The names of all formats, for messages: `otlp, phoenix, …`.
fn format_names() -> String {
    FORMATS.map(Format::name).join(", ")
}

/// The help of an option that names a format: `WHAT: auto, otlp, … or chat`.
pub fn format_help(what: &str) -> String {
    let names = format_names();
    let (first, last) = names.rsplit_once(", ").unwrap_or_default();
    format!("{what}: auto, {first} or {last}")
}
