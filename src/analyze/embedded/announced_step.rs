//! A run whose final message announces the next step, and that ends without it: "Two of five are done. Next, I will migrate the others." The model forgot to
//! call the tool, and the loop around it took the message for the answer.
//!
//! Only the last sentence counts, in the first person, in a run that has tools and in which calls are recorded. A promise to go on when something happens, and
//! an answer to the request for a plan, is none.

use std::sync::LazyLock;

use regex::Regex;

use super::answers;
use super::incident::{Incident, IncidentKind};
use super::signals::Signal;
use super::text::expression;
use super::tree::SpanTree;
use crate::model::{FinishReason, Span, SpanKind, Trace};

/// The final message, if it announces a step that the run did not take.
pub(super) fn find<'t>(trace: &'t Trace, tree: &SpanTree) -> Option<Incident<'t>> {
    let answer = answers::final_answer(trace, tree).filter(|answer| answer.is_complete && !answer.root_failed)?;
    let span = trace.spans.get(answer.index).filter(|span| span.kind == SpanKind::Llm)?;
    let (number, message) = span.output.iter().enumerate().next_back()?;
    if !message.tool_calls.is_empty()
        || has_later_step(trace, answer.index)
        || !is_end_of_a_loop(trace, span)
        || is_conversation(span)
        || asks_for_a_plan(span)
    {
        return None;
    }
    let sentence = announcement(&message.content)?;
    let mut incident = Incident::new(trace, answer.index, IncidentKind::AnnouncedStep)?;
    let field = format!("output[{number}].content");
    incident.signals.push(Signal::new("run_ends", "after_announcement", field.clone()));
    incident.texts.push((field, sentence));
    Some(incident)
}

/// Whether a tool ran after the message. Then it was the announced step, whose call the message does not record.
fn has_later_step(trace: &Trace, index: usize) -> bool {
    let started = trace.spans.get(index).and_then(|span| span.started_at_ns);
    let is_later = |number: usize, span: &Span| match (span.started_at_ns, started) {
        (Some(at), Some(started)) => at > started,
        _ => number > index,
    };
    let is_step = |span: &Span| matches!(span.kind, SpanKind::Tool | SpanKind::Retriever);
    trace.spans.iter().enumerate().any(|(number, span)| is_step(span) && is_later(number, span))
}

/// Whether a call with tools ended of the model's own accord, where a call of a tool would have been recorded.
fn is_end_of_a_loop(trace: &Trace, last: &Span) -> bool {
    let stopped = last.finish_reasons.last().map(|word| FinishReason::from_word(word) == Some(FinishReason::Stop));
    let calls_are_recorded = || {
        let messages = trace.spans.iter().filter(|span| span.kind == SpanKind::Llm).flat_map(|span| &span.output);
        messages.into_iter().any(|message| !message.tool_calls.is_empty())
    };
    match stopped {
        Some(stopped) => stopped && (!last.tools_offered.is_empty() || calls_are_recorded()),
        None => calls_are_recorded(),
    }
}

/// Whether a person takes part, who may reply.
fn is_conversation(last: &Span) -> bool {
    last.input.iter().filter(|message| message.role == "user").count() > 1
}

/// Whether the request is for a plan or for the next step.
fn asks_for_a_plan(last: &Span) -> bool {
    static PLAN: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            r"(?i)(?-u:\b)(?:plans?|planning|next steps?|outline|roadmap|strategy|approach|propose|proposal|how would you|what (?:would|will) you|walk me through|plane?n?|nächste[nr]? schritte?",
            r"|siguientes? pasos?|próximos passos|prochaines? étapes?|étapes|prossimi passi|pasos|passos|passi|stappen|role-?play|story)(?:(?-u:\b)|[^a-z]|$)|计划|方案|步骤|下一步|計画|手順|계획|단계|план|шаги",
        ))
    });
    let task = last.input.iter().find(|message| message.role == "user");
    task.is_some_and(|task| PLAN.as_ref().is_some_and(|plan| plan.is_match(super::text::clip(&task.content))))
}

