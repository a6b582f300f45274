//! What a user adds: detectors of their own, organisations, and values that are never taken out.

use std::collections::HashSet;

use aho_corasick::AhoCorasick;
use regex::Regex;
use serde::Deserialize;

use super::secrets::leak;
use super::text::Text;
use super::tokens::KIND_BYTES_MAX;
use super::{Found, Hit, Search};
use crate::{suggest, text_file};

/// A file of the user, ready to be used. The default adds nothing.
#[derive(Debug, Default)]
pub struct CustomDetectors {
    detectors: Vec<(&'static str, Regex)>,
    organisations: Option<AhoCorasick>,
    /// In lower case.
    allowed: HashSet<String>,
    /// Each matches a whole value.
    allowed_expressions: Vec<Regex>,
}

/// Why a file of detectors cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CustomDetectorsError {
    /// It cannot be read.
    #[error("cannot read {file}: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// It is no TOML of the right keys.
    #[error("{file}: {reason}\n  hint: docs/redaction.md describes the file")]
    Malformed {
        /// The file.
        file: String,
        /// Line and reason.
        reason: String,
    },
    /// An expression does not compile.
    #[error("{file}: the expression of {name} does not compile: {reason}")]
    Expression {
        /// The file.
        file: String,
        /// The detector's kind, or `allow_expressions`.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A sample that should be found is not, or the other way round.
    #[error("{file}: {kind} {what} its sample {number}")]
    Sample {
        /// The file.
        file: String,
        /// The detector's kind.
        kind: String,
        /// `does not find` or `wrongly finds`.
        what: &'static str,
        /// `example 1`, `counterexample 2`: the sample itself may be sensitive.
        number: String,
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
    /// Reads files as docs/redaction.md describes them and checks their samples.
    ///
    /// # Errors
    /// [`CustomDetectorsError`].
    pub fn read(paths: &[std::path::PathBuf]) -> Result<Self, CustomDetectorsError> {
        let mut files = Vec::new();
        for path in paths {
            let file = path.display().to_string();
            let text = text_file::read(path).map_err(|reason| CustomDetectorsError::Unreadable { file: file.clone(), reason })?;
            files.push((file, text));
        }
        Self::new(&files)
    }

    /// Compiles files, given as name and text.
    ///
    /// # Errors
    /// [`CustomDetectorsError`].
    pub fn new(files: &[(String, String)]) -> Result<Self, CustomDetectorsError> {
        let mut own = Self::default();
        let (mut organisations, mut samples) = (Vec::new(), Vec::new());
        for (file, text) in files {
            let parsed: File = toml::from_str(text)
                .map_err(|error| CustomDetectorsError::Malformed { file: file.clone(), reason: suggest::toml_error(text, &error) })?;
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
                // A comment in verbose mode at the end of the expression needs a line feed behind it.
                let ended = || compiled("allow_expressions", &format!("\\A(?:{expression}\n)\\z"));
                own.allowed_expressions.push(compiled("allow_expressions", &whole).or_else(|_| ended())?);
            }
            for detector in parsed.detector {
                let is_word = (1..=KIND_BYTES_MAX).contains(&detector.kind.len())
                    && detector.kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                if !is_word {
                    let reason =
                        format!("the kind {:?} is not made of small letters and _, {KIND_BYTES_MAX} of them at most", detector.kind);
                    return Err(CustomDetectorsError::Malformed { file: file.clone(), reason });
                }
                own.detectors.push((leak(&detector.kind), compiled(&detector.kind, &detector.expression)?));
                samples.push((file.clone(), detector));
            }
            own.allowed.extend(parsed.allow.iter().map(|value| value.to_lowercase()));
            organisations.extend(parsed.organisations);
        }

        if !organisations.is_empty() {
            own.organisations = AhoCorasick::builder().ascii_case_insensitive(true).build(&organisations).ok();
        }
        for (file, detector) in samples {
            own.check(&file, &detector)?;
        }
        Ok(own)
    }

    fn check(&self, file: &str, detector: &Detector) -> Result<(), CustomDetectorsError> {
        let finds = |text: &str| Search::new(self).find(text).iter().any(|hit: &Hit| hit.kind == detector.kind);
        let complaint = |what: &'static str, number: String| CustomDetectorsError::Sample {
            file: file.to_owned(),
            kind: detector.kind.clone(),
            what,
            number,
        };
        if let Some(index) = detector.examples.iter().position(|text| !finds(text)) {
            return Err(complaint("does not find", format!("example {}", index + 1)));
        }
        if let Some(index) = detector.counterexamples.iter().position(|text| finds(text)) {
            return Err(complaint("wrongly finds", format!("counterexample {}", index + 1)));
        }
        Ok(())
    }

