//! What a whole trace says about its run.

use std::borrow::Cow;
use std::collections::HashMap;

use super::{ContextField, Names};
use crate::model::{Attribute, Span, SpanKind, Trace};

/// Bytes of JSON metadata that is searched.
const METADATA_BYTES_MAX: usize = 8 * 1024;

/// Attributes that have metadata as JSON text.
const METADATA_KEYS: [&str; 6] = [
    "metadata",
    "langfuse.trace.metadata",
    "langfuse.observation.metadata",
    "langwatch.metadata",
    "trace.metadata",
    "mlflow.trace.metadata",
];

/// What a trace says about its run, from one search of all its attributes.
#[derive(Debug)]
pub struct RunContext<'t> {
    trace: &'t Trace,
    /// The best value of each field but those of prompts and costs.
    values: HashMap<ContextField, Found<'t>>,
    /// Names and versions of prompts, in the order of the spans.
    prompts: Vec<(ContextField, Found<'t>)>,
    /// The cost of each span in US dollars, as recorded: a total, or the sum of its parts.
    costs: Vec<Option<f64>>,
    cost_of_trace: Option<f64>,
}

/// A value, the index of its span, and the rank of its name. A value of the resource has no span.
#[derive(Debug)]
struct Found<'t> {
    span: Option<usize>,
    rank: usize,
    value: Cow<'t, str>,
}

impl<'t> RunContext<'t> {
    /// Searches the resource, the root, and then the other spans in the order of time; the first that has a value counts.
    pub fn of(trace: &'t Trace) -> Self {
        let mut found = Self { trace, values: HashMap::new(), prompts: Vec::new(), costs: Vec::new(), cost_of_trace: None };
        found.cost_of_trace = found.add_all(&trace.resource, None, true);
        let root = trace.root_index();
        // The root is searched first, and once more in its place for the costs.
        if let Some(span) = root.and_then(|root| trace.spans.get(root)) {
            found.add_all(&span.attributes, root, true);
        }
        found.costs.reserve(trace.spans.len());
        for (index, span) in trace.spans.iter().enumerate() {
            let is_call = matches!(span.kind, SpanKind::Llm | SpanKind::Embedding | SpanKind::Agent);
            let cost = found.add_all(&span.attributes, Some(index), is_call);
            found.costs.push(span.cost_usd.or(cost));
        }
        found
    }

    /// Adds the attributes of one place; returns the cost that they record. Short names such as `cost` may mean the cost of anything, so they count for
    /// calls of a model and for agents only.
    fn add_all(&mut self, attributes: &'t [Attribute], span: Option<usize>, is_call: bool) -> Option<f64> {
        let (mut total, mut parts): (Option<(usize, f64)>, Option<f64>) = (None, None);
        for Attribute { key, value } in attributes {
            match ContextField::of(key) {
                Some((ContextField::Cost | ContextField::PartialCost, rank))
                    if !is_call && (rank >= Names::METADATA_RANK || !key.contains('.')) => {}
                Some((ContextField::Cost, rank)) if total.is_some_and(|(known, _)| known <= rank) => {}
                Some((ContextField::Cost, rank)) => total = dollars(value).map(|cost| (rank, cost)).or(total),
                Some((ContextField::PartialCost, _)) => {
                    if let Some(cost) = dollars(value) {
                        parts = Some(parts.unwrap_or_default() + cost);
                    }
                }
                // A run of LangSmith has the id of its project there.
                Some(_) if key == "session_id" && self.trace.format == Some("langsmith") => {}
                Some((field, rank)) => self.add(field, Found { span, rank, value: Cow::Borrowed(value) }),
                None if value.starts_with('{') && METADATA_KEYS.contains(&key.as_str()) => self.add_metadata(value, span),
                None => {}
            }
        }
        total.map(|(_, cost)| cost).or(parts)
    }

