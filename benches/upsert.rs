//! Time and memory of an upsert of 1,000 patterns into a table of a million (1.4 KB each, 16 buckets), relative to Delta's MERGE through the
//! same crate on the same table; and of writing 100,000 new patterns, relative to one plain Parquet file with the same batches. Each upsert is
//! a separate process, so that its peak memory can be measured.
//!
//! ```text
//! cargo bench --bench upsert                          # release: for the figures
//! cargo bench --profile dev --bench upsert -- 20000   # a small table and unoptimized DataFusion: not for the figures
//! ```

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and panics if its setup fails"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use failsift::model::{Draft, Evidence, EvidenceKind, Fact, FailedStep, Label, RunSummary, Source, TraceProfile, TraceUsage};
use failsift::runtime::Shutdown;
use failsift::store;
use failsift::tables::{TableName, open_existing};
use failsift::validate::{self, Pattern, PatternSchema};
use failsift::write::{WriteOptions, Writer};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

const UPSERTED: u64 = 1_000;
/// Limit of the peak memory of an upsert.
const PEAK_MB_MAX: f64 = 512.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["ours", location, rows, kind] => runtime.block_on(ours(location, rows.parse().expect("a count"), kind)),
        ["merge", location, rows, kind] => runtime.block_on(merge(location, rows.parse().expect("a count"), kind)),
        ["many", folder, rows] => runtime.block_on(compare_with_plain_parquet(Path::new(folder), rows.parse().expect("a count"))),
        ["fill", location, rows] => runtime.block_on(fill(location, rows.parse().expect("a count"))),
        rest => compare(&runtime, rest.first().map_or(1_000_000, |rows| rows.parse().expect("a count of rows"))),
    }
}

