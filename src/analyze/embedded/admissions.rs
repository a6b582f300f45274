//! Whether a final answer admits that something did not work, in many languages.
//!
//! The words decide only about an error that is known already: "Sorry, the lookup failed" after a failed lookup means that the run did not recover from it.
//! Most forms follow one grammar: a negation with a verb for being able to (can, manage, succeed), in the present, the past and the perfect, of the first
//! person or without a person.

use std::sync::LazyLock;

use regex::Regex;

use super::text::{clip, expression};

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

/// Apologies, in languages with Latin letters.
const APOLOGIES: &[&str] = &[
    r"sorry|apologi[sz]e|apologies|unfortunately|regrettably|has not been completed",
    r"(?:i|we)(?:'m| am| was|'re| are| were) (?:not able|unable|afraid)",
    r"(?:i|we) (?:could ?n[o']t|can ?not|can'?t|could not|failed to|did(?:n'?t| not) manage)|(?:i|we)(?:'ve| have)(?:n'?t| not) (?:been able|managed)",
    r"leider|entschuldig|tut mir leid|bedaure",
    r"désolée?s?|malheureusement",
    r"lo siento|lo sentimos|lamento|lamentamos|lamentablemente|desafortunadamente|desgraciadamente",
    r"desculpe|infelizmente|mi dispiace|spiacente|purtroppo|helaas|het spijt|przepraszam|niestety|tyvärr|desværre|dessverre|beklager|valitettavasti",
    r"maalesef|üzgünüm|bohužel|bohužiaľ|sajnos|din păcate|mohon maaf|maaf|xin lỗi|rất tiếc",
];

/// The same in other scripts.
const APOLOGIES_OF_OTHER_SCRIPTS: &[&str] = &[
    "к сожалению|извините|простите|на жаль|вибачте|за съжаление|δυστυχώς|λυπάμαι",
    "抱歉|对不起|對不起|很遗憾|遗憾的是|很遺憾|申し訳|すみません|残念ながら|죄송|유감|안타깝게도",
    "عذرا|آسف|للأسف|क्षमा|माफ़|दुर्भाग्य|סליחה|לצערי|ขออภัย|น่าเสียดาย",
];

