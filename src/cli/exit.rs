//! Exit codes, documented in docs/cli.md, and the mapping of errors to exit codes.

use std::process::ExitCode;

use crate::config::ConfigErrors;
use crate::pipeline::RunError;
use crate::query::QueryError;
use crate::redact::{CustomDetectorsError, KeyError, UnknownKind};
use crate::runs::RunsError;
use crate::store::StoreError;

/// The exit code of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Complete; rejected traces are reported and are not an error.
    Complete,
    /// The run failed; no part of it is visible.
    Failed,
    /// Wrong usage or configuration.
    Usage,
    /// Complete, but nothing was stored or a threshold was exceeded: `--max-error-rate`, thresholds of `eval`, a finding of `audit`, a
    /// missed canary.
    OverThreshold,
    /// Stopped at the limit of cost or time.
    StoppedByLimit,
    /// Interrupted by Ctrl-C.
    Interrupted,
    /// Interrupted by SIGTERM.
    Terminated,
}

impl Exit {
    /// The exit code of the process.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Complete => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::OverThreshold => 3,
            Self::StoppedByLimit => 4,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The error of a command: exit code and message.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, message: message.into() }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        let messages: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        Self::usage(messages.join("\nerror: "))
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self { exit: if error.is_usage() { Exit::Usage } else { Exit::Failed }, message: error.to_string() }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let exit = match &error {
            QueryError::NoTables(_) | QueryError::Store(StoreError::Location { .. }) | QueryError::Sql(_) => Exit::Usage,
            QueryError::Store(StoreError::Unreadable { .. } | StoreError::Unwritable { .. } | StoreError::Empty { .. })
            | QueryError::Table { .. }
            | QueryError::Exceeded(_) => Exit::Failed,
        };
        Self { exit, message: error.to_string() }
    }
}

impl From<RunsError> for Failure {
    fn from(error: RunsError) -> Self {
        match error {
            RunsError::Query(error) => error.into(),
            RunsError::Unreadable(_) => Self::failed(error.to_string()),
            RunsError::NotFound { .. } | RunsError::Ambiguous { .. } | RunsError::NothingToCompare { .. } => Self::usage(error.to_string()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        QueryError::Store(error).into()
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        RunError::Key(error).into()
    }
}

impl From<CustomDetectorsError> for Failure {
    fn from(error: CustomDetectorsError) -> Self {
        RunError::Detectors(error).into()
    }
}

impl From<UnknownKind> for Failure {
    fn from(error: UnknownKind) -> Self {
        RunError::Kind(error).into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // `failsift query … | head` closes the pipe early, which is not an error.
            std::io::ErrorKind::BrokenPipe => Self { exit: Exit::Complete, message: String::new() },
            _ => Self::failed(format!("cannot write the result: {error}")),
        }
    }
}
