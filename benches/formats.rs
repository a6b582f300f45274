//! Reading and parsing of each format on one core, relative to a lower bound measured in the same run: for JSON, parsing the same records
//! to `serde_json::Value`; for Parquet, a DataFusion scan of the same columns; for CSV, the `csv` crate alone; for protobuf, copying the bytes.
//!
//! ```text
//! cargo bench --bench formats                        # release: for the figures
//! cargo bench --profile dev --bench formats -- 5     # only 5 MB of each, with the development profile
//! cargo bench --bench formats -- 40 Langfuse         # only formats whose name contains the word
//! ```
//!
//! The input is copies of `tests/captures` and `data/samples`. Gathering is not included: it takes the same time for every format, and `main_job`
//! measures it.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and panics if its setup fails"
)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use failsift::limits::RECORD_BYTES_MAX;
use failsift::parse::{FORMATS, Format, ParsedChunk, Position, RecordLocation};
use failsift::read::{self, Chunk, ReadCounts, ReadOptions};
use failsift::runtime::FatalError;
use failsift::store::{self, Location};
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio_util::sync::CancellationToken;

/// Runs of each measurement. The fastest counts, because the machine may have other load.
const RUNS: usize = 5;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Lines,
    List,
    Csv,
    Messages,
    Parquet,
}

/// `(title, format, capture, kind of file)`
const CASES: [(&str, &str, &str, Kind); 15] = [
    ("OTLP, OpenInference", "otlp", "data/samples/otlp/openinference.jsonl.gz", Kind::Lines),
    ("OTLP, GenAI", "otlp", "data/samples/otlp/genai.jsonl.gz", Kind::Lines),
    ("OTLP, OpenLLMetry", "otlp", "tests/captures/otlp/openllmetry.traces.jsonl.gz", Kind::Lines),
    ("OTLP protobuf", "otlp", "tests/captures/otlp/openinference.proto.bin.gz", Kind::Messages),
    ("Phoenix REST", "phoenix", "tests/captures/phoenix/rest_spans.jsonl.gz", Kind::Lines),
    ("Phoenix data frame", "phoenix", "data/samples/phoenix/langchain.spans_dataframe.parquet", Kind::Parquet),
    ("LangSmith API", "langsmith", "tests/captures/langsmith/runs_query.api.jsonl.gz", Kind::Lines),
    ("LangSmith bulk export", "langsmith", "tests/captures/langsmith/bulk_export_v2_beta", Kind::Parquet),
    ("Datadog span events", "datadog", "tests/captures/datadog/span_events.jsonl.gz", Kind::Lines),
    ("Datadog export pages", "datadog", "tests/captures/datadog/export_api.pages.jsonl.gz", Kind::Lines),
    ("Langfuse JSONL", "langfuse", "tests/captures/langfuse/clx7acmesupport0001/observations_v2/2026-11-23T09-29-38.jsonl.gz", Kind::Lines),
    ("Langfuse JSON", "langfuse", "tests/captures/langfuse/clx7acmesupport0001/observations_v2/2026-11-23T09-29-38.json.gz", Kind::List),
    ("Langfuse CSV", "langfuse", "tests/captures/langfuse/clx7acmesupport0001/observations_v2/2026-11-23T09-29-38.csv.gz", Kind::Csv),
    (
        "Langfuse Parquet",
        "langfuse",
        "tests/captures/langfuse/clx7acmesupport0001/observations_v2/2026-11-23T09-29-38.parquet",
        Kind::Parquet,
    ),
    ("failsift", "failsift", "data/samples/failsift/invoice-reader.jsonl", Kind::Lines),
];

fn main() {
    let megabytes = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(40);
    let folder = tempfile::tempdir().expect("a folder for the input");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("{:<24}{:>8}{:>9}{:>12}{:>12}{:>9}  bound", "", "MB", "spans", "failsift s", "bound s", "ratio");
    let filter = std::env::args().skip(1).find(|argument| argument.parse::<usize>().is_err() && !argument.starts_with('-'));
    for (title, format, capture, kind) in CASES {
        if filter.as_ref().is_some_and(|filter| !title.contains(filter.as_str())) {
            continue;
        }
        let format = FORMATS.into_iter().find(|known| known.name() == format).expect("a format of that name");
        let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join(capture);
        let input = folder.path().join("input");
        write_input(&capture, kind, &input, megabytes * 1_000_000);
        let bytes = fs::metadata(&input).expect("the input").len();
        let mut spans = 0;
        let own = fastest(|| spans = runtime.block_on(parse(format, &input)));
        let (bound, bound_name) = match kind {
            Kind::Lines | Kind::List => (fastest(|| parse_to_values(&input, kind)), "serde_json::Value"),
            Kind::Csv => (fastest(|| read_csv(&input)), "csv crate"),
            Kind::Messages => (fastest(|| read_bytes(&input)), "copying the messages"),
            Kind::Parquet => (fastest(|| runtime.block_on(scan(&input))), "DataFusion scan"),
        };
        // The goal for JSON is a rate (higher is better), for the others a time.
        let (bound_seconds, own_seconds) = (bound.as_secs_f64(), own.as_secs_f64());
        let ratio = match kind {
            Kind::Lines | Kind::List => format!("{:.2} x rate", bound_seconds / own_seconds),
            _ => format!("{:.2} x time", own_seconds / bound_seconds),
        };
        println!("{title:<24}{:>8.1}{spans:>9}{own_seconds:>12.3}{bound_seconds:>12.3}  {ratio}  {bound_name}", bytes as f64 / 1e6);
        fs::remove_file(&input).expect("remove the input");
    }
}

fn fastest(mut work: impl FnMut()) -> Duration {
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..RUNS).map(|_| time(&mut work)).min().unwrap_or_default()
}

