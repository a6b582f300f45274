//! Failing stores: the error is clear, and the tables are unchanged.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::{KEY, Place, call, stderr, trace};

fn traces(place: &Place, count: usize, message: &str) {
    place.put("a.jsonl", (0..count).map(|number| trace(&format!("t-{number}"), message)).collect::<String>());
}

/// Runs failsift in a separate mount namespace after running `mount`, which replaces OUT.
fn run_with_mount(place: &Place, mount: &str) -> Output {
    let (input, output) = (place.input(), place.output());
    std::fs::create_dir_all(&output).unwrap();
    let script = format!("{mount} && exec {} run --input {input} --output {output}", env!("CARGO_BIN_EXE_failsift"));
    let script = script.replace("OUT", &output);
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "bash", "-c", &script]).env("FAILSIFT_REDACTION_KEY", KEY);
    command.output().expect("unshare creates a mount namespace")
}

#[test]
fn a_full_disk_is_reported() {
    let place = Place::new();
    // Incompressible rows of some kilobytes, more than fit on the disk.
    let word = |seed: usize, word: usize| (seed * 7_919 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let noise = |seed: usize| (0..150).map(|number| format!("{:x}", word(seed, number))).collect::<Vec<_>>().join(" ");
    place.put("a.jsonl", (0..3_000).map(|number| trace(&format!("t-{number}"), &noise(number))).collect::<String>());
    let run = run_with_mount(&place, "mount -t tmpfs -o size=512k tmpfs OUT");
    assert_eq!(run.status.code(), Some(1), "{}", stderr(&run));
    assert!(stderr(&run).contains("No space left") && stderr(&run).contains("hint"), "{}", stderr(&run));
}

#[test]
fn a_read_only_output_fails_before_anything_is_written() {
    let place = Place::new();
    traces(&place, 3, "boom");
    place.run(&[]);
    let before = place.rows("select * from patterns order by trace_id");
    let run = run_with_mount(&place, "mount --bind OUT OUT && mount -o remount,bind,ro OUT");
    assert_eq!(run.status.code(), Some(1), "{}", stderr(&run));
    assert!(stderr(&run).contains("the file system is read-only") && stderr(&run).contains("hint"), "{}", stderr(&run));
    assert_eq!(place.rows("select * from patterns order by trace_id"), before);
}

/// A data file of a table.
fn data_file(place: &Place, table: &str) -> std::path::PathBuf {
    fn find(folder: &Path) -> Option<std::path::PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).find_map(|path| {
            if path.is_dir() { find(&path) } else { path.extension().is_some_and(|extension| extension == "parquet").then_some(path) }
        })
    }
    find(&place.path().join("out").join(table)).unwrap()
}

