//! Answers that a framework or a gateway wrote instead of the model: "Agent stopped due to max iterations.", "Sorry, the model cannot answer this
//! question." The run has no error status then, and the sentence is the only sign.
//!
//! A model that explains such a sentence quotes it in a longer text, so an answer counts only if the sentence is all of it.

use std::sync::LazyLock;

use regex::Regex;

use super::condition::Condition;
use super::incident::{Incident, IncidentKind};
use super::result_text;
use super::signals::Signal;
use super::status;
use super::text::expression;
use super::tool_nature::ToolNature;
use crate::model::{Span, SpanKind, Trace};

/// Longer answers contain more than the sentence.
const ANSWER_BYTES_MAX: usize = 400;

/// The sentences, with the software whose sources or documentation contain them.
const SENTENCES: [(Condition, &str); 26] = [
    // LangChain, n8n, Flowise
    (Condition::MaxIterationsReached, r"agent stopped due to (?:iteration limit or time limit|max(?:imum)?[ _]iterations|max[ _]steps)"),
    // LangGraph: prebuilt agents
    (Condition::MaxIterationsReached, r"sorry, need more steps to process this request"),
    // smolagents, LlamaIndex, Semantic Kernel, OpenHands, browser-use, Dify, CrewAI
    (
        Condition::MaxIterationsReached,
        r"(?:error: )?(?:the )?(?:agent |run |conversation |i )?(?:has |have )?(?:reached|exceeded|hit) (?:the |its |my )?(?:max(?:imum)?|limit)(?: number)?(?: of)?(?: allowed)? ?(?:\d+ )?(?:reasoning |agent |tool |llm |model )?(?:steps?|iterations?|turns?|rounds?|calls?|messages?)\b[ -~]{0,120}",
    ),
    (
        Condition::MaxIterationsReached,
        r"max(?:imum)?(?: number of)? (?:allowed )?(?:reasoning |agent |tool )?(?:steps?|iterations?|turns?|rounds?|tool calls?|messages?)(?: of)?(?: \(?\d+\)?)? (?:was |were |has been |have been )?(?:reached|exceeded)[ -~]{0,120}",
    ),
    // Agno, VoltAgent, LangChain's middleware
    (
        Condition::MaxIterationsReached,
        r"(?:(?:tool|model)[ -]calls?|turn|step|iteration|recursion|hand-?off) limits? (?:of \d+ )?(?:was |has been )?(?:reached|exceeded)[ -~]{0,120}",
    ),
    // AutoGen, AG2
    (
        Condition::MaxIterationsReached,
        r"maximum (?:number of )?(?:messages|turns|rounds)(?: \(?\d+\)?)? (?:has been )?reached, current [ -~]{0,80}",
    ),
    // CrewAI
    (
        Condition::MaxIterationsReached,
        r"you can't keep going, (?:here is|this) (?:is )?the best final answer you generated:?[ -~\s]{0,300}",
    ),
    // Gemini CLI
    (Condition::MaxIterationsReached, r"reached max session turns for this session[ -~]{0,160}"),
    // Any software that reports the end of a run, in its own words
    (
        Condition::MaxIterationsReached,
        r"(?:error: )?(?:the )?(?:agent|run|execution|conversation|task|workflow|loop|assistant)\b[ -~]{0,40}\b(?:stop|stopped|ended|terminated|aborted|halted|cut off|gave up|ran out)\b[ -~]{0,40}\b(?:iterations?|steps?|turns?|rounds?|recursion|tool calls?)\b[ -~]{0,80}",
    ),
    (
        Condition::RunTimeout,
        r"(?:error: )?(?:the )?(?:agent|run|execution|conversation|task|workflow|loop|assistant)\b[ -~]{0,40}\b(?:stop|stopped|ended|terminated|aborted|halted|cut off|gave up)\b[ -~]{0,40}\b(?:time limit|time-?out|execution time|deadline)\b[ -~]{0,80}",
    ),
    // LangChain
    (Condition::RunTimeout, r"agent stopped due to (?:time limit|timeout|max[ _]execution[ _]time)"),
    // Amazon Bedrock guardrails: the default messages of prompts and answers
    (Condition::GuardrailBlocked, r"sorry, the model cannot answer this question"),
    (Condition::GuardrailBlocked, r"sorry, the model cannot (?:process|respond to) this (?:question|request|prompt)"),
    // LangChain's moderation chain
    (Condition::SafetyFilter, r"text was found that violates openai'?s content policy"),
    // NVIDIA NeMo Guardrails: the default message of a rail
    (Condition::GuardrailBlocked, r"i'?m sorry, (?:i|but i) can(?:'?t|not) respond to that"),
    // NVIDIA NeMo Guardrails: an error inside a rail
    (Condition::Exception, r"i'?m sorry, an internal error has occurred"),
    // Azure OpenAI, Open WebUI, LiteLLM, LibreChat
    (
        Condition::SafetyFilter,
        r"(?:sorry, )?(?:your|the) (?:request|prompt|response|message) was (?:filtered|blocked|rejected|flagged) (?:due to|by|because of) [ -~]{0,40}content (?:filter|management|moderation|safety|policy)[ -~]{0,160}",
    ),
    (
        Condition::GuardrailBlocked,
        r"(?:your |this )?(?:message|request|prompt|input|response) (?:was |has been )?(?:blocked|rejected|flagged) by [ -~]{0,60}guardrails?[ -~]{0,160}",
    ),
    (Condition::GuardrailBlocked, r"guardrail (?:violation|blocked|triggered|intervened)[ -~]{0,160}"),
    // DeepSeek's, Qwen's and other Chinese services' filters
    (Condition::SafetyFilter, r"你好，这个问题我暂时无法回答，让我们换个话题再聊聊吧"),
    (
        Condition::SafetyFilter,
        r"(?:抱歉，|非常抱歉，|很抱歉，)?(?:系统检测到)?(?:您|你)?的?(?:输入|提问|问题)?.{0,12}(?:包含|涉及|含有)(?:不安全|敏感|违规)(?:或敏感)?(?:内容|信息|词).{0,60}",
    ),
    // Copilot Studio
    (Condition::SafetyFilter, r"the content was filtered due to responsible ai restrictions[ -~]{0,160}"),
    // Copilot Studio, Botpress, Voiceflow, Rasa: an error inside
    (Condition::Exception, r"(?:sorry, )?something unexpected happened\. we(?:'re| are) looking into it[ -~]{0,200}"),
    // Gateways that return the error of the provider as an answer
    (
        Condition::Overloaded,
        r"(?:error: )?(?:the )?(?:model|server|service|engine) is (?:currently |temporarily )?(?:overloaded|unavailable|busy)\b[ -~]{0,120}",
    ),
    (Condition::RateLimited, r"(?:error: )?rate limit (?:reached|exceeded)\b[ -~]{0,200}"),
    (
        Condition::HandoffFailed,
        r"(?:error: )?(?:coworker|co-worker|agent) mentioned not found, it must be one of the following options:[ -~]{0,200}",
    ),
];

