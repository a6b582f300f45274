//! Spans and metrics of failsift itself over OTLP (HTTP, protobuf). The SDK of OpenTelemetry reads its variables: `OTEL_EXPORTER_OTLP_ENDPOINT`,
//! `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_METRIC_EXPORT_INTERVAL` and so on. Without an endpoint nothing is exported.
//!
//! A run is one span, with a child for each of its phases. They have counts as attributes, and nothing of a trace.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::metrics::{AsyncInstrument, Meter, MeterProvider};
use opentelemetry::trace::{Span, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_otlp::{MetricExporter, SpanExporter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};

use super::metrics::{Kind, METRICS, Metric};
use super::run_metrics::{RunMetrics, Sample};
use crate::analyze::LATENCY_BOUNDS_SECONDS;

/// The exporters that the environment asks for.
#[derive(Debug)]
pub(super) struct Otlp {
    tracer: Option<SdkTracerProvider>,
    meter: Option<SdkMeterProvider>,
}

impl Otlp {
    /// Starts the exporters that the environment asks for; `None` if there are none.
    ///
    /// # Errors
    /// The message of the SDK.
    pub(super) fn from_env(metrics: &Arc<RunMetrics>) -> Result<Option<Self>, String> {
        if env_var("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let tracer = if is_wanted("TRACES") { Some(tracer_provider()?) } else { None };
        let meter = if is_wanted("METRICS") { Some(meter_provider(metrics)?) } else { None };
        Ok((tracer.is_some() || meter.is_some()).then_some(Self { tracer, meter }))
    }

    /// Exports the spans of the run and the final metrics. A failure is a warning.
    pub(super) async fn finish(self, metrics: &Arc<RunMetrics>) {
        let metrics = Arc::clone(metrics);
        // The exporters block.
        let exported = tokio::task::spawn_blocking(move || {
            let traced = self.tracer.map_or(Ok(()), |tracer| {
                record_spans(&tracer, &metrics);
                tracer.shutdown()
            });
            let measured = self.meter.map_or(Ok(()), |meter| meter.shutdown());
            traced.is_ok() && measured.is_ok()
        });
        // Without the message, which may name the endpoint with its credentials.
        if !exported.await.unwrap_or(false) {
            tracing::warn!("cannot export telemetry over OTLP; check OTEL_EXPORTER_OTLP_ENDPOINT and the receiver");
        }
    }
}

/// Whether a signal has an endpoint and is not switched off.
fn is_wanted(signal: &str) -> bool {
    let has_endpoint = [format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"), "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned()]
        .iter()
        .any(|name| env_var(name).is_some());
    has_endpoint && env_var(&format!("OTEL_{signal}_EXPORTER")).is_none_or(|exporter| exporter != "none")
}

fn env_var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// The resource: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`; without a name the service is `failsift`.
fn resource() -> Resource {
    let is_named = env_var("OTEL_SERVICE_NAME").is_some()
        || env_var("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|attributes| attributes.contains("service.name="));
    let builder = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if is_named { builder.build() } else { builder.with_service_name("failsift").build() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("failsift").with_version(env!("CARGO_PKG_VERSION")).build()
}

fn tracer_provider() -> Result<SdkTracerProvider, String> {
    let exporter = SpanExporter::builder().with_http().build().map_err(|error| error.to_string())?;
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(BatchConfigBuilder::default().build()).build();
    Ok(SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource()).build())
}

fn record_spans(provider: &SdkTracerProvider, metrics: &RunMetrics) {
    let tracer = provider.tracer_with_scope(scope());
    let end = metrics.end();
    let ended_at = end.map_or_else(SystemTime::now, |end| end.at);
    let mut attributes = vec![
        KeyValue::new("failsift.run.id", metrics.progress().run_id().to_owned()),
        KeyValue::new("failsift.pipeline", metrics.pipeline().to_owned()),
    ];
    let exit_code = end.map(|end| end.exit_code);
    attributes.extend(exit_code.map(|code| KeyValue::new("process.exit.code", i64::from(code))));
    let outcomes = metrics.samples().into_iter().filter(|sample| sample.name == "failsift_traces_total");
    attributes.extend(outcomes.flat_map(|sample| {
        let value = sample.value;
        sample.labels.into_iter().map(move |(_, outcome)| KeyValue::new(format!("failsift.traces.{outcome}"), value))
    }));
    let builder = tracer.span_builder("failsift run").with_kind(SpanKind::Internal).with_start_time(metrics.started_at());
    let mut run = builder.with_attributes(attributes).start_with_context(&tracer, &Context::new());
    if exit_code != Some(0) {
        run.set_status(Status::error(exit_code.map_or_else(|| "stopped".to_owned(), |code| format!("exit code {code}"))));
    }
    let context = Context::new().with_remote_span_context(run.span_context().clone());
    for (phase, start, end) in metrics.progress().phases().intervals(ended_at) {
        let mut span = tracer.span_builder(phase.as_str()).with_start_time(start).start_with_context(&tracer, &context);
        span.end_with_timestamp(end);
    }
    run.end_with_timestamp(ended_at);
}

fn meter_provider(metrics: &Arc<RunMetrics>) -> Result<SdkMeterProvider, String> {
    let exporter = MetricExporter::builder().with_http().build().map_err(|error| error.to_string())?;
    let provider = SdkMeterProvider::builder().with_periodic_exporter(exporter).with_resource(resource()).build();
    let meter = provider.meter_with_scope(scope());
    for metric in METRICS {
        register(&meter, metric, metrics);
    }
    Ok(provider)
}

/// Creates the instrument of a metric.
fn register(meter: &Meter, metric: Metric, metrics: &Arc<RunMetrics>) {
    let pipeline = KeyValue::new("pipeline", metrics.pipeline().to_owned());
    let observed = Arc::clone(metrics);
    let observe = {
        let pipeline = pipeline.clone();
        move |observer: &dyn AsyncInstrument<f64>| {
            for Sample { labels, value, .. } in observed.samples().into_iter().filter(|sample| sample.name == metric.name) {
                let labels = labels.into_iter().map(|(name, value)| KeyValue::new(name, value));
                observer.observe(value, &labels.chain([pipeline.clone()]).collect::<Vec<_>>());
            }
        }
    };
    let (name, unit, help) = (metric.otlp_name(), metric.unit, metric.help);
    match metric.kind {
        // The meter keeps the callbacks.
        Kind::Counter => drop(meter.f64_observable_counter(name).with_unit(unit).with_description(help).with_callback(observe).build()),
        Kind::Gauge => drop(meter.f64_observable_gauge(name).with_unit(unit).with_description(help).with_callback(observe).build()),
        Kind::Histogram => {
            let histogram = meter.f64_histogram(name).with_unit(unit).with_description(help);
            let histogram = histogram.with_boundaries(LATENCY_BOUNDS_SECONDS.to_vec()).build();
            let labels = [pipeline];
            metrics.progress().observe_latencies(Box::new(move |latency: Duration| histogram.record(latency.as_secs_f64(), &labels)));
        }
    }
}