    /// Adds the entries of metadata that is JSON text.
    fn add_metadata(&mut self, json: &str, span: Option<usize>) {
        let metadata = Some(json).filter(|json| json.len() <= METADATA_BYTES_MAX).map(serde_json::from_str);
        let Some(Ok(serde_json::Value::Object(entries))) = metadata else { return };
        for (name, value) in entries {
            let value = match value {
                serde_json::Value::String(text) => text,
                serde_json::Value::Number(number) => number.to_string(),
                _ => continue,
            };
            if let Some((field, rank)) = ContextField::of(&format!("metadata.{name}")) {
                self.add(field, Found { span, rank, value: Cow::Owned(value) });
            }
        }
    }

    fn add(&mut self, field: ContextField, found: Found<'t>) {
        let is_prompt = matches!(field, ContextField::PromptName | ContextField::PromptVersion);
        if !is_prompt && self.values.get(&field).is_some_and(|known| known.span != found.span || known.rank <= found.rank) {
            return;
        }
        let trimmed = found.value.trim();
        if !field.accepts(trimmed) {
            return;
        }
        let value = if trimmed.len() == found.value.len() { found.value } else { Cow::Owned(trimmed.to_owned()) };
        let found = Found { value, ..found };
        if is_prompt {
            self.prompts.push((field, found));
        } else {
            self.values.insert(field, found);
        }
    }

    /// The value of a field.
    pub fn get(&self, field: ContextField) -> Option<&str> {
        self.values.get(&field).map(|found| found.value.as_ref())
    }

    /// As [`Self::get`], owned.
    pub fn text(&self, field: ContextField) -> Option<String> {
        self.get(field).map(str::to_owned)
    }

    /// The version of the prompt, after its name if both stand in the same place: `answer@7`. What one of these calls says outweighs the rest.
    pub fn prompt_version<'s>(&self, calls: impl IntoIterator<Item = &'s Span>) -> Option<String> {
        let is_of = |found: &Found<'_>, call: &Span| {
            found.span.and_then(|index| self.trace.spans.get(index)).is_some_and(|span| std::ptr::eq(span, call))
        };
        let versions = || self.prompts.iter().filter(|(field, _)| *field == ContextField::PromptVersion).map(|(_, found)| found);
        let of_calls = calls.into_iter().find_map(|call| versions().filter(|found| is_of(found, call)).min_by_key(|found| found.rank));
        let first = || {
            let place = versions().next()?.span;
            versions().filter(|found| found.span == place).min_by_key(|found| found.rank)
        };
        let version = of_calls.or_else(first)?;
        let names = self.prompts.iter().filter(|(field, name)| *field == ContextField::PromptName && name.span == version.span);
        Some(match names.map(|(_, name)| name).min_by_key(|name| name.rank) {
            // The version may contain the name.
            Some(name) if !version.value.starts_with(name.value.as_ref()) => format!("{}@{}", name.value, version.value),
            _ => version.value.clone().into_owned(),
        })
    }

    /// The recorded cost of each span in US dollars.
    pub fn costs(&self) -> &[Option<f64>] {
        &self.costs
    }

    /// The cost that is recorded for the trace as a whole.
    pub fn cost_of_trace(&self) -> Option<f64> {
        self.cost_of_trace
    }
}

