//! Facts of an exception: where in the application's code it was raised, what began the chain, and the name or value that the error is about.

use super::super::byte_regex::ByteRegex;
use super::super::signals::error_type;
use super::arguments::{MISSING_PARAMETER, UNEXPECTED_PARAMETER};
use super::find::{add_from_messages, bare, expressions};
use super::frames::{self, Stack};
use super::names::{FactName, fact_names};
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::{Span, last_segment};

fact_names! {
    ERROR_PLACE = "error_place", Text, "the file and line of the application's code that failed";
    ERROR_FILE = "error_file", Text, "the file of the application's code that failed";
    ERROR_LINE = "error_line", Count, "the line of the application's code that failed";
    ERROR_FUNCTION = "error_function", Text, "the function of the application's code that failed";
    ERROR_CODE = "error_code_line", Text, "the line of code that failed";
    ERROR_LIBRARY = "error_library", Text, "the package that raised the error";
    ERROR_LANGUAGE = "error_language", Text, "the language of the code that failed";
    FIRST_ERROR = "first_error", Text, "the type of the error that began the chain";
    FIRST_ERROR_MESSAGE = "first_error_message", Text, "the message of the error that began the chain";
    MISSING_KEY = "missing_key", Text, "the key that is missing";
    MISSING_ATTRIBUTE = "missing_attribute", Text, "the attribute, property or method that is missing";
    ATTRIBUTE_OWNER = "attribute_owner", Text, "the type or value without the attribute";
    UNDEFINED_NAME = "undefined_name", Text, "the name that is not defined";
    NULL_VALUE = "null_value", Text, "the expression that is null";
    CALLED_FUNCTION = "called_function", Text, "the function that was called wrongly";
    WRONG_TYPE = "wrong_type", Text, "the type that the operation does not take";
    INVALID_VALUE = "invalid_value", Text, "the value that could not be converted";
    BAD_INDEX = "bad_index", Count, "the index out of range";
    SEQUENCE_LENGTH = "sequence_length", Count, "the length of the sequence";
    MISSING_FILE = "missing_file", Text, "the file that does not exist";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(root) = case.root else { return };
    let span = root.span;
    add_stack(span, root.texts.as_slice(), facts);
    if !case.is(&["application_exception", "tool_exception", "code_execution_error", "insufficient_evidence"]) {
        return;
    }
    add_from_messages(case, facts, NAMES_IN_TEXT);
    // The message of a KeyError is only the key.
    if error_type(span).is_some_and(|(kind, _)| last_segment(&kind) == "KeyError") {
        for (field, text) in case.messages() {
            let key = bare(text.lines().next().unwrap_or_default());
            if !key.is_empty() && key.len() <= 80 && !key.contains([' ', ':', '[']) {
                facts.add(&MISSING_KEY, key, Place::Field(span, field));
            }
        }
    }
}

/// The place of the failure, from the recorded stack trace or one in the text of the error.
fn add_stack(span: &Span, texts: &[(String, &str)], facts: &mut Facts) {
    // The last exception ended the span.
    let recorded = span
        .exceptions
        .iter()
        .enumerate()
        .rev()
        .filter_map(|(index, exception)| Some((format!("exceptions[{index}].stack"), exception.stack.as_deref()?)));
    let in_texts = texts.iter().map(|(field, text)| (field.clone(), *text));
    for (field, text) in recorded.chain(in_texts).filter(|(_, text)| frames::may_have_frames(text)) {
        let Stack { language, own, library, first_cause } = frames::read(text);
        let place = Place::Field(span, &field);
        if let Some(frame) = own {
            let file = frame.file.trim_start_matches("file://");
            facts.add(&ERROR_PLACE, format!("{file}:{}", frame.line), Place::Span(span));
            facts.add(&ERROR_FILE, file, place);
            facts.add(&ERROR_LINE, frame.line, place);
            if let Some(function) = frame.function {
                facts.add(&ERROR_FUNCTION, shortened(function, 80), place);
            }
            if let Some(code) = frame.code {
                facts.add(&ERROR_CODE, shortened(code, 100), place);
            }
        }
        if let Some(library) = library {
            facts.add(&ERROR_LIBRARY, library, place);
        }
        // The same error again says nothing new.
        let repeats = |kind: &str| error_type(span).is_some_and(|(own, _)| last_segment(&own) == last_segment(kind));
        if let Some((kind, message)) = first_cause.filter(|(kind, _)| !repeats(kind)) {
            facts.add(&FIRST_ERROR, kind, place);
            facts.add(&FIRST_ERROR_MESSAGE, shortened(message.trim_end_matches('.'), 120), place);
        }
        if let Some(language) = language {
            facts.add(&ERROR_LANGUAGE, language, Place::Span(span));
            return;
        }
    }
}

