//! Facts of a run that made no progress until a limit: the repeated call and its results, the limit, and what the run was spent on.

use std::collections::{HashMap, HashSet};

use super::calls::{Call, calls_of};
use super::case::{duration_ms, milliseconds_between};
use super::find::{attributes_ending_in, capture, expressions};
use super::names::fact_names;
use super::provider_timeout::USUAL_CALL;
use super::rate_limit::BUDGET as BUDGET_DOLLARS;
use super::step::middle;
use super::{Case, Extractor, Facts, Place, display_name, shortened};
use crate::model::{Span, SpanKind};

fact_names! {
    REPEATED_TOOL = "repeated_tool", Text, "the tool that was called repeatedly with the same arguments";
    REPEATED_ARGUMENTS = "repeated_arguments", Text, "the arguments of the repeated call";
    REPEATED_TIMES = "repeated_times", Count, "how often the same call was made";
    REPEATED_RESULT = "repeated_result", Text, "the result of the repeated call, if it was always the same";
    REPEATED_OUTCOME = "repeated_outcome", Text, "whether the results of the repeated call changed";
    REPEATED_RESULTS = "repeated_results", Count, "the number of different results of the repeated call";
    REPEATED_PERCENT = "repeated_percent", Percent, "the share of the repeated call in all tool calls";
    LOOP_DURATION = "loop_duration_ms", Milliseconds, "the time from the first to the last of the repeated calls";
    LOOP_TOKENS = "loop_tokens", Tokens, "the tokens of the model calls between the first and the last of the repeated calls";
    MOST_CALLED_TOOL = "most_called_tool", Text, "the tool that was called most often";
    MOST_CALLED_TIMES = "most_called_times", Count, "how often the tool that was called most was called";
    MOST_CALLED_VARIANTS = "most_called_variants", Count, "with how many different arguments the tool that was called most was called";
    LAST_CALL = "last_call", Text, "the tool that was called last";
    STEP_LIMIT = "step_limit", Count, "the limit of steps";
    STEPS_REACHED = "steps_reached", Count, "the number of steps that the run had made";
    RUN_LIMIT = "run_limit_ms", Milliseconds, "the time limit of the run";
    SPENT_TOKENS = "spent_tokens", Tokens, "the tokens that the run had spent";
    BUDGET_TOKENS = "budget_tokens", Tokens, "the token budget";
    LIMIT_NAME = "limit_name", Text, "the setting that is the limit";
    SPENT_DOLLARS = "spent_usd", Dollars, "what the run had spent";
    LARGEST_CALL = "largest_call", Text, "the model call that used the most tokens";
    LARGEST_CALL_TOKENS = "largest_call_tokens", Tokens, "the tokens of the largest model call";
    FIRST_CALL_TOKENS = "first_call_tokens", Tokens, "the input tokens of the first model call";
    LAST_CALL_TOKENS = "last_call_tokens", Tokens, "the input tokens of the last model call";
    CALLS_GREW_BY = "calls_grew_by_tokens", Tokens, "how much the input grew from the first to the last model call";
    MODEL_CALLS_FINISHED = "model_calls_finished", Count, "the number of model calls that finished";
    MODEL_TIME = "model_time_ms", Milliseconds, "the time of all finished model calls together";
    SLOWEST_STEP = "slowest_step", Text, "the slowest step";
    SLOWEST_STEP_DURATION = "slowest_step_ms", Milliseconds, "the duration of the slowest step";
    SLOWEST_STEP_PERCENT = "slowest_step_percent", Percent, "the share of the slowest step in the time of the run";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Characters of arguments and results that are quoted.
const QUOTED_CHARS_MAX: usize = 100;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    if !case.is(&["repeated_calls", "max_iterations_reached", "run_timeout", "token_budget_exhausted"]) {
        return;
    }
    add_limits(case, facts);
    let calls = calls_of(case);
    add_repeated_call(case, &calls, facts);
    add_most_called(&calls, facts);
    if case.is(&["token_budget_exhausted"]) {
        add_tokens(case, facts);
    }
    add_growth(case, facts);
    add_slowest_step(case, facts);
}

