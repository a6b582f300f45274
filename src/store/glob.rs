//! Globs over paths and keys: `*` and `**` match any characters, also `/`; `?` matches one byte; `[ab]`, `[!ab]` and `{a,b}` match one of
//! several.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

/// A compiled glob.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    text: String,
    matcher: GlobMatcher,
}

/// Characters that start a wildcard. In a bucket `?` is an ordinary character of a key.
pub(super) const PATH_WILDCARDS: [char; 4] = ['*', '?', '[', '{'];
pub(super) const KEY_WILDCARDS: [char; 3] = ['*', '[', '{'];

impl Glob {
    /// Compiles a glob. Braces that are not balanced are ordinary characters.
    ///
    /// # Errors
    /// What is wrong with the glob.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let matcher = match compile(text) {
            Err(_) if text.contains(['{', '}']) => compile(&text.replace('{', "[{]").replace('}', "[}]")),
            result => result,
        };
        let matcher = matcher.map_err(|error| format!("invalid glob: {}", error.kind()))?;
        Ok(Self { text: text.to_owned(), matcher })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        self.matcher.is_match(Path::new(path))
    }

    /// The path segments without wildcards.
    pub(super) fn literal_segments(&self) -> Vec<String> {
        self.text.split('/').filter(|segment| !segment.contains(PATH_WILDCARDS)).map(str::to_owned).collect()
    }
}

fn compile(text: &str) -> Result<GlobMatcher, globset::Error> {
    let glob = GlobBuilder::new(text).backslash_escape(false).empty_alternates(true).build()?;
    Ok(glob.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_across_folders() {
        for (glob, matching, others) in [
            ("*.jsonl", &["a.jsonl", "a/b.jsonl", ".a.jsonl"][..], &["a.json", "a.jsonl.gz"][..]),
            ("*/day=25/*.jsonl", &["x/day=25/a.jsonl", "x/y/day=25/z/a.jsonl"], &["day=25/a.jsonl", "x/day=24/a.jsonl"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a/xb", "b"]),
            ("{a,b}/x[0-9].{jsonl,jsonl.gz}", &["a/x1.jsonl", "b/x2.jsonl.gz"], &["c/x1.jsonl", "a/xx.jsonl"]),
            ("x[!0-9]", &["xa"], &["x1", "x"]),
            ("?.jsonl", &["a.jsonl"], &["ab.jsonl"]),
            ("{open*.jsonl", &["{open1.jsonl"], &["open1.jsonl"]),
            (r"a\*", &[r"a\b"], &["a*"]),
        ] {
            let pattern = Glob::new(glob).unwrap();
            assert!(matching.iter().all(|path| pattern.matches(path)), "{glob}");
            assert!(!others.iter().any(|path| pattern.matches(path)), "{glob}");
        }
        assert!(Glob::new("a[").unwrap_err().starts_with("invalid glob: "));
        assert_eq!(Glob::new("_raw/{a,b}/*/x").unwrap().literal_segments(), ["_raw", "x"]);
    }
}
