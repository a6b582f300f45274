//! Messages about misspelled names: `unknown input format 'langsmit'; did you mean 'langsmith'?`
//!
//! Takes a name and the known names. Does not know what the names mean.

/// Similarity above which a known name is suggested; the measure and the threshold are clap's, so that both suggest the same.
const SIMILARITY_MIN: f64 = 0.7;

/// `unknown WHAT 'NAME'` with the most similar known name, and a hint that lists all of them.
pub(crate) fn unknown_name(what: &str, name: &str, known: &[&str]) -> String {
    format!("unknown {what} '{name}'{}\n  hint: use one of {}", did_you_mean(name, known), known.join(", "))
}

/// `; did you mean 'NAME'?`, or nothing if no known name is similar.
fn did_you_mean(name: &str, known: &[&str]) -> String {
    closest(name, known).map_or_else(String::new, |closest| format!("; did you mean '{closest}'?"))
}

fn closest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let similar =
        known.iter().map(|candidate| (strsim::jaro(name, candidate), *candidate)).filter(|(similarity, _)| *similarity > SIMILARITY_MIN);
    similar.max_by(|(left, _), (right, _)| left.total_cmp(right)).map(|(_, candidate)| candidate)
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
