//! The spans of an input as a table for SQL queries. They are read, gathered and redacted while the query runs, and not stored.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use arrow::json::ReaderBuilder;
use datafusion::catalog::TableProvider;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::common::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use url::Url;

use crate::limits::{SPAN_BATCH_ROWS, TRACE_TIMEOUT};
use crate::model::{Annotation, Document, Exception, Message, Rejection, Span, Status, ToolCall, Trace};
use crate::pipeline::{InputCounts, TraceSource};
use crate::redact::{self, Redactor};
use crate::runtime::Shutdown;

/// The input of the table.
#[derive(Debug, Clone)]
pub struct SpansInput {
    /// The traces.
    pub source: TraceSource,
    /// A location of failsift tables, which are excluded from the traces.
    pub tables: Url,
    /// Redacts each trace before a row is made of it.
    pub redactor: Arc<Redactor>,
}

/// Records and traces that the query could not read, for a note after its rows.
#[derive(Debug, Default)]
pub struct ReadFailures {
    count: AtomicU64,
    first_reasons: Mutex<Vec<String>>,
}

impl ReadFailures {
    const SHOWN_MAX: usize = 3;

    fn add(&self, rejection: Rejection) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut reasons = self.first_reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.len() < Self::SHOWN_MAX {
            reasons.push(rejection.reason);
        }
    }

    /// The number of rejected records and traces and the first few reasons; `None` if everything was read.
    pub fn summary(&self) -> Option<(u64, Vec<String>)> {
        let count = self.count.load(Ordering::Relaxed);
        (count > 0).then(|| (count, self.first_reasons.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }
}

/// The table, and the read failures of a query over it, which are complete when the query has ended.
///
/// # Errors
/// If the schema is invalid; a test rules this out.
pub fn table(input: SpansInput) -> Result<(Arc<dyn TableProvider>, Arc<ReadFailures>), DataFusionError> {
    let read_failures = Arc::new(ReadFailures::default());
    let partition = Partition { input, read_failures: Arc::clone(&read_failures) };
    let table = StreamingTable::try_new(Arc::clone(&SCHEMA), vec![Arc::new(partition)])?;
    Ok((Arc::new(table), read_failures))
}

#[derive(Debug)]
struct Partition {
    input: SpansInput,
    read_failures: Arc<ReadFailures>,
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &SCHEMA
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (input, read_failures) = (self.input.clone(), Arc::clone(&self.read_failures));
        let batches = stream::once(batches(input, read_failures)).try_flatten();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&SCHEMA), batches))
    }
}

type Batches = stream::BoxStream<'static, Result<RecordBatch, DataFusionError>>;

/// Starts reading; the first rows follow when the whole input has been gathered.
async fn batches(input: SpansInput, read_failures: Arc<ReadFailures>) -> Result<Batches, DataFusionError> {
    let objects = input.source.objects(&input.tables, false).await.map_err(|error| failed(&error))?;
    let shutdown = Shutdown::default();
    let traces = input.source.traces(objects, &InputCounts::default(), true, &shutdown).map_err(|error| failed(&error))?;
    let redactor = &input.redactor;
    let traces = traces.map(|traces| redact::reasons(redact::traces(traces, redactor, TRACE_TIMEOUT, &shutdown), redactor));
    let (traces, fatal) = traces.into_parts();
    let rows = traces
        .filter_map(move |trace| {
            let trace = trace.map_err(|rejection| read_failures.add(rejection)).ok();
            async move { trace }
        })
        .flat_map(|trace| stream::iter(rows_of(&trace)))
        .ready_chunks(SPAN_BATCH_ROWS)
        .map(|rows| batch(&rows));
    let error = stream::once(async move { fatal.get().map(|reason| Err(failed(&reason))) }).filter_map(std::future::ready);
    Ok(rows.chain(error).boxed())
}

fn failed(error: &dyn std::fmt::Display) -> DataFusionError {
    DataFusionError::External(error.to_string().into())
}

fn batch(rows: &[Row]) -> Result<RecordBatch, DataFusionError> {
    let mut decoder = ReaderBuilder::new(Arc::clone(&SCHEMA)).with_batch_size(rows.len()).build_decoder()?;
    decoder.serialize(rows)?;
    Ok(decoder.flush()?.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&SCHEMA))))
}

