//! Annotations that arrive apart from their span, in a separate record or object. They are kept in memory until the trace that they belong
//! to is decoded.
//!
//! Traces leave this stage only when the whole input has been read, so by then all annotations have arrived.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::limits::{ANNOTATION_BYTES_MAX, ID_BYTES_MAX};
use crate::model::{Annotation, Trace, truncate_with_digest};
use crate::parse::AnnotationTarget;

/// The annotations that no trace has received yet.
#[derive(Debug, Default)]
pub(super) struct Annotations(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    by_target: HashMap<AnnotationTarget, Vec<Annotation>>,
    bytes: usize,
    dropped: u64,
}

impl Annotations {
    /// Keeps annotations, up to [`ANNOTATION_BYTES_MAX`] in total; the rest is dropped, with a warning.
    pub(super) fn add(&self, annotations: Vec<(AnnotationTarget, Annotation)>) {
        if annotations.is_empty() {
            return;
        }
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (target, annotation) in annotations {
            // The ids of traces and spans are bounded in the same way.
            let target = match target {
                AnnotationTarget::Span(id) => AnnotationTarget::Span(truncate_with_digest(id, ID_BYTES_MAX)),
                AnnotationTarget::Trace(id) => AnnotationTarget::Trace(truncate_with_digest(id, ID_BYTES_MAX)),
            };
            let bytes = memory_bytes(&target, &annotation);
            if pending.bytes + bytes > ANNOTATION_BYTES_MAX {
                if pending.dropped == 0 {
                    let limit = ANNOTATION_BYTES_MAX / (1024 * 1024);
                    tracing::warn!("the input has more than {limit} MB of annotations; the rest is ignored");
                }
                pending.dropped += 1;
                continue;
            }
            pending.bytes += bytes;
            pending.by_target.entry(target).or_default().push(annotation);
        }
    }

    /// Annotations that were dropped, and those whose span or trace has not arrived. Final when all traces are gathered.
    pub(super) fn unused(&self) -> u64 {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.by_target.values().map(|annotations| annotations.len() as u64).sum::<u64>() + pending.dropped
    }

    /// Moves the annotations of a trace to its spans; those of the trace itself go to its root.
    pub(super) fn attach(&self, trace: &mut Trace) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if pending.by_target.is_empty() {
            return;
        }
        for span in &mut trace.spans {
            span.annotations.extend(pending.by_target.remove(&AnnotationTarget::Span(span.span_id.clone())).unwrap_or_default());
        }
        let for_trace = pending.by_target.remove(&AnnotationTarget::Trace(trace.trace_id.clone())).unwrap_or_default();
        drop(pending);
        let root = trace.spans.iter().position(|span| span.parent_span_id.is_none()).unwrap_or(0);
        if let Some(root) = trace.spans.get_mut(root) {
            root.annotations.extend(for_trace);
        }
        for span in &mut trace.spans {
            // The same export may be delivered twice, and objects are read in no fixed order.
            span.annotations.sort_by(|a, b| (&a.name, &a.label, &a.comment).cmp(&(&b.name, &b.label, &b.comment)));
            span.annotations.dedup();
        }
    }
}

/// Memory of a pending annotation. An annotation that is the only one of its target also needs a map entry, so all are counted like that.
fn memory_bytes(target: &AnnotationTarget, annotation: &Annotation) -> usize {
    const ALLOCATION_BYTES: usize = 16;
    let (AnnotationTarget::Span(id) | AnnotationTarget::Trace(id)) = target;
    let texts = [Some(id), Some(&annotation.name), annotation.label.as_ref(), annotation.comment.as_ref()];
    // A vector allocates four items at first, and a map is at most half empty.
    let entry = 2 * size_of::<(AnnotationTarget, Vec<Annotation>)>() + 4 * size_of::<Annotation>();
    entry + texts.into_iter().flatten().map(|text| text.len() + ALLOCATION_BYTES).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    #[test]
    fn every_text_of_an_annotation_counts_against_the_limit() {
        let annotations = Annotations::default();
        let long = || "x".repeat(1_000_000);
        let annotation = |index: usize| {
            let target = AnnotationTarget::Span(format!("{index}{}", if index < 50 { long() } else { String::new() }));
            (target, Annotation { name: long(), label: Some(long()), ..Annotation::default() })
        };
        (0..100).for_each(|index| annotations.add(vec![annotation(index)]));
        let pending = annotations.0.lock().unwrap();
        assert!(pending.by_target.len() < 40 && pending.dropped > 60, "{} {}", pending.by_target.len(), pending.dropped);
    }

    #[test]
    fn annotations_are_attached_to_their_span_or_to_the_root() {
        let annotations = Annotations::default();
        let named = |name: &str| Annotation { name: name.into(), ..Annotation::default() };
        annotations.add(vec![
            (AnnotationTarget::Span("b".into()), named("of b")),
            (AnnotationTarget::Trace("t".into()), named("of t")),
            (AnnotationTarget::Trace("t".into()), named("of t")),
            (AnnotationTarget::Span("other".into()), named("of another trace")),
        ]);
        let span =
            |id: &str, parent: Option<&str>| Span { span_id: id.into(), parent_span_id: parent.map(str::to_owned), ..Span::default() };
        let mut trace = Trace { trace_id: "t".into(), spans: vec![span("b", Some("a")), span("a", None)], ..Trace::default() };
        annotations.attach(&mut trace);
        let found: Vec<Vec<_>> =
            trace.spans.iter().map(|span| span.annotations.iter().map(|found| found.name.as_str()).collect()).collect();
        assert_eq!(found, [vec!["of b"], vec!["of t"]]);
        assert_eq!(annotations.unused(), 1);
    }
}
