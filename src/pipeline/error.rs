//! Why a run fails, as opposed to why a record or a trace is rejected.

use crate::analyze::embedded::RuleError;
use crate::analyze::llm::ConnectError;
use crate::redact::{CustomDetectorsError, KeyError, UnknownKind};
use crate::store::{self, StoreError};
use crate::validate::SchemaError;
use crate::write::{ActiveRun, WriteError};

/// Why a run failed. Nothing of the failed run is visible in the tables.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An input or the output is not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The input format does not exist.
    #[error("{0}")]
    Format(String),
    /// There is no redaction key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A rule is invalid.
    #[error("{0}\n  hint: docs/rules.md describes rules; `failsift schema pattern` lists the labels")]
    Rules(#[from] RuleError),
    /// A rule file cannot be read.
    #[error("cannot read the rule file {file}: {reason}\n  hint: check the path given with --rules")]
    RulesUnreadable {
        /// The path of the file.
        file: String,
        /// The system error.
        reason: std::io::Error,
    },
    /// The embedded pattern schema is invalid.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The spill folder cannot be created.
    #[error("cannot create a temporary folder in {folder}: {reason}\n  hint: set TMPDIR to a writable folder")]
    Spill {
        /// The parent folder.
        folder: String,
        /// The system error.
        reason: std::io::Error,
    },
    /// The input could not be listed to its end, or gathering failed.
    #[error("{0}")]
    Gather(String),
    /// The inputs have no object that may contain traces.
    #[error("cannot read {location}: {reason}\n  hint: {hint}")]
    NoTraceFiles {
        /// The inputs, without credentials.
        location: String,
        /// What is missing.
        reason: String,
        /// What to check.
        hint: String,
    },
    /// An input is the output location.
    #[error("cannot read {0}: it is the output location or one of its tables\n  hint: --input and --output must name different locations")]
    InputIsOutput(String),
    /// Records were read that have no outcome.
    #[error("{} no outcome; nothing was written\n  hint: this is a bug in failsift, please report it", records_have(*.0))]
    RecordsLost(u64),
    /// Another run of the pipeline is active.
    #[error("cannot run: {0}\n  hint: wait until it ends, or pass --if-running wait")]
    Running(ActiveRun),
    /// A signal came while the run waited for another one.
    #[error("stopped while waiting for another run; nothing was read")]
    StoppedWaiting,
    /// The tables cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A custom detectors file is invalid.
    #[error(transparent)]
    Detectors(#[from] CustomDetectorsError),
    /// A kind that does not exist is switched on or off.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    /// The model client cannot be set up.
    #[error(transparent)]
    Model(#[from] ConnectError),
    /// The model provider refuses all requests of this run.
    #[error("{0}")]
    Refused(String),
}

fn records_have(count: u64) -> String {
    if count == 1 { "1 record was read and has".to_owned() } else { format!("{count} records were read and have") }
}

impl RunError {
    /// An input without traces, with the flag that accepts it unless the path is probably misspelled.
    pub(super) fn no_trace_files(location: String, reason: String, hint: &str) -> Self {
        let hint = match location.as_str() {
            store::STDIN => "check the program that writes to the pipe, or pass --allow-empty if the input may be empty".to_owned(),
            _ if hint.starts_with("did you mean") => hint.to_owned(),
            _ => format!("{hint}, or pass --allow-empty if the input may be empty"),
        };
        Self::NoTraceFiles { location, reason, hint }
    }

    /// Whether the user has to change the command or the configuration, as opposed to the environment.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Format(_)
                | Self::Rules(_)
                | Self::RulesUnreadable { .. }
                | Self::Detectors(_)
                | Self::Kind(_)
                | Self::Model(_)
                | Self::InputIsOutput(_)
                | Self::Store(StoreError::Location { .. })
                | Self::Key(KeyError::TooShort(_))
        )
    }
}
