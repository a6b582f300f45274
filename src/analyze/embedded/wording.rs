//! Composes the sentences of a pattern from the templates of its rule and the facts of its trace.

use std::collections::HashSet;

use super::facts::{FactName, Facts, display_name, shortened};
use super::incident::Incident;
pub(super) use super::provider_names::provider_name;
use super::provider_names::{model_name, provider_of};
use super::rules::Rule;
use super::template::{Form, Placeholder, Template};
use crate::model::{Span, SpanKind, Trace, last_segment};

/// Characters of a name that is quoted in a sentence. Names come from the trace and may have any length.
pub(super) const NAME_CHARS_MAX: usize = 60;

/// Characters of a title.
pub(super) const TITLE_CHARS_MAX: usize = 120;

/// Words for a placeholder whose value is not in the trace.
const TOOL_FALLBACK: &str = "the tool";
const MODEL_FALLBACK: &str = "the model";
const PROVIDER_FALLBACK: &str = "the provider";
const SPAN_FALLBACK: &str = "the step";
const ERROR_FALLBACK: &str = "an error";
const SERVICE_FALLBACK: &str = "the service";

/// What the templates of a rule are filled with.
pub(super) struct Wording<'w, 't> {
    pub(super) trace: &'t Trace,
    pub(super) incident: &'w Incident<'t>,
    pub(super) facts: &'w Facts,
}

impl Wording<'_, '_> {
    /// A title or hypothesis: its first letter is a capital, unless it begins with a name.
    pub(super) fn sentence(&self, template: &Template) -> String {
        let text = template.render(&|placeholder, is_required| self.value_of(placeholder, is_required));
        text.map(|text| with_one_period(&self.begin(self.without_repeated_model(text)))).unwrap_or_default()
    }

    /// `The call of m in chat m` is `The call of m`: the name of a model call often is that of its model.
    fn without_repeated_model(&self, text: String) -> String {
        let (name, model) = (display_name(self.step()), self.step().model.as_deref().unwrap_or_default());
        if model.is_empty() || !name.contains(model) || !text.replace(name.as_ref(), "").contains(model) {
            return text;
        }
        text.replacen(&format!(" in {}", shortened(&name, NAME_CHARS_MAX)), "", 1)
    }

    /// A title. Names and values of the trace may make it longer than people read.
    pub(super) fn title(&self, template: &Template) -> String {
        let title = self.sentence(template);
        let cut = shortened(&title, TITLE_CHARS_MAX);
        // A quotation that was cut ends with its mark.
        if cut.len() < title.len() && cut.matches('"').count() % 2 == 1 {
            format!("{}\"", shortened(&title, TITLE_CHARS_MAX - 1))
        } else {
            cut
        }
    }

    /// The actions whose values are all known.
    pub(super) fn actions(&self, rule: &Rule) -> Vec<String> {
        let rendered = rule.actions.iter().filter_map(|action| {
            action.render(&|placeholder, is_required| {
                let is_common = super::rules::COMMON_PLACEHOLDERS.contains(&placeholder.name.as_str());
                self.value_of(placeholder, is_required && is_common)
            })
        });
        let rendered = rendered.filter(|action| has_words(action));
        without_restatements(rendered.map(|action| self.begin(self.without_repeated_model(action))).collect())
    }

    /// Begins with a capital letter, unless the first words are the name of the tool or of the step.
    fn begin(&self, text: String) -> String {
        let begins_with = |name: &str| !name.is_empty() && text.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', ',', ':']));
        let span = display_name(self.incident.span);
        let names = [self.tool(), self.facts.get(&super::facts::CALLED_TOOL), Some(span.as_ref())];
        if names.into_iter().flatten().any(begins_with) { text } else { begin_as_sentence(text) }
    }

