//! Tables over time: many small runs, maintenance, earlier states, and tables of other versions.

use crate::support::{Place, call, stderr, stdout, trace};

/// Runs `maintain`. Returns its report.
fn maintain(place: &Place, more: &[&str]) -> serde_json::Value {
    let output = place.output();
    let mut arguments = vec!["maintain", "--tables", &output, "--format", "json"];
    arguments.extend(more);
    let maintained = call(&arguments);
    assert!(maintained.status.success(), "{}", stderr(&maintained));
    serde_json::from_slice(&maintained.stdout).unwrap()
}

fn table_report<'a>(report: &'a serde_json::Value, table: &str) -> &'a serde_json::Value {
    report["tables"].as_array().unwrap().iter().find(|row| row["table"] == table).unwrap()
}

fn run_small(place: &Place, runs: usize) {
    for run in 0..runs {
        place.put("a.jsonl", (0..3).map(|number| trace(&format!("t-{run}-{number}"), "boom")).collect::<String>() + "broken\n");
        place.run(&[]);
    }
}

#[test]
fn many_small_runs_leave_few_files_and_maintain_leaves_fewer() {
    let place = Place::new();
    run_small(&place, 40);
    let before = maintain(&place, &["--dry-run"]);
    let files = |report: &serde_json::Value, table: &str, key: &str| table_report(report, table)[key].as_u64().unwrap();
    // 120 rows in 16 buckets: without merging there would be nearly one file per row.
    assert!(files(&before, "patterns", "files_before") < 16 * 9, "{before}");
    assert!(files(&before, "runs", "files_before") < 9, "each of the 40 runs added a file: {before}");
    let after = maintain(&place, &[]);
    assert!(files(&after, "patterns", "files_after") <= 16, "{after}");
    assert_eq!(files(&after, "runs", "files_after"), 1, "{after}");
    assert_eq!(files(&after, "patterns", "files_vacuumed"), 0, "files that readers may have open stay");
    let old = maintain(&place, &["--retention", "0s", "--force"]);
    assert!(files(&old, "patterns", "files_vacuumed") > 40, "{old}");
    let row = &place.rows("select count(*) n, count(distinct trace_id) u from patterns")[0];
    assert_eq!((&row["n"], &row["u"]), (&120.into(), &120.into()));
    assert_eq!(place.rows("select count(*) n from runs")[0]["n"], 40);
    // Runs continue to work after a vacuum.
    run_small(&place, 1);
    assert_eq!(place.rows("select count(*) n from patterns")[0]["n"], 120);
}