/// An amount: a number, or JSON with the parts of a cost: `{"input": 0.1, "output": 0.2, "total": 0.3}`.
fn dollars(text: &str) -> Option<f64> {
    let is_amount = |amount: &f64| amount.is_finite() && (0.0..1e9).contains(amount);
    let text = text.trim();
    if !text.starts_with('{') {
        return text.trim_start_matches('$').parse::<f64>().ok().filter(is_amount);
    }
    let parts = Some(text).filter(|text| text.len() <= METADATA_BYTES_MAX).map(serde_json::from_str);
    let Some(Ok(serde_json::Value::Object(parts))) = parts else { return None };
    let amount = |value: &serde_json::Value| value.as_f64().filter(is_amount);
    let total = ["total", "total_cost", "totalCost"].iter().find_map(|key| parts.get(*key).and_then(amount));
    let input = ["input", "input_cost", "prompt"].iter().find_map(|key| parts.get(*key).and_then(amount));
    let output = ["output", "output_cost", "completion"].iter().find_map(|key| parts.get(*key).and_then(amount));
    total.or_else(|| input.zip(output).map(|(input, output)| input + output))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(key: &str, value: &str) -> Attribute {
        Attribute { key: key.into(), value: value.into() }
    }

    #[test]
    fn the_resource_outweighs_the_root_and_the_root_the_other_spans() {
        let span = |id: &str, parent: Option<&str>, attributes: Vec<Attribute>| Span {
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            attributes,
            ..Span::default()
        };
        let trace = Trace {
            resource: vec![attribute("service.version", "1.4.2")],
            spans: vec![
                span("b", Some("a"), vec![attribute("user.id", "other"), attribute("metadata", r#"{"thread_id": "t1", "region": 7}"#)]),
                span(
                    "a",
                    None,
                    vec![attribute("metadata.user_id", "u1"), attribute("service.version", "0.1"), attribute("user.id", "none")],
                ),
            ],
            ..Trace::default()
        };
        let fields = [ContextField::User, ContextField::Session, ContextField::ServiceVersion, ContextField::Region];
        let values = RunContext::of(&trace);
        assert_eq!(fields.map(|field| values.get(field)), [Some("u1"), Some("t1"), Some("1.4.2"), Some("7")]);
    }

    #[test]
    fn a_version_of_a_prompt_has_the_name_of_the_same_place() {
        let call = |name: &str, version: &str| Span {
            attributes: vec![
                attribute("langfuse.observation.prompt.name", name),
                attribute("langfuse.observation.prompt.version", version),
            ],
            ..Span::default()
        };
        let trace = Trace { spans: vec![call("router", "3"), call("answer", "7")], ..Trace::default() };
        let found = RunContext::of(&trace);
        assert_eq!(found.prompt_version([]).as_deref(), Some("router@3"));
        assert_eq!(found.prompt_version(trace.spans.get(1)).as_deref(), Some("answer@7"));
        let resource = vec![attribute("langfuse.prompt.version", "answer@7")];
        let named = Span { attributes: vec![attribute("prompt_name", "answer")], ..Span::default() };
        let trace = Trace { resource, spans: vec![named], ..Trace::default() };
        assert_eq!(RunContext::of(&trace).prompt_version(trace.spans.first()).as_deref(), Some("answer@7"));
    }

    #[test]
    fn costs_are_numbers_or_json_and_a_total_outweighs_its_parts() {
        let cost_of = |kind: SpanKind, attributes: Vec<Attribute>| {
            let trace = Trace { spans: vec![Span { kind, attributes, ..Span::default() }], ..Trace::default() };
            RunContext::of(&trace).costs()[0]
        };
        let cost = |attributes: Vec<Attribute>| cost_of(SpanKind::Llm, attributes);
        assert_eq!(cost(vec![attribute("llm.cost.prompt", "0.25"), attribute("llm.cost.completion", "0.5")]), Some(0.75));
        assert_eq!(cost(vec![attribute("llm.cost.prompt", "0.25"), attribute("llm.cost.total", "0.5")]), Some(0.5));
        let details = attribute("langfuse.observation.cost_details", r#"{"input": 0.1, "output": 0.2, "total": 0.3}"#);
        assert_eq!(cost(vec![details]), Some(0.3));
        assert_eq!(cost(vec![attribute("response_cost", "NaN"), attribute("cost", "-1")]), None);
        let bought = vec![attribute("cost", "20"), attribute("metadata.cost", "20")];
        assert_eq!(cost_of(SpanKind::Tool, bought), None);
    }
}
