//! Every limit of the program, with the reason for its value. Everything that grows is bounded by one of these.
//!
//! Names end in the unit and `_MAX` or `_MIN`. Limits that a flag or a pipeline file can change name the flag.

use std::time::Duration;

// Reading.

/// Largest record (a line) that is read into memory; `--max-record-bytes` overrides it. The OpenTelemetry Collector keeps OTLP batches
/// below 4 MiB by default, so four times that leaves room for long documents.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of complete lines that the reader hands to the parser at a time: large enough that handing over takes no noticeable time,
/// small enough that the queues below take only a few MiB.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// Records in one chunk. With records of a few bytes, 512 KiB of them would take about a hundred MiB once parsed.
pub const CHUNK_RECORDS_MAX: usize = 4_096;

/// Chunks queued between the reader of one object and the parser.
pub const CHUNKS_QUEUED_MAX: usize = 2;

/// Objects read concurrently.
pub const OBJECTS_IN_FLIGHT_MAX: usize = 4;

/// File names queued between the listing of a local folder and the reader. Listing is much faster than reading, and a folder may
/// contain millions of files.
pub const LISTED_NAMES_QUEUED_MAX: usize = 256;

/// Keys per page when listing a bucket: the maximum of S3.
pub const LIST_PAGE_KEYS_MAX: usize = 1_000;

/// Ratio of decompressed to compressed bytes of an object, checked from [`DECOMPRESSION_CHECK_BYTES_MIN`] on. JSON logs compress by a
/// factor of 10 to 50, decompression bombs by 1,000 and more.
pub const DECOMPRESSION_RATIO_MAX: u64 = 500;

/// Decompressed bytes from which [`DECOMPRESSION_RATIO_MAX`] is checked. Short repetitive files compress extremely well and are harmless.
pub const DECOMPRESSION_CHECK_BYTES_MIN: u64 = 256 * 1024 * 1024;

/// Window of a zstd frame as a power of two: the value of `zstd --long`, at most 128 MiB per object.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Memory for decompressing an xz file; `xz -9` needs 65 MiB.
pub const XZ_MEMORY_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Layers of compression and encoding that are removed from an object: compressed, compressed again by the uploader, and one encoding.
pub const ENCODING_LAYERS_MAX: usize = 3;

/// Size of a Parquet file that is copied to a temporary file because it is compressed, or is read from a pipe or a web server. Trace files
/// have a few hundred megabytes.
pub const SPOOLED_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// Entries of a zip archive. A large evaluation log has tens of thousands.
pub const ARCHIVE_ENTRIES_MAX: usize = 200_000;

/// Archives in each other that are opened: an archive of evaluation logs, each of which is an archive.
pub const ARCHIVES_NESTED_MAX: usize = 2;

/// Bytes read from the end of a Parquet file in the first request; most footers are shorter.
pub const PARQUET_FOOTER_BYTES: usize = 64 * 1024;

/// Rows of a Parquet batch. Batches of spans with a hundred kilobytes each still have only a few MiB.
pub const PARQUET_BATCH_ROWS: usize = 64;

/// Columns of a table. The widest known exports have a few hundred; each column takes some kilobytes even if it is empty.
pub const TABLE_COLUMNS_MAX: usize = 4_096;

/// Size of a rule, detector, price or settings file, or of a key. Hand-written files have a few kilobytes.
pub const TEXT_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Length of the format of a variable such as `{date:%Y/%m/%d}`. Formats of paths have ten to thirty characters.
pub const VARIABLE_FORMAT_BYTES_MAX: usize = 128;

/// Alternatives of a glob within alternatives. People write two levels; each takes stack.
pub const GLOB_DEPTH_MAX: usize = 16;

// Parsing.

/// Memory of one parsed record, per byte of its JSON or protobuf and in addition to [`PARSED_BYTES_BASE`]. An empty object of two bytes
/// becomes a structure of some hundred bytes; real records grow by a factor of two to five.
pub const PARSED_GROWTH_RATIO_MAX: usize = 4;