/// That something was not possible, in languages with Latin letters.
const INABILITIES: &[&str] = &[
    // English
    r"unable to|not able to|could ?n[o']t|can ?not|can't|failed to|(?:was|is|were|are) ?(?:n'?t| not) possible|not possible to|impossible to|(?:has|have|had)(?:n'?t| not) been (?:able|possible)",
    r"did(?:n'?t| not) (?:work|manage|succeed)|does(?:n'?t| not) work|(?:is|are|was|were) (?:currently |temporarily )?(?:down|unreachable|unavailable)|(?:did|does) ?(?:n'?t| not) (?:answer|respond|reply)|no access to|try (?:it |this )?again|please (?:call|contact)|unsuccessful(?:ly)?|to no avail",
    // German: the verb and its negation stand apart.
    r"konnten? [^.,;!?\n]{0,80}?(?:nicht|kein\w*)|(?:ich|wir|man) (?:kann|können) [^.,;!?\n]{0,60}?(?:nicht|kein\w*)|kann (?:ich|wir|man)? ?(?:[^.,;!?\n]{0,40}? )?nicht",
    r"(?:nicht|keine?\w*) [^.,;!?\n]{0,60}?(?:können|geschafft|gelungen|geklappt|funktioniert)|gelang(?:en)? (?:es )?(?:mir |uns )?(?:leider )?nicht|(?:ließ|lässt|lassen|ließen) sich [^.,;!?\n]{0,40}?nicht|schaff(?:e|te|en|ten) (?:ich |wir )?es [^.,;!?\n]{0,20}?nicht",
    r"nicht (?:möglich|erreichbar|verfügbar|in der lage|gelungen|geglückt)|unmöglich|ohne erfolg|erfolglos|vergeblich|fehlgeschlagen|versuchen sie es (?:später|erneut)",
    // French
    r"n(?:e |')(?:(?:l|m|t|s|y)'|(?:le|la|les|lui|leur|vous|me|nous|te|se|y) ){0,2}(?:(?:ai|avons|a|ont|avait|avais|suis|sommes|est) (?:toujours |malheureusement )?(?:pas|rien|jamais) (?:encore |toujours )?(?:pu|réussi|parvenue?s?|arrivée?s?|été (?:possible|en mesure|capable)|possible|en mesure|capable)|(?:peux|peut|pouvons|peuvent|pouvais|pouvait|parviens|parvient|parvenons|parviennent|arrive|arrivons|arrivent|réussis|réussit|réussissons|fut|était) (?:toujours |malheureusement )?(?:pas|rien))",
    r"impossible (?:de|d'|à|d’)|sans succès|incapables? de|dans l'incapacité|réessay\w+|indisponible",
    // Spanish
    r"no (?:(?:me|te|se|le|lo|la|los|las|les|nos) ){0,2}(?:pude|pudimos|pudo|pudieron|puedo|podemos|puede|pueden|podía|podíamos|podían|logr[éo]|logramos|lograron|logra|consigo|conseguimos|conseguí|consiguió|consigue|fui capaz|soy capaz|es posible|era posible|fue posible|resultó posible|deja|dejan|funcion[óa])",
    r"no (?:(?:me|te|se|le|lo|la|los|las|les|nos) ){0,2}(?:he|hemos|ha|han|había|habíamos) (?:podido|logrado|conseguido|sido (?:posible|capaz|capaces)|funcionado)|imposible|sin éxito|int[eé]ntelo|vuelva a intentar\w*|no disponible",
    // Portuguese
    r"não (?:(?:me|te|se|lhe|o|a|os|as|nos) ){0,2}(?:consegui|conseguimos|conseguiu|conseguiram|consigo|consegue|conseguem|pude|pudemos|pôde|puderam|posso|podemos|pode|podem|podia|foi possível|é possível|era possível|foi capaz|fui capaz|tenho conseguido|deu certo|funcionou)|impossível|sem (?:sucesso|êxito)|tente novamente",
    // Italian
    r"non (?:(?:mi|ti|si|ci|vi|lo|la|li|le|gli|ne) |l'){0,2}(?:posso|possiamo|può|possono|potevo|potevamo|poteva|ho potuto|abbiamo potuto|ha potuto|hanno potuto|riesco|riusciamo|riesce|riuscivo|riuscivamo|sono riuscit[oa]|siamo riuscit[ie]|è riuscit[oa]|sono stat[oa] in grado|è stato possibile|è possibile|era possibile)|non ce l'ho fatta|impossibile|senza successo|riprova\w*",
    // Dutch
    r"(?:kon|konden) [^.,;!?\n]{0,60}?(?:niet|geen)|(?:ik|we|wij) (?:kan|kunnen) [^.,;!?\n]{0,60}?(?:niet|geen)|(?:niet|geen) [^.,;!?\n]{0,40}?(?:kunnen|gelukt)|lukt(?:e|en)? (?:me |mij |ons )?(?:het )?niet|niet (?:mogelijk|in staat|bereikbaar|beschikbaar)|onmogelijk|zonder succes|tevergeefs",
    // Polish
    r"nie (?:udał[oa]|udaje|mogę|możemy|mogł[ae]m|mogliśmy|mogłyśmy|można|zdoła\w+|dało|da|powiodł[oa]|jest(?:em|eśmy)? w stanie|był[aoe]?(?:m|śmy)? w stanie)|niemożliw\w+|bezskuteczn\w+",
    // Swedish, Danish, Norwegian, Finnish
    r"(?:kunde|kan|lyckades|gick|går) (?:[^\s.,;!?]+ ){0,5}?inte|inte (?:kunnat|lyckats|möjligt|gått)|misslyckad\w+",
    r"(?:kunne|kan|lykkedes|lyktes|klarte) (?:[^\s.,;!?]+ ){0,5}?ikke|ikke (?:kunnet|kunnet|lykkedes|lykkes|lyktes|lykkes|klart|mulig|muligt)|umulig\w*|mislykk\w+",
    r"(?:en|emme|ei) (?:voi|voinut|voineet|voitu|onnistunut|onnistuneet|pysty\w*|saanut|saatu)|epäonnistu\w+",
    // Czech, Slovak, Hungarian, Romanian
    r"nepodařilo|nepodarilo|nemohu|nemůžu|nemůžeme|nemohl\w*|nelze|nedokáz\w+|nebylo možné|nem (?:sikerült|tudtam|tudtuk|tudom|tudjuk|lehet\w*|volt lehetséges)|nu (?:am|a|au|s-a) (?:putut|reușit|fost posibil)|nu (?:pot|putem|poate|reușesc|este posibil)|imposibil",
    // Turkish, Indonesian, Vietnamese
    r"yapamad\w+|edemed\w+|olamad\w+|bulamad\w+|alamad\w+|\w{2,}(?:ı|i|u|ü)(?:lamadı|lemedi)|\w{2,}(?:yamad|yemed)(?:ım|im|ık|ik|ı|i)|başaramad\w+|mümkün (?:değil|olmadı)|tidak (?:dapat|bisa|berhasil|mungkin)|belum (?:dapat|bisa|berhasil)|không (?:thể|được phép|thành công)|chưa thể",
];

