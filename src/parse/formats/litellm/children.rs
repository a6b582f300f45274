//! Spans below a call: the guardrails and the searches that the proxy ran for it.

use super::content::REDACTED;
use crate::model::{Span, SpanKind};
use crate::parse::conventions::SpanMapper;
use crate::parse::record::Record;
use crate::parse::value::Value;
use crate::parse::{infer, span_fields};

/// The spans below a call.
pub(super) fn of_call(call: &Span, record: &mut Record<'_>, metadata: &mut Record<'_>) -> Vec<Span> {
    let listed = |value: Value<'_>| match value {
        Value::List(items) => items.into_iter().map(Value::into_owned).collect(),
        Value::Map(_) => vec![value.into_owned()],
        _ => Vec::<Value<'static>>::new(),
    };
    let guardrails = listed(record.take_tree("guardrail_information"));
    let searches = listed(metadata.take_tree("vector_store_request_metadata"));
    let guardrails = guardrails.iter().zip(1..).map(|(item, number)| guardrail(child(call, "guardrail", number, item), item));
    let searches = searches.iter().zip(1..).map(|(item, number)| search(child(call, "search", number, item), item));
    guardrails.chain(searches).collect()
}

fn child(call: &Span, what: &str, number: usize, item: &Value<'_>) -> Span {
    Span {
        span_id: format!("{}/{what}/{number}", call.span_id),
        parent_span_id: Some(call.span_id.clone()),
        name: item.first(&["guardrail_name", "vector_store_id"]).as_str().unwrap_or(what).to_owned(),
        started_at_ns: item.get("start_time").as_time().or(call.started_at_ns),
        ended_at_ns: item.get("end_time").as_time(),
        ..Span::default()
    }
}

/// A guardrail has the fields that the span of one has in OpenTelemetry.
fn guardrail(span: Span, item: &Value<'_>) -> Span {
    let mut span = SpanMapper::new(span);
    for (key, value) in item.fields() {
        let is_redacted = value.as_str().is_some_and(|text| REDACTED.contains(&text));
        if !value.is_empty() && !is_redacted && !matches!(key.as_ref(), "start_time" | "end_time") {
            span.set_attribute(key.clone(), value.clone());
        }
    }
    span.finish()
}

fn search(mut span: Span, item: &Value<'_>) -> Span {
    span.kind = SpanKind::Retriever;
    span.provider = item.text_at("custom_llm_provider");
    span.input_text = item.text_at("query");
    span.documents = span_fields::documents_in(item.get("vector_store_search_response"));
    infer::infer_fields(span)
}

#[cfg(test)]
mod tests {
    use crate::model::SpanKind;
    use crate::parse::formats::litellm::tests::fragments;

    #[test]
    fn guardrails_and_searches_are_spans_below_the_call() {
        let found = fragments(
            "acompletion",
            r#""status":"success","messages":[],"response":{},"guardrail_information":[{"guardrail_name":"pii","guardrail_mode":"pre_call","guardrail_status":"guardrail_intervened","guardrail_response":"email","start_time":1795706432.6,"end_time":1795706432.7}],
            "metadata":{"requester_metadata":{"service":"support","headers":{"host":"x"}},"vector_store_request_metadata":[{"vector_store_id":"vs","query":"q","vector_store_search_response":{"data":[{"score":0.5,"content":[{"type":"text","text":"doc"}]}]}}]}"#,
        );
        let (guardrail, search) = (&found[1].span, &found[2].span);
        assert_eq!((guardrail.span_id.as_str(), guardrail.parent_span_id.as_deref()), ("c1/guardrail/1", Some("c1")));
        assert_eq!((guardrail.kind, guardrail.status_message.as_deref()), (SpanKind::Guardrail, Some("guardrail_intervened: email")));
        assert_eq!((search.kind, search.documents.as_ref().unwrap()[0].content.as_str()), (SpanKind::Retriever, "doc"));
        assert!(found.iter().all(|fragment| fragment.service.as_deref() == Some("support") && fragment.trace_id == "c1"));
        assert_eq!(found[0].span.attribute("metadata.requester_metadata.service"), Some("support"));
        assert_eq!(found[0].span.attribute("metadata.requester_metadata.headers.host"), None);
    }
}