/// Memory that every parsed record may take regardless of its size; see [`PARSED_GROWTH_RATIO_MAX`].
pub const PARSED_BYTES_BASE: usize = 32 * 1024 * 1024;

/// Spans, log records and messages in one record. One more than a trace may have: a larger record would be rejected anyway.
pub const RECORD_SPANS_MAX: usize = TRACE_SPANS_MAX + 1;

/// Rejections reported individually for one record; one further rejection counts the rest.
pub const RECORD_REJECTIONS_MAX: usize = 100;

/// Items that one span keeps of each kind: messages, tool calls, documents, exceptions.
pub const SPAN_ITEMS_MAX: usize = 10_000;

/// Exceptions of one span that are analyzed, half of them its first and half its last. A retry loop may record thousands.
pub const EXCEPTIONS_READ_MAX: usize = 32;

/// Spans in one trace. Longer traces are rejected: nobody reads them, and the instrumentation is the better place to find a loop of 50,000
/// steps.
pub const TRACE_SPANS_MAX: usize = 50_000;

/// Length of a trace or span id. Ids appear in keys, in file names and in every row. Real ids have up to a hundred bytes; the location of a
/// record, which replaces a missing id, is as long as its URI.
pub const ID_BYTES_MAX: usize = 1_024;

/// Length of a service or environment name.
pub const NAME_BYTES_MAX: usize = 256;

// Gathering.

/// Size of one gathered trace.
pub const TRACE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Memory that gathering uses before it spills to disk; `--memory-limit` overrides it.
pub const GATHER_MEMORY_BYTES: usize = 96 * 1024 * 1024;

/// Concurrent sorts that gather traces, each with its share of the memory and of the traces.
pub const GATHER_PARTITIONS: usize = 2;

/// Gathered traces queued between the sorts and the decoder.
pub const GATHERED_QUEUED_MAX: usize = 16;

/// Size of the parts into which an encoded span is split; gathering sorts each part as one row. This bounds the size of a batch of rows.
pub const GATHER_ROW_BYTES_MAX: usize = 32 * 1024;

/// Bytes of a batch of rows that enters the sort, which reserves twice as much memory.
pub const GATHER_BATCH_BYTES: usize = 1024 * 1024;

/// Rows of a batch inside the sort: at most 2 MiB with [`GATHER_ROW_BYTES_MAX`]. A merge keeps a few batches per spill file in memory.
pub const GATHER_BATCH_ROWS: usize = 64;

/// Annotations that wait for spans of other objects. Further ones are dropped with a warning.
pub const ANNOTATION_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Uploaded message bodies fetched concurrently.
pub const MESSAGE_BODIES_IN_FLIGHT_MAX: usize = 8;

/// Message bodies that one trace may reference. A loop that uploads every turn must not cause a million requests.
pub const MESSAGE_BODIES_PER_TRACE_MAX: usize = 1_000;

// Inspecting.

/// Objects that `inspect` reports individually.
pub const INSPECTED_OBJECTS_MAX: usize = 10_000;

/// Unmapped field names that `inspect` collects per object.
pub const INSPECTED_FIELDS_MAX: usize = 1_000;

/// Distinct traces that `inspect` counts per object.
pub const INSPECTED_TRACES_MAX: usize = 1_000_000;

// CPU stages.

/// Traces that a CPU stage hands to the thread pool at a time.
pub const TRACES_PER_TASK: usize = 16;

/// Concurrent batches of a CPU stage: one for each of a few cores and one waiting.
pub const TASKS_IN_FLIGHT_MAX: usize = 4;

// Analyzing.

/// Traces analyzed concurrently.
pub const ANALYSES_IN_FLIGHT_MAX: usize = 32;