/// The last sentence of a message, if it announces the next step of the author.
fn announcement(message: &str) -> Option<&str> {
    /// Longer sentences say more.
    const SENTENCE_BYTES_MAX: usize = 320;
    static ANNOUNCES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!("(?i)^(?:{})", ANNOUNCEMENTS.join("|"))).ok());
    static CONDITION: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&CONDITIONS.join("|")).ok());
    let text = message.trim().trim_end_matches(['*', '_', '"', '\'', ')', ' ']);
    // Code and calls that a framework reads from the text are the step itself.
    let has_call = ["```", "<tool", "<function", "</", "Action:", "{\""].iter().any(|sign| text.contains(sign));
    if has_call || text.ends_with(['?', '？', '؟']) {
        return None;
    }
    let sentence = last_sentence(text).trim_start_matches(|c: char| !c.is_alphanumeric());
    let is_match = |expression: &LazyLock<Option<Regex>>| {
        expression.as_ref().is_some_and(|expression| expression.is_match(&sentence.replace('’', "'")))
    };
    (sentence.len() <= SENTENCE_BYTES_MAX && is_match(&ANNOUNCES) && !is_match(&CONDITION)).then_some(sentence)
}

/// The last sentence of a text.
fn last_sentence(text: &str) -> &str {
    let body = text.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '.' | '!' | '…' | ':' | '。' | '！' | '：'));
    let line = body.rfind('\n').map_or(0, |at| at + 1);
    let in_line = body.get(line..).unwrap_or_default();
    let ends = [". ", "! ", "? ", "。", "！", "？", ".**", ": "].iter().filter_map(|end| Some(in_line.rfind(end)? + end.len())).max();
    body.get(line + ends.unwrap_or(0)..).unwrap_or_default()
}

