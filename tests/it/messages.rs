//! Every message for wrong or unusual usage: exit code, stdout and stderr of the built binary, one snapshot per subject.
//!
//! Read the snapshots like code when a message changes: `INSTA_UPDATE=always cargo test --test it messages::`, then read the diff. A case
//! is a command in a fresh folder, so paths are short and the same on each machine.

use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::{KEY, sample, stderr, stdout, trace};

/// Cases that run at the same time.
const PARALLEL: usize = 4;

/// One use of the command line.
struct Case {
    title: &'static str,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
    stdin: Vec<u8>,
    has_key: bool,
    /// Runs as this user.
    user: Option<u32>,
}

/// A case whose arguments are separated by spaces; single quotes keep spaces.
fn case(title: &'static str, command: &str) -> Case {
    let quoted = command.split('\'').enumerate().flat_map(|(index, part)| {
        if index % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() }
    });
    Case { title, arguments: quoted.collect(), environment: Vec::new(), stdin: Vec::new(), has_key: true, user: None }
}

impl Case {
    fn env(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs without the redaction key of the tests.
    fn without_key(mut self) -> Self {
        self.has_key = false;
        self
    }

    /// Runs the binary in the folder, without the caller's environment.
    fn run(&self, folder: &Path) -> std::io::Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_failsift"));
        command.args(&self.arguments).current_dir(folder).env_clear().env("HOME", folder.join("home")).env("NO_COLOR", "1");
        if self.has_key {
            command.env("FAILSIFT_REDACTION_KEY", KEY);
        }
        if !self.arguments.iter().any(|argument| argument == "--help") {
            // The default is too short for an unoptimized build on a busy machine.
            command.env("FAILSIFT_TRACE_TIMEOUT", "300");
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        // A command that does not read its input closes the pipe.
        let _ = child.stdin.take().expect("stdin is piped").write_all(&self.stdin);
        child.wait_with_output()
    }

    /// The command and its result as text.
    fn transcript(&self, output: &Output) -> String {
        let quoted = |text: &String| if text.contains([' ', '*', '"']) { format!("'{text}'") } else { text.clone() };
        let mut words: Vec<String> = self.environment.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        words.push("failsift".to_owned());
        words.extend(self.arguments.iter().map(quoted));
        let mut lines = vec![format!("# {}", self.title), format!("$ {}", words.join(" "))];
        for (name, text) in [("stdout", stdout(output)), ("stderr", stderr(output))] {
            if !text.is_empty() {
                lines.push(format!("--- {name}\n{}", text.trim_end()));
            }
        }
        lines.push(output.status.code().map_or_else(|| "--- killed".to_owned(), |code| format!("--- exit code {code}")));
        lines.join("\n") + "\n"
    }
}

/// A fresh folder with one failed trace (`traces/a.jsonl`). With two, their order in tables would differ between runs.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    put(folder.path(), "traces/a.jsonl", trace("t-1", "HTTP 429 Too Many Requests"));
    folder
}

fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a name below the folder")).expect("create folders");
    fs::write(path, bytes).expect("write a file");
}