/// Time that the analyzer may spend on one trace; `--trace-timeout` overrides it.
pub const TRACE_TIMEOUT: Duration = Duration::from_secs(10);

/// Length of an excerpt.
pub const EXCERPT_CHARS_MAX: usize = 240;

/// Excerpts and signals in one pattern.
pub const EVIDENCE_ITEMS_MAX: usize = 12;

/// Bytes at each end of a long text that rules search. Error causes are at the start of a message or at the end of a stack trace.
pub const RULE_TEXT_END_BYTES_MAX: usize = 4 * 1024;

/// Dialogue turns that the embedded analyzer reads; the longest labelled run has 130.
pub const DIALOGUE_TURNS_MAX: usize = 2_000;

/// Bytes of a dialogue that are searched for signals: a few milliseconds of work.
pub const DIALOGUE_TEXT_BYTES_MAX: usize = 1024 * 1024;

/// Size of a label file, decompressed.
pub const LABEL_FILE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

// Models.

/// Concurrent requests to a model; `--concurrency` overrides it. Also the number of answers that a killed run can lose.
pub const MODEL_CALLS_IN_FLIGHT_DEFAULT: usize = 8;

/// Largest value of `--max-concurrency`: each call keeps a trace, its prompt and a connection.
pub const MODEL_CALLS_IN_FLIGHT_MAX: usize = 512;

/// Approximate model tokens of a prompt with its instructions; `--prompt-tokens` overrides it. Most traces fit completely; longer prompts
/// cost more and take longer.
pub const PROMPT_TOKENS_DEFAULT: usize = 12_000;

/// Model tokens of an answer, including thinking; `--output-tokens` overrides it. An answer has some 400, brief thinking another 1,000.
pub const OUTPUT_TOKENS_DEFAULT: u64 = 4_096;

/// Spans in a prompt. Each takes a line, and selecting them takes time.
pub const PROMPT_SPANS_MAX: usize = 400;

/// Facts in a prompt. A failure has five to fifteen.
pub const PROMPT_FACTS_MAX: usize = 24;

/// Bytes of all facts in a prompt: some 700 model tokens.
pub const PROMPT_FACT_BYTES_MAX: usize = 2_000;

/// Bytes of a trace that are searched for the numbers of an answer, a tenth of a second of work. Numbers that are not found in a longer trace count
/// as supported.
pub const NUMBERS_SEARCHED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Length of the `model` column: the model name that a server reports.
pub const MODEL_NAME_CHARS_MAX: usize = 200;

/// Size of a provider's response.
pub const RESPONSE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Size of a response that is parsed as JSON on the async thread: a tenth of a millisecond. Larger ones go to the thread pool.
pub const RESPONSE_BYTES_PARSED_INLINE_MAX: usize = 32 * 1024;

/// Model tokens that a provider can plausibly report for one request: the largest context windows have two million. Higher counts are a
/// bug of the provider and are replaced by estimates.
pub const REPORTED_TOKENS_MAX: u64 = 4_000_000;

/// Longest pause between two requests to a model, regardless of the provider's rate limits, so that a run never stalls.
pub const REQUEST_INTERVAL_MAX: Duration = Duration::from_mins(10);

/// Consecutive traces without a usable answer after which a run stops asking the model. A small model that fails at three of ten traces
/// has ten consecutive failures once in 200,000 traces.
pub const CONSECUTIVE_UNUSABLE_ANSWERS_MAX: u32 = 10;

/// Consecutive traces without a usable answer after which a run stops asking the model to repair an unusable answer.
pub const CONSECUTIVE_REPAIRS_MAX: u32 = 3;

// Summaries.

/// Distinct reasons that the run summary reports; further ones are counted by kind.
pub const DISTINCT_REASONS_MAX: usize = 50;

/// Failures in the run summary. The table `errors` has all of them.
pub const SUMMARY_FAILURES_MAX: usize = 10_000;

