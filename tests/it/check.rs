//! `failsift check` and `run --explain`, as a user with wrong files, closed doors, silent servers and a model that refuses. Loopback only.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::model_stub::{ModelStub, Reaction};
use crate::support::{KEY, Place, failsift, stderr, stdout, trace};

/// A place with one trace and a pipeline file.
fn place(pipeline: &str) -> (Place, String) {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom"));
    let file = place.path().join("nightly.toml");
    fs::write(&file, pipeline).unwrap();
    (place, file.display().to_string())
}

/// The binary in a folder, with nothing of the caller's environment but a key.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_failsift"));
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder.join("home")).env("TMPDIR", folder);
    command.env("FAILSIFT_REDACTION_KEY", KEY).env("NO_COLOR", "1");
    command
}

/// The findings as JSON, and the exit code.
fn findings(mut command: Command) -> (Vec<Value>, i32) {
    let output = command.args(["--format", "json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    let checks = report["checks"].as_array().unwrap().clone();
    let problems = checks.iter().filter(|check| check["status"] == "problem").count();
    assert_eq!(report["problems"], problems, "{report}");
    (checks, output.status.code().unwrap())
}

fn finding<'f>(findings: &'f [Value], check: &str) -> &'f Value {
    findings.iter().find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("no {check} in {findings:#?}"))
}

/// Every file and folder below a folder.
fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn a_usable_pipeline_has_no_problem_and_nothing_is_left_behind() {
    let (place, file) = place("[source]\ninputs = ['in']\n[write]\noutput = 'new/tables'\n");
    let before = listing(place.path());
    let mut check = command(place.path(), &["check", &file]);
    let output = check.env_remove("FAILSIFT_REDACTION_KEY").output().unwrap();
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "{}", stdout(&output));
    let text = stdout(&output);
    for expected in
        ["nightly.toml: 2 settings", "in: first object", "home/.config/failsift/redaction.key: created by the first run", "0 problems"]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert_eq!(listing(place.path()), before);
    // With tables: they are read, and stay as they are.
    let mut run = command(place.path(), &["run", &file]);
    assert!(run.output().unwrap().status.success());
    let before = listing(place.path());
    let (checks, code) = findings(command(place.path(), &["check", &file]));
    assert_eq!(
        (code, finding(&checks, "tables")["message"].as_str().unwrap().starts_with("patterns at version ")),
        (0, true),
        "{checks:#?}"
    );
    assert_eq!(listing(place.path()), before);
}

#[test]
fn all_problems_are_in_one_list() {
    let (place, file) = place(
        "[source]\ninput = ['in']\ninputs = ['in', 'missing', 's3://', 'in/{dat}']\nselect = 'fail'\n[redact]\nrules = ['detectors.toml']\n\
         keep_kinds = ['emial']\nkey_file = 'short.key'\n[analyze]\nrules = ['gone.toml', 'rules.toml']\n[write]\noutput = 'in/a.jsonl/tables'\n",
    );
    fs::write(place.path().join("short.key"), "short").unwrap();
    fs::write(place.path().join("detectors.toml"), "[[detector]]\nknd = 'x'\n").unwrap();
    fs::write(place.path().join("rules.toml"), "[[rule]]\nid = 'x'\ntitel = 'y'\n").unwrap();
    let mut check = command(place.path(), &["check", &file, "--input", "in", "--input", "missing", "--input", "s3://"]);
    check.env_remove("FAILSIFT_REDACTION_KEY");
    let output = check.output().unwrap();
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(3), "{text}{}", stderr(&output));
    for expected in [
        "line 2: unknown key 'input'; did you mean 'inputs'?",
        "[source] inputs in ",
        "line 3: unknown variable 'dat'; did you mean 'date'?",
        "line 4: unknown value 'fail'; did you mean 'failed'?",
        "cannot read the rule file gone.toml: no such file or folder",
        "rules.toml: line 3: unknown key 'titel'; did you mean 'title'?",
        "detectors.toml: line 2: unknown key 'knd'; did you mean 'kind'?",
        "unknown kind 'emial'; did you mean 'email'?",
        "the redaction key has 5 bytes, but needs at least 16",
        "cannot read missing: no such file or folder",
        "cannot use s3://: the bucket name is missing",
        "a.jsonl: it is a file, not a folder",
        "ok       input             in: first object",
        "11 problems",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    // The same mistakes of the file stop a run, all of them at once.
    let run = command(place.path(), &["run", &file]).output().unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert_eq!(stderr(&run).matches("error: ").count(), 3, "{}", stderr(&run));
    // Inputs were given, though one of them is wrong.
    assert!(!stderr(&run).contains("no input given"), "{}", stderr(&run));
}

