//! Sentences and actions about what decided a failure elsewhere in the run: the field from which a wrong value was copied, the result that held nothing,
//! the signal that stopped the process. They follow the hypothesis of any rule, because such facts are not tied to one kind of error.

use std::sync::LazyLock;

use super::template::Template;
use super::wording::Wording;

/// Sentences that are added to one hypothesis.
const SENTENCES_MAX: usize = 3;
/// Actions that come before those of the rule.
const ACTIONS_MAX: usize = 2;

/// A shorter value in a text does not show that the text says what the sentence would.
const SAID_CHARS_MIN: usize = 13;

/// A sentence with the fact that it is about. It is left out where the texts before it name the value of that fact.
type Sentence = (&'static str, &'static str);

/// What explains most comes first. Each needs all of its facts outside of brackets.
const SENTENCES: [Sentence; 18] = [
    (
        "fitting_value",
        "The value of `{copied_argument}`, `{copied_value}`, stands in the field `{copied_field}` of the result of {copied_from}; in the same record, `{fitting_field}` is `{fitting_value}`.",
    ),
    ("record_state", "In the result of {copied_from}, the record of `{copied_value}` has {record_state}[ ({record_state_time})]."),
    ("same_argument_value", "In a call of {same_argument_tool}, the run gave `{same_argument_value}` for this argument."),
    ("nearest_key", "There is `{nearest_key}` in {nearest_key_in}."),
    ("empty_result_of", "Before, {empty_result_of} returned nothing in `{empty_field}`[ for {empty_arguments}][: \"{empty_reason}\"]."),
    ("nearest_agent", "The agent with the most similar name is {nearest_agent}[; the prompt lists {agents_in_prompt}]."),
    (
        "stop_signal",
        "The process was being stopped by {stop_signal}[ (\"{stop_reason}\")][, and had {grace_period} to finish[ ({grace_setting})]]; {stop_step} records it.",
    ),
    ("earlier_warning", "Before, {warning_step} gave a warning: \"{earlier_warning}\"."),
    (
        "working_host",
        "The calls that worked ({working_host_calls}) went to {working_host}, and the failed one to {failed_host}[; the routing policy is {routing_policy}].",
    ),
    (
        "working_setting_value",
        "`{differing_setting}` was {failed_setting_value} in the failed call, and {working_setting_value} in those that worked.",
    ),
    ("attempt_statuses", "The attempts ended with HTTP {attempt_statuses}."),
    ("failed_item", "Of the {steps_alike} steps \"{item_step}\", the one for {failed_item} failed[, and {steps_alike_done} finished]."),
    ("guardrail_match", "The pattern `{guardrail_pattern}`[ of {guardrail_policy}] matched `{guardrail_match}`."),
    ("index_embedding_model", "The index was built with {index_embedding_model}[ ({index_built_at})]."),
    ("recorded_cause", "The run records the cause \"{recorded_cause}\"."),
    ("image", "It ran in the image {image}."),
    ("service_codes", "Codes in the error: {service_codes}."),
    (
        "largest_result_bytes",
        "The largest tool result of the run, {largest_result_bytes}[ with {largest_result_items} items], is that of {largest_result_tool}[, called with {largest_result_arguments}].",
    ),
];

const ACTIONS: [Sentence; 11] = [
    (
        "fitting_value",
        "Pass `{fitting_field}` (`{fitting_value}`) as `{copied_argument}`, not `{copied_field}`: say so in the description of the argument.",
    ),
    ("record_state", "Leave out records with {record_state} before they are used."),
    ("same_argument_value", "Compare the argument with `{same_argument_value}`, which the run gave to {same_argument_tool}."),
    (
        "nearest_key",
        "Use `{nearest_key}` of {nearest_key_in}[ instead of `{missing_key}`| instead of `{missing_attribute}`| instead of `{unknown_name}`| instead of `{missing_parameter}`].",
    ),
    ("empty_result_of", "Handle a result of {empty_result_of} that has nothing in `{empty_field}`[: \"{empty_reason}\"]."),
    ("nearest_agent", "Hand over to {nearest_agent}, and check the name of a target against the agents that exist before the handoff."),
    (
        "stop_signal",
        "Let runs finish before {stop_signal} ends the process[ (raise {grace_setting} above the time that a run takes)], or resume them after the restart.",
    ),
    ("earlier_warning", "Correct what {warning_step} warned about: \"{earlier_warning}\"."),
    (
        "working_host",
        "Send the calls to {working_host}, where they worked, until {failed_host} works, and compare the keys and settings of both.",
    ),
    ("guardrail_match", "Change the pattern `{guardrail_pattern}`, if `{guardrail_match}` is not what the check is for."),
    ("index_embedding_model", "Build the index again with the model that embeds the queries, or embed them with {index_embedding_model}."),
];