/// Skipped objects in the run summary.
pub const SUMMARY_SKIPPED_OBJECTS_MAX: usize = 1_000;

/// Share of received traces that may fail before a run ends with exit code 3; `--max-error-rate` overrides it. A few broken lines are
/// normal; one in ten indicates a broken export.
pub const ERROR_RATE_MAX: f64 = 0.10;

// Querying.

/// Length of an SQL query: a list of a few thousand ids.
pub const QUERY_BYTES_MAX: usize = 256 * 1024;

/// Operators, keywords and joins in a query. Each may make the plan one level deeper, and [`THREAD_STACK_BYTES`] has room for that depth.
pub const QUERY_OPERATORS_MAX: usize = 2_000;

/// Stack of the threads that plan and run queries: 16 KiB for each level of [`QUERY_OPERATORS_MAX`]. Unused stack takes no memory.
pub const THREAD_STACK_BYTES: usize = 32 * 1024 * 1024;

/// Memory for the sorts, joins, groups and single values of a query; `--memory-limit` overrides it. Sorts that need more spill to disk.
pub const QUERY_MEMORY_BYTES: usize = 512 * 1024 * 1024;

/// Rows of a batch in a query. A sort that spilled holds a batch of each file in memory, and a row of `patterns` has several kilobytes.
pub const QUERY_BATCH_ROWS: usize = 1024;

/// Size of the files to which a query spills.
pub const QUERY_SPILL_BYTES_MAX: u64 = 20 * 1024 * 1024 * 1024;

/// Memory that a query may use in addition to [`QUERY_MEMORY_BYTES`]: batches in flight, decoded row groups, table metadata.
pub const QUERY_UNTRACKED_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Time that a query may take; `--timeout` overrides it. Reading a large input for the table `spans` takes minutes.
pub const QUERY_TIMEOUT: Duration = Duration::from_mins(30);

/// How often the memory and time of a running query are checked. Memory can grow by some 50 MB between two checks.
pub const QUERY_GUARD_INTERVAL: Duration = Duration::from_millis(10);

/// Spans per batch of the table `spans`.
pub const SPAN_BATCH_ROWS: usize = 256;

// Staging and committing.

/// Finished rows collected before they are staged: about 500 per bucket, which make a row group that a commit copies unchanged.
pub const STAGED_BATCH_ROWS: usize = 8_192;

/// Batches of [`STAGED_BATCH_ROWS`] encoded and staged concurrently while the next one is collected.
pub const STAGING_IN_FLIGHT_MAX: usize = 2;

/// Longest time that a finished row waits to be staged: the work of a free analyzer that a killed run can lose.
pub const STAGE_INTERVAL: Duration = Duration::from_secs(5);

/// Time for running analyses and for recording unanalyzed traces after a shutdown was requested and finished rows were committed.
/// A quarter of the longest time that schedulers usually grant between SIGTERM and SIGKILL, because the last commit needs time too.
pub const SHUTDOWN_GRACE_PERIOD: Duration = Duration::from_secs(15);

/// Rows in a row group of a table. Small, because an upsert decodes every row group with a superseded row.
pub const ROW_GROUP_ROWS: usize = 1_024;

/// Row groups with fewer rows are merged and encoded again instead of being copied.
pub const ROW_GROUP_ROWS_COPIED_MIN: usize = 256;

/// Compressed size of a data file, which is built in memory and uploaded in one request.
pub const DATA_FILE_TARGET_BYTES: usize = 16 * 1024 * 1024;

/// Compressed bytes of all data files under construction. When they exceed this, the largest one is uploaded.
pub const DATA_FILES_OPEN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Concurrent requests to the object store during a commit: uploads of data files and lookups of staged files.
pub const STORE_REQUESTS_IN_FLIGHT_MAX: usize = 8;

