//! Facts of a model that is not available: the requested name, what the API suggests instead, and why it is missing.

use super::super::byte_regex::ByteRegex;

use super::names::fact_names;
use super::texts::{Source, add_match, add_meaning, attribute, find, model_call, spans_of_call};
use super::{Case, Extractor, Facts, Place};

fact_names! {
    REQUESTED_MODEL = "requested_model", Text, "the model that was requested";
    ANSWERING_MODEL = "answering_model", Text, "the model that answered instead";
    SUGGESTED_MODEL = "suggested_model", Text, "the model that the provider suggests instead";
    MODEL_PROBLEM = "model_problem", Text, "why the model is not available";
    MODEL_RETIRED_ON = "model_retired_on", Text, "when the model was retired";
    API_VERSION = "api_version", Text, "the version of the API";
    MISSING_DEPLOYMENT = "missing_deployment", Text, "the deployment that does not exist";
    MODEL_DEPLOYMENT = "model_deployment", Text, "the deployment";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Why a model is not available, as the end of a sentence about it.
static PROBLEMS: [(ByteRegex, &str); 12] = [
    (
        ByteRegex::new(
            r"(?i)decommissioned|retired|end of (?:its )?life|no longer (?:supported|available)|sunset|discontinued|has been removed|shut ?down",
        ),
        "was retired",
    ),
    (ByteRegex::new(r"(?i)deprecated|as legacy"), "was deprecated"),
    (ByteRegex::new(r"(?i)try pulling it|not (?:been )?pulled|ollama pull"), "has not been pulled onto the server"),
    (ByteRegex::new(r"(?i)DeploymentNotFound|api deployment for this resource does not exist"), "does not exist in the Azure resource"),
    (ByteRegex::new(r"(?i)on-demand throughput|inference profile"), "can only be called through an inference profile"),
    (
        ByteRegex::new(r"(?i)is not found for api version|not supported for (?:generateContent|[0-9A-Za-z_]+Content|predict)"),
        "is not offered by this version of the API for this method",
    ),
    (
        ByteRegex::new(
            r"(?i)no (?:allowed )?(?:endpoints|providers) (?:found|available)|no deployments? (?:found|available)|not available in (?:this|your) region|not supported in (?:this|your) region|model identifier is invalid",
        ),
        "is not offered by an endpoint that the account can use",
    ),
    (
        ByteRegex::new(
            r"(?i)not a chat model|only supported in v1/(?:completions|responses)|not supported (?:with|in) the v1/\S+ endpoint|use the v1/\S+ endpoint",
        ),
        "is not served by this endpoint",
    ),
    (
        ByteRegex::new(r"(?i)does not exist or you do not have access|do(?:es)? not have access|don't have access"),
        "does not exist, or the account has no access to it",
    ),
    (ByteRegex::new(r"(?i)not found, inaccessible"), "does not exist there, is not deployed, or is not open to this account"),
    (ByteRegex::new(r"(?i)not (?:been )?(?:loaded|deployed)"), "is not loaded on the server"),
    (
        ByteRegex::new(
            r"(?i)does not exist|not found|not_found|unknown model|no such model|invalid model|not a valid model|不存在|未找到|unrecognized",
        ),
        "does not exist under this name",
    ),
];

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if !case.is(&["model_not_found", "permission_denied", "invalid_request"]) {
        return;
    }
    let sources = case.error_texts();
    if case.is(&["model_not_found"]) {
        add_facts(sources, facts);
        let spans = spans_of_call(case);
        let requested = attribute(&spans, &["azuredeployment", "deployment", "deploymentname", "deploymentid"]);
        if let Some(source) = requested.filter(|source| !source.field.contains("environment")) {
            facts.add(&MODEL_DEPLOYMENT, source.text, source.place());
        }
        if let Some((call, model)) = model_call(case).and_then(|call| Some((call, call.model.as_deref()?))) {
            facts.add(&REQUESTED_MODEL, model, Place::Field(call, "model"));
            // Azure takes the name of a deployment in place of the model's.
            if facts.get(&MODEL_PROBLEM).is_some_and(|problem| problem.contains("Azure resource")) && !facts.has(&MODEL_DEPLOYMENT) {
                facts.add(&MISSING_DEPLOYMENT, model, Place::Field(call, "model"));
            }
        }
    }
    add_versions(sources, facts);
}

