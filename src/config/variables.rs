//! Variables in pipeline files and in locations: `{date}`, `{date-1d}`, `{hour-1h}`, `{date:%Y/%m/%d}`, `{env:NAME}`, and `{name}` from `--set` or
//! the section `[variables]`.
//!
//! `{{` and `}}` are literal braces. Braces around a comma are alternatives of a glob and stay as they are: `{a,b}`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, TimeDelta, Utc};

use super::parse_time;
use crate::limits::{GLOB_DEPTH_MAX, VARIABLE_FORMAT_BYTES_MAX};
use crate::messages::did_you_mean;

/// Variables that are always known.
const BUILT_IN: [&str; 3] = ["date", "hour", "env"];

/// The values of variables, as a user gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct VariableOptions {
    /// Value of the variable {NAME} in the pipeline file and in locations; can be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    pub set: Vec<(String, String)>,
    /// Logical date of the run: {date} and {hour}, and the time from which ages such as 24h count back [default: now]
    #[arg(long, value_name = "TIME", env = "FAILSIFT_DATE")]
    pub date: Option<String>,
}

/// Parses `NAME=VALUE`.
fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| "expected NAME=VALUE".to_owned())?;
    check_name(name)?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Checks the name of a user's variable.
fn check_name(name: &str) -> Result<(), String> {
    if BUILT_IN.contains(&name) {
        let hint = if name == "date" { "\n  hint: --date sets it" } else { "" };
        return Err(format!("the variable '{name}' is built in{hint}"));
    }
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if starts_well && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(());
    }
    Err(format!("invalid variable name '{name}'\n  hint: use letters, digits and _"))
}

/// A text whose variables are replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// The same for messages: variables of the environment, which may be secrets, are not replaced.
    pub(super) shown: String,
}

impl Expanded {
    fn literal(text: &str) -> Self {
        Self { text: text.to_owned(), shown: text.to_owned() }
    }

    fn push(&mut self, other: &Self) {
        self.text.push_str(&other.text);
        self.shown.push_str(&other.shown);
    }
}

/// The variables of a run.
#[derive(Debug, Clone)]
pub(super) struct Variables {
    /// The logical date, or else the time at which the run started.
    pub(super) date: DateTime<Utc>,
    values: BTreeMap<String, Expanded>,
    /// Variables that texts contained.
    used: BTreeSet<String>,
    /// Whether a text contained an unknown variable, which may be one of the user's, misspelled.
    has_unknown: bool,
}

impl Variables {
    /// The variables without those of a pipeline file. `date` is the logical date, if one is given.
    ///
    /// # Errors
    /// A message with a hint, if the date is invalid.
    pub(super) fn new(set: &[(String, String)], date: Option<&str>, now: DateTime<Utc>) -> Result<Self, String> {
        let date = date.map_or(Ok(now), |text| parse_time(text, now).map(DateTime::from_timestamp_nanos))?;
        let values = set.iter().map(|(name, value)| (name.clone(), Expanded::literal(value))).collect();
        Ok(Self { date, values, used: BTreeSet::new(), has_unknown: false })
    }

    /// Adds the default of a variable from the pipeline file, which may contain built-in variables.
    ///
    /// # Errors
    /// A message with a hint.
    pub(super) fn add_default(&mut self, name: &str, value: &str) -> Result<(), String> {
        check_name(name)?;
        let built_in = Self { date: self.date, values: BTreeMap::new(), used: BTreeSet::new(), has_unknown: false }.expand(value)?;
        self.used.insert(name.to_owned());
        self.values.entry(name.to_owned()).or_insert(built_in);
        Ok(())
    }

    /// The names of the user's variables.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// The variable of `--set` that no text contains. Nothing is wrong with it if an unknown variable is reported instead.
    pub(super) fn check_used(&self) -> Result<(), String> {
        let Some(unused) = self.values.keys().find(|name| !self.has_unknown && !self.used.contains(*name)) else { return Ok(()) };
        let known: Vec<&str> = self.used.iter().map(String::as_str).filter(|name| !BUILT_IN.contains(name)).collect();
        let suggestion = did_you_mean(unused, &known);
        Err(format!(
            "--set {unused}: no value contains {{{unused}}}{suggestion}\n  hint: write {{{unused}}} in the pipeline file, or declare it in [variables]"
        ))
    }

    /// Replaces the variables of a text.
    ///
    /// # Errors
    /// A message with a hint, for an unknown variable or a syntax error.
    pub(super) fn expand(&mut self, text: &str) -> Result<Expanded, String> {
        self.expand_nested(text, GLOB_DEPTH_MAX)
    }