    /// The value of a placeholder: a fact, or a word that every failure has. Without a value a general word is used if the sentence requires one.
    fn value_of(&self, placeholder: &Placeholder, is_required: bool) -> Option<String> {
        let (value, fallback) = match placeholder.name.as_str() {
            "tool" => (self.tool().map(str::to_owned), TOOL_FALLBACK),
            "model" => (self.model_call().model.as_deref().and_then(model_name).map(str::to_owned), MODEL_FALLBACK),
            "provider" => (provider_of(self.model_call(), self.incident.error_type.as_deref()).map(str::to_owned), PROVIDER_FALLBACK),
            "span" => (Some(display_name(self.incident.span).into_owned()), SPAN_FALLBACK),
            "error_type" => (self.incident.error_type.as_deref().map(|kind| last_segment(kind).to_owned()), ERROR_FALLBACK),
            "status" => (self.incident.status.map(|status| format!("HTTP {status}")), ERROR_FALLBACK),
            "service" => (self.trace.service.clone(), SERVICE_FALLBACK),
            _ => return self.facts.display(placeholder),
        };
        let value = value.filter(|value| !value.trim().is_empty()).map(|value| shortened(&value, NAME_CHARS_MAX));
        value.or_else(|| is_required.then(|| fallback.to_owned()))
    }

    /// The step that failed. Of a call of another service, the step that made it has the names.
    fn step(&self) -> &Span {
        self.incident.step.unwrap_or(self.incident.span)
    }

    /// The span that names the model: the step, or the last model call directly below it if the step is none itself.
    fn model_call(&self) -> &Span {
        let step = self.step();
        let is_call_below = |span: &&Span| span.kind == SpanKind::Llm && span.parent_span_id.as_deref() == Some(step.span_id.as_str());
        if step.model.is_some() || step.provider.is_some() || matches!(step.kind, SpanKind::Llm | SpanKind::Tool | SpanKind::Retriever) {
            return step;
        }
        self.trace.spans.iter().rev().find(is_call_below).unwrap_or(step)
    }

    fn tool(&self) -> Option<&str> {
        self.step().tool.as_ref().map(|tool| tool.name.as_str()).or(self.incident.tool.as_deref())
    }

    /// What an expert would look for and the trace does not record.
    pub(super) fn not_recorded(&self, rule: &Rule) -> Option<String> {
        let is_missing = |name: &&&FactName| !self.facts.has(name) && !self.may_be_recorded(name);
        let missing: Vec<&str> = rule.wants.iter().filter(is_missing).map(|name| name.says).collect();
        (!missing.is_empty()).then(|| format!("Not found in the trace: {}.", missing.join("; ")))
    }

    /// Whether an attribute of the failed span, or of one close to it, has a name like that of a fact: then it may be recorded in a form that no
    /// extractor reads, and nobody can say that it is not there.
    fn may_be_recorded(&self, name: &FactName) -> bool {
        /// Names under which something like a fact may be recorded.
        const OTHER_WORDS: [(&str, &[&str]); 3] = [
            ("guardrail_rule", &["rule", "policy", "regex", "pattern", "categor", "matched"]),
            ("timeout_ms", &["deadline", "timelimit", "maxduration"]),
            ("cancelled_by", &["signal", "shutdown", "cancelreason", "abortreason", "errorcause"]),
        ];
        const SPANS_READ_MAX: usize = 64;
        /// Parts of names of facts that say nothing of what is meant.
        const GENERAL: [&str; 12] =
            ["ms", "tokens", "bytes", "usd", "kind", "name", "typical", "usual", "largest", "before", "requested", "last"];
        let words: Vec<&str> = name.name.split('_').filter(|word| !GENERAL.contains(word)).collect();
        if words.is_empty() {
            return false;
        }
        let span = self.incident.span;
        let is_parent = |other: &Span| span.parent_span_id.as_deref() == Some(other.span_id.as_str());
        let is_child = |other: &Span| other.parent_span_id.as_deref() == Some(span.span_id.as_str());
        let is_close = |other: &&Span| std::ptr::eq(*other, span) || is_parent(other) || is_child(other) || other.name == span.name;
        let close = self.trace.spans.iter().filter(is_close).take(SPANS_READ_MAX).chain(self.trace.spans.first());
        let is_like = |key: &str| {
            let key = key.to_ascii_lowercase().replace(['_', '-', '.'], "");
            words.iter().all(|word| key.contains(word))
                || name.name == "step_limit" && is_step_limit(&key)
                || OTHER_WORDS.iter().any(|(fact, words)| *fact == name.name && words.iter().any(|word| key.contains(word)))
        };
        close.flat_map(|span| &span.attributes).any(|attribute| is_like(&attribute.key))
    }
}

