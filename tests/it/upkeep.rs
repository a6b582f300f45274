//! Tables over time: many small runs, housekeeping, earlier states, newer and older versions.

use crate::support::{Place, call, stderr, stdout, trace};

/// Data files of the current version, as another reader of the transaction log counts them: those that `maintain` reports.
fn maintained(place: &Place, more: &[&str]) -> serde_json::Value {
    let output = place.output();
    let mut arguments = vec!["maintain", "--tables", &output, "--format", "json"];
    arguments.extend(more);
    let said = call(&arguments);
    assert!(said.status.success(), "{}", stderr(&said));
    serde_json::from_slice(&said.stdout).unwrap()
}

fn of_table<'a>(report: &'a serde_json::Value, table: &str) -> &'a serde_json::Value {
    report["tables"].as_array().unwrap().iter().find(|row| row["table"] == table).unwrap()
}

fn small_runs(place: &Place, runs: usize) {
    for run in 0..runs {
        place.put("a.jsonl", (0..3).map(|number| trace(&format!("t-{run}-{number}"), "boom")).collect::<String>() + "broken\n");
        place.run(&[]);
    }
}

#[test]
fn many_small_runs_leave_few_files_and_maintain_leaves_fewer() {
    let place = Place::new();
    small_runs(&place, 40);
    let before = maintained(&place, &["--dry-run"]);
    let files = |report: &serde_json::Value, table: &str, key: &str| of_table(report, table)[key].as_u64().unwrap();
    // 120 rows in 16 buckets: without merging there were a file for nearly each.
    assert!(files(&before, "patterns", "files_before") < 16 * 9, "{before}");
    assert!(files(&before, "runs", "files_before") < 9, "40 runs, each of which adds a file: {before}");
    let after = maintained(&place, &[]);
    assert!(files(&after, "patterns", "files_after") <= 16, "{after}");
    assert_eq!(files(&after, "runs", "files_after"), 1, "{after}");
    assert_eq!(files(&after, "patterns", "files_vacuumed"), 0, "what readers may still read stays");
    let old = maintained(&place, &["--retention", "0s", "--force"]);
    assert!(files(&old, "patterns", "files_vacuumed") > 40, "{old}");
    let row = &place.rows("select count(*) n, count(distinct trace_id) u from patterns")[0];
    assert_eq!((&row["n"], &row["u"]), (&120.into(), &120.into()));
    assert_eq!(place.rows("select count(*) n from runs")[0]["n"], 40);
    // It goes on after a vacuum.
    small_runs(&place, 1);
    assert_eq!(place.rows("select count(*) n from patterns")[0]["n"], 120);
}

#[test]
fn a_short_retention_wants_to_be_meant_and_no_tables_are_a_mistake() {
    let place = Place::new();
    small_runs(&place, 1);
    let refused = call(&["maintain", "--tables", &place.output(), "--retention", "1m"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--force"), "{}", stderr(&refused));
    let nothing = call(&["maintain", "--tables", &place.input()]);
    assert_eq!(nothing.status.code(), Some(2), "{}", stderr(&nothing));
}

#[test]
fn earlier_states_can_be_asked_for() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom") + "broken\n");
    place.run(&[]);
    std::thread::sleep(std::time::Duration::from_millis(30));
    let between = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    std::thread::sleep(std::time::Duration::from_millis(30));
    place.put("a.jsonl", trace("t-1", "boom") + &trace("t-2", "boom"));
    place.run(&[]);
    let sql = "select (select count(*) from patterns) p, (select count(*) from errors) e, (select count(*) from runs) r";
    let as_of = |state: &str| {
        let output = call(&["query", "--tables", &place.output(), "--as-of", state, sql, "--format", "json"]);
        if output.status.success() { stdout(&output).trim().to_owned() } else { stderr(&output) }
    };
    assert_eq!(as_of("0"), r#"[{"p":0,"e":0,"r":0}]"#);
    assert_eq!(as_of("1"), r#"[{"p":1,"e":1,"r":1}]"#);
    assert_eq!(as_of(&between), as_of("1"));
    assert_eq!(as_of("2"), r#"[{"p":2,"e":0,"r":2}]"#);
    assert_eq!(as_of("0m"), as_of("2"));
    assert!(as_of("3").contains("no version 3; the latest is 2"), "{}", as_of("3"));
    assert!(as_of("1d").contains("no table yet"), "{}", as_of("1d"));
    assert!(as_of("soon").contains("hint"), "{}", as_of("soon"));
}

#[test]
fn tables_of_a_newer_failsift_are_refused_and_left_alone() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom"));
    place.run(&[]);
    let log = place.path().join("out/patterns/_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(text.contains(r#""failsift.schema_version":"1."#), "{text}");
    std::fs::write(&log, text.replace(r#""failsift.schema_version":"1."#, r#""failsift.schema_version":"7."#)).unwrap();
    let refused = call(&["run", "--input", &place.input(), "--output", &place.output()]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("newer failsift") && stderr(&refused).contains("schema 7."), "{}", stderr(&refused));
    assert_eq!(place.rows("select count(*) n from runs")[0]["n"], 1);
}
