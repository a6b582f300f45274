//! Every cap, and its reason. Nothing in failsift grows without one of these.

/// Largest record (a line) that is taken into memory; `--max-record-bytes` overrides it. OTLP batches of the Collector stay
/// under 4 MiB by default, so four times that leaves room for long documents.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of whole lines that travel from the reader to the parser at once: large enough that a hand-over costs nothing, small
/// enough that the queues below hold a few MiB.
pub const CHUNK_BYTES: usize = 512 * 1024;

/// Chunks that wait between the reader of one object and the parser.
pub const CHUNKS_QUEUED_MAX: usize = 2;

/// Objects that are read at the same time.
pub const OBJECTS_IN_FLIGHT_MAX: usize = 4;

/// Names that wait between the listing of a local folder and the reader: a listing is much faster, and a folder may hold millions.
pub const LISTED_QUEUED_MAX: usize = 256;

/// Keys that a page of a bucket's listing has: what S3 gives at most.
pub const LISTED_PAGE_KEYS_MAX: usize = 1_000;

/// How far an object may grow when decompressed, as a factor, once it has passed [`DECOMPRESSED_BYTES_FREE`]. JSON logs shrink by
/// 10 to 50; a bomb by 1,000 and more.
pub const DECOMPRESSION_RATIO_MAX: u64 = 500;

/// Decompressed bytes that are allowed whatever the ratio: short repetitive files shrink a lot and hurt nobody.
pub const DECOMPRESSED_BYTES_FREE: u64 = 256 * 1024 * 1024;

/// Window of a zstd frame as a power of two: what `zstd --long` uses, and at most 128 MiB for one object.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Memory for unpacking an xz file: `xz -9` needs 65 MiB.
pub const XZ_MEMORY_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Layers that are taken off an object: packed, packed again by what uploaded it, and one of an encoding.
pub const PACKED_LAYERS_MAX: usize = 3;

/// Bytes of a Parquet file that comes through a pipe, from a web server or packed, for which a temporary file is needed. Files of traces
/// have some hundred megabytes.
pub const SPOOLED_BYTES_MAX: u64 = 16 * 1024 * 1024 * 1024;

/// Bytes at the end of a Parquet file that are read at once; most footers are within.
pub const PARQUET_FOOTER_BYTES: usize = 64 * 1024;

/// Rows of a Parquet batch: spans of a hundred kilobytes then still make batches of some MiB.
pub const PARQUET_BATCH_ROWS: usize = 64;

/// Exceptions of one span that are looked at, half of them its first and half its last: a retry loop may record thousands.
pub const EXCEPTIONS_READ_MAX: usize = 32;

/// Characters of the `model` column: what a server says it is.
pub const MODEL_NAME_CHARS_MAX: usize = 200;

/// Records of one chunk: of records of a few bytes, each with what becomes of it, 512 KiB would take a hundred MiB.
pub const CHUNK_RECORDS_MAX: usize = 4_096;

/// Bytes that the parts of one record may take once they are read from JSON or protobuf: [`PARSED_BYTES_FREE`], and so many times its length. An
/// empty object of two bytes becomes a structure of some hundred; real records grow by two to five.
pub const PARSED_GROWTH_MAX: usize = 4;

/// See [`PARSED_GROWTH_MAX`].
pub const PARSED_BYTES_FREE: usize = 32 * 1024 * 1024;

/// Spans, log records and messages that one record may hold; a trace of more is rejected all the same.
pub const RECORD_SPANS_MAX: usize = TRACE_SPANS_MAX + 1;

/// Rejections that name a part of a record each; one more counts the rest.
pub const RECORD_REJECTIONS_MAX: usize = 100;

/// Messages, tool calls, documents, exceptions and so on that one span keeps of each.
pub const SPAN_ITEMS_MAX: usize = 10_000;

/// Columns of a table. The widest known exports have some hundred; each column takes some kilobytes, also where it is empty.
pub const TABLE_COLUMNS_MAX: usize = 4_096;

/// Bytes of a file of rules, detectors, prices or settings, or of a key: what people write has some kilobytes.
pub const TEXT_FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Spans of one trace. Longer ones are rejected: nobody reads them, and a loop of 50,000 steps is better found by its instrumentation.
pub const TRACE_SPANS_MAX: usize = 50_000;

/// Bytes of an id of a trace or a span. They stand in keys, in file names of commands and in every row; real ones have up to a hundred, and the
/// place of a record, which stands for a missing id, as many as its URI.
pub const ID_BYTES_MAX: usize = 1_024;

/// Bytes of the name of a service or an environment.
pub const NAME_BYTES_MAX: usize = 256;

/// Bytes of one trace in its gathered form.
pub const TRACE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Memory that gathering may use before it spills to disk; `--memory-limit` overrides it.
pub const GATHER_MEMORY_BYTES: usize = 96 * 1024 * 1024;

/// Sorts that gather at the same time, each with its share of the memory and of the traces.
pub const GATHER_PARTITIONS: usize = 2;

