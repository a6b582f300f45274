//! Reads the fields of an answer's JSON. Lenient where an odd type does no harm; an error names the field and never quotes the answer.

use serde_json::{Map, Value};

/// The fields of an answer, not yet checked against the trace.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct AnswerFields {
    pub(super) evidence: Vec<Quote>,
    pub(super) signals: Vec<String>,
    pub(super) label: String,
    pub(super) title: String,
    pub(super) summary: String,
    pub(super) root_cause_hypothesis: String,
    pub(super) actions: Vec<String>,
    pub(super) confidence: f64,
    pub(super) confidence_rationale: String,
}

/// A passage that the model claims to quote from the trace.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quote {
    /// The number of the span in the prompt, starting at 1; `None` if the model gave no number.
    pub(super) span: Option<u64>,
    pub(super) field: String,
    pub(super) excerpt: String,
}

impl AnswerFields {
    /// Reads all fields.
    ///
    /// # Errors
    /// The first wrong field and what is wrong with it: `evidence[0].span must be an integer`.
    pub(super) fn from_json(value: &Value) -> Result<Self, String> {
        let fields = value.as_object().ok_or("the answer must be an object")?;
        let required =
            |name: &str| optional_string(fields.get(name), name).and_then(|text| text.ok_or_else(|| format!("{name} is missing")));
        let optional = |name: &str| optional_string(fields.get(name), name).map(Option::unwrap_or_default);
        Ok(Self {
            evidence: array(fields, "evidence")?.iter().enumerate().map(quote).collect::<Result<_, _>>()?,
            signals: strings(array(fields, "signals")?, "signals")?,
            label: required("label")?,
            title: required("title")?,
            summary: required("summary")?,
            root_cause_hypothesis: required("root_cause_hypothesis")?,
            actions: match fields.get("actions") {
                None | Some(Value::Null) => return Err("actions is missing".into()),
                // Some models write a single string, which counts as one action.
                Some(Value::String(action)) => vec![action.clone()],
                Some(_) => strings(array(fields, "actions")?, "actions")?,
            },
            confidence: confidence(fields.get("confidence"))?,
            confidence_rationale: optional("confidence_rationale")?,
        })
    }
}

fn quote((index, value): (usize, &Value)) -> Result<Quote, String> {
    let path = format!("evidence[{index}]");
    let fields = value.as_object().ok_or_else(|| format!("{path} must be an object"))?;
    let field = |name: &str| optional_string(fields.get(name), &format!("{path}.{name}")).map(Option::unwrap_or_default);
    let span = match fields.get("span") {
        None | Some(Value::Null) => None,
        Some(Value::Number(number)) if number.as_u64().is_some() => number.as_u64(),
        // `"span 3"`, as the prompt shows it. Without a number, the excerpt is looked up in all spans.
        Some(Value::String(text)) => text.trim().trim_start_matches("span").trim().parse().ok(),
        Some(_) => return Err(format!("{path}.span must be an integer")),
    };
    Ok(Quote { span, field: field("field")?, excerpt: field("excerpt")? })
}

fn optional_string(value: Option<&Value>, path: &str) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("{path} must be a string")),
    }
}

fn array<'f>(fields: &'f Map<String, Value>, name: &str) -> Result<&'f [Value], String> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("{name} must be an array")),
    }
}

fn strings(values: &[Value], name: &str) -> Result<Vec<String>, String> {
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
    fn answers_with_harmless_deviations_are_accepted() {
        let fields = AnswerFields::from_json(&answer()).unwrap();
        assert_eq!((fields.evidence[0].span, fields.actions.len()), (Some(2), 1));
        let mut lenient = answer();
        for field in ["evidence", "signals", "confidence_rationale"] {
            lenient[field] = Value::Null;
        }
        lenient["actions"] = json!("do it");
        assert_eq!(AnswerFields::from_json(&lenient).unwrap().actions, ["do it"]);
        for (span, number) in [(json!("span 3"), Some(3)), (json!("the second"), None), (Value::Null, None)] {
            let mut odd = answer();
            odd["evidence"][0]["span"] = span;
            assert_eq!(AnswerFields::from_json(&odd).unwrap().evidence[0].span, number);
        }
    }

    #[test]
    fn errors_name_the_wrong_field() {
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
        for (pointer, value, error) in cases {
            let mut answer = answer();
            *answer.pointer_mut(pointer).unwrap() = value;
            assert_eq!(AnswerFields::from_json(&answer).unwrap_err(), error);
        }
    }
}
