//! Real counterparts: an S3 server, a web server, and other engines that read the tables. `tests/run` prepares what they need in
//! `target/python`, and runs these with `--include-ignored`.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Place, failsift, stderr, trace};

/// A process that ends with the test.
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

fn python() -> String {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python");
    assert!(std::path::Path::new(python).exists(), "run tests/run: it makes target/python");
    python.to_owned()
}

fn start(mut command: Command, port: u16) -> Server {
    // A file and no pipe: a pipe that nobody reads fills up, and the server stops.
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

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
#[ignore = "needs an S3 server; tests/run prepares it"]
fn the_whole_job_on_s3() {
    let port = free_port();
    let mut command = Command::new(python());
    command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
    let server = start(command, port);
    let environment = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ENDPOINT", server.url.as_str()),
    ];
    let script = "import boto3, sys
s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='test', aws_secret_access_key='test')
s3.create_bucket(Bucket='traces')
s3.upload_file('data/samples/otlp/openinference.jsonl.gz', 'traces', 'agents/day=1/a.jsonl.gz')
s3.upload_file('data/samples/phoenix/langchain.spans_dataframe.parquet', 'traces', 'agents/day=2/b.parquet')
s3.upload_file('data/samples/broken/cut-and-mangled.jsonl', 'traces', 'agents/day=2/c.jsonl')";
    let prepared = Command::new(python()).args(["-c", script, &server.url]).status().unwrap();
    assert!(prepared.success());
    for (input, stored, errors) in
        [("s3://traces/agents/", 44, 3), ("s3://traces/agents/day=1/a.jsonl.gz", 33, 0), ("s3://traces/agents/*/*.parquet", 11, 0)]
    {
        let run =
            failsift(&["run", "--input", input, "--output", "s3://traces/tables", "--format", "json"]).envs(environment).output().unwrap();
        assert!(run.status.success(), "{input}: {}", stderr(&run));
        let summary: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        assert_eq!((&summary["stored"], &summary["processing_errors"]), (&stored.into(), &errors.into()), "{input}");
    }
    let sql = "select count(*) n, count(distinct trace_id) u from patterns";
    let query = failsift(&["query", "--tables", "s3://traces/tables", sql, "--format", "json"]).envs(environment).output().unwrap();
    assert_eq!(crate::support::stdout(&query).trim(), r#"[{"n":44,"u":44}]"#, "{}", stderr(&query));
    let missing = failsift(&["run", "--input", "s3://nowhere/x/", "--output", "s3://traces/tables"]).envs(environment).output().unwrap();
    assert_eq!(missing.status.code(), Some(1), "{}", stderr(&missing));
    assert!(stderr(&missing).contains("s3://nowhere/x"), "{}", stderr(&missing));
}

#[test]
#[ignore = "needs Python; tests/run prepares it"]
fn an_object_on_a_web_server() {
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

#[test]
#[ignore = "needs deltalake and DuckDB from PyPI; tests/run prepares them"]
fn other_engines_read_the_tables_alike() {
    let place = Place::new();
    let run = failsift(&["run", "pipelines/demo.toml", "--output", &place.output()]).output().unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    let script = "import sys, json, glob, os, deltalake, duckdb, duckdb_extension_delta
out = sys.argv[1]
dt = deltalake.DeltaTable(out + '/patterns')
arrow = dt.to_pyarrow_table()
assert 'bucket' in dt.metadata().partition_columns
c = duckdb.connect()
ext = glob.glob(os.path.dirname(duckdb_extension_delta.__file__) + '/**/*.duckdb_extension', recursive=True)[0]
c.execute(f\"LOAD '{ext}'\")
rows = c.execute(f\"select trace_id, category, len(evidence), actions[1], trace_started_at from delta_scan('{out}/patterns') order by trace_id\").fetchall()
ids = sorted(arrow.column('trace_id').to_pylist())
assert [r[0] for r in rows] == ids, 'DuckDB and deltalake disagree'
assert all(r[2] >= 1 and r[3] and r[4] is not None for r in rows)
assert str(arrow.schema.field('trace_started_at').type) == 'timestamp[us, tz=UTC]'
print(json.dumps(ids))";
    let read = Command::new(python()).args(["-c", script, &place.output()]).output().unwrap();
    assert!(read.status.success(), "{}", stderr(&read));
    let theirs: Vec<String> = serde_json::from_slice(&read.stdout).unwrap();
    let ours: Vec<String> = place
        .rows("select trace_id from patterns order by trace_id")
        .iter()
        .map(|row| row["trace_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(theirs, ours);
}