/// Gathered traces that wait between one sort and the decoder.
pub const GATHERED_QUEUED_MAX: usize = 16;

/// Part of an encoded span fragment that is one row of the gather stage, so that a batch of rows has a bounded size however large spans are.
pub const FRAGMENT_PART_BYTES_MAX: usize = 32 * 1024;

/// Bytes of a batch of rows that goes into the sort, which sets aside memory for twice as much.
pub const GATHER_BATCH_BYTES: usize = 1024 * 1024;

/// Rows of a batch inside the sort: with [`FRAGMENT_PART_BYTES_MAX`] at most 2 MiB, of which a merge holds some for each spill file.
pub const GATHER_BATCH_ROWS: usize = 64;

/// Bytes of annotations that stand apart from their spans and wait for them; what comes after is left out, with a warning.
pub const ANNOTATION_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Uploaded message bodies that are fetched at the same time.
pub const BODIES_IN_FLIGHT_MAX: usize = 8;

/// Message bodies that one trace may refer to: a loop that uploads every turn shall not cost a million requests.
pub const BODIES_OF_A_TRACE_MAX: usize = 1_000;

/// Objects that `inspect` tells about one by one.
pub const INSPECTED_OBJECTS_MAX: usize = 10_000;

/// Names of unmapped fields that `inspect` collects of one object.
pub const INSPECTED_FIELDS_MAX: usize = 1_000;

/// Traces that `inspect` tells apart in one object.
pub const INSPECTED_TRACES_MAX: usize = 1_000_000;

/// Traces that a CPU stage hands to the thread pool at once.
pub const TRACES_PER_TASK: usize = 16;

/// Batches of a CPU stage that are under way at once: one for each of a few cores and one waiting.
pub const TASKS_IN_FLIGHT_MAX: usize = 4;

/// Traces that are analysed at once.
pub const ANALYSES_IN_FLIGHT_MAX: usize = 32;

/// Traces about which a model is asked at once; `--concurrency` overrides it. Also what a kill can cost, in answers.
pub const CALLS_IN_FLIGHT: usize = 8;

/// And at most, whatever is asked for: each holds a trace, its question and a connection.
pub const CALLS_IN_FLIGHT_MAX: usize = 512;

/// Tokens of a question with its instructions, about; `--prompt-tokens` overrides it. Most traces fit whole; more costs more and takes longer.
pub const PROMPT_TOKENS: usize = 12_000;

/// Tokens of an answer, thoughts included; `--output-tokens` overrides it. An answer has some 400, a little thinking 1,000 more.
pub const OUTPUT_TOKENS: u64 = 4_096;

/// Spans that a question shows at most: each takes a line, and choosing takes time.
pub const TRACE_SPANS_SHOWN_MAX: usize = 400;

/// Bytes of a provider's answer.
pub const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of an answer that are read as JSON without the pool: a tenth of a millisecond.
pub const ANSWER_BYTES_PARSED_AT_ONCE_MAX: usize = 32 * 1024;

/// Tokens that a provider can have counted for one request: the largest context windows have two million. Higher counts are a defect of the
/// provider, and are estimated instead.
pub const TOKENS_COUNTED_MAX: u64 = 4_000_000;

/// Time between two requests to a model, whatever limits and counts say, so that a run never stands still.
pub const REQUEST_INTERVAL_MAX: std::time::Duration = std::time::Duration::from_mins(10);

/// Traces in a row without a usable answer after which a model is not asked any more in a run. Of a small model that fails at three of ten
/// traces, ten in a row are met once in 200,000.
pub const ANSWERS_USELESS_IN_A_ROW_MAX: u32 = 10;

/// Traces in a row without a usable answer after which unusable ones are not asked for a second time.
pub const ANSWERS_REPAIRED_IN_A_ROW_MAX: u32 = 3;

/// Time that one trace may take in the analyzer; `--trace-timeout` overrides it.
pub const TRACE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Characters of an excerpt.
pub const EXCERPT_CHARS_MAX: usize = 240;

/// Excerpts and signals of one pattern.
pub const EVIDENCE_MAX: usize = 12;

/// Bytes at each end of a long text that rules look at: what failed stands at the start of a message or at the end of a stack.
pub const RULE_TEXT_BYTES: usize = 4 * 1024;

/// Bytes of a file of labels, decompressed.
pub const LABEL_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Turns of a dialogue that the embedded analyzer reads; the longest run among the labelled ones has 130.
pub const DIALOGUE_TURNS_MAX: usize = 2_000;

/// Bytes of a dialogue in which signals are looked for: a few milliseconds of work.
pub const DIALOGUE_TEXT_BYTES: usize = 1024 * 1024;

/// Different reasons for falling back that the run summary names; what comes after is counted by kind.
pub const REASONS_MAX: usize = 50;

/// Failures that the run summary names; all of them stand in `errors`.
pub const SUMMARY_FAILURES_MAX: usize = 10_000;

