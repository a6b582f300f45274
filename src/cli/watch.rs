//! What makes a run visible to others: metrics while it is in progress, and a notification at its end.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::signal::unix::{SignalKind, signal};

use super::exit::{Exit, Failure};
use crate::config::RunConfig;
use crate::model::{ExitReason, RunStatus};
use crate::notify::{self, Delivery, NewFingerprints, RunCounts};
use crate::pipeline::{RunProgress, RunReport};
use crate::telemetry::{ExportError, ExportOptions, Exporters, RunEnd, Totals};

/// A run that is being watched.
pub(super) struct Watch {
    exporters: Exporters,
    is_exporting: bool,
    started: Instant,
}

impl Watch {
    /// Starts to export metrics.
    pub(super) async fn start(config: &RunConfig, progress: &Arc<RunProgress>) -> Result<Self, Failure> {
        let options = ExportOptions { file: config.metrics_file.clone(), listen: config.metrics_listen };
        let is_exporting = options.file.is_some() || options.listen.is_some();
        let exporters = Exporters::start(options, Arc::clone(progress), &config.analysis.pipeline).await?;
        Ok(Self { exporters, is_exporting, started: Instant::now() })
    }

    /// Writes the final metrics and sends notifications. `report`: of a run that did not fail.
    pub(super) async fn finish(self, config: &RunConfig, exit: Exit, report: Option<&RunReport>, may_notify: bool) {
        let metrics = self.exporters.metrics();
        let totals = report.map(|report| Totals::from(&report.summary));
        metrics.set_end(RunEnd { exit_code: exit.code(), at: SystemTime::now(), totals });
        // Now, because a notification may take its time.
        self.exporters.write_file().await;
        let may_notify = may_notify && !config.notify.targets.is_empty();
        let new = match report {
            Some(report) if may_notify || self.is_exporting => new_fingerprints(config, report).await,
            _ => None,
        };
        if let Some(new) = &new {
            metrics.set_new_fingerprints(new.count);
        }
        if may_notify {
            let report = self.notification(config, exit, report, new);
            if config.notify.applies_to(&report) {
                let delivery = until_signal(notify::send(&config.notify, &report)).await;
                metrics.set_notifications(delivery.sent, delivery.failed);
            }
        }
        self.exporters.finish().await;
    }

    fn notification(&self, config: &RunConfig, exit: Exit, report: Option<&RunReport>, new: Option<NewFingerprints>) -> notify::RunReport {
        let status = match (report, exit) {
            (Some(report), _) => report.summary.status.as_str(),
            (None, Exit::Interrupted | Exit::Terminated) => RunStatus::Interrupted.as_str(),
            (None, _) => "failed",
        };
        notify::RunReport {
            run_id: self.exporters.metrics().progress().run_id().to_owned(),
            pipeline: config.analysis.pipeline.clone(),
            exit_code: exit.code(),
            status,
            exit_reason: report.and_then(|report| report.summary.exit_reason).map(ExitReason::as_str),
            duration_seconds: self.started.elapsed().as_secs_f64(),
            counts: report.map(|report| RunCounts::of(&report.summary, report.summary.failed_traces)),
            new_fingerprints: new,
        }
    }
}

async fn new_fingerprints(config: &RunConfig, report: &RunReport) -> Option<NewFingerprints> {
    let found = notify::new_fingerprints(&config.output, &report.summary.run_id).await;
    found.map_err(|error| tracing::warn!(%error, "cannot read which failures are new")).ok()
}

/// Waits for the notifications until a signal arrives: the user wants the process to end.
async fn until_signal(sending: impl Future<Output = Delivery>) -> Delivery {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return sending.await;
    };
    tokio::select! {
        delivery = sending => return delivery,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::warn!("notifications were not sent, because of a signal");
    Delivery::default()
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        Self::usage(error.to_string())
    }
}
