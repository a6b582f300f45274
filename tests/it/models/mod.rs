//! Analyzers that call a model, against a stub of a provider that fails on command.

mod answers;
mod cost;
mod failures;
mod limits;
mod parameters;
mod providers;
mod recovery;
mod small_model;
mod untrusted_text;

use std::collections::BTreeMap;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::model_stub::{ModelStub, Reaction, Request};
use crate::support::{Place as Workspace, failsift, trace};

/// A command that uses the stub. `analyzer` is gemini or openai.
fn command(stub: &ModelStub, analyzer: &str, arguments: &[&str]) -> Command {
    let mut command = failsift(arguments);
    for name in ["GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy"] {
        command.env_remove(name);
    }
    command.env("FAILSIFT_ANALYZER", analyzer);
    match analyzer {
        "gemini" => command.env("GEMINI_API_KEY", KEY).env("GOOGLE_GEMINI_BASE_URL", &stub.url),
        _ => command.env("OPENAI_BASE_URL", format!("{}/v1", stub.url)),
    };
    command
}

const KEY: &str = "AIzaSyStubKeyForTestsOnly0123456789abcde";

/// Runs over the input of the workspace. Returns the output and the summary, whose counts must add up.
fn run(workspace: &Workspace, stub: &ModelStub, analyzer: &str, more: &[&str]) -> (Output, Value) {
    let (input, out) = (workspace.input(), workspace.output());
    let mut arguments = vec!["run", "--format", "json", "--input", &input, "--output", &out];
    arguments.extend(more);
    let output = command(stub, analyzer, &arguments).output().expect("start failsift");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if summary.is_object() {
        let count = |key: &str| summary[key].as_u64().unwrap_or_else(|| panic!("{key} is a count"));
        let sum: u64 =
            ["stored", "validation_failures", "processing_errors", "timed_out", "unchanged", "filtered"].iter().map(|key| count(key)).sum();
        assert_eq!(count("received"), sum, "{summary}");
    }
    (output, summary)
}

/// A workspace with this many traces. Each mentions a different shelf.
fn workspace(traces: usize) -> Workspace {
    let workspace = Workspace::new();
    let text: String = (0..traces).map(|number| trace(&format!("t{number}"), &format!("ToolError: shelf {number} is empty"))).collect();
    workspace.put("traces.jsonl", text);
    workspace
}

/// The number of rows in `errors` by kind.
fn error_kinds(workspace: &Workspace) -> BTreeMap<String, u64> {
    let rows = workspace.rows("SELECT kind, count(*) AS n FROM errors GROUP BY kind");
    rows.iter().map(|row| (row["kind"].as_str().unwrap().to_owned(), row["n"].as_u64().unwrap())).collect()
}

fn one_kind(kind: &str, count: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(kind.to_owned(), count)])
}

/// An answer with a field of the wrong type.
fn off_schema() -> Reaction {
    Reaction::AnswerWith(json!({"evidence": [{"span": [1], "field": "status_message", "excerpt": "ToolError"}]}))
}

/// The shelf number of the trace of each request.
fn shelves(stub: &ModelStub) -> Vec<String> {
    let shelf = |request: &Request| {
        request.trace_text().split("shelf ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default().to_owned()
    };
    stub.requests().iter().map(shelf).collect()
}
