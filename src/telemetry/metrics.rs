//! Every exported metric with its name, unit and labels. docs/monitoring.md lists them; a test compares the two.
//!
//! Names follow Prometheus: base units, `_total` for counters. Labels have few values, none of which comes from a trace.

use self::Kind::{Counter, Gauge, Histogram};

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows during a run, and starts at 0 with each.
    Counter,
    /// Grows and falls.
    Gauge,
    /// Counts of values by size.
    Histogram,
}

/// One exported metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// The name for Prometheus.
    pub name: &'static str,
    /// How it behaves.
    pub kind: Kind,
    /// The unit for OTLP, in UCUM.
    pub unit: &'static str,
    /// Labels, without `pipeline`, which every metric has.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub help: &'static str,
}

impl Metric {
    const fn new(name: &'static str, kind: Kind, unit: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Self { name, kind, unit, labels, help }
    }

    /// The name for OTLP, from which exporters for Prometheus derive [`name`](Self::name): without `_total` and without the unit.
    pub fn otlp_name(&self) -> String {
        let name = self.name.strip_suffix("_total").unwrap_or(self.name);
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        name.strip_suffix(unit).unwrap_or(name).replacen('_', ".", 1)
    }
}

/// Time in analyze of one trace; the only histogram.
pub(super) const ANALYSIS_DURATION: &str = "failsift_analysis_duration_seconds";
/// When a run last exited with 0.
pub(super) const LAST_SUCCESS: &str = "failsift_last_success_timestamp_seconds";

/// Every exported metric.
pub const METRICS: [Metric; 32] = [
    Metric::new("failsift_build_info", Gauge, "1", &["version"], "The version of failsift; always 1."),
    Metric::new("failsift_run_active", Gauge, "1", &[], "1 while the run is in progress, 0 after it."),
    Metric::new("failsift_run_start_timestamp_seconds", Gauge, "s", &[], "When the run started, in seconds since 1970."),
    Metric::new("failsift_run_duration_seconds", Gauge, "s", &[], "How long the run took, or has taken so far."),
    Metric::new("failsift_run_exit_code", Gauge, "1", &[], "The exit code of the run; absent while it is in progress."),
    Metric::new(LAST_SUCCESS, Gauge, "s", &[], "When a run of the pipeline last exited with 0, in seconds since 1970."),
    Metric::new("failsift_phase_duration_seconds", Gauge, "s", &["phase"], "How long each phase of the run took, or has taken so far."),
    Metric::new("failsift_objects_listed", Gauge, "{object}", &[], "Objects of the input that the listing has returned."),
    Metric::new("failsift_input_listed_bytes", Gauge, "By", &[], "Size of the listed objects, before decompression."),
    Metric::new("failsift_objects_read_total", Counter, "{object}", &[], "Objects that were opened."),
    Metric::new("failsift_input_bytes_total", Counter, "By", &[], "Bytes that were read, before decompression."),
    Metric::new("failsift_records_total", Counter, "{record}", &["outcome"], "Records that were read, by what became of them."),
    Metric::new("failsift_spans_total", Counter, "{span}", &[], "Spans that were read, duplicates included."),
    Metric::new(
        "failsift_spans_not_understood_total",
        Counter,
        "{span}",
        &[],
        "Spans with a part in a form that failsift does not understand.",
    ),
    Metric::new("failsift_traces_received_total", Counter, "{trace}", &[], "Gathered traces, and records that belong to no trace."),
    Metric::new("failsift_traces_total", Counter, "{trace}", &["outcome"], "Received traces and records by outcome."),
    Metric::new(
        "failsift_patterns_total",
        Counter,
        "{trace}",
        &["category", "contributing_factor"],
        "Patterns that were made in this run, committed or not.",
    ),
    Metric::new("failsift_rejections_total", Counter, "{trace}", &["stage", "kind"], "Rejected traces and records."),
    Metric::new("failsift_spans_waiting", Gauge, "{span}", &[], "Spans that were read and whose trace is not gathered yet."),
    Metric::new("failsift_queue_traces", Gauge, "{trace}", &["queue"], "Traces that wait in a queue of the run, or are processed there."),
    Metric::new(ANALYSIS_DURATION, Histogram, "s", &[], "Time in the analyze stage of one trace, retries included."),
    Metric::new("failsift_drafts_total", Counter, "{trace}", &["analyzer"], "Traces by the analyzer that labelled them."),
    Metric::new("failsift_model_requests_total", Counter, "{request}", &[], "Requests to a model, retries included."),
    Metric::new("failsift_model_retries_total", Counter, "{request}", &[], "Requests to a model after the first of a trace."),
    Metric::new("failsift_model_tokens_total", Counter, "{token}", &["type"], "Model tokens of prompts (input) and answers (output)."),
    Metric::new("failsift_model_cost_usd_total", Counter, "{USD}", &[], "Cost of the model in US dollars, as far as its price is known."),
    Metric::new(
        "failsift_model_fallbacks_total",
        Counter,
        "{trace}",
        &["kind"],
        "Traces for which the embedded analyzer replaced the model.",
    ),
    Metric::new("failsift_grounding_ratio", Gauge, "1", &[], "Share of excerpts that were found in their trace."),
    Metric::new("failsift_failed_traces_ratio", Gauge, "1", &[], "Share of patterns that describe a failure."),
    Metric::new("failsift_rejected_ratio", Gauge, "1", &[], "Share of received traces and records that were rejected."),
    Metric::new("failsift_new_fingerprints", Gauge, "{fingerprint}", &[], "Failures that this run saw for the first time."),
    Metric::new("failsift_notifications_total", Counter, "{notification}", &["result"], "Notifications that were sent, or failed."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for metric in METRICS {
            let ends_in_total = metric.name.ends_with("_total");
            assert_eq!(ends_in_total, metric.kind == Kind::Counter, "{}", metric.name);
            let base = metric.name.strip_suffix("_total").unwrap_or(metric.name);
            assert_eq!(base.ends_with("_seconds"), metric.unit == "s", "{}", metric.name);
            assert_eq!(base.ends_with("_bytes"), metric.unit == "By", "{}", metric.name);
            assert!(metric.name.starts_with("failsift_") && metric.help.ends_with('.'), "{}", metric.name);
            assert_eq!(METRICS.iter().filter(|other| other.name == metric.name).count(), 1, "{}", metric.name);
        }
    }

    #[test]
    fn names_for_otlp_have_no_suffixes() {
        let name = |name: &str| METRICS.iter().find(|metric| metric.name == name).unwrap().otlp_name();
        assert_eq!(name("failsift_input_bytes_total"), "failsift.input");
        assert_eq!(name("failsift_traces_total"), "failsift.traces");
        assert_eq!(name(ANALYSIS_DURATION), "failsift.analysis_duration");
    }
}
