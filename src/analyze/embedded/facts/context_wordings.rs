//! The numbers in messages about a request that is too long, in the wordings of providers, gateways and local servers.

use std::sync::LazyLock;

use super::super::byte_regex::ByteRegex;

use super::texts::number_of;

/// The numbers of one message, as written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers<'t> {
    /// Tokens of the whole request.
    pub(super) request: Option<&'t str>,
    /// Tokens of the prompt alone.
    pub(super) prompt: Option<&'t str>,
    /// Tokens that the request reserves for the answer.
    pub(super) completion: Option<&'t str>,
    pub(super) limit: Option<&'t str>,
    /// Tokens over the limit.
    pub(super) excess: Option<&'t str>,
    pub(super) request_characters: Option<&'t str>,
    pub(super) limit_characters: Option<&'t str>,
    pub(super) limit_bytes: Option<&'t str>,
}

/// Expressions with the groups `r` (request), `p` (prompt), `c` (completion), `l` (limit), `x` (excess), `rc` and `lc` (characters), `lb` (bytes).
/// `N` stands for a number. The first that finds a group decides it, so that the general ones come last.
#[rustfmt::skip]
const WORDINGS: [&str; 46] = [
    // Anthropic; the SDKs of OpenAI and Fireworks have the same beginning.
    r"prompt is too long:? (?P<r>N)(?: tokens)? > (?P<l>N)",
    r"prompt is too long: (?P<r>N), model maximum context length: (?P<l>N)",
    r"exceed context limit: (?P<p>N) \+ (?P<c>N) > (?P<l>N)",
    // vLLM: the tokens of the answer against what the prompt leaves.
    r"\((?P<c>N) > (?P<l>N) - (?P<p>N)\)",
    r"passed (?P<p>N) input tokens and requested (?P<c>N) output tokens",
    r"your request has (?P<p>N) input tokens",
    r"context length (?:is|of) only (?P<l>N)",
    r"\(length (?P<r>N)\) is longer than the maximum model length of (?P<l>N)",
    // SGLang.
    r"\((?P<r>N) tokens\) is longer than the model's context length \((?P<l>N)",
    r"(?P<p>N) tokens from the (?:input )?messages and (?P<c>N) tokens for the completion",
    // OpenAI, Azure, DeepSeek, vLLM, OpenRouter, xAI.
    r"'s (?:maximum )?(?:context|prompt|model|input|sequence) ?(?:length|window|size)(?: limit)? is (?:only )?(?P<l>N)",
    r"you requested (?:about |a total of |up to )?(?P<r>N) tokens",
    r"(?:messages|input|prompt) resulted in (?P<r>N) tokens",
    r"but the request contains (?P<r>N) tokens",
    r"\((?P<p>N) (?:tokens )?(?:in (?:your|the) (?:prompt|messages|input)|of text input)",
    r"(?P<c>N) (?:tokens )?(?:for|in) the (?:completion|output)",
    r"requested (?P<r>N) tokens, max (?P<l>N) tokens",
    r"(?:maximum request size|maximum context length) is (?P<l>N)",
    r"configured limit of (?P<l>N) tokens",
    // Gemini, Vertex AI.
    r"input token count(?: is)? \(?(?P<r>N)\)?",
    r"maximum number of tokens allowed(?: is)?:? \(?(?P<l>N)",
    r"(?:only supports|supports only) up to (?P<l>N)",
    // Bedrock.
    r"max(?:imum)? input tokens:? (?P<l>N),? (?:request )?input token count:? (?P<r>N)",
    // Mistral AI.
    r"(?:prompt|request|input) contains (?P<r>N) (?:input )?tokens",
    r"too large for model with (?P<l>N) maximum",
    // Cohere.
    r"cannot exceed (?P<l>N) - received (?P<r>N)",
    r"limit exceeded by (?P<x>N) tokens",
    r"limit for this model is (?P<l>N) tokens",
    // llama.cpp, LM Studio, Ollama.
    r"requested tokens \((?P<r>N)\) exceed context window of (?P<l>N)",
    r"request \((?P<r>N) tokens\) exceeds the available context size \((?P<l>N)",
    r#"n_prompt_tokens["' :=]{1,5}(?P<r>N)"#,
    r#"n_ctx["' :=]{1,5}(?P<l>N)"#,
    r"keep the first (?P<r>N) tokens",
    // Text Generation Inference, Together.
    r"must (?:be <=|have less than) (?P<l>N)(?: tokens)?\. given: (?P<p>N)(?: `?inputs`? tokens and (?P<c>N))?",
    // NVIDIA NIM, TensorRT-LLM.
    r"(?:input|prompt) length:? \(?(?P<r>N)\)? exceeds (?:the )?maximum (?:allowed |input )?(?:token |input )?(?:size|length):? \(?(?P<l>N)",
    // Moonshot, Cerebras, GitHub Models, Voyage, watsonx, DashScope.
    r"model token limit: (?P<l>N)(?: \(requested: (?P<r>N)\))?",
    r"current length is (?P<r>N) while limit is (?P<l>N)",
    r"max size: (?P<l>N) tokens",
    r"per submitted batch is (?P<l>N)\. your batch has (?P<r>N) tokens",
    r"number of input tokens \(?(?P<r>N)\)? (?:cannot exceed|must not exceed|exceeds)[^0-9.]{0,40}(?P<l>N)",
    r"range of input length should be \[[01], ?(?P<l>N)\]",
    // Characters and bytes.
    r"maximum length (?P<lc>N),? but got a string with length (?P<rc>N)|maxlength: (?P<lc2>N), actual: (?P<rc2>N)",
    r"(?:max(?:imum)?(?: input)? characters (?:is|of|are):? |exceeds? (?:the )?(?:limit|maximum)(?: length)?(?: of)? )(?P<lc>N)(?: characters|$)",
    r"size exceeds the limit:? (?:of )?(?P<lb>N) bytes",
    // Any other sentence that compares tokens with a limit.
    r"(?P<r>N) (?:input |prompt |total )?tokens?\)?,? (?:which )?(?:exceeds?|exceeded|is (?:more|larger|longer|greater) than|>)[^0-9.]*(?P<l>N)",
    r"(?:limit|maximum|window|context length|context size|token count|最大|上限|限制|不能超过|不得超过)(?: is| of|:| =)? ?\(?(?P<l>N)(?: ?tokens| ?个)|token count of (?P<r>N) exceeds the limit of (?P<l2>N)",
];

