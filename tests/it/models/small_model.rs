//! A small real model on this machine, started by `tests/small-model`.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::Workspace;
use crate::support::{failsift, stderr, stdout};

/// A server with a small model that ends with the test.
struct SmallModel {
    server: std::process::Child,
    url: String,
}

impl SmallModel {
    fn start(folder: &str) -> Self {
        use std::io::BufRead;
        let script = std::path::Path::new(folder).join("small_model.mjs");
        std::fs::copy("tests/it/small_model.mjs", &script).unwrap();
        let found = Command::new("find").args([folder, "-name", "*.gguf"]).output().unwrap();
        let model = stdout(&found).lines().next().expect("a model of tests/small-model").to_owned();
        let node = format!("{folder}/python/bin/node");
        let mut server = Command::new(node).arg(script).arg(model).stdout(Stdio::piped()).spawn().unwrap();
        let mut port = String::new();
        std::io::BufReader::new(server.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { server, url: format!("http://127.0.0.1:{}/v1", port.trim()) }
    }
}

impl Drop for SmallModel {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

/// A model of this size is seldom right, but for any answer a trace has a pattern with verified evidence or an error with its reason.
#[test]
#[ignore = "needs a real model; tests/small-model downloads and starts one"]
fn with_a_small_real_model_every_trace_has_an_outcome() {
    let Some(folder) = std::env::var("FAILSIFT_SMALL_MODEL").ok() else { return };
    let (model, workspace) = (SmallModel::start(&folder), Workspace::new());
    // Only some samples, because each prompt takes a quarter of a minute.
    let unpacked = Command::new("gzip").args(["-dc", "data/samples/otlp/genai.jsonl.gz"]).output().unwrap();
    workspace.put("traces.jsonl", stdout(&unpacked).split_inclusive('\n').take(3).collect::<String>());
    let (input, out) = (workspace.input(), workspace.output());
    let inputs = ["run", "--format", "json", "--input", &input, "--input", "data/samples/failsift", "--output", &out];
    let model_arguments = ["--analyzer", "openai", "--model", "small", "--base-url", &model.url, "--concurrency", "1"];
    let limits = ["--trace-timeout", "120", "--prompt-tokens", "6000", "--output-tokens", "400"];
    let output = failsift(&[&inputs[..], &model_arguments, &limits].concat()).env_remove("OPENAI_API_KEY").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let errors = workspace.rows("SELECT kind, reason FROM errors");
    assert_eq!(summary["stored"].as_u64().unwrap() + errors.len() as u64, summary["received"].as_u64().unwrap(), "{summary}");
    let expected_kinds = ["answer_", "timed_out", "validation"];
    assert!(errors.iter().all(|row| expected_kinds.iter().any(|kind| row["kind"].as_str().unwrap().starts_with(kind))), "{errors:?}");
    for row in workspace.rows("SELECT evidence, category, contributing_factor FROM patterns") {
        assert!(row["evidence"].as_array().unwrap().iter().all(|evidence| evidence["verified"] == true), "{row}");
    }
}