    /// `depth_left`: how many more braces of globs may enclose others.
    fn expand_nested(&mut self, text: &str, depth_left: usize) -> Result<Expanded, String> {
        let mut out = Expanded { text: String::with_capacity(text.len()), shown: String::new() };
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            out.push(&Expanded::literal(before));
            if let Some((brace, after)) =
                ["{", "}"].into_iter().find_map(|brace| Some((brace, from.strip_prefix(brace)?.strip_prefix(brace)?)))
            {
                out.push(&Expanded::literal(brace));
                rest = after;
            } else if from.starts_with('}') {
                return Err("a } without {\n  hint: write }} for a literal brace".to_owned());
            } else {
                let (content, after) = group(from).ok_or_else(|| "a { without }\n  hint: write {{ for a literal brace".to_owned())?;
                out.push(&self.expand_group(content, depth_left)?);
                rest = after;
            }
        }
        out.push(&Expanded::literal(rest));
        Ok(out)
    }

    /// Replaces `{content}`.
    fn expand_group(&mut self, content: &str, depth_left: usize) -> Result<Expanded, String> {
        if content.contains(',') {
            let depth_left = depth_left.checked_sub(1);
            let depth_left = depth_left.ok_or_else(|| format!("braces are nested more than {GLOB_DEPTH_MAX} deep"))?;
            let inner = self.expand_nested(content, depth_left)?;
            return Ok(Expanded { text: format!("{{{}}}", inner.text), shown: format!("{{{}}}", inner.shown) });
        }
        if let Some(name) = content.strip_prefix("env:") {
            let value = std::env::var(name).map_err(|_| format!("the environment variable {name} of {{env:{name}}} is not set"))?;
            return Ok(Expanded { text: value, shown: format!("{{env:{name}}}") });
        }
        let name_length = content.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(content.len());
        let (name, modifiers) = content.split_at(name_length);
        match name {
            "date" => self.time(content, modifiers, "%Y-%m-%d"),
            "hour" => self.time(content, modifiers, "%H"),
            _ => {
                self.used.insert(name.to_owned());
                let value = self.values.get(content).cloned();
                self.has_unknown |= value.is_none();
                value.ok_or_else(|| self.unknown(content))
            }
        }
    }

    /// The logical date with an offset (`-1d`) and a format (`:%Y/%m/%d`).
    fn time(&self, content: &str, modifiers: &str, default_format: &str) -> Result<Expanded, String> {
        let invalid = |reason: &str| {
            format!("invalid variable {{{content}}}: {reason}\n  hint: write {{date}}, {{date-1d}}, {{hour-1h}} or {{date:%Y/%m/%d}}")
        };
        let (offset, format) = modifiers.split_once(':').map_or((modifiers, default_format), |(offset, format)| (offset, format));
        let time =
            if offset.is_empty() { Some(self.date) } else { parse_offset(offset).and_then(|offset| self.date.checked_add_signed(offset)) };
        let time = time.ok_or_else(|| invalid("the offset is a sign, a number and one of m, h, d, w"))?;
        if format.is_empty() || format.len() > VARIABLE_FORMAT_BYTES_MAX {
            return Err(invalid("the format is empty or too long"));
        }
        let items: Vec<Item<'_>> = StrftimeItems::new(format).collect();
        let mut text = String::new();
        let is_valid = !items.iter().any(|item| matches!(item, Item::Error));
        if !is_valid || write!(text, "{}", time.format_with_items(items.iter())).is_err() {
            return Err(invalid("the format is not one of strftime"));
        }
        Ok(Expanded::literal(&text))
    }

    fn unknown(&self, content: &str) -> String {
        let known: Vec<&str> = BUILT_IN.into_iter().chain(self.values.keys().map(String::as_str)).collect();
        let suggestion = did_you_mean(content, &known);
        let hint = match check_name(content) {
            Ok(()) => format!("pass --set {content}=VALUE, or declare it in [variables]; {{{{ is a literal brace"),
            Err(_) => "{{ is a literal brace".to_owned(),
        };
        format!("unknown variable '{content}'{suggestion}\n  hint: {hint}")
    }
}

