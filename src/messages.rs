//! Wording that messages of several modules share: suggestions for misspelled names, and plain causes of I/O errors.
//!
//! Takes names and errors. Does not know what they belong to.

use std::io;

/// The cause of an I/O error in plain words, without the error number of the operating system.
pub(crate) fn io_cause(error: &io::Error) -> String {
    let cause = match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::IsADirectory => "it is a folder, not a file",
        io::ErrorKind::NotADirectory => "a part of the path is a file, not a folder",
        io::ErrorKind::StorageFull => "no space left on the device",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        io::ErrorKind::ConnectionRefused => "connection refused",
        _ => return without_error_number(error.to_string().lines().next().unwrap_or_default()).to_owned(),
    };
    cause.to_owned()
}

/// A message of the standard library without ` (os error 13)` at its end.
pub(crate) fn without_error_number(message: &str) -> &str {
    message.rsplit_once(" (os error ").filter(|(_, number)| number.ends_with(')')).map_or(message, |(message, _)| message)
}

/// `unknown WHAT 'NAME'` with the most similar known name, and a hint that lists all of them.
pub(crate) fn unknown_name(what: &str, name: &str, known: &[&str]) -> String {
    format!("unknown {what} '{name}'{}\n  hint: use one of {}", did_you_mean(name, known), known.join(", "))
}

/// `; did you mean 'NAME'?`, or nothing if no known name is similar.
pub(crate) fn did_you_mean(name: &str, known: &[&str]) -> String {
    closest(name, known).map_or_else(String::new, |closest| format!("; did you mean '{closest}'?"))
}

/// The known name with the fewest edits (insertions, deletions, substitutions and swaps of neighbors), ignoring case. `None` if a quarter of
/// the name and one more character would have to change.
pub(crate) fn closest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let name = name.to_lowercase();
    let edits_max = 1 + name.chars().count() / 4;
    let by_edits = known.iter().map(|candidate| (strsim::osa_distance(&name, &candidate.to_lowercase()), *candidate));
    by_edits.filter(|(edits, _)| *edits <= edits_max).min_by_key(|(edits, _)| *edits).map(|(_, candidate)| candidate)
}

/// Why a TOML file cannot be used, with the line: `line 2: unknown key 'input'; did you mean 'inputs'?`
///
/// serde's message is the only place that knows the expected keys and values, so they are read from it; any other message is passed on.
pub(crate) fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let message =
        unknown_in_toml(error.message()).unwrap_or_else(|| error.message().trim_end().replace("expected a sequence", "expected a list"));
    let before = error.span().and_then(|span| text.get(..span.start));
    before.map_or_else(|| message.clone(), |before| format!("line {}: {message}", before.matches('\n').count() + 1))
}

/// Rewrites serde's "unknown field `a`, expected one of `b`, `c`" and "unknown variant `a`, expected `b` or `c`".
fn unknown_in_toml(message: &str) -> Option<String> {
    let (what, rest) = [("key", "unknown field `"), ("value", "unknown variant `")]
        .into_iter()
        .find_map(|(what, prefix)| Some((what, message.strip_prefix(prefix)?)))?;
    let (name, expected) = rest.split_once('`')?;
    // Names are at the odd positions between backticks.
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let suggestion = match did_you_mean(name, &known) {
        nothing if nothing.is_empty() => format!("; expected {}{}", if known.len() > 1 { "one of " } else { "" }, known.join(", ")),
        suggestion => suggestion,
    };
    Some(format!("unknown {what} '{name}'{suggestion}")).filter(|_| !known.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only names and types matter")]
    struct File {
        inputs: Vec<String>,
        analyzer: Analyzer,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Analyzer {
        Embedded,
        Gemini,
    }

    fn error_in(text: &str) -> String {
        toml_error(text, &toml::from_str::<File>(text).unwrap_err())
    }

    #[test]
    fn the_most_similar_name_is_suggested() {
        let formats = ["otlp", "langsmith", "langfuse"];
        assert_eq!(
            unknown_name("input format", "langsmit", &formats),
            "unknown input format 'langsmit'; did you mean 'langsmith'?\n  hint: use one of otlp, langsmith, langfuse"
        );
        assert_eq!(
            unknown_name("input format", "xml", &formats),
            "unknown input format 'xml'\n  hint: use one of otlp, langsmith, langfuse"
        );
    }

    #[test]
    fn similar_names_differ_by_few_edits() {
        let names = ["count", "cot", "trace_id", "category", "confidence"];
        for (name, expected) in [
            ("cuont", Some("count")),
            ("categry", Some("category")),
            ("CATEGORY", Some("category")),
            ("nonsense", None),
            ("", None),
            ("tr", None),
        ] {
            assert_eq!(closest(name, &names), expected, "{name}");
        }
    }

    #[test]
    fn causes_of_io_errors_are_plain() {
        assert_eq!(io_cause(&std::fs::read("missing").unwrap_err()), "no such file or folder");
        assert_eq!(io_cause(&std::fs::read("src").unwrap_err()), "it is a folder, not a file");
        assert_eq!(io_cause(&io::Error::other("the device failed (os error 5)")), "the device failed");
        assert_eq!(io_cause(&io::Error::other("it failed\nsecret")), "it failed");
    }

    #[test]
    fn an_unknown_toml_key_is_reported_with_its_line_and_the_closest_key() {
        assert_eq!(error_in("\ninput = ['a']\n"), "line 2: unknown key 'input'; did you mean 'inputs'?");
        assert_eq!(error_in("zzz = 1\n"), "line 1: unknown key 'zzz'; expected one of inputs, analyzer");
    }

    #[test]
    fn an_unknown_toml_value_is_reported_like_an_unknown_key() {
        assert_eq!(error_in("analyzer = 'embeded'\n"), "line 1: unknown value 'embeded'; did you mean 'embedded'?");
        assert_eq!(error_in("analyzer = 'xyz'\n"), "line 1: unknown value 'xyz'; expected one of embedded, gemini");
    }

    #[test]
    fn other_toml_errors_keep_their_message() {
        assert_eq!(error_in("inputs = 7\n"), "line 1: invalid type: integer `7`, expected a list");
        assert!(error_in("inputs = [\n").starts_with("line "), "{}", error_in("inputs = [\n"));
    }
}
