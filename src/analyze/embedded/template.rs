//! Sentences with placeholders and optional parts, as rule files write them.
//!
//! `{name}` is replaced by a value. A part in brackets is left out if one of its placeholders has no value; it may have alternatives, of which the
//! first with all values is used: `The request held {request_tokens}[, {excess_tokens} over the limit|, more than allowed].` A backslash before a
//! bracket, a brace or a bar makes it an ordinary character.
//!
//! A condition prints nothing, and without it the part around it is left out like one without a value: `{?attempts}` stands if the value is known,
//! `{!attempts}` if it is not, `{?attempts>2}` and `{!attempts>2}` if it is or is not a larger number. `<` compares the other way round, `=` asks for
//! the value itself, and `~` for a part of it, both in any case of letters.

/// A sentence that is filled with values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Text(String),
    Placeholder(Placeholder),
    Condition(Condition),
    /// Alternatives; none is used if each lacks a value.
    Optional(Vec<Template>),
}

/// A placeholder of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placeholder {
    /// Name of a fact, or one of the words of `docs/rules.md`.
    pub(super) name: String,
    pub(super) form: Form,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As people write it: `128,000 tokens`.
    Shown,
    /// A number without its unit: `{limit_tokens:number}`.
    Number,
    /// A duration that is never shorter than the value: `{retry_after_ms:up}`.
    RoundedUp,
    /// As it was extracted. Conditions compare it.
    Raw,
}

/// What a part of a sentence depends on.
#[derive(Debug, Clone, PartialEq)]
struct Condition {
    value: Placeholder,
    /// `false` in `{!name}`.
    is_wanted: bool,
    comparison: Option<Comparison>,
}

#[derive(Debug, Clone, PartialEq)]
enum Comparison {
    Above(f64),
    Below(f64),
    Equal(String),
    Contains(String),
}

impl Condition {
    /// Parses `?name`, `!name`, `?name>3`, `!name~word`.
    fn parse(inside: &str) -> Result<Self, String> {
        let (is_wanted, rest) = match inside.strip_prefix('?') {
            Some(rest) => (true, rest),
            None => (false, inside.strip_prefix('!').unwrap_or(inside)),
        };
        let (name, comparison) = match rest.find(['>', '<', '=', '~']) {
            None => (rest, None),
            Some(at) => {
                let (name, compared) = rest.split_at(at);
                let (sign, operand) = compared.split_at(1);
                (name, Some(Comparison::parse(sign, operand.trim())?))
            }
        };
        if name.is_empty() || !name.chars().all(is_of_name) {
            return Err(format!("the condition {{{inside}}} does not begin with a name; expected {{?name}}, {{!name}} or {{?name>1}}"));
        }
        Ok(Self { value: Placeholder { name: name.to_owned(), form: Form::Raw }, is_wanted, comparison })
    }

    fn holds(&self, value_of: &dyn Fn(&Placeholder, bool) -> Option<String>) -> bool {
        let value = value_of(&self.value, false);
        let is_met = value.is_some_and(|value| self.comparison.as_ref().is_none_or(|comparison| comparison.is_met(&value)));
        is_met == self.is_wanted
    }
}

impl Comparison {
    fn parse(sign: &str, operand: &str) -> Result<Self, String> {
        let number = || operand.parse::<f64>().map_err(|_| format!("'{operand}' after {sign} is not a number"));
        Ok(match sign {
            ">" => Self::Above(number()?),
            "<" => Self::Below(number()?),
            _ if operand.is_empty() => return Err(format!("nothing follows {sign} in a condition")),
            "=" => Self::Equal(operand.to_lowercase()),
            _ => Self::Contains(operand.to_lowercase()),
        })
    }

    fn is_met(&self, value: &str) -> bool {
        let number = || value.trim().parse::<f64>().ok();
        match self {
            Self::Above(limit) => number().is_some_and(|number| number > *limit),
            Self::Below(limit) => number().is_some_and(|number| number < *limit),
            Self::Equal(word) => value.trim().to_lowercase() == *word,
            Self::Contains(word) => value.to_lowercase().contains(word),
        }
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

/// How deeply optional parts may be nested.
const DEPTH_MAX: usize = 4;

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// A sentence about the first bracket or placeholder that is not well-formed.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { chars: text.chars().peekable() };
        let template = parser.template(0)?;
        match parser.chars.next() {
            None => Ok(template),
            Some(_) => Err("a closing bracket without an opening one; write \\] for the character itself".to_owned()),
        }
    }

    /// The sentence; `None` if a placeholder outside of optional parts has no value, or a condition there does not hold. `value_of` is told whether the placeholder is outside.
    pub(super) fn render(&self, value_of: &dyn Fn(&Placeholder, bool) -> Option<String>) -> Option<String> {
        self.render_part(value_of, true)
    }

