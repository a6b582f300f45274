//! Tests of the whole redactor: traces, drafts, attribute names, hostile texts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use proptest::prelude::*;

use super::detect::{remaining_in, sample_literals};
use super::*;
use crate::limits::MODEL_NAME_CHARS_MAX;
use crate::model::{Attribute, Draft, Exception, Message, RejectionKind, Span, Stage, ToolUse, Trace};
use crate::runtime::{ConcurrencyPermit, Deadline};

fn redactor() -> Redactor {
    Redactor::new(RedactionKey::from_text("a key for tests only").unwrap())
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_mins(1))
}

fn redacted(text: &str) -> String {
    let mut text = text.to_owned();
    redactor().redact(&mut text);
    text
}

fn trace_of(texts: &[&str]) -> Trace {
    let attribute = |text: &&str| Attribute { key: "note".into(), value: (*text).to_owned() };
    Trace { spans: vec![Span { attributes: texts.iter().map(attribute).collect(), ..Span::default() }], ..Trace::default() }
}

#[test]
fn equal_values_get_equal_tokens() {
    let text = redacted("mail Ada@Example.com or ada@example.com, not bob@example.com");
    let tokens: Vec<_> = text.split(' ').filter(|word| word.contains("<EMAIL:")).map(|word| word.trim_matches(',')).collect();
    assert_eq!(tokens.len(), 3);
    assert_eq!(tokens[0], tokens[1]);
    assert_ne!(tokens[0], tokens[2]);
}

#[test]
fn a_short_secret_gets_a_token_without_suffix() {
    assert_eq!(redacted("password: \"x7Kp\""), "password: \"<PASSWORD>\"");
}

/// Drafts are redacted again, so the tables of a run cannot show whether analyzers saw raw text; this test does.
#[test]
fn every_text_of_a_trace_is_redacted_before_analysis() {
    const SECRET: &str = "ada@example.com";
    let text = || format!("for {SECRET} today");
    let span = Span {
        name: text(),
        status_message: Some(text()),
        exceptions: vec![Exception { kind: "E".into(), message: text(), stack: Some(text()) }],
        input: vec![Message { content: text(), ..Message::default() }],
        output_text: Some(text()),
        tool: Some(ToolUse { arguments: text(), result: Some(text()), ..ToolUse::default() }),
        attributes: vec![Attribute { key: text(), value: text() }],
        ..Span::default()
    };
    let trace = redactor().redact_trace(Trace { service: Some(text()), spans: vec![span], ..Trace::default() }, soon()).unwrap();
    let shown = format!("{trace:?}");
    assert!(!shown.contains(SECRET), "{shown}");
    assert_eq!(shown.matches("<EMAIL:").count(), 11, "{shown}");
}

#[test]
fn a_value_detected_in_one_text_is_replaced_in_the_whole_trace() {
    let trace = redactor()
        .redact_trace(
            trace_of(&["my name is Zyrqel Vantroba", "and Vantroba wrote; pw Kx7qpz2Lm", "login with password Kx7qpz2Lm"]),
            soon(),
        )
        .unwrap();
    let shown = format!("{:?}", trace.spans);
    for raw in ["Zyrqel", "Vantroba", "Kx7qpz2Lm"] {
        assert!(!shown.contains(raw), "{raw}: {shown}");
    }
}

#[test]
fn an_attribute_name_is_a_label_of_its_value() {
    let mut trace = trace_of(&["Zyrqel", "correct horse"]);
    trace.spans[0].attributes[0].key = "enduser.first_name".into();
    trace.spans[0].attributes[1].key = "db.password".into();
    let shown = format!("{:?}", redactor().redact_trace(trace, soon()).unwrap().spans);
    assert!(
        shown.contains("\"<PERSON:") && shown.contains("\"<PASSWORD:") && !shown.contains("Zyrqel") && !shown.contains("horse"),
        "{shown}"
    );
}

#[test]
fn locations_lose_credentials_and_keep_paths() {
    let redactor = redactor();
    assert_eq!(redactor.redact_location("/home/ada/traces/a.jsonl#L4"), "/home/ada/traces/a.jsonl#L4");
    let place = redactor.redact_location("https://host/a.jsonl?X-Amz-Signature=4f8e2a6b9c0d1e3f5a7b9c8d0e2f4a6b#L4");
    assert!(place.starts_with("https://host/a.jsonl?X-Amz-Signature=<") && place.ends_with(">#L4"), "{place}");
    let reason = redactor.redact_reason("cannot read /home/ada/a.jsonl#L1 for ada@mail.example", "/home/ada/a.jsonl");
    assert!(reason.starts_with("cannot read /home/ada/a.jsonl#L1 for <EMAIL:"), "{reason}");
}