/// An answer at the end of the run that software wrote instead of the model.
pub(super) fn find(trace: &Trace) -> Option<Incident<'_>> {
    let is_answer = |span: &&Span| matches!(span.kind, SpanKind::Llm | SpanKind::Agent | SpanKind::Chain | SpanKind::Other);
    // The last answer in time, and those of the spans around the whole run.
    let mut spans = trace.spans.iter().enumerate().rev().filter(|(_, span)| is_answer(span) && !span.failed());
    let last = spans.clone().find(|(_, span)| answers(span).next().is_some()).map(|(index, _)| index);
    let is_end = |index: usize, span: &Span| span.parent_span_id.is_none() || Some(index) == last;
    let (index, field, text) = spans.find_map(|(index, span)| {
        let mut texts = answers(span).filter(|_| is_end(index, span));
        let (field, text) =
            texts.find(|(_, text)| text.len() <= ANSWER_BYTES_MAX && (condition_of(text).is_some() || is_error(trace, span, text)))?;
        Some((index, field, text))
    })?;
    let mut incident = Incident::new(trace, index, IncidentKind::CannedAnswer)?;
    incident.condition = condition_of(text);
    incident.status = status::in_text(text);
    incident.signals.push(Signal::new("answer_written_by", "software", field.clone()));
    incident.texts.push((field, text));
    Some(incident)
}

/// The texts of a span's answer, the last message only.
fn answers(span: &Span) -> impl Iterator<Item = (String, &str)> {
    let last = span.output.iter().enumerate().next_back().filter(|(_, message)| message.tool_calls.is_empty());
    let message = last.map(|(number, message)| (format!("output[{number}].content"), message.content.as_str()));
    let plain = span.output_text.as_deref().map(|text| ("output_text".to_owned(), text));
    message.into_iter().chain(plain)
}

/// Whether what a run returned is an error by its form, such as `Error: no stop condition within 40 steps`, and no model wrote it.
fn is_error(trace: &Trace, span: &Span, text: &str) -> bool {
    let wrote = |call: &Span| call.kind == SpanKind::Llm && call.output.iter().any(|message| message.content.contains(text.trim()));
    span.kind != SpanKind::Llm
        && span.parent_span_id.is_none()
        && result_text::error_in_text(text, ToolNature::default()).is_some()
        && !trace.spans.iter().any(wrote)
}

