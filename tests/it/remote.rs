//! Tests against real servers and engines: an S3 server, a web server, and other engines that read the tables. `tests/run` installs them in
//! `target/python`, and runs these tests with `--include-ignored`.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::proxy::{Fault, Proxy, Request};
use crate::support::{Place, failsift, stderr, trace};

/// A server process, which is killed when the test ends.
struct Server {
    child: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Python with everything that `tests/run` installs.
pub(crate) fn python() -> String {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python");
    assert!(std::path::Path::new(python).exists(), "target/python is missing: run tests/run");
    python.to_owned()
}

fn start(mut command: Command, port: u16) -> Server {
    // A file, because a pipe that nobody reads fills up and blocks the server.
    let log = tempfile::NamedTempFile::new().unwrap();
    let child = command.stdout(Stdio::null()).stderr(log.reopen().unwrap()).spawn().expect("start a server");
    let mut server = Server { child, url: format!("http://127.0.0.1:{port}") };
    let end = Instant::now() + Duration::from_mins(1);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        if let Some(status) = server.child.try_wait().unwrap() {
            panic!("the server ended with {status}: {}", std::fs::read_to_string(log.path()).unwrap());
        }
        assert!(Instant::now() < end, "the server does not answer");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// An S3 server with a bucket of samples.
pub(crate) struct S3 {
    server: Server,
    port: u16,
}

impl S3 {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let mut command = Command::new(python());
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        let server = start(command, port);
        let script = "import boto3, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')
s3.create_bucket(Bucket='traces')
for sample, key in (('otlp/openinference.jsonl.gz', 'day=1/a.jsonl.gz'), ('phoenix/langchain.spans_dataframe.parquet', 'day=2/b.parquet'),
                    ('broken/cut-and-mangled.jsonl', 'day=2/c.jsonl')):
    s3.upload_file('data/samples/' + sample, 'traces', 'agents/' + key)";
        let prepared = Command::new(python()).args(["-c", script, &server.url]).status().unwrap();
        assert!(prepared.success());
        Self { server, port }
    }

    pub(crate) fn url(&self) -> &str {
        &self.server.url
    }

    pub(crate) fn environment(url: &str) -> Vec<(&'static str, String)> {
        let fixed =
            [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test"), ("AWS_REGION", "us-east-1"), ("AWS_ALLOW_HTTP", "true")];
        let fixed = fixed.into_iter().map(|(name, value)| (name, value.to_owned()));
        // Requests time out after two seconds instead of thirty.
        fixed.chain([("AWS_TIMEOUT", "2s".to_owned()), ("AWS_ENDPOINT", url.to_owned())]).collect()
    }
}

/// Runs over a location. Returns the summary.
fn run_on(environment: &[(&str, String)], input: &str, output: &str) -> serde_json::Value {
    let arguments = ["run", "--input", input, "--output", output, "--format", "json", "--max-error-rate", "0.5"];
    let run = failsift(&arguments).envs(environment.iter().cloned()).output().unwrap();
    assert!(run.status.success(), "{input}: {}", stderr(&run));
    serde_json::from_slice(&run.stdout).unwrap()
}

fn query_on(environment: &[(&str, String)], tables: &str, sql: &str) -> String {
    let query = failsift(&["query", "--tables", tables, sql, "--format", "json"]).envs(environment.iter().cloned()).output().unwrap();
    assert!(query.status.success(), "{}", stderr(&query));
    crate::support::stdout(&query).trim().to_owned()
}

/// All operations on a bucket with three samples: a prefix, an object, a glob, a second run, maintenance, and a missing input.
fn check_all_operations(environment: &[(&str, String)], bucket: &str) {
    let tables = format!("{bucket}/tables");
    for (input, stored, errors) in [("agents/", 44, 3), ("agents/day=1/a.jsonl.gz", 33, 0), ("agents/*/*.parquet", 11, 0)] {
        let summary = run_on(environment, &format!("{bucket}/{input}"), &tables);
        assert_eq!((&summary["stored"], &summary["processing_errors"]), (&stored.into(), &errors.into()), "{input}");
    }
    assert_eq!(query_on(environment, &tables, "select count(*) n, count(distinct trace_id) u from patterns"), r#"[{"n":44,"u":44}]"#);
    let maintained = failsift(&["maintain", "--tables", &tables]).envs(environment.iter().cloned()).output().unwrap();
    assert!(maintained.status.success(), "{}", stderr(&maintained));
    assert_eq!(query_on(environment, &tables, "select count(*) n from runs"), r#"[{"n":3}]"#);
    // Concurrent writers, whose commits are serialized by the store's conditional put.
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..3).map(|_| scope.spawn(|| run_on(environment, &format!("{bucket}/agents/"), &tables))).collect();
        for writer in writers {
            assert_eq!(writer.join().unwrap()["stored"], 44);
        }
    });
    assert_eq!(query_on(environment, &tables, "select count(*) n, count(distinct trace_id) u from patterns"), r#"[{"n":44,"u":44}]"#);
    assert_eq!(query_on(environment, &tables, "select count(*) n from runs"), r#"[{"n":6}]"#);
    let missing = failsift(&["run", "--input", &format!("{bucket}/nowhere/"), "--output", &tables])
        .envs(environment.iter().cloned())
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1), "{}", stderr(&missing));
    assert!(stderr(&missing).contains(&format!("{bucket}/nowhere")), "{}", stderr(&missing));
}

#[test]
#[ignore = "needs an S3 server; tests/run prepares it"]
fn all_operations_work_on_s3() {
    let s3 = S3::start();
    check_all_operations(&S3::environment(&s3.server.url), "s3://traces");
}

#[test]
#[ignore = "needs an S3 server; tests/run prepares it"]
fn a_public_object_needs_no_credentials_and_a_private_one_does() {
    let s3 = S3::start();
    let script = "import boto3, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')
s3.upload_file('data/samples/otlp/openinference.jsonl.gz', 'traces', 'public.jsonl.gz', ExtraArgs={'ACL': 'public-read'})";
    assert!(Command::new(python()).args(["-c", script, &s3.server.url]).status().unwrap().success());
    let place = Place::new();
    let environment = [
        ("AWS_SKIP_SIGNATURE", "true".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ALLOW_HTTP", "true".to_owned()),
        ("AWS_ENDPOINT", s3.server.url.clone()),
    ];
    assert_eq!(run_on(&environment, "s3://traces/public.jsonl.gz", &place.output())["stored"], 33);
    let private = failsift(&["run", "--input", "s3://traces/agents/day=1/a.jsonl.gz", "--output", &place.output()]);
    let refused = { private }.envs(environment).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    let message = stderr(&refused);
    assert!(message.contains("permission denied (HTTP 403)") && message.contains("check AWS_ACCESS_KEY_ID"), "{message}");
}

/// The S3 server checks only that a request is signed.
const SIGNED: &str =
    "Authorization: AWS4-HMAC-SHA256 Credential=test/20261125/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none";

/// No packaged emulator of Google Cloud Storage implements the XML API that clients write with. S3's API differs only in some headers, which the
/// proxy rewrites.
#[test]
#[ignore = "needs an S3 server; tests/run prepares it"]
fn all_operations_work_on_google_cloud_storage() {
    let s3 = S3::start();
    let proxy = Proxy::start(
        s3.port,
        &[
            ("x-goog-if-generation-match: 0", "If-None-Match: *"),
            ("x-goog-copy-source:", "x-amz-copy-source:"),
            ("authorization:", "x-ignored:"),
            ("", SIGNED),
        ],
        |_| Fault::None,
    );
    let account = format!(
        r#"{{"gcs_base_url": "{}", "disable_oauth": true, "client_email": "", "private_key": "", "private_key_id": ""}}"#,
        proxy.url
    );
    let environment = [("GOOGLE_SERVICE_ACCOUNT_KEY", account), ("GOOGLE_ALLOW_HTTP", "true".to_owned())];
    check_all_operations(&environment, "gs://traces");
    assert!(proxy.requests() > 100);
}

#[test]
#[ignore = "needs an Azure Blob server; tests/run prepares it"]
fn all_operations_work_on_azure_blob_storage() {
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/target");
    let mut command = Command::new(format!("{root}/python/bin/node"));
    command.arg(format!("{root}/node/node_modules/azurite/dist/src/blob/main.js"));
    command
        .args(["--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", &port.to_string(), "--location"])
        .arg(folder.path());
    let server = start(command, port);
    let script = "import sys
from azure.storage.blob import BlobServiceClient
account = 'devstoreaccount1'
key = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='
blobs = BlobServiceClient(f'{sys.argv[1]}/{account}', credential=key).create_container('traces')
for sample, key in (('otlp/openinference.jsonl.gz', 'day=1/a.jsonl.gz'), ('phoenix/langchain.spans_dataframe.parquet', 'day=2/b.parquet'),
                    ('broken/cut-and-mangled.jsonl', 'day=2/c.jsonl')):
    blobs.upload_blob('agents/' + key, open('data/samples/' + sample, 'rb'))";
    let prepared = Command::new(python()).args(["-c", script, &server.url]).output().unwrap();
    assert!(prepared.status.success(), "{}", stderr(&prepared));
    let environment = [
        ("AZURE_STORAGE_USE_EMULATOR", "true".to_owned()),
        ("AZURITE_BLOB_STORAGE_URL", server.url.clone()),
        ("AZURE_ALLOW_HTTP", "true".to_owned()),
    ];
    check_all_operations(&environment, "az://traces");
}

/// Each request fails with a probability of one in `odds`, with one of the failures of real stores.
fn chaos(seed: usize, odds: usize) -> impl Fn(&Request<'_>) -> Fault + Send + Sync + 'static {
    move |request| {
        let random = (request.number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let random = (random ^ (random >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33;
        if random % odds != 0 {
            return Fault::None;
        }
        match (random / odds) % 7 {
            0 => Fault::Status(500, "InternalError"),
            1 => Fault::Status(503, "SlowDown"),
            2 => Fault::Reset,
            3 => Fault::ResponseLost,
            4 => Fault::ResponseCut,
            // Longer than the timeout, and shorter.
            5 => Fault::Slow(Duration::from_secs(3)),
            _ => Fault::Slow(Duration::from_millis(300)),
        }
    }
}

#[test]
#[ignore = "needs an S3 server; tests/run prepares it"]
fn a_run_survives_intermittent_failures_of_the_store() {
    let s3 = S3::start();
    let good = S3::environment(&s3.server.url);
    for seed in 0..3 {
        let tables = format!("s3://traces/tables-{seed}");
        let proxy = Proxy::start(s3.port, &[], chaos(seed, 8));
        let summary = run_on(&S3::environment(&proxy.url), "s3://traces/agents/", &tables);
        assert_eq!((&summary["stored"], &summary["processing_errors"]), (&44.into(), &3.into()), "seed {seed}");
        assert!(proxy.requests() > 50, "the proxy was used");
        let sql =
            "select count(*) n, count(distinct trace_id) u, (select count(*) from errors) e, (select count(*) from runs) r from patterns";
        assert_eq!(query_on(&good, &tables, sql), r#"[{"n":44,"u":44,"e":3,"r":1}]"#, "seed {seed}");
    }
}

#[test]
#[ignore = "needs an S3 server; tests/run prepares it"]
fn a_commit_whose_response_was_lost_is_not_repeated() {
    let s3 = S3::start();
    let good = S3::environment(&s3.server.url);
    // The response to the first attempt is lost; or some attempts are refused before one whose response arrives too late.
    let refused = Fault::Status(400, "BadRequest");
    let last = vec![refused, refused, refused, Fault::Slow(Duration::from_secs(3))];
    for (number, faults) in [vec![Fault::ResponseLost], last].into_iter().enumerate() {
        let tables = format!("s3://traces/lost-{number}");
        let attempts_before = std::sync::atomic::AtomicUsize::new(0);
        let proxy = Proxy::start(s3.port, &[], move |request| {
            if request.method != "PUT" || !request.path.contains("/patterns/_delta_log/00000000000000000001.json") {
                return Fault::None;
            }
            let attempt = attempts_before.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            faults.get(attempt).copied().unwrap_or(Fault::None)
        });
        let summary = run_on(&S3::environment(&proxy.url), "s3://traces/agents/", &tables);
        assert_eq!(summary["stored"], 44);
        assert_eq!(query_on(&good, &tables, "select count(*) n, count(distinct trace_id) u from patterns"), r#"[{"n":44,"u":44}]"#);
        let report = failsift(&["maintain", "--tables", &tables, "--dry-run", "--format", "json"]).envs(good.clone()).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
        for table in report["tables"].as_array().unwrap() {
            assert_eq!(table["version"], 1, "one commit after the table was created: {report}");
        }
    }
}

#[test]
#[ignore = "needs an S3 server; tests/run prepares it"]
fn a_persistent_failure_leaves_no_partial_commit_and_the_next_run_continues() {
    let s3 = S3::start();
    let good = S3::environment(&s3.server.url);
    let refused = |request: &Request<'_>, what: &str| request.method == "PUT" && request.path.contains(what);
    for (number, what) in
        ["/_staging/", "/patterns/bucket", "/patterns/_delta_log/00000000000000000001", "/errors/_delta_log/00000000000000000001"]
            .into_iter()
            .enumerate()
    {
        let tables = format!("s3://traces/refused-{number}");
        let proxy = Proxy::start(
            s3.port,
            &[],
            move |request| if refused(request, what) { Fault::Status(403, "AccessDenied") } else { Fault::None },
        );
        let run =
            failsift(&["run", "--input", "s3://traces/agents/", "--output", &tables]).envs(S3::environment(&proxy.url)).output().unwrap();
        assert_eq!(run.status.code(), Some(1), "{what}: {}", stderr(&run));
        assert!(stderr(&run).contains("AccessDenied") || stderr(&run).contains("403"), "{what}: {}", stderr(&run));
        assert!(stderr(&run).contains("hint"), "{what}: {}", stderr(&run));
        let sql = "select (select count(*) from patterns) p, (select count(*) from errors) e, (select count(*) from runs) r";
        let found = query_on(&good, &tables, sql);
        let whole = r#"[{"p":44,"e":0,"r":0}]"#;
        assert!(found == r#"[{"p":0,"e":0,"r":0}]"# || (what.starts_with("/errors") && found == whole), "{what}: {found}");
        let summary = run_on(&good, "s3://traces/agents/", &tables);
        assert_eq!(summary["stored"], 44, "{what}");
        let found =
            query_on(&good, &tables, "select count(*) n, count(distinct trace_id) u, (select count(*) from errors) e from patterns");
        assert_eq!(found, r#"[{"n":44,"u":44,"e":3}]"#, "{what}");
    }
}

#[test]
#[ignore = "needs Python; tests/run prepares it"]
fn an_object_on_a_web_server_is_read() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom"));
    let port = free_port();
    let mut command = Command::new(python());
    command.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string(), "--directory", &place.input()]);
    let server = start(command, port);
    let url = format!("{}/a.jsonl", server.url);
    let run = failsift(&["run", "--input", &url, "--output", &place.output(), "--format", "json"]).output().unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    let row = &place.rows("select trace_id, source_uri from patterns")[0];
    assert_eq!((&row["trace_id"], &row["source_uri"]), (&"t-1".into(), &url.as_str().into()));
}

/// A server of one object that allows only a signed GET, and truncates its first full response.
const SIGNED_OBJECT: &str = "import http.server, sys
body = open(sys.argv[2], 'rb').read()
class Handler(http.server.BaseHTTPRequestHandler):
    whole = 0
    def log_message(self, *_): pass
    def do_HEAD(self): self.send_error(403)
    def do_GET(self):
        if self.path != '/a%20b/c.jsonl?sv=1&sig=secret%2Fsignature': return self.send_error(403)
        requested = self.headers.get('Range')
        start, end = (requested or 'bytes=0-')[6:].split('-')
        part = body[int(start):int(end) + 1 if end else len(body)]
        self.send_response(206 if requested else 200)
        self.send_header('ETag', '\"1\"')
        self.send_header('Content-Length', str(len(part)))
        self.end_headers()
        Handler.whole += not requested
        self.wfile.write(part[:len(part) // 2] if not requested and Handler.whole == 1 else part)
http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()";

#[test]
#[ignore = "needs Python; tests/run prepares it"]
fn a_signed_url_is_read_and_its_signature_is_never_shown() {
    let place = Place::new();
    let object = place.put("c.jsonl", (0..200).map(|number| trace(&format!("t-{number}"), "boom")).collect::<String>() + "broken\n");
    let port = free_port();
    let mut command = Command::new(python());
    command.args(["-c", SIGNED_OBJECT, &port.to_string()]).arg(object);
    let server = start(command, port);
    let shown = format!("{}/a%20b/c.jsonl", server.url);
    let signed = format!("{shown}?sv=1&sig=secret%2Fsignature");
    let run = failsift(&["run", "--input", &signed, "--output", &place.output(), "--format", "json"]).env("RUST_LOG", "debug").output();
    let run = run.unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    let summary: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&summary["stored"], &summary["processing_errors"]), (&200.into(), &1.into()), "{summary}");
    let refused = failsift(&["run", "--input", &format!("{shown}?sig=secret"), "--output", &place.output()]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    let rows = place.rows("select distinct source_uri, trace_ref, reason from errors");
    assert_eq!(rows[0]["trace_ref"], format!("{shown}#L201"));
    let patterns = place.rows("select distinct source_uri from patterns");
    let output = format!("{} {summary} {} {rows:?} {patterns:?}", stderr(&run), stderr(&refused));
    assert!(!output.contains("secret"), "{output}");
}

#[test]
#[ignore = "needs an S3 server; tests/run prepares it"]
fn every_key_of_a_bucket_is_read_skipped_or_rejected() {
    let s3 = S3::start();
    let script = "import boto3, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')
s3.create_bucket(Bucket='odd')
for key in ('a.jsonl', 'x//b.jsonl', 'hash/team#1/x.jsonl', 'q?/y.jsonl', 'p%20q/z.jsonl', '[b]*/c d.jsonl', 'z/e.jsonl', 'z/_SUCCESS'):
    body = sys.argv[2].replace('t-1', key) if not key.endswith('_SUCCESS') else ''
    s3.put_object(Bucket='odd', Key=key, Body=body.encode())
s3.put_object(Bucket='odd', Key='empty/', Body=b'')";
    let prepared = Command::new(python()).args(["-c", script, &s3.server.url, &trace("t-1", "boom")]).status().unwrap();
    assert!(prepared.success());
    let environment = S3::environment(&s3.server.url);
    for (number, root) in ["s3://odd", "s3://odd/"].into_iter().enumerate() {
        let place = Place::new();
        let summary = run_on(&environment, root, &format!("s3://odd/out-{number}"));
        assert_eq!((&summary["stored"], &summary["processing_errors"]), (&6.into(), &1.into()), "{summary}");
        assert_eq!(summary["failures"][0]["trace_ref"], "s3://odd/x//b.jsonl");
        assert_eq!(summary["skipped_objects"], serde_json::json!(["s3://odd/z/_SUCCESS"]));
        let found = query_on(&environment, &format!("s3://odd/out-{number}"), "select source_uri as uri from patterns");
        for row in serde_json::from_str::<Vec<serde_json::Value>>(&found).unwrap() {
            let summary = run_on(&environment, row["uri"].as_str().unwrap(), &place.output());
            assert_eq!(summary["stored"], 1, "{row}");
        }
        let removed = format!(
            "import boto3, sys
s3 = boto3.resource('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')
s3.Bucket('odd').objects.filter(Prefix='out-{number}').delete()"
        );
        assert!(Command::new(python()).args(["-c", &removed, &s3.server.url]).status().unwrap().success());
    }
    assert_eq!(run_on(&environment, "s3://odd/*.jsonl", "s3://odd/out")["stored"], 6);
    for empty in ["s3://odd/empty", "s3://odd/empty/", "s3://odd/no/such", "s3://odd/no*"] {
        let run = failsift(&["run", "--input", empty, "--output", "s3://odd/out"]).envs(environment.clone()).output().unwrap();
        assert_eq!(run.status.code(), Some(1), "{empty}: {}", stderr(&run));
        assert!(stderr(&run).contains(empty), "{}", stderr(&run));
    }
}

#[test]
#[ignore = "needs an S3 server; tests/run prepares it"]
fn an_incomplete_listing_fails_the_run() {
    let s3 = S3::start();
    let script = "import boto3, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')
s3.create_bucket(Bucket='many')
for number in range(1001): s3.put_object(Bucket='many', Key=f'{number:05}.jsonl', Body=b'{}')";
    assert!(Command::new(python()).args(["-c", script, &s3.server.url]).status().unwrap().success());
    let proxy = Proxy::start(s3.port, &[], |request| {
        if request.query.contains("continuation-token") { Fault::Status(403, "AccessDenied") } else { Fault::None }
    });
    let environment = S3::environment(&proxy.url);
    let place = Place::new();
    for arguments in [
        &["run", "--output", &place.output(), "--input", "s3://many/"][..],
        &["inspect", "s3://many/"],
        &["query", "select count(*) from spans", "--input", "s3://many/"],
    ] {
        let run = failsift(arguments).envs(environment.clone()).output().unwrap();
        assert_eq!(run.status.code(), Some(1), "{arguments:?}: {}", stderr(&run));
        assert!(stderr(&run).contains("the listing cannot be completed"), "{arguments:?}: {}", stderr(&run));
    }
    assert_eq!(place.rows("select (select count(*) from patterns) p, (select count(*) from runs) r")[0].to_string(), r#"{"p":0,"r":0}"#);
}

#[test]
#[ignore = "needs deltalake, Polars, pandas and DuckDB from PyPI; tests/run prepares them"]
fn other_engines_read_the_same_rows() {
    let place = Place::new();
    // A table with replaced rows, copied row groups and merged files.
    let many = |message: &str| (0..9_000).map(|number| trace(&format!("t-{number}"), message)).collect::<String>();
    place.put("many.jsonl", many("boom") + "broken\n");
    place.run(&[]);
    place.put(
        "many.jsonl",
        (0..400).map(|number| trace(&format!("t-{}", number * 20), "connection refused")).collect::<String>() + "broken\n",
    );
    place.run(&[]);
    let run = failsift(&["run", "pipelines/demo.toml", "--output", &place.output()]).output().unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    let maintained = failsift(&["maintain", "--tables", &place.output()]).output().unwrap();
    assert!(maintained.status.success(), "{}", stderr(&maintained));
    for (table, key) in [("patterns", "trace_id"), ("errors", "trace_ref"), ("fingerprints", "fingerprint"), ("runs", "run_id")] {
        let ours = place.path().join(format!("{table}.json"));
        std::fs::write(&ours, serde_json::to_string(&place.rows(&format!("select * from {table} order by {key}"))).unwrap()).unwrap();
        let script = "import datetime, glob, json, os, sys
import deltalake, duckdb, duckdb_extension_delta, polars
place, key, ours = sys.argv[1:]
ours = json.load(open(ours))
def plain(value):
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
def times(row):
    return {name: datetime.datetime.fromisoformat(value.replace('Z', '+00:00')) if name.endswith('_at') and value else value for name, value in row.items()}
def check(engine, rows):
    rows = sorted((plain(row) for row in rows), key=lambda row: row[key])
    wanted = sorted((times(row) for row in ours), key=lambda row: row[key])
    # JSON leaves nulls out.
    rows = [{name: value for name, value in row.items() if value is not None} for row in rows]
    wanted = [{name: value for name, value in row.items() if value is not None} for row in wanted]
    def without_nulls(value):
        if isinstance(value, dict):
            return {name: without_nulls(item) for name, item in value.items() if item is not None}
        return [without_nulls(item) for item in value] if isinstance(value, list) else value
    assert len(rows) == len(wanted), engine
    for ours_row, row in zip(wanted, rows):
        assert without_nulls(row) == without_nulls(ours_row), f'{engine}: {row} is not {ours_row}'
table = deltalake.DeltaTable(place)
arrow = table.to_pyarrow_table()
check('pyarrow', arrow.to_pylist())
frame = polars.read_delta(place)
check('polars', frame.to_dicts())
connection = duckdb.connect()
extension = glob.glob(os.path.dirname(duckdb_extension_delta.__file__) + '/**/*.duckdb_extension', recursive=True)[0]
connection.execute(f\"LOAD '{extension}'\")
connection.execute(\"set timezone = 'UTC'\")
found = connection.execute(f\"select * from delta_scan('{place}')\")
names = [column[0] for column in found.description]
check('duckdb', [dict(zip(names, row)) for row in found.fetchall()])
pandas = table.to_pandas()
assert len(pandas) == len(ours) and list(pandas.columns) == arrow.schema.names
if key == 'trace_id':
    assert table.metadata().partition_columns == ['bucket']
    types = {field.name: str(field.type) for field in arrow.schema}
    assert types['trace_started_at'] == 'timestamp[us, tz=UTC]' and types['confidence'] == 'double' and types['spans_total'] == 'int64', types
    assert types['evidence'].startswith('list<element: struct<kind: string, span_id: string'), types['evidence']
    assert connection.execute(f\"select count(*) from delta_scan('{place}') where trace_id = 't-40'\").fetchone() == (1,), 'bounds of files are right'
    assert frame.filter(polars.col('trace_id') == 't-41').height == 1
print(len(ours), flush=True)
connection.close()
# Several native engines in one process: their destructors at exit may abort it, and are not what is tested.
os._exit(0)";
        let read = Command::new(python()).args(["-c", script, &format!("{}/{table}", place.output()), key]).arg(&ours).output().unwrap();
        assert!(read.status.success(), "{table}: {}", stderr(&read));
        assert!(crate::support::stdout(&read).trim().parse::<usize>().unwrap() > 2);
    }
}