    /// Adds what the user's detectors find. Group `value` of an expression narrows what is taken.
    pub(super) fn find(&self, text: &str, hits: &mut Vec<Found>) {
        for (kind, expression) in &self.detectors {
            for captures in expression.captures_iter(text) {
                if let Some(found) = captures.name("value").or_else(|| captures.get(0)) {
                    hits.push(Found { range: found.range(), kind, why: "a detector of yours" });
                }
            }
        }
        if let Some(organisations) = &self.organisations {
            let whole = Text(text);
            for found in organisations.find_iter(text) {
                if whole.starts_word(found.start()) && whole.ends_word(found.end()) {
                    hits.push(Found { range: found.range(), kind: "organisation", why: "an organisation of yours" });
                }
            }
        }
    }

    /// Whether a detector of the user finds values of this kind, given in capitals.
    pub(super) fn has_kind(&self, kind: &str) -> bool {
        self.detectors.iter().any(|(own, _)| own.eq_ignore_ascii_case(kind))
    }

    /// Whether a value is never taken out.
    pub(super) fn allows(&self, value: &str) -> bool {
        (!self.allowed.is_empty() && self.allowed.contains(&value.to_lowercase()))
            || self.allowed_expressions.iter().any(|expression| expression.is_match(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str) -> Result<CustomDetectors, CustomDetectorsError> {
        CustomDetectors::new(&[("own.toml".to_owned(), text.to_owned())])
    }

    #[test]
    fn a_file_adds_detectors_and_allows_values() {
        let own = own(
            "allow = [\"Support@acme.example\"]\nallow_expressions = ['.*@bots\\.example']\norganisations = [\"Vandelay Industries\"]\n\
             [[detector]]\nkind = \"employee_id\"\nexpression = 'badge (?<value>EMP-\\d{6})'\nexamples = [\"badge EMP-123456\"]\ncounterexamples = [\"EMP-1\"]\n",
        )
        .unwrap();
        let text = "badge EMP-654321 of Vandelay Industries: support@acme.example, x1@bots.example, ann@mail.example";
        let found: Vec<_> = Search::new(&own).find(text).into_iter().map(|hit| (hit.kind, hit.value)).collect();
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
    fn expressions_in_verbose_mode_allow_whole_values() {
        let own = own("allow_expressions = ['''(?x) [a-z]+ @ bots\\.example # our bots''', 'a|ann@mail\\.example']").unwrap();
        let allows = |value: &str| own.allows(value);
        assert!(allows("x@bots.example") && allows("ann@mail.example"));
        assert!(!allows("x@bots.example.org") && !allows("ann@mail.example, bob@mail.example"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        for (text, expected) in [
            ("alow = []", "alow"),
            ("[[detector]]\nkind = \"x_y\"\nexpression = '('", "the expression of x_y does not compile"),
            ("[[detector]]\nkind = \"X\"\nexpression = 'a'", "small letters"),
            ("allow_expressions = ['(?x) a ( # comment']", "the expression of allow_expressions does not compile"),
            ("[[detector]]\nkind = \"x_y\"\nexpression = 'abcdef'\nexamples = ['nothing here']", "does not find its sample example 1"),
            (
                "[[detector]]\nkind = \"x_y\"\nexpression = 'abcdef'\ncounterexamples = ['in abcdef']",
                "wrongly finds its sample counterexample 1",
            ),
        ] {
            let error = own(text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.starts_with("own.toml"), "{error}");
        }
    }
}
