//! The JSON of an answer, field by field: what is wrong with it is said by the name of the field.

use serde_json::{Map, Value};

/// What a model writes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Written {
    pub(super) evidence: Vec<Quotation>,
    pub(super) signals: Vec<String>,
    pub(super) label: String,
    pub(super) title: String,
    pub(super) summary: String,
    pub(super) root_cause_hypothesis: String,
    pub(super) actions: Vec<String>,
    pub(super) confidence: f64,
    pub(super) confidence_rationale: String,
}

/// What a model claims to quote.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quotation {
    /// The number of the span, where it is one.
    pub(super) span: Option<u64>,
    pub(super) field: String,
    pub(super) excerpt: String,
}

impl Written {
    /// Takes the JSON of an answer apart.
    ///
    /// # Errors
    /// Which field is wrong and how: `evidence[0].span must be an integer`. Nothing of the answer is quoted.
    pub(super) fn of(value: &Value) -> Result<Self, String> {
        let fields = value.as_object().ok_or("the answer must be an object")?;
        let required = |name: &str| text(fields.get(name), name).and_then(|text| text.ok_or_else(|| format!("{name} is missing")));
        let optional = |name: &str| text(fields.get(name), name).map(Option::unwrap_or_default);
        Ok(Self {
            evidence: list(fields, "evidence")?.iter().enumerate().map(quotation).collect::<Result<_, _>>()?,
            signals: texts(list(fields, "signals")?, "signals")?,
            label: required("label")?,
            title: required("title")?,
            summary: required("summary")?,
            root_cause_hypothesis: required("root_cause_hypothesis")?,
            actions: match fields.get("actions") {
                None | Some(Value::Null) => return Err("actions is missing".into()),
                // Several in one text are one action.
                Some(Value::String(action)) => vec![action.clone()],
                Some(_) => texts(list(fields, "actions")?, "actions")?,
            },
            confidence: confidence(fields.get("confidence"))?,
            confidence_rationale: optional("confidence_rationale")?,
        })
    }
}

fn quotation((index, value): (usize, &Value)) -> Result<Quotation, String> {
    let place = format!("evidence[{index}]");
    let fields = value.as_object().ok_or_else(|| format!("{place} must be an object"))?;
    let field = |name: &str| text(fields.get(name), &format!("{place}.{name}")).map(Option::unwrap_or_default);
    let span = match fields.get("span") {
        None | Some(Value::Null) => None,
        Some(Value::Number(number)) if number.as_u64().is_some() => number.as_u64(),
        // As the trace shows it. What is no number names no span, and the excerpt is looked up in all.
        Some(Value::String(text)) => text.trim().trim_start_matches("span").trim().parse().ok(),
        Some(_) => return Err(format!("{place}.span must be an integer")),
    };
    Ok(Quotation { span, field: field("field")?, excerpt: field("excerpt")? })
}

/// A text, or nothing.
fn text(value: Option<&Value>, place: &str) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{place} must be a string")),
    }
}

fn list<'f>(fields: &'f Map<String, Value>, name: &str) -> Result<&'f [Value], String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("{name} must be an array")),
    }
}

fn texts(values: &[Value], name: &str) -> Result<Vec<String>, String> {
    let each = values.iter().enumerate();
    each.map(|(index, value)| value.as_str().map(str::to_owned).ok_or_else(|| format!("{name}[{index}] must be a string"))).collect()
}

fn confidence(value: Option<&Value>) -> Result<f64, String> {
    match value {
        None | Some(Value::Null) => Err("confidence is missing".into()),
        Some(Value::Number(number)) => number.as_f64().ok_or_else(|| "confidence must be a number".into()),
        Some(_) => Err("confidence must be a number".into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({
            "evidence": [{"span": 2, "field": "status_message", "excerpt": "it broke"}], "signals": ["a=1"], "label": "c/f", "title": "t",
            "summary": "s", "root_cause_hypothesis": "h", "actions": ["do"], "confidence": 0.8, "confidence_rationale": "r",
        })
    }

    #[test]
    fn what_fits_is_read_and_what_helps_nobody_to_reject_too() {
        let written = Written::of(&answer()).unwrap();
        assert_eq!((written.evidence[0].span, written.actions.len()), (Some(2), 1));
        let mut lenient = answer();
        for field in ["evidence", "signals", "confidence_rationale"] {
            lenient[field] = Value::Null;
        }
        lenient["actions"] = json!("do it");
        assert_eq!(Written::of(&lenient).unwrap().actions, ["do it"]);
        for (span, number) in [(json!("span 3"), Some(3)), (json!("the second"), None), (Value::Null, None)] {
            let mut odd = answer();
            odd["evidence"][0]["span"] = span;
            assert_eq!(Written::of(&odd).unwrap().evidence[0].span, number);
        }
    }

    #[test]
    fn what_is_wrong_is_said_by_the_name_of_the_field() {
        let cases = [
            ("/evidence/0/span", json!([1]), "evidence[0].span must be an integer"),
            ("/evidence/0/span", json!(1.5), "evidence[0].span must be an integer"),
            ("/evidence/0/field", json!(7), "evidence[0].field must be a string"),
            ("/evidence/0", json!("it broke"), "evidence[0] must be an object"),
            ("/evidence", json!({}), "evidence must be an array"),
            ("/signals/0", json!(1), "signals[0] must be a string"),
            ("/actions/0", json!({"do": "it"}), "actions[0] must be a string"),
            ("/actions", Value::Null, "actions is missing"),
            ("/label", Value::Null, "label is missing"),
            ("/title", json!(["t"]), "title must be a string"),
            ("/confidence", json!("high"), "confidence must be a number"),
            ("", json!([]), "the answer must be an object"),
        ];
        for (place, value, said) in cases {
            let mut answer = answer();
            *answer.pointer_mut(place).unwrap() = value;
            assert_eq!(Written::of(&answer).unwrap_err(), said);
        }
    }
}
