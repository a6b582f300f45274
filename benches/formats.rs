//! Reading and parsing of each format on one core, beside a floor that is measured in the same run: for JSON, parsing the same records
//! to `serde_json::Value`; for Parquet, DataFusion scanning the same columns; for CSV, the `csv` crate alone; for protobuf, the same
//! spans as JSON.
//!
//! ```text
//! cargo bench --bench formats                        # release: for the figures
//! cargo bench --profile dev --bench formats -- 5     # only 5 MB of each, with the development profile
//! cargo bench --bench formats -- 40 Langfuse         # only those whose name holds a word
//! ```
//!
//! Input is made from `tests/captures` and `data/samples`, repeated until it is large enough. Nothing is gathered: that costs the same
//! for every format, and `main_job` measures it.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and ends where its set-up fails"
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

/// Runs of each measurement; the fastest counts, because the machine is shared.
const RUNS: usize = 5;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Lines,
    List,
    Csv,
    Messages,
    Parquet,
}

/// `(what, format, capture, how it is written)`
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a run-time");
    println!("{:<24}{:>8}{:>9}{:>12}{:>12}{:>9}  floor", "", "MB", "spans", "failsift s", "floor s", "ratio");
    let wanted = std::env::args().skip(1).find(|argument| argument.parse::<usize>().is_err() && !argument.starts_with('-'));
    for (what, format, capture, kind) in CASES {
        if wanted.as_ref().is_some_and(|wanted| !what.contains(wanted.as_str())) {
            continue;
        }
        let format = FORMATS.into_iter().find(|known| known.name() == format).expect("a format of that name");
        let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join(capture);
        let input = folder.path().join("input");
        make(&capture, kind, &input, megabytes * 1_000_000);
        let bytes = fs::metadata(&input).expect("the input").len();
        let mut spans = 0;
        let own = fastest(|| spans = runtime.block_on(parse(format, &input)));
        let (floor, name) = match kind {
            Kind::Lines | Kind::List => (fastest(|| values(&input, kind)), "serde_json::Value"),
            Kind::Csv => (fastest(|| csv_alone(&input)), "csv crate"),
            Kind::Messages => (fastest(|| frames(&input)), "copying the messages"),
            Kind::Parquet => (fastest(|| runtime.block_on(scan(&input))), "DataFusion scan"),
        };
        // For JSON a rate (higher is better), as the aim is stated; for the others a time.
        let (floor_seconds, own_seconds) = (floor.as_secs_f64(), own.as_secs_f64());
        let ratio = match kind {
            Kind::Lines | Kind::List => format!("{:.2} x rate", floor_seconds / own_seconds),
            _ => format!("{:.2} x time", own_seconds / floor_seconds),
        };
        println!("{what:<24}{:>8.1}{spans:>9}{own_seconds:>12.3}{floor_seconds:>12.3}  {ratio}  {name}", bytes as f64 / 1e6);
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

/// Reads and parses an object; returns how many spans came out.
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

/// The floor of JSON: every record to a `serde_json::Value`.
fn values(path: &Path, kind: Kind) {
    let text = fs::read_to_string(path).expect("the input");
    if kind == Kind::List {
        std::hint::black_box(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"));
        return;
    }
    for line in text.lines() {
        std::hint::black_box(serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    }
}

fn csv_alone(path: &Path) {
    let mut reader = csv::Reader::from_path(path).expect("the input");
    let mut record = csv::ByteRecord::new();
    while reader.read_byte_record(&mut record).expect("CSV") {
        std::hint::black_box(&record);
    }
}

/// The floor of messages: reading the bytes.
fn frames(path: &Path) {
    std::hint::black_box(fs::read(path).expect("the input"));
}

/// The floor of Parquet: DataFusion decoding all columns on one core.
async fn scan(path: &Path) {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let options = ParquetReadOptions::default().file_extension("");
    let table = context.read_parquet(path.display().to_string(), options).await.expect("the input");
    let mut rows = table.execute_stream().await.expect("a plan");
    while let Some(batch) = rows.next().await {
        std::hint::black_box(batch.expect("a batch"));
    }
}

/// Repeats a capture until it is as large as asked for.
fn make(capture: &Path, kind: Kind, to: &Path, bytes_min: usize) {
    if kind == Kind::Parquet {
        return make_parquet(capture, to, bytes_min / 10);
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

/// One file with the rows of all below `capture`, so often that their text is as large as asked for; packed as exports are.
fn make_parquet(capture: &Path, to: &Path, bytes_min: usize) {
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
