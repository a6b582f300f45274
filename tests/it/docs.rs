//! The documentation is correct: its commands run, its output is real, its links exist, and its lists are complete.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

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
fn every_pipeline_file_is_valid() {
    for entry in fs::read_dir("pipelines").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        // A missing input is reported only after the file was read.
        let output =
            failsift(&["run", path.to_str().unwrap(), "--input", "/no/such/input", "--output", "/no/such/output"]).output().unwrap();
        assert!(stderr(&output).contains("/no/such/input"), "{}: {}", path.display(), stderr(&output));
    }
}

#[test]
fn the_pipeline_files_in_the_docs_are_valid() {
    let place = Place::new();
    let mut count = 0;
    for page in ["running", "models"] {
        let text = fs::read_to_string(format!("docs/{page}.md")).unwrap();
        for file in blocks(&text, "toml") {
            let path = place.path().join("pipeline.toml");
            fs::write(&path, file).unwrap();
            let arguments = ["run", path.to_str().unwrap(), "--explain", "--input", "in", "--output", "out"];
            let output = call(&arguments);
            assert!(output.status.success(), "docs/{page}.md: {file}: {}", stderr(&output));
            count += 1;
        }
    }
    assert!(count >= 4, "{count} files");
}

#[test]
fn the_output_in_the_readme_is_real() {
    let place = Place::new();
    let tables = place.output();
    let run = stdout(&call(&["run", "pipelines/demo.toml", "--output", &tables])).replace(&tables, "failsift-out");
    let show = stdout(&call(&["show", "night-batch-0017", "--tables", &tables]));
    // Run id and time differ between runs, and so may the example of a label.
    let variable = Regex::new(r"run [0-9a-f-]{36} |in \d+\.\d s$|(?P<label>\d +\d\.\d\d +\w+/\w+) .*$").unwrap();
    let normalized = |line: &str| variable.replace_all(line.trim_start(), "$label").into_owned();
    let real: Vec<String> = run.lines().chain(show.lines()).map(normalized).collect();
    let readme = fs::read_to_string("README.md").unwrap();
    let shown: Vec<&str> = blocks(&readme, "text").flat_map(str::lines).filter(|line| !line.starts_with("$ ")).collect();
    assert!(shown.len() > 20, "{shown:?}");
    for line in shown {
        let line = normalized(line);
        // `...` marks omitted text.
        let is_real = |real: &String| line.split("...").all(|part| real.contains(part));
        assert!(real.iter().any(is_real), "not in the output: {line}\n{run}\n{show}");
    }
}

#[test]
fn the_queries_of_the_readme_and_the_results_page_run() {
    let place = Place::new();
    assert!(call(&["run", "pipelines/demo.toml", "--output", &place.output()]).status.success());
    let (readme, page) = (fs::read_to_string("README.md").unwrap(), fs::read_to_string("docs/results.md").unwrap());
    let quoted = readme.lines().filter_map(|line| line.strip_prefix("$ failsift query \"")?.strip_suffix('"'));
    let queries: Vec<&str> = quoted.chain(blocks(&page, "sql")).collect();
    assert!(queries.len() >= 4, "{queries:?}");
    for sql in queries {
        let output = call(&["query", "--tables", &place.output(), sql.trim().trim_end_matches(';')]);
        assert!(output.status.success(), "{sql}: {}", stderr(&output));
    }
}

/// The fenced blocks of a language.
fn blocks<'p>(page: &'p str, language: &str) -> impl Iterator<Item = &'p str> {
    let fence = format!("```{language}\n");
    let after: Vec<&str> = page.split(fence.as_str()).skip(1).collect();
    after.into_iter().map(|rest| rest.split("```").next().unwrap())
}

#[test]
fn the_command_page_lists_every_command_exit_code_and_variable() {
    let page = fs::read_to_string("docs/cli.md").unwrap();
    let help = stdout(&call(&["--help"]));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut count = 0;
    for command in commands.map(|line| line.split_whitespace().next().unwrap()).filter(|command| *command != "help") {
        assert!(page.contains(&format!("| `{command}")), "docs/cli.md lacks {command}");
        count += 1;
    }
    assert!(count > 8, "{help}");
    for code in ["| 0 |", "| 1 |", "| 2 |", "| 3 |", "| 4 |", "| 130, 143 |"] {
        assert!(page.contains(code), "docs/cli.md lacks {code}");
    }
    let variable = Regex::new("FAILSIFT_[A-Z_]+").unwrap();
    for command in ["run", "plan", "query"] {
        for name in variable.find_iter(&stdout(&call(&[command, "--help"]))).filter(|name| !name.as_str().ends_with('_')) {
            assert!(page.contains(&format!("`{}`", name.as_str())), "docs/cli.md lacks {}", name.as_str());
        }
    }
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let mut pages: Vec<PathBuf> = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md"].map(PathBuf::from));
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for found in link.captures_iter(&text) {
            let target = &found[1];
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
            let file = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(file.exists(), "{} links to {target}", page.display());
            let linked = fs::read_to_string(&file).unwrap_or_default();
            assert!(
                anchor.is_none_or(|anchor| linked.lines().any(|line| anchor_of(line) == anchor)),
                "{} links to {target}",
                page.display()
            );
        }
    }
}

