//! Reads the credentials of HTTP headers: authorization and cookies.

use super::credentials::is_non_secret_word;
use super::{LabelSyntax, Match, Reader, VALUE_BYTES_MAX, ValueStart, value_range};
use crate::redact::detect::secrets::{end_of_word_run, is_placeholder, looks_like_password, looks_random};

impl Reader<'_, '_> {
    /// The credentials of an authorization header, without the scheme: `Authorization: Bearer …`.
    pub(super) fn authorization(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        const SCHEME_BYTES_MAX: usize = 20;
        if value_start.syntax == LabelSyntax::Sentence {
            return;
        }
        let range = value_range(self.decoded, self.text, value_start, VALUE_BYTES_MAX, |byte| {
            matches!(byte, b'\n' | b'\r' | b'"' | b'\'' | b',' | b'}' | b'<' | b'`')
        });
        let value = self.text.slice(range.clone());
        let (scheme, secret) = match value.split_once(' ') {
            Some((scheme, secret))
                if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && scheme.len() < SCHEME_BYTES_MAX =>
            {
                (scheme, secret.trim_start())
            }
            _ => ("", value),
        };
        let start = range.end - secret.len();
        let secret = secret.get(..secret.find([' ', ';', ')']).unwrap_or(secret.len())).unwrap_or(secret);
        let kind = if scheme.eq_ignore_ascii_case("basic") { "basic_auth" } else { "bearer_token" };
        let is_scheme =
            ["bearer", "basic", "token", "apikey", "api-key", "key", "digest"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        // `Bearer mF_9.B5f`, `Basic dXNlcjpw` (short ones are common), but not `authorization: failed after 3 attempts`.
        if secret.len() >= 6
            && !is_placeholder(secret)
            && (looks_random(secret) || (is_scheme && (looks_like_password(secret) || kind == "basic_auth")))
        {
            let is_cut = secret.len() >= VALUE_BYTES_MAX - SCHEME_BYTES_MAX;
            let end = if is_cut { end_of_word_run(self.text, start + secret.len()) } else { start + secret.len() };
            matches.push(Match { range: start..end, kind, detector: "authorization header" });
        }
    }

    /// The session cookies of a cookie header: long values that are not attributes such as `Path` or `Expires`.
    pub(super) fn cookie(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        if value_start.syntax == LabelSyntax::Sentence {
            return;
        }
        let range = value_range(self.decoded, self.text, value_start, 4096, |byte| matches!(byte, b'\n' | b'\r' | b'"'));
        let mut at = range.start;
        for part in self.text.slice(range).split(';') {
            let from = at;
            at += part.len() + 1;
            let Some((name, value)) = part.split_once('=') else { continue };
            let value = value.trim_end_matches(['\'', '"', ' ']);
            let is_cookie_attribute =
                ["path", "domain", "expires", "max-age", "samesite", "version"].contains(&name.trim().to_ascii_lowercase().as_str());
            // `session_id=829175`.
            let lower = name.trim().trim_start_matches('"').to_ascii_lowercase();
            let is_session = ["session", "token", "auth", "jwt", "sess"].iter().any(|word| lower.contains(word)) || lower.ends_with("sid");
            // `sid=7cd47nmx4829c1hj`, but not `theme=dark` or `lang=en`.
            if !is_cookie_attribute
                && !is_placeholder(value)
                && (value.len() >= 12 && (looks_random(value) || value.len() >= 20)
                    || is_session && value.len() >= 6 && !is_non_secret_word(value) && !value.starts_with(['<', '[', '(']))
            {
                let start = from + name.len() + 1;
                matches.push(Match { range: start..start + value.len(), kind: "session_cookie", detector: "cookie header" });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{CustomDetectors, scan};

    #[test]
    fn cookies_of_a_session_may_be_short() {
        for (text, value) in [("Cookie: lang=en; my_session=829175", "829175"), ("Set-Cookie: auth_token=walnut_bay; Path=/", "walnut_bay")]
        {
            let found = scan(text, &CustomDetectors::default());
            assert!(found.iter().any(|found| found.kind == "session_cookie" && found.value == value), "{text}: {found:?}");
        }
        for text in ["Cookie: lang=en; theme=darker", "Set-Cookie: session=expired", "Cookie: session_id=<your-session>"] {
            let found = scan(text, &CustomDetectors::default());
            assert!(found.is_empty(), "{text}: {found:?}");
        }
    }
}
