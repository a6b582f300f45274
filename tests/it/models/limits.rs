//! Time budgets and request rates.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{run, workspace};
use crate::model_stub::{ModelStub, Reaction, Request, gemini_error};
use crate::support::stderr;

/// With a budget of a second, every trace must end within `latency_max`.
fn check_hanging_provider(latency_max: Duration) {
    for (name, reaction) in
        [("hang", Reaction::Hang), ("drip", Reaction::Drip), ("late", Reaction::Delay(Duration::from_secs(5), Box::new(Reaction::Answer)))]
    {
        let (workspace, reaction) = (workspace(24), reaction);
        let stub = ModelStub::start(move |_| reaction.clone());
        let started = Instant::now();
        let (output, summary) = run(&workspace, &stub, "gemini", &["--concurrency", "8", "--trace-timeout", "1"]);
        assert_eq!(output.status.code(), Some(3), "{name}: {}", stderr(&output));
        assert_eq!(
            (summary["timed_out"].as_u64(), stub.request_count(), stub.concurrency_max() >= 8),
            (Some(24), 24, true),
            "{name}: {summary}"
        );
        assert!(summary["latency_ms_max"].as_f64().unwrap() < latency_max.as_secs_f64() * 1e3, "{name}: {summary}");
        // Three rounds of eight: timeouts of failsift itself do not lower the concurrency.
        assert!(started.elapsed() < Duration::from_secs(4) + 3 * latency_max, "{name}: {:?}", started.elapsed());
    }
}

#[test]
fn traces_time_out_if_the_provider_hangs() {
    check_hanging_provider(Duration::from_secs(3));
}

#[test]
fn the_request_limit_is_kept_and_does_not_use_up_time_budgets() {
    let (workspace, stub) = (workspace(6), ModelStub::start(|_| Reaction::Answer));
    let started = Instant::now();
    let (_, summary) = run(&workspace, &stub, "gemini", &["--requests-per-minute", "120", "--trace-timeout", "1"]);
    assert_eq!(summary["stored"], 6, "waiting for the rate limit does not use up the time budget: {summary}");
    assert!(started.elapsed() >= Duration::from_millis(2_400), "{:?}", started.elapsed());
}

/// Tests that measure time and therefore run alone: `tests/run` does that.
mod timed {
    use super::*;

    /// A provider that allows `rate` requests in each sliding second, and the number of requests that it refused.
    fn rate_limited_provider(rate: usize, latency: Duration) -> (ModelStub, Arc<Mutex<usize>>) {
        let (window, refused) = (Arc::new(Mutex::new(Vec::<Instant>::new())), Arc::new(Mutex::new(0)));
        let counter = Arc::clone(&refused);
        let stub = ModelStub::start(move |request: &Request| {
            let mut window = window.lock().unwrap();
            window.retain(|at| request.received_at.duration_since(*at) < Duration::from_secs(1));
            if window.len() >= rate {
                *counter.lock().unwrap() += 1;
                return Reaction::Status(429, gemini_error(429, "Resource has been exhausted (e.g. check quota).", &Value::Null), None);
            }
            window.push(request.received_at);
            Reaction::Delay(latency, Box::new(Reaction::Answer))
        });
        (stub, refused)
    }

    #[test]
    #[ignore = "measures time and must run alone; tests/run runs it"]
    fn the_allowed_request_rate_is_used_and_seldom_exceeded() {
        // Three attempts, because other processes may disturb one.
        let mut figures = Vec::new();
        let is_kept = (0..3).any(|_| {
            let workspace = workspace(600);
            let (stub, refused) = rate_limited_provider(20, Duration::from_millis(200));
            let (output, summary) = run(&workspace, &stub, "gemini", &["--concurrency", "32"]);
            assert!(output.status.success() && summary["stored"] == 600, "{summary} {}", stderr(&output));
            let requests = stub.requests();
            let achieved = 600.0 / (requests.last().unwrap().received_at - requests[0].received_at).as_secs_f64();
            let refused = *refused.lock().unwrap();
            figures.push(format!("{achieved:.2} of 20 requests a second, {refused} of {} refused", requests.len()));
            achieved >= 19.0 && 20 * refused < requests.len()
        });
        assert!(is_kept, "{figures:?}");
    }

    #[test]
    #[ignore = "measures time and must run alone; tests/run runs it"]
    fn traces_time_out_punctually_if_the_provider_hangs() {
        check_hanging_provider(Duration::from_millis(1_050));
    }
}
