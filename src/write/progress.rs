//! The progress of the writer: for the message of a run that is stopped immediately, and for its metrics.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The phase of the writer, shared with the signal handler.
#[derive(Debug, Default)]
pub struct WriteProgress {
    state: Mutex<State>,
    /// Outcomes that wait to be staged.
    unstaged: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// Patterns of this run that are committed.
    patterns: u64,
    /// Whether interrupted runs were found. Completing their commits changes the tables.
    found_interrupted_runs: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Outcomes are staged; no commit is in progress.
    #[default]
    Staging,
    /// The commits of interrupted runs are being completed.
    Recovering,
    Committing,
    /// The last commit of the run is complete.
    Committed,
}

impl WriteProgress {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The commits of interrupted runs are being completed.
    pub(super) fn recovery_started(&self) {
        self.change(|state| (state.phase, state.found_interrupted_runs) = (Phase::Recovering, true));
    }

    pub(super) fn recovery_finished(&self) {
        self.change(|state| state.phase = Phase::Staging);
    }

    pub(super) fn commit_started(&self) {
        self.change(|state| state.phase = Phase::Committing);
    }

    /// A commit is complete. `patterns` is how many patterns of the run are committed now.
    pub(super) fn commit_finished(&self, patterns: u64, is_last: bool) {
        self.change(|state| {
            state.phase = if is_last { Phase::Committed } else { Phase::Staging };
            state.patterns = patterns;
        });
    }

    /// The number of outcomes that wait to be staged.
    pub(super) fn set_unstaged(&self, outcomes: usize) {
        self.unstaged.store(outcomes, Ordering::Relaxed);
    }

    /// The number of outcomes that wait to be staged.
    pub fn unstaged(&self) -> usize {
        self.unstaged.load(Ordering::Relaxed)
    }

    /// Patterns of this run that are committed, so that readers of the tables see them.
    pub fn patterns_committed(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).patterns
    }

    /// What the tables contain if the run is stopped at this moment.
    pub(crate) fn if_stopped_now(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = match state.patterns {
            0 => None,
            1 => Some("1 pattern was committed".to_owned()),
            patterns => Some(format!("{patterns} patterns were committed")),
        };
        match state.phase {
            Phase::Committed => "stopped after the last commit: the tables are complete".to_owned(),
            Phase::Committing => {
                let before = committed.map(|committed| format!("; {committed} before")).unwrap_or_default();
                format!("stopped during a commit: the next run over this output completes it{before}")
            }
            Phase::Recovering => {
                "stopped while the commit of an interrupted run was being completed: the next run over this output completes it".to_owned()
            }
            Phase::Staging => {
                let tables = match (committed, state.found_interrupted_runs) {
                    (None, false) => "the tables are unchanged".to_owned(),
                    (None, true) => "nothing of this run is in the tables".to_owned(),
                    (Some(committed), _) => format!("{committed}, and the row of the run was not"),
                };
                format!(
                    "stopped before the work in flight was finished; {tables}\n  hint: the next run over the same input reuses what is finished"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_stopped_run_is_true_in_each_phase() {
        let progress = WriteProgress::default();
        assert!(progress.if_stopped_now().contains("the tables are unchanged"));
        progress.recovery_started();
        assert!(progress.if_stopped_now().contains("commit of an interrupted run"));
        progress.recovery_finished();
        assert!(progress.if_stopped_now().contains("nothing of this run is in the tables"));
        progress.commit_started();
        assert!(progress.if_stopped_now().ends_with("the next run over this output completes it"));
        progress.commit_finished(1, false);
        assert!(progress.if_stopped_now().contains("1 pattern was committed, and the row of the run was not"));
        progress.commit_finished(7, false);
        assert!(progress.if_stopped_now().contains("7 patterns were committed, and the row of the run was not"));
        progress.commit_started();
        assert!(progress.if_stopped_now().ends_with("completes it; 7 patterns were committed before"));
        progress.commit_finished(9, true);
        assert!(progress.if_stopped_now().contains("the tables are complete"));
    }
}