#[test]
fn a_rule_whose_case_fails_is_a_problem() {
    let (place, _) = place("");
    let rule = "[[rule]]\nid = \"acme-proxy\"\nlabel = \"environment_error/misconfiguration\"\ntext = ['acme proxy refused']\nconfidence = 0.9\n\
                title = \"The proxy refused {tool}\"\nhypothesis = \"The host is not on the list.\"\nactions = [\"Ask for the host.\"]\n\
                [[rule.case]]\nkind = \"tool\"\nmessage = \"ACME proxy refused\"\nwins = true\n\
                [[rule.case]]\nkind = \"tool\"\nmessage = \"HTTP 429\"\nwins = WINS\n";
    let check = |wins: &str| {
        fs::write(place.path().join("own.toml"), rule.replace("WINS", wins)).unwrap();
        let (checks, code) = findings(command(place.path(), &["check", "--input", "in", "--output", "out", "--rules", "own.toml"]));
        (finding(&checks, "rules").clone(), code)
    };
    let (right, code) = check("false");
    assert_eq!((right["status"].as_str(), right["message"].as_str(), code), (Some("ok"), Some("1 rule"), 0), "{right}");
    let (wrong, code) = check("true");
    assert_eq!(code, 3);
    assert_eq!(wrong["message"], "rule acme-proxy has no case with wins = false", "{wrong}");
}

#[test]
fn a_file_that_cannot_be_read_is_the_only_problem() {
    let (place, _) = place("");
    fs::write(place.path().join("broken.toml"), "[source\ninputs = [\n").unwrap();
    for (file, expected) in
        [("broken.toml", "cannot use the pipeline file broken.toml: line 1"), ("gone.toml", "cannot read the pipeline file gone.toml")]
    {
        let (checks, code) = findings(command(place.path(), &["check", file]));
        assert_eq!(code, 3);
        assert!(checks[0]["message"].as_str().unwrap().starts_with(expected), "{checks:#?}");
        assert!(checks.iter().all(|check| check["check"] == "configuration" || check["status"] == "skipped"), "{checks:#?}");
    }
}