/// Facts that the words of an error name, in the words of the runtimes.
const NAMES_IN_TEXT: &[(&FactName, &ByteRegex)] = &[
    (&MISSING_KEY, &KEY),
    (&MISSING_ATTRIBUTE, &ATTRIBUTE),
    (&ATTRIBUTE_OWNER, &OWNER),
    (&UNDEFINED_NAME, &NAME),
    (&NULL_VALUE, &NULL),
    (&MISSING_PARAMETER, &ARGUMENT),
    (&UNEXPECTED_PARAMETER, &EXTRA_ARGUMENT),
    (&CALLED_FUNCTION, &FUNCTION),
    (&WRONG_TYPE, &TYPE),
    (&INVALID_VALUE, &VALUE),
    (&BAD_INDEX, &INDEX),
    (&SEQUENCE_LENGTH, &LENGTH),
    (&MISSING_FILE, &FILE),
];

expressions! {
    KEY = r#"\bKeyError\b\s{0,2}[:(]\s{0,2}['"]([^'"\n]+)['"]|(?i)\b(?:key not found|no such key|missing key|unknown key|undefined (?:array )?(?:key|index)):? ['"`:]?([\w.\-]+)"#,
        r#"|(?i)\bkey ['"`]([^'"`\n]+)['"`] (?:was |is )?(?:not found|missing|not present|does not exist)|(?i)the given key ['"]([^'"\n]+)['"] was not present"#;
    ATTRIBUTE = r#"has no attribute ['"]([^'"\n]+)['"]|\((?:reading|setting) ['"]([^'"\n]+)['"]\)|[Cc]annot (?:read|set) propert(?:y|ies) ['"]([^'"\n]+)['"] of"#,
        r"|undefined method [`']([^`'\n]+)'|(?:TypeError: |^)(?:[\w$]+\.)+([\w$]+) is not a function|has no (?:field or )?method ([\w]+)\)?",
        r#"|evaluating '(?:[^'\n]*\.)([\w$]+)'|does not contain a definition for '([^'\n]+)'|NoSuch(?:Field|Method)Error: ([\w.$]+)"#;
    OWNER = r#"['"]?(?:type object )?['"]([\w.]+)['"] (?:object )?has no attribute|[Cc]annot (?:read|set) propert(?:y|ies)(?: ['"][^'"\n]+['"])? of (undefined|null)"#,
        r"|undefined method [`'][^`'\n]+' for (?:an instance of )?([\w:]+)|module '([\w.]+)' has no attribute";
    NAME = r#"\bname ['"]([^'"\n]+)['"] is not defined|(?:ReferenceError: |^)([A-Za-z_$][\w$]*) is not defined|undefined local variable or method [`']([^`'\n]+)'"#,
        r"|cannot access (?:local|free) variable '([^'\n]+)'|local variable '([^'\n]+)' referenced before|uninitialized constant ([\w:]+)|Undefined variable:? \$?(\w+)",
        r"|Cannot access '([^'\n]+)' before initialization";
    NULL = r#"because "([^"\n]+)" is null|because the return value of "([^"\n]+)" is null"#;
    ARGUMENT = r#"missing \d{1,3} required (?:positional|keyword-only) arguments?: ['"]([^'"\n]+)['"]|missing (?:a )?required (?:argument|keyword|parameter):? ['"`:]?([\w.\-]+)"#;
    EXTRA_ARGUMENT = r#"unexpected keyword argument ['"]([^'"\n]+)['"]|unknown keywords?: :?(\w+)|got an unexpected argument ['"]([^'"\n]+)['"]"#;
    FUNCTION = r"([\w.<>]+)\(\) (?:missing \d{1,3} required|got an unexpected|takes (?:from )?\d|got multiple values)";
    TYPE = r#"['"]([\w.]+)['"] object (?:is not|does not|cannot be|can't be)|\b(?:must be|expected|expects) [^,\n]+, (?:not|got|but got) (?:an? )?['"]?([A-Za-z_][\w.]*)|concatenate \w+ \(not ['"](\w+)['"]"#,
        r"|unsupported operand type\(s\) for [^:\n]+: '[\w.]+' and '([\w.]+)'|Object of type (\w+) is not JSON serializable|class ([\w.$]+) cannot be cast",
        r"|Unable to cast object of type '([\w.]+)'|interface conversion: interface \{\} is ([\w.*\[\]]+),";
    VALUE = r#"invalid literal for int\(\) with base \d{1,2}: ['"]([^'"\n]+)['"]|could not convert string to (?:float|complex): ['"]([^'"\n]+)['"]|For input string: "([^"\n]+)""#,
        r#"|parsing "([^"\n]+)": invalid syntax|time data ['"]([^'"\n]+)['"] does not match|Invalid isoformat string: ['"]([^'"\n]+)['"]|invalid value for \w+\(\): ?"([^"\n]+)""#,
        r#"|Cannot convert ([\w.\-]+) to a BigInt|['"]([^'"\n]+)['"] is not a valid \w+"#;
    INDEX = r"index out of range \[(-?\d{1,12})\]|the index is (\d{1,12})|Index:? (-?\d{1,12}) out of bounds|index (-?\d{1,12}) is out of bounds|index (-?\d{1,12}) outside of array";
    LENGTH = r"with (?:length|capacity) (\d{1,12})|the len is (\d{1,12})|out of bounds for length (\d{1,12})|for axis \d{1,3} with size (\d{1,12})";
    FILE = r#"(?:No such file or directory|cannot find the (?:file|path) specified)[^'"\n]*['"]([^'"\n]+)['"]|ENOENT: no such file or directory, \w+ '([^'\n]+)'|open ([^\s:]+): no such file"#,
        r"|Could not find file '([^'\n]+)'|FileNotFoundException: ([^\s(]+)";
}