type Templates = LazyLock<Vec<(&'static str, Template)>>;

fn parsed(sentences: &[Sentence]) -> Vec<(&'static str, Template)> {
    sentences.iter().filter_map(|(about, text)| Some((*about, Template::parse(text).ok()?))).collect()
}

/// The hypothesis with the sentences whose facts are known, unless it says the same.
pub(super) fn with_sentences(hypothesis: String, wording: &Wording<'_, '_>) -> String {
    static TEMPLATES: Templates = LazyLock::new(|| parsed(&SENTENCES));
    let mut text = hypothesis;
    for sentence in sentences(&TEMPLATES, &text.clone(), wording).take(SENTENCES_MAX) {
        text = format!("{text} {sentence}");
    }
    text
}

/// The actions whose facts are known, before those of the rule.
pub(super) fn with_actions(actions: Vec<String>, wording: &Wording<'_, '_>) -> Vec<String> {
    static TEMPLATES: Templates = LazyLock::new(|| parsed(&ACTIONS));
    sentences(&TEMPLATES, "", wording).take(ACTIONS_MAX).chain(actions).collect()
}

/// The sentences with all facts, of which neither the text nor an earlier one names what they are about.
fn sentences<'s>(
    templates: &'s [(&'static str, Template)],
    text: &str,
    wording: &'s Wording<'_, '_>,
) -> impl Iterator<Item = String> + use<'s> {
    let mut said = text.to_owned();
    templates.iter().filter_map(move |(about, template)| {
        let value = wording.facts.value_of(about)?;
        let sentence = wording.sentence(template);
        // Short values are names that occur in other sentences too.
        let is_said = value.chars().count() >= SAID_CHARS_MIN && said.contains(value);
        if sentence.is_empty() || is_said {
            return None;
        }
        said.push_str(&sentence);
        Some(sentence)
    })
}

#[cfg(test)]
mod tests {
    use super::super::facts::{Facts, Place, fact_name};
    use super::super::incident::{Incident, IncidentKind};
    use super::*;
    use crate::model::{Span, Trace};

    #[test]
    fn all_sentences_and_actions_parse_and_name_facts() {
        for (about, text) in SENTENCES.iter().chain(&ACTIONS) {
            let template = Template::parse(text).unwrap();
            assert!(template.names().iter().all(|name| fact_name(name).is_some()), "{text}");
            assert!(template.names().contains(about), "{text}");
        }
    }

    #[test]
    fn what_decided_a_failure_is_said_after_the_hypothesis_and_acted_on_first() {
        let trace = Trace { spans: vec![Span { name: "chat".into(), ..Span::default() }], ..Trace::default() };
        let incident = Incident::new(&trace, 0, IncidentKind::Error).unwrap();
        let mut facts = Facts::default();
        for (name, value) in [("stop_signal", "SIGTERM"), ("stop_step", "shutdown"), ("image", "agent:1.4.2")] {
            facts.add(fact_name(name).unwrap(), value, Place::Trace);
        }
        let wording = Wording { trace: &trace, incident: &incident, facts: &facts };
        assert_eq!(
            with_sentences("It was cancelled.".into(), &wording),
            "It was cancelled. The process was being stopped by SIGTERM; shutdown records it. It ran in the image agent:1.4.2."
        );
        let actions = with_actions(vec!["Run it again.".into()], &wording);
        assert_eq!(actions, ["Let runs finish before SIGTERM ends the process, or resume them after the restart.", "Run it again."]);
    }
}