fn add_facts(sources: &[Source<'_>], facts: &mut Facts) {
    static REQUESTED: ByteRegex = ByteRegex::new(concat!(
        r"(?i)(?-u:\b)models?/([0-9A-Za-z_.:@-]{2,}) (?:is )?not found|(?-u:\b)model(?: id| name| identifier)?:? [`'\x22]([^`'\x22\n]{2,})[`'\x22]|(?-u:\b)model[:=] ?([0-9A-Za-z_][0-9A-Za-z_./:@-]+)|",
        r"(?-u:\b)found for ([0-9A-Za-z_-]+/[0-9A-Za-z_.:-]{2,})|(?-u:\b)publishers/[0-9A-Za-z_]+/models/([0-9A-Za-z_.@-]{2,})|(?-u:\b)invocation of model id ([0-9A-Za-z_][0-9A-Za-z_.:-]{2,})|(?-u:\b)model ([0-9A-Za-z_][0-9A-Za-z_./:@-]*[0-9][0-9A-Za-z_./:@-]*) (?:does not exist|not found|is not|has been)|",
        r"(?-u:\b)deployment [`'\x22]([0-9A-Za-z_.-]{2,})[`'\x22]|[`'\x22]([0-9A-Za-z_./:@-]{2,})[`'\x22] is not a valid model|(?-u:\b)([0-9A-Za-z_./:@-]{2,}) is not a valid model",
    ));
    static SUGGESTED: ByteRegex = ByteRegex::new(concat!(
        r"(?i)(?-u:\b)(?:did you mean|use|migrate to|switch to|upgrade to|replaced by|replacement(?: is)?|successor(?: is)?|transition to|recommended?(?: model)?(?: is)?)(?: the)?(?: model)?:? ",
        r"[`'\x22]?((?:gpt|o[0-9]|claude|gemini|gemma|llama|mistral|mixtral|codestral|command|qwen|deepseek|grok|text-embedding|kimi|glm|sonar|nova|titan|us\.|eu\.|apac\.|meta-llama/|openai/|anthropic/|google/)[0-9A-Za-z_./:@-]*[0-9A-Za-z_])",
    ));
    static RETIRED: ByteRegex = ByteRegex::new(concat!(
        r"(?i)(?-u:\b)(?:retired|deprecated|decommissioned|removed|shut ?down|discontinued|sunset|end of (?:its )?life|end-of-life|EOL|reached)(?: date)?(?: on| since| as of| in| at|:)? ",
        r"([0-9]{4}-[0-9]{2}-[0-9]{2}|(?:January|February|March|April|May|June|July|August|September|October|November|December) [0-9]{1,2},? [0-9]{4}|[0-9]{1,2} (?:January|February|March|April|May|June|July|August|September|October|November|December) [0-9]{4})",
    ));
    let requested = find(sources, &REQUESTED).and_then(|(source, captures)| Some((source, captures.iter().skip(1).flatten().next()?)));
    if let Some((source, found)) = requested {
        let name = found.as_str().trim_end_matches(['.', ',', ':', ';']);
        // Vertex AI writes the path of the resource.
        let name = if name.starts_with("projects/") { name.rsplit('/').next().unwrap_or(name) } else { name };
        if !matches!(name.to_ascii_lowercase().as_str(), "with" | "the" | "specified" | "error" | "is" | "not") {
            facts.add(&REQUESTED_MODEL, name, source.place());
        }
    }
    let suggested = find(sources, &SUGGESTED).and_then(|(source, captures)| Some((source, captures.get(1)?.as_str())));
    if let Some((source, name)) = suggested.filter(|(_, name)| facts.get(&REQUESTED_MODEL) != Some(*name)) {
        facts.add(&SUGGESTED_MODEL, name, source.place());
    }
    add_match(&MODEL_RETIRED_ON, sources, &RETIRED, facts);
    add_meaning(&MODEL_PROBLEM, sources, &PROBLEMS, facts);
}

fn add_versions(sources: &[Source<'_>], facts: &mut Facts) {
    static VERSION: ByteRegex =
        ByteRegex::new(r"(?i)(?-u:\b)api[- _]?version[=:]? ?[`'\x22]?(v[0-9][0-9A-Za-z_]*|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:-preview)?)");
    add_match(&API_VERSION, sources, &VERSION, facts);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    #[test]
    fn missing_models_are_described_in_the_wordings_of_providers() {
        for (text, requested, suggested, problem) in [
            (
                "Error code: 404 - The model `gpt-5o` does not exist or you do not have access to it.",
                "gpt-5o",
                "",
                "does not exist, or the account has no access to it",
            ),
            (r#"{"type":"not_found_error","message":"model: claude-9"}"#, "claude-9", "", "does not exist under this name"),
            (
                "404 models/gemini-1.0-pro is not found for API version v1beta, or is not supported for generateContent.",
                "gemini-1.0-pro",
                "",
                "is not offered by this version of the API for this method",
            ),
            (
                "The model `mixtral-8x7b-32768` has been decommissioned and is no longer supported. Use llama-3.3-70b-versatile instead",
                "mixtral-8x7b-32768",
                "llama-3.3-70b-versatile",
                "was retired",
            ),
            ("model 'llama3.1' not found, try pulling it first", "llama3.1", "", "has not been pulled onto the server"),
            (
                "{'code': 'DeploymentNotFound', 'message': 'The API deployment for this resource does not exist.'}",
                "",
                "",
                "does not exist in the Azure resource",
            ),
            ("No endpoints found for acme/llama-9.", "acme/llama-9", "", "is not offered by an endpoint that the account can use"),
            (
                "Invocation of model ID anthropic.claude-3-5-sonnet-20241022-v2:0 with on-demand throughput isn't supported. Retry your request with the ID or ARN of an inference profile",
                "anthropic.claude-3-5-sonnet-20241022-v2:0",
                "",
                "can only be called through an inference profile",
            ),
            (
                "Publisher Model `projects/p/locations/us-central1/publishers/google/models/gemini-9` was not found",
                "gemini-9",
                "",
                "does not exist under this name",
            ),
            (
                "This is not a chat model and thus not supported in the v1/chat/completions endpoint. Did you mean to use v1/completions?",
                "",
                "",
                "is not served by this endpoint",
            ),
            ("404 Not Found", "", "", "does not exist under this name"),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            add_facts(&[Source { span: &span, field: "status_message".into(), text }], &mut facts);
            let found = [&REQUESTED_MODEL, &SUGGESTED_MODEL, &MODEL_PROBLEM].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [requested, suggested, problem], "{text}");
        }
    }

    #[test]
    fn dates_and_versions_are_read() {
        let read = |text: &str| {
            let (span, mut facts) = (Span::default(), Facts::default());
            let sources = [Source { span: &span, field: "status_message".into(), text }];
            add_facts(&sources, &mut facts);
            add_versions(&sources, &mut facts);
            (facts.get(&MODEL_RETIRED_ON).map(str::to_owned), facts.get(&API_VERSION).map(str::to_owned))
        };
        assert_eq!(read("The model was retired on January 4, 2026.").0.as_deref(), Some("January 4, 2026"));
        assert_eq!(read("deprecated since 2025-10-01").0.as_deref(), Some("2025-10-01"));
        assert_eq!(read("under Azure OpenAI API version 2024-06-01").1.as_deref(), Some("2024-06-01"));
        assert_eq!(read("is not found for API version v1beta").1.as_deref(), Some("v1beta"));
        assert_eq!(read("request 2026-01-01 failed"), (None, None));
    }
}
