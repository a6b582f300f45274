//! Redacts traces: takes a trace and returns a [`RedactedTrace`], before anything of it is analyzed, stored, logged or sent.
//!
//! Each sensitive value is replaced by a keyed redaction token such as `<EMAIL:1a2b3c>`. Under one key the same value always gets the same
//! token, so values can still be counted and compared. A value detected in one text of a trace is replaced in all of its texts.
//!
//! Only this module can make a [`RedactedTrace`], so analyzing a raw trace does not compile. Analyzer results and rejection reasons are
//! redacted too, and before a row is stored, all of its texts are checked for the values of its trace ([`leak_check`]). Knows nothing of how
//! traces are read, analyzed or stored.

mod attributes;
mod canaries;
mod detect;
mod distinct_texts;
mod ids;
mod key;
mod leak_check;
mod redacted_trace;
mod redactor;
mod stage;

pub use self::canaries::CanaryCounts;
use self::detect::Scanner;
pub use self::detect::{CustomDetectors, CustomDetectorsError, DetectedKind, KindOptions, RedactionLevel, UnknownKind};
pub use self::key::{KeyError, RedactionKey};
pub use self::leak_check::UncheckedDraft;
pub use self::redacted_trace::RedactedTrace;
pub use self::redactor::{Redactor, Replacement};
pub use self::stage::{drafts, reasons, traces};

/// Replaces the sensitive values of a stored text by their kind, such as `<email>`. For `audit`, which has no key.
pub fn redact_without_key(text: &str, custom: &CustomDetectors) -> String {
    if ids::is_opaque(text) {
        return text.to_owned();
    }
    let mut redacted = String::with_capacity(text.len());
    let mut end = 0;
    for detection in Scanner::new(custom).scan(text) {
        redacted.push_str(text.get(end..detection.range.start).unwrap_or_default());
        redacted.extend(["<", detection.kind, ">"]);
        end = detection.range.end;
    }
    redacted.push_str(text.get(end..).unwrap_or_default());
    redacted
}

/// The sensitive values in a stored text, which may contain redaction tokens. For `audit`, which has no key.
pub fn detected_kinds(text: &str, custom: &CustomDetectors) -> Vec<DetectedKind> {
    if ids::is_opaque(text) { Vec::new() } else { detect::remaining_in(text, custom) }
}

#[cfg(test)]
mod tests;