/// Skipped objects that the run summary names.
pub const SUMMARY_SKIPPED_MAX: usize = 1_000;

/// Bytes of the text of a query: some thousand ids in a list.
pub const QUERY_BYTES_MAX: usize = 256 * 1024;

/// Operators, keywords and joins of a query. Each may make its plan one level deeper, and [`THREAD_STACK_BYTES`] has room for so many levels.
pub const QUERY_OPERATORS_MAX: usize = 2_000;

/// Stack of the threads that plan and run queries: 16 KiB for a level of [`QUERY_OPERATORS_MAX`]. What is not used takes no memory.
pub const THREAD_STACK_BYTES: usize = 32 * 1024 * 1024;

/// Memory that sorts, joins, groups and single values of a query may take; `--memory-limit` overrides it. Nothing of it goes to a disk.
pub const QUERY_MEMORY_BYTES: usize = 512 * 1024 * 1024;

/// Memory that a query may take beside that: batches on their way, decoded row groups, the tables' metadata.
pub const QUERY_UNTRACKED_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Time that a query may take; `--timeout` overrides it. Reading a large input for the table `spans` takes minutes.
pub const QUERY_TIME_MAX: std::time::Duration = std::time::Duration::from_mins(30);

/// How often a query under way is looked at: memory can grow by some 50 MB meanwhile.
pub const QUERY_WATCH_INTERVAL: std::time::Duration = std::time::Duration::from_millis(10);

/// Spans that a query over an input gets at once.
pub const SPAN_BATCH_ROWS: usize = 256;

/// Finished rows that wait until they are staged: some 500 for each bucket, which make a row group that a commit copies as it stands.
pub const STAGED_ROWS: usize = 8_192;

/// Batches of [`STAGED_ROWS`] that are encoded and staged at once, while the next one is collected.
pub const STAGING_IN_FLIGHT_MAX: usize = 2;

/// Time that a finished row waits at most until it is staged: what a kill can cost of an analysis that is cheap.
pub const STAGE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// Time that analyses under way and the naming of traces that are not analysed may take once a run was asked to stop and has committed what
/// was finished: a quarter of what schedulers grant between SIGTERM and SIGKILL at the most, and the last commit needs some too.
pub const STOPPING: std::time::Duration = std::time::Duration::from_secs(15);

/// Rows of a row group of a table. An upsert decodes the row groups that hold a superseded row, so they are small.
pub const ROW_GROUP_ROWS: usize = 1_024;

/// Row groups with fewer rows are encoded anew together instead of being copied.
pub const ROW_GROUP_ROWS_COPIED_MIN: usize = 256;

/// Compressed bytes of a data file, which is built in memory and stored by one request.
pub const DATA_FILE_BYTES: usize = 16 * 1024 * 1024;

/// Compressed bytes of data files that are built at once, of which the largest is stored when they are exceeded.
pub const DATA_FILES_OPEN_BYTES: usize = 64 * 1024 * 1024;

/// Requests that wait for a store at once while a run commits: files that are stored, and staged files that are looked up.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 8;

/// Bytes of row groups that are fetched for copying by one request.
pub const COPY_BYTES: usize = 8 * 1024 * 1024;

/// Data files below this size are small, and merged once a bucket has [`SMALL_FILES_MAX`] of them.
pub const SMALL_FILE_BYTES: usize = 4 * 1024 * 1024;

/// Small data files that a bucket keeps: each costs readers a request, and each merge writes all of them again.
pub const SMALL_FILES_MAX: usize = 8;

/// Data files of a bucket whose keys are read at once: for a bucket far away this is waiting, not work.
pub const FILES_LOOKED_AT_MAX: usize = 8;

/// Buckets that an upsert rewrites at once, each with a data file and a few row groups in memory.
pub const REWRITES_IN_FLIGHT_MAX: usize = 4;

/// Share of what was received that may fail before a run ends with exit code 3; `--max-error-rate` overrides it. Single broken lines
/// are daily life, one in ten is a broken export.
pub const ERROR_RATE_MAX: f64 = 0.10;

/// How often a run says that it lives.
pub const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(10);

/// A run of another machine that did not say so for this long is dead.
pub const HEARTBEAT_MISSED_MAX: std::time::Duration = std::time::Duration::from_secs(90);

/// Partitions of `patterns` and `errors` in a new table.
pub const BUCKETS: i32 = 16;

/// Times that a request is repeated because its answer was cut off.
pub const ANSWERS_CUT_OFF_MAX: u32 = 10;

/// Commits that are tried when other writers are faster.
pub const COMMIT_ATTEMPTS_MAX: usize = 30;

/// Commits that are tried when the store fails: it retries by itself what can be repeated safely, which a conditional write is not.
pub const COMMIT_FAILURES_MAX: usize = 4;

/// How long `maintain` keeps what no version names any more, for those who still read it; `--retention` overrides it.
pub const RETENTION: std::time::Duration = std::time::Duration::from_hours(7 * 24);