fn draft(summary: &str) -> Draft {
    Draft::sample(summary)
}

#[test]
fn a_draft_that_contains_a_value_of_its_trace_is_rejected() {
    let redactor = redactor();
    let trace =
        redactor.redact_trace(trace_of(&["user Zyrqel Vantroba <z.vantroba@mail.example> has password walnutHarbor675"]), soon()).unwrap();
    let clean = redactor.check_draft(trace.unchecked(draft("The login failed for <PERSON:1a2b3c>."), ConcurrencyPermit::default()));
    assert!(clean.is_ok(), "{clean:?}");
    let leaking = redactor.check_draft(trace.unchecked(draft("It failed for walnutHarbor675, twice."), ConcurrencyPermit::default()));
    let rejection = leaking.unwrap_err();
    assert_eq!((rejection.stage, rejection.kind), (Stage::Redact, RejectionKind::SensitiveText));
    assert!(!rejection.reason.contains("walnut"), "{}", rejection.reason);
    let named = Draft { service: Some("box of walnutHarbor675".into()), ..draft("It failed.") };
    assert_eq!(redactor.check_draft(trace.unchecked(named, ConcurrencyPermit::default())).unwrap_err().kind, RejectionKind::SensitiveText);
}

#[test]
fn without_excerpts_only_signals_remain() {
    let trace = redactor().redact_trace(trace_of(&["nothing"]), soon()).unwrap();
    let mut draft = draft("It failed.");
    let excerpts = draft.evidence.iter().filter(|evidence| evidence.excerpt.is_some()).count();
    draft.evidence.push(crate::model::Evidence {
        signal: Some("http_status=429".into()),
        excerpt: Some("too many".into()),
        ..draft.evidence[0].clone()
    });
    assert!(excerpts > 0);
    let draft = redactor().without_excerpts().check_draft(trace.unchecked(draft, ConcurrencyPermit::default())).unwrap().item;
    assert!(draft.evidence.iter().all(|evidence| evidence.excerpt.is_none()), "{:?}", draft.evidence);
    assert!(draft.evidence.iter().any(|evidence| evidence.signal.as_deref() == Some("http_status=429")));
}

#[test]
fn canaries_are_all_detected_and_removed() {
    let counts = Arc::new(CanaryCounts::default());
    let trace = redactor().with_canaries(Arc::clone(&counts)).redact_trace(trace_of(&["plain"]), soon()).unwrap();
    assert!(counts.planted() > 10 && counts.found() == counts.planted(), "{counts:?}");
    assert_eq!(trace.spans[0].attributes.len(), 1);
}

#[test]
fn redacting_twice_changes_nothing() {
    let once = redacted(
        "ada@example.com, +49 30 901820, 4111 1111 1111 1111, 10.20.4.17 DE89370400440532013000 078-05-1120 password=Kx7qpz2Lm \
         \"phone\": \"981 38 978\" my name is Zyrqel Vantroba, passport no. V03893827, ship to 659 Jennifer Circles, Allenville, OH 18385.",
    );
    assert_eq!(redacted(&once), once);
    let headers = redacted(concat!(
        "headers: {'Authorization': 'Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJjdXNfODg0MiJ9.c2lnbmF0dXJlMTIz', ",
        "'X-Api-Key': 'sk_li",
        "ve_fTMcFTn4wokZ8BWep9ckwAq5'}; env: SECRET_KEY=V45gO/V+RrwlIM5dcJjWpwIqulpwIKak99neEC7C TOKEN=x"
    ));
    assert_eq!(redacted(&headers), headers);
    for kind in ["EMAIL", "PHONE", "CREDIT_CARD", "IP", "IBAN", "SSN", "PASSWORD", "PERSON", "PASSPORT", "ADDRESS"] {
        assert!(once.contains(&format!("<{kind}:")), "{kind} in {once}");
    }
}