/// Runs the cases and compares their transcripts with the snapshot of the subject.
fn check(subject: &str, folder: &Path, cases: &[Case]) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let transcripts = std::sync::Mutex::new(vec![String::new(); cases.len()]);
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some((index, case)) = {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    cases.get(index).map(|case| (index, case))
                } {
                    let transcript = case.transcript(&case.run(folder).expect("run failsift"));
                    transcripts.lock().unwrap()[index] = transcript;
                }
            });
        }
    });
    let text = transcripts.into_inner().unwrap().join("\n");
    let path = folder.display().to_string();
    insta::with_settings!({
        omit_expression => true,
        prepend_module_to_snapshot => false,
        snapshot_path => "snapshots/messages",
        filters => vec![
            (path.as_str(), "[folder]"),
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[id]"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "[time]"),
            (r"in \d+\.\d s", "in [seconds]"),
            (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
            (r"failsift \d+\.\d+\.\d+", "failsift [version]"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ UTC", "[time]"),
            (r#""latency_ms_p50":[\d.]+"#, r#""latency_ms_p50":[number]"#),
            (r"<EMAIL:[0-9a-f]{6}>", "<EMAIL:[digits]>"),
        ],
    }, {
        insta::assert_snapshot!(subject, text);
    });
}

/// An address that refuses connections.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

#[test]
fn help() {
    let folder = folder();
    let commands =
        ["run", "plan", "check", "query", "inspect", "show", "eval", "redact", "maintain", "audit", "rules", "rules check", "schema"];
    let mut cases = vec![case("the commands", "--help")];
    cases.extend(commands.map(|command| case("help of a command", &format!("{command} --help"))));
    check("help", folder.path(), &cases);
}

#[test]
fn usage() {
    let folder = folder();
    check(
        "usage",
        folder.path(),
        &[
            case("misspelled command", "rnu"),
            case("misspelled flag", "run --inptu traces --output tables"),
            case("flag without a value", "run --input"),
            case("misspelled analyzer", "run --input traces --output tables --analyzer embeded"),
            case("misspelled row format", "query --format jsno 'SELECT 1'"),
            case("misspelled schema", "schema patern"),
            case("no input", "run --output tables"),
            case("no output", "run --input traces"),
            case("misspelled input format", "run --input traces --output tables --input-format langsmit"),
            case("unknown input format", "inspect traces --input-format xml"),
            case("misspelled input format in the environment", "run --input traces --output tables").env("FAILSIFT_INPUT_FORMAT", "otpl"),
            case("word as a time", "run --input traces --output tables --since yesterday"),
            case("impossible date", "run --input traces --output tables --until 2026-02-30"),
            case("reversed time range", "run --input traces --output tables --since 24h --until 48h"),
            case("duration without a unit", "run --input traces --output tables --commit-every 10"),
            case("word as a timeout", "run --input traces --output tables --trace-timeout soon"),
            case("timeout of zero", "run --input traces --output tables --trace-timeout 0"),
            case("memory limit too small", "run --input traces --output tables --memory-limit 1"),
            case("memory limit with a unit", "run --input traces --output tables --memory-limit 96MB"),
            case("record limit too small", "run --input traces --output tables --max-record-bytes 10"),
            case("error rate over 1", "run --input traces --output tables --max-error-rate 5"),
            case("no concurrency", "run --input traces --output tables --analyzer gemini --concurrency 0"),
            case("maximum below concurrency", "run --input traces --output tables --analyzer gemini --concurrency 8 --max-concurrency 4"),
            case("questions too short", "run --input traces --output tables --analyzer gemini --prompt-tokens 100"),
            case("answers too short", "run --input traces --output tables --analyzer gemini --output-tokens 10"),
            case("negative cost", "run --input traces --output tables --analyzer gemini --max-cost=-1"),
        ],
    );
}

#[test]
fn pipeline_files() {
    let folder = folder();
    let rest = "[write]\noutput = 'tables'\n";
    for (name, text) in [
        ("key.toml", "[source]\ninput = ['traces']\n".to_owned() + rest),
        ("unlike.toml", "[source]\nzzz = 1\n".to_owned() + rest),
        ("section.toml", "[sources]\ninputs = ['traces']\n".to_owned() + rest),
        ("value.toml", "[source]\ninputs = ['traces']\nselect = 'fail'\n".to_owned() + rest),
        ("type.toml", "[source]\ninputs = 'traces'\n".to_owned() + rest),
        ("syntax.toml", "[source\ninputs = ['traces']\n".to_owned() + rest),
        ("time.toml", "[source]\ninputs = ['traces']\nsince = 'yesterday'\n".to_owned() + rest),
        ("format.toml", "[source]\ninputs = ['traces']\nformat = 'langfus'\n".to_owned() + rest),
        ("every.toml", "[source]\ninputs = ['traces']\n".to_owned() + rest + "commit_every = 'often'\n"),
    ] {
        put(folder.path(), name, text);
    }
    check(
        "pipeline_files",
        folder.path(),
        &[
            case("no such file", "run nightly.toml"),
            case("folder instead of a file", "run traces"),
            case("endless file", "run /dev/zero"),
            case("misspelled key", "run key.toml"),
            case("unknown key", "run unlike.toml"),
            case("misspelled section", "run section.toml"),
            case("misspelled value", "run value.toml"),
            case("wrong type", "run type.toml"),
            case("invalid TOML", "run syntax.toml"),
            case("invalid time", "run time.toml"),
            case("misspelled format", "run format.toml"),
            case("invalid duration", "run every.toml"),
        ],
    );
}

#[test]
fn locations() {
    let folder = folder();
    fs::create_dir_all(folder.path().join("empty")).unwrap();
    put(folder.path(), "file", "text");
    put(folder.path(), "notes/LICENSE", "Apache-2.0");
    check(
        "locations",
        folder.path(),
        &[
            case("no such input", "run --input missing --output tables"),
            case("input misspelled by one letter", "run --input trace --output tables"),
            case("glob without a match", "run --input 'logs/*.jsonl' --output tables"),
            case("empty folder", "run --input empty --output tables"),
            case("empty folder that may be empty", "run --input empty --output tables-of-nothing --allow-empty"),
            case("folder of other files", "run --input notes --output tables"),
            case("unknown scheme", "run --input gopher://x/y --output tables"),
            case("URL without a bucket", "run --input s3:// --output tables"),
            case("output on a web server", "run --input traces --output https://example.com/x"),
            case("output is a file", "run --input traces --output file"),
            case("output that cannot be created", "run --input traces --output /proc/failsift"),
            case("input is the output", "run --input traces --output traces"),
            case("nothing to inspect", "inspect missing"),
            case("nothing to query", "query --input missing 'SELECT 1 FROM spans'"),
        ],
    );
}

#[test]
fn traces() {
    let folder = folder();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let packed = gzip(sample("otlp/genai.jsonl.gz").as_bytes());
    for (name, bytes) in [
        ("cut/a.jsonl", (trace("t-1", "boom") + "{\"trace_id\": \"cut\n").into_bytes()),
        ("mangled/a.jsonl", (trace("t-1", "boom") + "{not json}\n").into_bytes()),
        ("words/a.jsonl", b"no traces here\n".repeat(3)),
        ("gzip/a.jsonl.gz", packed[..packed.len() / 2].to_vec()),
        ("header/a.jsonl.gz", b"\x1f\x8b\x08nothing that gzip would write".to_vec()),
        ("zip/a.zip", b"PK\x03\x04 and so on".to_vec()),
        ("csv/a.csv", b"x,y,z\n1,2,3\n".to_vec()),
        ("metrics/a.jsonl", b"{\"resourceMetrics\":[{}]}\n".to_vec()),
        ("other/a.jsonl", b"{\"level\":\"info\",\"message\":\"not a trace\"}\n".to_vec()),
        ("parquet/a.parquet", b"PAR1 that ends too early".to_vec()),
        ("huge/a.jsonl", trace("t-3", &"x".repeat(5_000)).into_bytes()),
        ("nospans/a.jsonl", b"{\"trace_id\": \"t-4\", \"spans\": []}\n".to_vec()),
        (
            "noid/a.jsonl",
            b"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"spanId\":\"0102030405060708\",\"name\":\"x\"}]}]}]}\n".to_vec(),
        ),
    ] {
        put(folder.path(), name, bytes);
    }
    check(
        "traces",
        folder.path(),
        &[
            case("one line is cut", "run --input cut --output tables-1"),
            case("one line is not JSON", "inspect mangled"),
            case("text", "inspect words"),
            case("truncated gzip", "inspect gzip"),
            case("damaged gzip", "inspect header"),
            case("archive", "inspect zip"),
            case("CSV of something else", "inspect csv"),
            case("metrics", "run --input metrics --output tables-2"),
            case("logs of something else", "inspect other"),
            case("damaged Parquet", "inspect parquet"),
            case("long record", "run --input huge --output tables-3 --max-record-bytes 2000"),
            case("trace without spans", "inspect nospans"),
            case("span without a trace id", "inspect noid"),
            case("format that the input is not in", "inspect traces --input-format datadog"),
            case("nothing on standard input", "run --input - --output tables-4"),
            case("everything filtered", "run --input traces --output tables-5 --service nobody"),
        ],
    );
}

#[test]
fn tables() {
    let folder = folder();
    let made = case("", "run --input traces --output tables").run(folder.path()).unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    let copy = Command::new("cp").args(["-a", "tables", "damaged"]).current_dir(folder.path()).status().unwrap();
    assert!(copy.success());
    for entry in fs::read_dir(folder.path().join("damaged/patterns/_delta_log")).unwrap() {
        fs::write(entry.unwrap().path(), "{damaged").unwrap();
    }
    check(
        "tables",
        folder.path(),
        &[
            case("no tables", "query --tables nowhere 'SELECT 1'"),
            case("traces instead of tables", "query --tables traces 'SELECT 1'"),
            case("damaged table", "query --tables damaged 'SELECT title FROM patterns'"),
            case("misspelled column", "query --tables tables 'SELECT titel FROM patterns'"),
            case("misspelled table", "query --tables tables 'SELECT * FROM pattern'"),
            case("spans without an input", "query --tables tables 'SELECT * FROM spans'"),
            case("misspelled function", "query --tables tables 'SELECT cuont(*) FROM patterns'"),
            case("syntax error", "query --tables tables 'SELECT FROM WHERE'"),
            case("unclosed quote", "query --tables tables 'SELECT \"title FROM patterns'"),
            case("statement that writes", "query --tables tables 'DROP TABLE patterns'"),
            case("file as a table", "query --tables tables 'SELECT * FROM \"/etc/passwd\"'"),
            case("comparison of text with a number", "query --tables tables 'SELECT title FROM patterns WHERE title > 5'"),
            case("cast that fails", "query --tables tables 'SELECT CAST(title AS INT) FROM patterns'"),
            case("division by zero", "query --tables tables 'SELECT 1 / 0'"),
            case("no time for the query", "query --tables tables --timeout 0s 'SELECT count(*) FROM patterns'"),
            case("invalid state", "query --tables tables --as-of yesterday 'SELECT 1'"),
            case("version that does not exist", "query --tables tables --as-of 99 'SELECT 1'"),
            case("time before the first run", "query --tables tables --as-of 2020-01-01 'SELECT 1'"),
            case("unknown trace", "show t-99 --tables tables"),
            case("no tables to show", "show t-1 --tables nowhere"),
            case("no tables to audit", "audit --tables nowhere"),
            case("nothing found by audit", "audit --tables tables"),
            case("no tables to maintain", "maintain --tables nowhere"),
            case("short retention", "maintain --tables tables --retention 5m"),
            case("invalid retention", "maintain --tables tables --retention forever"),
        ],
    );
}

#[test]
fn rules() {
    let folder = folder();
    let rule = |change: (&str, &str)| {
        "[[rule]]\nid = \"acme-proxy\"\nlabel = \"environment_error/misconfiguration\"\ntext = ['acme proxy refused']\nconfidence = 0.9\ntitle = \"The proxy refused {tool}\"\n\
         hypothesis = \"The host is not on the list.\"\nactions = [\"Ask for the host.\"]\n\
         [[rule.case]]\nkind = \"tool\"\nmessage = \"ACME proxy refused\"\nwins = true\n\
         [[rule.case]]\nkind = \"tool\"\nmessage = \"HTTP 429\"\nwins = false\n"
            .replace(change.0, change.1)
    };
    for (name, text) in [
        ("good.toml", rule(("", ""))),
        ("key.toml", rule(("title =", "titel ="))),
        ("label.toml", rule(("misconfiguration", "misconfigured"))),
        ("expression.toml", rule(("acme proxy refused", "acme (proxy"))),
        ("case.toml", rule(("wins = false", "wins = true"))),
        ("syntax.toml", "[[rule]\n".to_owned()),
        ("placeholder.toml", rule(("{tool}", "{tol}"))),
    ] {
        put(folder.path(), name, text);
    }
    check(
        "rules",
        folder.path(),
        &[
            case("good rules", "rules check good.toml"),
            case("no such file", "rules check missing.toml"),
            case("misspelled key", "rules check key.toml"),
            case("misspelled label", "rules check label.toml"),
            case("invalid expression", "rules check expression.toml"),
            case("case that fails", "rules check case.toml"),
            case("invalid TOML", "rules check syntax.toml"),
            case("unknown placeholder", "rules check placeholder.toml"),
            case("run with a missing file", "run --input traces --output tables --rules missing.toml"),
            case("run with a misspelled key", "run --input traces --output tables --rules key.toml"),
        ],
    );
}

#[test]
fn redaction() {
    let folder = folder();
    let detector = |change: (&str, &str)| {
        "[[detector]]\nkind = \"employee_id\"\nexpression = 'badge (?<value>EMP-\\d{6})'\nexamples = [\"badge EMP-123456\"]\ncounterexamples = [\"EMP-1\"]\n"
            .replace(change.0, change.1)
    };
    for (name, text) in [
        ("key.toml", detector(("kind =", "knd ="))),
        ("kind.toml", detector(("employee_id", "Employee ID"))),
        ("expression.toml", detector(("(?<value>", "(?<value"))),
        ("example.toml", detector(("badge EMP-123456", "EMP-123456"))),
        ("counterexample.toml", detector(("EMP-1\"", "badge EMP-123456\""))),
        ("syntax.toml", "allow = [\n".to_owned()),
        ("short.key", "short".to_owned()),
        ("empty.key", String::new()),
    ] {
        put(folder.path(), name, text);
    }
    fs::write(folder.path().join("latin1.txt"), b"caf\xe9\n").unwrap();
    check(
        "redaction",
        folder.path(),
        &[
            case("no such file", "redact missing.log"),
            case("folder instead of a file", "redact traces"),
            case("text that is not UTF-8", "redact latin1.txt"),
            case("lines that are not JSON", "redact --format jsonl").stdin("{\"id\": 1, \"text\": \"fine\"}\nmail ann@example.com\n"),
            case("explanation", "redact --explain").stdin("mail ann@example.com\n"),
            case("short key in the environment", "redact").env("FAILSIFT_REDACTION_KEY", "short"),
            case("short key in a file", "redact --redaction-key-file short.key"),
            case("empty key file", "redact --redaction-key-file empty.key"),
            case("no such key file", "run --input traces --output tables --redaction-key-file missing.key"),
            case("no such detectors", "redact --rules missing.toml"),
            case("misspelled key", "redact --rules key.toml"),
            case("invalid kind", "redact --rules kind.toml"),
            case("invalid expression", "redact --rules expression.toml"),
            case("example that is not found", "redact --rules example.toml"),
            case("counterexample that is found", "redact --rules counterexample.toml"),
            case("invalid TOML", "run --input traces --output tables --redaction-rules syntax.toml"),
            case("first use without a key", "redact").without_key().stdin("mail ann@example.com\n"),
            case("no folder for a key", "redact").without_key().env("HOME", &folder.path().join("short.key").display().to_string()),
        ],
    );
}

#[test]
fn models() {
    let folder = folder();
    put(folder.path(), "prices.toml", "[[price]]\nmodl = 'x'\n");
    let closed = format!("http://{}/v1", closed_port());
    let run = "run --input traces --output tables";
    check(
        "models",
        folder.path(),
        &[
            case("no key for Gemini", &format!("{run} --analyzer gemini")),
            case("no key for OpenAI", &format!("{run} --analyzer openai")),
            // A refused connection is retried until the trace is out of time.
            case("server that does not answer", &format!("{run} --analyzer openai --model m"))
                .env("OPENAI_BASE_URL", &closed)
                .env("FAILSIFT_TRACE_TIMEOUT", "8"),
            case("invalid URL", &format!("{run} --analyzer openai --model m --base-url nonsense")),
            case("no such price file", &format!("{run} --analyzer gemini --prices missing.toml")).env("GEMINI_API_KEY", "secret"),
            case("invalid price file", &format!("{run} --analyzer gemini --prices prices.toml")).env("GEMINI_API_KEY", "secret"),
            case("cost limit without a price", &format!("{run} --analyzer openai --model m --max-cost 1")).env("OPENAI_BASE_URL", &closed),
            case("misspelled fallback", &format!("{run} --analyzer gemini --fallback embeded")),
            case("nothing to plan", "plan --input traces"),
            case("plan without a price", "plan --input traces --analyzer openai --model m").env("OPENAI_API_KEY", "secret"),
        ],
    );
}

#[test]
fn checks() {
    let folder = folder();
    put(folder.path(), "good.toml", "[source]\ninputs = ['traces']\n[write]\noutput = 'tables'\n");
    let wrong = "[source]\ninput = ['traces']\nselect = 'fail'\nsince = '{dat}'\n[anlyze]\nanalyzer = 'gemini'\n[model]\nconcurrency = 0\n[write]\noutput = 7\n";
    put(folder.path(), "wrong.toml", wrong);
    put(folder.path(), "syntax.toml", "[source\n");
    check(
        "checks",
        folder.path(),
        &[
            case("everything is fine", "check good.toml"),
            case("several mistakes", "check wrong.toml"),
            case("invalid TOML", "check syntax.toml"),
            case("no such file", "check missing.toml"),
            case("nothing given", "check"),
            case("missing files", "check good.toml --rules a.toml --redaction-rules b.toml --input trace"),
            case("without the network", "check good.toml --offline --analyzer gemini --input s3://b/x --output s3://b/y"),
            case("as JSON", "check good.toml --offline --format json --input -"),
            case("origins", "run good.toml --explain --since 24h --set day=1 --input 'traces/{day}'").env("FAILSIFT_SELECT", "failed"),
            case("origins without an output", "run --explain --input traces"),
            case("variable without a value", "run good.toml --set day"),
            case("built-in variable", "run good.toml --set date=2026-11-23"),
            case("unused variable", "run good.toml --set day=1"),
            case("unknown variable", "run good.toml --input 'traces/{dya}' --set day=1"),
            case("wrong logical date", "run good.toml --date yesterday"),
            case("wrong logical date in the environment", "run good.toml").env("FAILSIFT_DATE", "soon"),
        ],
    );
}

#[test]
fn evaluation() {
    let folder = folder();
    let label = |id: &str, category: &str, factor: &str| {
        serde_json::json!({"trace_id": id, "category": category, "contributing_factor": factor}).to_string() + "\n"
    };
    for (name, text) in [
        ("good.jsonl", label("t-1", "tool_failure", "tool_rate_limited")),
        ("wrong.jsonl", label("t-1", "tool_failure", "tool_timeout")),
        ("strangers.jsonl", label("t-98", "tool_failure", "tool_timeout")),
        ("vocabulary.jsonl", label("t-1", "tool_failure", "tool_rate_limitd")),
        ("broken.jsonl", "{\"trace_id\": \"t-1\"\n".to_owned()),
        ("keys.jsonl", "{\"trace\": \"t-1\"}\n".to_owned()),
        ("empty.jsonl", String::new()),
        ("ratings.csv", "trace_id,right\nt-1,perhaps\n".to_owned()),
    ] {
        put(folder.path(), name, text);
    }
    check(
        "evaluation",
        folder.path(),
        &[
            case("neither labels nor ratings", "eval --input traces"),
            case("no input", "eval --labels good.jsonl"),
            case("no such labels", "eval --input traces --labels missing.jsonl"),
            case("label outside the vocabulary", "eval --input traces --labels vocabulary.jsonl"),
            case("broken labels", "eval --input traces --labels broken.jsonl"),
            case("labels of other keys", "eval --input traces --labels keys.jsonl"),
            case("no labels in the file", "eval --input traces --labels empty.jsonl"),
            case("labels of other traces", "eval --input traces --labels strangers.jsonl --min-accuracy 0.5 --format json"),
            case("threshold missed", "eval --input traces --labels wrong.jsonl --min-accuracy 0.5 --format json"),
            case("threshold in percent", "eval --input traces --labels good.jsonl --min-accuracy 80"),
            case("review without a sheet", "eval --input traces --review 5"),
            case("explanation of two analyzers", "eval --input traces --explain x.jsonl --analyzer embedded --analyzer gemini"),
            case("no such ratings", "eval --ratings missing.csv"),
            case("invalid rating", "eval --ratings ratings.csv"),
        ],
    );
}

/// Root may read everything, so as root these cases run as another user.
#[test]
fn permissions() {
    const NOBODY: u32 = 65_534;
    let folder = folder();
    let set_mode = |name: &str, mode| fs::set_permissions(folder.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    put(folder.path(), "closed/a.jsonl", trace("t-1", "boom"));
    put(folder.path(), "secret.toml", "");
    put(folder.path(), "locked/a.jsonl", "");
    put(folder.path(), "open/README.md", "");
    let made = case("", "run --input traces --output tables").run(folder.path()).unwrap();
    assert!(made.status.success(), "{}", stderr(&made));
    for (name, mode) in [("", 0o755), ("traces", 0o755), ("traces/a.jsonl", 0o644), ("closed", 0o755), ("open", 0o777)] {
        set_mode(name, mode);
    }
    for name in ["closed/a.jsonl", "secret.toml", "locked", "tables"] {
        set_mode(name, 0);
    }
    let mut cases = [
        case("file that may not be read", "run --input closed --output open/tables"),
        case("folder that may not be read", "run --input locked --output open/tables"),
        case("output that may not be written", "run --input traces --output locked/tables"),
        case("tables that may not be read", "query --tables tables 'SELECT 1 FROM patterns'"),
        case("pipeline file that may not be read", "run secret.toml"),
    ];
    if folder.path().metadata().unwrap().uid() == 0 {
        for case in &mut cases {
            case.user = Some(NOBODY);
        }
    }
    // The other user may not be able to reach the binary on this machine.
    if cases[0].run(folder.path()).is_ok() {
        check("permissions", folder.path(), &cases);
    }
    for name in ["locked", "tables"] {
        set_mode(name, 0o700);
    }
}
