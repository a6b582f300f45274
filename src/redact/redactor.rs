//! The redactor: detects sensitive values and replaces them by keyed tokens, in single texts, traces, ids and locations.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::canaries::{self, CanaryCounts};
use super::detect::{self, CustomDetectors, Detection, KnownValues, ScanCache, Scanner, TextDigest};
use super::distinct_texts::DistinctTexts;
use super::key::RedactionKey;
use super::leak_check::SensitiveValues;
use super::redacted_trace::RedactedTrace;
use super::{attributes, ids};
use crate::model::{ContextField, RunContext, TextKind, Trace};
use crate::runtime::{Deadline, TimedOut};

/// Replaces sensitive values by keyed tokens.
#[derive(Debug)]
pub struct Redactor {
    key: RedactionKey,
    custom: CustomDetectors,
    /// Whether evidence keeps its excerpts.
    keeps_excerpts: bool,
    canaries: Option<Arc<CanaryCounts>>,
    /// Detections in the texts of earlier traces, made with the custom detectors.
    cache: ScanCache,
}

/// A value that was replaced in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Bytes of the original text.
    pub range: Range<usize>,
    /// Kind of the value: `email`, `github_token`.
    pub kind: &'static str,
    /// The detector that found it.
    pub detector: &'static str,
    /// The token that replaced it.
    pub token: String,
}

impl Redactor {
    /// A redactor that makes tokens with `key`.
    pub fn new(key: RedactionKey) -> Self {
        Self { key, custom: CustomDetectors::default(), keeps_excerpts: true, canaries: None, cache: ScanCache::default() }
    }

    /// Adds the detectors and allowed values of the user.
    #[must_use]
    pub fn with_custom_detectors(self, custom: CustomDetectors) -> Self {
        Self { custom, cache: ScanCache::default(), ..self }
    }

    /// Removes trace excerpts from the evidence and keeps only signals.
    #[must_use]
    pub fn without_excerpts(self) -> Self {
        Self { keeps_excerpts: false, ..self }
    }

    /// Plants known values in every trace, counts how many redaction finds, and removes them again.
    #[must_use]
    pub fn with_canaries(self, counts: Arc<CanaryCounts>) -> Self {
        Self { canaries: Some(counts), ..self }
    }

    /// The public id of the key.
    pub fn key_id(&self) -> &str {
        self.key.id()
    }

    pub(super) fn keeps_excerpts(&self) -> bool {
        self.keeps_excerpts
    }

    pub(super) fn custom(&self) -> &CustomDetectors {
        &self.custom
    }

    /// Replaces every sensitive value in `text`, including other occurrences of a detected value, and returns the replacements.
    pub fn redact(&self, text: &mut String) -> Vec<Replacement> {
        let detections = Scanner::new(&self.custom).scan_with_repeats(text);
        self.replace(text, detections)
    }

    /// Replaces every sensitive value in the dotted name of an attribute.
    pub fn redact_attribute_name(&self, name: &mut String) {
        let detections = attributes::scan_name(&Scanner::new(&self.custom), name);
        self.replace(name, detections);
    }

    fn replace(&self, text: &mut String, detections: Vec<Detection>) -> Vec<Replacement> {
        if detections.is_empty() {
            return Vec::new();
        }
        let mut redacted = String::with_capacity(text.len());
        let mut end = 0;
        let mut replacements = Vec::with_capacity(detections.len());
        for detection in detections {
            let token = self.key.token(detection.kind, &detection.value);
            redacted.push_str(text.get(end..detection.range.start).unwrap_or_default());
            redacted.push_str(&token);
            end = detection.range.end;
            replacements.push(Replacement { range: detection.range, kind: detection.kind, detector: detection.detector, token });
        }
        redacted.push_str(text.get(end..).unwrap_or_default());
        *text = redacted;
        replacements
    }

    /// Redacts every text and id of a trace. A value that is detected in one text is replaced in all of them.
    ///
    /// # Errors
    /// [`TimedOut`] if `deadline` passes before all texts are scanned.
    pub fn redact_trace(&self, mut trace: Trace, deadline: Deadline) -> Result<RedactedTrace, TimedOut> {
        let start = Instant::now();
        let scanner = Scanner::with_deadline(&self.custom, deadline);
        self.name_user_and_session(&mut trace);
        let planted = self.canaries.as_ref().and_then(|_| canaries::plant(&mut trace, &self.custom));
        let values = self.redact_texts(&mut trace, &scanner, deadline)?;
        trace.ids_mut(&mut |id| self.redact_id(id, values.as_deref(), &scanner));
        deadline.check()?;
        trace.source.uri = self.redact_location(&trace.source.uri);
        if let (Some(counts), Some(planted)) = (&self.canaries, planted) {
            canaries::remove(&mut trace, planted, &self.custom, counts);
        }
        Ok(RedactedTrace { trace, values: SensitiveValues(values), redaction_time: start.elapsed() })
    }

