//! A log of Inspect: the eval, and its samples.

use super::content::Repeated;
use super::sample;
use crate::model::{Attribute, Context, Rejection, RejectionKind, Span, SpanKind, Stage, Status};
use crate::parse::value::Value;
use crate::parse::{Accounted, ParsedChunk, Record, RecordLocation, Skip, context, error_text, infer, record};

/// What the eval says about all its samples.
#[derive(Default)]
pub(super) struct Eval {
    /// A prefix that makes the ids of samples without a `uuid` unique.
    pub(super) id: Option<String>,
    pub(super) task: Option<String>,
    pub(super) started_at_ns: Option<i64>,
    /// The revision of the code.
    pub(super) context: Context,
    /// Attributes of every root span.
    attributes: Vec<Attribute>,
}

impl Eval {
    /// The eval of a sample that is an entry of an `.eval` log, `CREATED_TASK_ID.eval!/samples/1_epoch_1.json`; only the name of the log names it.
    pub(super) fn of_file(uri: &str) -> Self {
        let file = uri.split_once("!/").and_then(|(archive, _)| archive.rsplit('/').next()?.strip_suffix(".eval"));
        let Some(name) = file else { return Self::default() };
        // A name of another pattern (`INSPECT_EVAL_LOG_FILE_PATTERN`) has no date in front.
        let dated = name
            .split_once('_')
            .filter(|(created, _)| created.len() > "2026-11-25T".len() && created.starts_with("20") && created.contains('T'));
        let task = dated.and_then(|(_, rest)| rest.rsplit_once('_')).map(|(task, _)| task.to_owned());
        Self { id: Some(name.to_owned()), task, ..Self::default() }
    }

    /// The `eval` of a log. Of its settings, those that identify it become attributes; they would be repeated in every sample.
    fn of_log(eval: &Value<'_>, status: Option<&str>) -> Self {
        const TEXT_BYTES_MAX: usize = 1_024;
        const KEYS: [&str; 10] =
            ["eval_id", "run_id", "task_id", "task_file", "task_version", "model", "model_base_url", "solver", "tags", "revision"];
        let attribute = |key: &str, value: String| Attribute { key: format!("eval.{key}"), value };
        let mut attributes: Vec<Attribute> = KEYS.iter().map(|key| attribute(key, eval.get(key).to_text())).collect();
        attributes.push(attribute("dataset", eval.get("dataset").get("name").to_text()));
        attributes.push(attribute("inspect_ai", eval.get("packages").get("inspect_ai").to_text()));
        attributes.push(attribute("status", status.unwrap_or_default().to_owned()));
        attributes.retain(|attribute| !matches!(attribute.value.as_str(), "" | "[]" | "{}") && attribute.value.len() <= TEXT_BYTES_MAX);
        let mut found = Context::default();
        context::add(&mut found, "vcs.ref.head.revision", eval.get("revision").get("commit"));
        let run = || Some(format!("{}/{}", eval.text_at("run_id")?, eval.text_at("task_id").unwrap_or_default()));
        Self {
            id: eval.text_at("eval_id").filter(|id| !id.is_empty()).or_else(run),
            task: eval.text_at("task").filter(|task| !task.is_empty()),
            started_at_ns: eval.get("created").as_time(),
            context: found,
            attributes,
        }
    }

    pub(super) fn add_attributes(&self, span: &mut Span) {
        span.attributes.extend(self.attributes.iter().cloned());
    }
}

/// Parses a log, or the header of an `.eval` log.
pub(super) fn parse(mut log: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let status = log.take_text("status");
    let eval = Eval::of_log(&log.take("eval"), status.as_deref());
    let samples = match log.take("samples") {
        Value::List(samples) => samples,
        Value::Null => Vec::new(),
        other => {
            let reason = format!("cannot read {location}: samples must be a list, found {}", other.type_name());
            return out.reject(location, RejectionKind::MalformedRecord, reason);
        }
    };
    if samples.is_empty() {
        return parse_without_samples(log, status.as_deref(), &eval, location, out);
    }
    // A log of many samples must not take a multiple of the memory of one.
    let mut repeated = Repeated::default();
    record::parse_each(samples, location, out, |sample, location, out| sample::parse(sample, &eval, &mut repeated, location, out))
}

/// An eval without samples: one that failed before it ran a sample is a trace of its own. The header of an `.eval` log has no samples either; if
/// a model was called, samples ran, and have the error.
fn parse_without_samples(
    mut log: Record<'_>,
    status: Option<&str>,
    eval: &Eval,
    location: &RecordLocation<'_>,
    out: &mut ParsedChunk,
) -> Accounted {
    let totals = log.take("stats");
    let error = log.take("error");
    let has_run = !totals.get("model_usage").is_empty() || !log.take("results").is_null();
    let has_failed = !error.is_empty() || matches!(status, Some("error" | "cancelled"));
    if has_run || !has_failed {
        return out.skip(Skip::OtherEvent, location);
    }
    let started_at = totals.get("started_at").as_time().or(eval.started_at_ns);
    let (Some(trace_id), Some(started_at_ns)) = (eval.id.clone(), started_at) else {
        let reason = format!("cannot read {location}: the eval has no id or no time");
        return out.reject_as(Rejection::at_location(location, location.uri, Stage::Parse, RejectionKind::MissingId, reason));
    };
    let mut span = Span {
        span_id: "eval".into(),
        name: eval.task.clone().unwrap_or_else(|| "eval".into()),
        kind: SpanKind::Chain,
        started_at_ns: Some(started_at_ns),
        ended_at_ns: totals.get("completed_at").as_time().or(Some(started_at_ns)),
        ..Span::default()
    };
    if error.is_empty() {
        (span.status, span.status_message) = (Status::Error, status.map(|status| format!("the eval was {status}")));
    } else {
        fail(&mut span, &error);
    }
    eval.add_attributes(&mut span);
    let mut fragment = record::fragment(trace_id, infer::infer_fields(span), location);
    fragment.service.clone_from(&eval.task);
    fragment.context.clone_from(&eval.context);
    out.span(fragment)
}

/// Fails a span with an `EvalError`: `{message, traceback, traceback_ansi}`.
pub(super) fn fail(span: &mut Span, error: &Value<'_>) {
    let message = error.get("message").to_text();
    let mut exception = error_text::exception(&message);
    exception.stack = error.text_at("traceback").filter(|stack| !stack.is_empty()).or(exception.stack);
    span.status = Status::Error;
    span.exceptions.push(exception);
    span.status_message.get_or_insert(message);
}
