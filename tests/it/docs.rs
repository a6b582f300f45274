//! Documentation that cannot rot: the commands of the README, the pipeline files, the columns that the docs list.

use std::fs;
use std::path::Path;

use crate::support::{Place, call, failsift, rows, stderr, stdout};

#[test]
fn the_demo_pipeline_runs_and_shows_patterns_and_errors() {
    let place = Place::new();
    let output = call(&["run", "pipelines/demo.toml", "--output", &place.output()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("provider_error/rate_limited") && stdout(&output).contains("malformed_json"), "{}", stdout(&output));
    assert_eq!(rows(&place.output(), "select pipeline from runs")[0]["pipeline"], "demo");
    let shown = call(&["show", "night-batch-0017", "--tables", &place.output()]);
    assert!(stdout(&shown).contains("fx_rates was rate-limited"), "{}", stdout(&shown));
}

#[test]
fn every_pipeline_file_is_understood() {
    for entry in fs::read_dir("pipelines").unwrap() {
        let path = entry.unwrap().path();
        // An input that does not exist is reported after the file was understood.
        let output =
            failsift(&["run", path.to_str().unwrap(), "--input", "/no/such/input", "--output", "/no/such/output"]).output().unwrap();
        assert!(stderr(&output).contains("/no/such/input"), "{}: {}", path.display(), stderr(&output));
    }
}

#[test]
fn the_queries_of_the_readme_run() {
    let place = Place::new();
    assert!(call(&["run", "pipelines/demo.toml", "--output", &place.output()]).status.success());
    let readme = fs::read_to_string("README.md").unwrap();
    let mut queries = 0;
    for block in readme.split("```sql\n").skip(1) {
        let sql = block.split("```").next().unwrap();
        let output = call(&["query", "--tables", &place.output(), sql.trim().trim_end_matches(';')]);
        assert!(output.status.success(), "{sql}: {}", stderr(&output));
        queries += 1;
    }
    assert!(queries >= 2, "the README shows queries");
}

#[test]
fn the_commands_of_the_table_page_run() {
    let place = Place::new();
    assert!(call(&["run", "pipelines/demo.toml", "--output", &place.output()]).status.success());
    let page = fs::read_to_string("docs/tables.md").unwrap();
    let commands: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("$ failsift ")).filter(|line| !line.contains("s3://")).collect();
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        // The tables of the test have no past: they are asked for now, and at their first version.
        let command = command.replace("failsift-out", &place.output());
        let command = command
            .replace("--as-of 24h", "--as-of 0m")
            .replace("--as-of 2026-11-24T06:00:00Z", "--as-of 0m")
            .replace("--as-of 12", "--as-of 1");
        let mut shell = std::process::Command::new("sh");
        let output = shell.arg("-c").arg(format!("{} {command}", env!("CARGO_BIN_EXE_failsift"))).output().unwrap();
        assert!(output.status.success(), "{command}: {}", stderr(&output));
    }
}

#[test]
fn the_table_page_lists_every_column() {
    let page = fs::read_to_string("docs/tables.md").unwrap();
    for schema in [failsift::tables::patterns_schema(), failsift::tables::errors_schema(), failsift::tables::runs_schema()] {
        for field in schema.fields() {
            assert!(page.contains(&format!("| `{}` |", field.name())), "docs/tables.md lacks {}", field.name());
        }
    }
}

