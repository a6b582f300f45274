//! Decides from the name of a field whether its whole value is sensitive, whatever the value looks like: `db.password`, `user.name`, a cookie header.

use super::labels::{LabelForm, ValueType, label_at};
use super::literals::{LabelRule, RuleRef, ScanControl, literals};
use super::secrets::{is_placeholder, looks_random};
use super::text::Text;
use super::values::is_non_secret_word;

/// The names of fields with the name or the id of a user, as the last words of a dotted name.
const USER_FIELDS: [&str; 12] = [
    "user.name",
    "user.full_name",
    "user.login",
    "user.username",
    "enduser.id",
    "enduser.pseudo.id",
    "enduser.name",
    "user_name",
    "username",
    "userName",
    "login_name",
    "user.nick",
];

/// Users of systems and roles, which are no persons.
const SYSTEM_USERS: [&str; 22] = [
    "root",
    "admin",
    "administrator",
    "system",
    "anonymous",
    "unknown",
    "none",
    "null",
    "guest",
    "user",
    "users",
    "assistant",
    "postgres",
    "mysql",
    "redis",
    "nobody",
    "default",
    "service",
    "bot",
    "agent",
    "public",
    "test",
];

/// Length of the names that are considered.
const NAME_BYTES_MAX: usize = 256;

/// The kind of the whole value of a field; `None` if the name does not decide, so that the value has to be searched.
pub(in crate::redact) fn kind_of_value(name: &str, value: &str) -> Option<&'static str> {
    let trimmed = value.trim();
    // Tokens of an earlier redaction, and markup, are searched as usual.
    let is_empty = trimmed.is_empty() || trimmed.contains(['<', '{']) || is_placeholder(trimmed) || is_non_secret_word(trimmed);
    if is_empty || name.len() > NAME_BYTES_MAX || trimmed.starts_with("${") {
        return None;
    }
    if is_user_field(name) {
        return (!SYSTEM_USERS.contains(&trimmed.to_ascii_lowercase().as_str())).then_some("user");
    }
    let rule = rule_of_name(name)?;
    let digits = trimmed.bytes().filter(u8::is_ascii_digit).count();
    let is_number = trimmed.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let is_word = !trimmed.contains(char::is_whitespace);
    let is_path = trimmed.contains("://") || trimmed.starts_with('/');
    let is_sensitive = match rule.value_type {
        ValueType::Password | ValueType::Answer => !is_path,
        // `pass` is also a result.
        ValueType::AssignedPassword => !is_path && !is_number && is_word && trimmed.len() >= 6,
        ValueType::Pin => digits >= 3 && trimmed.len() <= 16,
        ValueType::Cookie => trimmed.contains('=') || trimmed.len() >= 8,
        ValueType::Authorization => trimmed.len() >= 6 && (trimmed.contains(' ') || looks_random(trimmed)),
        ValueType::Secret => !is_path && !is_number && is_word && trimmed.len() >= 8 && (digits > 0 || trimmed.len() >= 20),
        _ => false,
    };
    is_sensitive.then_some(rule.kind)
}

/// Whether a dotted name ends in one of [`USER_FIELDS`].
fn is_user_field(name: &str) -> bool {
    USER_FIELDS.iter().any(|field| name.strip_suffix(field).is_some_and(|left| left.is_empty() || left.ends_with('.')))
}

/// The rule of the longest label at the end of a name.
fn rule_of_name(name: &str) -> Option<LabelRule> {
    let literals = literals()?;
    let text = Text(name);
    let mut best: Option<(usize, LabelRule)> = None;
    literals.scan(name, &mut |literal, rule| {
        let RuleRef::Label(index) = rule else { return ScanControl::NextRule };
        let Some(rule) = literals.labels.get(index).copied() else { return ScanControl::NextRule };
        let len = literal.len();
        let is_last = label_at(text, literal, rule)
            .is_some_and(|label| label.identifier.end == name.len() && !label.is_weak && !label.is_plural || rule.form == LabelForm::Glued);
        if is_last && rule.value_type.is_argument() && best.is_none_or(|(longest, _)| len > longest) {
            best = Some((len, rule));
        }
        ScanControl::NextRule
    });
    best.map(|(_, rule)| rule)
}

#[cfg(test)]
mod tests {
    use super::kind_of_value;

    #[test]
    fn the_name_of_a_field_protects_its_whole_value() {
        let long = "a \"quoted\" sentence as a password, longer than any other value; with 'all' sorts of marks";
        for (name, value, kind) in [
            ("db.password", long, "password"),
            ("http.request.header.cookie", "theme=dark", "session_cookie"),
            ("http.request.header.x_auth_token", "77ab-22-zx90", "generic_secret"),
            ("card.pin", "4821", "password"),
            ("login.otp", "482913", "password"),
            ("payment.cvv", "913", "password"),
            ("user.name", "zyrqel", "user"),
            ("enduser.id", "z-1", "user"),
            ("app.adminpassword", "walnut", "password"),
            ("http.request.header.authorization", "Digest username=\"zyrqel\"", "bearer_token"),
        ] {
            assert_eq!(kind_of_value(name, value), Some(kind), "{name}={value}");
        }
        for (name, value) in [
            ("db.password", "<PASSWORD:1a2b3c>"),
            ("db.password", "${DB_PASSWORD}"),
            ("db.password", "true"),
            ("db.password", ""),
            ("password.policy", "long"),
            ("test.pass", "12"),
            ("gen_ai.usage.input_tokens", "12345678"),
            ("llm.token.type", "bearer-jwt-2"),
            ("gpio.led_pin", "1337"),
            ("user.name", "postgres"),
            ("tool.name", "search_orders"),
            ("api_key", "missing"),
            ("webhook", "https://host.example/hook"),
        ] {
            assert_eq!(kind_of_value(name, value), None, "{name}={value}");
        }
    }
}