/// The same in other scripts.
const INABILITIES_OF_OTHER_SCRIPTS: &[&str] = &[
    "не (?:удалось|уда[её]тся|удавалось|могу|можем|может|смог|сумел|получилось|получается|вышло|в состоянии|представляется возможным)|недоступ|невозможно|безуспешно|попробуйте",
    "не (?:вдалося|вдається|можу|можемо|зміг|змогла|змогли)|неможливо|не успях|не можах|невъзможно",
    "δεν (?:μπόρεσα|μπορέσαμε|μπορώ|μπορούμε|κατάφερα|καταφέραμε|ήταν δυνατ|είναι δυνατ)",
    "无法|無法|未能|不能|没能|沒能|没法|没办法|沒辦法|办不到|做不到|没有成功|未成功|不成功|无能为力|失败|失敗|稍后(?:再|重)试|稍後再試|请联系",
    "でき(?:ません|なかった|ない|ず)|出来(?:ません|なかった|ない|ず)|[えけせてねべめれげ]ません|不可能|うまくいき|後ほど|お問い合わせ",
    "(?:수|수가|수는) 없|못했|못합니다|못하였|못해|불가능|되지 않(?:았|습|아)|실패|나중에 다시|문의",
    "لم (?:أتمكن|نتمكن|يتمكن|أستطع|نستطع|ينجح|أنجح)|لا (?:أستطيع|نستطيع|يمكن)|تعذر|غير متاح|नहीं (?:कर )?(?:सक|पाय|पाई|हो सक|हो पाय)|असमर्थ|विफल|לא (?:הצלחתי|הצלחנו|ניתן|יכול|הייתה אפשרות)|ไม่สามารถ|ไม่สำเร็จ",
];

/// Problems, in languages with Latin letters.
const PROBLEMS: &[&str] = &[
    r"errors?|issues?|problems?|outage|fail(?:ed|s|ing|ure)|timed? ?out|time-?outs?|crash(?:ed|es)?|unavailable|not available|offline|busy|broken|denied|unauthori[sz]ed|rejected|declined|rate[ -]limit(?:ed|s|ing)?|throttl\w+|too many requests|quota|exceeded|expired|invalid|not found|does(?:n'?t| not) exist|no (?:such|results?|response|answer|information|data)|nothing|without success|not (?:authori[sz]ed|permitted|allowed|reachable|accessible|supported|complete|completed)|unreachable|inaccessible|missing|blocked|g[ai]ve up|giving up|incomplete|trouble|difficult(?:y|ies)|later|support|human agent|colleagues?|escalat\w+|transfer(?:red|ring)?|call us|contact|our (?:staff|team)|reach out|instead|(?:do|does)(?:n'?t| not) have|have no|stuck",
    r"could only|managed only|only managed|still (?:not|cannot|fail\w*|down|missing|pending|open|unchanged|wrong|outstanding)|keeps? (?:failing|returning|timing|rejecting|refusing|blocking|crashing|getting)|(?:i|we)(?:'ve| have)? (?:stopped|given up)|(?:are|is|were|was|has|have|remain\w*) (?:still )?not (?:been )?(?:updated|changed|sent|processed|done|saved|created|deleted|verified|checked|applied)",
    r"fehler|problem\w*|störung|später|support|wenden sie sich|abgelehnt|gesperrt|blockiert|gedrosselt|überlastet|abgebrochen|nicht (?:gefunden|geändert|aktualisiert|erledigt|vollständig)|erreurs?|problèmes?|échou\w+|échec|bloqué\w*|refusé\w*",
    r"errore|errores|problemas?|fall[óo]|fallaron|fallad[oa]s?|bloquead[oa]s?|rechazad[oa]s?|más tarde|erros?|falh\w+|mais tarde|problem[ai]|più tardi|bloccat[oaie]|fallit[oaie]|rifiutat[oaie]|fout|storing|geblokkeerd|mislukt|błąd|błęd\w+|zablokowan\w+|fel|fejl|feil|hata|sorun|chyba|hiba|eroare|kesalahan|gagal|lỗi",
];

