//! A stub of a model provider: speaks the HTTP APIs of Gemini and OpenAI, answers from the trace in the prompt, and fails on command.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A reaction of the stub to a request.
#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    /// A valid answer that quotes the trace.
    Answer,
    /// A valid answer with some of its fields replaced.
    AnswerWith(Value),
    /// This text as the model's answer, with a finish reason of Gemini.
    Text(String, &'static str),
    /// The provider blocks the prompt.
    Block,
    /// A status with a body and a `Retry-After`.
    Status(u16, Value, Option<&'static str>),
    /// The connection is closed without a response.
    Close,
    /// The connection is closed after half of a valid response.
    Truncate,
    /// No response.
    Hang,
    /// A valid response, one byte at a time.
    Drip,
    /// Another reaction after a delay.
    Delay(Duration, Box<Reaction>),
}

/// A request that the stub received.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The number of requests before it.
    pub(crate) number: usize,
    pub(crate) path: String,
    /// Request line and headers.
    pub(crate) head: String,
    pub(crate) body: Value,
    pub(crate) raw_body: String,
    pub(crate) received_at: Instant,
}

impl Request {
    fn is_gemini(&self) -> bool {
        self.path.contains(":generateContent")
    }

    /// The part of the prompt with the trace.
    pub(crate) fn trace_text(&self) -> &str {
        let pointers = ["/contents/0/parts/1/text", "/contents/0/parts/0/text", "/messages/1/content", "/messages/0/content"];
        let text = pointers.iter().find_map(|pointer| self.body.pointer(pointer)?.as_str()).unwrap_or_default();
        // Without a system message the instructions come first.
        text.find("The random word is ").and_then(|at| text.get(at..)).unwrap_or(text)
    }

    pub(crate) fn schema(&self) -> &Value {
        let pointer = if self.is_gemini() { "/generationConfig/responseJsonSchema" } else { "/response_format/json_schema/schema" };
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// A valid answer. It quotes the first text of the last failed span, or of the first span.
    pub(crate) fn answer(&self) -> Value {
        let mut quoted = None;
        let (mut number, mut failed) = (0_u64, false);
        for line in self.trace_text().lines() {
            if let Some(rest) = line.strip_prefix("span ") {
                number = rest.split([' ', ':']).next().and_then(|text| text.parse().ok()).unwrap_or(0);
                failed = line.contains("status error");
            } else if let Some((name, value)) = line.trim_start().split_once(": ")
                && line.starts_with("  ")
                && let Ok(text) = serde_json::from_str::<String>(value)
                && (failed || quoted.is_none())
            {
                quoted = Some((number, name.to_owned(), text));
                failed = false;
            }
        }
        let evidence = quoted.map(|(span, field, text)| {
            let excerpt: String = text.split("[…").next().unwrap_or_default().chars().take(100).collect();
            json!({"span": span, "field": field, "excerpt": excerpt.trim()})
        });
        json!({
            "evidence": evidence.into_iter().collect::<Vec<_>>(), "signals": [], "label": "tool_failure/tool_exception", "title": "A tool failed",
            "summary": "It failed.", "root_cause_hypothesis": "It was broken.", "actions": ["Mend it."], "confidence": 0.8,
            "confidence_rationale": "It says so.",
        })
    }
}

/// Input and output tokens that every response reports.
pub(crate) const USAGE: (u64, u64) = (1_000, 200);

/// A running stub.
pub(crate) struct ModelStub {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    open: Arc<AtomicUsize>,
    open_max: Arc<AtomicUsize>,
}

impl ModelStub {
    /// Starts a stub. Its threads end with the process of the test.
    pub(crate) fn start(react: impl Fn(&Request) -> Reaction + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stub = Self { url, requests: Arc::default(), open: Arc::default(), open_max: Arc::default() };
        let (react, requests, open, open_max) =
            (Arc::new(react), Arc::clone(&stub.requests), Arc::clone(&stub.open), Arc::clone(&stub.open_max));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (react, requests, open, open_max) =
                    (Arc::clone(&react), Arc::clone(&requests), Arc::clone(&open), Arc::clone(&open_max));
                // A client that closes its connection is not a failure.
                std::thread::spawn(move || serve(&client, &*react, &requests, &open, &open_max).ok());
            }
        });
        stub
    }

    /// All requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }

    /// The number of requests so far.
    pub(crate) fn request_count(&self) -> usize {
        self.requests.lock().expect("no panic").len()
    }

    /// The highest number of concurrent requests.
    pub(crate) fn concurrency_max(&self) -> usize {
        self.open_max.load(Ordering::Relaxed)
    }
}

