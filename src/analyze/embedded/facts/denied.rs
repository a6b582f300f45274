//! What was denied to an identity that a service knows: the permission, the resource and the identity, in the words of clouds, databases and APIs.
//!
//! A rejected credential is another failure: a new one does not help where a permission is missing.

use super::super::byte_regex::ByteRegex;
use super::FactName;
use super::Facts;
use super::credentials::{DENIED_BECAUSE, DENIED_PERMISSION, DENIED_PRINCIPAL, DENIED_RESOURCE};
use super::texts::Source;

/// What each group of a wording names, in the order of the groups.
type Wording = (ByteRegex, &'static [&'static FactName]);

/// Wordings of a denied permission, the specific ones first.
static WORDINGS: [Wording; 20] = [
    // AWS: `User: arn:… is not authorized to perform: s3:GetObject on resource: "arn:…"`.
    (
        ByteRegex::new(
            r#"(?:[Uu]ser: )?(arn:[^\s]{3,200}) is not authorized to perform:? ["'`]?([0-9A-Za-z_-]{2,40}:[0-9A-Za-z_*]{2,80})["'`]?(?: on (?:the )?resource:? ["'`]?(arn:[^\s"'`,)]{3,200}))?"#,
        ),
        &[&DENIED_PRINCIPAL, &DENIED_PERMISSION, &DENIED_RESOURCE],
    ),
    // Google Cloud: `a@b.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object.`
    (
        ByteRegex::new(
            r"(?i)\b([^\s]{3,120}) does not have ([a-z]+(?:\.[A-Za-z]+){2}) (?:access|permission)(?: to (?:the )?Google Cloud Storage [a-z]+)?(?: (?:in|on|for) ((?:project|resource|bucket) [^\s]{1,100}))?",
        ),
        &[&DENIED_PRINCIPAL, &DENIED_PERMISSION, &DENIED_RESOURCE],
    ),
    // BigQuery: `Access Denied: Table p:d.t: User does not have permission to query table`.
    (
        ByteRegex::new(r"(?i)Access Denied: ((?:Table|Dataset|Project|View|Job|Routine|BigQuery) [^\s:]{1,80}(?::[^\s:]{1,100})?): "),
        &[&DENIED_RESOURCE],
    ),
    // Azure: `The client 'x' with object id 'y' does not have authorization to perform action 'Microsoft…' over scope '/subscriptions/…'`.
    (
        ByteRegex::new(
            r"(?i)\bclient '([^'\n]{3,100})'[^\n]{0,120}? does not have authorization to perform action '([^'\n]{3,120})'(?:[^\n]{0,20} scope '([^'\n]{3,200})')?",
        ),
        &[&DENIED_PRINCIPAL, &DENIED_PERMISSION, &DENIED_RESOURCE],
    ),
    // Kubernetes: `pods is forbidden: User "system:…" cannot list resource "pods" in API group "" in the namespace "shop"`.
    (
        ByteRegex::new(
            r#"(?i)\bforbidden: User \\?"([^"\\\n]{3,120})\\?" cannot ([a-z]+ resource \\?"[a-z0-9./-]{2,60})\\?"(?:[^\n]{0,60}? in the (namespace \\?"[a-z0-9-]{1,80}))?"#,
        ),
        &[&DENIED_PRINCIPAL, &DENIED_PERMISSION, &DENIED_RESOURCE],
    ),
    // MySQL: `SELECT command denied to user 'a'@'h' for table 't'`; `Access denied for user 'a'@'h' to database 'd'`.
    (
        ByteRegex::new(
            r"(?i)\b([A-Z]{4,12}(?:, ?[A-Z]{4,12}){0,3}) command denied to user ('[^'\n]{1,60}'@'[^'\n]{1,80}') for ((?:table|column|routine) [^\s]{1,100})",
        ),
        &[&DENIED_PERMISSION, &DENIED_PRINCIPAL, &DENIED_RESOURCE],
    ),
    (
        ByteRegex::new(r"(?i)\baccess denied for user ('[^'\n]{1,60}'@'[^'\n]{1,80}') to (database '[^'\n]{1,80}')"),
        &[&DENIED_PRINCIPAL, &DENIED_RESOURCE],
    ),
    // PostgreSQL: `permission denied for table orders`, row-level security.
    (
        ByteRegex::new(
            r#"(?i)\bpermission denied for ((?:table|relation|view|materialized view|sequence|schema|database|function|procedure|column|language|foreign server|large object|type) "?[^\s"]{1,100})"#,
        ),
        &[&DENIED_RESOURCE],
    ),
    (ByteRegex::new(r#"(?i)\brow-level security policy[^\n]{0,40}? for (table "?[^\s"]{1,100})"#), &[&DENIED_RESOURCE]),
    (
        ByteRegex::new(r#"(?i)\bmust be owner of ((?:table|relation|view|schema|database|function|sequence) "?[^\s"]{1,100})"#),
        &[&DENIED_RESOURCE],
    ),
    // SQL Server: `The SELECT permission was denied on the object 'orders'`.
    (
        ByteRegex::new(r"(?i)\bThe ([A-Z ]{3,30}) permission was denied on the (?:object|database|schema) '([^'\n]{1,100})'"),
        &[&DENIED_PERMISSION, &DENIED_RESOURCE],
    ),
    // Snowflake: `Insufficient privileges to operate on table 'ORDERS'`.
    (ByteRegex::new(r"(?i)\binsufficient privileges to operate on ([a-z ]{3,30} '[^'\n]{1,120}')"), &[&DENIED_RESOURCE]),
    // Oracle: `ORA-01031: insufficient privileges` names nothing. Elasticsearch: `action [x] is unauthorized for user [y]`.
    (
        ByteRegex::new(
            r"(?i)\baction \[([^\]\n]{3,100})\] is unauthorized for (?:user|API key id|service account|run as user)? ?\[([^\]\n]{1,100})\]",
        ),
        &[&DENIED_PERMISSION, &DENIED_PRINCIPAL],
    ),
    // MongoDB: `not authorized on shop to execute command { find: "orders"`.
    (
        ByteRegex::new(r"(?i)\bnot authorized on ([^\s]{1,80}) to execute command \{ ?([a-zA-Z]{2,30})\b"),
        &[&DENIED_RESOURCE, &DENIED_PERMISSION],
    ),
    // Redis: `NOPERM User default has no permissions to run the 'set' command`; `… to access the key`.
    (ByteRegex::new(r"(?i)\bNOPERM[^\n]{0,60}? has no permissions to run the '([^'\n]{1,40})' command"), &[&DENIED_PERMISSION]),
    // Kafka: `Not authorized to access topics: [orders]`.
    (ByteRegex::new(r"(?i)\bnot authorized to access (topics?:? \[?[^\s\],]{1,100}|group:? ?[^\s]{1,100})"), &[&DENIED_RESOURCE]),
    // Slack: `{"error": "missing_scope", "needed": "channels:read"}`; OAuth: `missing scope: x`.
    (ByteRegex::new(r#"(?i)["']?\bneeded["']?\s{0,2}[:=]\s{0,2}["']?([a-z][a-z0-9_.:,-]{2,80})"#), &[&DENIED_PERMISSION]),
    (
        ByteRegex::new(
            r#"(?i)\b(?:missing|required|requires)(?: the)?(?: required| following| oauth)? scopes?\b[:=]?\s{0,2}[\["'`(]{0,2}([A-Za-z][A-Za-z0-9_.:/*-]{2,120})"#,
        ),
        &[&DENIED_PERMISSION],
    ),
    (
        ByteRegex::new(
            r#"(?i)\b(?:lacks|missing|requires?|needs?|without)(?: the)?(?: required)? (?:permission|privilege|role)s?:? ["'`\[]?([A-Za-z][A-Za-z0-9_]*[._:/][A-Za-z0-9_.:/*-]{1,120})"#,
        ),
        &[&DENIED_PERMISSION],
    ),
    // Files.
    (
        ByteRegex::new(
            r#"(?i)\bpermission denied:? ["'`](/?[^"'`\n]{2,200})["'`]|EACCES: permission denied, [a-z]{2,12} '([^'\n]{2,200})'"#,
        ),
        &[&DENIED_RESOURCE, &DENIED_RESOURCE],
    ),
];

/// Words that only a denied permission has, and what they say.
static REASONS: [(ByteRegex, &str); 9] = [
    (ByteRegex::new(r"(?i)explicit deny"), "a policy denies it explicitly"),
    (ByteRegex::new(r"(?i)no identity-based policy allows"), "no identity-based policy allows it"),
    (ByteRegex::new(r"(?i)no resource-based policy allows"), "no policy of the resource allows it"),
    (ByteRegex::new(r"(?i)row-level security"), "a row-level security policy rejects it"),
    (
        ByteRegex::new(
            r"(?i)insufficient (?:authentication |oauth )?scopes?|missing[_ ]scopes?|scope_insufficient|insufficient_scope|required scopes?",
        ),
        "the credential lacks a scope",
    ),
    (
        ByteRegex::new(r"(?i)resource not accessible by (?:integration|personal access token)"),
        "the token or app was not given this permission",
    ),
    (
        ByteRegex::new(r"(?i)public network access|virtual network|firewall rule|private endpoint|not in (?:the )?(?:ip )?allow-?list"),
        "the network rules of the resource do not allow it",
    ),
    (ByteRegex::new(r"(?i)SAML|single sign-on.{0,30}enforce"), "the token is not authorized for single sign-on"),
    (
        ByteRegex::new(
            r"(?i)\bAccessDenied|access_denied|insufficient (?:privileges|permissions?|access)|INSUFFICIENT_ACCESS|(?:does|do) not have (?:the )?(?:required |necessary |sufficient )?(?:permissions?|privileges|access|authorization)|not authorized to (?:perform|access|execute)|permission (?:was )?denied|PERMISSION_DENIED|access control error|NOPERM|Authorization_RequestDenied|\bis forbidden: User\b|AuthorizationFailed|not permitted to|没有权限|权限不足|無權|権限がありません",
        ),
        "the identity lacks a permission",
    ),
];

/// Adds what was denied. Returns whether the texts are about a denied permission, and not about a credential.
pub(super) fn add(sources: &[Source<'_>], facts: &mut Facts) -> bool {
    let mut is_denied = false;
    for (expression, names) in &WORDINGS {
        let Some((source, captures)) = sources.iter().find_map(|source| Some((source, expression.captures(source.text)?))) else {
            continue;
        };
        for (group, name) in captures.iter().skip(1).zip(names.iter()) {
            let written = group.map(|group| group.as_str().trim_end_matches(['.', ',', ':', ';', '"', '\\']));
            if let Some(written) = written.filter(|value| !value.is_empty() && !is_plain_word(value)) {
                let value = written.replace(['"', '\\'], "");
                // Without its quotation marks it does not stand in the field.
                let place = if value == written { source.place() } else { super::Place::Span(source.span) };
                facts.add(name, value, place);
                is_denied = true;
            }
        }
        // The other wordings are less specific.
        if is_denied {
            break;
        }
    }
    for (expression, reason) in &REASONS {
        if let Some(source) = sources.iter().find(|source| expression.is_match(source.text)) {
            facts.add(&DENIED_BECAUSE, reason, super::Place::Span(source.span));
            return true;
        }
    }
    is_denied
}

/// A word of the sentence instead of a name: `requires scope for`.
fn is_plain_word(value: &str) -> bool {
    matches!(
        value.to_ascii_lowercase().as_str(),
        "for" | "the" | "and" | "you" | "this" | "that" | "user" | "not" | "are" | "with" | "from"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    fn denied(text: &str) -> (bool, [String; 3]) {
        let (span, mut facts) = (Span::default(), Facts::default());
        let is_denied = add(&[Source { span: &span, field: "status_message".into(), text }], &mut facts);
        let found = [&DENIED_PERMISSION, &DENIED_RESOURCE, &DENIED_PRINCIPAL].map(|name| facts.get(name).unwrap_or_default().to_owned());
        (is_denied, found)
    }

    #[test]
    fn every_expression_compiles() {
        // An invalid one panics in a test.
        let expressions = WORDINGS.iter().map(|(expression, _)| expression).chain(REASONS.iter().map(|(expression, _)| expression));
        assert!(expressions.into_iter().all(|expression| !expression.is_match("")));
        assert!(denied("") == (false, Default::default()));
    }

    #[test]
    fn permission_resource_and_identity_are_named() {
        for (text, expected) in [
            (
                "AccessDenied: User: arn:aws:sts::1:assumed-role/bot/i-1 is not authorized to perform: sqs:SendMessage on resource: arn:aws:sqs:eu-west-1:1:jobs because no identity-based policy allows",
                ["sqs:SendMessage", "arn:aws:sqs:eu-west-1:1:jobs", "arn:aws:sts::1:assumed-role/bot/i-1"],
            ),
            (
                "403 bot@p1.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object.",
                ["storage.objects.get", "", "bot@p1.iam.gserviceaccount.com"],
            ),
            ("Access Denied: Table p1:sales.orders: User does not have permission to query table", ["", "Table p1:sales.orders", ""]),
            (
                "The client 'a-1' with object id 'b-2' does not have authorization to perform action 'Microsoft.Storage/accounts/read' over scope '/subscriptions/s1'",
                ["Microsoft.Storage/accounts/read", "/subscriptions/s1", "a-1"],
            ),
            (
                r#"pods is forbidden: User "system:serviceaccount:ops:bot" cannot list resource "pods" in API group "" in the namespace "shop""#,
                ["list resource pods", "namespace shop", "system:serviceaccount:ops:bot"],
            ),
            ("SELECT command denied to user 'bot'@'10.0.0.1' for table 'orders'", ["SELECT", "table 'orders'", "'bot'@'10.0.0.1'"]),
            ("permission denied for table invoices", ["", "table invoices", ""]),
            (r#"new row violates row-level security policy for table "notes""#, ["", "table notes", ""]),
            ("The INSERT permission was denied on the object 'orders', database 'shop'", ["INSERT", "orders", ""]),
            ("SQL access control error: Insufficient privileges to operate on schema 'RAW'", ["", "schema 'RAW'", ""]),
            ("action [indices:data/read/search] is unauthorized for user [bot]", ["indices:data/read/search", "", "bot"]),
            (r#"not authorized on shop to execute command { find: "orders" }"#, ["find", "shop", ""]),
            ("NOPERM User default has no permissions to run the 'set' command", ["set", "", ""]),
            (r#"{"ok": false, "error": "missing_scope", "needed": "channels:read"}"#, ["channels:read", "", ""]),
            ("[Errno 13] Permission denied: '/srv/data/a.csv'", ["", "/srv/data/a.csv", ""]),
            ("Request had insufficient authentication scopes.", ["", "", ""]),
        ] {
            let (is_denied, found) = denied(text);
            assert!(is_denied, "{text}");
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_rejected_credential_is_no_denied_permission() {
        for text in [
            "401 Unauthorized",
            "Incorrect API key provided",
            "The security token included in the request is expired",
            "Access denied for user 'bot'@'10.0.0.1' (using password: YES)",
            "invalid_grant: Token has been expired or revoked.",
            "password authentication failed for user \"bot\"",
        ] {
            assert!(!denied(text).0, "{text}");
        }
    }
}