#[test]
fn brackets_and_token_lookalikes_hide_nothing() {
    let values = ["DE89370400440532013000", "4111111111111111", "ada@example.com", concat!("AKIA", "33TAPR3H64BVAQRP")];
    for value in values {
        for (open, close) in [
            ("<", ">"),
            ("<EMAIL:", ">"),
            ("<IBAN:1a2b3c ", ">"),
            ("<X:", ":1a2b3c>"),
            ("<<", ">>"),
            ("&lt;", "&gt;"),
            ("[", "]"),
            ("{", "}"),
            ("\\u003c", "\\u003e"),
            ("<![CDATA[", "]]>"),
        ] {
            let text = redacted(&format!("x {open} {value} {close}, {open}{value}{close}"));
            assert!(!text.contains(value), "{text}");
            assert_eq!(redacted(&text), text);
            assert!(!remaining_in(&format!("{open}{value}{close}"), &CustomDetectors::default()).is_empty(), "{open}{value}{close}");
        }
    }
}

#[test]
fn a_long_value_is_replaced_everywhere() {
    let value = format!("{}{}", "k7Qx9Zm2".repeat(90), "end5");
    let text = redacted(&format!("token = '{value}' then '{value}' and most of '{}'", value.replace("end5", "and more")));
    assert!(text.matches("<GENERIC_SECRET:").count() == 3 && !text.contains("k7Qx"), "{text}");
    let key =
        format!("-----BEGIN RSA PRIVATE KEY-----\n{}", "MIIEpAIBAAKCAQEA7Qx9Zm2k7Qx9Zm2k7Qx9Zm2k7Qx9Zm2k7Qx9Zm2k7Qx9Zm2k\n".repeat(300));
    assert_eq!(redacted(&format!("{key}-----END RSA PRIVATE KEY-----")).matches("k7Qx").count(), 0);
    assert_eq!(redacted(&key).matches("k7Qx").count(), 0);
}

#[test]
fn values_in_ids_are_replaced_and_generated_ids_stay() {
    let span = |id: &str, parent: Option<&str>| Span {
        span_id: id.into(),
        parent_span_id: parent.map(Into::into),
        attributes: vec![Attribute { key: "note".into(), value: "my name is Zyrqel Vantroba".into() }],
        ..Span::default()
    };
    let trace = Trace {
        trace_id: "chat/ada@example.com".into(),
        spans: vec![
            span("4111 1111 1111 1111", None),
            span("6f412e510c8b3906", Some("4111 1111 1111 1111")),
            span("step-Vantroba-2", None),
        ],
        ..Trace::default()
    };
    let trace = redactor().redact_trace(trace, soon()).unwrap();
    assert!(trace.trace_id.starts_with("chat/<EMAIL:"), "{}", trace.trace_id);
    assert_eq!(trace.spans[1].span_id, "6f412e510c8b3906");
    assert_eq!(trace.spans[1].parent_span_id.as_ref(), Some(&trace.spans[0].span_id));
    assert!(
        trace.spans[0].span_id.starts_with("<CREDIT_CARD:") && trace.spans[2].span_id.starts_with("step-<PERSON:"),
        "{:?}",
        trace.spans
    );
    assert_eq!(redactor().redact_reference("chat/ada@example.com", false), trace.trace_id);
}

#[test]
fn values_in_nested_attribute_names_are_replaced() {
    let attribute = |key: &str| Attribute { key: key.into(), value: "x".into() };
    let keys = [
        "metadata.4111111111111111.name",
        "meta.DE89370400440532013000",
        "tags.ada@example.com.count",
        "bob@mail.example.0.x",
        "gen_ai.request.model",
    ];
    let span = Span { attributes: keys.iter().map(|key| attribute(key)).collect(), ..Span::default() };
    let trace = redactor().redact_trace(Trace { spans: vec![span], ..Trace::default() }, soon()).unwrap();
    let shown: Vec<&str> = trace.spans[0].attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    for (key, raw) in shown.iter().zip(["4111", "DE89", "ada@", "bob@"]) {
        assert!(!key.contains(raw), "{key}");
    }
    assert!(shown[0].starts_with("metadata.<CREDIT_CARD:") && shown[0].ends_with(">.name") && shown[4] == keys[4], "{shown:?}");
}

#[test]
fn a_part_of_a_long_value_is_replaced() {
    let value: String = (0..90).map(|number| format!("{:x}", number * 7919 % 65_521)).collect::<Vec<_>>().join("Z");
    let piece = |from: usize, to: usize| value.get(from..to).unwrap();
    let text = redacted(&format!("password: '{value}' was cut in the log: {}… twice {}", piece(40, 160), piece(10, 240)));
    assert!(!text.contains(piece(60, 120)), "{text}");
    assert_eq!(text.matches("<PASSWORD:").count() + text.matches("<GENERIC_SECRET:").count(), 3, "{text}");
}