/// The input of the first and of the last model call that record it.
fn add_growth(case: &Case<'_, '_>, facts: &mut Facts) {
    let counted = || model_calls(case).filter_map(|span| Some((span, span.usage.input.filter(|tokens| *tokens > 0)?)));
    let Some(((first, from), (last, to))) = counted().next().zip(counted().last()) else { return };
    if std::ptr::eq(first, last) {
        return;
    }
    facts.add(&FIRST_CALL_TOKENS, from, Place::Field(first, "usage.input"));
    facts.add(&LAST_CALL_TOKENS, to, Place::Field(last, "usage.input"));
    if to > from {
        facts.add(&CALLS_GREW_BY, to - from, Place::Trace);
    }
}

/// The call that was made most often with the same arguments, and what it returned.
fn add_repeated_call(case: &Case<'_, '_>, calls: &[Call<'_>], facts: &mut Facts) {
    let mut groups: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    for (index, call) in calls.iter().enumerate() {
        groups.entry((call.name, call.arguments)).or_default().push(index);
    }
    // Twice the same call is common in a run that reached a limit for another reason.
    let times_min = if case.is(&["repeated_calls"]) { 2 } else { 3 };
    // Of equal ones the last, where the run ended.
    let Some(group) =
        groups.into_values().max_by_key(|group| (group.len(), group.last().copied())).filter(|group| group.len() >= times_min)
    else {
        return;
    };
    let alike: Vec<&Call<'_>> = group.iter().filter_map(|index| calls.get(*index)).collect();
    let (Some(first), Some(last)) = (alike.first(), alike.last()) else { return };
    facts.add(&REPEATED_TOOL, last.name, if last.has_span { Place::Field(last.span, "tool.name") } else { Place::Span(last.span) });
    if !matches!(last.arguments, "" | "{}" | "null") {
        let place = if last.has_span { Place::Field(last.span, "tool.arguments") } else { Place::Span(last.span) };
        facts.add(&REPEATED_ARGUMENTS, shortened(last.arguments, QUOTED_CHARS_MAX), place);
    }
    facts.add(&REPEATED_TIMES, alike.len(), Place::Trace);
    let results: Vec<&str> = alike.iter().filter_map(|call| call.result).map(str::trim).collect();
    let distinct: HashSet<&str> = results.iter().copied().collect();
    if results.len() > 1 {
        facts.add(&REPEATED_RESULTS, distinct.len(), Place::Trace);
        let outcome = match distinct.len() {
            1 if distinct.contains("") => "an empty result each time".to_owned(),
            1 => "the same result each time".to_owned(),
            count => format!("{count} different results"),
        };
        facts.add(&REPEATED_OUTCOME, outcome, Place::Trace);
        if let Some(result) = distinct.iter().next().filter(|result| distinct.len() == 1 && !result.is_empty()) {
            let place =
                if last.has_span && last.result.is_some() { Place::Field(last.span, "tool.result") } else { Place::Span(last.span) };
            facts.add(&REPEATED_RESULT, shortened(result, QUOTED_CHARS_MAX), place);
        }
    }
    facts.add(&REPEATED_PERCENT, alike.len() * 100 / calls.len().max(1), Place::Trace);
    let Some((start, end)) = first.span.started_at_ns.zip(last.span.ended_at_ns.or(last.span.started_at_ns)) else { return };
    if let Some(duration) = milliseconds_between(start, end).filter(|duration| *duration > 0.0) {
        facts.add(&LOOP_DURATION, duration, Place::Trace);
    }
    let is_between = |span: &&Span| span.started_at_ns.is_some_and(|at| (start..=end).contains(&at));
    let tokens: u64 = model_calls(case).filter(is_between).map(tokens_of).fold(0, u64::saturating_add);
    if tokens > 0 {
        facts.add(&LOOP_TOKENS, tokens, Place::Trace);
    }
}

fn add_most_called(calls: &[Call<'_>], facts: &mut Facts) {
    const TIMES_MIN: usize = 3;
    let mut by_name: HashMap<&str, (usize, HashSet<&str>)> = HashMap::new();
    for call in calls {
        let entry = by_name.entry(call.name).or_default();
        entry.0 += 1;
        entry.1.insert(call.arguments);
    }
    // The name decides between equal counts, so that the result does not depend on the order of a map.
    if let Some((name, (times, variants))) =
        by_name.into_iter().max_by_key(|(name, (times, _))| (*times, *name)).filter(|(_, (times, _))| *times >= TIMES_MIN)
    {
        facts.add(&MOST_CALLED_TOOL, name, Place::Trace);
        facts.add(&MOST_CALLED_TIMES, times, Place::Trace);
        facts.add(&MOST_CALLED_VARIANTS, variants.len(), Place::Trace);
    }
    if let Some(last) = calls.last() {
        facts.add(&LAST_CALL, last.name, if last.has_span { Place::Field(last.span, "tool.name") } else { Place::Span(last.span) });
    }
}

/// The model calls, without those below another one, which a second instrumentation recorded.
fn model_calls<'t>(case: &Case<'_, 't>) -> impl Iterator<Item = &'t Span> {
    let spans = &case.trace.spans;
    let is_outer =
        move |index: usize| case.tree.parent(index).and_then(|parent| spans.get(parent)).is_none_or(|parent| parent.kind != SpanKind::Llm);
    spans.iter().enumerate().filter(move |(index, span)| span.kind == SpanKind::Llm && is_outer(*index)).map(|(_, span)| span)
}

fn tokens_of(span: &Span) -> u64 {
    span.usage.input.unwrap_or_default().saturating_add(span.usage.output.unwrap_or_default())
}

fn add_tokens(case: &Case<'_, '_>, facts: &mut Facts) {
    let total = model_calls(case).map(tokens_of).fold(0, u64::saturating_add);
    if total > 0 {
        facts.add(&SPENT_TOKENS, total, Place::Trace);
    }
    let Some(largest) = model_calls(case).max_by_key(|span| tokens_of(span)).filter(|span| tokens_of(span) > 0) else { return };
    facts.add(&LARGEST_CALL, display_name(largest), Place::Span(largest));
    facts.add(&LARGEST_CALL_TOKENS, tokens_of(largest), Place::Span(largest));
}

fn add_slowest_step(case: &Case<'_, '_>, facts: &mut Facts) {
    let spans = case.trace.spans.iter().enumerate();
    let leaves = spans.filter(|(index, span)| case.tree.children(*index).is_empty() && span.parent_span_id.is_some());
    let timed = leaves.filter_map(|(_, span)| Some((duration_ms(span)?, span)));
    let Some((duration, slowest)) = timed.max_by(|left, right| left.0.total_cmp(&right.0)).filter(|(duration, _)| *duration > 0.0) else {
        return;
    };
    facts.add(&SLOWEST_STEP, display_name(slowest), Place::Span(slowest));
    facts.add(&SLOWEST_STEP_DURATION, duration, Place::Span(slowest));
    let end = case.trace.spans.iter().filter_map(|span| span.ended_at_ns).max();
    let total = case.trace.started_at_ns().zip(end).and_then(|(start, end)| milliseconds_between(start, end));
    if let Some(total) = total.filter(|total| *total > 0.0) {
        facts.add(&SLOWEST_STEP_PERCENT, (duration * 100.0 / total).round(), Place::Span(slowest));
    }
}

expressions! {
    STEP_LIMIT_IN_TEXT =
        r"(?i)\b(?:recursion|iteration|turn|step|round|message|request|call|calls)s?[ _](?:limit|budget) ?(?:of|is|:|=)? ?[`(]?(\d{1,6})\b",
        r"|\bmax(?:imum)?[ _]?(?:number[ _]of[ _])?(?:agent[ _]|llm[ _]|tool[ _]|model[ _]|reasoning[ _])?(?:call[ _])?(?:iterations?|iter|turns?|steps?|rounds?|calls?|loops?|messages?)(?: limit)?",
        r"(?: allowed)?(?: of| is|:|=)? ?[`(]?(\d{1,6})\b",
        r"|\bmax(?:imum)?(?: of)? (\d{1,6}) (?:agent |llm |tool |model |reasoning )?(?:iterations|turns|steps|rounds|calls|loops|messages)\b",
        r"|\blimit of [`(]?(\d{1,6})[`)]? (?:agent |llm |tool |model )?(?:iterations|turns|steps|rounds|calls|requests|messages)\b",
        r"|\b(\d{1,6})[ -](?:iteration|turn|step|round|call|message) limit\b",
        r"|\bnumber of (?:llm |tool |model )?calls limit of [`(]?(\d{1,6})\b";
    STEPS_REACHED_IN_TEXT =
        r"(?i)\b(?:after|reached) (?:reaching |making )?(\d{1,6}) (?:agent |model |llm |tool )?(?:calls|rounds|turns|steps|iterations|messages|requests)\b",
        r"|\b(?:used|made|took|ran|completed|performed) (\d{1,6}) (?:agent |model |llm |tool )?(?:calls|rounds|turns|steps|iterations|messages|requests)\b",
        r"|\b(?:steps|iterations|turns|rounds)[:=] ?(\d{1,6}) ?/ ?\d{1,6}\b";
    TIME_LIMIT_IN_TEXT =
        r"(?i)\b(?P<before>time[ _-]?limit|timeout|timed out after|limit|deadline|exceeded|execution time|SoftTimeLimitExceeded|TimeLimitExceeded|not (?:complete|finish|finished|completed) (?:in|within)|longer than|budget of)",
        r"(?: of| is| was|:|=| the| value| set to| exceeded){0,3} ?[(`']?(?P<number>\d{1,7}(?:\.\d{1,3})?) ?-?(?P<unit>ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b";
    LIMIT_NAME_IN_TEXT =
        r"\b((?:[a-z]{2,20}_){1,4}(?:limit|budget|cap)|max_(?:budget|tokens|turns|steps|iterations|iter|rounds?|calls|cost|consecutive_auto_reply|execution_time|loops|rpm)|recursion_limit|max(?:Turns|Steps|Iterations|Tokens|Rounds|Budget))\b";
    TOKEN_BUDGET_IN_TEXT =
        r"(?i)(?:\b|_)(?:token[ _](?:budget|limit)|tokens?_limit|budget)(?: of| is| was|:|=| \()? ?[`(]?(\d[\d,_]{2,12})\b(?: tokens)?",
        r"|\b(?:of|limit of|limit|exceeds|budget of) (\d[\d,_]{2,12})[ -]tokens?\b|\b(\d[\d,_]{2,12})[ -]token (?:budget|limit)\b|(?:total_tokens|tokens used)[=: ]{1,2}\d[\d,_]* ?/ ?(\d[\d,_]{2,12})";
    TOKENS_SPENT_IN_TEXT =
        r"(?i)\b(?:used|spent|consumed|usage(?: of| is|:)?|total_tokens ?=|total tokens:?)\)? ?(\d[\d,_]{2,12})(?: ?/| tokens| of|\)|\b)",
        r"|\b(\d[\d,_]{2,12}) tokens? (?:used|spent|consumed)\b";
    COST_LIMIT_IN_TEXT =
        r"(?i)(?:(?:cost|spend(?:ing)?)[ _]?(?:limit|cap|budget)|budget)(?: of| is| was|:|=| \()? ?\(?(?:\$|USD ?)(\d{1,6}(?:\.\d{1,6})?)",
        r"|(?:exceeds|exceeded|over|limit of|/|of|max(?:imum)?(?: budget| cost)?:?) ?\$(\d{1,6}(?:\.\d{1,6})?)";
    COST_SPENT_IN_TEXT =
        r"(?i)(?:spent|current cost|total cost|cost so far|cost|used)(?: of| is|:|=)? ?\(?\$(\d{1,6}(?:\.\d{1,6})?)(?: ?(?:/|of|exceed|>|over)|\)|[,.;]? )";
}

/// The limit that the text or an attribute names, and what was reached.
fn add_limits(case: &Case<'_, '_>, facts: &mut Facts) {
    const STEP_KEYS: &[&str] = &[
        "maxiterations",
        "maxturns",
        "maxsteps",
        "recursionlimit",
        "maxrounds",
        "maxround",
        "maxiter",
        "maxloops",
        "steplimit",
        "turnlimit",
        "iterationlimit",
    ];
    let Some(span) = case.span() else { return };
    for (field, text) in case.messages() {
        let place = Place::Field(span, field);
        if let Some(name) = capture(&LIMIT_NAME_IN_TEXT, text) {
            facts.add(&LIMIT_NAME, name, place);
        }
        let number = |text: Option<&str>| text.map(|digits| digits.replace([',', '_'], "")).filter(|digits| digits.parse::<u64>().is_ok());
        if case.is(&["token_budget_exhausted"]) {
            for (name, expression) in [(&SPENT_TOKENS, &TOKENS_SPENT_IN_TEXT), (&BUDGET_TOKENS, &TOKEN_BUDGET_IN_TEXT)] {
                if let Some(tokens) = number(capture(expression, text)) {
                    facts.add(name, tokens, place);
                }
            }
            for (name, expression) in [(&SPENT_DOLLARS, &COST_SPENT_IN_TEXT), (&BUDGET_DOLLARS, &COST_LIMIT_IN_TEXT)] {
                if let Some(dollars) = capture(expression, text) {
                    facts.add(name, dollars, place);
                }
            }
        } else if case.is(&["max_iterations_reached", "repeated_calls"])
            && let Some(limit) = number(capture(&STEP_LIMIT_IN_TEXT, text))
        {
            facts.add(&STEP_LIMIT, limit, place);
        }
        if let Some(steps) = number(capture(&STEPS_REACHED_IN_TEXT, text)) {
            facts.add(&STEPS_REACHED, steps, place);
        }
        if case.is(&["run_timeout"])
            && let Some(limit) = time_limit(text)
        {
            facts.add(&RUN_LIMIT, limit, Place::Span(span));
        }
    }
    if case.is(&["run_timeout"]) {
        for span in case.root.into_iter().flat_map(|root| case.tree.self_and_ancestors(root.index)).take(8) {
            const LIMITS: &[&str] = &["deadlinems", "timelimitms", "maxdurationms", "timeoutms"];
            let Some(span) = case.trace.spans.get(span) else { continue };
            if let Some((key, limit)) =
                attributes_ending_in(span, LIMITS).find(|(_, limit)| limit.parse::<u64>().is_ok_and(|limit| limit > 0))
            {
                facts.add(&RUN_LIMIT, limit, Place::Field(span, &format!("attributes.{key}")));
            }
        }
        // The span around the run often says more than the one inside that was stopped.
        for source in case.error_texts() {
            if let Some(limit) = time_limit(source.text) {
                facts.add(&RUN_LIMIT, limit, Place::Span(source.span));
            }
        }
        add_model_time(case, facts);
    }
    if case.is(&["max_iterations_reached"]) {
        let steps = case.root.map_or(0, |root| root.index);
        for span in case.tree.self_and_ancestors(steps).filter_map(|index| case.trace.spans.get(index)) {
            for (key, value) in attributes_ending_in(span, STEP_KEYS) {
                if value.trim().parse::<u64>().is_ok_and(|limit| limit > 0) {
                    facts.add(&STEP_LIMIT, value.trim(), Place::Field(span, &format!("attributes.{key}")));
                }
            }
        }
    }
}

/// How long the finished model calls took, each and together.
fn add_model_time(case: &Case<'_, '_>, facts: &mut Facts) {
    let mut durations: Vec<f64> = model_calls(case).filter(|span| !span.failed()).filter_map(duration_ms).collect();
    durations.sort_by(f64::total_cmp);
    let (Some(median), count) = (middle(&durations), durations.len()) else { return };
    facts.add(&MODEL_CALLS_FINISHED, count, Place::Trace);
    facts.add(&USUAL_CALL, median, Place::Trace);
    facts.add(&MODEL_TIME, durations.iter().sum::<f64>().round(), Place::Trace);
}

/// The time limit in a text, in milliseconds.
fn time_limit(text: &str) -> Option<f64> {
    let captures = TIME_LIMIT_IN_TEXT.captures(text)?;
    let number: f64 = captures.name("number")?.as_str().parse().ok()?;
    let factor = match captures.name("unit")?.as_str().to_ascii_lowercase().as_str() {
        unit if unit.starts_with("mi") && !unit.starts_with("mill") => 60e3,
        unit if unit.starts_with("ms") || unit.starts_with("mill") => 1.0,
        unit if unit.starts_with('m') => 60e3,
        unit if unit.starts_with('h') => 3_600e3,
        _ => 1e3,
    };
    Some((number * factor).round())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_steps_are_read_in_the_words_of_frameworks() {
        for (text, limit) in [
            ("Recursion limit of 25 reached without hitting a stop condition.", Some("25")),
            ("agent stopped after reaching the maximum of 6 iterations without a final answer", Some("6")),
            ("Max turns (10) exceeded", Some("10")),
            ("Reached maximum number of turns (12)", Some("12")),
            ("The next request would exceed the request_limit of 50", Some("50")),
            ("Max number of llm calls limit of `500` exceeded", Some("500")),
            ("reached max_steps=20", Some("20")),
            ("Max iterations 15 reached", Some("15")),
            ("exceeded the 30-step limit", Some("30")),
            ("Maximum tool call iterations: 8", Some("8")),
            ("Agent stopped due to max iterations.", None),
            ("step 12 failed", None),
            ("the limit was reached", None),
        ] {
            assert_eq!(capture(&STEP_LIMIT_IN_TEXT, text), limit, "{text}");
        }
    }

    #[test]
    fn steps_that_were_made_are_read() {
        for (text, steps) in [
            ("gave up after 6 model calls", Some("6")),
            ("token budget of 200000 exceeded after 41 steps", Some("41")),
            ("made 12 tool calls", Some("12")),
            ("after 5 minutes", None),
            ("stopped: reached 4 iterations without a final answer", Some("4")),
        ] {
            assert_eq!(capture(&STEPS_REACHED_IN_TEXT, text), steps, "{text}");
        }
    }

    #[test]
    fn time_limits_are_read_in_any_unit() {
        for (text, limit) in [
            ("run exceeded its time limit of 300 s", Some(300e3)),
            ("timed out after 2 minutes", Some(120e3)),
            ("Execution time exceeded 60s", Some(60e3)),
            ("SoftTimeLimitExceeded(300)", None),
            ("deadline of 1.5 hours", Some(5_400e3)),
            ("timeout: 2500 ms", Some(2_500.0)),
            ("did not finish within 90 seconds", Some(90e3)),
            ("timed out", None),
        ] {
            assert_eq!(time_limit(text), limit, "{text}");
        }
    }

    #[test]
    fn limits_are_named_by_their_setting() {
        for (text, name) in [
            ("Exceeded the total_tokens_limit of 120000 (total_tokens=131763)", Some("total_tokens_limit")),
            ("The next request would exceed the request_limit of 50", Some("request_limit")),
            ("Exceeded the output_tokens_limit of 500", Some("output_tokens_limit")),
            ("Reached max_turns (10)", Some("max_turns")),
            ("You can increase the limit by setting the `recursion_limit` config key.", Some("recursion_limit")),
            ("agent stopped: maxSteps reached", Some("maxSteps")),
            ("the limit was reached", None),
        ] {
            assert_eq!(capture(&LIMIT_NAME_IN_TEXT, text), name, "{text}");
        }
    }

    #[test]
    fn budgets_are_read() {
        for (text, spent, budget) in [
            ("token budget of 200000 exceeded after 41 steps", None, Some("200000")),
            ("Exceeded the total_tokens_limit of 1000 (total_tokens=1203)", Some("1203"), Some("1000")),
            ("token limit exceeded: used 52,110 of 50,000 tokens", Some("52,110"), Some("50,000")),
            ("the run spent 91000 tokens", Some("91000"), None),
            ("budget exhausted", None, None),
        ] {
            assert_eq!((capture(&TOKENS_SPENT_IN_TEXT, text), capture(&TOKEN_BUDGET_IN_TEXT, text)), (spent, budget), "{text}");
        }
        for (text, spent, budget) in [
            ("cost limit $2.00 exceeded (spent $2.13)", Some("2.13"), Some("2.00")),
            ("Total cost $3.10 exceeded $3.00", Some("3.10"), Some("3.00")),
            ("exit due to cost limit", None, None),
        ] {
            assert_eq!((capture(&COST_SPENT_IN_TEXT, text), capture(&COST_LIMIT_IN_TEXT, text)), (spent, budget), "{text}");
        }
    }
}
