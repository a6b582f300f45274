//! Says what an incident is: by a rule for its text, by the catalogue of errors, by a status, by the text model, in this order.
//!
//! Knows nothing of the trace as a whole. Each layer is measured on families of software that it was not built with (`data/fit/fit.py`), and that is
//! the confidence of what it says.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::catalogue::{ErrorCatalogue, KnownError, MatchedBy, Origin};
use super::condition::{Condition, Side};
use super::incident::{Incident, IncidentKind};
use super::rule_file::RuleError;
use super::rules::{Rule, RuleMatch, RuleSet};
use super::signals::Signal;
use super::status;
use super::text::{expression, message_of};
use super::text_model::TextModel;
use super::tool_nature::{self, ToolNature};
use crate::model::{Label, SpanKind, last_segment};

/// What the analyzer knows about errors.
#[derive(Debug)]
pub(super) struct Knowledge {
    pub(super) rules: RuleSet,
    pub(super) texts: TextModel,
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// A rule whose type, text or signal matched.
    Rule,
    /// A class or a code of the catalogue of errors.
    Catalogue(MatchedBy),
    /// An HTTP status alone, or one of gRPC.
    Status,
    /// The words of the text, weighed by the text model.
    TextModel,
    /// A rule that matches everything of its kind.
    CatchAll,
}

/// What an incident is.
#[derive(Debug, Clone)]
pub(super) struct Diagnosis<'k> {
    pub(super) label: Label,
    /// The rule that describes it: the one that matched, or one for failures with this label.
    pub(super) rule: &'k Rule,
    pub(super) layer: Layer,
    /// Whether the rule fits the incident itself, and does not only describe failures with this label.
    pub(super) rule_fits: bool,
    /// For a rule that fits: how many of its criteria are met.
    pub(super) criteria_met: u32,
    /// For the text model: the probability.
    pub(super) probability: f64,
    /// The class, code or words that decided, if the incident's own signals do not name them.
    pub(super) signal: Option<Signal>,
    /// Whether another layer says the same.
    pub(super) is_confirmed: bool,
    /// Whether another layer says something else.
    pub(super) is_disputed: bool,
}

impl Diagnosis<'_> {
    /// Whether nothing about the incident was recognized but its kind.
    pub(super) fn is_catch_all(&self) -> bool {
        self.layer == Layer::CatchAll
    }

    /// Whether a known sign names the failure, and not only the likeness of its words to other errors.
    pub(super) fn is_by_sign(&self) -> bool {
        !matches!(self.layer, Layer::CatchAll | Layer::TextModel)
    }

    /// The rule, if it fits the incident.
    pub(super) fn fitting_rule(&self) -> Option<&Rule> {
        self.rule_fits.then_some(self.rule)
    }
}

/// What one layer says.
struct Opinion {
    label: Label,
    layer: Layer,
    probability: f64,
    signal: Option<Signal>,
    /// Whether many causes have this sign: a status, a class for all requests that a service rejected.
    is_vague: bool,
    /// Whether only one cause has this sign.
    names_cause: bool,
}

impl Opinion {
    fn new(label: Label, layer: Layer) -> Self {
        Self { label, layer, probability: 0.0, signal: None, is_vague: false, names_cause: false }
    }
}

