//! The final answer of a run, and whether it admits that something did not work.
//!
//! The words decide only about an error that is known already: "Sorry, the lookup failed" after a failed lookup means that the run did not recover from it.

use std::sync::LazyLock;

use regex::Regex;

use super::text::{clip, expression};
use super::tree::SpanTree;
use crate::model::{FinishReason, Message, Span, SpanKind, Trace};

/// What a run answered in the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct FinalAnswer<'t> {
    /// Index of the span that gave it.
    pub(super) index: usize,
    /// The text of the answer, or the arguments of the tool by which the model gives it.
    pub(super) text: &'t str,
    /// When the model began to write it, or the span ended that contains it.
    pub(super) at_ns: Option<i64>,
    /// Whether it is the end of the run: no further step was asked for, and no limit cut it off.
    pub(super) is_complete: bool,
    /// Whether the provider stopped it before its end, so that what failed is the answer and nothing before it.
    pub(super) was_cut: bool,
    /// Whether a root span failed.
    pub(super) root_failed: bool,
}

/// The final answer of a run; `None` if the last model call did not answer, or if no answers were recorded.
pub(super) fn final_answer<'t>(trace: &'t Trace, tree: &SpanTree) -> Option<FinalAnswer<'t>> {
    let is_root = |index: usize| tree.parent(index).is_none();
    let root_failed = last_root_failed(trace, tree);
    let mut last_calls = trace.spans.iter().enumerate().rev().filter(|(_, span)| span.kind == SpanKind::Llm && !span.output.is_empty());
    if let Some((index, span)) = last_calls.next() {
        let (text, is_final_call) = answer_of(span.output.last()?)?;
        let was_cut = span.finish_reasons.last().is_some_and(|word| FinishReason::from_word(word).is_some_and(FinishReason::is_abnormal));
        let asks_for_more = !is_final_call && span.output.last().is_some_and(|message| !message.tool_calls.is_empty());
        let is_complete = !span.failed() && !was_cut && !asks_for_more;
        let was_cut = was_cut && !span.failed() && !asks_for_more;
        return Some(FinalAnswer { index, text, at_ns: span.started_at_ns, is_complete, was_cut, root_failed });
    }
    // Some instrumentations record the answer only on the span of the run.
    let roots =
        trace.spans.iter().enumerate().filter(|(index, span)| is_root(*index) && matches!(span.kind, SpanKind::Agent | SpanKind::Chain));
    let output = |span: &'t Span| span.output.last().map(|message| message.content.as_str()).or(span.output_text.as_deref());
    let (index, span, text) =
        roots.filter_map(|(index, span)| Some((index, span, output(span)?))).find(|(.., text)| !text.trim().is_empty())?;
    Some(FinalAnswer { index, text, at_ns: span.ended_at_ns, is_complete: !span.failed(), was_cut: false, root_failed })
}

/// Whether a root span failed, and none that started after its end succeeded: an application may start the whole run again.
fn last_root_failed(trace: &Trace, tree: &SpanTree) -> bool {
    let roots = || trace.spans.iter().enumerate().filter(|(index, _)| tree.parent(*index).is_none()).map(|(_, span)| span);
    let last_success = roots().filter(|span| !span.failed()).filter_map(|span| span.started_at_ns).max();
    roots().any(|span| {
        span.failed() && last_success.is_none_or(|last| span.ended_at_ns.or(span.started_at_ns).is_none_or(|ended| last < ended))
    })
}

/// The text of a message, or the arguments of the call by which some frameworks let a model give its answer, and whether it is such a call.
pub(super) fn answer_of(message: &Message) -> Option<(&str, bool)> {
    const FINAL_CALLS: [&str; 6] = ["final_answer", "final_result", "finish", "submit", "attempt_completion", "task_done"];
    let final_call = message.tool_calls.iter().find(|call| FINAL_CALLS.contains(&call.name.as_str()));
    match (message.content.trim().is_empty(), final_call) {
        (_, Some(call)) if call.arguments.len() > "{}".len() => Some((&call.arguments, true)),
        (false, call) => Some((&message.content, call.is_some())),
        (true, _) => None,
    }
}

/// How much an answer says before it counts as an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Admission {
    /// An apology, or that the author could not do it.
    Apology,
    /// Any word for something that did not work, also about the world: "could not", "try again later".
    Inability,
    /// Any word about a problem, or about who else may help.
    Problem,
}