/// What a text says, if it is one of the sentences.
fn condition_of(text: &str) -> Option<Condition> {
    static EXPRESSIONS: LazyLock<Vec<(Condition, Regex)>> = LazyLock::new(|| {
        let whole = |sentence: &str| Regex::new(&format!(r"(?is)^\W{{0,3}}(?:{sentence})\W{{0,3}}$")).ok();
        SENTENCES.iter().filter_map(|(condition, sentence)| Some((*condition, whole(sentence)?))).collect()
    });
    let sentence = unwrapped(text);
    EXPRESSIONS.iter().find(|(_, expression)| expression.is_match(sentence)).map(|(condition, _)| *condition)
}

/// The text inside `{"output": "…"}`, or the text itself.
fn unwrapped(text: &str) -> &str {
    static WRAPPED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(
            r#"(?s)^\s*\{\s*["'](?:output|answer|response|result|text|content|message|final_output)["']\s*:\s*["']([^"]{1,400})["']\s*\}\s*$"#,
        )
    });
    let captures = WRAPPED.as_ref().and_then(|wrapped| wrapped.captures(text));
    captures.and_then(|captures| captures.get(1)).map_or(text, |inner| inner.as_str()).trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Message;

    fn found(text: &str) -> Option<Condition> {
        let output = vec![Message { content: text.into(), ..Message::default() }];
        let span = Span { kind: SpanKind::Llm, output, ..Span::default() };
        find(&Trace { spans: vec![span], ..Trace::default() })?.condition
    }

    #[test]
    fn every_sentence_compiles() {
        for (_, sentence) in SENTENCES {
            assert!(Regex::new(sentence).is_ok(), "{sentence}");
        }
    }

    #[test]
    fn answers_of_frameworks_are_distinguished_from_answers_of_models() {
        for (text, condition) in [
            ("Agent stopped due to max iterations.", Condition::MaxIterationsReached),
            (r#"{"output": "Agent stopped due to iteration limit or time limit."}"#, Condition::MaxIterationsReached),
            ("Sorry, need more steps to process this request.", Condition::MaxIterationsReached),
            ("Reached max steps.", Condition::MaxIterationsReached),
            ("Model call limits exceeded: run limit (5/5)", Condition::MaxIterationsReached),
            ("The run was halted because all 30 steps are used up.", Condition::MaxIterationsReached),
            ("The workflow was terminated: the time limit of 300 s has passed.", Condition::RunTimeout),
            ("Maximum number of messages 12 reached, current message count: 12", Condition::MaxIterationsReached),
            ("Tool call limit reached. Don't try to execute the tool again.", Condition::MaxIterationsReached),
            ("Error: reached the maximum number of steps (25).", Condition::MaxIterationsReached),
            ("Sorry, the model cannot answer this question.", Condition::GuardrailBlocked),
            ("I'm sorry, I can't respond to that.", Condition::GuardrailBlocked),
            ("Text was found that violates OpenAI's content policy.", Condition::SafetyFilter),
            ("抱歉，您的提问涉及敏感内容，请换个问题。", Condition::SafetyFilter),
        ] {
            assert_eq!(found(text), Some(condition), "{text}");
        }
        for text in [
            "If you see \"Agent stopped due to max iterations.\", raise max_iterations or look at the last tool calls.",
            "You have reached the maximum discount for this order.",
            "The tool call limit of the plan is 500 a day; you have used 12.",
            "The service is available again.",
            "The task is done: I stopped the old pipeline and described the next steps in the ticket. You can start the new one at any time, and I am happy to help.",
            "Your order was blocked by the bank. Please use another card.",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn an_error_that_a_run_returns_is_one_unless_the_model_wrote_it() {
        let run = |text: &str| Span { kind: SpanKind::Agent, output_text: Some(text.into()), ..Span::default() };
        let error = "Error: the graph went through 40 nodes without an end";
        let is_found = |spans: Vec<Span>| find(&Trace { spans, ..Trace::default() }).is_some();
        assert!(is_found(vec![run(error)]));
        assert!(!is_found(vec![run("The error is in line 3 of the script.")]));
        let output = vec![Message { content: error.into(), ..Message::default() }];
        let call = Span { kind: SpanKind::Llm, parent_span_id: Some("1".into()), output, ..Span::default() };
        assert!(!is_found(vec![run(error), call]));
    }
}