/// A span as a row; `docs/spans.md` describes the columns.
#[derive(Debug, Serialize)]
struct Row {
    trace_id: String,
    span_id: String,
    parent_span_id: Option<String>,
    service: Option<String>,
    environment: Option<String>,
    name: String,
    kind: &'static str,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    duration_ms: Option<f64>,
    status: &'static str,
    status_message: Option<String>,
    error_type: Option<String>,
    exceptions: Vec<ExceptionRow>,
    model: Option<String>,
    provider: Option<String>,
    finish_reasons: Vec<String>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input: Option<String>,
    output: Option<String>,
    tool_calls: Vec<ToolCallRow>,
    tool_name: Option<String>,
    tool_call_id: Option<String>,
    tool_arguments: Option<String>,
    tool_result: Option<String>,
    tools_offered: Vec<String>,
    documents: Option<Vec<DocumentRow>>,
    annotations: Vec<AnnotationRow>,
    attributes: BTreeMap<String, String>,
    resource: BTreeMap<String, String>,
    user_token: Option<String>,
    session_token: Option<String>,
    source_uri: String,
}

#[derive(Debug, Serialize)]
struct ExceptionRow {
    r#type: String,
    message: String,
    stack: Option<String>,
}

#[derive(Debug, Serialize)]
struct ToolCallRow {
    id: Option<String>,
    name: String,
    arguments: String,
}

#[derive(Debug, Serialize)]
struct DocumentRow {
    id: Option<String>,
    content: String,
    score: Option<f64>,
}

#[derive(Debug, Serialize)]
struct AnnotationRow {
    name: String,
    label: Option<String>,
    score: Option<f64>,
    comment: Option<String>,
}

/// A message in the JSON of `input` and `output`.
#[derive(Debug, Serialize)]
struct MessageRow<'a> {
    role: &'a str,
    content: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCallRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Float64, true);
    let time = |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true);
    let list = |name: &str, item: DataType| Field::new(name, DataType::List(Arc::new(Field::new("element", item, true))), true);
    let structs = |name: &str, fields: Vec<Field>| list(name, DataType::Struct(Fields::from(fields)));
    let entries = Fields::from(vec![Field::new("key", DataType::Utf8, false), text("value")]);
    let attributes = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false);
    let resource = attributes.clone();
    let mut fields: Vec<Field> = ["trace_id", "span_id", "parent_span_id", "service", "environment", "name", "kind"].map(text).into();
    fields.extend([time("started_at"), time("ended_at"), number("duration_ms")]);
    fields.extend(["status", "status_message", "error_type"].map(text));
    fields.push(structs("exceptions", vec![text("type"), text("message"), text("stack")]));
    fields.extend(["model", "provider"].map(text));
    fields.push(list("finish_reasons", DataType::Utf8));
    fields.extend(["input_tokens", "output_tokens"].map(|name| Field::new(name, DataType::Int64, true)));
    fields.extend(["input", "output"].map(text));
    fields.push(structs("tool_calls", vec![text("id"), text("name"), text("arguments")]));
    fields.extend(["tool_name", "tool_call_id", "tool_arguments", "tool_result"].map(text));
    fields.push(list("tools_offered", DataType::Utf8));
    fields.push(structs("documents", vec![text("id"), text("content"), number("score")]));
    fields.push(structs("annotations", vec![text("name"), text("label"), number("score"), text("comment")]));
    fields.extend([Field::new("attributes", attributes, true), Field::new("resource", resource, true)]);
    fields.extend(["user_token", "session_token", "source_uri"].map(text));
    Arc::new(Schema::new(fields))
});

fn rows_of(trace: &Trace) -> Vec<Row> {
    trace.spans.iter().map(|span| row(trace, span)).collect()
}