impl Knowledge {
    /// What an incident is; `None` if no rule covers its kind.
    pub(super) fn diagnose(&self, incident: &Incident<'_>) -> Option<Diagnosis<'_>> {
        let diagnosis = self.new_diagnosis(incident);
        incident.label.get_or_init(|| diagnosis.as_ref().map(|diagnosis| diagnosis.label));
        diagnosis
    }

    /// The label of an incident, which is diagnosed unless it was before.
    pub(super) fn label_of(&self, incident: &Incident<'_>) -> Option<Label> {
        *incident.label.get_or_init(|| self.new_diagnosis(incident).map(|diagnosis| diagnosis.label))
    }

    fn new_diagnosis(&self, incident: &Incident<'_>) -> Option<Diagnosis<'_>> {
        let known = says_an_error(incident).then(|| ErrorCatalogue::shipped().diagnose(incident)).flatten();
        let kind = step_kind(incident, known.as_ref());
        let side = Side::of(kind);
        let ruled = self.rules.best_match(incident, kind);
        let needed = text_probability_needed(incident, side, ruled.as_ref(), known.as_ref());
        let opinions = [
            ruled.as_ref().and_then(opinion_of_rule).map(|opinion| as_error_of_code(incident, side, opinion)),
            opinion_of_detector(incident, side).or_else(|| known.and_then(|known| opinion_of_catalogue(incident, known, side))),
            opinion_of_status(incident, side),
        ];
        let labels: Vec<Label> = opinions.iter().flatten().map(|opinion| opinion.label).collect();
        let decided = match most_precise(opinions) {
            // A status, or a class that stands for one, says less than the words beside it: "400: the prompt has outgrown the context".
            Some(opinion) if opinion.is_vague => Some(self.opinion_of_clear_words(incident, side, &opinion).unwrap_or(opinion)),
            Some(opinion) => Some(opinion),
            None => self.opinion_of_text(incident, side, needed),
        };
        let agrees_with_rule = |opinion: &Opinion| ruled.as_ref().is_some_and(|found| found.rule.label == opinion.label);
        let words_agree = decided.as_ref().is_some_and(|opinion| opinion.layer == Layer::TextModel && agrees_with_rule(opinion));
        let Some(opinion) = decided.filter(|_| !words_agree) else {
            let rule = self.last_resort(incident, side, ruled?.rule)?;
            let opinion = Opinion::new(rule.label, Layer::CatchAll);
            return Some(Diagnosis { is_confirmed: words_agree, rule_fits: true, ..describe(opinion, rule, 0) });
        };
        let fitting = ruled.filter(|found| found.rule.label == opinion.label);
        let rule_fits = fitting.is_some();
        let (rule, criteria_met) = match fitting {
            Some(found) => (found.rule, found.criteria_met),
            None => (self.rules.describing(opinion.label, kind, incident.kind)?, 0),
        };
        let diagnosis = Diagnosis { rule_fits, ..describe(opinion, rule, criteria_met) };
        let others = || labels.iter().skip(1);
        Some(Diagnosis {
            is_confirmed: others().any(|other| *other == diagnosis.label),
            is_disputed: others().any(|other| *other != diagnosis.label),
            ..diagnosis
        })
    }
}

/// The first opinion, unless it is a vague one of a rule and a class or code names the cause: `invalid_request_error` with the code `tool_use_failed`.
fn most_precise(opinions: [Option<Opinion>; 3]) -> Option<Opinion> {
    let [by_rule, by_catalogue, by_status] = opinions;
    match (by_rule, by_catalogue) {
        (Some(rule), Some(known)) if rule.is_vague && known.names_cause => Some(known),
        (rule, known) => rule.or(known).or(by_status),
    }
}

fn describe(opinion: Opinion, rule: &Rule, criteria_met: u32) -> Diagnosis<'_> {
    let Opinion { label, layer, probability, signal, .. } = opinion;
    Diagnosis { label, rule, layer, rule_fits: false, criteria_met, probability, signal, is_confirmed: false, is_disputed: false }
}

impl Knowledge {
    /// The rule that remains if nothing was recognized. That a package raised an exception in the application's code does not make it the application's own.
    fn last_resort<'k>(&'k self, incident: &Incident<'_>, side: Side, rule: &'k Rule) -> Option<&'k Rule> {
        let is_of_package = side == Side::Application && rule.is_catch_all() && is_raised_by_package(incident);
        let kind = incident.span_kind();
        if is_of_package { self.rules.describing(Label::INSUFFICIENT_EVIDENCE, kind, incident.kind) } else { Some(rule) }
    }

    /// The most likely label by the words of the incident, if it is as likely as needed.
    fn opinion_of_text(&self, incident: &Incident<'_>, side: Side, needed: f64) -> Option<Opinion> {
        if !says_an_error(incident) {
            return None;
        }
        let labels = self.label_probabilities(incident, side);
        let (label, probability) = labels.into_iter().max_by(|left, right| left.1.total_cmp(&right.1))?;
        (probability >= needed).then(|| Opinion { probability, ..Opinion::new(label, Layer::TextModel) })
    }

    /// What the words of an incident say instead of a vague sign, where they are clear and say more than it.
    fn opinion_of_clear_words(&self, incident: &Incident<'_>, side: Side, vague: &Opinion) -> Option<Opinion> {
        // The words of a rule are a better sign than a status alone.
        let needed = if vague.layer == Layer::Rule { CLEAR_PROBABILITY_MIN_BESIDE_RULE } else { CLEAR_PROBABILITY_MIN };
        self.opinion_of_text(incident, side, needed).filter(|opinion| opinion.label != vague.label)
    }

    /// The probability of each label on a side by the words of an incident. Conditions with the same label add up.
    fn label_probabilities(&self, incident: &Incident<'_>, side: Side) -> Vec<(Label, f64)> {
        let mut labels: Vec<(Label, f64)> = Vec::new();
        let prediction = self.texts.predict(&words_of(incident));
        // A text without a sign of any condition is an error that says no cause.
        let no_cause = ("exception", prediction.no_condition);
        for (word, probability) in prediction.conditions.into_iter().chain([no_cause]) {
            let Some(label) = Condition::from_word(word).and_then(|condition| label_in(incident, condition, side)) else { continue };
            match labels.iter_mut().find(|(known, _)| *known == label) {
                Some((_, sum)) => *sum += probability,
                None => labels.push((label, probability)),
            }
        }
        labels
    }
}

