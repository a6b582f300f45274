//! Posts notifications, with retries.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::message::body;
use super::report::RunReport;
use super::{NotifyConfig, Target};
use crate::http::{HttpClient, TransportError, retry_after};
use crate::limits::{NOTIFY_ATTEMPTS_MAX, NOTIFY_TIMEOUT, NOTIFY_TIMEOUT_TOTAL};

/// How many receivers got the notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivery {
    /// Receivers that accepted it.
    pub sent: u64,
    /// Receivers that did not. Each has a warning in the log.
    pub failed: u64,
}

/// Sends the notification to all receivers at the same time, within [`NOTIFY_TIMEOUT_TOTAL`]. A failure is a warning.
pub async fn send(config: &NotifyConfig, report: &RunReport) -> Delivery {
    let client = match HttpClient::new(1) {
        Ok(client) => client,
        Err(error) => {
            tracing::warn!("cannot send notifications: {error}");
            return Delivery { sent: 0, failed: config.targets.len() as u64 };
        }
    };
    let until = Instant::now() + NOTIFY_TIMEOUT_TOTAL;
    let attempts = config.targets.iter().map(|target| {
        let body = Bytes::from(body(report, config, target).to_string());
        post(&client, target, body, until)
    });
    let mut delivery = Delivery::default();
    for (target, result) in config.targets.iter().zip(join_all(attempts).await) {
        match result {
            Ok(()) => delivery.sent += 1,
            Err(reason) => {
                delivery.failed += 1;
                tracing::warn!("cannot notify {target}: {reason}");
            }
        }
    }
    delivery
}

/// Why an attempt failed, and whether and when another one makes sense.
enum Failed {
    Finally(String),
    /// The wait that the receiver asks for.
    Temporarily(String, Option<Duration>),
}

async fn post(client: &HttpClient, target: &Target, body: Bytes, until: Instant) -> Result<(), String> {
    let mut attempts = 1;
    loop {
        let remaining = until.saturating_duration_since(Instant::now());
        let (reason, wait) = match attempt(client, target, body.clone(), remaining.min(NOTIFY_TIMEOUT)).await {
            Ok(()) => return Ok(()),
            Err(Failed::Finally(reason)) => return Err(reason),
            Err(Failed::Temporarily(reason, wait)) => (reason, wait),
        };
        let wait = wait.unwrap_or_default().max(backoff(attempts));
        if attempts >= NOTIFY_ATTEMPTS_MAX || wait >= until.saturating_duration_since(Instant::now()) {
            return Err(format!("{reason}, after {attempts} {}", if attempts == 1 { "attempt" } else { "attempts" }));
        }
        attempts += 1;
        tokio::time::sleep(wait).await;
    }
}

async fn attempt(client: &HttpClient, target: &Target, body: Bytes, timeout: Duration) -> Result<(), Failed> {
    let response = client.post(target.url(), HeaderMap::new(), body, timeout).await.map_err(|error| match error {
        TransportError::TimedOut => Failed::Temporarily("no answer in time".to_owned(), None),
        TransportError::NotSent(cause) | TransportError::Failed(cause) => Failed::Temporarily(cause, None),
    })?;
    // Without the body of the answer, which may repeat the request.
    let reason = format!("it answered with status {}", response.status.as_u16());
    match response.status {
        status if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Err(Failed::Temporarily(reason, retry_after(&response.headers))),
        status if status.is_server_error() => Err(Failed::Temporarily(reason, retry_after(&response.headers))),
        status if status.is_redirection() => Err(Failed::Finally(format!("{reason}; redirects are not followed"))),
        _ => Err(Failed::Finally(format!("{reason}; check the URL and --notify-format"))),
    }
}

/// The wait before the next attempt: 1, 2, 4 s, less up to a quarter so that several runs do not retry at once.
fn backoff(attempts: u32) -> Duration {
    let longest = Duration::from_secs(1 << attempts.saturating_sub(1).min(4));
    longest.mul_f64(0.75 + 0.25 * fastrand::f64())
}
