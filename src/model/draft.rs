//! An analyzer's result for one trace, before validation.

use serde::Serialize;

use super::{Fact, FailedStep, IncidentSummary, Label, Source, TraceProfile, TraceUsage, TreeSpan, truncate_with_digest};
use crate::limits::NAME_BYTES_MAX;

/// An analyzer's verdict on a trace, with the properties of the trace that the pattern row needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Id of the analyzed trace.
    pub trace_id: String,
    /// One line, for lists.
    pub title: String,
    /// Category and contributing factor.
    pub label: Label,
    /// What happened.
    pub summary: String,
    /// The cause, as far as the trace shows it.
    pub root_cause_hypothesis: String,
    /// Signals and excerpts that support the verdict.
    pub evidence: Vec<Evidence>,
    /// Recommended actions, most useful first; at least one.
    pub actions: Vec<String>,
    /// 0 to 1.
    pub confidence: f64,
    /// What raised or lowered the confidence.
    pub confidence_rationale: String,
    /// Stable hash of what failed, without values.
    pub fingerprint: String,
    /// `embedded`, `gemini` or `openai`.
    pub analyzer: String,
    /// The model that answered; for the embedded analyzer, the version of its rules.
    pub model: String,
    /// Spans that the analyzer read.
    pub spans_seen: u64,
    /// Spans of the trace.
    pub spans_total: u64,
    /// Model tokens of the prompt.
    pub input_tokens: u64,
    /// Model tokens of the answer.
    pub output_tokens: u64,
    /// Cost in US dollars.
    pub cost_usd: f64,
    /// Service of the trace.
    pub service: Option<String>,
    /// Environment of the trace.
    pub environment: Option<String>,
    /// Start of the trace in nanoseconds since 1970.
    pub trace_started_at_ns: Option<i64>,
    /// The object that the trace was read from.
    pub source: Source,
    /// SHA-256 of the redacted trace, hex.
    pub content_digest: String,
    /// Facts of the trace on which the texts are based.
    pub facts: Vec<Fact>,
    /// The step that failed.
    pub step: FailedStep,
    /// The run as a whole.
    pub profile: TraceProfile,
    /// Everything that went wrong, in the order of time.
    pub incidents: Vec<IncidentSummary>,
    /// The spans around the failed one.
    pub span_tree: Vec<TreeSpan>,
    /// The models and tools of the trace. Not stored.
    pub usage: TraceUsage,
    /// For results worth reusing: a digest, in hex, of everything except the trace that the result depends on.
    pub settings_digest: Option<String>,
}

impl Draft {
    /// Shortens names of spans, tools and models, which may have any length in a trace.
    pub fn bound_names(&mut self) {
        let mut bound = |name: &mut String| {
            if name.len() > NAME_BYTES_MAX {
                *name = truncate_with_digest(std::mem::take(name), NAME_BYTES_MAX);
            }
        };
        self.step.texts_mut(&mut bound);
        self.profile.texts_mut(&mut bound);
        self.incidents.iter_mut().for_each(|incident| bound(&mut incident.span_name));
        self.span_tree.iter_mut().for_each(|span| bound(&mut span.name));
        self.facts.iter_mut().filter_map(|fact| fact.field.as_mut()).for_each(bound);
    }

    /// Calls `visit` with every text written by an analyzer or a model's server, for redaction. Labels and digests are validated elsewhere.
    pub fn texts_mut(&mut self, visit: &mut dyn FnMut(&mut String)) {
        visit(&mut self.model);
        visit(&mut self.title);
        visit(&mut self.summary);
        visit(&mut self.root_cause_hypothesis);
        visit(&mut self.confidence_rationale);
        self.actions.iter_mut().for_each(&mut *visit);
        for evidence in &mut self.evidence {
            evidence.field.iter_mut().for_each(&mut *visit);
            evidence.signal.iter_mut().for_each(&mut *visit);
            evidence.excerpt.iter_mut().for_each(&mut *visit);
        }
        for fact in &mut self.facts {
            visit(&mut fact.value);
            fact.field.iter_mut().for_each(&mut *visit);
        }
        self.step.texts_mut(visit);
        self.profile.texts_mut(visit);
        self.incidents.iter_mut().for_each(|incident| visit(&mut incident.span_name));
        self.span_tree.iter_mut().for_each(|span| visit(&mut span.name));
    }
}

#[cfg(test)]
impl Draft {
    /// A draft that conforms to the schema, for tests of the stages after analysis.
    pub(crate) fn sample(summary: &str) -> Self {
        let evidence = |kind, signal: Option<&str>, excerpt: Option<&str>| Evidence {
            kind,
            span_id: Some("s1".into()),
            field: Some("status_message".into()),
            signal: signal.map(Into::into),
            excerpt: excerpt.map(Into::into),
            verified: true,
        };
        Self {
            trace_id: "t1".into(),
            title: "title".into(),
            label: Label::NO_FAILURE_FOUND,
            summary: summary.into(),
            root_cause_hypothesis: "hypothesis".into(),
            evidence: vec![evidence(EvidenceKind::Signal, Some("a=1"), None), evidence(EvidenceKind::Excerpt, None, Some("it failed"))],
            actions: vec!["act".into()],
            confidence: 0.5,
            confidence_rationale: "because".into(),
            fingerprint: "0123456789abcdef".into(),
            analyzer: "embedded".into(),
            model: "rules-1".into(),
            spans_seen: 1,
            spans_total: 1,
            input_tokens: 0,
            output_tokens: 0,
            cost_usd: 0.0,
            service: None,
            environment: None,
            trace_started_at_ns: Some(1_795_424_023_443_017_575),
            source: Source { uri: "t.jsonl".into() },
            content_digest: "0".repeat(64),
            settings_digest: None,
            facts: Vec::new(),
            step: FailedStep::default(),
            profile: TraceProfile::default(),
            incidents: Vec::new(),
            span_tree: Vec::new(),
            usage: TraceUsage::default(),
        }
    }
}

/// A fact that supports a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// Signal or excerpt.
    pub kind: EvidenceKind,
    /// The span that contains it; `None` for a fact about the whole trace.
    pub span_id: Option<String>,
    /// The field that contains it, such as `status_message` or `exceptions[0].message`.
    pub field: Option<String>,
    /// For a signal: its text, such as `http_status=429`.
    pub signal: Option<String>,
    /// For an excerpt: redacted text of at most [`crate::limits::EXCERPT_CHARS_MAX`] characters.
    pub excerpt: Option<String>,
    /// Whether the fact was found in the named span and field.
    pub verified: bool,
}

/// Kind of evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EvidenceKind {
    /// A fact found by a rule.
    Signal,
    /// A short quotation from the redacted trace.
    Excerpt,
}

impl EvidenceKind {
    /// The word stored in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Excerpt => "excerpt",
        }
    }
}
