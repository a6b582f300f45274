//! The feature `telemetry`: `cargo test --features telemetry --test it monitoring::`

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prost::Message;

use super::{CANARY, PATIENCE, parsed, place, start_waiting, wait_until, wait_until_reading};
use crate::support::{Place, failsift, stderr, trace};

/// A free port. Another process could take it before it is used, which no test here does.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Status line, headers and body.
fn get(address: &str, request: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(format!("{request} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut response = String::new();
    stream.read_to_string(&mut response).ok()?;
    let (head, body) = response.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

#[test]
fn a_dashboard_is_answered_by_scraping_a_run_in_progress() {
    let (place, address) = (Place::new(), free_address());
    let (child, mut stdin) = start_waiting(&place, &["--metrics-listen", &address], Stdio::piped());
    // More than a chunk, which the reader fills before it is parsed.
    let many: String = (0..3_000).map(|number| trace(&format!("many-{number}"), CANARY)).collect();
    stdin.write_all(many.as_bytes()).unwrap();
    let scraped = || get(&address, "GET /metrics").map(|(_, body)| parsed(&body));
    wait_until("a chunk is read", || scraped().is_some_and(|metrics| metrics["failsift_spans_total"] > 1_000.0));
    let (head, body) = get(&address, "GET /metrics").unwrap();
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(!body.contains(CANARY), "{body}");
    let metrics = parsed(&body);
    // Queue, rate, errors by kind, cost, whether it runs.
    for (name, expected) in [
        ("failsift_spans_waiting", metrics["failsift_spans_total"]),
        ("failsift_queue_traces{queue=\"analyze\"}", 0.0),
        ("failsift_traces_total{outcome=\"stored\"}", 0.0),
        ("failsift_model_cost_usd_total", 0.0),
        ("failsift_run_active", 1.0),
    ] {
        assert_eq!(metrics.get(name), Some(&expected), "{name}");
    }
    assert!(get(&address, "GET /other").unwrap().0.starts_with("HTTP/1.1 404"));
    assert!(get(&address, "POST /metrics").unwrap().0.starts_with("HTTP/1.1 405"));
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(TcpStream::connect(&address).is_err(), "the port is closed with the run");
}

#[test]
fn a_port_in_use_is_a_warning() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let place = place();
    let mut command = failsift(&["run", "--input", &place.input(), "--output", &place.output(), "--max-error-rate", "1"]);
    let output = command.args(["--metrics-listen", &address]).env("FAILSIFT_TRACE_TIMEOUT", PATIENCE).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains(&format!("cannot serve metrics on {address}: Address already in use; the run continues")),
        "{}",
        stderr(&output)
    );
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
}

/// A scope with its spans or metrics.
#[derive(Clone, PartialEq, Message)]
struct Scope<T: Message + Default> {
    #[prost(message, repeated, tag = "2")]
    items: Vec<T>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource<T: Message + Default> {
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<Scope<T>>,
}

/// The body of a request to `/v1/traces` or `/v1/metrics`.
#[derive(Clone, PartialEq, Message)]
struct Export<T: Message + Default> {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<Resource<T>>,
}

#[derive(Clone, PartialEq, Message)]
struct MetricName {
    #[prost(string, tag = "1")]
    name: String,
}

fn items<T: Message + Default + Clone>(body: &[u8]) -> Vec<T> {
    let export = Export::<T>::decode(body).unwrap();
    export.resources.iter().flat_map(|resource| &resource.scopes).flat_map(|scope| scope.items.clone()).collect()
}

/// Head and body of a request.
type Received = (String, Vec<u8>);

/// Accepts requests of OTLP.
fn collector() -> (String, Arc<Mutex<Vec<Received>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, received) = (format!("http://{}", listener.local_addr().unwrap()), Arc::<Mutex<Vec<Received>>>::default());
    let requests = Arc::clone(&received);
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let requests = Arc::clone(&requests);
            std::thread::spawn(move || {
                let mut reader = BufReader::new(client.try_clone().unwrap());
                loop {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") {
                        if reader.read_line(&mut head).unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let lower = head.to_lowercase();
                    let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).unwrap();
                    requests.lock().unwrap().push((head, body));
                    client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n").unwrap();
                }
            });
        }
    });
    (url, received)
}

#[test]
fn spans_and_metrics_are_exported_over_otlp() {
    let (place, (url, received)) = (place(), collector());
    let mut command = failsift(&["run", "--input", &place.input(), "--output", &place.output(), "--max-error-rate", "1"]);
    let output = command
        .env("FAILSIFT_TRACE_TIMEOUT", PATIENCE)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &url)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme")
        .output()
        .unwrap();
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
    let received = received.lock().unwrap();
    let bodies = |path: &str| -> Vec<&Vec<u8>> {
        received.iter().filter(|(head, _)| head.starts_with(&format!("POST {path} "))).map(|(_, body)| body).collect()
    };
    assert!(received.iter().all(|(head, _)| head.to_lowercase().contains("x-tenant: acme")));
    let spans: Vec<Span> = bodies("/v1/traces").into_iter().flat_map(|body| items::<Span>(body)).collect();
    let run = spans.iter().find(|span| span.parent_span_id.is_empty()).unwrap();
    assert_eq!(run.name, "failsift run");
    let mut phases: Vec<&str> = spans.iter().filter(|span| span.parent_span_id == run.span_id).map(|span| span.name.as_str()).collect();
    phases.sort_unstable();
    assert_eq!(phases, ["analyze", "commit", "prepare", "read"]);
    assert!(run.attributes.iter().any(|attribute| attribute.key == "failsift.traces.stored"), "{run:?}");
    let metrics: Vec<String> =
        bodies("/v1/metrics").into_iter().flat_map(|body| items::<MetricName>(body)).map(|metric| metric.name).collect();
    for name in ["failsift.traces", "failsift.analysis_duration", "failsift.rejections", "failsift.run_exit_code"] {
        assert!(metrics.iter().any(|metric| metric == name), "{name}: {metrics:?}");
    }
    assert!(received.iter().all(|(_, body)| !String::from_utf8_lossy(body).contains(CANARY)));
}

#[test]
fn a_receiver_that_is_gone_is_a_warning_without_its_address() {
    let place = place();
    let address = free_address();
    let mut command = failsift(&["run", "--input", &place.input(), "--output", &place.output(), "--max-error-rate", "1"]);
    let output = command
        .env("FAILSIFT_TRACE_TIMEOUT", PATIENCE)
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://user:s3cr3t@{address}"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("cannot export telemetry over OTLP") && !stderr(&output).contains("s3cr3t"), "{}", stderr(&output));
}

#[test]
fn an_interrupted_run_is_exported_too() {
    let (place, (url, received)) = (Place::new(), collector());
    let out = place.output();
    let mut command = failsift(&["run", "--input", "-", "--output", &out]);
    let mut child = command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &url).stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    wait_until_reading(&place);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    drop(stdin);
    assert!(received.lock().unwrap().iter().any(|(head, _)| head.starts_with("POST /v1/traces ")));
}
