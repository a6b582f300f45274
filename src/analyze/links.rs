//! Links to traces in their own tools, from templates of the user: `https://cloud.langfuse.com/project/{project}/traces/{trace_id}`.
//!
//! Without a template there is no link: a trace does not say on which server it is. Values come from the columns of a redacted draft, so a link contains
//! nothing that the row does not contain.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use crate::model::{Draft, OutcomeStream};
use crate::runtime::{Permitted, pool};

/// Templates of links, by the format of the trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links(BTreeMap<String, Template>);

/// The stage after the second redaction, which adds the links.
pub fn linked(drafts: OutcomeStream<Permitted<Draft>>, links: Links) -> OutcomeStream<Permitted<Draft>> {
    if links.0.is_empty() {
        return drafts;
    }
    let links = Arc::new(links);
    pool::map_outcomes(drafts, move |mut draft: Permitted<Draft>| {
        draft.item.profile.trace_url = links.url(&draft.item);
        Ok(draft)
    })
}

impl Links {
    /// The key of the template for all formats without their own.
    pub const DEFAULT: &str = "default";

    /// Sets the template for a format, or for all others if `format` is `default`.
    ///
    /// # Errors
    /// A message with a hint, if the template is not one of an HTTP URL. Names of formats are not checked; see [`Self::formats`].
    pub fn set(&mut self, format: &str, template: &str) -> Result<(), String> {
        self.0.insert(format.to_owned(), Template::parse(template)?);
        Ok(())
    }

    /// The format and the template in the text of a flag: `TEMPLATE`, or `FORMAT=TEMPLATE`.
    pub fn split_flag(text: &str) -> (&str, &str) {
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        text.split_once('=').filter(|(name, _)| is_name(name)).unwrap_or((Self::DEFAULT, text))
    }

    /// The formats that have a template of their own.
    pub fn formats(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|format| *format != Self::DEFAULT)
    }

    /// The templates as text, for digests.
    pub fn digest_input(&self) -> Vec<(&str, String)> {
        self.0.iter().map(|(format, template)| (format.as_str(), format!("{:?}", template.0))).collect()
    }

    /// The link of a trace; `None` if there is no template for it, or if a value of the template is unknown.
    fn url(&self, draft: &Draft) -> Option<String> {
        const URL_BYTES_MAX: usize = 2_048;
        let of_format = draft.profile.format.and_then(|format| self.0.get(format));
        let url = of_format.or_else(|| self.0.get(Self::DEFAULT))?.url(draft)?;
        (url.len() <= URL_BYTES_MAX).then_some(url)
    }
}

/// A URL with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Placeholder),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    TraceId,
    SpanId,
    Project,
    Service,
    StartedAtMs,
    Path,
}

impl Placeholder {
    const ALL: [(&'static str, Self); 6] = [
        ("trace_id", Self::TraceId),
        ("span_id", Self::SpanId),
        ("project", Self::Project),
        ("service", Self::Service),
        ("started_at_ms", Self::StartedAtMs),
        ("path", Self::Path),
    ];

    /// The value, encoded for a URL. A value that was redacted leads nowhere.
    fn value(self, draft: &Draft) -> Option<String> {
        let value: Cow<'_, str> = match self {
            Self::TraceId => draft.trace_id.as_str().into(),
            Self::SpanId => draft.step.failed_span_id.as_deref().or(draft.profile.root_span_id.as_deref())?.into(),
            // A project of Weave is `ENTITY/PROJECT`.
            Self::Project => {
                let project = draft.profile.project.as_deref().filter(|project| !project.contains(['<', '>']))?;
                return Some(project.split('/').map(encoded).collect::<Vec<_>>().join("/"));
            }
            Self::Service => draft.service.as_deref()?.into(),
            Self::StartedAtMs => (draft.trace_started_at_ns? / 1_000_000).to_string().into(),
            Self::Path => return draft.profile.path.clone().filter(|path| is_path(path)),
        };
        (!value.is_empty() && !value.contains(['<', '>'])).then(|| encoded(&value))
    }
}

/// Whether a text of a trace is a path that leads nowhere else: `/o/1/projects/p/2?peek=3`.
fn is_path(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%?=&:+,".contains(&byte);
    text.starts_with('/') && !text.starts_with("//") && !text.contains("..") && text.bytes().all(is_plain)
}

