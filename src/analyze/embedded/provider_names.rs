//! Names of model providers and models as people write them, from what instrumentations record in their place.

use crate::model::Span;

/// The usual spelling of a model provider's name, for the identifiers of OpenTelemetry, OpenInference, `LiteLLM` and the Vercel AI SDK. An unknown one
/// stays as it is; `None` for the name of a framework, which some instrumentations record in its place.
pub(super) fn provider_name(identifier: &str) -> Option<&str> {
    /// Frameworks and gateways that call models of others.
    const FRAMEWORKS: [&str; 42] = [
        "langchain",
        "langchain_core",
        "langgraph",
        "llama_index",
        "llamaindex",
        "crewai",
        "vercel",
        "vercel_ai",
        "ai_sdk",
        "ai",
        "google_adk",
        "adk",
        "gcp.vertex.agent",
        "autogen",
        "ag2",
        "microsoft.agent_framework",
        "microsoft.agents",
        "agent_framework",
        "haystack",
        "pydantic_ai",
        "semantic_kernel",
        "dspy",
        "smolagents",
        "agno",
        "phidata",
        "litellm",
        "litellm_proxy",
        "mastra",
        "openai_agents",
        "openai_agents_sdk",
        "strands",
        "strands_agents",
        "genkit",
        "instructor",
        "langflow",
        "flowise",
        "dify",
        "mcp",
        "traceloop",
        "openllmetry",
        "voltagent",
        "beeai",
    ];
    const UNKNOWN: [&str; 10] = ["unknown", "none", "null", "undefined", "other", "custom", "n/a", "_other", "default", "provider"];
    let word = identifier.trim().to_ascii_lowercase().replace(['-', ' '], "_");
    if word.is_empty() || FRAMEWORKS.contains(&word.as_str()) || UNKNOWN.contains(&word.as_str()) || is_template(identifier) {
        return None;
    }
    // The Vercel AI SDK adds the API to the provider: `openai.chat`, `anthropic.messages`, `google.generative-ai`.
    usual_spelling(&word).or_else(|| usual_spelling(word.split('.').next()?)).or(Some(identifier))
}

fn usual_spelling(word: &str) -> Option<&'static str> {
    Some(match word {
        "openai" => "OpenAI",
        "anthropic" => "Anthropic",
        "azure" | "azure_openai" | "azureopenai" | "azure.ai.openai" | "az.ai.openai" => "Azure OpenAI",
        "azure.ai.inference" | "az.ai.inference" | "azure_ai" => "Azure AI",
        "aws" | "bedrock" | "aws_bedrock" | "aws.bedrock" | "amazon_bedrock" | "bedrock_converse" | "aws_bedrock_runtime" => {
            "Amazon Bedrock"
        }
        "google" | "gcp.gen_ai" | "google_genai" | "google.generative_ai" | "google_generative_ai" | "google_gla" => "Google",
        "gemini" | "gcp.gemini" => "Google Gemini",
        "vertexai" | "vertex_ai" | "gcp.vertex_ai" | "google_vertexai" | "google.vertex" | "google_vertex" | "vertex" => "Google Vertex AI",
        "mistral" | "mistralai" | "mistral_ai" => "Mistral AI",
        "cohere" => "Cohere",
        "deepseek" => "DeepSeek",
        "groq" => "Groq",
        "huggingface" | "hugging_face" => "Hugging Face",
        "ollama" => "Ollama",
        "openrouter" => "OpenRouter",
        "perplexity" => "Perplexity",
        "xai" | "x_ai" => "xAI",
        "together" | "together_ai" | "togetherai" => "Together AI",
        "fireworks" | "fireworks_ai" => "Fireworks AI",
        "cerebras" => "Cerebras",
        "ibm.watsonx.ai" | "watsonx" => "watsonx.ai",
        "vllm" | "hosted_vllm" => "vLLM",
        "dashscope" => "DashScope",
        "moonshot" | "moonshotai" | "moonshot_ai" => "Moonshot AI",
        _ => return None,
    })
}

/// The provider of a model call: as recorded, or by what only one provider can be: the host, the SDK that raised the error, the name of the model.
pub(super) fn provider_of<'s>(span: &'s Span, error_type: Option<&str>) -> Option<&'s str> {
    let recorded = span.provider.as_deref().and_then(provider_name);
    recorded.or_else(|| provider_of_host(span)).or_else(|| {
        // A proxy or Azure serves the same models, so that a host that is not the provider's own says that it is not known.
        if has_address(span) {
            return None;
        }
        let of_model = || span.model.as_deref().and_then(model_name).and_then(provider_of_model);
        match error_type.and_then(sdk_of) {
            Some((_, provider)) => provider,
            None => of_model(),
        }
    })
}