static EXPRESSIONS: LazyLock<Vec<ByteRegex>> = LazyLock::new(|| {
    // A capital N occurs in no expression otherwise.
    let source = |wording: &&str| format!("(?i){}", wording.replace('N', r"[0-9][0-9,_]*"));
    WORDINGS.iter().map(source).map(ByteRegex::from).collect()
});

/// The numbers of a message.
pub(super) fn numbers_in(text: &str) -> Numbers<'_> {
    let mut numbers = Numbers::default();
    for expression in EXPRESSIONS.iter() {
        let Some(captures) = expression.captures(text) else { continue };
        let group = |names: [&str; 2], is_count: bool| {
            let found = names.iter().find_map(|name| captures.name(name))?;
            let value = found.as_str().trim_end_matches([',', '_']);
            let is_plausible = number_of(value).is_some_and(|number| (10..1_000_000_000).contains(&number));
            (is_plausible && (!is_count || counts_tokens(text.get(found.end()..).unwrap_or_default()))).then_some(value)
        };
        numbers.request = numbers.request.or_else(|| group(["r", "r"], true));
        numbers.prompt = numbers.prompt.or_else(|| group(["p", "p"], true));
        numbers.completion = numbers.completion.or_else(|| group(["c", "c"], true));
        numbers.limit = numbers.limit.or_else(|| group(["l", "l2"], true));
        numbers.excess = numbers.excess.or_else(|| group(["x", "x"], true));
        numbers.request_characters = numbers.request_characters.or_else(|| group(["rc", "rc2"], false));
        numbers.limit_characters = numbers.limit_characters.or_else(|| group(["lc", "lc2"], false));
        numbers.limit_bytes = numbers.limit_bytes.or_else(|| group(["lb", "lb"], false));
    }
    numbers
}