    fn render_part(&self, value_of: &dyn Fn(&Placeholder, bool) -> Option<String>, is_required: bool) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(piece) => text.push_str(piece),
                Part::Placeholder(placeholder) => text.push_str(&value_of(placeholder, is_required)?),
                Part::Condition(condition) if condition.holds(value_of) => {}
                Part::Condition(_) => return None,
                Part::Optional(alternatives) => {
                    let rendered = alternatives.iter().find_map(|alternative| alternative.render_part(value_of, false));
                    text.push_str(&rendered.unwrap_or_default());
                }
            }
        }
        Some(text)
    }

    /// The names of all placeholders and conditions.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.visit_placeholders(&mut |placeholder, _| names.push(placeholder.name.as_str()));
        names
    }

    /// Whether a condition outside of optional parts decides that there is a sentence at all.
    pub(super) fn is_conditional(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Condition(_)))
    }

    /// The names of the placeholders without which there is no sentence.
    pub(super) fn required_names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.visit_placeholders(&mut |placeholder, is_required| {
            if is_required && placeholder.form != Form::Raw {
                names.push(placeholder.name.as_str());
            }
        });
        names
    }

    fn visit_placeholders<'t>(&'t self, visit: &mut dyn FnMut(&'t Placeholder, bool)) {
        for part in &self.parts {
            match part {
                Part::Text(_) => {}
                Part::Placeholder(placeholder) => visit(placeholder, true),
                Part::Condition(condition) => visit(&condition.value, true),
                Part::Optional(alternatives) => {
                    for alternative in alternatives {
                        alternative.visit_placeholders(&mut |placeholder, _| visit(placeholder, false));
                    }
                }
            }
        }
    }

    /// Whether nothing may be left of the sentence: everything is optional, and no alternative does without values.
    pub(super) fn may_be_empty(&self) -> bool {
        self.parts.iter().all(|part| match part {
            // A period alone is no sentence.
            Part::Text(text) => !text.contains(char::is_alphanumeric),
            Part::Placeholder(_) => false,
            Part::Condition(_) => true,
            Part::Optional(alternatives) => !alternatives.iter().any(Self::is_always_text),
        })
    }

    /// Whether it has words whatever is known.
    fn is_always_text(&self) -> bool {
        self.required_names().is_empty() && !self.is_conditional() && !self.may_be_empty()
    }

    /// Whether its fixed text contains `fragment`.
    pub(super) fn contains_text(&self, fragment: &str) -> bool {
        self.parts.iter().any(|part| match part {
            Part::Text(text) => text.contains(fragment),
            Part::Placeholder(_) | Part::Condition(_) => false,
            Part::Optional(alternatives) => alternatives.iter().any(|alternative| alternative.contains_text(fragment)),
        })
    }
}

struct Parser<'t> {
    chars: std::iter::Peekable<std::str::Chars<'t>>,
}

impl Parser<'_> {
    /// Reads up to the end of the text or, inside of an optional part, to the next `|` or `]`, which it leaves.
    fn template(&mut self, depth: usize) -> Result<Template, String> {
        let (mut parts, mut text) = (Vec::new(), String::new());
        while let Some(c) = self.chars.peek().copied() {
            match c {
                ']' => break,
                '|' if depth > 0 => break,
                '\\' => {
                    self.chars.next();
                    match self.chars.peek().copied() {
                        Some(escaped @ ('[' | ']' | '{' | '}' | '|' | '\\')) => {
                            self.chars.next();
                            text.push(escaped);
                        }
                        _ => text.push('\\'),
                    }
                }
                '[' => {
                    self.chars.next();
                    flush(&mut text, &mut parts);
                    parts.push(self.optional(depth + 1)?);
                }
                '{' => {
                    self.chars.next();
                    flush(&mut text, &mut parts);
                    parts.push(match self.chars.peek() {
                        Some('?' | '!') => Part::Condition(self.condition()?),
                        _ => Part::Placeholder(self.placeholder()?),
                    });
                }
                _ => {
                    self.chars.next();
                    text.push(c);
                }
            }
        }
        flush(&mut text, &mut parts);
        Ok(Template { parts })
    }

    /// Reads the alternatives of an optional part and its closing bracket.
    fn optional(&mut self, depth: usize) -> Result<Part, String> {
        if depth > DEPTH_MAX {
            return Err(format!("optional parts are nested more than {DEPTH_MAX} times"));
        }
        let mut alternatives = Vec::new();
        loop {
            alternatives.push(self.template(depth)?);
            match self.chars.next() {
                Some('|') => {}
                Some(_) => return Ok(Part::Optional(alternatives)),
                None => return Err("an opening bracket without a closing one; write \\[ for the character itself".to_owned()),
            }
        }
    }

    /// Reads a condition and the closing brace.
    fn condition(&mut self) -> Result<Condition, String> {
        let mut inside = String::new();
        loop {
            match self.chars.next() {
                Some('}') => return Condition::parse(&inside),
                Some(c) if !matches!(c, '{' | '[' | ']' | '|') => inside.push(c),
                _ => return Err(format!("the condition after {{{inside} has no closing brace")),
            }
        }
    }

    /// Reads a name, an optional form, and the closing brace.
    fn placeholder(&mut self) -> Result<Placeholder, String> {
        let mut inside = String::new();
        loop {
            match self.chars.next() {
                Some('}') => break,
                Some(c) if is_of_name(c) || c == ':' => inside.push(c),
                _ => return Err(format!("the placeholder after {{{inside} is not a name in braces; write \\{{ for the character itself")),
            }
        }
        let (name, form) = match inside.split_once(':') {
            None => (inside.as_str(), Form::Shown),
            Some((name, "number")) => (name, Form::Number),
            Some((name, "up")) => (name, Form::RoundedUp),
            Some((_, form)) => return Err(format!("unknown form '{form}' of a placeholder; expected number or up")),
        };
        Ok(Placeholder { name: name.to_owned(), form })
    }
}

