//! The sentences of validators, binders and applications about a field that broke a schema.
//!
//! The table has, for each wording, the problem and an expression with the groups `f` (the field), `e` (what is expected), `g` (what was given) and
//! `t` (the type of what was given). The first that matches wins, so that exact formats stand before loose ones.

use std::sync::LazyLock;

use super::super::byte_regex::{ByteRegex, Captures};

use super::violation::{Problem, Violation};

/// One wording.
struct Wording {
    problem: Problem,
    expression: ByteRegex,
    /// Whether the field must be known, or look like an identifier: ordinary words match as well.
    is_loose: bool,
}

/// A macro, because expressions share pieces and must be literals.
macro_rules! name {
    () => {
        r"(?P<f>[A-Za-z_$][A-Za-z0-9_.$\[\]-]{0,79})"
    };
}
macro_rules! value {
    () => {
        r#"(?P<g>'[^'\n]{0,160}'|"[^"\n]{0,160}"|-?[0-9][0-9.eE+-]{0,30}|None|True|False|null|\[[^\]\n]{0,120}\]|\{[^}\n]{0,120}\})"#
    };
}

/// The first line of an error of Pydantic has the path, the second the message and, in brackets, the type and the input.
const PYDANTIC: &str = concat!(
    r"(?m)^[ ]{0,2}(?P<f>[A-Za-z0-9_$-][^\n:{}]{0,119})\n\s{1,6}(?P<m>[A-Za-z\[][^\n]{2,240}?)\s{0,3}",
    r"(?:\[type=(?P<k>[A-Za-z0-9_]+)(?:, input_value=(?P<g>[^\n]{0,240}?), input_type=(?P<t>[A-Za-z0-9_]+))?\]|\(type=(?P<k1>[A-Za-z0-9_.]+)(?:; given=(?P<g1>[^;)\n]{0,80}))?[^)\n]{0,200}\)|$)",
);

