//! `query` and `show`.

use std::io::Write;
use std::process::Stdio;

use crate::support::{Place, call, failsift, stderr, stdout, trace};

fn place_with_tables() -> Place {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "HTTP 429 Too Many Requests") + &trace("t-2", "\u{1b}[31mboom\u{1b}[0m \u{202e}evil"));
    place.run(&[]);
    place
}

#[test]
fn every_format_prints_the_rows() {
    let place = place_with_tables();
    let sql = "select trace_id, contributing_factor, round(confidence, 1) confidence, actions from patterns order by trace_id";
    let query = |format: &str| call(&["query", "--tables", &place.output(), sql, "--format", format]);
    insta::assert_snapshot!("table", stdout(&query("table")));
    insta::assert_snapshot!("csv", stdout(&query("csv")));
    let json: serde_json::Value = serde_json::from_slice(&query("json").stdout).unwrap();
    assert_eq!(json[0]["contributing_factor"], "tool_rate_limited");
    let parquet = bytes::Bytes::from(query("parquet").stdout);
    let rows: usize =
        parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(parquet, 100).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 2);
}

#[test]
fn an_empty_result_is_valid_in_every_format() {
    let place = place_with_tables();
    for (format, expected) in [("json", "[]\n"), ("csv", "trace_id\n")] {
        let output = call(&["query", "--tables", &place.output(), "select trace_id from patterns where false", "--format", format]);
        assert_eq!(stdout(&output), expected);
    }
}

