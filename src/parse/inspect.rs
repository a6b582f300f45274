//! What an input holds, object by object, collected while it is parsed: for people who want to know before they run.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::ParsedChunk;
use crate::limits::{INSPECTED_FIELDS_MAX, INSPECTED_OBJECTS_MAX, INSPECTED_TRACES_MAX};
use crate::model::key_hash;

/// What one object holds.
#[derive(Debug, Clone, Default)]
pub struct ObjectFacts {
    /// The format that it is read with; none where it is in no known one.
    pub format: Option<&'static str>,
    /// Lines, items, messages or rows.
    pub records: u64,
    /// Spans, also those that came twice.
    pub spans: u64,
    /// Log records, and rows about whole traces, which add to a span or a trace.
    pub additions: u64,
    /// Annotations and scores that stand apart from their spans.
    pub annotations: u64,
    /// Records that would be rejected.
    pub rejected: u64,
    /// Fields that have no place in failsift's span and are kept as attributes, with the number of spans that have them. Numbers in a
    /// name stand as `N`.
    pub unmapped: BTreeMap<String, u64>,
    traces: HashSet<u128>,
}

impl ObjectFacts {
    /// Traces of which some span stands in the object; exact up to [`INSPECTED_TRACES_MAX`].
    pub fn traces(&self) -> usize {
        self.traces.len()
    }
}

/// What an input holds.
#[derive(Debug, Default)]
pub struct Inspection(Mutex<BTreeMap<String, ObjectFacts>>);

impl Inspection {
    /// The facts by URI of the object, those of the first [`INSPECTED_OBJECTS_MAX`] objects.
    pub fn objects(&self) -> BTreeMap<String, ObjectFacts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn add(&self, parsed: &ParsedChunk) {
        let mut objects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = objects.len();
        let mut facts_of = |uri: &str, with: &mut dyn FnMut(&mut ObjectFacts)| {
            if known < INSPECTED_OBJECTS_MAX || objects.contains_key(uri) {
                with(objects.entry(uri.to_owned()).or_default());
            }
        };
        if let Some((object, format)) = &parsed.object {
            facts_of(&object.uri, &mut |facts| {
                facts.format = facts.format.or(*format);
                facts.records += parsed.records.read;
                facts.annotations += parsed.annotations.len() as u64;
                for piece in &parsed.fragments {
                    if piece.addition {
                        facts.additions += 1;
                        continue;
                    }
                    facts.spans += 1;
                    if facts.traces.len() < INSPECTED_TRACES_MAX {
                        facts.traces.insert(key_hash(&piece.trace_id));
                    }
                    for attribute in &piece.span.attributes {
                        let name = without_numbers(&attribute.key);
                        if facts.unmapped.len() < INSPECTED_FIELDS_MAX || facts.unmapped.contains_key(&name) {
                            *facts.unmapped.entry(name).or_default() += 1;
                        }
                    }
                }
            });
        }
        for rejection in &parsed.rejections {
            facts_of(&rejection.source_uri, &mut |facts| facts.rejected += 1);
        }
    }
}

/// `llm.tools.0.tool.json_schema` -> `llm.tools.N.tool.json_schema`
fn without_numbers(key: &str) -> String {
    let is_number = |step: &str| !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    let steps: Vec<&str> = key.split('.').map(|step| if is_number(step) { "N" } else { step }).collect();
    steps.join(".")
}
