//! A model's provider that speaks Gemini's and OpenAI's HTTP interface, answers from the question that it is asked, and misbehaves on command.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// A good answer that quotes the trace.
    Answer,
    /// A good answer with some of its fields replaced.
    With(Value),
    /// This text as the model's answer, and why it ended, in Gemini's words.
    Say(String, &'static str),
    /// The provider blocks the question.
    Block,
    /// A status with a body and a `Retry-After`.
    Refuse(u16, Value, Option<&'static str>),
    /// The connection ends before an answer.
    Cut,
    /// Half of a good answer comes, then the connection ends.
    Half,
    /// Nothing comes.
    Hang,
    /// A good answer, one byte at a time.
    Drip,
    /// Then this.
    After(Duration, Box<Act>),
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// How many came before.
    pub(crate) number: usize,
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: Value,
    /// The body as it was written.
    pub(crate) written: String,
    pub(crate) at: Instant,
}

impl Asked {
    fn is_gemini(&self) -> bool {
        self.path.contains(":generateContent")
    }

    /// The question about the trace.
    pub(crate) fn text(&self) -> &str {
        let pointers = ["/contents/0/parts/1/text", "/contents/0/parts/0/text", "/messages/1/content", "/messages/0/content"];
        let text = pointers.iter().find_map(|pointer| self.body.pointer(pointer)?.as_str()).unwrap_or_default();
        // Behind the instructions, where they do not stand apart.
        text.find("The random word is ").and_then(|at| text.get(at..)).unwrap_or(text)
    }

    pub(crate) fn schema(&self) -> &Value {
        let pointer = if self.is_gemini() { "/generationConfig/responseJsonSchema" } else { "/response_format/json_schema/schema" };
        self.body.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// A good answer: it quotes the first text of the last span that says it failed, or of the first.
    pub(crate) fn answer(&self) -> Value {
        let mut quoted = None;
        let (mut number, mut failed) = (0_u64, false);
        for line in self.text().lines() {
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

/// Tokens that every question and every answer is said to have.
pub(crate) const TOKENS: (u64, u64) = (1_000, 200);

pub(crate) struct Stub {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    open: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
}

impl Stub {
    /// Starts one; its threads end with the test's process.
    pub(crate) fn start(act: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let stub = Self { url, asked: Arc::default(), open: Arc::default(), most_open: Arc::default() };
        let (act, asked, open, most_open) = (Arc::new(act), Arc::clone(&stub.asked), Arc::clone(&stub.open), Arc::clone(&stub.most_open));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (act, asked, open, most_open) = (Arc::clone(&act), Arc::clone(&asked), Arc::clone(&open), Arc::clone(&most_open));
                // A client that went away is no failure of the stub.
                std::thread::spawn(move || serve(&client, &*act, &asked, &open, &most_open).ok());
            }
        });
        stub
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.asked.lock().expect("no panic").len()
    }

    /// Questions that waited for an answer at once, at most.
    pub(crate) fn most_open(&self) -> usize {
        self.most_open.load(Ordering::Relaxed)
    }
}

fn serve(
    client: &TcpStream,
    act: &(dyn Fn(&Asked) -> Act + Send + Sync),
    asked: &Mutex<Vec<Asked>>,
    open: &AtomicUsize,
    most_open: &AtomicUsize,
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
        let written = String::from_utf8_lossy(&body).into_owned();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let request = {
            let mut asked = asked.lock().expect("no panic");
            let request = Asked { number: asked.len(), path, head, body, written, at: Instant::now() };
            asked.push(request.clone());
            request
        };
        let at_once = open.fetch_add(1, Ordering::Relaxed) + 1;
        most_open.fetch_max(at_once, Ordering::Relaxed);
        let done = perform(client, &request, act(&request));
        open.fetch_sub(1, Ordering::Relaxed);
        if !done? {
            client.shutdown(std::net::Shutdown::Both)?;
            return Ok(());
        }
    }
}

/// Whether the connection goes on.
fn perform(client: &TcpStream, asked: &Asked, act: Act) -> std::io::Result<bool> {
    match act {
        Act::Answer => send(client, 200, &reply(asked, &asked.answer().to_string(), "STOP"), None)?,
        Act::With(fields) => {
            let mut answer = asked.answer();
            for (name, value) in fields.as_object().into_iter().flatten() {
                answer[name] = value.clone();
            }
            send(client, 200, &reply(asked, &answer.to_string(), "STOP"), None)?;
        }
        Act::Say(text, end) => send(client, 200, &reply(asked, &text, end), None)?,
        Act::Block if asked.is_gemini() => {
            let usage = json!({"promptTokenCount": TOKENS.0, "totalTokenCount": TOKENS.0});
            send(client, 200, &json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage}), None)?;
        }
        Act::Block => send(client, 200, &reply(asked, "", "SAFETY"), None)?,
        Act::Refuse(status, body, retry_after) => send(client, status, &body, retry_after)?,
        Act::Cut => return Ok(false),
        Act::Half => {
            let answer = written(200, &reply(asked, &asked.answer().to_string(), "STOP"), None);
            (&mut &*client).write_all(&answer[..answer.len() / 2])?;
            return Ok(false);
        }
        Act::Hang => {
            std::thread::sleep(Duration::from_mins(2));
            return Ok(false);
        }
        Act::Drip => {
            for byte in written(200, &reply(asked, &asked.answer().to_string(), "STOP"), None) {
                (&mut &*client).write_all(&[byte])?;
                std::thread::sleep(Duration::from_millis(30));
            }
        }
        Act::After(time, act) => {
            std::thread::sleep(time);
            return perform(client, asked, *act);
        }
    }
    Ok(true)
}

fn reply(asked: &Asked, text: &str, end: &str) -> Value {
    if asked.is_gemini() {
        return json!({
            "candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": end}],
            "usageMetadata": {"promptTokenCount": TOKENS.0, "candidatesTokenCount": TOKENS.1},
            "modelVersion": "stub-model-001",
        });
    }
    let end = match end {
        "STOP" => "stop",
        "MAX_TOKENS" => "length",
        _ => "content_filter",
    };
    json!({
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": end}],
        "usage": {"prompt_tokens": TOKENS.0, "completion_tokens": TOKENS.1},
        "model": "stub-model-001",
    })
}

fn written(status: u16, body: &Value, retry_after: Option<&str>) -> Vec<u8> {
    let body = body.to_string();
    let retry = retry_after.map(|wait| format!("retry-after: {wait}\r\n")).unwrap_or_default();
    format!("HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{retry}\r\n{body}", body.len()).into_bytes()
}

fn send(mut client: &TcpStream, status: u16, body: &Value, retry_after: Option<&str>) -> std::io::Result<()> {
    client.write_all(&written(status, body, retry_after))
}

/// Gemini's error body, with details.
pub(crate) fn error(status: u16, message: &str, details: &Value) -> Value {
    json!({"error": {"code": status, "message": message, "status": "SAID", "details": details}})
}

/// The body with which Gemini says that a quota is used up.
pub(crate) fn quota(id: &str, value: &str, retry: &str) -> Value {
    let details = json!([
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id, "quotaValue": value}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry},
    ]);
    error(429, "You exceeded your current quota, please check your plan and billing details.", &details)
}
