//! What is wrong with a text that should be JSON: a code fence or prose around it, single quotes, a trailing comma, a missing end.

/// A defect and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Defect {
    /// As a noun phrase: `a trailing comma`.
    pub(super) what: &'static str,
    /// The byte in the text, if the defect has a place.
    pub(super) at: Option<usize>,
}

/// The first defect of a text; `None` if it is JSON, or if it has more than [`TEXT_BYTES_MAX`].
pub(super) fn of(text: &str) -> Option<Defect> {
    let defect = |what: &'static str, at: Option<usize>| Some(Defect { what, at });
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return defect("no text at all", None);
    }
    let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(text) else { return None };
    let start = text.len() - text.trim_start().len();
    if trimmed.starts_with("```") {
        return defect("a code fence around the JSON", Some(start));
    }
    if !trimmed.starts_with(['{', '[', '"']) {
        return match json_after_prose(text) {
            Some(at) if text.get(..at).is_some_and(|before| before.contains("```")) => {
                defect("prose and a code fence before the JSON", Some(start))
            }
            Some(_) => defect("prose before the JSON", Some(start)),
            None if text.contains("```json") => defect("prose and a code fence before the JSON", Some(start)),
            None if trimmed.starts_with('<') => defect("markup instead of JSON", Some(start)),
            None => defect("prose instead of JSON", Some(start)),
        };
    }
    let at = offset_of(text, error.line(), error.column());
    if error.is_eof() {
        return match error.to_string() {
            message if message.starts_with("EOF while parsing a string") => defect("an end inside a string", Some(text.len())),
            _ => defect("a missing end", Some(text.len())),
        };
    }
    let message = error.to_string();
    let rest = at.and_then(|at| text.get(at..)).unwrap_or_default();
    let before = at.and_then(|at| text.get(..at)).unwrap_or_default().trim_end();
    let what = if message.starts_with("trailing characters") {
        "text after the JSON"
    } else if message.starts_with("trailing comma") || (before.ends_with(',') && rest.starts_with(['}', ']'])) {
        "a trailing comma"
    } else if rest.starts_with('\'') {
        "single quotes instead of double quotes"
    } else if ["NaN", "Infinity", "-Infinity"].iter().any(|word| rest.starts_with(word))
        || text.get(at.unwrap_or(0).saturating_sub(1)..).is_some_and(|rest| rest.starts_with("-I"))
    {
        "a number that JSON does not have (NaN or Infinity)"
    } else if ["None", "True", "False"].iter().any(|word| rest.starts_with(word)) {
        "a literal of Python (None, True or False)"
    } else if rest.starts_with("undefined") {
        "the word undefined"
    } else if rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#') {
        "a comment"
    } else if message.starts_with("control character") {
        "an unescaped line break or control character in a string"
    } else if message.starts_with("invalid escape") {
        "an invalid escape in a string"
    } else if message.starts_with("key must be a string") {
        "a key without double quotes"
    } else if message.starts_with("expected `,` or") {
        if rest.starts_with('"') { "a missing comma" } else { "a missing comma or an unescaped quote" }
    } else if message.starts_with("expected `:`") {
        "a missing colon"
    } else {
        "a syntax error"
    };
    defect(what, at)
}

/// Longer texts are not read again.
pub(super) const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Where an object or a list begins in a text that begins with words.
fn json_after_prose(text: &str) -> Option<usize> {
    /// Brackets of the prose itself that are tried.
    const STARTS_MAX: usize = 8;
    let starts = text.match_indices(['{', '[']).map(|(at, _)| at);
    starts.take(STARTS_MAX).find(|at| {
        let rest = text.get(*at..).unwrap_or_default();
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
        let is_value = values.next().is_some_and(|value| value.is_ok() || value.is_err_and(|error| error.is_eof()));
        // `[1]` and `{name}` occur in prose.
        is_value && rest.trim_start_matches(['{', '[']).trim_start().starts_with(['"', '{', '[', '}', ']'])
    })
}

/// The byte of a place that serde names: lines from 1, columns in bytes from 1, the place itself or the byte after it.
fn offset_of(text: &str, line: usize, column: usize) -> Option<usize> {
    let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let start = starts.take(line).last()?;
    let mut at = start + column.saturating_sub(1);
    while at > 0 && !text.is_char_boundary(at) {
        at -= 1;
    }
    (at <= text.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defects_are_named() {
        for (text, what) in [
            ("```json\n{\"a\": 1}\n```", "a code fence around the JSON"),
            ("Sure! Here is the JSON:\n{\"a\": 1}", "prose before the JSON"),
            ("Here it is:\n```json\n{\"a\": 1}\n```", "prose and a code fence before the JSON"),
            ("I think it's mechanical, quite urgent.", "prose instead of JSON"),
            ("I set {name} as [1].", "prose instead of JSON"),
            ("<html></html>", "markup instead of JSON"),
            ("{\"a\": 1,}", "a trailing comma"),
            ("[1, 2,]", "a trailing comma"),
            ("{'a': 1}", "single quotes instead of double quotes"),
            ("{\"a\": 'b'}", "single quotes instead of double quotes"),
            ("{\"a\": NaN}", "a number that JSON does not have (NaN or Infinity)"),
            ("{\"a\": -Infinity}", "a number that JSON does not have (NaN or Infinity)"),
            ("{\"a\": None}", "a literal of Python (None, True or False)"),
            ("{\"a\": True}", "a literal of Python (None, True or False)"),
            ("{\"a\": 1} // done", "text after the JSON"),
            ("{\"a\": 1 // one\n}", "a comment"),
            ("{\"a\": \"b\nc\"}", "an unescaped line break or control character in a string"),
            ("{\"a\": \"C:\\dir\"}", "an invalid escape in a string"),
            ("{a: 1}", "a key without double quotes"),
            ("{\"a\": 1 \"b\": 2}", "a missing comma"),
            ("{\"a\": \"say \"hi\" now\"}", "a missing comma or an unescaped quote"),
            ("{\"a\" 1}", "a missing colon"),
            ("{\"a\": \"b", "an end inside a string"),
            ("{\"a\": {\"b\": 1}", "a missing end"),
            ("  ", "no text at all"),
        ] {
            assert_eq!(of(text).map(|defect| defect.what), Some(what), "{text}");
        }
        assert_eq!(of("{\"a\": 1}"), None);
        assert_eq!(of("{\"a\": 1,}").unwrap().at, Some(8));
    }
}