/// The probability from which the words of an error decide, where a rule for everything else would say the application's own exception.
const TEXT_PROBABILITY_MIN: f64 = 0.5;

/// The same for an exception of a package: "the application raised it" explains nothing, so a weaker guess is better.
const TEXT_PROBABILITY_MIN_OF_PACKAGES: f64 = 0.3;

/// The probability from which the words of an error say more than a status, or than a code that is known to say no cause.
const CLEAR_PROBABILITY_MIN: f64 = 0.7;

/// The same beside words that a rule knows.
const CLEAR_PROBABILITY_MIN_BESIDE_RULE: f64 = 0.85;

/// The probability that the words of an incident need to decide.
fn text_probability_needed(incident: &Incident<'_>, side: Side, ruled: Option<&RuleMatch<'_>>, known: Option<&KnownError>) -> f64 {
    // `insufficient_funds` of a payment is no quota.
    let is_known_without_cause = known.is_some_and(|known| known.matched_by == MatchedBy::Code && !known.condition.is_specific());
    let is_tool_or_own = match side {
        Side::Application => !is_raised_by_package(incident),
        _ => ruled.is_some_and(|found| found.rule.is_catch_all()),
    };
    match (is_known_without_cause, is_tool_or_own) {
        (true, _) => CLEAR_PROBABILITY_MIN,
        (false, true) => TEXT_PROBABILITY_MIN,
        (false, false) => TEXT_PROBABILITY_MIN_OF_PACKAGES,
    }
}

/// Whether the message is only the key that a mapping does not have: `KeyError: 'error_rate'` is about no rate. A key in capitals is a setting.
fn names_only_a_key(incident: &Incident<'_>) -> bool {
    const TYPE: &str = "KeyError";
    let is_key = |text: &str| {
        let text = message_of(text).trim();
        let text = text.strip_prefix(TYPE).map_or(text, |rest| rest.trim_start_matches([':', '(', ' ']));
        !text.contains(char::is_whitespace) && !text.contains(|c: char| c.is_ascii_uppercase())
    };
    incident.error_type.as_deref().map(last_segment) == Some(TYPE) && incident.texts.iter().all(|(_, text)| is_key(text))
}

