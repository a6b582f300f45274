//! The DAG in a real Airflow, which `tests/run` installs in `target/airflow`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::remote::{S3, free_port, python};
use crate::support::{KEY, Place, call, rows, stderr, stdout, trace};

/// More traces than fit into one staged file, so that a run can be killed while part of its work is staged.
const MANY: usize = 10_000;

const DAYS: [&str; 3] = ["2026-11-22", "2026-11-23", "2026-11-24"];

/// The row of a trace, without the columns that say which run wrote it and when.
const PATTERNS: &str = "select trace_id, title, category, contributing_factor, summary, confidence, fingerprint, trace_started_at, source_uri, \
     content_digest, spans_total from patterns order by trace_id";
const ERRORS: &str = "select trace_ref, stage, kind, reason, retryable, source_uri from errors order by trace_ref";
const FINGERPRINTS: &str =
    "select fingerprint, category, contributing_factor, service, first_seen_at, last_seen_at from fingerprints order by fingerprint";

/// An Airflow with its own database, and the DAG with some lines changed.
struct Airflow {
    home: tempfile::TempDir,
    port: u16,
}

impl Airflow {
    /// `lines` are the names and new values of variables of the DAG.
    fn new(lines: &[(&str, String)]) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("dags")).unwrap();
        let mut dag = std::fs::read_to_string("pipelines/airflow/failsift_nightly.py").unwrap();
        for (name, value) in lines {
            let line = dag.lines().find(|line| line.split([' ', ':']).next() == Some(name)).expect(name);
            dag = dag.replace(line, &format!("{name} = {value}"));
        }
        assert!(dag.contains("retry_delay=timedelta(minutes=5)"), "the delay is not where this test changes it");
        let dag = dag.replace("retry_delay=timedelta(minutes=5)", "retry_delay=timedelta(seconds=1)");
        std::fs::write(home.path().join("dags/failsift_nightly.py"), dag).unwrap();
        let airflow = Self { home, port: free_port() };
        airflow.succeed(&["db", "migrate"]);
        airflow
    }

    fn command(&self, program: &str) -> Command {
        let bin = concat!(env!("CARGO_MANIFEST_DIR"), "/target/airflow/bin");
        assert!(std::path::Path::new(bin).exists(), "target/airflow is missing: run tests/run");
        let url = format!("http://127.0.0.1:{}", self.port);
        let mut command = Command::new(format!("{bin}/{program}"));
        command
            .env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap()))
            .env("AIRFLOW_HOME", self.home.path())
            .env("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
            .env("AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION", "False")
            .env("AIRFLOW__CORE__PARALLELISM", "4")
            // Only the runs of a backfill, and none for last night.
            .env("AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE", "False")
            .env("AIRFLOW__API__HOST", "127.0.0.1")
            .env("AIRFLOW__API__PORT", self.port.to_string())
            .env("AIRFLOW__API__WORKERS", "1")
            .env("AIRFLOW__API__BASE_URL", &url)
            .env("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", format!("{url}/execution/"))
            .env("AIRFLOW__API_AUTH__JWT_SECRET", "a secret for tests only that is long enough for its algorithm, SHA-512")
            .env("FAILSIFT_REDACTION_KEY", KEY)
            // Other tests take the machine's time meanwhile.
            .env("FAILSIFT_TRACE_TIMEOUT", "60")
            .current_dir(self.home.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command("airflow").args(arguments).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "airflow {arguments:?}: {}{}", stdout(&output), stderr(&output));
    }

    /// Starts a part of Airflow. Its log is in the file `NAME.log`.
    fn start(&self, name: &str, flags: &[&str]) -> Group {
        let log = std::fs::File::create(self.home.path().join(format!("{name}.log"))).unwrap();
        let mut command = self.command("airflow");
        command.arg(name).args(flags).stdout(log.try_clone().unwrap()).stderr(log).process_group(0);
        Group(command.spawn().unwrap())
    }

    /// The rows of a query over Airflow's database, as lists.
    fn database(&self, sql: &str) -> Vec<Value> {
        let script = "import json, sqlite3, sys
print(json.dumps(sqlite3.connect(sys.argv[1], timeout=30).execute(sys.argv[2]).fetchall()))";
        let output = Command::new(python()).args(["-c", script]).arg(self.home.path().join("airflow.db")).arg(sql).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap().as_array().unwrap().clone()
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.path().join(format!("{name}.log"))).unwrap_or_default()
    }
}