/// The same in other scripts.
const PROBLEMS_OF_OTHER_SCRIPTS: &[&str] = &[
    "ошибк|проблем|сбой|позже|заблокирован|отклонен|помилк|错误|錯誤|出错|异常|問題|问题|超时|故障|客服|人工|限流|被拒|エラー|不具合|障害|失敗|制限|拒否|오류|문제|장애|차단|거부|제한|خطأ|مشكلة|त्रुटि|समस्या",
];

/// Words of a report in which part of the work is missing. They are too common to mean anything by themselves.
const RESERVATIONS: &[&str] = &[
    r"still|only|remain\w*|pending|skipp\w+|partial\w*|partly|stopp\w+|so far|not yet|unchanged|except|rest of|left over|outstanding",
    r"noch|nur|bisher|lediglich|teilweise|übersprungen|unverändert|außer|abgebrochen|verbleib\w+",
    r"encore|toujours|seulement|partiel\w*|sauf|reste\w*|inchangé\w*|todavía|aún|sólo|solo|solamente|parcial\w*|sigue|siguen|salvo|excepto|falta|faltan|pendientes?",
    r"ainda|apenas|somente|exceto|continua\w*|ancora|soltanto|parzial\w*|tranne|rimangono|rimane|nog|alleen|slechts|gedeeltelijk|nadal|jeszcze|tylko|częściow\w+|endast|fortfarande|bara|kun|stadig|fortsatt|vielä|vain",
];

/// The same in other scripts.
const RESERVATIONS_OF_OTHER_SCRIPTS: &[&str] = &[
    "только|лишь|ещ[её]|по-прежнему|частично|осталь|кроме|仍|尚未|还没|还未|仅|只有|只能|部分|其余|まだ|のみ|だけ|一部|残り|아직|여전히|일부|나머지|나머진",
];

/// An expression for any of these words. Those of Latin letters stand alone.
fn any_of(latin: &[&str], others: &[&str]) -> Option<Regex> {
    // All letters of Unicode would make the expression many times as large.
    let latin = latin.join("|").replace(r"\w", "[a-z\u{df}-\u{17e}]");
    Regex::new(&format!(r"(?i)(?-u:\b)(?:{latin})(?:(?-u:\b)|[^a-z]|$)|{}", others.join("|"))).ok()
}

/// Whether an answer admits that something did not work, in one of the languages of the expressions.
pub(super) fn admits_failure(answer: &str, level: Admission) -> bool {
    static APOLOGY: LazyLock<Option<Regex>> = LazyLock::new(|| any_of(APOLOGIES, APOLOGIES_OF_OTHER_SCRIPTS));
    static INABILITY: LazyLock<Option<Regex>> = LazyLock::new(|| any_of(INABILITIES, INABILITIES_OF_OTHER_SCRIPTS));
    static PROBLEM: LazyLock<Option<Regex>> = LazyLock::new(|| any_of(PROBLEMS, PROBLEMS_OF_OTHER_SCRIPTS));
    let answer = clip(answer).replace('’', "'");
    let matches = |expression: &LazyLock<Option<Regex>>| expression.as_ref().is_some_and(|expression| expression.is_match(&answer));
    matches(&APOLOGY) || (level >= Admission::Inability && matches(&INABILITY)) || (level >= Admission::Problem && matches(&PROBLEM))
}

/// Whether an answer may report that only a part was done: any admission, a word such as "still", or a share (`3 of 6`).
pub(super) fn may_report_a_gap(answer: &str) -> bool {
    static RESERVATION: LazyLock<Option<Regex>> = LazyLock::new(|| any_of(RESERVATIONS, RESERVATIONS_OF_OTHER_SCRIPTS));
    admits_failure(answer, Admission::Problem)
        || RESERVATION.as_ref().is_some_and(|expression| expression.is_match(clip(answer)))
        || names_a_share(answer)
}