#[test]
fn a_damaged_data_file_is_reported_and_nothing_is_committed() {
    let place = Place::new();
    traces(&place, 20, "boom");
    place.run(&[]);
    let file = data_file(&place, "patterns");
    let bytes = std::fs::read(&file).unwrap();
    let states = [
        // Truncated, corrupt footer, corrupt data, empty, deleted.
        Some(bytes[..bytes.len() / 2].to_vec()),
        Some([&bytes[..bytes.len() - 20], &[0xff; 12], &bytes[bytes.len() - 8..]].concat()),
        Some([&bytes[..4], &vec![0xff; bytes.len() - 4_000], &bytes[bytes.len() - 3_996..]].concat()),
        Some(Vec::new()),
        None,
    ];
    for state in states {
        match &state {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        let run = call(&["run", "--input", &place.input(), "--output", &place.output()]);
        assert_eq!(run.status.code(), Some(1), "{}", stderr(&run));
        let name = file.file_name().unwrap().to_string_lossy();
        assert!(stderr(&run).contains(&*name) && stderr(&run).contains("patterns"), "{}", stderr(&run));
        assert!(!stderr(&run).contains("internal error at"), "{}", stderr(&run));
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(place.rows("select count(*) n from runs")[0]["n"], 1, "nothing was committed");
    }
    // The finished work of those runs is recovered when the file is restored.
    place.run(&[]);
    let row = &place.rows("select count(*) n, count(distinct trace_id) u from patterns")[0];
    assert_eq!((&row["n"], &row["u"]), (&20.into(), &20.into()));
}

#[test]
fn an_interrupted_commit_that_cannot_be_completed_does_not_block_other_runs() {
    let place = Place::new();
    traces(&place, 20, "boom");
    place.put("broken.jsonl", "broken\n".to_owned() + &trace("t-20", "boom"));
    place.run(&[]);
    // A commit reads `patterns` before it starts, and `errors` in the middle.
    let file = data_file(&place, "errors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(call(&["run", "--input", &place.input(), "--output", &place.output()]).status.code(), Some(1));
    let staging = place.path().join("out/_staging");
    let staged_files = || std::fs::read_dir(&staging).unwrap().flat_map(|run| std::fs::read_dir(run.unwrap().path()).unwrap()).count();
    let before = staged_files();
    // Runs over the same input do not recover staged work that a pending commit refers to.
    for more in [&[][..], &["--fresh"]] {
        let run = call(&[&["run", "--input", &place.input(), "--output", &place.output()], more].concat());
        assert!(
            run.status.code() == Some(1) && stderr(&run).contains("cannot complete the commit of the interrupted run"),
            "{}",
            stderr(&run)
        );
        assert!(staged_files() > before, "their commits are pending, too");
    }
    // Runs over other traces, only a few of which are in the partition of the damaged file.
    let other = Place::new();
    let passed = (0..5).filter(|number| {
        other.put("b.jsonl", trace(&format!("other-{number}"), "boom"));
        let run = call(&["run", "--input", &other.input(), "--output", &place.output()]);
        assert!(stderr(&run).contains("cannot complete the commit of the interrupted run"), "{}", stderr(&run));
        run.status.success()
    });
    let passed = passed.count();
    assert!(passed > 0);
    std::fs::write(&file, &bytes).unwrap();
    let maintained = call(&["maintain", "--tables", &place.output(), "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&maintained.stdout).unwrap();
    assert_eq!(report["commits_ended"], 8 - passed, "{report}");
    assert_eq!(place.rows("select count(*) n from runs")[0]["n"], 9);
    assert_eq!(place.rows("select count(distinct trace_id) n from patterns")[0]["n"], 26);
    assert_eq!(place.rows("select count(*) n from errors")[0]["n"], 1);
}

#[test]
fn a_damaged_log_is_reported_with_its_table() {
    let place = Place::new();
    traces(&place, 3, "boom");
    place.run(&[]);
    let log = place.path().join("out/errors/_delta_log/00000000000000000000.json");
    let text = std::fs::read(&log).unwrap();
    for damaged in [&text[..text.len() / 2], b"", b"\xff\xfe garbage"] {
        std::fs::write(&log, damaged).unwrap();
        let run = call(&["run", "--input", &place.input(), "--output", &place.output()]);
        assert_eq!(run.status.code(), Some(1), "{}", stderr(&run));
        assert!(stderr(&run).contains("errors"), "{}", stderr(&run));
        assert!(!stderr(&run).contains("internal error at"), "{}", stderr(&run));
    }
    std::fs::write(&log, text).unwrap();
    assert_eq!(place.run(&[])["stored"], 3);
}

#[test]
fn a_run_fails_clearly_if_its_tables_are_removed() {
    use std::process::Stdio;
    let place = Place::new();
    traces(&place, 20_000, "boom");
    let mut run = crate::support::failsift(&["run", "--input", &place.input(), "--output", &place.output()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = place.path().join("out/patterns/_delta_log");
    while !place.path().join("out/runs/_delta_log/00000000000000000000.json").exists() {
        assert!(run.try_wait().unwrap().is_none(), "the run creates its tables first");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    std::fs::remove_dir_all(log).unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("patterns") && stderr(&output).contains("hint"), "{}", stderr(&output));
    // The next run creates the table again.
    assert_eq!(place.run(&[])["stored"], 20_000);
}