/// Whether the name of an attribute, without separators, is that of a limit of steps: `smolagents.max_steps`, `recursionLimit`.
fn is_step_limit(key: &str) -> bool {
    const THINGS: [&str; 7] = ["steps", "turns", "iterations", "rounds", "iter", "loops", "recursion"];
    (key.contains("max") || key.contains("limit")) && THINGS.iter().any(|thing| key.contains(thing))
}

/// Whether something is left of a sentence whose parts are all optional.
fn has_words(sentence: &str) -> bool {
    sentence.contains(char::is_alphanumeric)
}

/// Actions without those that say what an earlier one says in other words.
fn without_restatements(actions: Vec<String>) -> Vec<String> {
    /// Of the words of an action, the share that an earlier one has, in percent.
    const SHARED_PERCENT_MIN: usize = 75;
    /// A shorter action has too few words to compare.
    const WORDS_MIN: usize = 4;
    let words_of = |action: &str| -> HashSet<String> {
        let words = action.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.filter(|word| word.chars().count() >= 4).map(str::to_lowercase).collect()
    };
    let mut kept: Vec<(String, HashSet<String>)> = Vec::new();
    for action in actions {
        let words = words_of(&action);
        let is_said = |earlier: &HashSet<String>| words.intersection(earlier).count() * 100 >= words.len() * SHARED_PERCENT_MIN;
        if words.len() < WORDS_MIN || !kept.iter().any(|(_, earlier)| is_said(earlier)) {
            kept.push((action, words));
        }
    }
    kept.into_iter().map(|(action, _)| action).collect()
}

/// Without the period after a quotation that is a sentence itself: `The message is "No.".`
fn with_one_period(text: &str) -> String {
    text.replace(".\".", ".\"").replace("?\".", "?\"").replace("!\".", "!\"")
}

/// A sentence of a rule about a run as a whole, which has no failed step: its facts are those of the dialogue.
pub(super) fn filled(template: &Template, facts: &Facts) -> String {
    template
        .render(&|placeholder, is_required| value_without_step(facts, placeholder, is_required))
        .map(begin_as_sentence)
        .unwrap_or_default()
}

/// The actions of such a rule whose values are all known.
pub(super) fn filled_actions(rule: &Rule, facts: &Facts) -> Vec<String> {
    let rendered = rule.actions.iter().filter_map(|action| action.render(&|placeholder, _| value_without_step(facts, placeholder, false)));
    without_restatements(rendered.filter(|action| has_words(action)).map(begin_as_sentence).collect())
}

fn value_without_step(facts: &Facts, placeholder: &Placeholder, is_required: bool) -> Option<String> {
    let fallback = match placeholder.name.as_str() {
        "tool" => TOOL_FALLBACK,
        "model" => MODEL_FALLBACK,
        "provider" => PROVIDER_FALLBACK,
        "span" => SPAN_FALLBACK,
        "error_type" | "status" => ERROR_FALLBACK,
        "service" => SERVICE_FALLBACK,
        _ => return facts.display(placeholder),
    };
    is_required.then(|| fallback.to_owned())
}

/// A fact as a sentence writes it.
pub(super) fn shown(facts: &Facts, name: &FactName) -> Option<String> {
    facts.display(&Placeholder { name: name.name.to_owned(), form: Form::Shown })
}

/// A duration that is not zero.
pub(super) fn shown_duration(facts: &Facts, name: &FactName) -> Option<String> {
    let is_some_time = facts.get(name)?.parse::<f64>().is_ok_and(|milliseconds| milliseconds > 0.0);
    if is_some_time { shown(facts, name) } else { None }
}

/// `1 step`, `3 steps`, `2 searches`, `12,345 characters`.
pub(super) fn counted(count: &str, noun: &str) -> String {
    let ending = match count {
        "1" => "",
        _ if noun.ends_with("ch") => "es",
        _ => "s",
    };
    format!("{} {noun}{ending}", crate::model::with_separators(count))
}