/// Openings of a sentence that announces the next step of its author, by language: a word for the order and the future in the first person.
const ANNOUNCEMENTS: [&str; 17] = [
    // English
    r"(?:ok(?:ay)?,? |great,? |so,? )?(?:next|now|then|after that|afterwards|from here|as a next step|in the next step)(?: up)?,? (?:i|we)(?: will|'ll| am going to|'m going to| are going to|'re going to| shall| need to)\b",
    r"(?:ok(?:ay)?,? |great,? |so,? |now,? |next,? )?(?:i|we)(?: will|'ll| am going to|'m going to| are going to|'re going to) (?:now|next|then|proceed|continue|start by|begin by|go ahead and|move on to|also now)\b",
    r"(?:ok(?:ay)?,? |great,? |so,? |now,? |next,? |first,? )?let(?: me|'s| us) (?:now |next |then |also |first |quickly |go ahead and |proceed to |start by |continue to )*(?:check|look|search|find|get|fetch|run|try|verify|call|query|retrieve|create|update|send|book|start|continue|proceed|do|open|read|pull|gather|calculate|compute|migrate|fix|investigate|examine|review|analy[sz]e|test|process|write|add|list|load|download|inspect|confirm|apply|install|build|deploy|move)\b",
    // German
    r"(?:als nächstes|als nächster schritt|im nächsten schritt|jetzt|nun|anschließend|danach|dann|im anschluss) (?:werde|will|möchte|müssen|muss|werden|[a-zäöüß]{3,}e) (?:ich|wir)\b",
    r"(?:ich|wir) (?:werden? (?:jetzt|nun|als nächstes|dann|anschließend|danach)|[a-zäöüß]{3,}e (?:jetzt|nun|als nächstes|anschließend)) ",
    r"lass(?:en sie)? mich (?:jetzt |nun |zuerst |als nächstes )?[a-zäöüß]",
    // Spanish
    r"(?:a continuación|ahora|luego|después|seguidamente|en el siguiente paso|el siguiente paso es que),? (?:voy a|vamos a|procedo a|procederé|[a-zñ]{3,}(?:aré|eré|iré|aremos|eremos|iremos))\b?",
    r"(?:procedo a|procederé a|voy a (?:continuar|seguir|empezar|comenzar|proceder|revisar|buscar|comprobar))|(?:déjame|permíteme) (?:ahora )?(?:revisar|buscar|comprobar|verificar|consultar|ver|probar|ejecutar|continuar)",
    // French
    r"(?:ensuite|maintenant|à présent|puis|après cela|dans un deuxième temps|à l'étape suivante),? (?:je vais|nous allons|je passe|je procède|je [a-zéèêç]{3,}erai|je [a-zéèêç]{3,}irai)",
    r"(?:je vais|nous allons) (?:maintenant|ensuite|à présent|désormais|poursuivre|continuer|procéder|commencer)|laisse[zr]?-moi (?:vérifier|chercher|regarder|consulter|essayer|lancer)",
    // Portuguese, Italian
    r"(?:agora|em seguida|a seguir|depois|na sequência|no próximo passo),? (?:(?:eu )?(?:vou|irei)|vamos|prosseguirei)|(?:eu )?vou (?:agora|em seguida|continuar|prosseguir|começar)",
    r"(?:ora|adesso|poi|successivamente|in seguito|quindi|come prossimo passo),? (?:procedo|procederò|vado a|passo a|passerò|[a-z]{3,}(?:erò|irò|arò))|(?:procedo|procederò) (?:ora|adesso|a|con) ",
    // Dutch, Swedish, Danish, Norwegian
    r"(?:nu|vervolgens|daarna|hierna|als volgende stap) (?:ga|zal) (?:ik|we)|(?:ik|we) (?:ga|gaan|zal|zullen) (?:nu|vervolgens|daarna)|(?:nu|därefter|sedan|härnäst|næste skridt|nå|deretter|derefter) (?:ska|kommer|skal|vil) (?:jag|vi|jeg)",
    // Polish, Russian
    r"(?:teraz|następnie|potem|w następnym kroku) (?:[a-ząćęłńóśźż]{3,}ę|będę|przejdę|zamierzam)(?:[ ,]|$)|(?:теперь|далее|затем|сейчас|следующим шагом|после этого),? (?:я |мы )?(?:буду |начну |[а-яё]{3,}[юу](?:сь)? )",
    // Chinese
    r"(?:接下来|现在|下面|然后|随后|下一步|接著|接下來|現在)[，,]?(?:我|我们|我們|让我|讓我)|(?:我|我们)(?:现在|接下来|将|马上|現在|接下來|將)(?:就|来|会|要|开始|继续|繼續|開始)|让我(?:来|先|再|们)*(?:查|看|检|搜|试|读|分析|确认|运行|获取|继续)",
    // Japanese
    r"(?:次に|それでは|これから|続いて|では|今から|引き続き)[^。]{1,80}(?:します|いたします|ます|ましょう|していきます)$",
    // Korean
    r"(?:다음으로|이제|그다음|이어서|계속해서|지금부터)[^.]{1,80}(?:겠습니다|할게요|합니다)$",
];

