//! The row of the table `fingerprints`: how often a run saw a failure, since when it is known, and what its traces have in common.

/// One row of `fingerprints`. Field names are column names; the writer adds `bucket`. Times are microseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each column is documented in schemas/fingerprint.schema.json, which a test compares")]
pub struct FingerprintRow {
    pub fingerprint: String,
    pub category: String,
    pub contributing_factor: String,
    pub title: String,
    pub example_trace_id: String,
    pub service: Option<String>,
    pub failed_span_name: Option<String>,
    pub error_type: Option<String>,
    pub traces: u64,
    pub users: Option<u64>,
    pub services: u64,
    pub healthy_traces: u64,
    pub differences: Vec<Difference>,
    pub run_id: String,
    pub run_started_at: i64,
    pub run_first_seen_at: i64,
    pub run_last_seen_at: i64,
    pub first_seen_at: i64,
    pub last_seen_at: i64,
    pub first_run_id: String,
    pub runs_seen: u64,
}

/// A value that (nearly) all failed traces have, and few healthy traces of the same service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What the value is of.
    pub dimension: Dimension,
    /// The value.
    pub value: String,
    /// Failed traces with it.
    pub traces: u64,
    /// Healthy traces with it.
    pub healthy_traces: u64,
    /// Healthy traces for which the dimension is known.
    pub healthy_traces_compared: u64,
    /// The difference in words.
    pub sentence: String,
}

/// A property by which failed and healthy traces are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dimension {
    /// Version of the service.
    ServiceVersion,
    /// Revision of the source code.
    VcsRevision,
    /// Version of the prompt.
    PromptVersion,
    /// A model that was called.
    Model,
    /// A tool that was called.
    Tool,
    /// Region or zone.
    Region,
    /// Environment.
    Environment,
    /// Instance of the service.
    Instance,
}

impl Dimension {
    /// How many there are.
    pub const COUNT: usize = 8;

    /// All of them; of equally strong differences, that of the first is told first.
    pub const ALL: [Self; Self::COUNT] = [
        Self::ServiceVersion,
        Self::VcsRevision,
        Self::PromptVersion,
        Self::Model,
        Self::Tool,
        Self::Region,
        Self::Environment,
        Self::Instance,
    ];

    /// The word stored in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceVersion => "service_version",
            Self::VcsRevision => "vcs_revision",
            Self::PromptVersion => "prompt_version",
            Self::Model => "model",
            Self::Tool => "tool",
            Self::Region => "region",
            Self::Environment => "environment",
            Self::Instance => "instance",
        }
    }
}

#[cfg(test)]
impl FingerprintRow {
    /// A row for tests.
    pub(crate) fn sample() -> Self {
        Self {
            fingerprint: "0123456789abcdef".into(),
            category: "rate_limit".into(),
            contributing_factor: "provider_quota".into(),
            title: "title".into(),
            example_trace_id: "t1".into(),
            service: Some("shop".into()),
            failed_span_name: None,
            error_type: None,
            traces: 1,
            users: None,
            services: 1,
            healthy_traces: 0,
            differences: Vec::new(),
            run_id: "run".into(),
            run_started_at: 0,
            run_first_seen_at: 0,
            run_last_seen_at: 0,
            first_seen_at: 0,
            last_seen_at: 0,
            first_run_id: "run".into(),
            runs_seen: 1,
        }
    }
}