/// Whether an answer admits that something did not work, in one of the languages of the expressions.
pub(super) fn admits_failure(answer: &str, level: Admission) -> bool {
    static APOLOGY: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            r"(?i)(?-u:\b)(?:sorry|apologi[sz]e|apologies|unfortunately|regrettably|(?:i|we)(?:'m| am| was|'re| are| were) (?:not able|unable|afraid)|(?:i|we) (?:could ?n[o']t|can ?not|can'?t|could not|failed to|did(?:n'?t| not) manage)|has not been completed",
            r"|leider|entschuldig|tut mir leid|bedaure|désolée?s?|malheureusement|lo siento|lamento|lamentablemente|desafortunadamente|desculpe|infelizmente|mi dispiace|spiacente|purtroppo|helaas|het spijt|przepraszam|niestety|tyvärr|desværre|dessverre|beklager|maalesef|üzgünüm|bohužel|sajnos|din păcate|mohon maaf|maaf|xin lỗi|rất tiếc)(?:(?-u:\b)|[^a-z]|$)",
            r"|к сожалению|извините|простите|на жаль|抱歉|对不起|對不起|很遗憾|遗憾的是|申し訳|すみません|残念ながら|죄송|유감|عذرا|آسف|क्षमा|माफ़|סליחה|ขออภัย",
        ))
    });
    static INABILITY: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            r"(?i)(?-u:\b)(?:unable to|not able to|could ?n[o']t|can ?not|can't|failed to|was not possible|not possible to|impossible to|did(?:n'?t| not) work|does(?:n'?t| not) work|(?:is|are|was|were) (?:currently |temporarily )?(?:down|unreachable|unavailable)|(?:did|does) ?(?:n'?t| not) (?:answer|respond|reply)|no access to|try (?:it |this )?again|please (?:call|contact)",
            r"|konnte nicht|konnten nicht|kann nicht|nicht möglich|nicht erreichbar|nicht verfügbar|fehlgeschlagen|versuchen sie es (?:später|erneut)|impossible de|n'ai pas pu|n'a pas pu|réessayer|indisponible|no pude|no puedo|no se pudo|no ha sido posible|no fue posible|int[eé]ntelo|no disponible|não (?:consegui|foi possível|pude)|tente novamente|non (?:sono riuscito|è stato possibile|riesco|posso)|riprova|kon niet|niet gelukt|nie udało|nie mogę|kunde inte|kunne ikke|yapamadım|nelze|nem sikerült|nu am putut|tidak (?:dapat|bisa)|không thể)(?:(?-u:\b)|[^a-z]|$)",
            r"|не удалось|не могу|не смог|недоступ|попробуйте|не вдалося|无法|無法|未能|不能|失败|失敗|稍后(?:再|重)试|请联系|できません|出来ません|後ほど|お問い合わせ|할 수 없|못했|실패|나중에 다시|문의",
        ))
    });
    static PROBLEM: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            r"(?i)(?-u:\b)(?:errors?|issues?|problems?|outage|fail(?:ed|s|ing|ure)|timed? ?out|time-?outs?|crash(?:ed|es)?|unavailable|not available|offline|busy|broken|denied|unauthori[sz]ed|rejected|declined|rate[ -]limit(?:ed|s)?|too many requests|quota|exceeded|expired|invalid|not found|does(?:n'?t| not) exist|no (?:such|results?|response|answer|information|data)|nothing|without success|not (?:authori[sz]ed|permitted|allowed|reachable|accessible|supported|complete|completed)|unreachable|inaccessible|missing|blocked|g[ai]ve up|giving up|incomplete|trouble|difficult(?:y|ies)|later|support|human agent|colleagues?|escalat\w+|transfer(?:red|ring)?|call us|contact|our (?:staff|team)|reach out|instead|(?:do|does)(?:n'?t| not) have|have no|stuck",
            r"|fehler|problem\w*|störung|später|support|wenden sie sich|erreurs?|problèmes?|échou\w+|échec|errore|errores|problemas?|fall[óo]|más tarde|erros?|falh\w+|mais tarde|problem[ai]|più tardi|fout|storing|błąd|fel|fejl|feil|hata|sorun|chyba|hiba|eroare|kesalahan|gagal|lỗi)(?:(?-u:\b)|[^a-z]|$)",
            r"|ошибк|проблем|сбой|позже|помилк|错误|錯誤|出错|异常|問題|问题|超时|故障|客服|人工|エラー|不具合|障害|失敗|오류|문제|장애|خطأ|مشكلة|त्रुटि|समस्या",
        ))
    });
    let answer = clip(answer).replace('’', "'");
    let matches = |expression: &LazyLock<Option<Regex>>| expression.as_ref().is_some_and(|expression| expression.is_match(&answer));
    matches(&APOLOGY) || (level >= Admission::Inability && matches(&INABILITY)) || (level >= Admission::Problem && matches(&PROBLEM))
}