/// Everything is encoded that has a meaning in some part of a URL.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        const BYTES_MAX: usize = 1_024;
        let hint = "write https:// or http://, for example https://cloud.langfuse.com/project/{project}/traces/{trace_id}";
        let invalid = |reason: &str| format!("invalid trace URL '{text}': {reason}\n  hint: {hint}");
        if text.len() > BYTES_MAX {
            return Err(format!("invalid trace URL: longer than {BYTES_MAX} bytes\n  hint: {hint}"));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else { return Err(invalid("a { without }")) };
            let known = Placeholder::ALL.into_iter().find(|(known, _)| *known == name);
            let Some((_, placeholder)) = known else {
                return Err(crate::messages::unknown_name("placeholder of a trace URL", name, &Placeholder::ALL.map(|(known, _)| known)));
            };
            pieces.extend((!before.is_empty()).then(|| Piece::Text(before.to_owned())));
            pieces.push(Piece::Value(placeholder));
            rest = after;
        }
        pieces.extend((!rest.is_empty()).then(|| Piece::Text(rest.to_owned())));
        // Values must not decide to which server a link leads.
        let server = text.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default()).unwrap_or_default();
        let ends_with_path = |server: &str| server.strip_suffix("{path}").is_some_and(|server| !server.contains('{'));
        if server.contains('{') && !ends_with_path(server) {
            return Err(invalid("the server must not contain a placeholder"));
        }
        let sample: String = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Value(Placeholder::Path) => "/x",
                Piece::Value(_) => "x",
            })
            .collect();
        match url::Url::parse(&sample) {
            _ if text.contains(char::is_whitespace) => Err(invalid("it contains white space")),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => Err(invalid("it is no HTTP URL")),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                // Not repeated, because it may be a secret.
                Err(format!("invalid trace URL: it contains a user name or a password\n  hint: {hint}"))
            }
            Ok(url) if url.has_host() => Ok(Self(pieces)),
            _ => Err(invalid("it is no URL")),
        }
    }

    fn url(&self, draft: &Draft) -> Option<String> {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => Some(text.clone()),
            Piece::Value(placeholder) => placeholder.value(draft),
        };
        self.0.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        let mut draft = Draft::sample("s");
        draft.trace_id = "a/b c".into();
        draft.profile.project = Some("support".into());
        draft.profile.path = Some("/project/p/traces/t".into());
        draft.profile.format = Some("langfuse");
        draft.profile.root_span_id = Some("root".into());
        draft
    }

    fn url(templates: &[&str], draft: &Draft) -> Option<String> {
        let mut links = Links::default();
        for text in templates {
            let (format, template) = Links::split_flag(text);
            links.set(format, template).unwrap();
        }
        links.url(draft)
    }

    #[test]
    fn values_are_encoded_and_the_format_decides() {
        let all = "https://x.example/{project}/t/{trace_id}?s={span_id}&at={started_at_ms}";
        assert_eq!(url(&[all], &draft()).as_deref(), Some("https://x.example/support/t/a%2Fb%20c?s=root&at=1795424023443"));
        let templates = [all, "langfuse=https://cloud.langfuse.com{path}"];
        assert_eq!(url(&templates, &draft()).as_deref(), Some("https://cloud.langfuse.com/project/p/traces/t"));
        let mut weave = draft();
        weave.profile.project = Some("acme/my support".into());
        assert_eq!(url(&["https://wandb.ai/{project}/weave"], &weave).as_deref(), Some("https://wandb.ai/acme/my%20support/weave"));
        let mut other = draft();
        other.profile.format = Some("otlp");
        assert!(url(&templates, &other).unwrap().starts_with("https://x.example/"));
        assert_eq!(url(&["langfuse=https://x.example/{trace_id}"], &other), None);
    }

    #[test]
    fn a_link_without_one_of_its_values_is_none() {
        assert_eq!(url(&["https://x.example/{service}"], &draft()), None);
        let mut redacted = draft();
        redacted.trace_id = "chat/<EMAIL:1a2b3c>".into();
        assert_eq!(url(&["https://x.example/{trace_id}"], &redacted), None);
        for path in ["//evil.example", "javascript:x", "/a/../b", "/a b", "x"] {
            let mut hostile = draft();
            hostile.profile.path = Some(path.into());
            assert_eq!(url(&["https://x.example{path}"], &hostile), None, "{path}");
        }
    }

    #[test]
    fn a_template_that_is_no_http_url_is_an_error_with_a_hint() {
        for (text, reason) in [
            ("javascript:alert(1)", "it is no HTTP URL"),
            ("ftp://x.example/{trace_id}", "it is no HTTP URL"),
            ("cloud.langfuse.com/{trace_id}", "it is no URL"),
            ("https://{project}.example/{trace_id}", "the server must not contain a placeholder"),
            ("https://x.example/{trace_id", "a { without }"),
            ("https://x.example/{traceid}", "did you mean 'trace_id'?"),
            ("https://x.example/a b", "white space"),
            ("https://u:secret@x.example/{trace_id}", "a user name or a password"),
        ] {
            let error = Links::default().set(Links::DEFAULT, text).unwrap_err();
            assert!(error.contains(reason) && error.contains("\n  hint: ") && !error.contains("secret"), "{text}: {error}");
        }
        assert_eq!(Links::default().set(Links::DEFAULT, "http://localhost:6006/t/{trace_id}?x=1"), Ok(()));
        assert_eq!(Links::split_flag("http://localhost:6006/t?x=1"), (Links::DEFAULT, "http://localhost:6006/t?x=1"));
        assert_eq!(Links::split_flag("langfuse=https://x.example{path}"), ("langfuse", "https://x.example{path}"));
    }
}