fn serve(
    client: &TcpStream,
    react: &(dyn Fn(&Request) -> Reaction + Send + Sync),
    requests: &Mutex<Vec<Request>>,
    open: &AtomicUsize,
    open_max: &AtomicUsize,
) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let lower = head.to_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if path.ends_with("/models") {
            send(client, 200, &json!({"data": [{"id": "stub-model"}]}), None)?;
            continue;
        }
        if path.ends_with("/token") {
            send(client, 200, &json!({"access_token": "a-token-of-google", "expires_in": 3600, "token_type": "Bearer"}), None)?;
            continue;
        }
        let raw_body = String::from_utf8_lossy(&body).into_owned();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let request = {
            let mut requests = requests.lock().expect("no panic");
            let request = Request { number: requests.len(), path, head, body, raw_body, received_at: Instant::now() };
            requests.push(request.clone());
            request
        };
        let concurrent = open.fetch_add(1, Ordering::Relaxed) + 1;
        open_max.fetch_max(concurrent, Ordering::Relaxed);
        let keeps_open = perform(client, &request, react(&request));
        open.fetch_sub(1, Ordering::Relaxed);
        if !keeps_open? {
            client.shutdown(std::net::Shutdown::Both)?;
            return Ok(());
        }
    }
}

/// Returns whether the connection stays open.
fn perform(client: &TcpStream, request: &Request, reaction: Reaction) -> std::io::Result<bool> {
    match reaction {
        Reaction::Answer => send(client, 200, &answer_body(request, &request.answer().to_string(), "STOP"), None)?,
        Reaction::AnswerWith(fields) => {
            let mut answer = request.answer();
            for (name, value) in fields.as_object().into_iter().flatten() {
                answer[name] = value.clone();
            }
            send(client, 200, &answer_body(request, &answer.to_string(), "STOP"), None)?;
        }
        Reaction::Text(text, finish_reason) => send(client, 200, &answer_body(request, &text, finish_reason), None)?,
        Reaction::Block if request.is_gemini() => {
            let usage = json!({"promptTokenCount": USAGE.0, "totalTokenCount": USAGE.0});
            send(client, 200, &json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage}), None)?;
        }
        Reaction::Block => send(client, 200, &answer_body(request, "", "SAFETY"), None)?,
        Reaction::Status(status, body, retry_after) => send(client, status, &body, retry_after)?,
        Reaction::Close => return Ok(false),
        Reaction::Truncate => {
            let response = http_response(200, &answer_body(request, &request.answer().to_string(), "STOP"), None);
            (&mut &*client).write_all(&response[..response.len() / 2])?;
            return Ok(false);
        }
        Reaction::Hang => {
            std::thread::sleep(Duration::from_mins(2));
            return Ok(false);
        }
        Reaction::Drip => {
            for byte in http_response(200, &answer_body(request, &request.answer().to_string(), "STOP"), None) {
                (&mut &*client).write_all(&[byte])?;
                std::thread::sleep(Duration::from_millis(30));
            }
        }
        Reaction::Delay(delay, reaction) => {
            std::thread::sleep(delay);
            return perform(client, request, *reaction);
        }
    }
    Ok(true)
}

fn answer_body(request: &Request, text: &str, finish_reason: &str) -> Value {
    if request.is_gemini() {
        return json!({
            "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish_reason}],
            "usageMetadata": {"promptTokenCount": USAGE.0, "candidatesTokenCount": USAGE.1},
            "modelVersion": "stub-model-001",
        });
    }
    let finish_reason = match finish_reason {
        "STOP" => "stop",
        "MAX_TOKENS" => "length",
        _ => "content_filter",
    };
    json!({
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": USAGE.0, "completion_tokens": USAGE.1},
        "model": "stub-model-001",
    })
}

fn http_response(status: u16, body: &Value, retry_after: Option<&str>) -> Vec<u8> {
    let body = body.to_string();
    let retry = retry_after.map(|seconds| format!("retry-after: {seconds}\r\n")).unwrap_or_default();
    format!("HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{retry}\r\n{body}", body.len())
        .into_bytes()
}

fn send(mut client: &TcpStream, status: u16, body: &Value, retry_after: Option<&str>) -> std::io::Result<()> {
    client.write_all(&http_response(status, body, retry_after))
}

/// An error body of Gemini.
pub(crate) fn gemini_error(status: u16, message: &str, details: &Value) -> Value {
    json!({"error": {"code": status, "message": message, "status": "STATUS", "details": details}})
}

/// The error body of Gemini for an exhausted quota.
pub(crate) fn gemini_quota_error(quota_id: &str, quota_value: &str, retry_delay: &str) -> Value {
    let details = json!([
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota_id, "quotaValue": quota_value}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay},
    ]);
    gemini_error(429, "You exceeded your current quota, please check your plan and billing details.", &details)
}