/// What an error says in words: the name of its class and its messages.
fn words_of(incident: &Incident<'_>) -> String {
    const TEXTS_MAX: usize = 3;
    let kind = incident.error_type.as_deref().map(last_segment);
    if names_only_a_key(incident) {
        return kind.unwrap_or_default().to_owned();
    }
    let texts = incident.texts.iter().take(TEXTS_MAX).map(|(_, text)| message_of(text));
    // The message often starts with the class.
    let kind = kind.filter(|kind| !incident.texts.iter().any(|(_, text)| text.contains(kind)));
    without_redacted_values(&kind.into_iter().chain(texts).collect::<Vec<_>>().join(": ")).into_owned()
}

/// A text without redacted values and their labels. `'Authorization': 'Bearer <JWT:1a2b3c>'` in the dump of a request says nothing about its failure.
fn without_redacted_values(text: &str) -> Cow<'_, str> {
    static REDACTED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(r#"(?:['"]?[\w.-]{1,40}['"]?\s?[:=]\s?)?['"]?(?:Bearer |Basic |Token )?<[A-Z][A-Z_]{2,30}:[0-9a-f]{6,16}>['"]?"#)
    });
    match REDACTED.as_ref() {
        Some(redacted) => redacted.replace_all(text, " "),
        None => Cow::Borrowed(text),
    }
}

/// Conditions from this precision on have one cause: a quota, a model that does not exist, a filter, arguments that do not parse.
const CAUSE_PRECISION_MIN: u8 = 8;

/// Conditions up to this precision have many causes: an invalid request, an overload, a missing resource, a refused permission.
const VAGUE_PRECISION_MAX: u8 = 5;

/// Whether the incident reports an error in words, and not an answer that was stopped, empty or refused.
fn says_an_error(incident: &Incident<'_>) -> bool {
    matches!(incident.kind, IncidentKind::Error | IncidentKind::ToolResult | IncidentKind::CannedAnswer)
}

/// The kind of step that failed. An exception that only the SDK of a provider raises is about a model call, also if the call has no span.
fn step_kind(incident: &Incident<'_>, known: Option<&KnownError>) -> SpanKind {
    match incident.span_kind() {
        SpanKind::Agent | SpanKind::Chain | SpanKind::Other
            if known.is_some_and(|known| known.is_of_provider && known.condition.is_specific()) =>
        {
            SpanKind::Llm
        }
        kind => kind,
    }
}

/// Whether the class of the error is that of a package, so that the application did not raise it itself.
fn is_raised_by_package(incident: &Incident<'_>) -> bool {
    incident.error_type.as_deref().is_some_and(|kind| ErrorCatalogue::shipped().origin(kind) == Origin::Package)
}

/// The label of a condition in an incident. Only a tool that runs programs can fail because the code is wrong; in others the code is the tool's own, and a
/// database that rejects a query has not run it. Only a search can find no documents.
fn label_in(incident: &Incident<'_>, condition: Condition, side: Side) -> Option<Label> {
    const DATABASE_WORDS: [&str; 6] = ["sql", "query", "db", "database", "graphql", "cypher"];
    let tool = incident.span.tool.as_ref();
    let nature = || tool.map(|tool| ToolNature::of(&tool.name, &tool.arguments));
    let is_database =
        || tool.is_some_and(|tool| tool_nature::words_of(&tool.name).iter().any(|word| DATABASE_WORDS.contains(&word.as_str())));
    let is_of_tool = match condition {
        Condition::CodeExecutionError => nature().is_none_or(|nature| nature.runs_code && !is_database()),
        Condition::EmptyRetrieval => nature().is_none_or(|nature| nature.searches),
        _ => true,
    };
    if side == Side::Tool && !is_of_tool { Condition::Exception.label(side) } else { condition.label(side) }
}

