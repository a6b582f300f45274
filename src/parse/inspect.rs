//! Collects facts about each object while it is parsed, for `failsift inspect`.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::{ParsedChunk, by_shape};
use crate::limits::{INSPECTED_FIELDS_MAX, INSPECTED_OBJECTS_MAX, INSPECTED_TRACES_MAX};
use crate::model::{Coverage, Part, Span, key_hash};

/// The contents of one object.
#[derive(Debug, Clone, Default)]
pub struct ObjectFacts {
    /// The format of the object; `None` if it is unknown.
    pub format: Option<&'static str>,
    /// Lines, items, messages or rows.
    pub records: u64,
    /// Spans, including duplicates.
    pub spans: u64,
    /// Log records and rows about whole traces, which are merged into a span or a trace.
    pub additions: u64,
    /// Annotations and scores that are exported apart from their span.
    pub annotations: u64,
    /// Rejected records.
    pub rejected: u64,
    /// Attributes that map to no field of failsift's span, with the number of spans that have them. Numbers in a name are replaced by `N`.
    pub unmapped: BTreeMap<String, u64>,
    /// The instrumentations that recorded the spans, by the name of their scope; empty for a format without scopes.
    pub instrumentations: BTreeMap<String, InstrumentationFacts>,
    traces: HashSet<u128>,
}

impl ObjectFacts {
    /// Traces with at least one span in the object; exact up to [`INSPECTED_TRACES_MAX`].
    pub fn traces(&self) -> usize {
        self.traces.len()
    }
}

/// The spans of one instrumentation in one object.
#[derive(Debug, Clone, Default)]
pub struct InstrumentationFacts {
    /// Spans, including duplicates.
    pub spans: u64,
    /// The main conventions of its spans, with the number of spans.
    pub conventions: BTreeMap<&'static str, u64>,
    /// How often each part was read, by the kind of the span. Only parts that such a span has if it is complete are counted.
    pub parts: BTreeMap<(&'static str, Part), PartCounts>,
    /// Unmapped attributes that look like content, with their size in bytes. Numbers in a name are replaced by `N`.
    pub unread_content: BTreeMap<String, u64>,
}

/// The coverage of one part in the spans of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PartCounts {
    /// Spans in which the part was read.
    pub understood: u64,
    /// Those of `understood` in which no convention describes it, so that it was recognized by its shape.
    pub inferred: u64,
    /// Spans that do not have the part.
    pub absent: u64,
    /// Spans in which the part is recorded in a form that failsift does not understand.
    pub not_understood: u64,
}

impl InstrumentationFacts {
    fn add(&mut self, span: &Span) {
        self.spans += 1;
        if let Some(convention) = span.convention {
            *self.conventions.entry(convention).or_default() += 1;
        }
        for part in span.expected_parts() {
            let counts = self.parts.entry((span.kind.as_str(), part)).or_default();
            match span.coverage(part) {
                Coverage::Understood => counts.understood += 1,
                Coverage::Absent => counts.absent += 1,
                Coverage::NotUnderstood => counts.not_understood += 1,
            }
            counts.inferred += u64::from(span.inferred.contains(part));
        }
        for attribute in span.attributes.iter().filter(|attribute| by_shape::looks_like_content(attribute)) {
            let name = without_numbers(&attribute.key);
            if self.unread_content.len() < INSPECTED_FIELDS_MAX || self.unread_content.contains_key(&name) {
                *self.unread_content.entry(name).or_default() += attribute.value.len() as u64;
            }
        }
    }
}

/// Facts about the objects of an input.
#[derive(Debug, Default)]
pub struct Inspection(Mutex<BTreeMap<String, ObjectFacts>>);

impl Inspection {
    /// The facts about the first [`INSPECTED_OBJECTS_MAX`] objects, by URI.
    pub fn objects(&self) -> BTreeMap<String, ObjectFacts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add(&self, parsed: &ParsedChunk) {
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = objects.len();
        let mut update = |uri: &str, change: &mut dyn FnMut(&mut ObjectFacts)| {
            if known < INSPECTED_OBJECTS_MAX || objects.contains_key(uri) {
                change(objects.entry(uri.to_owned()).or_default());
            }
        };
        if let Some((object, format)) = &parsed.object {
            update(&object.uri, &mut |facts| {
                facts.format = facts.format.or(*format);
                facts.records += parsed.records.read;
                facts.annotations += parsed.annotations.len() as u64;
                for fragment in &parsed.fragments {
                    if fragment.addition {
                        facts.additions += 1;
                        continue;
                    }
                    facts.spans += 1;
                    if facts.traces.len() < INSPECTED_TRACES_MAX {
                        facts.traces.insert(key_hash(&fragment.trace_id));
                    }
                    let instrumentation = fragment.span.instrumentation.as_deref().unwrap_or_default();
                    if facts.instrumentations.len() < INSPECTED_FIELDS_MAX || facts.instrumentations.contains_key(instrumentation) {
                        facts.instrumentations.entry(instrumentation.to_owned()).or_default().add(&fragment.span);
                    }
                    for attribute in &fragment.span.attributes {
                        let name = without_numbers(&attribute.key);
                        if facts.unmapped.len() < INSPECTED_FIELDS_MAX || facts.unmapped.contains_key(&name) {
                            *facts.unmapped.entry(name).or_default() += 1;
                        }
                    }
                }
            });
        }
        for rejection in &parsed.rejections {
            update(&rejection.source_uri, &mut |facts| facts.rejected += 1);
        }
    }
}

/// `llm.tools.0.tool.json_schema` -> `llm.tools.N.tool.json_schema`
fn without_numbers(key: &str) -> String {
    let is_number = |segment: &str| !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    let segments: Vec<&str> = key.split('.').map(|segment| if is_number(segment) { "N" } else { segment }).collect();
    segments.join(".")
}