/// Whether what follows a number does not say that it counts something other than tokens.
fn counts_tokens(rest: &str) -> bool {
    const OTHER_UNITS: [&str; 13] =
        ["char", "byte", "kb", "mb", "kib", "mib", "requests", "seconds", "messages", "images", "pages", "items", "%"];
    let rest = rest.trim_start_matches([' ', ')', '.']).trim_start();
    !OTHER_UNITS.iter().any(|unit| rest.get(..unit.len()).is_some_and(|start| start.eq_ignore_ascii_case(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_compiles() {
        // An invalid one panics in a test.
        assert!(EXPRESSIONS.iter().all(|expression| !expression.is_match("")));
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of wordings")]
    fn tokens_and_limits_are_read_in_the_wordings_of_providers() {
        for (text, request, prompt, completion, limit) in [
            (
                "This model's maximum context length is 128000 tokens. However, your messages resulted in 141397 tokens.",
                "141397",
                "",
                "",
                "128000",
            ),
            (
                "This model's maximum context length is 4097 tokens, however you requested 5360 tokens (1360 in your prompt; 4000 for the completion).",
                "5360",
                "1360",
                "4000",
                "4097",
            ),
            (
                "This model's maximum context length is 65536 tokens. However, you requested 70000 tokens (66000 in the messages, 4000 in the completion). Please reduce",
                "70000",
                "66000",
                "4000",
                "65536",
            ),
            (
                "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300113 tokens.",
                "300113",
                "",
                "",
                "272000",
            ),
            ("Requested 372,123 tokens, max 300,000 tokens per request", "372,123", "", "", "300,000"),
            ("prompt is too long: 210312 tokens > 200000 maximum", "210312", "", "", "200000"),
            (
                "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length",
                "",
                "190000",
                "20000",
                "200000",
            ),
            ("The input token count (1203311) exceeds the maximum number of tokens allowed (1048576).", "1203311", "", "", "1048576"),
            (
                "Unable to submit request because the input token count is 1050000 but model only supports up to 1048576.",
                "1050000",
                "",
                "",
                "1048576",
            ),
            ("400 Bad Request: Too many input tokens. Max input tokens: 8192, request input token count: 9012", "9012", "", "", "8192"),
            (
                "Prompt contains 40123 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
                "40123",
                "",
                "",
                "32768",
            ),
            ("too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5192.", "5192", "", "", "4081"),
            ("too many tokens: size limit exceeded by 1234 tokens. The limit for this model is 128000 tokens.", "", "", "", "128000"),
            ("Requested tokens (4123) exceed context window of 2048", "4123", "", "", "2048"),
            ("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", "5000", "", "", "4096"),
            (r#"{"error":{"code":400,"type":"exceed_context_size_error","n_prompt_tokens":5201,"n_ctx":4096}}"#, "5201", "", "", "4096"),
            (
                "Trying to keep the first 5120 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens",
                "5120",
                "",
                "",
                "4096",
            ),
            (
                "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5120 `inputs` tokens and 512 `max_new_tokens`",
                "",
                "5120",
                "512",
                "4096",
            ),
            (
                "'max_tokens' is too large: 4096. This model's maximum context length is 8192 tokens and your request has 5000 input tokens (4096 > 8192 - 5000).",
                "",
                "5000",
                "4096",
                "8192",
            ),
            (
                "You passed 40001 input tokens and requested 1000 output tokens. However, the model's context length is only 40960 tokens",
                "",
                "40001",
                "1000",
                "40960",
            ),
            ("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", "5000", "", "", "4096"),
            ("The input (5000 tokens) is longer than the model's context length (4096 tokens).", "5000", "", "", "4096"),
            ("Input length 514 exceeds maximum allowed token size 512", "514", "", "", "512"),
            ("This model's maximum prompt length is 131072 but the request contains 140021 tokens.", "140021", "", "", "131072"),
            ("Invalid request: Your request exceeded model token limit: 8192 (requested: 9001)", "9001", "", "", "8192"),
            ("Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192", "9000", "", "", "8192"),
            ("Request body too large for gpt-4o-mini model. Max size: 8000 tokens.", "", "", "", "8000"),
            ("prompt token count of 70000 exceeds the limit of 64000", "70000", "", "", "64000"),
            ("the number of input tokens 5000 cannot exceed the total tokens limit 4096 for this model", "5000", "", "", "4096"),
            ("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]", "", "", "", "30720"),
            (
                "This endpoint's maximum context length is 131072 tokens. However, you requested about 200010 tokens (190000 of text input, 10010 in the output).",
                "200010",
                "190000",
                "10010",
                "131072",
            ),
            ("The conversation has 151203 tokens, which exceeds the limit of 128000", "151203", "", "", "128000"),
        ] {
            let numbers = numbers_in(text);
            let found = [numbers.request, numbers.prompt, numbers.completion, numbers.limit].map(Option::unwrap_or_default);
            assert_eq!(found, [request, prompt, completion, limit], "{text}");
        }
        assert_eq!(numbers_in("size limit exceeded by 1234 tokens").excess, Some("1234"));
    }

    #[test]
    fn characters_and_bytes_are_no_tokens() {
        let numbers =
            numbers_in("string too long. Expected a string with maximum length 1048576, but got a string with length 1200000 instead.");
        assert_eq!((numbers.limit_characters, numbers.request_characters, numbers.limit), (Some("1048576"), Some("1200000"), None));
        let numbers = numbers_in("Malformed input request: expected maxLength: 50000, actual: 50100, please reformat your input");
        assert_eq!((numbers.limit_characters, numbers.request_characters), (Some("50000"), Some("50100")));
        let numbers = numbers_in("Request payload size exceeds the limit: 20971520 bytes.");
        assert_eq!((numbers.limit_bytes, numbers.limit), (Some("20971520"), None));
        assert_eq!(numbers_in("The text exceeds the limit of 20000 characters").limit, None);
    }

    #[test]
    fn other_numbers_are_not_the_limit() {
        for text in [
            "context window exceeds limit (2013)",
            "Input is too long for requested model. RequestId: 9c8b1f2e-1234",
            "Error code: 400 - context_length_exceeded, request req_01021999",
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            "the request exceeds the available context size of gpt-4-32k",
            "the context window was exceeded at 2026-11-26 12:00:00",
        ] {
            assert_eq!(numbers_in(text), Numbers::default(), "{text}");
        }
    }
}
