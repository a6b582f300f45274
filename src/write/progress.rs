//! How far the writer of a run is, for what is said of a run that is stopped at once.

use std::sync::{Mutex, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub struct WriteProgress(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// Patterns of this run that are in the table.
    patterns: u64,
    /// Whether dead runs were found, whose commits may have been ended.
    met_dead_runs: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of a commit is under way.
    #[default]
    Collecting,
    /// The commits of dead runs are being ended.
    Recovering,
    Committing,
    /// The last commit is through.
    Committed,
}

impl WriteProgress {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What dead runs began is being ended.
    pub(super) fn recovering(&self) {
        self.change(|state| (state.phase, state.met_dead_runs) = (Phase::Recovering, true));
    }

    pub(super) fn recovered(&self) {
        self.change(|state| state.phase = Phase::Collecting);
    }

    /// A commit has begun.
    pub(super) fn begun(&self) {
        self.change(|state| state.phase = Phase::Committing);
    }

    /// A commit is through, after which so many patterns of the run are in the table.
    pub(super) fn ended(&self, patterns: u64, last: bool) {
        self.change(|state| {
            state.phase = if last { Phase::Committed } else { Phase::Collecting };
            state.patterns = patterns;
        });
    }

    /// What is in the tables if the run is stopped at this moment.
    pub(crate) fn if_stopped_now(&self) -> String {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let committed = match state.patterns {
            0 => String::new(),
            patterns => format!("; {patterns} patterns were committed before"),
        };
        match state.phase {
            Phase::Committed => "stopped after the last commit: the tables are complete".to_owned(),
            Phase::Committing => format!("stopped during a commit: the next run over this output completes it{committed}"),
            Phase::Recovering => {
                "stopped while the commit of an earlier run was being ended: the next run over this output completes it".to_owned()
            }
            Phase::Collecting => {
                let tables = match (state.patterns, state.met_dead_runs) {
                    (0, false) => "the tables are unchanged".to_owned(),
                    (0, true) => "nothing of this run is in the tables".to_owned(),
                    (patterns, _) => format!("{patterns} patterns were committed, and the row of the run was not"),
                };
                format!(
                    "stopped before the work in flight was finished; {tables}\n  hint: the next run over the same input takes up what is finished"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_stopped_run_is_true_in_each_phase() {
        let progress = WriteProgress::default();
        assert!(progress.if_stopped_now().contains("the tables are unchanged"));
        progress.recovering();
        assert!(progress.if_stopped_now().contains("commit of an earlier run"));
        progress.recovered();
        assert!(progress.if_stopped_now().contains("nothing of this run is in the tables"));
        progress.begun();
        assert!(progress.if_stopped_now().ends_with("the next run over this output completes it"));
        progress.ended(7, false);
        assert!(progress.if_stopped_now().contains("7 patterns were committed, and the row of the run was not"));
        progress.begun();
        assert!(progress.if_stopped_now().ends_with("completes it; 7 patterns were committed before"));
        progress.ended(9, true);
        assert!(progress.if_stopped_now().contains("the tables are complete"));
    }
}