/// Root may read everything, so as root the check runs as another user.
#[test]
fn folders_without_permission_are_problems() {
    const NOBODY: u32 = 65_534;
    let (place, _) = place("");
    let set_mode = |name: &str, mode| fs::set_permissions(place.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    let made = command(place.path(), &["run", "--input", "in", "--output", "tables"]).output().unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    fs::create_dir_all(place.path().join("locked/deep")).unwrap();
    for (name, mode) in [("", 0o755), ("in", 0o755), ("in/a.jsonl", 0), ("tables", 0o755), ("tables/patterns", 0), ("locked", 0o555)] {
        set_mode(name, mode);
    }
    let check = |arguments: &[&str]| -> std::io::Result<Output> {
        let mut command = command(place.path(), arguments);
        if place.path().metadata().unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.env("TMPDIR", "/tmp").output()
    };
    // The other user may not be able to reach the binary on this machine.
    if let Ok(output) = check(&["check", "--input", "in", "--output", "tables"]) {
        let text = stdout(&output);
        assert_eq!(output.status.code(), Some(3), "{text}{}", stderr(&output));
        for expected in [
            "/in/a.jsonl: permission denied",
            "cannot read the table patterns in ",
            "cannot write to ",
            "check the permissions of the folder",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
        let text = stdout(&check(&["check", "--input", "in", "--output", "locked/new"]).unwrap());
        assert!(text.contains("/locked: permission denied"), "{text}");
    }
    set_mode("tables/patterns", 0o700);
}

/// A server that answers S3 requests as told, and keeps what it was asked: method and path.
struct S3Stub {
    url: String,
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

impl S3Stub {
    /// `status` of an answer by method; 0 for none at all.
    fn start(status: impl Fn(&str) -> u16 + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (status, kept) = (Arc::new(status), Arc::clone(&requests));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (status, kept) = (Arc::clone(&status), Arc::clone(&kept));
                // A client that closes its connection is not a failure.
                std::thread::spawn(move || serve_s3(&client, &*status, &kept).ok());
            }
        });
        Self { url, requests }
    }

    fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = command(folder, arguments);
        command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY");
        command.env("AWS_REGION", "us-east-1").env("AWS_ENDPOINT", &self.url).env("AWS_ALLOW_HTTP", "true");
        command
    }
}

fn serve_s3(client: &TcpStream, status: &(dyn Fn(&str) -> u16 + Send + Sync), kept: &Mutex<Vec<(String, String)>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let length = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut words = head.split(' ').map(str::to_owned);
        let (mut method, mut path) = (words.next().unwrap(), words.next().unwrap());
        let body = String::from_utf8_lossy(&body).into_owned();
        if let Some((_, rest)) = body.split_once("<Key>") {
            // Clients delete in bulk.
            (method, path) = ("DELETE".to_owned(), format!("/b/{}", rest.split('<').next().unwrap()));
        }
        let code = status(&method);
        kept.lock().unwrap().push((method.clone(), path.clone()));
        if code == 0 {
            std::thread::sleep(Duration::from_mins(1));
            return Ok(());
        }
        let list = "<ListBucketResult><Name>b</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated><Contents><Key>traces/a.jsonl</Key>\
                    <LastModified>2026-11-23T09:00:00.000Z</LastModified><Size>9</Size></Contents></ListBucketResult>";
        let empty = "<ListBucketResult><Name>b</Name><KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>";
        let (code, body) = match (method.as_str(), code, path.contains("list-type")) {
            ("GET", 200, true) if path.contains("traces") => (200, list),
            ("GET", 200, true) => (200, empty),
            ("GET", 200, false) if path.ends_with("a.jsonl") => (200, "{\"a\": 1}\n"),
            ("GET" | "HEAD", 200, false) => (404, ""),
            ("DELETE", 200, _) => (200, "<DeleteResult><Deleted><Key>k</Key></Deleted></DeleteResult>"),
            (_, code, _) => (code, ""),
        };
        let reply = format!(
            "HTTP/1.1 {code} Status\r\ncontent-length: {}\r\netag: \"1\"\r\nlast-modified: Mon, 23 Nov 2026 09:00:00 GMT\r\n\r\n{body}",
            body.len()
        );
        (&mut &*client).write_all(reply.as_bytes())?;
    }
}

const S3: [&str; 5] = ["check", "--input", "s3://b/traces/", "--output", "s3://b/tables/"];

#[test]
fn an_endpoint_that_refuses_connections_is_named_at_once() {
    let (place, _) = place("");
    let stub = S3Stub { url: "http://127.0.0.1:1".to_owned(), requests: Arc::default() };
    let started = Instant::now();
    let (checks, code) = findings(stub.command(place.path(), &S3));
    assert_eq!(code, 3);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    for check in ["input", "tables", "output"] {
        let finding = finding(&checks, check);
        assert_eq!(finding["message"], "cannot connect to 127.0.0.1:1: connection refused", "{finding}");
        assert_eq!(finding["hint"], "check AWS_ENDPOINT and the network", "{finding}");
    }
}

