//! The progress of a run on stderr: a display on a terminal, else a line every ten seconds.

use std::convert::Infallible;
use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::{DecimalBytes, HumanCount, HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value};
use tokio::time::{MissedTickBehavior, interval};

use super::{log, output};
use crate::analyze::AnalyzeCounts;
use crate::limits::{PROGRESS_DISPLAY_INTERVAL, PROGRESS_LINE_INTERVAL};
use crate::pipeline::{Phase, RunProgress, TraceCounts};
use crate::read::ListedTotal;

/// The display on the terminal, once there is one.
static DISPLAY: OnceLock<MultiProgress> = OnceLock::new();

/// Shows the progress until it is dropped. Call [`clear`] afterwards.
pub(super) async fn show(progress: &RunProgress, is_quiet: bool) -> Infallible {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    match (is_quiet, std::io::stderr().is_terminal() && !is_dumb) {
        (true, _) => std::future::pending().await,
        (false, true) => display(progress).await,
        (false, false) => lines(progress).await,
    }
}

/// Removes the display.
pub(super) fn clear() {
    if let Some(display) = DISPLAY.get() {
        // A closed stderr is not an error.
        let _ = display.clear();
        display.set_draw_target(ProgressDrawTarget::hidden());
    }
}

/// Runs `print`, which writes to the terminal, while the display is hidden.
pub(super) fn suspended<R>(print: impl FnOnce() -> R) -> R {
    match DISPLAY.get() {
        Some(display) => display.suspend(print),
        None => print(),
    }
}

async fn lines(progress: &RunProgress) -> Infallible {
    let started = Instant::now();
    let mut ticks = interval(PROGRESS_LINE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let facts = Facts::of(progress);
        if log::is_json() {
            log::json_line(tracing::Level::INFO, "progress", facts.fields());
        } else {
            output::plain(&format!("{} s: {}", started.elapsed().as_secs(), facts.line()));
        }
    }
}