#[test]
fn every_column_of_a_row_is_checked() {
    let trace = redactor().redact_trace(trace_of(&["my name is Zyrqel Vantroba"]), soon()).unwrap();
    let checked = |change: fn(&mut Draft)| {
        let mut draft = Draft::sample("harmless");
        change(&mut draft);
        redactor().check_draft(trace.unchecked(draft, ConcurrencyPermit::default()))
    };
    assert!(checked(|_| {}).is_ok());
    for change in [
        (|draft| draft.trace_id = "run of Vantroba".into()) as fn(&mut Draft),
        |draft| draft.trace_id = "ada@example.com".into(),
        |draft| draft.evidence[0].span_id = Some("<DE89370400440532013000>".into()),
        |draft| draft.service = Some("<IBAN:DE89370400440532013000>".into()),
        |draft| draft.environment = Some("of Vantroba".into()),
    ] {
        assert_eq!(checked(change).unwrap_err().kind, RejectionKind::SensitiveText);
    }
    // The model name reported by a server is redacted and truncated.
    let draft = checked(|draft| draft.model = format!("model of ada@example.com {}", "x".repeat(500))).unwrap().item;
    assert!(draft.model.contains("<EMAIL:") && draft.model.chars().count() == MODEL_NAME_CHARS_MAX, "{}", draft.model);
}