fn compare(runtime: &tokio::runtime::Runtime, rows: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("base");
    child(&["fill", text(&base), &rows.to_string()]);
    let (files, bytes) = runtime.block_on(size(text(&base)));
    println!("table of {rows} rows: {files} files, {:.0} MB\n", bytes as f64 / 1e6);
    println!("{:>10}  {:>9}  {:>9}  {:>9}  {:>9}  {:>6}", "upserted", "ours s", "ours MB", "MERGE s", "MERGE MB", "ratio");
    for kind in ["new", "half", "replacing"] {
        let measured: Vec<(f64, f64)> = ["ours", "merge"]
            .iter()
            .map(|who| {
                let copy = folder.path().join(format!("{who}-{kind}"));
                // Files of a table never change, so hard links are enough.
                let copied = Command::new("cp").args(["-al", text(&base), text(&copy)]).status().expect("cp");
                assert!(copied.success());
                let measured = child(&[who, text(&copy), &rows.to_string(), kind]);
                let counted = runtime.block_on(count(text(&copy)));
                let expected = rows
                    + match kind {
                        "new" => UPSERTED,
                        "half" => UPSERTED / 2,
                        _ => 0,
                    };
                assert_eq!(counted, (expected, expected), "{who} {kind}");
                measured
            })
            .collect();
        let [(ours, ours_mb), (merge, merge_mb)] = measured.as_slice() else { panic!("two are measured") };
        println!("{kind:>10}  {ours:>9.2}  {ours_mb:>9.0}  {merge:>9.2}  {merge_mb:>9.0}  {:>6.2}", ours / merge);
        assert!(*ours_mb < PEAK_MB_MAX, "an upsert used {ours_mb:.0} MB of memory");
    }
    let many = (rows / 10).max(1_000);
    // The time of disk writes varies, so the median of five runs counts.
    let mut runs: Vec<(f64, f64)> = (0..5)
        .map(|run| {
            let run_folder = folder.path().join(format!("many-{run}"));
            std::fs::create_dir(&run_folder).expect("a folder");
            child(&["many", text(&run_folder), &many.to_string()])
        })
        .collect();
    runs.sort_by(|(ours, plain), (other, other_plain)| (ours / plain).total_cmp(&(other / other_plain)));
    let shown: Vec<String> = runs.iter().map(|(ours, plain)| format!("{:.2}", ours / plain)).collect();
    let (ours, plain) = runs[2];
    println!("\n{many} new patterns: {ours:.2} s, the same batches as plain Parquet {plain:.2} s, ratios {}", shown.join(", "));
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

/// Runs a phase in a separate process; returns seconds and peak megabytes.
fn child(arguments: &[&str]) -> (f64, f64) {
    let output = Command::new(std::env::current_exe().expect("this program")).args(arguments).output().expect("start a phase");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout);
    let mut numbers = printed.split_whitespace().map(|number| number.parse().expect("a number"));
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

/// Prints what [`child`] reads: the time and the peak memory of this process.
fn print_measurement(time: Duration) {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let peak_kb: f64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
    println!("{} {}", time.as_secs_f64(), peak_kb / 1e3);
}

async fn fill(location: &str, rows: u64) {
    let start = Instant::now();
    let mut first = 0;
    // In several runs, like a real table.
    while first < rows {
        let last = (first + 250_000).min(rows);
        write(location, first..last).await;
        first = last;
    }
    print_measurement(start.elapsed());
}

/// Ids of the upserted patterns: ids from `rows` on are new, ids below it replace rows.
fn upserted(rows: u64, kind: &str) -> Vec<u64> {
    let step = (rows / UPSERTED).max(1);
    let new = match kind {
        "new" => UPSERTED,
        "half" => UPSERTED / 2,
        _ => 0,
    };
    (0..UPSERTED).map(|number| if number < new { rows + number } else { (number * step) % rows }).collect()
}

async fn ours(location: &str, rows: u64, kind: &str) {
    let patterns = patterns(upserted(rows, kind)).await;
    let start = Instant::now();
    write_patterns(location, patterns).await;
    print_measurement(start.elapsed());
}

async fn merge(location: &str, rows: u64, kind: &str) {
    let incoming = tempfile::tempdir().expect("a folder");
    write_patterns(text(incoming.path()), patterns(upserted(rows, kind)).await).await;
    let batches = read(text(incoming.path())).await;
    let start = Instant::now();
    let table = open(location).await;
    let context = SessionContext::new();
    let source = context.read_batches(batches).expect("a source");
    let columns: Vec<String> = source.schema().fields().iter().map(|field| field.name().clone()).collect();
    let set = |name: &String| (name.clone(), format!("source.{name}"));
    table
        .merge(source, "target.trace_id = source.trace_id")
        .with_source_alias("source")
        .with_target_alias("target")
        .when_matched_update(|update| columns.iter().map(set).fold(update, |update, (name, value)| update.update(name, value)))
        .expect("an update")
        .when_not_matched_insert(|insert| columns.iter().map(set).fold(insert, |insert, (name, value)| insert.set(name, value)))
        .expect("an insert")
        .await
        .expect("a merge");
    print_measurement(start.elapsed());
}

async fn compare_with_plain_parquet(folder: &Path, rows: u64) {
    let location = folder.join("many");
    let rows = patterns((0..rows).collect()).await;
    let start = Instant::now();
    write_patterns(text(&location), rows).await;
    let ours = start.elapsed();
    let batches = read(text(&location)).await;
    let level = ZstdLevel::try_new(3).expect("a level");
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
    let start = Instant::now();
    let file = std::fs::File::create(folder.join("plain.parquet")).expect("a file");
    let schema = batches.first().expect("rows").schema();
    let mut writer = ArrowWriter::try_new(file, schema, Some(properties)).expect("a writer");
    for batch in &batches {
        writer.write(batch).expect("write");
    }
    writer.into_inner().expect("write").sync_all().expect("on the disk");
    println!("{} {}", ours.as_secs_f64(), start.elapsed().as_secs_f64());
}

async fn open(location: &str) -> deltalake_core::DeltaTable {
    let url = store::table_url(location).expect("a location");
    open_existing(&url, TableName::Patterns, None).await.expect("a table that opens").expect("a table")
}

async fn size(location: &str) -> (usize, i64) {
    let table = open(location).await;
    let state = table.snapshot().expect("a state");
    let files: Vec<_> = state.snapshot().file_views(table.log_store().as_ref(), None).try_collect().await.expect("files");
    (files.len(), files.iter().map(deltalake_core::kernel::LogicalFileView::size).sum())
}

async fn read(location: &str) -> Vec<RecordBatch> {
    let provider = open(location).await.table_provider().await.expect("a provider");
    SessionContext::new().read_table(provider).expect("rows").collect().await.expect("rows")
}

/// Rows and distinct trace ids.
async fn count(location: &str) -> (u64, u64) {
    let provider = open(location).await.table_provider().await.expect("a provider");
    let context = SessionContext::new();
    context.register_table("patterns", provider).expect("a table");
    let counted = context.sql("select count(*), count(distinct trace_id) from patterns").await.expect("SQL").collect().await.expect("rows");
    let number = |column: usize| {
        let values = counted.first().expect("a row").column(column);
        let values = values.as_any().downcast_ref::<arrow::array::Int64Array>().expect("a count");
        u64::try_from(values.value(0)).expect("a count")
    };
    (number(0), number(1))
}

async fn write(location: &str, ids: std::ops::Range<u64>) {
    let drafts = futures::stream::iter(ids.map(|id| Ok(draft(id).into()))).boxed();
    write_outcomes(location, validate::patterns(drafts, PatternSchema::new("a-run").expect("a schema"))).await;
}

async fn patterns(ids: Vec<u64>) -> Vec<Pattern> {
    let drafts = futures::stream::iter(ids.into_iter().map(|id| Ok(draft(id).into()))).boxed();
    let made = validate::patterns(drafts, PatternSchema::new("a-run").expect("a schema"));
    made.map(|pattern| pattern.expect("a pattern that fits the schema")).collect().await
}

async fn write_patterns(location: &str, patterns: Vec<Pattern>) {
    write_outcomes(location, futures::stream::iter(patterns.into_iter().map(Ok)).boxed()).await;
}

async fn write_outcomes(location: &str, outcomes: failsift::model::OutcomeStream<Pattern>) {
    let url = store::table_url(location).expect("a location");
    let run_id = uuid::Uuid::now_v7().to_string();
    let options = WriteOptions { job: "bench".into(), fresh: true, commit_every: None, reuse: None, active: None };
    let mut writer = Writer::begin(&url, &run_id, options, Arc::default()).await.expect("a writer");
    let mut summary = RunSummary::started(run_id, "bench".into(), "2026-11-25T09:00:00Z".into(), "");
    writer.write_outcomes(outcomes, &mut summary, &Shutdown::default()).await.expect("staged");
    summary.received = summary.stored;
    writer.commit(&mut summary, std::collections::HashSet::new(), &|_| None).await.expect("committed");
}

/// A pattern of about 1.4 KB with pseudo-random texts.
fn draft(id: u64) -> Draft {
    const WORDS: [&str; 24] = [
        "the", "tool", "search", "answered", "after", "three", "calls", "with", "an", "error", "status", "timeout", "model", "request",
        "limit", "reached", "context", "window", "schema", "invalid", "retry", "later", "agent", "failed",
    ];
    let mut state = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut words = |bytes: usize| {
        let mut text = String::with_capacity(bytes + 16);
        while text.len() < bytes {
            let number = random();
            match number % 4 {
                0 => text.push_str(&(number >> 40).to_string()),
                _ => text.push_str(WORDS.get(usize::try_from(number >> 32).unwrap_or(0) % WORDS.len()).unwrap_or(&"")),
            }
            text.push(' ');
        }
        text.trim_end().to_owned()
    };
    let excerpt = |text: String| Evidence {
        kind: EvidenceKind::Excerpt,
        span_id: Some(format!("{id:016x}")),
        field: Some("status_message".into()),
        signal: None,
        excerpt: Some(text),
        verified: true,
    };
    Draft {
        trace_id: format!("{:016x}{id:016x}", id.wrapping_mul(0xd6e8_feb8_6659_fd93)),
        title: words(60),
        label: Label::parse("tool_failure/tool_timeout").expect("a label"),
        summary: words(180),
        root_cause_hypothesis: words(180),
        evidence: (0..2).map(|_| excerpt(words(150))).collect(),
        actions: vec![words(100), words(100)],
        confidence: 0.9,
        confidence_rationale: words(80),
        fingerprint: format!("{:016x}", id % 1_000),
        analyzer: "embedded".into(),
        model: "rules-3".into(),
        spans_seen: 12,
        spans_total: 12,
        input_tokens: 0,
        output_tokens: 0,
        cost_usd: 0.0,
        service: Some("shop".into()),
        environment: Some("production".into()),
        trace_started_at_ns: Some(1_795_424_400_000_000_000),
        source: Source { uri: format!("s3://traces/agents/day={}/part.jsonl", id % 30) },
        content_digest: format!("{id:064x}"),
        settings_digest: None,
        facts: (0..20).map(|number| fact(number, id)).collect(),
        step: FailedStep { failed_span_name: Some("lookup".into()), duration_ms: Some(812.5), ..FailedStep::default() },
        profile: TraceProfile { trace_duration_ms: Some(9_120.25), ..TraceProfile::default() },
        incidents: Vec::new(),
        span_tree: Vec::new(),
        usage: TraceUsage::default(),
    }
}

/// One of the facts that a pattern has.
fn fact(number: u64, id: u64) -> Fact {
    Fact {
        name: format!("fact_{number}_ms"),
        value: (id.wrapping_mul(31) % 10_000).to_string(),
        unit: Some("ms".into()),
        span_id: Some(format!("{id:016x}")),
        field: None,
    }
}