/// Whether a text says of how many things the smaller number was done: `3 of 6`, `2/5`, `3 von 6`.
fn names_a_share(answer: &str) -> bool {
    static SHARE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(
            r"(?i)(?-u:\b)([0-9]{1,4}) ?(?:(?:out )?of(?: the)?|/|von(?: den)?|de(?: los| las| les)?|di|sur|su|van(?: de)?|z|ze|из|av|af) ?([0-9]{1,4})(?-u:\b)",
        )
    });
    let number = |found: Option<regex::Match<'_>>| found.and_then(|found| found.as_str().parse::<u32>().ok());
    SHARE.as_ref().is_some_and(|share| {
        share
            .captures_iter(clip(answer))
            .any(|groups| number(groups.get(1)).zip(number(groups.get(2))).is_some_and(|(part, all)| part < all))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strongest(answer: &str) -> Option<Admission> {
        [Admission::Apology, Admission::Inability, Admission::Problem].into_iter().find(|level| admits_failure(answer, *level))
    }

    #[test]
    fn every_expression_compiles() {
        for (latin, others) in [
            (APOLOGIES, APOLOGIES_OF_OTHER_SCRIPTS),
            (INABILITIES, INABILITIES_OF_OTHER_SCRIPTS),
            (PROBLEMS, PROBLEMS_OF_OTHER_SCRIPTS),
            (RESERVATIONS, RESERVATIONS_OF_OTHER_SCRIPTS),
        ] {
            assert!(any_of(latin, others).is_some(), "{latin:?}");
        }
    }

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
            ("The store keeps throttling our requests.", Some(Admission::Problem)),
            ("Two prices are done. I have stopped.", Some(Admission::Problem)),
        ] {
            assert_eq!(strongest(answer), level, "{answer}");
        }
    }

    #[test]
    fn inability_is_recognized_in_every_tense() {
        for answer in [
            "It hasn't been possible to open the file.",
            // Spanish, Portuguese, Italian
            "No he podido abrir el archivo.",
            "No hemos logrado conectar con el servidor.",
            "No lo conseguimos.",
            "No me deja entrar en la cuenta.",
            "Não foi possível abrir o arquivo.",
            "Não temos sucesso: não conseguimos abrir.",
            "Non sono riuscita ad aprire il file.",
            "Non abbiamo potuto aprirlo.",
            "Non è stato possibile collegarsi.",
            // French
            "Je n’ai pas pu ouvrir le fichier.",
            "Nous ne parvenons pas à joindre le serveur.",
            "Je ne l'ai pas encore pu vérifier, ce n'était pas possible.",
            "Je n'y suis pas parvenue.",
            // German, Dutch
            "Ich habe die Datei nicht öffnen können.",
            "Die Seite konnte heute wieder nicht geladen werden.",
            "Das habe ich nicht geschafft.",
            "Es ist mir nicht gelungen.",
            "Der Server ließ sich trotz mehrerer Versuche nicht erreichen.",
            "Ik heb het bestand niet kunnen openen.",
            "Het lukte me niet.",
            "We konden de pagina niet laden.",
            // Slavic languages
            "Nie udało mi się otworzyć pliku.",
            "Nie byłam w stanie tego sprawdzić.",
            "Мне не удалось открыть файл.",
            "Мы не смогли подключиться.",
            "Soubor se nepodařilo otevřít.",
            // Nordic languages, Turkish, Hungarian
            "Jag kunde tyvärr inte öppna filen.",
            "Jeg har ikke kunnet åpne filen.",
            "En voinut avata tiedostoa.",
            "Dosyayı açamadım, sayfaya ulaşılamadı ve bulamadım.",
            "Nem tudtam megnyitni a fájlt.",
            // East Asia
            "ファイルを開けませんでした。",
            "接続できなかったため、確認していません。",
            "我没能打开该文件。",
            "파일을 열지 못했습니다.",
            "연결할 수가 없었습니다.",
            "لم أتمكن من فتح الملف",
        ] {
            assert!(admits_failure(answer, Admission::Inability), "{answer}");
        }
        for answer in [
            "Ihre Bestellung können Sie bis morgen ändern.",
            "Puede recoger el paquete mañana.",
            "Vous pouvez venir demain.",
            "ご予約を確認しました。問題はありませんでした。",
            "모두 완료했습니다.",
            "Файл открыт и проверен.",
            "Możesz odebrać paczkę jutro.",
        ] {
            assert!(!admits_failure(answer, Admission::Inability), "{answer}");
        }
    }

    #[test]
    fn a_report_with_a_gap_names_a_share_or_what_is_left() {
        for answer in
            ["2 of 5 rows were written.", "3 von 7 Konten sind umgestellt.", "Row 9 still has the old value.", "まだ2件残っています。"]
        {
            assert!(may_report_a_gap(answer), "{answer}");
        }
        for answer in ["5 of 5 rows were written.", "All rows have the new value.", "7 von 7 Konten sind umgestellt."] {
            assert!(!may_report_a_gap(answer), "{answer}");
        }
    }
}
