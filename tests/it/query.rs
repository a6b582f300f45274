//! `query` and `show`.

use std::io::Write;
use std::process::Stdio;

use crate::support::{Place, call, failsift, stderr, stdout, trace};

fn filled() -> Place {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "HTTP 429 Too Many Requests") + &trace("t-2", "\u{1b}[31mboom\u{1b}[0m \u{202e}evil"));
    place.run(&[]);
    place
}

#[test]
fn every_format_gives_the_rows() {
    let place = filled();
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
fn no_rows_are_an_answer_in_every_format() {
    let place = filled();
    for (format, expected) in [("json", "[]\n"), ("csv", "trace_id\n")] {
        let output = call(&["query", "--tables", &place.output(), "select trace_id from patterns where false", "--format", format]);
        assert_eq!(stdout(&output), expected);
    }
}

#[test]
fn hostile_text_does_not_reach_the_terminal_as_escapes() {
    let place = filled();
    for arguments in
        [vec!["query", "--tables", &place.output(), "select summary from patterns"], vec!["show", "t-2", "--tables", &place.output()]]
    {
        let output = call(&arguments);
        let text = stdout(&output);
        assert!(text.contains("boom") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    }
}

#[test]
fn tables_cannot_be_changed_by_a_query() {
    let place = filled();
    for sql in [
        "drop table patterns",
        "insert into errors select * from errors",
        "create table x as select 1",
        "copy patterns to '/tmp/x.parquet'",
    ] {
        let output = call(&["query", "--tables", &place.output(), sql]);
        assert_eq!(output.status.code(), Some(2), "{sql}: {}", stdout(&output));
    }
    let output = call(&["query", "--tables", &place.output(), "select nonsense from patterns"]);
    assert!(stderr(&output).contains("nonsense") && stderr(&output).contains("trace_id"), "{}", stderr(&output));
}

#[test]
fn a_script_on_standard_input_is_run() {
    let place = filled();
    let mut child =
        failsift(&["query", "--tables", &place.output(), "--format", "csv"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"select count(*) n from patterns;\nselect count(*) m from errors;\n").unwrap();
    assert_eq!(stdout(&child.wait_with_output().unwrap()), "n\n2\nm\n0\n");
}

#[test]
fn show_is_a_page_for_reading() {
    let place = filled();
    let output = call(&["show", "t-1", "--tables", &place.output()]);
    let folder = place.path().display().to_string();
    insta::with_settings!({filters => vec![(folder.as_str(), "[place]"), (r"extracted \S+", "extracted [time]")]}, {
        insta::assert_snapshot!("show", stdout(&output));
    });
    let output = call(&["show", "nobody", "--tables", &place.output()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("no trace nobody"), "{}", stderr(&output));
}
