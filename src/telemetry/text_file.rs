//! The metrics file, for the textfile collector of `node_exporter`.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::metrics::LAST_SUCCESS;
use crate::text_file;

/// The metrics file.
#[derive(Debug)]
pub(super) struct MetricsFile {
    pub(super) path: PathBuf,
    /// Held from taking the values to replacing the file, so that older values never replace newer ones.
    replacing: Mutex<()>,
}

impl MetricsFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, replacing: Mutex::default() }
    }

    /// Replaces the file by a text.
    pub(super) fn replace(&self, text: impl FnOnce() -> String) -> io::Result<()> {
        let _held = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        replace(&self.path, &text())
    }
}

/// Replaces the file, so that a reader sees the old or the new content, never a part of it. Everybody may read it: the exporter usually runs as
/// another user, and metrics contain nothing of a trace.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The collector reads files whose name ends with .prom.
    let mut file = tempfile::Builder::new().prefix(".failsift-metrics-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// When a run of the pipeline last succeeded according to the file of an earlier run, in seconds since 1970.
pub(super) fn last_success(path: &Path, pipeline: &str) -> Option<f64> {
    let text = text_file::read(path).ok()?;
    let label = format!("pipeline=\"{}\"", pipeline.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n"));
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(LAST_SUCCESS)?.strip_prefix('{')?.rsplit_once("} "));
    let (_, value) = lines.find(|(labels, _)| *labels == label)?;
    value.parse().ok().filter(|seconds: &f64| seconds.is_finite())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::prometheus_text::text;
    use super::super::run_metrics::RunMetrics;
    use super::*;

    #[test]
    fn the_last_success_is_read_from_the_file_that_an_earlier_run_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("failsift.prom");
        for pipeline in ["nightly", "with \"quotes\" and \\"] {
            assert_eq!(last_success(&path, pipeline), None);
            let metrics = RunMetrics::new(Arc::default(), pipeline, Some(1_764_000_000.25));
            replace(&path, &text(&metrics)).unwrap();
            assert_eq!(last_success(&path, pipeline), Some(1_764_000_000.25));
            assert_eq!(last_success(&path, "other"), None);
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode, std::fs::read_dir(folder.path()).unwrap().count()), (0o644, 1));
    }

    #[test]
    fn a_file_of_something_else_has_no_last_success() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("failsift.prom");
        std::fs::write(&path, format!("{LAST_SUCCESS}{{pipeline=\"p\"}} soon\n")).unwrap();
        assert_eq!(last_success(&path, "p"), None);
    }
}
