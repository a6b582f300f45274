//! Metrics of failsift itself: a file for Prometheus, and with the feature `telemetry` a port for Prometheus and export over OTLP.
//!
//! [`RunMetrics`] computes the values from the counters of the stages ([`RunProgress`](crate::pipeline::RunProgress)) when they are asked for, so
//! the stages know nothing of metrics. `metrics` is the list of all metrics. Exported are counts, times and labels of the vocabulary, never
//! anything of a trace.

mod metrics;
#[cfg(feature = "telemetry")]
mod otlp;
mod prometheus_text;
mod run_metrics;
#[cfg(feature = "telemetry")]
mod scrape;
mod text_file;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;

pub use self::metrics::{Kind, METRICS, Metric};
pub use self::run_metrics::{RunEnd, RunMetrics, Sample, Totals};
use self::text_file::MetricsFile;
use crate::limits::METRICS_FILE_INTERVAL;
use crate::messages::io_cause;
use crate::pipeline::RunProgress;

/// Where metrics go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// The file that is replaced at an interval and at the end.
    pub file: Option<PathBuf>,
    /// The address of the port for Prometheus.
    pub listen: Option<SocketAddr>,
}

/// Why metrics cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The metrics file cannot be written.
    #[error("cannot write the metrics file {}: {}\n  hint: give a file in an existing, writable folder with --metrics-file", path.display(), io_cause(reason))]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: io::Error,
    },
    /// The program was built without what is asked for.
    #[error(
        "--metrics-listen is not available: this failsift was built without the feature telemetry\n  hint: build it with --features telemetry, or use --metrics-file"
    )]
    NotBuilt,
    /// The export over OTLP cannot be set up.
    #[error("cannot export telemetry over OTLP: {0}\n  hint: check the variables OTEL_EXPORTER_OTLP_*")]
    Otlp(String),
}

/// Exports the metrics of a run until it is finished. Dropping it ends the exports without a last one.
#[derive(Debug)]
pub struct Exporters {
    metrics: Arc<RunMetrics>,
    file: Option<Arc<MetricsFile>>,
    tasks: JoinSet<()>,
    #[cfg(feature = "telemetry")]
    otlp: Option<otlp::Otlp>,
}

impl Exporters {
    /// Starts to export the metrics of a run.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn start(options: ExportOptions, progress: Arc<RunProgress>, pipeline: &str) -> Result<Self, ExportError> {
        let last_success = options.file.as_deref().and_then(|file| text_file::last_success(file, pipeline));
        let metrics = Arc::new(RunMetrics::new(progress, pipeline, last_success));
        let mut tasks = JoinSet::new();
        let file = options.file.map(|path| Arc::new(MetricsFile::new(path)));
        if let Some(file) = &file {
            write(file, &metrics).await.map_err(|reason| ExportError::File { path: file.path.clone(), reason })?;
            tasks.spawn(write_at_interval(Arc::clone(file), Arc::clone(&metrics)));
        }
        if let Some(address) = options.listen {
            Self::listen(address, &metrics, &mut tasks).await?;
        }
        Ok(Self {
            #[cfg(feature = "telemetry")]
            otlp: otlp::Otlp::from_env(&metrics).map_err(ExportError::Otlp)?,
            metrics,
            file,
            tasks,
        })
    }

    /// Opens the port for Prometheus. A failure is a warning: another run on this machine may use the port.
    #[cfg(feature = "telemetry")]
    async fn listen(address: SocketAddr, metrics: &Arc<RunMetrics>, tasks: &mut JoinSet<()>) -> Result<(), ExportError> {
        if let Err(error) = scrape::listen(address, metrics, tasks).await {
            tracing::warn!("cannot serve metrics on {address}: {}; the run continues without", io_cause(&error));
        }
        Ok(())
    }

    #[cfg(not(feature = "telemetry"))]
    #[expect(clippy::unused_async, reason = "the same signature as with the feature")]
    async fn listen(_: SocketAddr, _: &Arc<RunMetrics>, _: &mut JoinSet<()>) -> Result<(), ExportError> {
        Err(ExportError::NotBuilt)
    }

    /// The metrics.
    pub fn metrics(&self) -> &RunMetrics {
        &self.metrics
    }

    /// Writes the metrics file now. A failure is a warning.
    pub async fn write_file(&self) {
        let Some(file) = &self.file else { return };
        if let Err(error) = write(file, &self.metrics).await {
            warn(file, &error);
        }
    }

    /// Exports the final values.
    pub async fn finish(mut self) {
        self.tasks.shutdown().await;
        self.write_file().await;
        #[cfg(feature = "telemetry")]
        if let Some(otlp) = self.otlp.take() {
            otlp.finish(&self.metrics).await;
        }
    }
}

async fn write_at_interval(file: Arc<MetricsFile>, metrics: Arc<RunMetrics>) {
    let mut was_written = true;
    loop {
        tokio::time::sleep(METRICS_FILE_INTERVAL).await;
        let written = write(&file, &metrics).await;
        if let Err(error) = &written
            && was_written
        {
            warn(&file, error);
        }
        was_written = written.is_ok();
    }
}

async fn write(file: &Arc<MetricsFile>, metrics: &Arc<RunMetrics>) -> io::Result<()> {
    let (file, metrics) = (Arc::clone(file), Arc::clone(metrics));
    tokio::task::spawn_blocking(move || file.replace(|| prometheus_text::text(&metrics))).await?
}

fn warn(file: &MetricsFile, error: &io::Error) {
    tracing::warn!("cannot write the metrics file {}: {}", file.path.display(), io_cause(error));
}