fn row(trace: &Trace, span: &Span) -> Row {
    Row {
        trace_id: trace.trace_id.clone(),
        span_id: span.span_id.clone(),
        parent_span_id: span.parent_span_id.clone(),
        service: trace.service.clone(),
        environment: trace.environment.clone(),
        name: span.name.clone(),
        kind: span.kind.as_str(),
        started_at: span.started_at_ns,
        ended_at: span.ended_at_ns,
        duration_ms: span.started_at_ns.zip(span.ended_at_ns).map(|(start, end)| milliseconds(end.saturating_sub(start))),
        status: match span.status {
            Status::Unset => "unset",
            Status::Ok => "ok",
            Status::Error => "error",
        },
        status_message: span.status_message.clone(),
        error_type: span.error_type.clone(),
        exceptions: span.exceptions.iter().map(exception).collect(),
        model: span.model.clone(),
        provider: span.provider.clone(),
        finish_reasons: span.finish_reasons.clone(),
        input_tokens: span.usage.input,
        output_tokens: span.usage.output,
        input: messages(&span.input).or_else(|| span.input_text.clone()),
        output: messages(&span.output).or_else(|| span.output_text.clone()),
        tool_calls: span.output.iter().flat_map(|message| &message.tool_calls).map(tool_call).collect(),
        tool_name: span.tool.as_ref().map(|tool| tool.name.clone()),
        tool_call_id: span.tool.as_ref().and_then(|tool| tool.call_id.clone()),
        tool_arguments: span.tool.as_ref().map(|tool| tool.arguments.clone()),
        tool_result: span.tool.as_ref().and_then(|tool| tool.result.clone()),
        tools_offered: span.tools_offered.clone(),
        documents: span.documents.as_ref().map(|documents| documents.iter().map(document).collect()),
        annotations: span.annotations.iter().map(annotation).collect(),
        attributes: span.attributes.iter().map(|attribute| (attribute.key.clone(), attribute.value.clone())).collect(),
        resource: trace.resource.iter().map(|attribute| (attribute.key.clone(), attribute.value.clone())).collect(),
        user_token: trace.user.clone(),
        session_token: trace.session.clone(),
        source_uri: trace.source.uri.clone(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a duration for people")]
fn milliseconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e6
}

/// Messages as JSON text; `None` if there are none.
fn messages(list: &[Message]) -> Option<String> {
    let rows: Vec<MessageRow<'_>> = list
        .iter()
        .map(|message| MessageRow {
            role: &message.role,
            content: &message.content,
            refusal: message.refusal.as_deref(),
            tool_calls: message.tool_calls.iter().map(tool_call).collect(),
            tool_call_id: message.tool_call_id.as_deref(),
        })
        .collect();
    if rows.is_empty() { None } else { serde_json::to_string(&rows).ok() }
}

fn exception(from: &Exception) -> ExceptionRow {
    ExceptionRow { r#type: from.kind.clone(), message: from.message.clone(), stack: from.stack.clone() }
}

fn tool_call(from: &ToolCall) -> ToolCallRow {
    ToolCallRow { id: from.id.clone(), name: from.name.clone(), arguments: from.arguments.clone() }
}

fn document(from: &Document) -> DocumentRow {
    DocumentRow { id: from.id.clone(), content: from.content.clone(), score: from.score }
}

fn annotation(from: &Annotation) -> AnnotationRow {
    AnnotationRow { name: from.name.clone(), label: from.label.clone(), score: from.score, comment: from.comment.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attribute, SpanKind};

    #[test]
    fn the_fields_of_a_row_are_the_columns_of_the_schema() {
        let span = Span {
            span_id: "s".into(),
            kind: SpanKind::Tool,
            started_at_ns: Some(5),
            attributes: vec![Attribute { key: "k".into(), value: "v".into() }],
            documents: Some(vec![]),
            ..Span::default()
        };
        let row = row(&Trace::default(), &span);
        let json = serde_json::to_value(&row).unwrap();
        let mut keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        let mut columns: Vec<_> = SCHEMA.fields().iter().map(|field| field.name().clone()).collect();
        keys.sort();
        columns.sort();
        assert_eq!(keys, columns);
        let batch = batch(&[row]).unwrap();
        assert_eq!(batch.num_rows(), 1);
        let started: &arrow::array::TimestampNanosecondArray =
            arrow::array::AsArray::as_primitive(batch.column_by_name("started_at").unwrap());
        assert_eq!(started.value(0), 5);
    }
}
