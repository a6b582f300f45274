//! Checks drafts for leaks: redacts an analyzer's draft, and rejects it if it still contains a value of its trace or a value that the
//! detectors find.

use std::fmt;
use std::sync::Arc;

use super::detect::{self, DetectedKind, KnownValues};
use super::ids;
use super::redactor::Redactor;
use crate::limits::{EXCERPT_CHARS_MAX, MODEL_NAME_CHARS_MAX};
use crate::model::{Draft, Outcome, Rejection, RejectionKind, Stage, excerpt_around};
use crate::runtime::{ConcurrencyPermit, Permitted};

/// The values that were redacted in one trace. `Debug` does not show them.
#[derive(Clone, Default)]
pub(super) struct SensitiveValues(pub(super) Option<Arc<KnownValues>>);

impl fmt::Debug for SensitiveValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SensitiveValues(<secret>)")
    }
}

/// An analyzer's draft that is not yet redacted and may still contain values of its trace.
#[derive(Debug)]
pub struct UncheckedDraft {
    pub(super) draft: Draft,
    pub(super) permit: ConcurrencyPermit,
    pub(super) values: SensitiveValues,
}

impl Redactor {
    /// Redacts a draft and rejects it if a sensitive value remains in any column of its row.
    pub(super) fn check_draft(&self, unchecked: UncheckedDraft) -> Outcome<Permitted<Draft>> {
        let UncheckedDraft { mut draft, permit, values } = unchecked;
        self.redact_draft(&mut draft);
        match self.remaining_value(&mut draft, &values) {
            None => Ok(Permitted { item: draft, permit }),
            Some(DetectedKind { kind, detector }) => Err(Rejection::for_trace(
                &draft.trace_id,
                &draft.source.uri,
                Stage::Redact,
                RejectionKind::SensitiveText,
                format!(
                    "the pattern contains a value of kind {kind} ({detector}), so it is not stored; this is a bug in failsift, please report it"
                ),
            )
            .of_objects(draft.profile.source_uris.as_deref().unwrap_or_default())),
        }
    }

    fn redact_draft(&self, draft: &mut Draft) {
        if !self.keeps_excerpts() {
            draft.evidence.retain(|evidence| evidence.signal.is_some());
            draft.evidence.iter_mut().for_each(|evidence| evidence.excerpt = None);
        }
        draft.texts_mut(&mut |text| {
            self.redact(text);
        });
        // A token may be longer than the value that it replaces, so redacted texts may exceed their limits.
        for excerpt in draft.evidence.iter_mut().filter_map(|evidence| evidence.excerpt.as_mut()) {
            if excerpt.chars().count() > EXCERPT_CHARS_MAX {
                *excerpt = excerpt_around(excerpt, 0..0).to_owned();
            }
        }
        if draft.model.chars().count() > MODEL_NAME_CHARS_MAX {
            draft.model = draft.model.chars().take(MODEL_NAME_CHARS_MAX).collect();
        }
    }

    /// A sensitive value that remains in the draft, if any.
    fn remaining_value(&self, draft: &mut Draft, values: &SensitiveValues) -> Option<DetectedKind> {
        let kind_in = |text: &str| {
            let of_trace = values.0.as_ref().and_then(|values| values.first_kind_in(text, self.custom()));
            let of_trace = of_trace.map(|kind| DetectedKind { kind, detector: "value detected elsewhere" });
            of_trace.or_else(|| detect::remaining_in(text, self.custom()).first().copied())
        };
        // The row also has texts that were copied from the trace rather than written by the analyzer.
        let ids = draft.evidence.iter().filter_map(|evidence| evidence.span_id.as_ref()).chain([&draft.trace_id]);
        let ids = ids.filter(|id| !ids::is_opaque(id));
        let mut kind = ids.chain(draft.service.iter()).chain(draft.environment.iter()).find_map(|text| kind_in(text));
        draft.texts_mut(&mut |text| kind = kind.or_else(|| kind_in(text)));
        kind
    }
}