/// Words by which a sentence only promises a step for a time or a case that others decide, or addresses the reader.
const CONDITIONS: [&str; 4] = [
    r"(?i)(?-u:\b)(?:once|when|whenever|if|as soon as|until|unless|wait|await|waiting|tomorrow|later|please|you(?:'d|'ll|'re| can| may| want| would| confirm| let| have| prefer| need)|let me know|notify|transfer\w*|connect|escalat\w*|hand (?:this|you|it) over|keep|remember|be (?:happy|glad|able)|ready|close|end|stop|summari[sz]e|explain|present|share|here|submit|finali[sz]e|finish|conclude|wrap up|provide|answer|respond|reply)(?-u:\b)",
    r"(?i)(?-u:\b)(?:wenn|sobald|falls|bitte|sie|warten?|morgen|später|cuando|si|una vez|por favor|espero|esperar|usted|quand|lorsque|dès que|une fois|attends|attendre|veuillez|vous|quando|se|assim que|appena|attendo|wanneer|zodra|wacht|jeśli|gdy|kiedy|proszę|när|om|når|hvis)(?-u:\b)",
    "если|когда|пожалуйста|жду|ждать|как только|如果|请|請|等待|等您|等你|您|一旦|总结|總結",
    "もし|お待ち|ください|次第|たら|場合|まとめ|説明|만약|하면|기다리|주세요|되면|요약",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Message, ToolCall};

    /// A call of a tool, and then a final message.
    fn run(task: &[&str], text: &str, finish_reason: &str) -> Trace {
        let message = |role: &str, content: &str| Message { role: role.into(), content: content.into(), ..Message::default() };
        let asked = ToolCall { id: Some("1".into()), name: "migrate".into(), arguments: "{}".into() };
        let call = Message { tool_calls: vec![asked], ..message("assistant", "") };
        let first = Span { kind: SpanKind::Llm, output: vec![call], ..Span::default() };
        let finish_reasons = vec![finish_reason.to_owned()];
        let input = task.iter().map(|text| message("user", text)).collect();
        let last = Span { kind: SpanKind::Llm, input, output: vec![message("assistant", text)], finish_reasons, ..Span::default() };
        Trace { spans: vec![first, last], ..Trace::default() }
    }

    fn is_found(task: &[&str], text: &str, finish_reason: &str) -> bool {
        let trace = run(task, text, finish_reason);
        find(&trace, &SpanTree::new(&trace)).is_some()
    }

    #[test]
    fn every_expression_compiles() {
        for text in ANNOUNCEMENTS.iter().chain(&CONDITIONS) {
            assert!(Regex::new(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_final_message_that_announces_the_next_step_is_found_in_many_languages() {
        for text in [
            "Two rooms are painted. Next, I will paint the hall and the kitchen.",
            "The index is built.\n\nI'll now run the import of the other tables.",
            "Found three candidates. Let me check their reviews.",
            "**Done with part one.** Now I'm going to start part two.",
            "Zwei Räume sind gestrichen. Als Nächstes streiche ich den Flur.",
            "Der Index steht. Ich werde nun die anderen Tabellen importieren.",
            "Dos salas están listas. A continuación, pintaré el pasillo.",
            "La tabla está lista. Ahora voy a importar las demás.",
            "Deux salles sont prêtes. Je vais maintenant peindre le couloir.",
            "Duas salas prontas. Em seguida, vou pintar o corredor.",
            "Due stanze sono pronte. Ora procedo con il corridoio.",
            "Twee kamers zijn klaar. Vervolgens ga ik de gang verven.",
            "Dwa pokoje są gotowe. Teraz pomaluję korytarz.",
            "Две комнаты готовы. Далее я покрашу коридор.",
            "两个房间已完成。接下来我将粉刷走廊。",
            "2部屋は完了しました。次に廊下を塗ります。",
            "방 두 개를 끝냈습니다. 이제 복도를 칠하겠습니다.",
        ] {
            assert!(is_found(&["Paint the flat."], text, "stop"), "{text}");
        }
    }

    #[test]
    fn answers_promises_and_plans_are_no_announcements() {
        for text in [
            "All rooms are painted.",
            "All rooms are painted. Let me know if anything is missing.",
            "Once you confirm, I will paint the hall.",
            "Next, I will paint the hall as soon as the paint arrives.",
            "I will now wait for the paint.",
            "Next, I will paint the hall. The paint is ready.",
            "Shall I paint the hall next, or let me check the kitchen?",
            "Let me explain the colours.",
            "I'll now transfer this to a human agent.",
            "The flat is painted. I will now submit the report.",
            "Let me look.\n```bash\nls\n```",
            "Wenn Sie zustimmen, werde ich nun den Flur streichen.",
            "如果您同意，接下来我将粉刷走廊。",
            "ご確認ください。",
        ] {
            assert!(!is_found(&["Paint the flat."], text, "stop"), "{text}");
        }
        let text = "Next, I will paint the hall.";
        assert!(!is_found(&["Give me a plan for painting the flat."], text, "stop"));
        assert!(!is_found(&["Paint the flat.", "And the hall?"], text, "stop"), "a conversation");
        assert!(!is_found(&["Paint the flat."], text, "length"));
        let mut with_step = run(&["Paint the flat."], text, "stop");
        with_step.spans.push(Span { kind: SpanKind::Tool, ..Span::default() });
        assert!(find(&with_step, &SpanTree::new(&with_step)).is_none(), "the step was taken");
        let mut without_tools = run(&["Paint the flat."], text, "stop");
        without_tools.spans.remove(0);
        assert!(find(&without_tools, &SpanTree::new(&without_tools)).is_none());
    }
}
