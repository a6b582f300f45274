//! The validate stage. In: drafts. Out: those that conform to `schemas/pattern.schema.json`, as patterns. The others are rejected.
//!
//! Only this module makes a [`Pattern`], so nothing else can be stored. It knows nothing of tables.

use std::sync::Arc;

use jsonschema::Validator;

use crate::model::{Draft, Outcome, OutcomeStream, PATTERN_SCHEMA_VERSION, PatternRow, Rejection, RejectionKind, Stage};
use crate::runtime::{ConcurrencyPermit, Permitted, pool};

/// A row that conforms to the schema. Only this module makes one.
#[derive(Debug)]
pub struct Pattern {
    row: PatternRow,
    permit: ConcurrencyPermit,
}

impl Pattern {
    /// The row.
    pub fn row(&self) -> &PatternRow {
        &self.row
    }

    /// The row.
    pub fn into_row(self) -> PatternRow {
        self.row
    }

    /// The row, and the permit of its analysis, which must be held until the row is durable.
    pub fn into_parts(self) -> (PatternRow, ConcurrencyPermit) {
        (self.row, self.permit)
    }
}

/// The pattern schema, compiled once.
#[derive(Debug, Clone)]
pub struct PatternSchema {
    validator: Arc<Validator>,
    run_id: String,
}

/// The embedded schema is invalid, which a test rules out.
#[derive(Debug, thiserror::Error)]
#[error("cannot compile schemas/pattern.schema.json: {0}")]
pub struct SchemaError(String);

impl PatternSchema {
    /// Compiles the schema. `run_id` is written to every row.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub fn new(run_id: &str) -> Result<Self, SchemaError> {
        let validator = jsonschema::draft202012::new(crate::schemas::pattern()).map_err(|error| SchemaError(error.to_string()))?;
        Ok(Self { validator: Arc::new(validator), run_id: run_id.to_owned() })
    }

    fn pattern(&self, Permitted { item: draft, permit }: Permitted<Draft>) -> Outcome<Pattern> {
        let row = PatternRow {
            category: draft.label.category().to_owned(),
            contributing_factor: draft.label.factor().to_owned(),
            trace_started_at: draft.trace_started_at_ns.map(|nanoseconds| nanoseconds.div_euclid(1_000)),
            source_uri: draft.source.uri,
            run_id: self.run_id.clone(),
            extracted_at: chrono::Utc::now().timestamp_micros(),
            schema_version: PATTERN_SCHEMA_VERSION.to_owned(),
            trace_id: draft.trace_id,
            title: draft.title,
            summary: draft.summary,
            root_cause_hypothesis: draft.root_cause_hypothesis,
            evidence: draft.evidence,
            actions: draft.actions,
            confidence: draft.confidence,
            confidence_rationale: draft.confidence_rationale,
            fingerprint: draft.fingerprint,
            service: draft.service,
            environment: draft.environment,
            analyzer: draft.analyzer,
            model: draft.model,
            content_digest: draft.content_digest,
            spans_seen: draft.spans_seen,
            spans_total: draft.spans_total,
            input_tokens: draft.input_tokens,
            output_tokens: draft.output_tokens,
            cost_usd: draft.cost_usd,
            settings_digest: draft.settings_digest,
            facts: draft.facts,
            step: draft.step,
            incidents: draft.incidents,
            span_tree: draft.span_tree,
            profile: draft.profile,
            usage: draft.usage,
        };
        let reject = |reason: String| {
            let kind = RejectionKind::SchemaViolation;
            let rejection = Rejection::for_trace(&row.trace_id, &row.source_uri, Stage::Validate, kind, reason);
            rejection.of_objects(row.profile.source_uris.as_deref().unwrap_or_default())
        };
        let value = serde_json::to_value(&row).map_err(|error| reject(format!("cannot serialize the pattern as JSON: {error}")))?;
        if let Some(error) = self.validator.iter_errors(&value).next() {
            // Only the field and the path in the schema: the value may be text that an analyzer made up.
            let field = error.instance_path().to_string();
            let schema_path = error.schema_path().to_string();
            return Err(reject(format!(
                "the pattern violates its schema at {} (schema path {schema_path})",
                if field.is_empty() { "/" } else { &field }
            )));
        }
        Ok(Pattern { row, permit })
    }
}

/// The stage before write.
pub fn patterns(drafts: OutcomeStream<Permitted<Draft>>, schema: PatternSchema) -> OutcomeStream<Pattern> {
    pool::map_outcomes(drafts, move |draft| schema.pattern(draft))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft::sample("summary")
    }

    #[test]
    fn a_conforming_draft_becomes_a_pattern() {
        let row = PatternSchema::new("run").unwrap().pattern(draft().into()).unwrap().into_row();
        assert_eq!((row.category.as_str(), row.trace_started_at), ("unclassified", Some(1_795_424_023_443_017)));
    }

    type Mutation = (&'static str, fn(&mut Draft));

    #[test]
    fn a_rejection_names_the_field_but_not_the_value() {
        let schema = PatternSchema::new("run").unwrap();
        let mutations: [Mutation; 5] = [
            ("/actions", |draft| draft.actions.clear()),
            ("/confidence", |draft| draft.confidence = 1.5),
            ("/title", |draft| draft.title = "secret ".repeat(100)),
            ("/evidence", |draft| draft.evidence.clear()),
            ("/analyzer", |draft| draft.analyzer = "secret".into()),
        ];
        for (field, mutate) in mutations {
            let mut draft = draft();
            mutate(&mut draft);
            let rejection = schema.pattern(draft.into()).unwrap_err();
            assert!(rejection.reason.contains(field) && !rejection.reason.contains("secret"), "{}", rejection.reason);
            assert_eq!((rejection.stage, rejection.trace_ref.as_str()), (Stage::Validate, "t1"));
        }
    }
}