/// Bytes of row groups fetched for copying in one request.
pub const COPY_REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Size below which a data file counts as small; small files are compacted when a bucket has [`SMALL_FILES_PER_BUCKET_MAX`] of them.
pub const SMALL_FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Small data files that a bucket keeps. Readers need a request for each, and each compaction rewrites all of them.
pub const SMALL_FILES_PER_BUCKET_MAX: usize = 8;

/// Data files whose keys are read concurrently. With remote storage this is latency rather than work.
pub const KEY_READS_IN_FLIGHT_MAX: usize = 8;

/// Buckets that an upsert rewrites concurrently, each with a data file and a few row groups in memory.
pub const REWRITES_IN_FLIGHT_MAX: usize = 4;

/// Interval between two heartbeats of a run.
pub const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);

/// Time without a heartbeat after which a run on another machine counts as interrupted.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(90);

/// Partitions of `patterns`, `errors` and `fingerprints` in a new table.
pub const TABLE_BUCKETS: i32 = 16;

/// Retries of a request whose response was truncated.
pub const TRUNCATED_RESPONSE_RETRIES_MAX: u32 = 10;

/// Attempts to commit while other writers commit first.
pub const COMMIT_ATTEMPTS_MAX: usize = 30;

/// Attempts to commit while the object store fails. The store client retries idempotent requests, and a conditional write is not one.
pub const COMMIT_STORE_FAILURES_MAX: usize = 4;

/// How long `maintain` keeps files that no table version references, for readers that still use them; `--retention` overrides it.
pub const RETENTION_DEFAULT: Duration = Duration::from_hours(7 * 24);

// Facts.

/// Facts of one pattern, as in the schema. An expert cites five to ten, and looks up others.
pub const FACTS_MAX: usize = 60;

/// Characters of the value of a fact.
pub const FACT_CHARS_MAX: usize = 200;

/// Incidents listed in one pattern.
pub const INCIDENTS_LISTED_MAX: usize = 40;

/// Incidents of one trace that are named for the list. A run that fails a thousand times fails in few ways.
pub const INCIDENTS_NAMED_MAX: usize = 12;

/// Spans in the tree around the failed one: what fits on a page.
pub const TREE_SPANS_MAX: usize = 14;

/// Items of that tree: its spans and the counts of those that are left out.
pub const TREE_ITEMS_MAX: usize = 24;

// Fingerprints.

/// Fingerprints of one run that are counted. A run over a million traces of one application has some hundreds; traces with further ones are
/// counted together. Each takes about a kilobyte.
pub const FINGERPRINTS_MAX: usize = 10_000;

/// Services of one run whose healthy traces are compared with failed ones. Each takes a few kilobytes.
pub const COMPARED_SERVICES_MAX: usize = 2_000;

/// Distinct values that are counted for each dimension of a fingerprint or service. A value that sets failed traces apart is one of few.
pub const COMPARED_VALUES_MAX: usize = 64;

/// Length of a value that is compared, such as a version or an instance.
pub const COMPARED_VALUE_BYTES_MAX: usize = 128;

/// Distinct values of one run that are compared, in all dimensions: with [`COMPARED_VALUE_BYTES_MAX`], some ten megabytes.
pub const COMPARED_VALUES_OF_RUN_MAX: usize = 65_536;

/// Users of one fingerprint that are counted exactly.
pub const USERS_OF_FINGERPRINT_MAX: u64 = 10_000;

/// Users of all fingerprints of a run that are counted exactly: some ten megabytes.
pub const USERS_OF_RUN_MAX: usize = 500_000;

/// Models or tools of one trace that are compared. Agents have some dozens of tools and call few of them.
pub const USED_NAMES_MAX: usize = 32;

/// Length of the name of a model or tool that is compared.
pub const USED_NAME_BYTES_MAX: usize = COMPARED_VALUE_BYTES_MAX;

/// Differences of one fingerprint: as many as a person reads.
pub const DIFFERENCES_MAX: usize = 5;