async fn display(progress: &RunProgress) -> Infallible {
    // A run of a moment needs no display.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let display = DISPLAY.get_or_init(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)));
    let bars = Bars::add_to(display);
    let mut ticks = interval(PROGRESS_DISPLAY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_analyzing = false;
    loop {
        ticks.tick().await;
        let facts = Facts::of(progress);
        if facts.is_analyzing() && !std::mem::replace(&mut was_analyzing, true) {
            // The time of reading says nothing about the speed of the analysis.
            bars.analyze.reset_elapsed();
            bars.analyze.reset_eta();
        }
        bars.update(&facts);
    }
}

/// One line for each part of the data path.
struct Bars {
    read: ProgressBar,
    gather: ProgressBar,
    analyze: ProgressBar,
}

impl Bars {
    fn add_to(display: &MultiProgress) -> Self {
        let bar = |name: &'static str| display.add(ProgressBar::no_length().with_prefix(name).with_style(without_bar()));
        Self { read: bar("read"), gather: bar("gather"), analyze: bar("analyze") }
    }

    fn update(&self, facts: &Facts) {
        set(&self.read, facts.bytes_read, facts.listed.bytes_total());
        let rate = if facts.is_analyzing() { None } else { Some(self.read.per_sec()) };
        self.read.set_message(facts.read_text(rate, left(&self.read, facts.bytes_left() > 0 && !facts.is_analyzing())));
        self.gather.set_message(facts.gather_text());
        // No trace is analyzed before the whole input was read, so the number of spans is final.
        let spans = facts.is_analyzing().then_some(facts.spans_gathered + facts.spans_waiting);
        set(&self.analyze, facts.spans_gathered, spans);
        self.analyze.set_message(facts.analyze_text(left(&self.analyze, facts.is_analyzing() && facts.spans_waiting > 0)));
    }
}

fn set(bar: &ProgressBar, position: u64, length: Option<u64>) {
    match length.filter(|length| *length > 0) {
        Some(length) if bar.length() != Some(length) => {
            bar.set_length(length);
            bar.set_style(with_bar());
        }
        _ => {}
    }
    bar.set_position(position.min(length.unwrap_or(u64::MAX)));
}

/// The estimated time left, if there is one.
fn left(bar: &ProgressBar, is_running: bool) -> Option<Duration> {
    let left = bar.eta();
    (is_running && bar.length().is_some() && !left.is_zero()).then_some(left)
}

// `wide_msg` ends at the width of the terminal. The templates are constants, and a test checks them.
const WITHOUT_BAR: &str = "{prefix:8} {wide_msg}";
const WITH_BAR: &str = "{prefix:8} [{bar:20}] {wide_msg}";

fn without_bar() -> ProgressStyle {
    ProgressStyle::with_template(WITHOUT_BAR).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn with_bar() -> ProgressStyle {
    ProgressStyle::with_template(WITH_BAR).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// The counts that are shown.
#[derive(Debug, Clone, PartialEq, Default)]
struct Facts {
    phase: Option<Phase>,
    listed: ListedTotal,
    objects_read: u64,
    bytes_read: u64,
    spans_read: u64,
    spans_gathered: u64,
    spans_waiting: u64,
    traces: TraceCounts,
    rejected: u64,
    requests: u64,
    cost_usd: f64,
}

impl Facts {
    fn of(progress: &RunProgress) -> Self {
        let input = progress.input();
        let analysis = progress.analysis();
        Self {
            phase: progress.phases().current(),
            listed: input.read.listed(),
            objects_read: input.read.objects.load(Ordering::Relaxed),
            bytes_read: input.read.bytes.load(Ordering::Relaxed),
            spans_read: input.parse.spans.load(Ordering::Relaxed),
            spans_gathered: input.gather.spans_gathered(),
            spans_waiting: input.gather.spans_waiting(),
            traces: progress.traces(),
            rejected: progress.outcomes().classes().total(),
            requests: analysis.map_or(0, |counts| counts.requests().sent),
            cost_usd: analysis.map(AnalyzeCounts::spent).unwrap_or_default().cost_usd,
        }
    }

    fn is_analyzing(&self) -> bool {
        self.phase >= Some(Phase::Analyze)
    }

    fn bytes_left(&self) -> u64 {
        self.listed.bytes_total().unwrap_or(0).saturating_sub(self.bytes_read)
    }

    /// `12 of 40 objects, 1.20 GB of 4.50 GB`
    fn objects_text(&self) -> String {
        let (objects, bytes) = (HumanCount(self.objects_read), DecimalBytes(self.bytes_read));
        if !self.listed.is_complete {
            return format!("{objects} objects, {bytes}");
        }
        let total = self.listed.bytes_total().map(|total| format!(" of {}", DecimalBytes(total))).unwrap_or_default();
        format!("{objects} of {} objects, {bytes}{total}", HumanCount(self.listed.objects))
    }

    fn read_text(&self, bytes_per_second: Option<f64>, left: Option<Duration>) -> String {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for display; the cast saturates")]
        let rate = bytes_per_second.map(|rate| format!(", {}/s", DecimalBytes(rate as u64))).unwrap_or_default();
        format!("{}{rate}{}", self.objects_text(), left_text(left))
    }

    fn gather_text(&self) -> String {
        format!("{} spans read, {} traces gathered", HumanCount(self.spans_read), HumanCount(self.traces.received))
    }

    fn traces_text(&self) -> String {
        let traces = self.traces;
        let mut text = format!(
            "{} of {} done, {} in flight, {} rejected",
            HumanCount(traces.done.saturating_add(traces.filtered)),
            HumanCount(traces.received),
            HumanCount(traces.in_flight()),
            HumanCount(self.rejected)
        );
        if self.requests > 0 {
            text += &format!(", {} requests, ${:.2}", HumanCount(self.requests), self.cost_usd);
        }
        text
    }

    fn analyze_text(&self, left: Option<Duration>) -> String {
        match self.phase {
            Some(Phase::Commit) => format!("{}, committing", self.traces_text()),
            Some(Phase::Analyze) => format!("{}{}", self.traces_text(), left_text(left)),
            Some(Phase::Read) => "starts when the whole input is read".to_owned(),
            Some(Phase::Prepare) | None => "preparing".to_owned(),
        }
    }

    /// The line where there is no terminal.
    fn line(&self) -> String {
        let commit = if self.phase == Some(Phase::Commit) { "; committing" } else { "" };
        format!("read {}; {}; traces: {}{commit}", self.objects_text(), self.gather_text(), self.traces_text())
    }

    /// The same for programs.
    fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        let phase = self.phase.map(|phase| Value::from(phase.as_str()));
        for (name, value) in [
            ("phase", phase),
            ("objects_read", Some(self.objects_read.into())),
            ("objects_total", self.listed.is_complete.then(|| self.listed.objects.into())),
            ("bytes_read", Some(self.bytes_read.into())),
            ("bytes_total", self.listed.bytes_total().map(Value::from)),
            ("spans_read", Some(self.spans_read.into())),
            ("spans_waiting", Some(self.spans_waiting.into())),
            ("received", Some(self.traces.received.into())),
            ("done", Some(self.traces.done.saturating_add(self.traces.filtered).into())),
            ("in_flight", Some(self.traces.in_flight().into())),
            ("rejected", Some(self.rejected.into())),
            ("model_requests", Some(self.requests.into())),
            ("cost_usd", Some(self.cost_usd.into())),
        ] {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        }
        fields
    }
}

fn left_text(left: Option<Duration>) -> String {
    left.map(|left| format!(", {} left", HumanDuration(left))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            phase: Some(Phase::Read),
            listed: ListedTotal { objects: 40, bytes: 4_500_000_000, unsized_objects: 0, is_complete: true },
            objects_read: 12,
            bytes_read: 1_200_000_000,
            spans_read: 120_000,
            ..Facts::default()
        }
    }

    #[test]
    fn the_templates_are_valid() {
        assert!(ProgressStyle::with_template(WITH_BAR).is_ok() && ProgressStyle::with_template(WITHOUT_BAR).is_ok());
    }

    #[test]
    fn the_total_is_shown_only_if_it_is_known() {
        let text = facts().read_text(Some(85e6), Some(Duration::from_secs(120)));
        assert_eq!(text, "12 of 40 objects, 1.20 GB of 4.50 GB, 85.00 MB/s, 2 minutes left");
        let listing = Facts { listed: ListedTotal { is_complete: false, ..facts().listed }, ..facts() };
        assert_eq!(listing.read_text(None, None), "12 objects, 1.20 GB");
        let pipe = Facts { listed: ListedTotal { unsized_objects: 1, ..facts().listed }, ..facts() };
        assert_eq!(pipe.read_text(None, None), "12 of 40 objects, 1.20 GB");
        assert_eq!((facts().bytes_left(), pipe.bytes_left()), (3_300_000_000, 0));
    }

    #[test]
    fn traces_are_shown_from_their_phase_on() {
        assert_eq!(facts().analyze_text(None), "starts when the whole input is read");
        let traces = TraceCounts { received: 1_204, filtered: 4, done: 1_000, analyzing: 32 };
        let analyzing = Facts { phase: Some(Phase::Analyze), traces, rejected: 12, ..facts() };
        assert_eq!(
            analyzing.analyze_text(Some(Duration::from_secs(60))),
            "1,004 of 1,204 done, 200 in flight, 12 rejected, 60 seconds left"
        );
        let with_model = Facts { requests: 7, cost_usd: 0.125, ..analyzing.clone() };
        assert_eq!(with_model.analyze_text(None), "1,004 of 1,204 done, 200 in flight, 12 rejected, 7 requests, $0.12");
        let committing = Facts { phase: Some(Phase::Commit), ..analyzing };
        assert!(committing.analyze_text(None).ends_with("12 rejected, committing") && committing.line().ends_with("; committing"));
    }

    #[test]
    fn what_is_not_known_is_no_field() {
        let fields = facts().fields();
        assert_eq!((&fields["bytes_total"], &fields["objects_total"]), (&4_500_000_000_u64.into(), &40.into()));
        let listing = Facts { listed: ListedTotal::default(), ..facts() }.fields();
        assert!(!listing.contains_key("bytes_total") && !listing.contains_key("objects_total"));
    }
}