// One line for each wording.
#[rustfmt::skip]
static WORDINGS: LazyLock<Vec<Wording>> = LazyLock::new(|| {
    use Problem::{Invalid, Missing, Unexpected};
    let exact = |problem: Problem, text: &'static str| Wording { problem, expression: ByteRegex::new(text), is_loose: false };
    let loose = |problem: Problem, text: &'static str| Wording { problem, expression: ByteRegex::new(text), is_loose: true };
    vec![
        // Missing: Python, jsonschema, Ajv, serde, msgspec, .NET, Go, Java, boto3, Rails.
        exact(Missing, concat!(r#"(?i)missing (?:a |[0-9]{1,3} )?required (?:positional |keyword-only )?arguments?:? ["'`]"#, name!())),
        exact(Missing, concat!(r#"["'`]"#, name!(), r#"["'`] is a required (?:property|argument|parameter|field)"#)),
        exact(Missing, concat!(r#"(?i)(?:must|should) have required propert(?:y|ies) ["'`]?\.?"#, name!())),
        exact(Missing, concat!(r#"(?i)missing (?:required )?(?:creator )?(?:field|propert(?:y|ies)|key|key\(s\)|keys)(?: including)?:? \[?["'`]"#, name!())),
        exact(Missing, concat!(r#"(?i)was missing required properties including: ["'`]"#, name!())),
        exact(Missing, concat!(r#"(?i)required (?:property|argument|parameter|field|input|option|key):? ["'`]"#, name!(), r#"["'`] (?:is |was )?(?:not |missing|absent)"#)),
        exact(Missing, concat!(r#"(?i)missing a value for the required parameter ["'`]"#, name!())),
        exact(Missing, concat!(r#"(?i)validation for ["']"#, name!(), r#"["'] failed on the ["']required["'] tag"#)),
        exact(Missing, concat!(r"\$\.?", name!(), r": is missing but it is required")),
        exact(Missing, concat!(r"(?i)param is missing or the value is empty(?: or invalid)?: ", name!())),
        exact(Missing, concat!(r#"["']"#, name!(), r#"["']: \[\s?["'](?:Missing data for required field|This field is required|This field may not be (?:blank|null)|can't be blank)"#)),
        exact(Missing, concat!(r"(?m)^[^A-Za-z0-9_\n]{0,5}", name!(), r": (?:Required|Field required|[Ff]ield is required|[Mm]issing required [A-Za-z0-9_]{1,12}|must have required property)\W{0,3}$")),
        exact(Missing, concat!(r#"Required at ["']"#, name!())),
        exact(Missing, concat!(r#"received undefined[^\n]{0,3}(?:\n\s{0,6}→)? at ["']?"#, name!())),
        exact(Missing, concat!(r#"(?i)expected ["'`]"#, name!(), r#"["'`] but received undefined"#)),
        exact(Missing, concat!(r#"(?i)(?:missing|absent|requires?|lacks|without) (?:the |a |an )?(?:required |mandatory )?(?:input |tool |function |query )?(?:argument|parameter|param|field|property|input|value|option)s?(?: for function parameter| in input| value)?\s?[:=]?\s?\[?["'`]"#, name!())),
        exact(Missing, concat!(r#"(?i)(?:argument|parameter|param|field|property|input|key) ["'`]"#, name!(), r#"["'`] (?:is |was )?(?:required|missing|mandatory|not provided|not set|cannot be (?:empty|null|blank)|must be (?:provided|set|specified|given|present))"#)),
        exact(Missing, concat!(r#"(?:缺少|缺失|未提供)(?:必需|必填|必要|必须)?(?:的)?(?:参数|字段)?[:： ]{0,2}["'`「“]?"#, name!())),
        exact(Missing, concat!(r#"(?:参数|字段)\s?["'`「“]?"#, name!(), r#"["'`」”]?\s?(?:不能为空|为空|缺失|必填|是必需的)"#)),
        // Unexpected.
        exact(Unexpected, concat!(r#"(?i)unexpected keyword arguments? ["'`]"#, name!())),
        exact(Unexpected, concat!(r#"(?i)additional properties are not allowed \(["'`]"#, name!())),
        exact(Unexpected, concat!(r#"(?i)additionalProperties ["'`]?"#, name!(), r#"["'`]?(?:, ["'`][A-Za-z0-9_.$-]{1,80}["'`]){0,10} not allowed"#)),
        exact(Unexpected, concat!(r#"(?i)(?:unknown|unrecognized|unsupported|invalid|unexpected|extra) (?:additional )?(?:field|key\(s\) in object|keys?|arguments?|parameters?|param|name|propert(?:y|ies)|option|input)(?: in input)?\s?[:=]?\s?\[?["'`]"#, name!(), r#"["'`]?\]?(?:, (?:expected|must be) one of:? (?P<e>[^\n]{1,160}?)(?: at line|\.?$|\n))?"#)),
        exact(Unexpected, concat!(r"(?i)arg(?:ument)? ", name!(), r" is not in the tool.s (?:args|input schema)")),
        exact(Unexpected, concat!(r"\$\.", name!(), r": is not defined in the schema")),
        exact(Unexpected, concat!(r#"["']"#, name!(), r#"["']: \[\s?["']Unknown field"#)),
        // Invalid: msgspec, jsonschema, networknt, Go, Jackson, .NET, serde, Zod, Valibot, smolagents, boto3.
        exact(Invalid, concat!(r"Expected `(?P<e>[^`\n]{1,80})`(?: [<>=]{1,2} [0-9.]{1,20})?(?:, got `(?P<t>[^`\n]{1,80})`)?(?: - at `\$\.?", name!(), "`)?")),
        exact(Invalid, concat!(r"Invalid enum value ", value!(), r"(?: - at `\$\.?", name!(), "`)?")),
        exact(Invalid, concat!(value!(), r"\s{1,3}is not of type (?P<e>'[A-Za-z0-9_]{1,20}'(?:, '[A-Za-z0-9_]{1,20}'){0,5})")),
        exact(Invalid, concat!(value!(), r"\s{1,3}is not one of (?P<e>\[[^\]\n]{0,200}\])")),
        exact(Invalid, concat!(value!(), r#"\s{1,3}does not match (?P<e>'[^'\n]{1,120}'|"[^"\n]{1,120}")"#)),
        exact(Invalid, concat!(value!(), r"\s{1,3}is (?:less than|greater than) (?P<e>(?:or equal to )?the (?:minimum|maximum) of -?[0-9.]{1,30})")),
        exact(Invalid, concat!(value!(), r"\s{1,3}is not a '(?P<e>date|date-time|time|email|uri|uuid|hostname|ipv4|ipv6|regex|duration)'")),
        exact(Invalid, concat!(r#"(?i)argument ["'`]?"#, name!(), r#"["'`]? has type ["'`]?(?P<t>[A-Za-z0-9_]{1,40})["'`]? but should be ["'`]?(?P<e>[A-Za-z0-9_]{1,40})"#)),
        exact(Invalid, concat!(r"(?i)parameter `", name!(), r"` type is expected as `(?P<e>[A-Za-z0-9_]{1,40})` but provided as `(?P<t>[A-Za-z0-9_]{1,40})`")),
        exact(Invalid, r"cannot unmarshal (?P<t>[A-Za-z0-9_]{1,20})(?: (?P<g>[0-9.]{1,20}))? into Go (?:struct field (?:[A-Z][A-Za-z0-9_]{0,40}\.)?(?P<f>[A-Za-z0-9_.]{1,80})|value) of type (?P<e>[A-Za-z0-9_.\[\]*]{1,60})"),
        exact(Invalid, r#"annot deserialize (?:value|instance) of (?:type )?[`'](?P<e>[A-Za-z0-9_.$<>]{1,80})[`'] (?:from|out of) (?P<t>[A-Za-z0-9_]{1,20})(?: value)?(?: (?P<g>"[^"\n]{0,120}"))?"#),
        exact(Invalid, concat!(r"could not be converted to (?P<e>[A-Za-z0-9_.`\[\]]{1,80})\. Path: \$\.", name!())),
        exact(Invalid, concat!(r"\$\.", name!(), r": (?P<t>[A-Za-z0-9_]{1,20}) found, (?P<e>[A-Za-z0-9_]{1,20}) expected")),
        exact(Invalid, concat!(r"\$\.", name!(), r": does not have a value in the enumeration (?P<e>\[[^\]\n]{1,160}\])")),
        exact(Invalid, concat!(r"(?:", name!(), r#": )?invalid (?:type|value): (?P<t>[A-Za-z0-9_]{1,20}(?: point)?)(?: (?P<g>"[^"\n]{0,120}"|`[^`\n]{0,120}`))?, expected (?P<e>[^\n]{1,100}?)(?: at line|\.?$|\n)"#)),
        exact(Invalid, concat!(r"(?:", name!(), r": )?unknown variant `(?P<g>[^`\n]{0,120})`, expected (?:one of )?(?P<e>[^\n]{1,160}?)(?: at line|\.?$|\n)")),
        exact(Invalid, concat!(r#"(?i)(?:^|[\s("'\[-])[`"']?/?"#, name!(), r#"[`"']?: (?:invalid input: |invalid type: )?expected (?P<e>[A-Za-z0-9_ '"|-]{1,100}?),? (?:but )?(?:received|got) (?P<t>[A-Za-z0-9_]{1,40})"#)),
        exact(Invalid, r#"(?i)invalid type: expected (?P<e>[^\n]{1,80}?) but received (?P<g>"[^"\n]{0,120}"|[A-Za-z0-9_.-]{1,40})"#),
        exact(Invalid, concat!(r#"(?i)expected (?P<e>[A-Za-z0-9_ '"|-]{1,100}?),? (?:but )?(?:received|got) (?P<t>[A-Za-z0-9_]{1,40})(?:(?:\n\s{0,6}→)? at ["']?"#, name!(), ")?")),
        exact(Invalid, concat!(r"validating /properties/", name!(), r#": type: (?P<g>[^\n]{0,80}?) has type "(?P<t>[A-Za-z0-9_]{1,20})", want "(?P<e>[A-Za-z0-9_]{1,20})""#)),
        exact(Invalid, concat!(r"Invalid type for parameter ", name!(), r", value: (?P<g>[^,\n]{0,160}), type: <class '(?P<t>[A-Za-z0-9_.]{1,40})'>, valid types: <class '(?P<e>[A-Za-z0-9_.]{1,40})'>")),
        exact(Invalid, concat!(r"Invalid (?:length|range) for parameter ", name!(), r", value: (?P<g>[^,\n]{0,160}), (?P<e>valid (?:min|max) (?:length|value): [0-9.]{1,20})")),
        exact(Invalid, concat!(r#"["']"#, name!(), r#"["']: \[\s?["'](?:Not a valid (?P<e>[A-Za-z0-9_ -]{1,60})|Must be (?P<e1>[^"'\n]{1,120}?)|Invalid (?P<e2>[A-Za-z0-9_ -]{1,60}?)|A (?P<e3>valid [A-Za-z0-9_ -]{1,60}) is required)\."#)),
        exact(Invalid, concat!(r#"(?i)validation for ["']"#, name!(), r#"["'] failed on the ["'](?P<e>[A-Za-z0-9_]{1,30})["'] tag"#)),
        exact(Invalid, concat!(r#"(?m)(?:^|[\s:;,"'(\[])(?:data|params|args|input|arguments|instance|body|\(root\))?[/.]"#, r"(?P<f>[A-Za-z_][A-Za-z0-9_/.$\[\]-]{0,79}) (?:must|should) (?:be |match |NOT )?(?P<e>[^\n,;\]]{2,120})")),
        exact(Invalid, concat!(r"got multiple values for (?:keyword )?argument '", name!(), "'")),
        exact(Invalid, r"invalid literal for (?P<e>[A-Za-z0-9_]{1,20})\(\) with base [0-9]{1,2}: (?P<g>'[^'\n]{0,160}')"),
        exact(Invalid, r"could not convert string to (?P<e>float|int): (?P<g>'[^'\n]{0,160}')"),
        exact(Invalid, r"time data (?P<g>'[^'\n]{0,160}') does not match format (?P<e>'[^'\n]{1,80}')"),
        exact(Invalid, r"Invalid (?P<e>isoformat) string: (?P<g>'[^'\n]{0,160}')"),
        exact(Invalid, r#"(?i)for input string: (?P<g>"[^"\n]{0,160}")"#),
        exact(Invalid, r"Text (?P<g>'[^'\n]{0,160}') could not be parsed"),
        exact(Invalid, concat!(r#"(?i)(?:invalid|bad|illegal|unsupported|unknown) (?:value|input|choice):? ["'`](?P<g>[^"'`\n]{0,160})["'`] (?:for|of|in) (?:the )?(?:argument |parameter |param |field |property |option )?["'`]?"#, name!(), r#"["'`]?(?:[.:;,]{0,2} \(?(?:expected|must be|choose from|allowed(?: values)?(?: are)?:?|valid (?:values|options)(?: are)?:?|should be|use) (?:one of:? )?(?P<e>[^\n)]{1,160}))?"#)),
        exact(Invalid, concat!(r#"(?i)(?:invalid|bad|illegal) (?:arguments?|parameters?|params?|input|values?): ["'`]?"#, name!(), r#"["'`]? (?:must|should) (?:be |match |have )?(?P<e>[^\n;"']{2,120}?)(?:[.;]|$|\n| \()"#)),
        exact(Invalid, concat!(r#"(?i)(?:unable to|could not|cannot|failed to) parse (?:the )?"#, name!(), r#": ["'`]?(?P<g>[^"'`\n]{1,120})"#)),
        // Sentences of applications.
        loose(Missing, concat!(r#"(?i)(?:missing|absent|requires?|lacks|without) (?:the |a |an )?(?:required |mandatory )?(?:input |tool |function |query )?(?:argument|parameter|param|field|property)s?(?: in input| value)?\s?[:=]?\s?["'`]?"#, name!())),
        loose(Missing, concat!(r#"(?i)(?:required|mandatory) (?:argument|parameter|param|field|property|input) "#, name!(), r" (?:is |was )?(?:missing|not )")),
        loose(Missing, concat!(r#"(?i)(?:^|[\s:.("'`])["'`]?"#, name!(), r#"["'`]? (?:is|are) (?:required|missing|mandatory|a required)"#)),
        loose(Missing, concat!(r#"(?i)(?:^|[\s:.("'`])["'`]?"#, name!(), r#"["'`]? (?:must not|may not|cannot|can't|should not) be (?:empty|null|blank|undefined|none)"#)),
        loose(Invalid, concat!(r#"(?i)(?:^|[\s:.("'`])["'`]?"#, name!(), r#"["'`]? (?:must|should|has to|needs to) be (?P<e>[^\n;"']{2,120}?),? (?:but|not|got|received|and) (?:was|is|were|got|received|given|it was)? ?(?P<g>'[^'\n]{1,160}'|"[^"\n]{1,160}"|[^\s.,;]{1,80})"#)),
        loose(Invalid, concat!(r#"(?i)(?:^|[\s:.("'`])["'`]?"#, name!(), r#"["'`]? (?:must|should|has to|needs to) (?:be|match|have|contain) (?P<e>[^\n;{}]{2,120}?)(?:[.;]? *$|\. |\n|[;{}]| \()"#)),
        loose(Invalid, concat!(r#"(?i)(?:invalid|bad|illegal|unsupported|malformed|wrong) (?:value |type |format )?(?:for |of )?(?:the )?(?:argument|parameter|param|field|property|input|option)s? ["'`]?"#, name!(), r#"["'`]?(?:[:=] {0,2}["'`]?(?P<g>[^\n"'`]{1,120}?)["'`]?(?:$|\n|[.;]))?"#)),
        loose(Invalid, concat!(r#"(?i)(?:invalid|bad|illegal|malformed) "#, name!(), r#" ?[:=]? ?(?P<g>"[^"\n]{1,160}"|'[^'\n]{1,160}')"#)),
    ]
});

/// Words that stand where a field could.
const NO_FIELDS: [&str; 50] = [
    "in",
    "is",
    "of",
    "for",
    "from",
    "the",
    "and",
    "or",
    "to",
    "not",
    "are",
    "was",
    "were",
    "with",
    "on",
    "at",
    "has",
    "must",
    "a",
    "an",
    "error",
    "value",
    "values",
    "it",
    "this",
    "that",
    "which",
    "you",
    "they",
    "what",
    "argument",
    "arguments",
    "parameter",
    "parameters",
    "input",
    "request",
    "call",
    "tool",
    "data",
    "field",
    "schema",
    "Error",
    "expected",
    "validation",
    "json",
    "JSON",
    "output",
    "response",
    "message",
    "text",
];

/// The violation that a text describes, by the first wording that fits.
pub(super) fn find(text: &str, is_field: &dyn Fn(&str) -> bool) -> Option<Violation> {
    pydantic(text).or_else(|| {
        let found = WORDINGS.iter().find_map(|wording| wording.find(text, is_field))?;
        Some(Violation { field: found.field.clone().or_else(|| field_elsewhere(text)), kind: keyword(text), ..found })
    })
}

impl Wording {
    fn find(&self, text: &str, is_field: &dyn Fn(&str) -> bool) -> Option<Violation> {
        /// An ordinary word may match before the field does.
        const MATCHES_MAX: usize = 8;
        let found = |captures: Captures<'_>| {
            let group = |name: &str| captures.name(name).map(|group| group.as_str().trim()).filter(|text| !text.is_empty());
            let field = group("f").map(|field| field.trim_end_matches(['.', '-', '[', ']']));
            // A quoted word is a name, however ordinary it is.
            let before = captures.name("f").and_then(|field| text.get(..field.start())).unwrap_or_default();
            let is_quoted = !self.is_loose && before.ends_with(['"', '\'', '`']);
            let is_named = field
                .is_none_or(|field| is_quoted || is_field(field) || (!is_ordinary(field) && (!self.is_loose || looks_like_field(field))));
            let expected = ["e", "e1", "e2", "e3"].iter().find_map(|name| group(name));
            is_named.then(|| Violation {
                field: field.map(dotted),
                problem: self.problem,
                expected: expected.map(tidied),
                given: group("g").map(without_quotes),
                given_type: group("t").map(str::to_owned),
                ..Violation::default()
            })
        };
        self.expression.captures_iter(text).take(MATCHES_MAX).find_map(found)
    }
}

fn is_ordinary(word: &str) -> bool {
    NO_FIELDS.contains(&word) || NO_FIELDS.contains(&word.to_ascii_lowercase().as_str())
}

/// Whether a word is written like an identifier: `order_id`, `orderId`, `order.id`.
fn looks_like_field(word: &str) -> bool {
    let has_hump =
        word.as_bytes().windows(2).any(|pair| matches!(pair, [first, second] if first.is_ascii_lowercase() && second.is_ascii_uppercase()));
    word.contains(['_', '.']) || has_hump
}

/// An error in the notation of Pydantic.
fn pydantic(text: &str) -> Option<Violation> {
    static LINES: ByteRegex = ByteRegex::new(PYDANTIC);
    static HEADER: ByteRegex = ByteRegex::new(r"(?i)validation errors? for|\[type=[A-Za-z0-9_]+|\(type=[A-Za-z0-9_.]+");
    HEADER.find(text)?;
    let found = LINES.captures_iter(text).find(|captures| {
        let message = captures.name("m").map(|message| message.as_str()).unwrap_or_default();
        let has_type = captures.name("k").is_some() || captures.name("k1").is_some();
        let is_header = captures.name("f").is_some_and(|field| field.as_str().contains("validation error"));
        !is_header && (has_type || is_sentence_of_pydantic(message))
    })?;
    let group = |name: &str| found.name(name).map(|group| group.as_str().trim()).filter(|text| !text.is_empty());
    let (message, kind) = (group("m")?, group("k").or_else(|| group("k1")).unwrap_or_default());
    let field = group("f").map(|field| dotted(&field.replace(" -> ", ".")));
    let lower = message.to_ascii_lowercase();
    let problem = if kind.contains("missing") || lower.starts_with("field required") || lower.starts_with("missing required argument") {
        Problem::Missing
    } else if matches!(kind, "extra_forbidden" | "unexpected_keyword_argument" | "value_error.extra") || lower.starts_with("extra ") {
        Problem::Unexpected
    } else {
        Problem::Invalid
    };
    let named = Some(kind.to_owned()).filter(|kind| is_kind(kind));
    let sentence = Some(message.to_owned());
    if problem != Problem::Invalid {
        return Some(Violation { field, problem, kind: named, message: sentence, ..Violation::default() });
    }
    let of_message = of_sentence(message);
    let given = group("g").or_else(|| group("g1")).map(without_quotes);
    Some(Violation {
        field,
        problem,
        expected: of_message.expected.or_else(|| Some(tidied(message))),
        given,
        given_type: group("t").map(str::to_owned),
        count: None,
        kind: named,
        message: sentence,
    })
}

/// The keyword of JSON Schema that failed, as Python's jsonschema and networknt name it.
fn keyword(text: &str) -> Option<String> {
    static KEYWORD: ByteRegex = ByteRegex::new(
        r#"Failed validating '(?P<k>[A-Za-z$]{2,30})' in schema|failed on the ["'](?P<l>[a-z_]{2,30})["'] tag|(?m)^validating /[^\n:]{1,120}: (?P<m>[a-zA-Z]{2,30}): "#,
    );
    let found = KEYWORD.captures(text)?;
    ["k", "l", "m"].iter().find_map(|name| found.name(name)).map(|name| name.as_str().to_owned())
}

/// Whether a word is the code of a kind of error, and no sentence.
pub(super) fn is_kind(word: &str) -> bool {
    (2..=60).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

/// How messages of Pydantic begin.
fn is_sentence_of_pydantic(message: &str) -> bool {
    let starts = [
        "Input should",
        "Field required",
        "field required",
        "Value error",
        "Extra inputs",
        "extra fields",
        "String should",
        "value is not",
        "unexpected value",
        "ensure this value",
        "none is not",
        "str type expected",
        "List should",
        "Assertion failed",
        "Missing required",
        "Unexpected keyword",
        "invalid ",
        "Unable to extract",
    ];
    starts.iter().any(|start| message.starts_with(start))
}

/// What the message of one error says is expected.
pub(super) fn of_sentence(message: &str) -> Violation {
    static SENTENCES: [ByteRegex; 9] = [
        ByteRegex::new(
            r"^Input should be (?P<e>[^\n]{1,160}?)(?:, (?:unable|got|not|invalid|input|unexpected|relative|found|second|month|day|hour|minute|too|expected|empty)\b[^\n]*| \[type|$)",
        ),
        ByteRegex::new(r"^(?:Value error, |Assertion failed, )(?P<e>[^\n]{1,160})$"),
        ByteRegex::new(r"^(?:value|none) is not (?:a |an )?(?P<e>valid [A-Za-z0-9_ ]{1,60}|allowed value)"),
        ByteRegex::new(r"^unexpected value; permitted: (?P<e>[^\n]{1,160})$"),
        ByteRegex::new(
            r"^(?:[Nn]umber|[Ss]tring|[Aa]rray|[Vv]alue|[Ll]ist|Date)? ?(?:must|should) (?:be |contain |have |match )(?P<e>[^\n]{1,160})$",
        ),
        ByteRegex::new(
            r"(?i)^(?:invalid input: |invalid type: |invalid enum value\. )?expected (?P<e>[^\n]{1,160}?),? (?:but )?(?:received|got) (?P<t>[A-Za-z0-9_]{1,40})?",
        ),
        ByteRegex::new(r"^Invalid (?:option|input): expected (?:one of )?(?P<e>[^\n]{1,160})$"),
        ByteRegex::new(r"^Too (?:small|big): expected (?P<e>[^\n]{1,160})$"),
        ByteRegex::new(r"^(?:ensure this value|string) (?P<e>[^\n]{1,160})$"),
    ];
    let message = message.trim();
    let captures = SENTENCES.iter().find_map(|expression| expression.captures(message));
    let group = |name: &str| captures.as_ref()?.name(name).map(|group| tidied(group.as_str()));
    Violation { expected: group("e"), given_type: group("t").filter(|word| is_type(word)), ..Violation::default() }
}

/// Whether a word is the name of a type in JSON or a language.
pub(super) fn is_type(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().as_str(),
        "string"
            | "number"
            | "integer"
            | "int"
            | "float"
            | "boolean"
            | "bool"
            | "array"
            | "list"
            | "object"
            | "dict"
            | "map"
            | "null"
            | "none"
            | "nan"
            | "undefined"
            | "date"
            | "str"
            | "double"
            | "long"
            | "bigint"
            | "function"
            | "nonetype"
            | "unknown"
    )
}

/// The field that a later part of the message names: jsonschema, Jackson, `DSPy`.
fn field_elsewhere(text: &str) -> Option<String> {
    static PLACES: [ByteRegex; 6] = [
        ByteRegex::new(r"On instance(?P<f>(?:\[[^\]\n]{1,60}\]){1,8}):"),
        ByteRegex::new(r"in schema(?:\[[^\]\n]{1,60}\]){0,12}\['properties'\]\['(?P<f>[^'\]\n]{1,80})'\]"),
        ByteRegex::new(r#"reference chain: [^\n]{0,200}\["(?P<f>[A-Za-z0-9_.-]{1,80})"\]\)"#),
        ByteRegex::new(r"(?i)arg(?:ument)? (?P<f>[A-Za-z0-9_]{1,60}) is invalid"),
        ByteRegex::new(r"(?i)at path:? [`'/$]{0,3}\.?(?P<f>[A-Za-z0-9_./-]{1,80})"),
        ByteRegex::new(r"→ at (?P<f>[A-Za-z0-9_.\[\]]{1,80})"),
    ];
    let found = PLACES.iter().find_map(|place| place.captures(text)?.name("f").map(|field| field.as_str()))?;
    let path = found.replace("']['", ".").replace("'][", ".").replace("]['", ".").replace("][", ".");
    Some(dotted(path.trim_matches(['[', ']', '\'', '"'])))
}

/// How many errors the message counts.
pub(super) fn count(text: &str) -> Option<usize> {
    static COUNT: ByteRegex = ByteRegex::new(r"(?i)\b(?P<n>[0-9]{1,4}) (?:validation|schema) errors?\b");
    COUNT.captures(text)?.name("n")?.as_str().parse().ok()
}

/// A path with dots: `/items/0/sku`, `$.items[0].sku`, `data/items`.
pub(super) fn dotted(path: &str) -> String {
    let path = path.trim().trim_start_matches("$.").trim_start_matches(['/', '.', '$']);
    path.replace(['/', '['], ".").replace([']', '"', '\''], "").trim_matches('.').to_owned()
}

/// A value without the quotes around it.
fn without_quotes(value: &str) -> String {
    let inner = |quote: char| value.strip_prefix(quote)?.strip_suffix(quote);
    inner('\'').or_else(|| inner('"')).or_else(|| inner('`')).unwrap_or(value).to_owned()
}

/// What is expected, without punctuation at its end and quotes around it.
fn tidied(text: &str) -> String {
    let text = text.trim().trim_end_matches(['.', ',', ';', ':']);
    // `'integer'`, but not `'a' or 'b'`.
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote).filter(|inner| !inner.contains(quote));
    inner('\'').or_else(|| inner('"')).unwrap_or(text).trim().to_owned()
}

#[rustfmt::skip]
#[cfg(test)]
mod tests {
    use super::super::violation::in_message;
    use super::*;

    /// `(text, problem, field, expected, given)`; an empty text is an unknown value.
    type Row = (&'static str, Problem, &'static str, &'static str, &'static str);

    #[track_caller]
    fn check(rows: &[Row]) {
        let mut wrong = Vec::new();
        for (text, problem, field, expected, given) in rows {
            let found = in_message(text, &|word| ["seats", "days", "city", "date", "start"].contains(&word)).unwrap_or_default();
            let of = |value: &Option<String>| value.clone().unwrap_or_default();
            let values = (found.problem, of(&found.field), of(&found.expected), of(&found.given));
            if values != (*problem, (*field).to_owned(), (*expected).to_owned(), (*given).to_owned()) {
                wrong.push(format!("{text}: {values:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    use Problem::{Invalid, Missing, Unexpected};

    #[test]
    fn pydantic_of_both_versions_is_read() {
        check(&[
            ("1 validation error for lookup_order\norder_id\n  Field required [type=missing, input_value={'id': 'A-17'}, input_type=dict]\n    For further information visit https://errors.pydantic.dev/2.11/v/missing", Missing, "order_id", "", ""),
            ("2 validation errors for call[get_weather]\ndays\n  Input should be a valid integer, unable to parse string as an integer [type=int_parsing, input_value='two', input_type=str]", Invalid, "days", "a valid integer", "two"),
            ("1 validation error for LookupOrder\\norder_id\\n  field required (type=value_error.missing)", Missing, "order_id", "", ""),
            ("1 validation error for Q\ndays\n  value is not a valid integer (type=type_error.integer)", Invalid, "days", "valid integer", ""),
            ("1 validation error for Q\nkind\n  unexpected value; permitted: 'a', 'b' (type=value_error.const; given=c; permitted=('a', 'b'))", Invalid, "kind", "'a', 'b'", "c"),
            ("1 validation error for Q\nitems -> 0 -> sku\n  none is not an allowed value (type=type_error.none.not_allowed)", Invalid, "items.0.sku", "allowed value", ""),
            ("1 validation error for Q\nunit\n  Extra inputs are not permitted [type=extra_forbidden, input_value='k', input_type=str]", Unexpected, "unit", "", ""),
            ("1 validation error for Q\nkind\n  Input should be 'a' or 'b' [type=literal_error, input_value='c', input_type=str]", Invalid, "kind", "'a' or 'b'", "c"),
            ("Error invoking tool 'lookup' with kwargs {'order': 7} with error:\n 1 validation error for lookup\norder_id\n  Field required", Missing, "order_id", "", ""),
            ("2 validation errors for Ticket\nurgency\n  Input should be a valid integer", Invalid, "urgency", "a valid integer", ""),
            ("1 validation error for Q\nday\n  Input should be a valid date or datetime, invalid character in year [type=date_from_datetime_parsing, input_value='soon', input_type=str]", Invalid, "day", "a valid date or datetime", "soon"),
            ("1 validation error for Q\nstart\n  Value error, start must be in the future [type=value_error, input_value='2019-01-01', input_type=str]", Invalid, "start", "start must be in the future", "2019-01-01"),
        ]);
        assert_eq!(count("2 validation errors for Ticket"), Some(2));
        let of = |text: &str| in_message(text, &|_| false).map(|found| (found.kind.unwrap_or_default(), found.message.unwrap_or_default()));
        assert_eq!(
            of("1 validation error for Q\nn\n  Input should be a valid number, unable to parse string as a number [type=float_parsing, input_value='x', input_type=str]"),
            Some(("float_parsing".into(), "Input should be a valid number, unable to parse string as a number".into()))
        );
        assert_eq!(of(r#"[{"code":"too_small","path":["rooms"],"message":"Number must be greater than 0"}]"#), Some(("too_small".into(), "Number must be greater than 0".into())));
        assert_eq!(of("'c' is not one of ['a']\n\nFailed validating 'enum' in schema['properties']['k']:"), Some(("enum".into(), String::new())));
    }

    #[test]
    fn validators_of_json_schema_are_read() {
        check(&[
            ("'order_id' is a required property\n\nFailed validating 'required' in schema", Missing, "order_id", "", ""),
            ("Input validation error: 'order_id' is a required property", Missing, "order_id", "", ""),
            ("'two' is not of type 'integer'\n\nFailed validating 'type' in schema['properties']['days']:\n    {'type': 'integer'}\n\nOn instance['days']:\n    'two'", Invalid, "days", "integer", "two"),
            ("Additional properties are not allowed ('unit' was unexpected)", Unexpected, "unit", "", ""),
            ("'c' is not one of ['a', 'b']", Invalid, "", "['a', 'b']", "c"),
            ("-1 is less than the minimum of 0", Invalid, "", "the minimum of 0", "-1"),
            ("data must have required property 'order_id'", Missing, "order_id", "", ""),
            ("data/days must be integer", Invalid, "days", "integer", ""),
            ("params/limit must be <= 50", Invalid, "limit", "<= 50", ""),
            ("data.days should be integer", Invalid, "days", "integer", ""),
            ("$.days: string found, integer expected", Invalid, "days", "integer", ""),
            ("$.order_id: is missing but it is required", Missing, "order_id", "", ""),
            ("$: required property 'order_id' not found", Missing, "order_id", "", ""),
            ("tool call validation failed: parameters for tool lookup did not match schema: errors: [missing properties: 'city']", Missing, "city", "", ""),
            ("errors: [`/brightness`: expected integer, but got string]", Invalid, "brightness", "integer", ""),
            ("validating root: required: missing properties: [\"order_id\"]", Missing, "order_id", "", ""),
            ("validating /properties/days: type: two has type \"string\", want \"integer\"", Invalid, "days", "integer", "two"),
            ("Arg days is invalid: 'two' is not of type 'integer'", Invalid, "days", "integer", "two"),
        ]);
    }

    #[test]
    fn binders_of_languages_are_read() {
        check(&[
            ("lookup_order() missing 1 required positional argument: 'order_id'", Missing, "order_id", "", ""),
            ("f() missing 2 required keyword-only arguments: 'a' and 'b'", Missing, "a", "", ""),
            ("missing a required argument: 'employee'", Missing, "employee", "", ""),
            ("lookup_order() got an unexpected keyword argument 'id'. Did you mean 'order_id'?", Unexpected, "id", "", ""),
            ("f() got multiple values for argument 'city'", Invalid, "city", "", ""),
            ("invalid literal for int() with base 10: 'two'", Invalid, "", "int", "two"),
            ("time data '31/12' does not match format '%Y-%m-%d'", Invalid, "", "%Y-%m-%d", "31/12"),
            ("json: cannot unmarshal string into Go struct field Args.days of type int", Invalid, "days", "int", ""),
            ("json: unknown field \"unit\"", Unexpected, "unit", "", ""),
            ("Key: 'Args.OrderID' Error:Field validation for 'OrderID' failed on the 'required' tag", Missing, "OrderID", "", ""),
            ("Cannot deserialize value of type `int` from String \"two\": not a valid `int` value\n at [Source: (String)] (through reference chain: com.acme.Args[\"days\"])", Invalid, "days", "int", "two"),
            ("Unrecognized field \"unit\" (class com.acme.Args), not marked as ignorable", Unexpected, "unit", "", ""),
            ("Missing required creator property 'orderId' (index 0)", Missing, "orderId", "", ""),
            ("The JSON value could not be converted to System.Int32. Path: $.days | LineNumber: 0 | BytePositionInLine: 14.", Invalid, "days", "System.Int32", ""),
            ("JSON deserialization for type 'Args' was missing required properties including: 'orderId'.", Missing, "orderId", "", ""),
            ("The arguments dictionary is missing a value for the required parameter 'orderId'.", Missing, "orderId", "", ""),
            ("missing field `order_id` at line 1 column 12", Missing, "order_id", "", ""),
            ("invalid type: string \"two\", expected u32 at line 1 column 14", Invalid, "", "u32", "two"),
            ("unknown variant `c`, expected one of `a`, `b`", Invalid, "", "`a`, `b`", "c"),
            ("Expected `int`, got `str` - at `$.days`", Invalid, "days", "int", ""),
            ("Object missing required field `order_id`", Missing, "order_id", "", ""),
            ("Parameter validation failed:\nMissing required parameter in input: \"Bucket\"", Missing, "Bucket", "", ""),
            ("Invalid type for parameter Key, value: 1, type: <class 'int'>, valid types: <class 'str'>", Invalid, "Key", "str", "1"),
        ]);
    }

    #[test]
    fn frameworks_and_applications_are_read() {
        check(&[
            ("ValidationError: days: expected integer, received string", Invalid, "days", "integer", ""),
            ("Validation error: Expected number, received string at \"days\"", Invalid, "days", "number", ""),
            ("✖ Invalid input: expected number, received string\n  → at days", Invalid, "days", "number", ""),
            ("Tool input validation failed for weather. Please fix the following errors and try again:\n- city: Required", Missing, "city", "", ""),
            ("Schema validation failed. Parse Errors:\n\n- city: must have required property 'city'", Missing, "city", "", ""),
            ("Invalid key: Expected \"order_id\" but received undefined", Missing, "order_id", "", ""),
            ("Invalid type: Expected number but received \"two\"", Invalid, "", "number", "two"),
            ("{'days': ['Not a valid integer.'], 'x': ['Unknown field.']}", Unexpected, "x", "", ""),
            ("{'order_id': ['Missing data for required field.']}", Missing, "order_id", "", ""),
            ("{\"order_id\": [\"This field is required.\"]}", Missing, "order_id", "", ""),
            ("Argument location has type 'str' but should be 'number'", Invalid, "location", "number", ""),
            ("Arg location is not in the tool's args.", Unexpected, "location", "", ""),
            ("InputValidationError: Read failed due to the following issue:\nThe required parameter `file_path` is missing", Missing, "file_path", "", ""),
            ("The parameter `limit` type is expected as `number` but provided as `string`", Invalid, "limit", "number", ""),
            ("An unexpected parameter `offset` was provided", Unexpected, "offset", "", ""),
            ("seats must be an integer but was \"two or three\"", Invalid, "seats", "an integer", "two or three"),
            ("Invalid argument: date must be in YYYY-MM-DD format", Invalid, "date", "in YYYY-MM-DD format", ""),
            ("HttpError 400 returned \"Unable to parse range: Sheet9!A1\"", Invalid, "range", "", "Sheet9!A1"),
            ("Error: invalid arguments for lookup: missing required field 'order_id'", Missing, "order_id", "", ""),
            ("Missing required argument \"command\" in tool call execute_bash", Missing, "command", "", ""),
            ("Missing required parameter: order_id", Missing, "order_id", "", ""),
            ("Invalid value 'kelvin' for parameter unit: expected one of celsius, fahrenheit", Invalid, "unit", "celsius, fahrenheit", "kelvin"),
            ("缺少必需参数：order_id", Missing, "order_id", "", ""),
        ]);
    }

    #[test]
    fn other_errors_are_no_violations() {
        for text in [
            "the service must be restarted",
            "connection refused",
            "You must be logged in to do this.",
            "It is required to pay first.",
            "customer C-17 not found",
            "Error code: 429 - rate limit reached",
            "database is locked",
            "",
        ] {
            assert_eq!(in_message(text, &|_| false), None, "{text}");
        }
    }
}
