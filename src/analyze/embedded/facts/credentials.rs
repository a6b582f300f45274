//! Facts of a rejected credential or a denied permission: which credential, what is wrong with it, where it is set, and what was denied.

use super::super::byte_regex::ByteRegex;

use super::denied;
use super::names::fact_names;
use super::texts::{Source, add_match, add_meaning};
use super::{Case, Extractor, Facts};

fact_names! {
    CREDENTIAL_KIND = "credential_kind", Text, "the kind of credential";
    CREDENTIAL_PROBLEM = "credential_problem", Text, "what is wrong with the credential";
    CREDENTIAL_VARIABLE = "credential_variable", Text, "the environment variable of the credential";
    CREDENTIAL = "credential", Text, "the credential, masked";
    DENIED_PERMISSION = "denied_permission", Text, "the permission that is missing";
    DENIED_RESOURCE = "denied_resource", Text, "the resource to which access was denied";
    DENIED_MODEL = "denied_model", Text, "the model to which access was denied";
    DENIED_PRINCIPAL = "denied_principal", Text, "the identity that was denied";
    DENIED_PROJECT = "denied_project", Text, "the project that was denied";
    DENIED_BECAUSE = "denied_because", Text, "why access was denied";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Kinds of credentials, the specific ones first. Each completes "the …".
static KINDS: [(ByteRegex, &str); 11] = [
    (ByteRegex::new(r"(?i)subscription key"), "subscription key"),
    (
        ByteRegex::new(r"(?i)application default credentials|default credentials were not found|DefaultCredentialsError"),
        "set of Application Default Credentials",
    ),
    (ByteRegex::new(r"(?i)service account|gserviceaccount"), "service account"),
    (
        ByteRegex::new(
            r"(?i)security token|UnrecognizedClientException|unable to locate credentials|NoCredentials|InvalidSignature|aws (?:access|secret|credentials|session)|(?-u:\b)arn:aws(?-u:\b)|InvalidClientTokenId|SignatureDoesNotMatch|could not load credentials from any providers",
        ),
        "AWS credential",
    ),
    (ByteRegex::new(r"(?i)AADSTS|azure ad|entra|DefaultAzureCredential|ClientSecretCredential|managed identity"), "Microsoft Entra token"),
    (ByteRegex::new(r"(?i)personal access token"), "personal access token"),
    (ByteRegex::new(r"(?i)refresh token|invalid_grant|oauth"), "OAuth token"),
    (ByteRegex::new(r"(?i)api[-_ ]?key|api_key|密钥|x-goog-api-key|no cookie auth credentials|no auth credentials"), "API key"),
    (ByteRegex::new(r"(?i)(?-u:\b)jwt(?-u:\b)|json web token"), "JWT"),
    (ByteRegex::new(r"(?i)bearer|access token|auth(?:entication|orization)? token|令牌"), "access token"),
    (ByteRegex::new(r"(?i)(?-u:\b)password(?-u:\b)"), "password"),
];

/// What is wrong with a credential, as the end of a sentence about it.
static PROBLEMS: [(ByteRegex, &str); 9] = [
    (ByteRegex::new(r"(?i)(?-u:\b)expired or (?:been )?revoked|revoked or expired"), "has expired or was revoked"),
    (ByteRegex::new(r"(?i)(?-u:\b)revoked(?-u:\b)"), "was revoked"),
    (ByteRegex::new(r"(?i)has been (?:disabled|deactivated|deleted)|已(?:禁用|吊销)"), "was disabled"),
    (ByteRegex::new(r"(?i)(?-u:\b)expired(?-u:\b)|ExpiredToken|过期"), "has expired"),
    (
        ByteRegex::new(
            r"(?i)must be set|not set(?-u:\b)|no (?:api[-_ ]?key|auth credentials|cookie auth credentials|credentials)(?-u:\b)|(?:api[-_ ]?key|credentials?|token|authorization(?: header)?) (?:is|are|was|were) (?:missing|required|not (?:set|found|provided|configured))|missing (?:credentials|api[-_ ]?key|authorization|bearer|authentication)|did(?:n't| not) (?:provide|find)|unable to locate credentials|could not (?:find|load) credentials|credentials were not found|not found in (?:the )?environment|无效的?api key为空|未提供",
        ),
        "is missing",
    ),
    (ByteRegex::new(r"(?i)malformed|badly formed|invalid header value|illegal header|wrong format"), "is malformed"),
    (ByteRegex::new(r"(?i)leaked|compromised"), "was reported as leaked"),
    (
        ByteRegex::new(r"(?i)(?:invalid|incorrect|wrong) (?:subscription |api )?key or (?:wrong|incorrect|invalid) (?:api )?endpoint"),
        "is not valid, or it belongs to another endpoint",
    ),
    (
        ByteRegex::new(
            r"(?i)incorrect|(?-u:\b)invalid(?-u:\b)|invalid_(?:api_key|auth|token|grant|credential|client)|InvalidSignature|SignatureDoesNotMatch|UnrecognizedClient|InvalidClientTokenId|not valid|(?-u:\b)wrong|API_KEY_INVALID|does not match|unrecognized|authentication fails|无效|错误|不正确|failed to (?:verify|authenticate)|authentication failed",
        ),
        "is not valid",
    ),
];

/// Reasons for which access is denied other than a missing permission.
static REASONS: [(ByteRegex, &str); 10] = [
    (
        ByteRegex::new(
            r"(?i)country, region, or territory|unsupported_country|location is not supported|not available in your (?:country|region|location)",
        ),
        "the provider does not serve the country or region",
    ),
    (ByteRegex::new(r"(?i)must be verified|verify (?:your )?organi[sz]ation"), "the organization is not verified"),
    (
        ByteRegex::new(r"(?i)SERVICE_DISABLED|has not been used in project|api (?:is|has) not (?:been )?enabled|it is disabled"),
        "the API is not enabled in the project",
    ),
    (
        ByteRegex::new(r"(?i)BILLING_DISABLED|requires? billing|enable billing|billing (?:account )?(?:is )?(?:not|disabled)"),
        "the project has no active billing",
    ),
    (
        ByteRegex::new(
            r"(?i)API_KEY_(?:SERVICE|IP_ADDRESS|HTTP_REFERRER|ANDROID_APP|IOS_APP)_?(?:ADDRESS_)?BLOCKED|ip[_ ]address.{0,30}(?:not allowed|blocked|not authorized)|not in (?:the )?(?:ip )?allow-?list|ip_not_authorized",
        ),
        "the address or application is not on the allow list of the key",
    ),
    (ByteRegex::new(r"(?i)explicit deny"), "a policy denies it explicitly"),
    (ByteRegex::new(r"(?i)no identity-based policy allows"), "no identity-based policy allows it"),
    (
        ByteRegex::new(r"(?i)public network access|virtual network|firewall|private endpoint"),
        "the network rules of the resource do not allow it",
    ),
    (
        ByteRegex::new(r"(?i)insufficient (?:authentication )?scopes?|missing scopes?|ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        "the credential lacks a scope",
    ),
    (
        ByteRegex::new(
            r"(?i)terms (?:of (?:service|use))?.{0,20}(?:accept|agree)|(?:accept|agree to).{0,30}terms|gated (?:repo|model)|model access|use case details",
        ),
        "access to the model was not requested or its terms not accepted",
    ),
];

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let is_credential = case.is(&["authentication_failed", "tool_auth_failed"]);
    if !is_credential && !case.is(&["permission_denied"]) {
        return;
    }
    let sources = case.error_texts();
    // A tool's service may know the identity well, and not allow it what it asked for.
    if case.is(&["tool_auth_failed"]) && denied::add(sources, facts) {
        return;
    }
    add_facts(sources, is_credential, facts);
}

fn add_facts(sources: &[Source<'_>], is_credential: bool, facts: &mut Facts) {
    static VARIABLE: ByteRegex =
        ByteRegex::new(r"(?-u:\b)((?:[A-Z][A-Z0-9]*_){1,6}(?:KEY|TOKEN|SECRET|CREDENTIALS|PASSWORD|PAT|KEY_ID|PROFILE))(?-u:\b)");
    static MASKED: ByteRegex = ByteRegex::new(
        r"(<[A-Z_]*(?:KEY|TOKEN|SECRET|PASSWORD|JWT)[A-Z_]*(?::[0-9a-f]{6})?>|(?-u:\b)[A-Za-z0-9_-]{1,12}\*{3,}[A-Za-z0-9]{0,6}|(?-u:\b)sk-[A-Za-z0-9-]{0,8}(?:\.{3}|…)[A-Za-z0-9]{2,6})",
    );
    static PERMISSION: ByteRegex = ByteRegex::new(concat!(
        r"(?i)(?-u:\b)permission [`']([0-9A-Za-z_][0-9A-Za-z_./:*-]{2,})[`']|(?-u:\b)not authorized to perform:? [`']?([0-9A-Za-z_:.*/-]{2,}[0-9A-Za-z_*])|(?-u:\b)missing (?:required )?(?:scopes?|permissions?)[^0-9A-Za-z_]{1,4}([0-9A-Za-z_.:/*-]{2,}[0-9A-Za-z_*])|",
        r"(?-u:\b)(?:lacks|does not have|requires) (?:the )?(?:required )?(?:data action|permission|role|scope)s? [`']([A-Za-z][0-9A-Za-z_./:*-]{2,})",
    ));
    static RESOURCE: ByteRegex = ByteRegex::new(
        r"(?i)(?-u:\b)on (?:the )?resource:? [`']?((?:arn:|//|projects/)[^\s'`,)]{3,})|(?-u:\b)denied (?:on|for|to) [`']((?:arn:|//|projects/)[^\s'`,)]{3,})[`']",
    );
    static MODEL: ByteRegex = ByteRegex::new(
        r"(?i)(?-u:\b)(?:access to|permission to (?:access|use)|allowed to (?:access|use|sample from)|to use) (?:the )?(?:following )?(?:model|engine|deployment)s?:? [`'\x22]?([0-9A-Za-z_][0-9A-Za-z_./:@-]+)",
    );
    static PRINCIPAL: ByteRegex = ByteRegex::new(
        r"(?-u:\b)User: (arn:[^\s]{3,})|(?-u:\b)(?:principal|identity|user) [`']([0-9A-Za-z_@.:<>/-]{2,})[`'] (?:lacks|does not|is not)",
    );
    static PROJECT: ByteRegex =
        ByteRegex::new(r"(?-u:\b)[Pp]roject [`']?(proj_[0-9A-Za-z_]+)|(?-u:\b)in project ([a-z0-9][0-9A-Za-z_-]{3,}) before(?-u:\b)");
    add_meaning(&CREDENTIAL_KIND, sources, &KINDS, facts);
    if is_credential {
        add_meaning(&CREDENTIAL_PROBLEM, sources, &PROBLEMS, facts);
        for source in sources {
            // `<OPENAI_KEY:1a2b3c>` is a redacted value.
            let is_redacted = |at: usize| source.text.get(..at).is_some_and(|before| before.ends_with('<'));
            let found = VARIABLE.captures_iter(source.text).filter_map(|captures| captures.get(1));
            let mut found = found.filter(|found| !is_redacted(found.start()));
            if let Some(name) = found.find(|name| is_variable(name.as_str())) {
                facts.add(&CREDENTIAL_VARIABLE, name.as_str(), source.place());
            }
        }
    }
    add_match(&CREDENTIAL, sources, &MASKED, facts);
    add_match(&DENIED_PERMISSION, sources, &PERMISSION, facts);
    add_match(&DENIED_RESOURCE, sources, &RESOURCE, facts);
    add_match(&DENIED_PRINCIPAL, sources, &PRINCIPAL, facts);
    add_match(&DENIED_PROJECT, sources, &PROJECT, facts);
    if !is_credential {
        let mut trimmed = Facts::default();
        if add_match(&DENIED_MODEL, sources, &MODEL, &mut trimmed)
            && let Some(model) = trimmed.get(&DENIED_MODEL).map(|model| model.trim_end_matches(['.', ',', ':']).to_owned())
            && !matches!(model.as_str(), "with" | "specified" | "requested" | "you" | "and")
            && let Some((source, _)) = super::texts::find(sources, &MODEL)
        {
            facts.add(&DENIED_MODEL, model, source.place());
        }
        add_meaning(&DENIED_BECAUSE, sources, &REASONS, facts);
    }
}

/// Whether a word in capitals is the name of a variable, and not a code: `INVALID_API_KEY`, `UNSUPPORTED_TOKEN`.
fn is_variable(word: &str) -> bool {
    const OF_CODES: [&str; 14] = [
        "INVALID",
        "MISSING",
        "EXPIRED",
        "INCORRECT",
        "BAD",
        "NO",
        "WRONG",
        "UNAUTHORIZED",
        "UNKNOWN",
        "ERR",
        "ERROR",
        "UNSUPPORTED",
        "REVOKED",
        "MALFORMED",
    ];
    let first = word.split('_').next().unwrap_or_default();
    !OF_CODES.contains(&first) && !matches!(word, "API_KEY" | "ACCESS_TOKEN" | "REFRESH_TOKEN" | "AUTH_TOKEN" | "BEARER_TOKEN")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    fn facts_of(text: &str, is_credential: bool) -> Facts {
        let (span, mut facts) = (Span::default(), Facts::default());
        add_facts(&[Source { span: &span, field: "status_message".into(), text }], is_credential, &mut facts);
        facts
    }

    #[test]
    fn every_expression_compiles() {
        // An invalid one panics in a test.
        assert!(KINDS.iter().chain(PROBLEMS.iter()).chain(REASONS.iter()).all(|(expression, _)| !expression.is_match("")));
    }

    #[test]
    fn credentials_are_described_in_the_wordings_of_providers() {
        for (text, kind, problem, variable) in [
            ("Error code: 401 - Incorrect API key provided: sk-abcd****wxyz.", "API key", "is not valid", ""),
            ("{'type': 'authentication_error', 'message': 'invalid x-api-key'}", "API key", "is not valid", ""),
            (
                "The api_key client option must be set either by passing api_key to the client or by setting the OPENAI_API_KEY environment variable",
                "API key",
                "is missing",
                "OPENAI_API_KEY",
            ),
            ("API key not valid. Please pass a valid API key. [reason: API_KEY_INVALID]", "API key", "is not valid", ""),
            ("API key expired. Please renew the API key.", "API key", "has expired", ""),
            (
                "Your default credentials were not found. To set up Application Default Credentials, see",
                "set of Application Default Credentials",
                "is missing",
                "",
            ),
            ("(UnrecognizedClientException) The security token included in the request is invalid.", "AWS credential", "is not valid", ""),
            (
                "An error occurred (ExpiredTokenException): The security token included in the request is expired",
                "AWS credential",
                "has expired",
                "",
            ),
            ("Unable to locate credentials", "AWS credential", "is missing", ""),
            (
                "Access denied due to invalid subscription key or wrong API endpoint.",
                "subscription key",
                "is not valid, or it belongs to another endpoint",
                "",
            ),
            ("AADSTS7000215: Invalid client secret provided.", "Microsoft Entra token", "is not valid", ""),
            (
                "('invalid_grant: Token has been expired or revoked.', {'error': 'invalid_grant'})",
                "OAuth token",
                "has expired or was revoked",
                "",
            ),
            ("Missing Authentication header", "", "is missing", ""),
            ("ANTHROPIC_API_KEY is not set", "API key", "is missing", "ANTHROPIC_API_KEY"),
            ("{'code': 'INVALID_API_KEY'}", "API key", "is not valid", ""),
            ("401 Unauthorized", "", "", ""),
        ] {
            let facts = facts_of(text, true);
            let found = [&CREDENTIAL_KIND, &CREDENTIAL_PROBLEM, &CREDENTIAL_VARIABLE].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [kind, problem, variable], "{text}");
        }
        assert_eq!(facts_of("Incorrect API key provided: <OPENAI_KEY:1a2b3c>.", true).get(&CREDENTIAL), Some("<OPENAI_KEY:1a2b3c>"));
        assert_eq!(facts_of("Incorrect API key provided: <OPENAI_KEY:1a2b3c>.", true).get(&CREDENTIAL_VARIABLE), None);
        assert_eq!(facts_of("Incorrect API key provided: sk-abcd****wxyz.", true).get(&CREDENTIAL), Some("sk-abcd****wxyz"));
    }

    #[test]
    fn what_was_denied_is_named() {
        for (text, name, expected) in [
            (
                "403 Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/p1' (or it may not exist).",
                &DENIED_PERMISSION,
                Some("aiplatform.endpoints.predict"),
            ),
            (
                "403 Permission 'aiplatform.endpoints.predict' denied on resource '//aiplatform.googleapis.com/projects/p1' (or it may not exist).",
                &DENIED_RESOURCE,
                Some("//aiplatform.googleapis.com/projects/p1"),
            ),
            (
                "User: arn:aws:sts::1:assumed-role/agent is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/x because no identity-based policy allows",
                &DENIED_PERMISSION,
                Some("bedrock:InvokeModel"),
            ),
            (
                "User: arn:aws:sts::1:assumed-role/agent is not authorized to perform: bedrock:InvokeModel on resource: arn:aws:bedrock:us-east-1::foundation-model/x because no identity-based policy allows",
                &DENIED_PRINCIPAL,
                Some("arn:aws:sts::1:assumed-role/agent"),
            ),
            (
                "You have insufficient permissions for this operation. Missing scopes: model.request.",
                &DENIED_PERMISSION,
                Some("model.request"),
            ),
            ("Project `proj_1` does not have access to model `o3`", &DENIED_MODEL, Some("o3")),
            ("You don't have access to the model with the specified model ID.", &DENIED_MODEL, None),
            ("Country, region, or territory not supported", &DENIED_BECAUSE, Some("the provider does not serve the country or region")),
            ("Your organization must be verified to use the model `o3`.", &DENIED_MODEL, Some("o3")),
            (
                "Generative Language API has not been used in project 123 before or it is disabled.",
                &DENIED_BECAUSE,
                Some("the API is not enabled in the project"),
            ),
            (
                "The principal `<ID>` lacks the required data action `Microsoft.CognitiveServices/accounts/OpenAI/deployments/chat/completions/action`",
                &DENIED_PERMISSION,
                Some("Microsoft.CognitiveServices/accounts/OpenAI/deployments/chat/completions/action"),
            ),
            ("Generative Language API has not been used in project 48211 before or it is disabled.", &DENIED_PROJECT, Some("48211")),
            ("Project `proj_1` does not have access to model `o3`", &DENIED_PROJECT, Some("proj_1")),
            ("403 Forbidden", &DENIED_BECAUSE, None),
        ] {
            assert_eq!(facts_of(text, false).get(name), expected, "{text}");
        }
    }
}
