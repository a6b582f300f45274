//! An HTTP proxy between failsift and an object store, which injects the failures of real stores. One request per connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What the proxy does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Forwards it and its response.
    None,
    /// Responds with this status and error code, without forwarding it.
    Status(u16, &'static str),
    /// Closes the connection without forwarding it.
    Reset,
    /// Forwards it, and closes the connection without the response.
    ResponseLost,
    /// Forwards it, and returns half of the response.
    ResponseCut,
    /// Forwards it, and delays the response.
    Slow(Duration),
}

/// A request, as far as faults depend on it.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// The number of requests before it.
    pub(crate) number: usize,
}

/// Replacements for the beginnings of header lines, as pairs of old and new. A new line with an empty old beginning is added.
pub(crate) type HeaderRewrites = &'static [(&'static str, &'static str)];

pub(crate) struct Proxy {
    pub(crate) url: String,
    requests: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts a proxy for the server at `port`. Its threads end with the process of the test.
    pub(crate) fn start(port: u16, header_rewrites: HeaderRewrites, fault: impl Fn(&Request<'_>) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let (fault, counter) = (Arc::new(fault), Arc::clone(&requests));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (fault, counter) = (Arc::clone(&fault), Arc::clone(&counter));
                // Errors are ignored: the client may have disconnected.
                std::thread::spawn(move || serve(client, port, header_rewrites, &*fault, &counter).ok());
            }
        });
        Self { url, requests }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

fn serve(
    mut client: TcpStream,
    port: u16,
    header_rewrites: HeaderRewrites,
    fault: &dyn Fn(&Request<'_>) -> Fault,
    counter: &AtomicUsize,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            break;
        }
        if lower.starts_with("connection:") {
            continue;
        }
        let rewritten = header_rewrites.iter().find(|(from, _)| !from.is_empty() && lower.starts_with(&from.to_ascii_lowercase()));
        match rewritten {
            Some((from, to)) => head.extend([to, line.get(from.len()..).unwrap_or_default()]),
            None => head.push_str(&line),
        }
    }
    for (_, added) in header_rewrites.iter().filter(|(from, _)| from.is_empty()) {
        head.extend([added, "\r\n"]);
    }
    head.push_str("Connection: close\r\n\r\n");
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let first = head.lines().next().unwrap_or_default().to_owned();
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let fault = fault(&Request { method, path, query, number: counter.fetch_add(1, Ordering::Relaxed) });
    match fault {
        Fault::Status(status, code) => {
            let text = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>");
            let headers = format!("Content-Type: application/xml\r\nContent-Length: {}\r\nConnection: close", text.len());
            return client.write_all(format!("HTTP/1.1 {status} {code}\r\n{headers}\r\n\r\n{text}").as_bytes());
        }
        Fault::Reset => return Ok(()),
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    server.write_all(head.as_bytes())?;
    server.write_all(&body)?;
    let mut response = Vec::new();
    server.read_to_end(&mut response)?;
    match fault {
        Fault::ResponseLost => return Ok(()),
        Fault::ResponseCut => response.truncate(response.len() / 2),
        Fault::Slow(time) => std::thread::sleep(time),
        _ => {}
    }
    client.write_all(&response)
}