/// Whether an answer ends with a question, so that the run is not finished.
pub(super) fn asks_back(answer: &str) -> bool {
    answer.trim_end().trim_end_matches(['"', '}', ' ', '*', ')']).ends_with(['?', '？', '؟'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ToolCall;

    #[test]
    fn admissions_are_recognized_in_many_languages() {
        for (answer, level) in [
            ("Your parcel is in the depot and should arrive on Friday.", None),
            ("Two flights: 07:25 with 4 seats left and 10:50.", None),
            ("Ihr Paket liegt im Depot und kommt am Freitag.", None),
            ("包裹已到达莱比锡，预计周五送达。", None),
            ("Sorry, that did not go through.", Some(Admission::Apology)),
            ("I was not able to run the lookup.", Some(Admission::Apology)),
            ("Leider habe ich keinen Zugriff auf die Bestellung.", Some(Admission::Apology)),
            ("Désolé, je n’ai rien trouvé.", Some(Admission::Apology)),
            ("抱歉，系统暂时没有响应。", Some(Admission::Apology)),
            ("申し訳ありませんが、予約を確認していません。", Some(Admission::Apology)),
            ("The depot cannot be reached today.", Some(Admission::Inability)),
            ("Our backend is down.", Some(Admission::Inability)),
            ("La consulta no se pudo completar.", Some(Admission::Inability)),
            ("目前无法查询该订单。", Some(Admission::Inability)),
            ("There was an issue with the tracking service.", Some(Admission::Problem)),
            ("Bei der Suche trat ein Fehler auf.", Some(Admission::Problem)),
            ("Our team will look it up.", Some(Admission::Problem)),
        ] {
            let found =
                [Admission::Apology, Admission::Inability, Admission::Problem].into_iter().find(|level| admits_failure(answer, *level));
            assert_eq!(found, level, "{answer}");
        }
    }

    #[test]
    fn the_final_answer_is_that_of_the_last_model_call_or_of_the_run() {
        let span = |kind, output: &str, calls: &[(&str, &str)]| {
            let tool_calls =
                calls.iter().map(|(name, arguments)| ToolCall { id: None, name: (*name).into(), arguments: (*arguments).into() }).collect();
            let message = Message { content: output.into(), tool_calls, ..Message::default() };
            Span { kind, output: vec![message], ..Span::default() }
        };
        let answer = |spans: Vec<Span>| {
            let trace = Trace { spans, ..Trace::default() };
            let found = final_answer(&trace, &SpanTree::new(&trace));
            found.map(|answer| (answer.text.to_owned(), answer.is_complete))
        };
        assert_eq!(answer(vec![span(SpanKind::Llm, "one", &[]), span(SpanKind::Llm, "two", &[])]), Some(("two".into(), true)));
        assert_eq!(answer(vec![span(SpanKind::Llm, "I look it up.", &[("search", "{}")])]), Some(("I look it up.".into(), false)));
        assert_eq!(answer(vec![span(SpanKind::Llm, "one", &[]), span(SpanKind::Llm, "", &[("search", "{}")])]), None);
        assert_eq!(answer(vec![span(SpanKind::Llm, "", &[("final_answer", r#"{"answer": 7}"#)])]), Some((r#"{"answer": 7}"#.into(), true)));
        let run = Span { kind: SpanKind::Agent, output_text: Some("done".into()), ..Span::default() };
        assert_eq!(answer(vec![run]), Some(("done".into(), true)));
        let cut = Span { finish_reasons: vec!["length".into()], ..span(SpanKind::Llm, "It is", &[]) };
        assert_eq!(answer(vec![cut]), Some(("It is".into(), false)));
    }
}