fn opinion_of_catalogue(incident: &Incident<'_>, known: KnownError, side: Side) -> Option<Opinion> {
    let label = label_in(incident, known.condition, side).filter(|_| known.condition.is_specific())?;
    let is_vague = known.condition.precision() <= VAGUE_PRECISION_MAX;
    let names_cause = known.condition.precision() >= CAUSE_PRECISION_MIN && known.matched_by != MatchedBy::NameSuffix;
    Some(Opinion { signal: Some(known.signal), is_vague, names_cause, ..Opinion::new(label, Layer::Catalogue(known.matched_by)) })
}

fn opinion_of_rule(found: &RuleMatch<'_>) -> Option<Opinion> {
    found.is_specific().then(|| Opinion { is_vague: found.is_vague(), ..Opinion::new(found.rule.label, Layer::Rule) })
}

/// Executed code that raised an exception: `KeyError: 'Column not found: price'` is no complaint of the tool about its argument, which was the code.
fn as_error_of_code(incident: &Incident<'_>, side: Side, opinion: Opinion) -> Opinion {
    const ARGUMENTS: &str = "invalid_tool_arguments";
    const TRACES: [&str; 3] = ["Traceback (most recent call last)", "Cell In[", "Input In ["];
    let Some(tool) = incident.span.tool.as_ref().filter(|_| side == Side::Tool && opinion.label.factor() == ARGUMENTS) else {
        return opinion;
    };
    let has_trace = || {
        let result = tool.result.as_deref().map(super::text::clip);
        result.is_some_and(|result| TRACES.iter().any(|trace| result.contains(trace)))
    };
    if incident.kind != IncidentKind::ToolResult || !ToolNature::of(&tool.name, &tool.arguments).runs_code || !has_trace() {
        return opinion;
    }
    let label = label_in(incident, Condition::CodeExecutionError, side).unwrap_or(opinion.label);
    Opinion { label, ..opinion }
}

/// What the detector of the incident knows, such as the sentence of a framework.
fn opinion_of_detector(incident: &Incident<'_>, side: Side) -> Option<Opinion> {
    let label = incident.condition.and_then(|condition| condition.label(side))?;
    Some(Opinion::new(label, Layer::Catalogue(MatchedBy::Sentence)))
}

fn opinion_of_status(incident: &Incident<'_>, side: Side) -> Option<Opinion> {
    let status = incident.status.filter(|_| says_an_error(incident))?;
    let condition = status::condition(status, side)?;
    let is_vague = condition.precision() <= VAGUE_PRECISION_MAX;
    Some(Opinion { is_vague, ..Opinion::new(condition.label(side)?, Layer::Status) })
}

impl Knowledge {
    /// The shipped rules and tables.
    ///
    /// # Errors
    /// [`RuleError`].
    #[cfg(test)]
    pub(super) fn shipped() -> Result<Self, RuleError> {
        Self::with(&[])
    }

    /// The shipped rules and tables, with the rules of `(name, text)` files.
    ///
    /// # Errors
    /// [`RuleError`].
    pub(super) fn with(rule_files: &[(String, String)]) -> Result<Self, RuleError> {
        let texts = TextModel::shipped().map_err(|reason| RuleError::of_file("text_model.bin", reason))?;
        Ok(Self { rules: RuleSet::with(rule_files)?, texts })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::incidents;
    use super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Span, Status, ToolUse, Trace};
    use crate::runtime::Deadline;