/// Reads and parses an object; returns the number of spans.
async fn parse(format: &dyn Format, path: &Path) -> u64 {
    let location = Location::parse(&path.display().to_string()).expect("a location");
    let nowhere = store::table_url("failsift-out").expect("a location");
    let objects = store::objects(&[location], &nowhere, false).await.expect("the input");
    let options = ReadOptions { record_bytes_max: RECORD_BYTES_MAX };
    let mut chunks = read::chunks(objects, options, Arc::new(ReadCounts::default()), &FatalError::default(), CancellationToken::new());
    let mut spans = 0;
    while let Some(chunk) = chunks.next().await {
        let mut out = ParsedChunk::default();
        match chunk.expect("a chunk") {
            Chunk::Records(records) => {
                for (position, record) in records.iter() {
                    let location = RecordLocation { uri: &records.object.uri, modified_at_ns: 0, position, span: None };
                    if records.binary {
                        let _counted_by_its_spans = format.parse_message(record, &location, &mut out);
                    } else {
                        let text = std::str::from_utf8(record).expect("UTF-8");
                        let _counted_by_its_spans = format.parse_json(text, &location, &mut out).expect("JSON");
                    }
                }
            }
            Chunk::Rows(rows) => {
                let position = Position::Row(rows.first_row);
                let location = RecordLocation { uri: &rows.object.uri, modified_at_ns: 0, position, span: None };
                std::hint::black_box(format.parse_rows(&rows.batch, &location, &mut out));
            }
            Chunk::Skipped(_) => {}
        }
        assert!(out.rejections().is_empty(), "{:?}", out.rejections().first());
        spans += out.fragments().len() as u64;
        std::hint::black_box(out);
    }
    spans
}

/// The bound for JSON: parsing every record to a `serde_json::Value`.
fn parse_to_values(path: &Path, kind: Kind) {
    let text = fs::read_to_string(path).expect("the input");
    if kind == Kind::List {
        std::hint::black_box(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"));
        return;
    }
    for line in text.lines() {
        std::hint::black_box(serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    }
}

/// The bound for CSV: splitting it into cells.
fn read_csv(path: &Path) {
    let mut reader = csv::Reader::from_path(path).expect("the input");
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).expect("CSV") {
        std::hint::black_box(&record);
    }
}

/// The bound for protobuf: reading the bytes.
fn read_bytes(path: &Path) {
    std::hint::black_box(fs::read(path).expect("the input"));
}

/// The bound for Parquet: DataFusion decoding all columns on one core.
async fn scan(path: &Path) {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let options = ParquetReadOptions::default().file_extension("");
    let table = context.read_parquet(path.display().to_string(), options).await.expect("the input");
    let mut rows = table.execute_stream().await.expect("a plan");
    while let Some(batch) = rows.next().await {
        std::hint::black_box(batch.expect("a batch"));
    }
}

/// Writes copies of a capture until the file has `bytes_min` bytes.
fn write_input(capture: &Path, kind: Kind, to: &Path, bytes_min: usize) {
    if kind == Kind::Parquet {
        return write_parquet(capture, to, bytes_min / 10);
    }
    let mut whole = Vec::new();
    let file = File::open(capture).expect("a capture");
    if capture.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::MultiGzDecoder::new(file).read_to_end(&mut whole).expect("a capture");
    } else {
        File::open(capture).expect("a capture").read_to_end(&mut whole).expect("a capture");
    }
    let mut out = std::io::BufWriter::new(File::create(to).expect("the input"));
    let (head, part, tail): (&[u8], &[u8], &[u8]) = match kind {
        Kind::List => (b"[", whole.trim_ascii().get(1..whole.trim_ascii().len() - 1).expect("a list"), b"]"),
        Kind::Csv => whole.split_at(whole.iter().position(|byte| *byte == b'\n').expect("a header") + 1).into_parts(),
        _ => (b"", &whole, b""),
    };
    out.write_all(head).expect("write the input");
    let mut written = 0;
    while written < bytes_min {
        if written > 0 && kind == Kind::List {
            out.write_all(b",").expect("write the input");
        }
        out.write_all(part).expect("write the input");
        written += part.len();
    }
    out.write_all(tail).expect("write the input");
}

trait IntoParts<'a> {
    fn into_parts(self) -> (&'a [u8], &'a [u8], &'a [u8]);
}

impl<'a> IntoParts<'a> for (&'a [u8], &'a [u8]) {
    fn into_parts(self) -> (&'a [u8], &'a [u8], &'a [u8]) {
        (self.0, self.1, b"")
    }
}

/// Writes copies of all rows below `capture` into one file, compressed like an export, until they take `bytes_min` bytes in memory.
fn write_parquet(capture: &Path, to: &Path, bytes_min: usize) {
    let mut batches: Vec<RecordBatch> = Vec::new();
    for file in parquet_files(capture) {
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).expect("a capture")).expect("a capture");
        batches.extend(reader.build().expect("a capture").map(|batch| batch.expect("a batch")));
    }
    let schema = batches.first().expect("a batch").schema();
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_compression(parquet::basic::Compression::ZSTD(parquet::basic::ZstdLevel::default()))
        .build();
    let mut writer = ArrowWriter::try_new(File::create(to).expect("the input"), schema, Some(properties)).expect("a writer");
    let mut written = 0;
    while written < bytes_min {
        for batch in &batches {
            writer.write(batch).expect("write the input");
            written += batch.get_array_memory_size();
        }
    }
    writer.close().expect("write the input");
}

fn parquet_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut found: Vec<PathBuf> =
        fs::read_dir(path).expect("a folder").flat_map(|entry| parquet_files(&entry.expect("an entry").path())).collect();
    found.sort();
    found
}