#[cfg(test)]
mod tests {
    use super::super::find::capture;
    use super::*;

    #[test]
    fn errors_name_what_they_are_about() {
        for (text, expression, expected) in [
            ("KeyError: 'customer'", &KEY, Some("customer")),
            ("KeyError('id')", &KEY, Some("id")),
            ("key not found: :price", &KEY, Some("price")),
            ("The given key 'sku' was not present in the dictionary.", &KEY, Some("sku")),
            ("Undefined array key \"total\"", &KEY, Some("total")),
            ("the key is under the mat", &KEY, None),
            ("AttributeError: 'NoneType' object has no attribute 'content'", &ATTRIBUTE, Some("content")),
            ("TypeError: Cannot read properties of undefined (reading 'choices')", &ATTRIBUTE, Some("choices")),
            ("Cannot read property 'id' of null", &ATTRIBUTE, Some("id")),
            ("undefined method `price' for nil:NilClass", &ATTRIBUTE, Some("price")),
            ("undefined method 'price' for nil", &ATTRIBUTE, Some("price")),
            ("TypeError: response.json is not a function", &ATTRIBUTE, Some("json")),
            ("'NoneType' object has no attribute 'content'", &OWNER, Some("NoneType")),
            ("module 'openai' has no attribute 'ChatCompletion'", &OWNER, Some("openai")),
            ("Cannot read properties of undefined (reading 'x')", &OWNER, Some("undefined")),
            ("name 'df' is not defined", &NAME, Some("df")),
            ("ReferenceError: orders is not defined", &NAME, Some("orders")),
            ("cannot access local variable 'total' where it is not associated with a value", &NAME, Some("total")),
            ("uninitialized constant Shop::Order", &NAME, Some("Shop::Order")),
            ("undefined local variable or method `cart'", &NAME, Some("cart")),
            ("Cannot access 'order' before initialization", &NAME, Some("order")),
            ("Cannot invoke \"String.length()\" because \"name\" is null", &NULL, Some("name")),
            ("because the return value of \"com.acme.Order.getUser()\" is null", &NULL, Some("com.acme.Order.getUser()")),
            ("load() missing 1 required positional argument: 'order_id'", &ARGUMENT, Some("order_id")),
            ("run() got an unexpected keyword argument 'limit'", &EXTRA_ARGUMENT, Some("limit")),
            ("run() got an unexpected keyword argument 'limit'", &FUNCTION, Some("run")),
            ("Agent.load() takes 1 positional argument but 2 were given", &FUNCTION, Some("Agent.load")),
            ("'NoneType' object is not subscriptable", &TYPE, Some("NoneType")),
            ("can only concatenate str (not \"int\") to str", &TYPE, Some("int")),
            ("unsupported operand type(s) for +: 'int' and 'str'", &TYPE, Some("str")),
            ("Object of type Decimal is not JSON serializable", &TYPE, Some("Decimal")),
            ("interface conversion: interface {} is string, not int", &TYPE, Some("string")),
            ("invalid literal for int() with base 10: 'three'", &VALUE, Some("three")),
            ("could not convert string to float: 'n/a'", &VALUE, Some("n/a")),
            ("java.lang.NumberFormatException: For input string: \"12a\"", &VALUE, Some("12a")),
            ("strconv.Atoi: parsing \"abc\": invalid syntax", &VALUE, Some("abc")),
            ("index out of range [5] with length 3", &INDEX, Some("5")),
            ("index out of range [5] with length 3", &LENGTH, Some("3")),
            ("Index 7 out of bounds for length 4", &INDEX, Some("7")),
            ("index out of bounds: the len is 3 but the index is 9", &INDEX, Some("9")),
            ("list index out of range", &INDEX, None),
            ("[Errno 2] No such file or directory: '/data/orders.csv'", &FILE, Some("/data/orders.csv")),
            ("ENOENT: no such file or directory, open '/data/a.json'", &FILE, Some("/data/a.json")),
            ("open /etc/app.yaml: no such file or directory", &FILE, Some("/etc/app.yaml")),
        ] {
            assert_eq!(capture(expression, text).map(bare), expected, "{text}");
        }
    }
}