#[test]
fn the_pages_of_formats_and_spans_are_whole_and_their_queries_run() {
    let page = fs::read_to_string("docs/formats.md").unwrap();
    for format in failsift::parse::FORMATS {
        assert!(page.contains(&format!("| `{}` |", format.name())), "docs/formats.md lacks {}", format.name());
    }
    let page = fs::read_to_string("docs/spans.md").unwrap();
    let output = call(&["query", "--input", "data/samples/failsift", "select * from spans limit 1", "--format", "json"]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for column in rows[0].as_object().unwrap().keys() {
        assert!(page.contains(&format!("`{column}`")), "docs/spans.md lacks {column}");
    }
    for block in page.split("```sql\n").skip(1) {
        let sql = block.split("```").next().unwrap();
        let output = call(&["query", "--input", "data/samples", sql.trim().trim_end_matches(';')]);
        assert!(output.status.success(), "{sql}: {}", stderr(&output));
    }
}

#[test]
fn the_samples_are_described() {
    let page = fs::read_to_string("data/README.md").unwrap();
    for folder in fs::read_dir("data/samples").unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.strip_prefix("data").unwrap_or(Path::new("")).display().to_string();
            assert!(page.contains(&name), "data/README.md lacks {name}");
        }
    }
}

#[test]
fn the_rules_that_the_docs_show_are_well_formed_and_win_their_cases() {
    let page = fs::read_to_string("docs/rules.md").unwrap();
    let rules: String = page.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    let place = Place::new();
    let file = place.path().join("own.toml");
    fs::write(&file, rules).unwrap();
    let output = call(&["rules", "check", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).contains("2 rules, 4 cases, all passed"), "{}", stdout(&output));
}

#[test]
fn the_labelled_traces_are_described() {
    let page = fs::read_to_string("data/README.md").unwrap();
    for folder in fs::read_dir("data/labelled").unwrap() {
        let name = folder.unwrap().file_name().to_string_lossy().into_owned();
        assert!(page.contains(&format!("`labelled/{name}`")), "data/README.md lacks {name}");
        assert!(Path::new("data/labels").join(format!("{name}.jsonl")).exists(), "{name} has no labels");
    }
}

/// The figures of the README are those that its command prints.
#[test]
fn the_readme_says_what_eval_says() {
    let readme = fs::read_to_string("README.md").unwrap();
    let output = call(&["eval", "--input", "data/labelled/captures", "--labels", "data/labels/captures.jsonl", "--format", "json"]);
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let labelled = figures["labelled"].as_f64().unwrap();
    let right = figures["accuracy"].as_f64().unwrap();
    assert!(readme.contains(&format!("{:.0} ({:.1} %)", right * labelled, right * 100.0)), "{figures}");
    assert!(readme.contains(&format!("| {:.2} | 0.15 |", figures["confidence_gap"].as_f64().unwrap())), "{figures}");
    assert!(readme.contains(&format!("| {:.2} | 0.06 |", figures["ece"].as_f64().unwrap())), "{figures}");
    let sure = figures["sure"].as_u64().unwrap();
    assert!(readme.contains(&format!("| {sure} of {sure} |")), "{figures}");
}

#[test]
fn the_page_of_redaction_is_whole_and_its_file_works() {
    let page = fs::read_to_string("docs/redaction.md").unwrap();
    let file = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let place = Place::new();
    let path = place.path().join("own.toml");
    fs::write(&path, file).unwrap();
    fs::write(place.path().join("app.log"), "badge EMP-654321 of Vandelay Industries, support@acme.example\n").unwrap();
    let log = place.path().join("app.log").display().to_string();
    let output = call(&["redact", &log, "--rules", path.to_str().unwrap(), "--explain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("badge <EMPLOYEE_ID:") && stdout(&output).contains("> of <ORGANISATION:"), "{}", stdout(&output));
    assert!(stdout(&output).contains("support@acme.example"), "{}", stdout(&output));
    // Every kind that a shipped table names is on the page.
    for table in ["labels", "secrets"] {
        let rules = fs::read_to_string(format!("src/redact/detect/rules/{table}.toml")).unwrap();
        for kind in rules.lines().filter_map(|line| line.strip_prefix("kind = \"")).map(|rest| rest.trim_end_matches('"')) {
            assert!(page.contains(&format!("`{kind}`")), "docs/redaction.md lacks {kind}");
        }
    }
}