#[test]
fn redaction_ends_at_its_deadline() {
    let text = "password:key=".repeat(300_000);
    let start = Instant::now();
    let result = redactor().redact_trace(trace_of(&[&text, &text.replace("key", "pwd")]), Deadline::after(Duration::from_millis(100)));
    assert!(result.is_err());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn ids_versions_and_error_texts_are_unchanged() {
    for text in [
        "43993eadc22e5ed0f9a1cc2e01626425",
        "019ab0c8-1c2d-7e3f-8a9b-0c1d2e3f4a5b",
        "gpt-4o-mini-2024-07-18",
        "Error code: 429 - Limit 30000, Used 28914, Requested 2381. Please try again in 2.59s.",
        "1795424023443017575",
        "2026-11-23T09:08:46.449940+00:00",
        "File \"/app/.venv/lib/python3.11/site-packages/openai/_base_client.py\", line 1248, in request",
        "call_AWUv6cyBPkjDYC2p7ludSJHq chatcmpl-zCHEmN7XDAzRxnjbMmQThwInDETMD",
        "openai==3.54.0 version 1.2.3.4.5 @property torch.float32 O(n)",
        "run_id=c42287dd-5205-4e3d-a344-d5fe578c33aa session=01JDKQEFNZAT8SMCJGAVS2HJFD traceparent: 00-499c0f370177ae7c0889fe34df2c4719-6f412e510c8b3906-01",
        "{\"name\": \"lookup_order\", \"arguments\": {\"order_id\": \"ORD-1386603\"}}",
        "max_tokens: 40855, temperature: 0.7, partition_key: region, tokenizer: cl100k_base, api_key=os.environ[\"OPENAI_API_KEY\"]",
    ] {
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn time_grows_linearly_with_the_length_of_a_hostile_text() {
    for part in [
        "4 ",
        "a@",
        "phone,",
        "| phone ",
        "{\"password\":",
        "phone\t",
        "password ",
        "password:",
        "pwd=",
        "-----BEGIN RSA PRIVATE KEY-----\n",
        "PuTTY-User-Key-File-2: ",
        "hf_=",
        "Basic \n",
        "sk-",
        "<EMAIL:",
        "(phone,",
        "name</th>",
        "<table><tr><td>password",
        "name,card,",
        "AAAAAAAAAAAAAAAAAAAAAAA/",
        "aGVsbG8gd29ybGQgYW5kIGFsbCB0aGUgcmVzdCBvZiBpdCwgd2hpY2ggZ29lcyBvbiBhbmQgb24g\n",
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        "\\\\",
        "%25",
        "name,name\n",
        "Aa ",
        "&#x",
        "<th>name</th>",
        "12, Ab ",
        "=\n",
        "my name is ",
        "key: key: ",
    ] {
        let time = |times: usize| {
            let text = part.repeat(times);
            let start = thread_seconds();
            redacted(&text);
            thread_seconds() - start
        };
        time(100);
        let (short, long) = (time(32_000 / part.len()), time(256_000 / part.len()));
        assert!(long < 0.2 + 16.0 * short, "{part:?}: {short} s, then {long} s for eight times the text");
    }
}

/// CPU time of this thread in seconds, which is independent of other load on the machine.
pub(super) fn thread_seconds() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// Repeats a literal of each table entry, followed by each of many suffixes.
#[test]
#[ignore = "takes two minutes"]
fn no_repeated_literal_takes_superlinear_time() {
    const SUFFIXES: [&str; 22] =
        ["", " ", ",", ":", "=", "\n", "|", "\t", "\"", "(", "-", ">", "</th>", "': '", ": \"", " is ", "=a1", "\\", "/", "@", ".", ":1 "];
    let redactor = redactor();
    let time = |part: &str, bytes: usize| {
        let mut text = part.repeat(bytes / part.len() + 1);
        let start = thread_seconds();
        redactor.redact(&mut text);
        thread_seconds() - start
    };
    let mut slow = Vec::new();
    for literal in sample_literals() {
        // Expressions are compiled when their literal first occurs; this must not be measured.
        time(&literal, 1_000);
        for part in SUFFIXES.map(|c| format!("{literal}{c}")) {
            slow.push((time(&part, 8_000), time(&part, 64_000), part));
        }
    }
    // The CPU clock has a resolution of a few milliseconds.
    slow.retain(|(short, long, _)| *long > 0.1 + 16.0 * short);
    assert!(slow.is_empty(), "seconds for a text, for eight times the text: {slow:?}");
}

/// Mutates and splices the samples of all detectors for half a minute: no panic, and replacements in order, at character boundaries and
/// without overlaps.
#[test]
#[ignore = "takes half a minute"]
fn fuzzed_texts_are_redacted_in_order() {
    let redactor = redactor();
    let mut seeds: Vec<String> = PLANTED.iter().map(|(value, carrier)| carrier.replace("{}", value)).collect();
    for table in [
        include_str!("detect/rules/labels/identity.toml"),
        include_str!("detect/rules/labels/credentials.toml"),
        include_str!("detect/rules/secrets.toml"),
        include_str!("detect/rules/cues.txt"),
    ] {
        seeds.extend(table.lines().map(|line| line.replace('␣', "")));
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    let start = std::time::Instant::now();
    let mut count = 0;
    while start.elapsed().as_secs() < 30 {
        let mut characters: Vec<char> = Vec::new();
        for _ in 0..=random(4) {
            let seed: Vec<char> = seeds[random(seeds.len())].chars().collect();
            let (from, to) = (random(seed.len()), random(seed.len() + 1));
            characters.extend(&seed[from.min(to)..from.max(to)]);
            characters.push(['\n', ' ', '"', '\\', '|', ',', '<', '%', '\u{200b}', '松', '='][random(11)]);
        }
        for _ in 0..random(6) {
            let at = random(characters.len());
            match random(4) {
                0 => drop(characters.remove(at)),
                1 => characters.insert(at, char::from_u32(u32::try_from(random(0x3000)).unwrap()).unwrap_or('x')),
                2 => characters[at] = char::from(u8::try_from(random(128)).unwrap()),
                _ => characters.truncate(at + 1),
            }
            if characters.is_empty() {
                characters.push('a');
            }
        }
        let original: String = characters.into_iter().collect();
        let mut text = original.clone();
        let one = std::time::Instant::now();
        let findings = redactor.redact(&mut text);
        assert!(one.elapsed().as_secs() < 2, "{original:?}");
        let mut end = 0;
        for finding in &findings {
            assert!(finding.range.start >= end && original.get(finding.range.clone()).is_some(), "{original:?}: {findings:?}");
            end = finding.range.end;
        }
        count += 1;
    }
    assert!(count > 1000, "only {count} texts");
}

const PLANTED: [(&str, &str); 12] = [
    ("ada.lovelace@example.com", "{}"),
    ("4111 1111 1111 1111", "{}"),
    ("078-05-1120", "{}"),
    ("DE89 3704 0044 0532 0130 00", "{}"),
    ("(415) 555-0142", "{}"),
    (concat!("ghp_", "3JD61rztPeHmI1g6pD96mjTwnxv9aLqmlCEV"), "{}"),
    (concat!("AKIA", "33TAPR3H64BVAQRP"), "{}"),
    ("192.168.17.4", "{}"),
    ("Marguerite Oyelaran", "my name is {} ok"),
    ("walnutHarbor675", "password: {} ok"),
    ("659 Jennifer Circles, Allenville, OH 18385", "ship it to {}. Thanks"),
    ("V03893827", "passport no. {} here"),
];

fn encoded(text: &str, how: usize) -> String {
    match how {
        0 => text.to_owned(),
        1 => serde_json::json!({"content": text}).to_string(),
        2 => serde_json::json!({"outer": serde_json::json!({"content": text}).to_string()}).to_string(),
        3 => url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20"),
        4 => base64::engine::general_purpose::STANDARD.encode(text),
        5 => text.chars().flat_map(|c| [c, '\u{200b}']).collect(),
        6 => crate::model::hex(text.as_bytes()),
        _ => text.chars().map(|c| if c.is_alphanumeric() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }).collect(),
    }
}

proptest! {
    #[test]
    fn no_planted_value_survives(before in "[a-z ]{0,40}", after in "[a-z ]{0,40}", index in 0usize..12, how in 0usize..8) {
        let (value, carrier) = PLANTED[index];
        let plain = format!("{before}\n{}\n{after}", carrier.replace("{}", value));
        let text = redacted(&encoded(&plain, how));
        for other in 0..8 {
            prop_assert!(!text.contains(&encoded(value, other)), "{} as {}: {}", value, how, text);
        }
    }

    #[test]
    fn any_text_can_be_redacted(text in "\\PC{0,200}") {
        redacted(&text);
    }

    #[test]
    fn any_text_of_punctuation_and_hex_can_be_redacted(text in "[-0-9a-fA-Z<>:=|,;.\"'\\\\%&@/ \n\u{3042}é]{0,200}") {
        let once = redacted(&text);
        redacted(&once);
    }
}

#[test]
fn a_user_has_the_same_token_wherever_the_id_stands_and_in_any_form() {
    let attribute = |key: &str, value: &str| Attribute { key: key.into(), value: value.into() };
    let redacted = |resource: Vec<Attribute>, attributes: Vec<Attribute>| {
        let trace = Trace { resource, spans: vec![Span { attributes, ..Span::default() }], ..Trace::default() };
        redactor().redact_trace(trace, soon()).unwrap()
    };
    let expected = redacted(vec![attribute("user.id", "ada@example.com")], Vec::new());
    let token = expected.user.clone().unwrap();
    assert!(token.starts_with("<USER:") && token.len() == "<USER:1a2b3c>".len(), "{token}");
    assert_eq!((expected.resource[0].value.as_str(), expected.session.as_deref()), (token.as_str(), None));
    for key in ["enduser.id", "metadata.user_id", "langsmith.metadata.user_id", "ai.telemetry.metadata.userId", "tags.user_id"] {
        let found = redacted(Vec::new(), vec![attribute(key, "ada@example.com"), attribute("session.id", "ada@example.com")]);
        assert_eq!(found.user.as_ref(), Some(&token), "{key}");
        assert!(found.session.as_ref().is_some_and(|session| session.starts_with("<SESSION:")), "{:?}", found.session);
    }
    assert_eq!(redacted(vec![attribute("user.id", &token)], Vec::new()).user.as_ref(), Some(&token), "a token stays");
    assert_eq!(redacted(Vec::new(), vec![attribute("user.id", "anonymous")]).user, None);
}

#[test]
fn values_of_the_resource_are_redacted_and_do_not_change_the_digest() {
    let resource = vec![
        Attribute { key: "service.version".into(), value: "1.4.2".into() },
        Attribute { key: "service.instance.id".into(), value: "host of ada@example.com".into() },
    ];
    let with = Trace { resource, spans: vec![Span { cost_usd: Some(0.5), ..Span::default() }], ..Trace::default() };
    let without = Trace { spans: vec![Span::default()], ..Trace::default() };
    assert_eq!(with.digest(), without.digest());
    let redacted = redactor().redact_trace(with, soon()).unwrap();
    assert_eq!(redacted.resource[0].value, "1.4.2");
    assert!(redacted.resource[1].value.starts_with("host of <EMAIL:"), "{}", redacted.resource[1].value);
}