    /// The label of a step that failed with this type and message, and the layer that says it.
    fn diagnosed(kind: SpanKind, error_type: &str, message: &str) -> (String, Layer) {
        let span = Span {
            kind,
            status: Status::Error,
            error_type: (!error_type.is_empty()).then(|| error_type.to_owned()),
            status_message: Some(message.to_owned()),
            tool: (kind == SpanKind::Tool).then(|| ToolUse { name: "lookup".into(), ..ToolUse::default() }),
            ..Span::default()
        };
        let trace = Trace { spans: vec![span], ..Trace::default() };
        let found = incidents::find(&trace, &SpanTree::new(&trace), Deadline::after(Duration::from_mins(1))).unwrap();
        let knowledge = Knowledge::shipped().unwrap();
        let diagnosis = knowledge.diagnose(&found[0]).unwrap();
        (diagnosis.label.to_string(), diagnosis.layer)
    }

    #[test]
    fn the_first_layer_that_knows_an_error_decides() {
        use SpanKind::{Chain, Llm, Tool};
        let by = Layer::Catalogue;
        for (kind, error_type, message, label, layer) in [
            (Llm, "openai.RateLimitError", "Rate limit reached on tokens per min", "provider_error/rate_limited", Layer::Rule),
            // A class by its name, by its base, and by the end of an unknown name.
            (
                Llm,
                "xai_sdk.Gone",
                "botocore.exceptions.EndpointConnectionError: no luck",
                "provider_error/connection_failed",
                by(MatchedBy::QualifiedName),
            ),
            (Tool, "acme.ShelfServiceUnavailableError", "no luck today", "tool_failure/tool_unavailable", by(MatchedBy::NameSuffix)),
            // A code with one cause says more than the words of a rule that many causes have.
            (Llm, "", "zhipu: too many requests, {'code': '1113'}", "provider_error/quota_exhausted", by(MatchedBy::Code)),
            // A status alone.
            (Tool, "", "lookup got HTTP 507", "environment_error/resource_exhausted", Layer::Status),
            // Words that are clearer than the status beside them.
            (
                Llm,
                "",
                "Error code: 500 - the conversation is longer than the context window",
                "context_overflow/context_window_exceeded",
                Layer::Rule,
            ),
            // An exception of the application, and one of the language.
            (Chain, "shop.StockError", "shelf 4", "environment_error/application_exception", Layer::CatchAll),
            // One of a package, which says no cause.
            (
                Chain,
                "llama_index.core.workflow.errors.WorkflowRuntimeError",
                "shelf 4",
                "unclassified/insufficient_evidence",
                Layer::CatchAll,
            ),
            (Chain, "KeyError", "'customer'", "environment_error/application_exception", Layer::CatchAll),
        ] {
            assert_eq!(diagnosed(kind, error_type, message), (label.to_owned(), layer), "{error_type} {message}");
        }
    }

    #[test]
    fn code_is_wrong_only_in_a_tool_that_runs_code() {
        let label = |tool: &str| {
            let tool = ToolUse { name: tool.into(), ..ToolUse::default() };
            let span = Span { kind: SpanKind::Tool, tool: Some(tool), ..Span::default() };
            let trace = Trace { spans: vec![span], ..Trace::default() };
            let incident = Incident::new(&trace, 0, IncidentKind::Error).unwrap();
            label_in(&incident, Condition::CodeExecutionError, Side::Tool).unwrap().factor()
        };
        assert_eq!(
            ["run_python", "bash", "run_sql", "lookup"].map(label),
            ["code_execution_error", "code_execution_error", "tool_exception", "tool_exception"]
        );
    }

    #[test]
    fn redacted_values_and_their_labels_say_nothing() {
        for (text, left) in [
            (
                "run failed; headers: {'Authorization': 'Bearer <JWT:1a2b3c>', 'Accept': 'json'}",
                "run failed; headers: { , 'Accept': 'json'}",
            ),
            ("env: AWS_SECRET_ACCESS_KEY=<GENERIC_SECRET:66c141> HOME=/root", "env:   HOME=/root"),
            ("order of <EMAIL:1a2b3c> failed", "order of   failed"),
            ("the list <T: Clone> is empty", "the list <T: Clone> is empty"),
        ] {
            assert_eq!(without_redacted_values(text), left, "{text}");
        }
    }
}