#[test]
fn a_store_that_does_not_answer_or_denies_access_is_a_problem() {
    let (place, _) = place("");
    let silent = S3Stub::start(|_| 0);
    let started = Instant::now();
    let (checks, _) = findings(silent.command(place.path(), &[&S3[..], &["--timeout", "1s"]].concat()));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    for check in ["input", "tables", "output"] {
        assert_eq!(finding(&checks, check)["message"], "no answer within 1 s", "{checks:#?}");
    }
    let closed = S3Stub::start(|_| 403);
    let (checks, _) = findings(closed.command(place.path(), &S3));
    for (check, expected) in [
        ("input", "cannot read s3://b/traces/: the listing cannot be completed: permission denied (HTTP 403)"),
        ("output", "cannot write to s3://b/tables/: permission denied (HTTP 403)"),
    ] {
        let finding = finding(&checks, check);
        assert_eq!(finding["message"], expected, "{finding}");
        assert!(finding["hint"].as_str().unwrap().starts_with("check AWS_ACCESS_KEY_ID"), "{finding}");
    }
    assert_eq!(finding(&checks, "tables")["status"], "problem", "{checks:#?}");
}

#[test]
fn the_object_that_shows_whether_a_bucket_is_writable_is_deleted() {
    let (place, _) = place("");
    let stub = S3Stub::start(|_| 200);
    let (checks, code) = findings(stub.command(place.path(), &S3));
    assert_eq!(code, 0, "{checks:#?}");
    assert_eq!(finding(&checks, "input")["message"], "first object s3://b/traces/a.jsonl", "{checks:#?}");
    let requests = stub.requests.lock().unwrap().clone();
    let of = |method: &str| requests.iter().filter(|(found, _)| found == method).map(|(_, path)| path.clone()).collect::<Vec<_>>();
    assert_eq!((of("PUT").len(), of("PUT")), (1, of("DELETE")), "{requests:?}");
    assert!(of("PUT")[0].starts_with("/b/tables/_failsift_check_"), "{requests:?}");
    // Without the network, nothing is asked.
    let (checks, code) = findings(stub.command(place.path(), &[&S3[..], &["--offline"]].concat()));
    assert_eq!((code, finding(&checks, "output")["status"].as_str()), (0, Some("skipped")), "{checks:#?}");
    assert_eq!(stub.requests.lock().unwrap().len(), requests.len());
}