/// The content of the braces at the start of a text, and what follows them.
fn group(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some((text.get(1..at)?, text.get(at + 1..)?)),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Parses `-1d`, `+2h`, `-30m`, `-1w`.
fn parse_offset(text: &str) -> Option<TimeDelta> {
    let (sign, rest) = text.strip_prefix('-').map(|rest| (-1, rest)).or_else(|| text.strip_prefix('+').map(|rest| (1, rest)))?;
    let unit = rest.chars().last()?;
    let number: i64 = rest.strip_suffix(unit).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
    let number = number.checked_mul(sign)?;
    match unit {
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        'w' => TimeDelta::try_weeks(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        let set = [("region".to_owned(), "eu".to_owned())];
        Variables::new(&set, Some("2026-03-01T00:30:00Z"), Utc::now()).unwrap()
    }

    fn expanded(text: &str) -> String {
        variables().expand(text).unwrap().text
    }

    fn error(text: &str) -> String {
        variables().expand(text).unwrap_err()
    }

    #[test]
    fn dates_have_offsets_and_formats() {
        assert_eq!(expanded("s3://b/{date}/{hour}/"), "s3://b/2026-03-01/00/");
        assert_eq!(expanded("dt={date-1d}/"), "dt=2026-02-28/");
        assert_eq!(expanded("dt={date-1h}/hour={hour-1h}/"), "dt=2026-02-28/hour=23/");
        assert_eq!(expanded("{date+1w:%Y/%m/%d} {date-45m:%H:%M}"), "2026/03/08 23:45");
    }

    #[test]
    fn braces_are_literal_globs_or_variables() {
        assert_eq!(expanded("{{date}} {region}-*.{json,jsonl{,.gz}}"), "{date} eu-*.{json,jsonl{,.gz}}");
        assert_eq!(expanded("{{{region}}}"), "{eu}");
        assert_eq!(expanded("logs/{old,{date}}/*"), "logs/{old,2026-03-01}/*");
    }

    #[test]
    fn a_value_of_the_environment_is_not_shown() {
        let found = variables().expand("{env:CARGO_PKG_NAME}/{region}").unwrap();
        assert_eq!((found.text.as_str(), found.shown.as_str()), ("failsift/eu", "{env:CARGO_PKG_NAME}/eu"));
        assert!(
            error("{env:FAILSIFT_NO_SUCH}").starts_with("the environment variable FAILSIFT_NO_SUCH of {env:FAILSIFT_NO_SUCH} is not set")
        );
    }

    #[test]
    fn mistakes_are_reported_with_their_remedy() {
        assert_eq!(
            error("{regio}"),
            "unknown variable 'regio'; did you mean 'region'?\n  hint: pass --set regio=VALUE, or declare it in [variables]; {{ is a literal brace"
        );
        assert!(error("{dat}").starts_with("unknown variable 'dat'; did you mean 'date'?"));
        assert!(error("{}").starts_with("unknown variable ''\n  hint: {{ is a literal brace"));
        assert!(error("a{date").starts_with("a { without }"));
        // Two opening braces are a literal one, so this is no glob of two days.
        assert!(error("{{date},{date-1d}}/*").starts_with("a } without {"));
        for text in ["{date-1}", "{date-1y}", "{date1d}", "{date-d}", "{date-99999999999999999w}", "{date:}", "{date:%Q}", "{hour-1h:%}"] {
            assert!(error(text).contains("\n  hint: "), "{text}: {}", error(text));
        }
        assert!(error(&format!("{{date:{}}}", "x".repeat(200))).contains("too long"));
        assert_eq!(expanded(&format!("{}{}", "{a,".repeat(16), "}".repeat(16))).len(), 64);
        assert_eq!(error(&format!("{}{}", "{a,".repeat(100_000), "}".repeat(100_000))), "braces are nested more than 16 deep");
    }

    #[test]
    fn a_default_gives_way_and_an_unused_variable_is_reported() {
        let mut variables = variables();
        variables.add_default("region", "us").unwrap();
        variables.add_default("day", "{date:%d}").unwrap();
        assert_eq!(variables.expand("{region}/{day}").unwrap().text, "eu/01");
        assert!(variables.add_default("date", "x").unwrap_err().contains("is built in"));
        assert!(variables.add_default("a-b", "x").unwrap_err().contains("invalid variable name"));
        assert_eq!(variables.check_used(), Ok(()));
        let set = [("prefx".to_owned(), "x".to_owned())];
        let mut other = Variables::new(&set, None, Utc::now()).unwrap();
        other.add_default("prefix", "agents").unwrap();
        assert!(other.check_used().unwrap_err().starts_with("--set prefx: no value contains {prefx}; did you mean 'prefix'?"));
    }
}