/// `a, b and c`
pub(super) fn and_list(items: &[String]) -> String {
    match items.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// A sentence begins with a capital letter, unless its first word is a name with other characters than letters, such as `lookup_order`.
fn begin_as_sentence(text: String) -> String {
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_word = first.trim_end_matches([',', ':', ';', '.']).chars().all(char::is_alphabetic);
    if !is_word {
        return text;
    }
    let mut chars = text.chars();
    chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::super::incident::IncidentKind;
    use super::*;
    use crate::model::ToolUse;

    fn filled(template: &str, span: Span, status: Option<u16>) -> String {
        let trace = Trace { spans: vec![span], ..Trace::default() };
        let mut incident = Incident::new(&trace, 0, IncidentKind::Error).unwrap();
        incident.status = status;
        let wording = Wording { trace: &trace, incident: &incident, facts: &Facts::default() };
        wording.sentence(&Template::parse(template).unwrap())
    }

    #[test]
    fn placeholders_use_the_usual_spelling_of_providers() {
        let span = |provider: &str| Span { provider: Some(provider.into()), ..Span::default() };
        assert_eq!(filled("{status} from {provider}", span("openai"), Some(500)), "HTTP 500 from OpenAI");
        assert_eq!(filled("{status} from {provider}", span("aws.bedrock"), Some(503)), "HTTP 503 from Amazon Bedrock");
        assert_eq!(filled("{provider} denied access", span("acme-llm"), None), "acme-llm denied access");
        assert_eq!(filled("{status} from {provider}", span("langchain"), Some(500)), "HTTP 500 from the provider");
    }

    #[test]
    fn a_model_that_names_its_step_is_named_once() {
        let span = Span { name: "chat m-1".into(), kind: SpanKind::Llm, model: Some("m-1".into()), ..Span::default() };
        assert_eq!(filled("The call of {model} in {span} failed.", span.clone(), None), "The call of m-1 failed.");
        assert_eq!(filled("The step in {span} failed.", span.clone(), None), "The step in chat m-1 failed.");
        let other = Span { name: "answer".into(), ..span };
        assert_eq!(filled("The call of {model} in {span} failed.", other, None), "The call of m-1 in answer failed.");
    }

    #[test]
    fn an_action_that_restates_an_earlier_one_is_left_out() {
        let kept = |actions: &[&str]| without_restatements(actions.iter().map(|action| (*action).to_owned()).collect()).len();
        assert_eq!(kept(&["Correct the code at a.py:5 for inputs without price.", "Correct the code at a.py:5 for inputs there."]), 1);
        assert_eq!(kept(&["Retry the call of search.", "Cache the results of search, and limit how often it is called."]), 2);
        assert_eq!(kept(&["Retry it.", "Retry it."]), 2);
    }

    #[test]
    fn nothing_is_called_missing_that_an_attribute_may_have() {
        use crate::model::Attribute;
        let attribute = |key: &str| Attribute { key: key.into(), value: "8".into() };
        let recorded = |key: &str, fact: &str| {
            let trace = Trace { spans: vec![Span { attributes: vec![attribute(key)], ..Span::default() }], ..Trace::default() };
            let incident = Incident::new(&trace, 0, IncidentKind::Error).unwrap();
            let wording = Wording { trace: &trace, incident: &incident, facts: &Facts::default() };
            wording.may_be_recorded(super::super::facts::fact_name(fact).unwrap())
        };
        for (key, fact) in [
            ("db.statement_timeout", "timeout_ms"),
            ("smolagents.max_steps", "step_limit"),
            ("agent.recursionLimit", "step_limit"),
            ("tool.maxTokens", "max_tokens"),
        ] {
            assert!(recorded(key, fact), "{key} {fact}");
        }
        assert!(!recorded("db.system", "timeout_ms") && !recorded("max_tokens", "step_limit"));
    }

    #[test]
    fn a_missing_value_becomes_a_plain_word_that_fits_the_sentence() {
        assert_eq!(filled("{status} from {provider}", Span::default(), None), "An error from the provider");
        assert_eq!(filled("The backend returned {status}.", Span::default(), None), "The backend returned an error.");
        assert_eq!(filled("{tool} timed out[ in {span}]", Span::default(), None), "The tool timed out");
        let tool = ToolUse { name: "lookup_order".into(), ..ToolUse::default() };
        assert_eq!(filled("{tool} timed out", Span { tool: Some(tool), ..Span::default() }, None), "lookup_order timed out");
    }
}
