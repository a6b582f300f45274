//! Custom detectors, organisation names and allowed values from the files of `--redaction-rules`.

use std::collections::HashSet;

use aho_corasick::AhoCorasick;
use regex::Regex;
use serde::Deserialize;

use super::kinds::{KindOptions, KindSelection, UnknownKind};
use super::secrets::to_static;
use super::text::Text;
use super::tokens::KIND_BYTES_MAX;
use super::{Detection, Match, Scanner};
use crate::{messages, text_file};

/// Compiled custom detectors. The default has none.
#[derive(Debug, Default)]
pub struct CustomDetectors {
    detectors: Vec<(&'static str, Regex)>,
    organisations: Option<AhoCorasick>,
    /// Allowed values in lower case.
    allowed: HashSet<String>,
    /// Expressions for allowed values, anchored to match a whole value.
    allowed_expressions: Vec<Regex>,
    kinds: KindSelection,
}

/// Why a detector file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CustomDetectorsError {
    /// The file cannot be read.
    #[error("cannot read the detector file {file}: {reason}\n  hint: check the path; docs/redaction.md describes detector files")]
    Unreadable {
        /// The file.
        file: String,
        /// The I/O error.
        reason: std::io::Error,
    },
    /// The file is not valid TOML or has unknown keys.
    #[error("invalid detector file {file}: {reason}\n  hint: docs/redaction.md describes detector files")]
    Malformed {
        /// The file.
        file: String,
        /// Line and cause.
        reason: String,
    },
    /// A regular expression is invalid.
    #[error(
        "invalid detector file {file}: the expression of {name} does not compile: {reason}\n  hint: use the syntax of the Rust crate regex"
    )]
    Expression {
        /// The file.
        file: String,
        /// The detector's kind, or `allow_expressions`.
        name: String,
        /// The syntax error.
        reason: String,
    },
    /// A detector misses an example or matches a counterexample.
    #[error("invalid detector file {file}: the detector {kind} {failure} {sample}\n  hint: correct its expression or the sample")]
    Sample {
        /// The file.
        file: String,
        /// The detector's kind.
        kind: String,
        /// `does not find` or `wrongly finds`.
        failure: &'static str,
        /// `example 1`, `counterexample 2`. The text is not shown, because it may be sensitive.
        sample: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    allow: Vec<String>,
    #[serde(default)]
    allow_expressions: Vec<String>,
    #[serde(default)]
    organisations: Vec<String>,
    #[serde(default)]
    detector: Vec<Detector>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detector {
    kind: String,
    expression: String,
    #[serde(default)]
    examples: Vec<String>,
    #[serde(default)]
    counterexamples: Vec<String>,
}

impl CustomDetectors {
    /// Reads detector files, described in docs/redaction.md, and checks their samples.
    ///
    /// # Errors
    /// [`CustomDetectorsError`] for the first file that cannot be used.
    pub fn read(paths: &[std::path::PathBuf]) -> Result<Self, CustomDetectorsError> {
        let mut files = Vec::new();
        for path in paths {
            let file = path.display().to_string();
            let text = text_file::read(path).map_err(|reason| CustomDetectorsError::Unreadable { file: file.clone(), reason })?;
            files.push((file, text));
        }
        Self::new(&files)
    }

    /// Compiles detector files, given as name and text, and checks their samples.
    ///
    /// # Errors
    /// [`CustomDetectorsError`] for the first file that cannot be used.
    pub fn new(files: &[(String, String)]) -> Result<Self, CustomDetectorsError> {
        let mut custom = Self::default();
        let (mut organisations, mut samples) = (Vec::new(), Vec::new());
        for (file, text) in files {
            let parsed: File = toml::from_str(text)
                .map_err(|error| CustomDetectorsError::Malformed { file: file.clone(), reason: messages::toml_error(text, &error) })?;
            let compiled = |name: &str, expression: &str| {
                Regex::new(expression).map_err(|error| CustomDetectorsError::Expression {
                    file: file.clone(),
                    name: name.to_owned(),
                    reason: error.to_string(),
                })
            };
            for expression in &parsed.allow_expressions {
                compiled("allow_expressions", expression)?;
                let whole = format!(r"\A(?:{expression})\z");
                // An expression in verbose mode may end in a comment, which only a line feed ends.
                let ended = || compiled("allow_expressions", &format!("\\A(?:{expression}\n)\\z"));
                custom.allowed_expressions.push(compiled("allow_expressions", &whole).or_else(|_| ended())?);
            }
            for detector in parsed.detector {
                let is_word = (1..=KIND_BYTES_MAX).contains(&detector.kind.len())
                    && detector.kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                if !is_word {
                    let reason =
                        format!("invalid kind {:?}: use at most {KIND_BYTES_MAX} lower-case letters and underscores", detector.kind);
                    return Err(CustomDetectorsError::Malformed { file: file.clone(), reason });
                }
                custom.detectors.push((to_static(&detector.kind), compiled(&detector.kind, &detector.expression)?));
                samples.push((file.clone(), detector));
            }
            custom.allowed.extend(parsed.allow.iter().map(|value| value.to_lowercase()));
            organisations.extend(parsed.organisations);
        }

        if !organisations.is_empty() {
            custom.organisations = AhoCorasick::builder().ascii_case_insensitive(true).build(&organisations).ok();
        }
        for (file, detector) in samples {
            custom.check(&file, &detector)?;
        }
        Ok(custom)
    }

    /// Selects the kinds that are replaced.
    ///
    /// # Errors
    /// [`UnknownKind`].
    pub fn with_kinds(mut self, options: &KindOptions) -> Result<Self, UnknownKind> {
        let custom: Vec<&'static str> = self.detectors.iter().map(|(kind, _)| *kind).collect();
        self.kinds = KindSelection::new(options, &custom)?;
        Ok(self)
    }

    /// Whether values of this kind are replaced.
    pub(in crate::redact) fn replaces(&self, kind: &str) -> bool {
        self.kinds.replaces(kind)
    }

    /// Whether values are replaced that may be sensitive but often are not.
    pub(super) fn is_strict(&self) -> bool {
        self.kinds.is_strict
    }

    fn check(&self, file: &str, detector: &Detector) -> Result<(), CustomDetectorsError> {
        let finds = |text: &str| Scanner::new(self).scan(text).iter().any(|detection: &Detection| detection.kind == detector.kind);
        let error = |failure: &'static str, sample: String| CustomDetectorsError::Sample {
            file: file.to_owned(),
            kind: detector.kind.clone(),
            failure,
            sample,
        };
        if let Some(index) = detector.examples.iter().position(|text| !finds(text)) {
            return Err(error("does not find", format!("example {}", index + 1)));
        }
        if let Some(index) = detector.counterexamples.iter().position(|text| finds(text)) {
            return Err(error("wrongly finds", format!("counterexample {}", index + 1)));
        }
        Ok(())
    }

    /// Adds the matches of the custom detectors. If an expression has a group `value`, only that group is replaced.
    pub(super) fn find(&self, text: &str, matches: &mut Vec<Match>) {
        for (kind, expression) in &self.detectors {
            for captures in expression.captures_iter(text) {
                if let Some(found) = captures.name("value").or_else(|| captures.get(0)) {
                    matches.push(Match { range: found.range(), kind, detector: "custom detector" });
                }
            }
        }
        if let Some(organisations) = &self.organisations {
            let whole = Text(text);
            for found in organisations.find_iter(text) {
                if whole.is_word_start(found.start()) && whole.is_word_end(found.end()) {
                    matches.push(Match { range: found.range(), kind: "organisation", detector: "custom organisation" });
                }
            }
        }
    }

    /// Whether a custom detector has this kind, given in upper case.
    pub(super) fn has_kind(&self, kind: &str) -> bool {
        self.detectors.iter().any(|(custom, _)| custom.eq_ignore_ascii_case(kind))
    }

    /// Whether a value is allowed and must not be replaced.
    pub(super) fn allows(&self, value: &str) -> bool {
        (!self.allowed.is_empty() && self.allowed.contains(&value.to_lowercase()))
            || self.allowed_expressions.iter().any(|expression| expression.is_match(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn custom(text: &str) -> Result<CustomDetectors, CustomDetectorsError> {
        CustomDetectors::new(&[("own.toml".to_owned(), text.to_owned())])
    }

    #[test]
    fn a_file_adds_detectors_and_allows_values() {
        let custom = custom(
            "allow = [\"Support@acme.example\"]\nallow_expressions = ['.*@bots\\.example']\norganisations = [\"Vandelay Industries\"]\n\
             [[detector]]\nkind = \"employee_id\"\nexpression = 'badge (?<value>EMP-\\d{6})'\nexamples = [\"badge EMP-123456\"]\ncounterexamples = [\"EMP-1\"]\n",
        )
        .unwrap();
        let text = "badge EMP-654321 of Vandelay Industries: support@acme.example, x1@bots.example, ann@mail.example";
        let found: Vec<_> = Scanner::new(&custom).scan(text).into_iter().map(|detection| (detection.kind, detection.value)).collect();
        assert_eq!(
            found,
            [
                ("employee_id", "EMP-654321".to_owned()),
                ("organisation", "Vandelay Industries".to_owned()),
                ("email", "ann@mail.example".to_owned())
            ]
        );
    }

    #[test]
    fn allowed_expressions_match_whole_values_in_verbose_mode_too() {
        let custom = custom("allow_expressions = ['''(?x) [a-z]+ @ bots\\.example # our bots''', 'a|ann@mail\\.example']").unwrap();
        let allows = |value: &str| custom.allows(value);
        assert!(allows("x@bots.example") && allows("ann@mail.example"));
        assert!(!allows("x@bots.example.org") && !allows("ann@mail.example, bob@mail.example"));
    }

    #[test]
    fn errors_name_the_file_and_the_cause() {
        for (text, expected) in [
            ("alow = []", "alow"),
            ("[[detector]]\nkind = \"x_y\"\nexpression = '('", "the expression of x_y does not compile"),
            ("[[detector]]\nkind = \"X\"\nexpression = 'a'", "lower-case letters"),
            ("allow_expressions = ['(?x) a ( # comment']", "the expression of allow_expressions does not compile"),
            (
                "[[detector]]\nkind = \"x_y\"\nexpression = 'abcdef'\nexamples = ['nothing here']",
                "the detector x_y does not find example 1",
            ),
            (
                "[[detector]]\nkind = \"x_y\"\nexpression = 'abcdef'\ncounterexamples = ['in abcdef']",
                "the detector x_y wrongly finds counterexample 1",
            ),
        ] {
            let error = custom(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.starts_with("invalid detector file own.toml: "), "{error}");
        }
    }
}