#[test]
fn a_model_is_asked_one_small_question() {
    let (place, _) = place("");
    let check = |url: &str, analyzer: &str, more: &[&str]| {
        let arguments = ["check", "--input", "in", "--output", "out", "--analyzer", analyzer, "--base-url", url, "--timeout", "2s"];
        let mut command = command(place.path(), &[&arguments[..], more].concat());
        let (checks, code) = findings({
            command.env("GEMINI_API_KEY", "AIzaSyA-not-a-key").env("OPENAI_API_KEY", "sk-not-a-key");
            command
        });
        (finding(&checks, "model").clone(), code)
    };
    for analyzer in ["openai", "gemini"] {
        let stub = ModelStub::start(|_| Reaction::Answer);
        let (found, code) = check(&stub.url, analyzer, &["--model", "m-1"]);
        assert!(found["message"].as_str().unwrap().starts_with("m-1 answered in ") && code == 0, "{found}");
        let requests = stub.requests();
        assert_eq!(requests.len(), 1);
        assert!(requests[0].raw_body.len() < 800, "{}", requests[0].raw_body);
        // Neither a wrong key nor silence is mistaken for an answer.
        let refusing = ModelStub::start(|_| {
            Reaction::Status(
                401,
                json!({"error": {"message": "Incorrect API key provided: sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCD", "code": "invalid_api_key"}}),
                None,
            )
        });
        let (found, code) = check(&refusing.url, analyzer, &["--model", "m-1"]);
        assert_eq!((found["status"].as_str(), code), (Some("problem"), 3), "{found}");
        assert!(!found.to_string().contains("abcdefghijklmnop") && found["hint"].is_string(), "{found}");
        let silent = ModelStub::start(|_| Reaction::Hang);
        let (found, _) = check(&silent.url, analyzer, &["--model", "m-1"]);
        assert!(found["message"].as_str().unwrap().contains("within 2 s"), "{found}");
        let unasked = ModelStub::start(|_| Reaction::Answer);
        let (found, code) = check(&unasked.url, analyzer, &["--offline"]);
        assert_eq!((found["status"].as_str(), code, unasked.request_count()), (Some("skipped"), 0, 0), "{found}");
    }
    // Servers differ in what they support, which is no problem.
    let picky = ModelStub::start(|request| match request.body.get("max_tokens") {
        Some(_) => Reaction::Status(
            400,
            json!({"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "param": "max_tokens"}}),
            None,
        ),
        None => Reaction::Answer,
    });
    let (found, code) = check(&picky.url, "openai", &[]);
    assert_eq!((code, picky.request_count()), (0, 2), "{found}");
    let (found, _) = check("http://127.0.0.1:1", "openai", &["--model", "m-1"]);
    assert!(found["message"].as_str().unwrap().contains("onnection refused"), "{found}");
    let (found, _) = check(&picky.url, "openai", &["--model", "unpriced", "--max-cost", "1", "--offline"]);
    assert!(found["message"].as_str().unwrap().starts_with("--max-cost needs the price of unpriced"), "{found}");
}

#[test]
fn missing_credentials_of_a_model_are_a_problem_without_the_network_too() {
    let (place, _) = place("");
    for (analyzer, expected) in [("gemini", "no API key for Gemini"), ("openai", "no API key for OpenAI")] {
        let (checks, code) =
            findings(command(place.path(), &["check", "--input", "in", "--output", "out", "--analyzer", analyzer, "--offline"]));
        assert_eq!((finding(&checks, "model")["message"].as_str(), code), (Some(expected), 3), "{checks:#?}");
    }
}

#[test]
fn explain_names_the_origin_of_every_setting_and_no_secret() {
    let (place, file) = place(
        "[variables]\nteam = 'agents'\n[source]\ninputs = ['https://user:hunter2@x.example/{team}/{date}?sig=s3cr3t', 's3://{env:BUCKET}/x']\n\
         since = '2026-11-20'\nuntil = '2026-11-21'\n[model]\nconcurrency = 3\nmax_cost_usd = 2.5\n[write]\noutput = 'from-file'\nmax_error_rate = 0.5\n",
    );
    let mut explain =
        command(place.path(), &["run", &file, "--explain", "--output", "from-flag", "--date", "2026-11-23", "--format", "json"]);
    explain.env("FAILSIFT_OUTPUT", "from-environment").env("FAILSIFT_SINCE", "2026-11-19").env("BUCKET", "hunter3");
    let output = explain.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for secret in ["hunter", "s3cr3t", KEY] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let report: Value = serde_json::from_str(&text).unwrap();
    let settings: BTreeMap<&str, (String, &str)> = report["settings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|setting| (setting["setting"].as_str().unwrap(), (setting["value"].to_string(), setting["origin"].as_str().unwrap())))
        .collect();
    let of = |name: &str| settings[name].clone();
    assert_eq!(of("write.output"), ("\"from-flag\"".to_owned(), "--output"));
    assert_eq!(of("source.since"), ("\"2026-11-19\"".to_owned(), "FAILSIFT_SINCE"));
    assert_eq!(of("source.until"), ("\"2026-11-21\"".to_owned(), format!("{file}:6").as_str()));
    assert_eq!(of("model.concurrency"), ("3".to_owned(), format!("{file}:8").as_str()));
    assert_eq!(of("source.memory_limit_mb"), ("96".to_owned(), "default"));
    assert_eq!(of("model.name"), ("null".to_owned(), "not set"));
    assert_eq!(of("redact.key_file"), ("\"<secret>\"".to_owned(), "FAILSIFT_REDACTION_KEY"));
    assert_eq!(of("source.inputs").0, r#"["https://x.example/agents/2026-11-23","s3://{env:BUCKET}/x"]"#);
    assert_eq!(report["variables"], json!({"team": format!("{file}:2")}));
    assert!(!place.path().join("from-flag").exists());
    // As text, each setting has a line.
    let text = stdout(&command(place.path(), &["run", &file, "--explain", "--date", "2026-11-23"]).env("BUCKET", "b").output().unwrap());
    assert!(
        text.lines().any(|line| line.starts_with("write.max_error_rate ") && line.contains(" 0.5 ") && line.ends_with("nightly.toml:12")),
        "{text}"
    );
}

#[test]
fn a_backfill_reads_the_folder_of_its_logical_date() {
    let (place, file) = place(
        "[variables]\nroot = 'in'\n[source]\ninputs = ['{root}/{date-1d:%Y/%m/%d}/*.{jsonl,json}']\nsince = '{date-1d}'\nuntil = '{date}'\n\
         [links]\ndefault = 'https://traces.example/{trace_id}'\n[write]\noutput = '{root}-tables/{date-1d}'\n",
    );
    for (day, id) in [("2026/11/22", "t-22"), ("2026/11/23", "t-23")] {
        fs::create_dir_all(place.path().join("in").join(day)).unwrap();
        place.put(&format!("{day}/a.jsonl"), trace(id, "boom"));
    }
    let run = |more: &[&str]| -> Value {
        let output = command(place.path(), &[&["run", file.as_str(), "--format", "json"], more].concat()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)))
    };
    let summary = run(&["--date", "2026-11-24T05:00:00+00:00"]);
    assert_eq!((&summary["stored"], &summary["pipeline"]), (&json!(1), &json!("nightly")), "{summary}");
    let rows =
        crate::support::rows(&place.path().join("in-tables/2026-11-23").display().to_string(), "select trace_id, trace_url from patterns");
    assert_eq!(rows, [json!({"trace_id": "t-23", "trace_url": "https://traces.example/t-23"})]);
    // The trace of this day is outside of the range of the file.
    let mut other = command(place.path(), &["run", &file, "--format", "json"]);
    let output = other.env("FAILSIFT_DATE", "2026-11-23").output().unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["received"], &summary["filtered"]), (&json!(1), &json!(1)), "{summary}");
    // Ages count back from the logical date.
    let summary = run(&[
        "--date",
        "2026-11-24",
        "--since",
        "15h",
        "--until",
        "{date+1d}",
        "--input",
        "{root}/{date-1d:%Y/%m/%d}/",
        "--output",
        "ages",
    ]);
    assert_eq!(summary["stored"], 1, "{summary}");
    let summary = run(&[
        "--date",
        "2026-11-24",
        "--since",
        "14h",
        "--until",
        "{date+1d}",
        "--input",
        "{root}/{date-1d:%Y/%m/%d}/",
        "--output",
        "ages-2",
    ]);
    assert_eq!(summary["filtered"], 1, "{summary}");
    let unknown = command(place.path(), &["run", &file, "--set", "rot=x"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(2));
    assert!(stderr(&unknown).starts_with("error: --set rot: no value contains {rot}; did you mean 'root'?"), "{}", stderr(&unknown));
}

#[test]
fn the_schema_for_editors_accepts_the_examples_and_refuses_a_misspelled_key() {
    let output = failsift(&["schema", "pipeline"]).output().unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for entry in fs::read_dir("pipelines").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let file: Value = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            assert!(validator.is_valid(&file), "{}: {:?}", path.display(), validator.iter_errors(&file).next());
        }
    }
    for wrong in ["[source]\ninput = ['a']", "[sourc]", "[model]\nconcurrency = 0", "[analyze]\nanalyzer = 'gpt'", "[variables]\na = 1"] {
        assert!(!validator.is_valid(&toml::from_str::<Value>(wrong).unwrap()), "{wrong}");
    }
}
