//! The name of a span as a person reads it. Some instrumentations record the template of the name and its values apart.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::super::text::expression;
use crate::model::Span;

/// The name of a span, with the values in place of `{gen_ai.request.model!r}` or `{name}`.
pub(in crate::analyze::embedded) fn display_name(span: &Span) -> Cow<'_, str> {
    static PLACEHOLDER: LazyLock<Option<Regex>> =
        LazyLock::new(|| expression(r"\{(?P<key>[A-Za-z_][A-Za-z0-9_.]*)?(?P<equals>=)?(?:![rsa])?(?::[^{}]*)?\}"));
    let name = span.name.as_str();
    // `/api/claims/{id}/triage` is the template of a route, which names it.
    if !name.contains('{') || name.contains("/{") {
        return Cow::Borrowed(name);
    }
    let Some(placeholder) = PLACEHOLDER.as_ref().filter(|placeholder| placeholder.is_match(name)) else { return Cow::Borrowed(name) };
    let mut is_whole = true;
    let filled = placeholder.replace_all(name, |captures: &Captures<'_>| {
        let key = captures.name("key").map(|key| key.as_str()).unwrap_or_default();
        let value = value_of(span, key).unwrap_or_default();
        is_whole &= !value.is_empty();
        if captures.name("equals").is_some() && !value.is_empty() { format!("{key}={value}") } else { value.to_owned() }
    });
    // Logfire records the filled name beside the template. It may also tell what happened.
    if let Some(message) = span.attribute("logfire.msg").filter(|message| !is_whole && !message.trim().is_empty()) {
        return Cow::Borrowed(message);
    }
    let filled = filled.split_whitespace().collect::<Vec<_>>().join(" ");
    Cow::Owned(filled.trim_end_matches([':', ' ', '-']).to_owned())
}

fn value_of<'t>(span: &'t Span, key: &str) -> Option<&'t str> {
    let known = || match key.rsplit('.').next().unwrap_or_default() {
        "model" | "request_model" | "response_model" | "model_name" => span.model.as_deref(),
        "name" | "tool_name" | "tool" | "function_name" => span.tool.as_ref().map(|tool| tool.name.as_str()),
        "provider" | "system" => span.provider.as_deref(),
        _ => None,
    };
    span.attribute(key).or_else(known).map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attribute, ToolUse};

    #[test]
    fn templates_are_filled() {
        let attribute = |key: &str, value: &str| Attribute { key: key.into(), value: value.into() };
        let span = |name: &str| Span {
            name: name.into(),
            model: Some("gpt-4o".into()),
            tool: Some(ToolUse { name: "search".into(), ..ToolUse::default() }),
            attributes: vec![attribute("step", "3")],
            ..Span::default()
        };
        for (name, expected) in [
            ("Responses API with {gen_ai.request.model!r}", "Responses API with gpt-4o"),
            ("Function: {name}", "Function: search"),
            ("step {step:03d} of {total}", "step 3 of"),
            ("Guardrail {guard!r} {triggered=}", "Guardrail"),
            ("run {step=}", "run step=3"),
            ("plain", "plain"),
            ("{\"json\": 1}", "{\"json\": 1}"),
        ] {
            assert_eq!(display_name(&span(name)), expected, "{name}");
        }
        let logged = Span { attributes: vec![attribute("logfire.msg", "Guardrail budget")], ..span("Guardrail {guard}") };
        assert_eq!(display_name(&logged), "Guardrail budget");
    }
}
