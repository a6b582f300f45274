//! Metrics in the text format of Prometheus, version 0.0.4, which the textfile collector of `node_exporter` reads too.

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric as MetricValue, MetricFamily, MetricType};

use super::metrics::{Kind, METRICS, Metric};
use super::run_metrics::{RunMetrics, Sample};
use crate::analyze::{LATENCY_BOUNDS_SECONDS, LatencyBuckets};

/// The current values of all metrics.
pub(super) fn text(metrics: &RunMetrics) -> String {
    let samples = metrics.samples();
    let family = |metric: &Metric| family(metric, metrics, &samples);
    let families: Vec<MetricFamily> = METRICS.iter().map(family).filter(|family| !family.get_metric().is_empty()).collect();
    // Fails only for families without a name or a value.
    TextEncoder::new().encode_to_string(&families).unwrap_or_default()
}

fn family(metric: &Metric, metrics: &RunMetrics, samples: &[Sample]) -> MetricFamily {
    let labels = |sample: &[(&str, String)]| {
        let of_pipeline = label("pipeline", metrics.pipeline());
        std::iter::once(of_pipeline).chain(sample.iter().map(|(name, value)| label(name, value))).collect::<Vec<_>>()
    };
    let values = match metric.kind {
        Kind::Histogram => vec![histogram(metrics.latencies(), labels(&[]))],
        Kind::Counter | Kind::Gauge => {
            let of_metric = samples.iter().filter(|sample| sample.name == metric.name);
            of_metric.map(|sample| value(metric.kind, sample.value, labels(&sample.labels))).collect()
        }
    };
    let mut family = MetricFamily::default();
    family.set_name(metric.name.to_owned());
    family.set_help(metric.help.to_owned());
    family.set_field_type(match metric.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram => MetricType::HISTOGRAM,
    });
    family.set_metric(values);
    family
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    label
}

fn value(kind: Kind, value: f64, labels: Vec<LabelPair>) -> MetricValue {
    let mut of_metric = MetricValue::from_label(labels);
    if kind == Kind::Counter {
        let mut counter = Counter::default();
        counter.set_value(value);
        of_metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        of_metric.set_gauge(gauge);
    }
    of_metric
}

fn histogram(latencies: LatencyBuckets, labels: Vec<LabelPair>) -> MetricValue {
    let mut cumulative = 0;
    let buckets = LATENCY_BOUNDS_SECONDS.into_iter().zip(latencies.counts).map(|(bound, count)| {
        cumulative += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(cumulative);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(latencies.count);
    histogram.set_sample_sum(latencies.sum.as_secs_f64());
    let mut of_metric = MetricValue::from_label(labels);
    of_metric.set_histogram(histogram);
    of_metric
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn values_have_help_type_and_labels() {
        let metrics = RunMetrics::new(Arc::default(), "night\"ly", Some(1_764_000_000.0));
        let text = text(&metrics);
        for line in [
            "# TYPE failsift_traces_total counter",
            r#"failsift_traces_total{pipeline="night\"ly",outcome="stored"} 0"#,
            "# HELP failsift_run_active 1 while the run is in progress, 0 after it.",
            r#"failsift_last_success_timestamp_seconds{pipeline="night\"ly"} 1764000000"#,
            r#"failsift_analysis_duration_seconds_bucket{pipeline="night\"ly",le="+Inf"} 0"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        assert!(!text.contains("failsift_run_exit_code"), "a run in progress has no exit code");
    }

    #[test]
    fn buckets_are_cumulative() {
        let mut latencies = LatencyBuckets { count: 4, sum: Duration::from_secs(70), ..LatencyBuckets::default() };
        (latencies.counts[0], latencies.counts[2]) = (1, 2);
        let found = histogram(latencies, Vec::new());
        let counts: Vec<u64> = found.get_histogram().get_bucket().iter().map(Bucket::cumulative_count).collect();
        assert_eq!((&counts[..4], counts.last()), (&[1, 1, 3, 3][..], Some(&3)));
        assert_eq!(found.get_histogram().get_sample_count(), 4);
    }
}