/// The SDK that has this type of error, and its provider; `None` in its place if the SDK calls models of several.
fn sdk_of(error_type: &str) -> Option<(&'static str, Option<&'static str>)> {
    const SDKS: [(&str, Option<&str>); 12] = [
        ("anthropic.", Some("Anthropic")),
        ("google.genai.", Some("Google")),
        ("google.generativeai.", Some("Google")),
        ("vertexai.", Some("Google Vertex AI")),
        ("google.api_core.", Some("Google")),
        ("mistralai.", Some("Mistral AI")),
        ("cohere.", Some("Cohere")),
        ("groq.", Some("Groq")),
        ("ollama.", Some("Ollama")),
        ("huggingface_hub.", Some("Hugging Face")),
        ("botocore.", None),
        ("azure.", None),
    ];
    SDKS.into_iter().find(|(module, _)| error_type.starts_with(module))
}

/// The provider that alone has models of this name.
fn provider_of_model(model: &str) -> Option<&'static str> {
    // With a prefix, a gateway or Bedrock was called: `openrouter/openai/gpt-4o`, `us.anthropic.claude-…`.
    let name = model.trim().to_ascii_lowercase();
    let is_of_series = |start: &str| name.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']));
    let digit_series = |letter: char| {
        let rest = name.strip_prefix(letter);
        rest.and_then(|rest| rest.chars().next()).is_some_and(|digit| ('1'..='9').contains(&digit))
            && name.get(2..).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if name.starts_with("gpt-oss") {
        return None;
    }
    if is_of_series("gpt-3") || is_of_series("gpt-4") || is_of_series("gpt-5") || name.starts_with("gpt-4o") || digit_series('o') {
        return Some("OpenAI");
    }
    if is_of_series("claude") {
        return Some("Anthropic");
    }
    is_of_series("gemini").then_some("Google")
}

/// The host that a model call went to, if an instrumentation recorded it.
fn host_of(span: &Span) -> Option<&str> {
    const KEYS: [&str; 5] = ["server.address", "url.full", "http.url", "gen_ai.openai.api_base", "net.peer.name"];
    let value = KEYS.iter().find_map(|key| span.attribute(key))?.trim();
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    rest.split(['/', ':', '?']).next().filter(|host| !host.is_empty())
}

fn has_address(span: &Span) -> bool {
    host_of(span).is_some()
}

fn provider_of_host(span: &Span) -> Option<&'static str> {
    const HOSTS: [(&str, &str); 16] = [
        ("api.openai.com", "OpenAI"),
        ("api.anthropic.com", "Anthropic"),
        ("generativelanguage.googleapis.com", "Google"),
        ("aiplatform.googleapis.com", "Google Vertex AI"),
        ("openai.azure.com", "Azure OpenAI"),
        ("services.ai.azure.com", "Azure AI"),
        ("api.mistral.ai", "Mistral AI"),
        ("api.cohere.com", "Cohere"),
        ("api.groq.com", "Groq"),
        ("api.deepseek.com", "DeepSeek"),
        ("api.x.ai", "xAI"),
        ("openrouter.ai", "OpenRouter"),
        ("api.together.xyz", "Together AI"),
        ("api.fireworks.ai", "Fireworks AI"),
        ("api.perplexity.ai", "Perplexity"),
        ("api.cerebras.ai", "Cerebras"),
    ];
    let host = host_of(span)?.to_ascii_lowercase();
    if host.starts_with("bedrock") && host.ends_with(".amazonaws.com") {
        return Some("Amazon Bedrock");
    }
    let is_below = |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-']));
    HOSTS.iter().find(|(name, _)| is_below(name)).map(|(_, provider)| *provider)
}

