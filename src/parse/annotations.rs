//! Annotations that stand in objects of their own: they wait in memory until the span or the trace that they are about is whole.
//!
//! Every trace is gathered after the whole input was read, so by then all annotations are here.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::AnnotationTarget;
use crate::limits::{ANNOTATION_BYTES_MAX, ID_BYTES_MAX};
use crate::model::{Annotation, Trace, truncate_with_digest};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Annotations(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    by_target: HashMap<AnnotationTarget, Vec<Annotation>>,
    bytes: usize,
    left_out: u64,
}

impl Annotations {
    pub(super) fn add(&self, found: Vec<(AnnotationTarget, Annotation)>) {
        if found.is_empty() {
            return;
        }
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (target, annotation) in found {
            // As the ids of traces and spans are.
            let target = match target {
                AnnotationTarget::Span(id) => AnnotationTarget::Span(truncate_with_digest(id, ID_BYTES_MAX)),
                AnnotationTarget::Trace(id) => AnnotationTarget::Trace(truncate_with_digest(id, ID_BYTES_MAX)),
            };
            let bytes = bytes_of(&target, &annotation);
            if waiting.bytes + bytes > ANNOTATION_BYTES_MAX {
                if waiting.left_out == 0 {
                    tracing::warn!(limit_bytes = ANNOTATION_BYTES_MAX, "more annotations than fit: the rest is left out");
                }
                waiting.left_out += 1;
                continue;
            }
            waiting.bytes += bytes;
            waiting.by_target.entry(target).or_default().push(annotation);
        }
    }

    /// Annotations whose span or trace did not come, and those that did not fit, once every trace is gathered.
    pub(super) fn unused(&self) -> u64 {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.by_target.values().map(|left| left.len() as u64).sum::<u64>() + waiting.left_out
    }

    /// Gives the annotations of a trace to its spans; those of the whole trace to its root.
    pub(super) fn attach(&self, trace: &mut Trace) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.by_target.is_empty() {
            return;
        }
        for span in &mut trace.spans {
            span.annotations.extend(waiting.by_target.remove(&AnnotationTarget::Span(span.span_id.clone())).unwrap_or_default());
        }
        let of_trace = waiting.by_target.remove(&AnnotationTarget::Trace(trace.trace_id.clone())).unwrap_or_default();
        drop(waiting);
        let root = trace.spans.iter().position(|span| span.parent_span_id.is_none()).unwrap_or(0);
        if let Some(root) = trace.spans.get_mut(root) {
            root.annotations.extend(of_trace);
        }
        for span in &mut trace.spans {
            // An export is delivered twice, and the order of objects is not fixed.
            span.annotations.sort_by(|a, b| (&a.name, &a.label, &a.comment).cmp(&(&b.name, &b.label, &b.comment)));
            span.annotations.dedup();
        }
    }
}

/// What an annotation takes while it waits. One about a target of its own takes an entry of the map too, so each is counted as if it did.
fn bytes_of(target: &AnnotationTarget, annotation: &Annotation) -> usize {
    const ALLOCATION_BYTES: usize = 16;
    let (AnnotationTarget::Span(id) | AnnotationTarget::Trace(id)) = target;
    let texts = [Some(id), Some(&annotation.name), annotation.label.as_ref(), annotation.comment.as_ref()];
    // A list grows to four at once, and a map keeps some room.
    let entry = 2 * size_of::<(AnnotationTarget, Vec<Annotation>)>() + 4 * size_of::<Annotation>();
    entry + texts.into_iter().flatten().map(|text| text.len() + ALLOCATION_BYTES).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    #[test]
    fn every_text_of_an_annotation_counts() {
        let annotations = Annotations::default();
        let long = || "x".repeat(1_000_000);
        let found = |index: usize| {
            let target = AnnotationTarget::Span(format!("{index}{}", if index < 50 { long() } else { String::new() }));
            (target, Annotation { name: long(), label: Some(long()), ..Annotation::default() })
        };
        (0..100).for_each(|index| annotations.add(vec![found(index)]));
        let waiting = annotations.0.lock().unwrap();
        assert!(waiting.by_target.len() < 40 && waiting.left_out > 60, "{} {}", waiting.by_target.len(), waiting.left_out);
    }

    #[test]
    fn annotations_find_their_span_or_the_root() {
        let annotations = Annotations::default();
        let named = |name: &str| Annotation { name: name.into(), ..Annotation::default() };
        annotations.add(vec![
            (AnnotationTarget::Span("b".into()), named("of b")),
            (AnnotationTarget::Trace("t".into()), named("of t")),
            (AnnotationTarget::Trace("t".into()), named("of t")),
            (AnnotationTarget::Span("other".into()), named("of nobody")),
        ]);
        let span =
            |id: &str, parent: Option<&str>| Span { span_id: id.into(), parent_span_id: parent.map(str::to_owned), ..Span::default() };
        let mut trace = Trace { trace_id: "t".into(), spans: vec![span("b", Some("a")), span("a", None)], ..Trace::default() };
        annotations.attach(&mut trace);
        let found: Vec<Vec<_>> =
            trace.spans.iter().map(|span| span.annotations.iter().map(|found| found.name.as_str()).collect()).collect();
        assert_eq!(found, [vec!["of b"], vec!["of t"]]);
    }
}