#[test]
fn control_characters_in_rows_do_not_reach_the_terminal() {
    let place = place_with_tables();
    for arguments in
        [vec!["query", "--tables", &place.output(), "select summary from patterns"], vec!["show", "t-2", "--tables", &place.output()]]
    {
        let output = call(&arguments);
        let text = stdout(&output);
        assert!(text.contains("boom") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    }
}

#[test]
fn a_query_cannot_change_tables() {
    let place = place_with_tables();
    for sql in [
        "drop table patterns",
        "insert into errors select * from errors",
        "create table x as select 1",
        "copy patterns to '/tmp/x.parquet'",
        "copy (select 1) to '/tmp/x.csv' stored as csv",
        "create external table x stored as csv location '/etc/passwd'",
        "create view x as select 1",
        "select * from '/etc/passwd'",
        "select * from \"/etc/hosts.csv\"",
        "update patterns set title = 'x'",
        "delete from patterns",
        "truncate table patterns",
        "set datafusion.execution.batch_size = 1",
        "set datafusion.runtime.memory_limit = '100G'",
        "reset datafusion.runtime.memory_limit",
        "prepare q as select 1",
        "create function f() returns int return 1",
        "explain analyze insert into errors select * from errors",
    ] {
        let output = call(&["query", "--tables", &place.output(), sql]);
        assert_eq!(output.status.code(), Some(2), "{sql}: {}", stdout(&output));
    }
    let output = call(&["query", "--tables", &place.output(), "select nonsense from patterns"]);
    assert!(stderr(&output).contains("nonsense") && stderr(&output).contains("trace_id"), "{}", stderr(&output));
}

#[test]
fn statements_on_standard_input_are_run() {
    let place = place_with_tables();
    let mut child =
        failsift(&["query", "--tables", &place.output(), "--format", "csv"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"select count(*) n from patterns;\nselect count(*) m from errors;\n").unwrap();
    assert_eq!(stdout(&child.wait_with_output().unwrap()), "n\n2\nm\n0\n");
}

#[test]
fn show_prints_a_page() {
    let place = place_with_tables();
    let output = call(&["show", "t-1", "--tables", &place.output()]);
    let folder = place.path().display().to_string();
    let filters = vec![
        (folder.as_str(), "[place]"),
        (r"extracted \S+ \S+ UTC", "extracted [time]"),
        (r"run of \S+", "run of [day]"),
        (r"run [0-9a-f-]{36}", "run [id]"),
    ];
    insta::with_settings!({filters => filters}, {
        insta::assert_snapshot!("show", stdout(&output));
    });
    let output = call(&["show", "nobody", "--tables", &place.output()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no trace nobody in the tables at"), "{}", stderr(&output));
}

/// A chain of CTEs that each use the previous one twice.
fn doubled(first: &str, next: &str, last: &str) -> String {
    let steps = (1..40).map(|step| format!("a{step} AS ({})", next.replace("PREVIOUS", &format!("a{}", step - 1))));
    let steps: Vec<String> = std::iter::once(format!("a0 AS ({first})")).chain(steps).collect();
    format!("WITH {} {last}", steps.join(", "))
}

#[test]
fn a_query_over_a_limit_fails_and_names_the_limit() {
    let place = place_with_tables();
    let over_limit = [
        ("SELECT repeat('x', 2000000000)".to_owned(), "would return a value"),
        (format!("SELECT 1{}", "+1".repeat(20_000)), "operators and keywords"),
        (format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(5_000)), "operators and keywords"),
        (format!("SELECT {}1{}", "(".repeat(3_000), ")".repeat(3_000)), "nested too deeply"),
        (format!("SELECT '{}'", "x".repeat(300_000)), "bytes long"),
        (doubled("SELECT trace_id AS x FROM patterns", "SELECT x||x AS x FROM PREVIOUS", "SELECT length(x) FROM a39"), "memory"),
        ("SELECT string_agg(repeat('x', 100000), '') FROM generate_series(1, 100000)".to_owned(), "memory"),
        (
            "SELECT w FROM (SELECT repeat(CAST(v % 1000 AS TEXT), 200) AS w FROM generate_series(1, 10000000) AS t (v)) ORDER BY w"
                .to_owned(),
            // It spills to disk until its time is over.
            "takes more than",
        ),
        (
            doubled("SELECT confidence AS x FROM patterns", "SELECT x+x AS x FROM PREVIOUS", "SELECT x FROM a39 WHERE x > 1"),
            "it takes more than 5 s|it needs more than 64 MB",
        ),
        ("SELECT count(*) FROM generate_series(1, 10000000000) AS t (v) WHERE v % 7 = 3".to_owned(), "takes more than"),
    ];
    for (sql, expected) in over_limit {
        let script = place.path().join("query.sql");
        std::fs::write(&script, &sql).unwrap();
        let mut command = failsift(&["query", "--tables", &place.output(), "--timeout", "5s", "--memory-limit", "64"]);
        let child = command.stdin(std::fs::File::open(&script).unwrap()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (output, peak_mb) = crate::support::output_and_peak(child);
        let shown: String = sql.chars().take(60).collect();
        assert_eq!(output.status.code(), Some(1), "{shown}: {}", stderr(&output));
        assert!(
            expected.split('|').any(|expected| stderr(&output).contains(expected)) && stderr(&output).contains("hint:"),
            "{shown}: {}",
            stderr(&output)
        );
        assert!(peak_mb < 900, "{shown}: {peak_mb} MB");
    }
}

#[test]
fn a_sort_that_needs_more_memory_spills_to_disk() {
    let place = place_with_tables();
    // 180 MB of text, of which a sort holds a copy.
    let rows = "SELECT repeat(CAST(v * 7919 % 1000 AS TEXT), 200) AS w FROM generate_series(1, 300000) AS t (v)";
    let sql = format!("SELECT min(length(w)) FROM (SELECT w, row_number() OVER (ORDER BY w) AS place FROM ({rows})) WHERE place > 299700");
    let query = |temporary: &std::path::Path| {
        let mut command = failsift(&["query", "--tables", &place.output(), "--memory-limit", "256", "--format", "csv", &sql]);
        command.env("TMPDIR", temporary).output().unwrap()
    };
    let temporary = place.path().join("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let sorted = query(&temporary);
    assert!(sorted.status.success(), "{}", stderr(&sorted));
    // The last ones in the order of text begin with 999.
    assert_eq!(stdout(&sorted).lines().nth(1), Some("600"));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "spill files remain");
    let unwritable = query(&place.path().join("missing"));
    assert_eq!(unwritable.status.code(), Some(1));
    assert!(stderr(&unwritable).contains("it needs more than 256 MB of memory"), "{}", stderr(&unwritable));
}

#[test]
fn a_query_just_below_the_depth_limit_runs() {
    let place = place_with_tables();
    for sql in [
        format!("SELECT count(*) FROM patterns WHERE confidence > 0{}", " AND confidence > 0.01".repeat(900)),
        format!("SELECT count(*) FROM patterns WHERE trace_id IN ({}'t-1')", "'x', ".repeat(5_000)),
        format!("SELECT confidence{} FROM patterns", "::INT".repeat(900)),
    ] {
        let output = call(&["query", "--tables", &place.output(), &sql]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

#[test]
fn csv_cells_that_a_spreadsheet_would_evaluate_become_text() {
    let place = place_with_tables();
    let sql = "SELECT '=HYPERLINK(\"http://x\")' AS a, '-5' AS b, '@x' AS c, -7 AS d, '+1+1' AS \"=e\"";
    let query = |format: &str| stdout(&call(&["query", "--tables", &place.output(), sql, "--format", format]));
    assert_eq!(query("csv"), "a,b,c,d,'=e\n\"'=HYPERLINK(\"\"http://x\"\")\",-5,'@x,-7,'+1+1\n");
    assert!(query("json").contains(r#""c":"@x""#), "{}", query("json"));
}

#[test]
fn control_characters_in_json_are_escaped() {
    let place = place_with_tables();
    let output = call(&["query", "--tables", &place.output(), "SELECT chr(155) || '2J' || chr(8238) AS a", "--format", "json"]);
    assert_eq!(stdout(&output), "[{\"a\":\"\\u009b2J\\u202e\"}]\n");
}

#[test]
fn mistakes_in_a_query_are_reported_in_plain_words() {
    let place = place_with_tables();
    for (sql, expected) in [
        (
            "select categry from patterns",
            "error: unknown column 'categry'; did you mean 'category'?\n  hint: the columns are trace_id, title,",
        ),
        (
            "select 1 from pattern",
            "error: unknown table 'pattern'; did you mean 'patterns'?\n  hint: the tables are patterns, errors, fingerprints, runs, spans",
        ),
        ("select * form patterns", "error: invalid SQL at line 1, column 10: "),
        ("drop table patterns", "error: cannot run the statement: failsift query only reads"),
    ] {
        let output = call(&["query", "--tables", &place.output(), sql]);
        assert_eq!(output.status.code(), Some(2), "{sql}");
        assert!(stderr(&output).starts_with(expected), "{sql}: {}", stderr(&output));
    }
    let nowhere = call(&["query", "--tables", &place.input(), "select 1"]);
    assert!(stderr(&nowhere).starts_with("error: no tables at ") && stderr(&nowhere).contains("\n  hint: "), "{}", stderr(&nowhere));
}