/// The name of a model; `None` for a word that says that it is not known, and for a template that was recorded without being filled.
pub(super) fn model_name(recorded: &str) -> Option<&str> {
    const NO_NAMES: [&str; 18] = [
        "",
        "unknown",
        "none",
        "null",
        "undefined",
        "default",
        "model",
        "the model",
        "n/a",
        "na",
        "auto",
        "llm",
        "unspecified",
        "not specified",
        "<unknown>",
        "unknown model",
        "unknown_model",
        "chat",
    ];
    let name = recorded.trim();
    let is_word = NO_NAMES.contains(&name.to_ascii_lowercase().as_str());
    (!is_word && !is_template(name) && name.chars().any(char::is_alphanumeric)).then_some(name)
}

/// Whether a text is a template: `{gen_ai.request.model!r}`, `${model}`, `{{ model }}`, `%s`, `<model>`.
fn is_template(text: &str) -> bool {
    let text = text.trim();
    let wrapped = |open: &str, close: &str| text.starts_with(open) && text.ends_with(close);
    wrapped("{", "}")
        || wrapped("${", "}")
        || wrapped("{{", "}}")
        || wrapped("<%", "%>")
        || text == "%s"
        || (text.contains('{') && text.contains("!r}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attribute;

    #[test]
    fn identifiers_of_instrumentations_have_the_usual_spelling() {
        for (identifier, name) in [
            ("openai", Some("OpenAI")),
            ("openai.chat", Some("OpenAI")),
            ("openai.responses", Some("OpenAI")),
            ("anthropic.messages", Some("Anthropic")),
            ("google.generative-ai", Some("Google")),
            ("google.vertex.chat", Some("Google")),
            ("google.vertex", Some("Google Vertex AI")),
            ("amazon-bedrock", Some("Amazon Bedrock")),
            ("azure-openai.chat", Some("Azure OpenAI")),
            ("mistral.chat", Some("Mistral AI")),
            ("xai.chat", Some("xAI")),
            ("acme-llm", Some("acme-llm")),
            ("langchain", None),
            ("LlamaIndex", None),
            ("crewai", None),
            ("google_adk", None),
            ("gcp.vertex.agent", None),
            ("pydantic-ai", None),
            ("litellm_proxy", None),
            ("unknown", None),
            ("{provider}", None),
        ] {
            assert_eq!(provider_name(identifier), name, "{identifier}");
        }
    }

    #[test]
    fn a_provider_is_inferred_only_with_certainty() {
        let provider = |model: &str, host: Option<&str>| {
            let attributes = host.into_iter().map(|host| Attribute { key: "server.address".into(), value: host.into() }).collect();
            let span = Span { model: Some(model.into()), attributes, provider: Some("langchain".into()), ..Span::default() };
            provider_of(&span, None).map(str::to_owned)
        };
        for (model, expected) in [
            ("gpt-4o-mini", Some("OpenAI")),
            ("o3", Some("OpenAI")),
            ("o4-mini", Some("OpenAI")),
            ("claude-sonnet-4-5", Some("Anthropic")),
            ("gemini-2.5-pro", Some("Google")),
            ("gpt-oss-120b", None),
            ("llama-3.3-70b", None),
            ("openrouter/openai/gpt-4o", None),
            ("us.anthropic.claude-3", None),
            ("olmo-2", None),
            ("claudette", None),
        ] {
            assert_eq!(provider(model, None).as_deref(), expected, "{model}");
        }
        let span = Span { model: Some("gpt-4o".into()), ..Span::default() };
        assert_eq!(provider_of(&span, Some("groq.RateLimitError")), Some("Groq"));
        assert_eq!(provider_of(&span, Some("botocore.exceptions.ClientError")), None);
        assert_eq!(provider_of(&span, Some("openai.RateLimitError")), Some("OpenAI"));
        assert_eq!(provider("gpt-4o", Some("acme.openai.azure.com")).as_deref(), Some("Azure OpenAI"));
        assert_eq!(provider("gpt-4o", Some("127.0.0.1")).as_deref(), None, "a proxy");
        assert_eq!(provider("llama", Some("api.groq.com")).as_deref(), Some("Groq"));
        assert_eq!(provider("llama", Some("notapi.groq.com.example")).as_deref(), None);
    }

    #[test]
    fn words_and_templates_are_no_names_of_models() {
        for name in ["{gen_ai.request.model!r}", "${model}", "unknown", "None", "the model", "", "{{ model }}"] {
            assert_eq!(model_name(name), None, "{name}");
        }
        for name in ["gpt-4o", "claude-sonnet-4-5", "qwen3:14b", "accounts/fireworks/models/x"] {
            assert_eq!(model_name(name), Some(name), "{name}");
        }
    }
}