#[test]
fn a_short_retention_needs_force_and_missing_tables_are_an_error() {
    let place = Place::new();
    run_small(&place, 1);
    let refused = call(&["maintain", "--tables", &place.output(), "--retention", "1m"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--force"), "{}", stderr(&refused));
    let nothing = call(&["maintain", "--tables", &place.input()]);
    assert_eq!(nothing.status.code(), Some(2), "{}", stderr(&nothing));
}

#[test]
fn earlier_states_can_be_queried() {
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
fn tables_of_a_newer_failsift_are_refused_and_unchanged() {
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

/// Every file below a folder, with its content.
fn files_below(folder: &std::path::Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Folders of interrupted runs: one with finished work, one that is abandoned, and a partially written file.
fn leave_interrupted_runs(place: &Place) {
    for (run_id, age) in [("interrupted-recently", 600), ("abandoned", 30 * 24 * 3_600)] {
        let folder = place.path().join("out/_staging").join(run_id);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in
            [("run.json", format!(r#"{{"run_id":"{run_id}","job":"a-job","process":null}}"#)), ("errors-000001.parquet", "x".to_owned())]
        {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            let modified = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
        }
    }
    let partial = place.path().join("out/patterns/part-1.parquet#123");
    std::fs::write(&partial, "x").unwrap();
    let modified = std::time::SystemTime::now() - std::time::Duration::from_hours(30 * 24);
    std::fs::File::options().write(true).open(&partial).unwrap().set_modified(modified).unwrap();
}

#[test]
fn a_dry_run_changes_no_byte_and_announces_what_maintenance_then_does() {
    for more in [&[][..], &["--retention", "0s", "--force"]] {
        let place = Place::new();
        run_small(&place, 12);
        leave_interrupted_runs(&place);
        let before = files_below(&place.path().join("out"));
        let mut planned = maintain(&place, &[&["--dry-run"][..], more].concat());
        assert!(files_below(&place.path().join("out")) == before, "a dry run changed a file");
        let mut done = maintain(&place, more);
        assert_eq!((&planned["dry_run"], &done["dry_run"]), (&true.into(), &false.into()));
        // The plan is part of a dry run only. Each step of maintenance commits a version, and compaction makes the files smaller.
        let plan = planned.as_object_mut().unwrap().remove("plan").unwrap();
        for report in [&mut planned, &mut done] {
            report.as_object_mut().unwrap().remove("dry_run");
            for table in report["tables"].as_array_mut().unwrap() {
                table.as_object_mut().unwrap().retain(|key, _| key != "version" && key != "bytes");
            }
        }
        assert_eq!(planned, done);
        let kept = usize::from(more.is_empty());
        assert_eq!((&done["staging_kept"], &done["staging_removed"]), (&kept.into(), &(2 - kept).into()), "{done}");
        assert_eq!(done["unfinished_removed"], 1, "{done}");
        assert_eq!(plan["staging_removed"].as_array().unwrap().len(), 2 - kept);
        for (of_table, of_plan) in done["tables"].as_array().unwrap().iter().zip(plan["tables"].as_array().unwrap()) {
            assert_eq!(of_table["table"], of_plan["table"]);
            assert_eq!(of_table["files_merged"], of_plan["merged"].as_array().unwrap().len());
            let vacuumed: Vec<_> = of_plan["vacuumed"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
            assert_eq!(of_table["files_vacuumed"], vacuumed.len());
            let folder = place.path().join("out").join(of_table["table"].as_str().unwrap());
            assert!(vacuumed.iter().all(|path| !folder.join(path).exists()), "{vacuumed:?}");
        }
        assert!(done["tables"][0]["files_merged"].as_u64().unwrap() > 0, "{done}");
        assert_eq!(place.rows("select count(*) n from patterns")[0]["n"], 36);
    }
}

#[test]
fn a_dry_run_prints_its_plan() {
    let place = Place::new();
    run_small(&place, 3);
    leave_interrupted_runs(&place);
    let output = stdout(&call(&["maintain", "--tables", &place.output(), "--dry-run"]));
    for line in [
        "1 folder of an interrupted run kept for the next run over the same input",
        "1 abandoned folder of an interrupted run removed",
        "1 partially written file removed",
        "  keep _staging/interrupted-recently",
        "  remove _staging/abandoned",
        "  runs: 3 files merged (0.0 MB), no files vacuumed",
        "dry run: nothing was changed",
    ] {
        assert!(output.lines().any(|found| found == line), "{line}: {output}");
    }
}

/// Other writers, and other versions of failsift, may describe columns differently: comments are metadata of the table's schema.
#[test]
fn a_table_whose_columns_have_other_comments_is_written_and_read() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom") + &trace("t-2", "boom") + "broken\n");
    place.run(&[]);
    for table in ["patterns", "errors", "fingerprints", "runs"] {
        let log = place.path().join(format!("out/{table}/_delta_log/00000000000000000000.json"));
        let text = std::fs::read_to_string(&log).unwrap();
        let commented: Vec<String> = text.lines().map(with_comments).collect();
        assert_ne!(commented.join("\n"), text.trim_end(), "{table} has no column to comment");
        std::fs::write(&log, commented.join("\n") + "\n").unwrap();
    }
    place.put("a.jsonl", trace("t-2", "connection refused") + &trace("t-3", "boom") + "broken\n");
    assert_eq!(place.run(&[])["stored"], 2);
    let found = place.rows("select trace_id, count(*) over () n from patterns order by trace_id");
    assert_eq!(found.iter().map(|row| row["trace_id"].as_str().unwrap()).collect::<Vec<_>>(), ["t-1", "t-2", "t-3"]);
    assert_eq!(
        place.rows("select unnest(evidence) e from patterns").len(),
        place.rows("select e from (select unnest(evidence) e from patterns)").len()
    );
    assert_eq!(place.rows("select (select count(*) from errors) e, (select count(*) from runs) r")[0], serde_json::json!({"e": 1, "r": 2}));
    let report = maintain(&place, &[]);
    assert_eq!(table_report(&report, "runs")["files_after"], 1, "{report}");
    assert_eq!(place.rows("select count(distinct trace_id) n from patterns")[0]["n"], 3);
    let comments = std::fs::read_to_string(place.path().join("out/patterns/_delta_log/00000000000000000000.json")).unwrap();
    assert!(comments.contains("a comment by another writer"));
}

/// An entry of the transaction log in which every column of the schema has a comment, also those in lists and structs.
fn with_comments(line: &str) -> String {
    fn comment(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                if let Some(metadata) = fields.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
                    metadata.insert("comment".to_owned(), "a comment by another writer".into());
                }
                fields.values_mut().for_each(comment);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(comment),
            _ => {}
        }
    }
    let mut entry: serde_json::Value = serde_json::from_str(line).unwrap();
    if let Some(text) = entry["metaData"]["schemaString"].as_str() {
        let mut schema: serde_json::Value = serde_json::from_str(text).unwrap();
        comment(&mut schema);
        entry["metaData"]["schemaString"] = schema.to_string().into();
    }
    entry.to_string()
}