fn flush(text: &mut String, parts: &mut Vec<Part>) {
    if !text.is_empty() {
        parts.push(Part::Text(std::mem::take(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(template: &str) -> Option<String> {
        let value = |placeholder: &Placeholder, _: bool| match (placeholder.name.as_str(), placeholder.form) {
            ("limit", Form::Shown) => Some("128,000 tokens".to_owned()),
            ("limit", Form::Raw) => Some("128000".to_owned()),
            ("limit", _) => Some("128,000".to_owned()),
            ("tool", _) => Some("search".to_owned()),
            _ => None,
        };
        Template::parse(template).unwrap().render(&value)
    }

    #[test]
    fn parts_without_a_value_are_left_out() {
        for (template, expected) in [
            ("The limit is {limit}.", Some("The limit is 128,000 tokens.")),
            ("{limit:number} of {limit}", Some("128,000 of 128,000 tokens")),
            ("It failed[ after {attempts} attempts][ in {tool}].", Some("It failed in search.")),
            ("[{attempts} attempts|{tool} failed|nothing] happened", Some("search failed happened")),
            ("[{attempts}|nothing] happened", Some("nothing happened")),
            ("[in {tool}[, {attempts} times]]", Some("in search")),
            ("{attempts} attempts", None),
            (r"a list \[1\], a set \{1\}, a | b", Some("a list [1], a set {1}, a | b")),
            ("a path C:\\dir", Some("a path C:\\dir")),
            ("", Some("")),
        ] {
            assert_eq!(rendered(template).as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn a_part_stands_only_under_its_conditions() {
        for (template, expected) in [
            ("{!attempts}Try again.", Some("Try again.")),
            ("{!tool}Try again.", None),
            ("{?tool}{!attempts>1}Call {tool} again.", Some("Call search again.")),
            ("Wait[{?limit>1000} long].", Some("Wait long.")),
            ("Wait[{?limit<1000} long|{!limit<1000} no longer].", Some("Wait no longer.")),
            ("[{?tool=Search}It searched|It did something else].", Some("It searched.")),
            ("[{?tool~ear}It searched|It did something else].", Some("It searched.")),
            ("[{?tool=sea}It searched|It did something else].", Some("It did something else.")),
            ("[{?attempts>0}{attempts} attempts|No attempt].", Some("No attempt.")),
            ("[{!attempts>0}one attempt]", Some("one attempt")),
        ] {
            assert_eq!(rendered(template).as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn malformed_templates_are_named() {
        for template in [
            "{?}",
            "{!Tool}",
            "{?tool>many}",
            "{?tool=}",
            "{?tool",
            "{? tool}",
            "a [b",
            "a ]b",
            "{no name}",
            "{tool",
            "{tool:words}",
            "[[[[[a]]]]]",
        ] {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }

    #[test]
    fn required_names_are_those_outside_of_optional_parts() {
        let template = Template::parse("{tool}[ of {limit}|{other}]").unwrap();
        assert_eq!((template.names(), template.required_names()), (vec!["tool", "limit", "other"], vec!["tool"]));
        let may_be_empty = |text: &str| Template::parse(text).unwrap().may_be_empty();
        assert!(may_be_empty("[in {tool}][b {x}]") && may_be_empty("[[{tool}]]") && may_be_empty(""));
        assert!(!may_be_empty("[in {tool}|somewhere]") && !may_be_empty("a[ {x}]") && !may_be_empty("{x}"));
        assert!(may_be_empty("[{!x}in]") && may_be_empty("[{x}].") && may_be_empty("{?x}") && !may_be_empty("{?x}a"));
        let conditional = Template::parse("{!limit}a {tool}").unwrap();
        assert_eq!((conditional.names(), conditional.required_names()), (vec!["limit", "tool"], vec!["tool"]));
        assert!(conditional.is_conditional() && !Template::parse("a[{!limit}b]").unwrap().is_conditional());
    }
}
