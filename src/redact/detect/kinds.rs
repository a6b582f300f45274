//! Which kinds of values are replaced: a level, and kinds that are switched on or off by name.

use std::collections::{BTreeSet, HashSet};

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::literals::literals;
use super::tokens;
use crate::messages;

/// How much is replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum RedactionLevel {
    /// Everything of `default`, and what may be sensitive but often is not: capitalized words that may be a name, any token that looks random
    Strict,
    /// Credentials and personal data
    #[default]
    Default,
    /// Only credentials
    Credentials,
}

/// A level and the kinds that are switched on or off, as a user gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, clap::Args)]
#[serde(default)]
pub struct KindOptions {
    /// What is replaced [default: default]
    #[arg(id = "redact.level", long = "redaction-level", value_enum, value_name = "LEVEL", env = "FAILSIFT_REDACTION_LEVEL")]
    pub level: Option<RedactionLevel>,
    /// Kinds to replace in addition to those of the level, separated by commas: email,person
    #[arg(id = "redact.redact_kinds", long = "redact-kinds", value_name = "KINDS", value_delimiter = ',', env = "FAILSIFT_REDACT_KINDS")]
    #[serde(rename = "redact_kinds")]
    pub redacted: Vec<String>,
    /// Kinds to keep, separated by commas: ip,mac
    #[arg(id = "redact.keep_kinds", long = "keep-kinds", value_name = "KINDS", value_delimiter = ',', env = "FAILSIFT_KEEP_KINDS")]
    #[serde(rename = "keep_kinds")]
    pub kept: Vec<String>,
}

impl RedactionLevel {
    /// The name in flags and pipeline files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Default => "default",
            Self::Credentials => "credentials",
        }
    }
}

/// A kind that does not exist. The message names the most similar one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnknownKind(String);

/// The kinds that a scan leaves out, and whether it is strict.
#[derive(Debug, Clone, Default)]
pub(super) struct KindSelection {
    dropped: HashSet<&'static str, RandomState>,
    pub(super) is_strict: bool,
}

impl KindSelection {
    /// # Errors
    /// [`UnknownKind`]. `custom` are the kinds of custom detectors, which every level replaces.
    pub(super) fn new(options: &KindOptions, custom: &[&'static str]) -> Result<Self, UnknownKind> {
        let known: BTreeSet<&'static str> = all().into_iter().chain(custom.iter().copied()).collect();
        let find = |name: &str| {
            let names: Vec<&str> = known.iter().copied().collect();
            known.get(name).copied().ok_or_else(|| UnknownKind(messages::unknown_name("kind", name, &names)))
        };
        // An empty variable of the environment is a list with an empty name.
        let find_all = |names: &[String]| -> Result<BTreeSet<&'static str>, UnknownKind> {
            names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).map(find).collect()
        };
        let (redacted, kept) = (find_all(&options.redacted)?, find_all(&options.kept)?);
        let mut dropped: HashSet<&'static str, RandomState> = HashSet::default();
        if options.level == Some(RedactionLevel::Credentials) {
            let credentials = credentials();
            let is_dropped = |kind: &&'static str| !credentials.contains(kind) && !redacted.contains(kind) && !custom.contains(kind);
            dropped.extend(known.iter().copied().filter(is_dropped));
        }
        dropped.extend(kept);
        Ok(Self { dropped, is_strict: options.level == Some(RedactionLevel::Strict) })
    }

    /// Whether values of this kind are replaced.
    pub(super) fn replaces(&self, kind: &str) -> bool {
        self.dropped.is_empty() || !self.dropped.contains(kind)
    }
}

/// All kinds of the built-in detectors. The ids of users and sessions are not among them: they are always replaced, because the columns
/// `user_token` and `session_token` need their tokens.
fn all() -> BTreeSet<&'static str> {
    let of_code = tokens::BUILTIN_KINDS.into_iter().filter(|kind| !matches!(*kind, "user" | "session"));
    let of_labels = literals().into_iter().flat_map(|literals| &literals.labels).map(|rule| rule.kind);
    credentials().into_iter().chain(of_code).chain(of_labels).collect()
}

/// The kinds of credentials.
fn credentials() -> BTreeSet<&'static str> {
    let of_formats = literals().into_iter().flat_map(|literals| &literals.secrets).map(|rule| rule.kind);
    let labels = literals().into_iter().flat_map(|literals| &literals.labels);
    let of_labels = labels.filter(|rule| rule.value_type.is_credential()).map(|rule| rule.kind);
    let of_code = ["api_key", "connection_string", "crypto_key", "url_credentials"];
    of_formats.chain(of_labels).chain(of_code).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, scan};
    use super::*;

    fn kinds_in(text: &str, level: RedactionLevel, redacted: &[&str], kept: &[&str]) -> Vec<&'static str> {
        let names = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let options = KindOptions { level: Some(level), redacted: names(redacted), kept: names(kept) };
        let custom = CustomDetectors::default().with_kinds(&options).unwrap();
        scan(text, &custom).into_iter().map(|detection| detection.kind).collect()
    }

    #[test]
    fn levels_and_kinds_decide_what_is_replaced() {
        let text = "ann@mail.example from 203.0.113.9, password: Wq7!x6SWoUnvNPs";
        for (level, redacted, kept, expected) in [
            (RedactionLevel::Default, &[][..], &[][..], &["email", "ip", "password"][..]),
            (RedactionLevel::Default, &[], &["ip"], &["email", "password"]),
            (RedactionLevel::Credentials, &[], &[], &["password"]),
            (RedactionLevel::Credentials, &["email"], &[], &["email", "password"]),
            (RedactionLevel::Credentials, &["email"], &["password"], &["email"]),
            (RedactionLevel::Credentials, &[""], &[" password ", ""], &[]),
        ] {
            assert_eq!(kinds_in(text, level, redacted, kept), expected, "{level:?} {redacted:?} {kept:?}");
        }
    }

    #[test]
    fn the_strict_level_also_replaces_what_may_be_sensitive() {
        for (text, kind) in [("<td>Zyrqel Vantroba</td>", "person"), ("found xK9mQ2vLp7RtWz4Bn8Yd in it", "generic_secret")] {
            assert!(kinds_in(text, RedactionLevel::Default, &[], &[]).is_empty(), "{text}");
            assert_eq!(kinds_in(text, RedactionLevel::Strict, &[], &[]), [kind], "{text}");
        }
        for text in
            ["commit 8f14e45fceea167a5a36dedd4bea2543a1b2c3d4", "id 0a20e5eb-087a-4411-bf7e-2a50f62dead9", "in ChatCompletionMessage"]
        {
            assert!(kinds_in(text, RedactionLevel::Strict, &[], &[]).is_empty(), "{text}");
        }
    }

    #[test]
    fn unknown_kinds_are_named_with_the_most_similar_one() {
        let options = KindOptions { kept: vec!["emial".to_owned()], ..KindOptions::default() };
        let error = CustomDetectors::default().with_kinds(&options).unwrap_err().to_string();
        assert!(error.starts_with("unknown kind 'emial'; did you mean 'email'?\n  hint: use one of address, "), "{error}");
        assert!(!error.contains("session,"), "{error}");
    }
}