/// The anchor of a heading, as GitHub makes it.
fn anchor_of(line: &str) -> String {
    let heading = line.trim_start_matches('#').trim().to_lowercase();
    heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_')).map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn the_code_map_lists_every_module() {
    let page = fs::read_to_string("ARCHITECTURE.md").unwrap();
    for entry in fs::read_dir("src").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_listed = page.contains(&format!("`{name}.rs`")) || page.contains(&format!("`{name}/`"));
        assert!(is_listed || matches!(name, "main" | "lib"), "ARCHITECTURE.md lacks src/{name}");
    }
}

#[test]
fn tests_that_the_performance_page_names_exist() {
    let page = fs::read_to_string("docs/performance.md").unwrap();
    let mut tests = String::new();
    let mut folders = vec![PathBuf::from("tests/it")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                tests += &fs::read_to_string(path).unwrap();
            }
        }
    }
    let name = Regex::new(r"`([a-z]+(?:_[a-z]+){4,})`").unwrap();
    let mut count = 0;
    for found in name.captures_iter(&page) {
        assert!(tests.contains(&format!("fn {}()", &found[1])), "docs/performance.md names {}", &found[1]);
        count += 1;
    }
    assert!(count >= 3, "the page names tests");
}

#[test]
fn the_index_lists_every_page() {
    let index = fs::read_to_string("docs/README.md").unwrap();
    for entry in fs::read_dir("docs").unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        assert!(name == "README.md" || index.contains(&format!("]({name})")), "docs/README.md lacks {name}");
    }
}

#[test]
fn the_commands_of_the_tables_page_run() {
    let place = Place::new();
    assert!(call(&["run", "pipelines/demo.toml", "--output", &place.output()]).status.success());
    let page = fs::read_to_string("docs/tables.md").unwrap();
    let commands: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("$ failsift ")).filter(|line| !line.contains("s3://")).collect();
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        // These tables were just created, so earlier states are replaced by the present and the first version.
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
fn the_tables_page_lists_every_column() {
    use failsift::tables::{errors_schema, fingerprints_schema, patterns_schema, runs_schema};
    let page = fs::read_to_string("docs/tables.md").unwrap();
    for schema in [patterns_schema(), errors_schema(), fingerprints_schema(), runs_schema()] {
        for field in schema.fields() {
            assert!(page.contains(&format!("| `{}` |", field.name())), "docs/tables.md lacks {}", field.name());
        }
    }
}

#[test]
fn the_formats_and_spans_pages_are_complete_and_their_queries_run() {
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
fn the_rules_in_the_docs_pass_their_cases() {
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

/// The figures of the accuracy page are those that its command prints.
#[test]
fn the_accuracy_page_has_the_figures_of_eval() {
    let page = fs::read_to_string("docs/accuracy.md").unwrap();
    let output = call(&["eval", "--input", "data/labelled/captures", "--labels", "data/labels/captures.jsonl", "--format", "json"]);
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let labelled = figures["labelled"].as_f64().unwrap();
    let right = figures["accuracy"].as_f64().unwrap();
    assert!(page.contains(&format!("{:.0} ({:.1} %)", right * labelled, right * 100.0)), "{figures}");
    assert!(page.contains(&format!("| {:.2} | 0.16 |", figures["confidence_gap"].as_f64().unwrap())), "{figures}");
    assert!(page.contains(&format!("| {:.2} | 0.08 |", figures["ece"].as_f64().unwrap())), "{figures}");
    let sure = figures["sure"].as_u64().unwrap();
    assert!(page.contains(&format!("| {sure} of {sure} |")), "{figures}");
}

#[test]
fn the_redaction_page_is_complete_and_its_file_works() {
    let page = fs::read_to_string("docs/redaction.md").unwrap();
    let mut files = page.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap());
    let (pipeline, file) = (files.next().unwrap(), files.next().unwrap());
    let place = Place::new();
    let path = place.path().join("pipeline.toml");
    fs::write(&path, pipeline).unwrap();
    place.put("a.jsonl", crate::support::trace("t-1", "boom"));
    place.run(&[path.to_str().unwrap()]);
    let path = place.path().join("own.toml");
    fs::write(&path, file).unwrap();
    fs::write(place.path().join("app.log"), "badge EMP-654321 of Vandelay Industries, support@acme.example\n").unwrap();
    let log = place.path().join("app.log").display().to_string();
    let output = call(&["redact", &log, "--redaction-rules", path.to_str().unwrap(), "--explain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("badge <EMPLOYEE_ID:") && stdout(&output).contains("> of <ORGANISATION:"), "{}", stdout(&output));
    assert!(stdout(&output).contains("support@acme.example"), "{}", stdout(&output));
    // The page lists every kind of the shipped tables.
    let tables = ["labels/contact", "labels/credentials", "labels/finance", "labels/identity", "secrets", "formats"];
    for table in tables {
        let rules = fs::read_to_string(format!("src/redact/detect/rules/{table}.toml")).unwrap();
        let kinds = rules.split("kind = ").skip(1).filter_map(|rest| rest.split(['"', '\'']).nth(1));
        assert!(kinds.clone().count() > 5, "{table}");
        for kind in kinds {
            assert!(page.contains(&format!("`{kind}`")), "docs/redaction.md lacks {kind}");
        }
    }
}