    /// Sets the tokens of the user and of the session, before redaction changes their ids, so that they are the same in every trace and format. The
    /// ids in the resource are replaced by them.
    fn name_user_and_session(&self, trace: &mut Trace) {
        let values = RunContext::of(trace);
        let token = |field: ContextField, kind: &str| {
            let id = values.get(field)?;
            let is_token = id.strip_prefix('<').is_some_and(|rest| rest.starts_with(&format!("{}:", kind.to_ascii_uppercase())));
            Some(if is_token && detect::is_token(id, &self.custom) { id.to_owned() } else { self.key.token(kind, id) })
        };
        let tokens = (token(ContextField::User, "user"), token(ContextField::Session, "session"));
        (trace.user, trace.session) = tokens;
        for attribute in &mut trace.resource {
            let (kind, is_id) = match ContextField::of(&attribute.key) {
                Some((ContextField::User, _)) => ("user", true),
                Some((ContextField::Session, _)) => ("session", true),
                _ => ("", false),
            };
            if is_id && !detect::is_token(&attribute.value, &self.custom) {
                attribute.value = self.key.token(kind, &attribute.value);
            }
        }
    }

    /// Redacts the texts of a trace and returns the values that were detected.
    fn redact_texts(&self, trace: &mut Trace, scanner: &Scanner<'_>, deadline: Deadline) -> Result<Option<Arc<KnownValues>>, TimedOut> {
        let mut texts = DistinctTexts::default();
        trace.texts_mut(&mut |kind, text| {
            let digest = self.digest(kind, text);
            let scan = || (attributes::scan_text(scanner, kind, text), !scanner.is_timed_out());
            texts.add(digest, text, || self.cache.detections(digest, text.len(), scan));
        });
        deadline.check()?;
        let values = KnownValues::new(texts.detections()).map(Arc::new);
        let mut redacted = texts.redact(|text, mut detections| {
            if let Some(values) = &values {
                values.add_repeats(text, scanner, &mut detections);
            }
            if detections.is_empty() {
                return None;
            }
            let mut text = text.to_owned();
            self.replace(&mut text, detections);
            Some(text)
        });
        trace.texts_mut(&mut |_, text| {
            if let Some(redacted) = redacted.next_change() {
                text.clone_from(redacted);
            }
        });
        Ok(values)
    }

    /// Identifies a text by its characters and its role.
    fn digest(&self, kind: TextKind<'_>, text: &str) -> TextDigest {
        let (role, name) = match kind {
            TextKind::Text => (0, ""),
            TextKind::AttributeName => (1, ""),
            TextKind::ValueOf(name) => (2, name),
        };
        self.cache.digest(role, name, text)
    }

    /// Redacts an id, unless it is generated. A program may use any text as an id: `session-of-ada@example.com`.
    fn redact_id(&self, id: &mut String, values: Option<&KnownValues>, scanner: &Scanner<'_>) {
        if ids::is_opaque(id) {
            return;
        }
        let mut detections = scanner.scan(id);
        if let Some(values) = values {
            values.add_repeats(id, scanner, &mut detections);
        }
        self.replace(id, detections);
    }

    /// Replaces credentials and signatures in the URL of a location. Paths and object keys are not trace text and stay.
    pub(super) fn redact_location(&self, location: &str) -> String {
        if !location.contains("://") || location.starts_with("file://") {
            return location.to_owned();
        }
        let is_credential = |kind: &str| {
            matches!(
                kind,
                "url_credentials" | "connection_string" | "generic_secret" | "api_key" | "password" | "jwt" | "bearer_token" | "aws_key"
            )
        };
        let detections = Scanner::new(&self.custom).scan(location).into_iter().filter(|detection| is_credential(detection.kind)).collect();
        let mut location = location.to_owned();
        self.replace(&mut location, detections);
        location
    }

    /// Redacts a rejection reason. Where it contains `location`, that part is redacted as a location.
    pub(super) fn redact_reason(&self, reason: &str, location: &str) -> String {
        let redacted = |part: &str| {
            let mut part = part.to_owned();
            self.redact(&mut part);
            part
        };
        if location.is_empty() {
            return redacted(reason);
        }
        let parts: Vec<String> = reason.split(location).map(redacted).collect();
        parts.join(&self.redact_location(location))
    }

    /// Redacts the reference of a rejection: a location or a trace id.
    pub(super) fn redact_reference(&self, reference: &str, is_location: bool) -> String {
        if is_location {
            return self.redact_location(reference);
        }
        let mut id = reference.to_owned();
        self.redact_id(&mut id, None, &Scanner::new(&self.custom));
        id
    }
}