/// A process and its children, which are killed when the test ends.
struct Group(Child);

impl Group {
    fn kill(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGKILL);
        let _ = self.0.wait();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn wait_until(what: &str, time: Duration, mut is_done: impl FnMut() -> bool) {
    let end = Instant::now() + time;
    while !is_done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Traces of three days: `agents/` has all of them in one file, `batch/` one folder for each day.
fn three_days(place: &Place) {
    let of_day = |id: String, day: &str| trace(&id, "boom").replace("2026-11-23", day);
    let mut agents = String::new();
    for day in DAYS {
        let count = if day == DAYS[1] { MANY } else { 30 };
        agents.extend((0..count).map(|number| of_day(format!("agents-{day}-{number}"), day)));
        let folder = place.path().join(format!("in/batch/date={day}"));
        std::fs::create_dir_all(&folder).unwrap();
        let batch: String = (0..20).map(|number| of_day(format!("batch-{day}-{number}"), day)).collect();
        std::fs::write(folder.join("traces.jsonl"), batch + "{\"broken\": \n").unwrap();
    }
    std::fs::create_dir(place.path().join("in/agents")).unwrap();
    place.put("agents/traces.jsonl", agents);
}

/// A stand-in for the binary that writes down its process id and runs it; and that is killed in the middle of the run, with it, if `crash` exists.
fn crashing_failsift(place: &Place) -> String {
    let path = place.path().join("failsift");
    let script = format!(
        "#!/bin/sh
cd '{place}'
case \"$*\" in *agents/*--since\\ {day}*) if rm crash 2>/dev/null; then
    {binary} \"$@\" &
    while kill -0 $! && ! ls out/_staging/*/patterns-* >/dev/null 2>&1; do sleep 0.05; done
    kill -9 $! $$
fi ;; esac
echo $$ > pid
exec {binary} \"$@\"
",
        place = place.path().display(),
        day = DAYS[1],
        binary = env!("CARGO_BIN_EXE_failsift"),
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn staged(place: &Place) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(place.path().join("out/_staging")).into_iter().flatten().flatten();
    let files = folders.filter_map(|folder| std::fs::read_dir(folder.path()).ok()).flatten().flatten().map(|file| file.path());
    files.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("patterns-"))).collect()
}

/// `airflow dags test` is killed, run again, and run once more; then a scheduler backfills three days, during which failsift is killed. The tables
/// are those of one run.
#[test]
#[ignore = "needs Airflow from PyPI; tests/run prepares it"]
fn the_dag_can_be_killed_repeated_and_backfilled() {
    let place = Place::new();
    three_days(&place);
    let reference = place.path().join("reference").display().to_string();
    let inputs = [format!("{}/agents/", place.input()), format!("{}/batch/", place.input())];
    let once = call(&["run", "--input", &inputs[0], "--input", &inputs[1], "--output", &reference, "--trace-timeout", "60"]);
    assert!(once.status.success(), "{}", stderr(&once));

    let airflow = Airflow::new(&[
        ("PREFIXES", format!("['{}', '{}date={{date}}/']", inputs[0], inputs[1])),
        ("OUTPUT", format!("'{}'", place.output())),
        ("FAILSIFT", format!("['{}']", crashing_failsift(&place))),
    ]);

    // Killed in the middle, Airflow and failsift both.
    let mut command = airflow.command("airflow");
    command.args(["dags", "test", "failsift_nightly", DAYS[1]]).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    let mut killed = Group(command.spawn().unwrap());
    wait_until("nothing was staged", Duration::from_mins(10), || !staged(&place).is_empty());
    killed.kill();
    let pid: i32 = std::fs::read_to_string(place.path().join("pid")).unwrap().trim().parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    let count = format!("select count(*) n from patterns where trace_id like 'agents-{}-%'", DAYS[1]);
    assert_eq!(place.rows(&count)[0]["n"], 0, "the killed run is invisible");

    // Twice.
    for _ in 0..2 {
        airflow.succeed(&["dags", "test", "failsift_nightly", DAYS[1]]);
        assert_eq!(place.rows("select count(*) n, count(distinct trace_id) u from patterns")[0], json!({"n": MANY + 20, "u": MANY + 20}));
    }

    // A backfill by the scheduler, in which failsift crashes once and the task is retried. `--to-date` is exclusive.
    std::fs::write(place.path().join("crash"), "").unwrap();
    let mut api = airflow.start("api-server", &[]);
    let address = ("127.0.0.1", airflow.port);
    wait_until("the API server does not answer", Duration::from_mins(5), || {
        assert!(api.0.try_wait().unwrap().is_none(), "{}", airflow.log("api-server"));
        std::net::TcpStream::connect(address).is_ok()
    });
    airflow.succeed(&["backfill", "create", "--dag-id", "failsift_nightly", "--from-date", DAYS[0], "--to-date", "2026-11-25"]);
    let mut scheduler = airflow.start("scheduler", &["--skip-serve-logs"]);
    wait_until("the backfill does not end", Duration::from_mins(10), || {
        assert!(scheduler.0.try_wait().unwrap().is_none(), "{}", airflow.log("scheduler"));
        let states = airflow.database("select state from dag_run where run_type = 'backfill'");
        assert!(!states.contains(&json!(["failed"])), "{}", airflow.log("scheduler"));
        states == [json!(["success"]), json!(["success"]), json!(["success"])]
    });
    let tries = airflow.database("select try_number from task_instance where run_id like 'backfill%' order by try_number");
    assert_eq!(tries, [1, 1, 1, 1, 1, 2].map(|tries| json!([tries])), "the task whose run was killed was retried");

    for sql in [PATTERNS, ERRORS, FINGERPRINTS] {
        let (of_airflow, of_one_run) = (place.rows(sql), rows(&reference, sql));
        assert!(!of_one_run.is_empty(), "{sql}");
        assert!(of_airflow == of_one_run, "the tables of Airflow's runs and of one run differ: {sql}");
    }
    let summaries = airflow.database(
        "select json_extract(value, '$.stored'), json_extract(value, '$.processing_errors'), json_extract(value, '$.failures[0].kind')
         from xcom where key = 'summary' and run_id like 'backfill%' order by run_id, map_index",
    );
    let (few, batch) = (json!([30, 0, null]), json!([20, 1, "malformed_json"]));
    assert_eq!(summaries, [few.clone(), batch.clone(), json!([MANY, 0, null]), batch.clone(), few, batch]);
}

/// The operator itself, with the real binary and with programs that end with other exit codes, and with a bucket whose credentials are in an Airflow connection.
#[test]
#[ignore = "needs Airflow and an S3 server from PyPI; tests/run prepares them"]
fn a_task_of_the_dag_ends_as_the_exit_code_says() {
    let place = Place::new();
    let s3 = S3::start();
    let airflow = Airflow::new(&[
        ("PREFIXES", "['s3://traces/agents/']".to_owned()),
        ("OUTPUT", "'s3://traces/tables/'".to_owned()),
        ("FAILSIFT", format!("['{}']", env!("CARGO_BIN_EXE_failsift"))),
        ("CONNECTION", "'failsift'".to_owned()),
    ]);
    let variables: serde_json::Map<String, Value> =
        S3::environment(s3.url()).into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    std::fs::create_dir(place.path().join("in/empty")).unwrap();
    place.put("broken.jsonl", trace("t-1", "boom") + &"broken\n".repeat(100));
    let mut command = airflow.command("python");
    command
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/scheduling/dag_operator.py"), &place.input(), &place.output()])
        .env("PYTHONPATH", airflow.home.path().join("dags"))
        .env("AIRFLOW_CONN_FAILSIFT", json!({"conn_type": "generic", "extra": variables}).to_string());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    assert!(stdout(&output).ends_with("9 cases\n"), "{}", stdout(&output));
}
