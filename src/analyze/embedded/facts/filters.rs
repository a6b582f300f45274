//! The conditions of a filter of a vector store or search engine, as `field = value`, in the notations of Pinecone, Chroma, Qdrant, Weaviate, Haystack,
//! `LlamaIndex`, Elasticsearch and Bedrock.

use serde_json::{Map, Value};

/// Conditions that are listed.
const CONDITIONS_MAX: usize = 6;

/// Filters are nested by their logical operators.
const DEPTH_MAX: usize = 6;

/// The conditions of a filter: `country = US, year >= 2019`; `None` if it has none in a known notation.
pub(super) fn conditions(filter: &Value) -> Option<String> {
    let mut found = Vec::new();
    collect(filter, 0, &mut found);
    (!found.is_empty()).then(|| found.join(", "))
}

fn collect(value: &Value, depth: usize, found: &mut Vec<String>) {
    if depth > DEPTH_MAX || found.len() >= CONDITIONS_MAX {
        return;
    }
    match value {
        Value::Array(items) => items.iter().take(CONDITIONS_MAX).for_each(|item| collect(item, depth + 1, found)),
        Value::Object(fields) => {
            if let Some(condition) = named_condition(fields) {
                found.push(condition);
                return;
            }
            for (key, value) in fields {
                if found.len() >= CONDITIONS_MAX {
                    return;
                }
                match value {
                    _ if is_operator(key) => collect(value, depth + 1, found),
                    Value::Object(inner) => match comparison(inner) {
                        Some((operator, value)) => found.push(format!("{key} {operator} {value}")),
                        None => collect(value, depth + 1, found),
                    },
                    value => found.extend(written(value).map(|value| format!("{key} = {value}"))),
                }
            }
        }
        _ => {}
    }
}

/// `{"key": "lang", "value": "en"}`, `{"path": ["lang"], "operator": "Equal", "valueText": "en"}`, `{"key": "lang", "match": {"value": "en"}}`.
fn named_condition(fields: &Map<String, Value>) -> Option<String> {
    let name = ["field", "key", "path", "attribute", "property", "fieldName"].iter().find_map(|key| match fields.get(*key)? {
        Value::String(name) => Some(name.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(".")),
        _ => None,
    })?;
    let operator = fields.get("operator").and_then(Value::as_str).map_or("=", sign);
    let (inner_operator, value) = fields.iter().find_map(|(key, value)| {
        let is_value = key.starts_with("value") || matches!(key.as_str(), "match" | "range" | "eq");
        match value {
            Value::Object(inner) if is_value => comparison(inner),
            value if is_value => Some(("=", written(value)?)),
            _ => None,
        }
    })?;
    Some(format!("{name} {} {value}", if inner_operator == "=" { operator } else { inner_operator }))
}

/// `{"$gte": 2019}`, `{"value": "en"}`, `{"in": ["a", "b"]}`.
fn comparison(fields: &Map<String, Value>) -> Option<(&'static str, String)> {
    let (key, value) = fields.iter().find(|(key, value)| (key.starts_with('$') || is_comparison(key)) && written(value).is_some())?;
    Some((sign(key), written(value)?))
}

fn is_comparison(key: &str) -> bool {
    matches!(key, "value" | "values" | "eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "any" | "text" | "query")
}

/// The sign of an operator.
fn sign(operator: &str) -> &'static str {
    let plain: String =
        operator.chars().filter(|c| c.is_ascii_alphanumeric() || "<>=!".contains(*c)).map(|c| c.to_ascii_lowercase()).collect();
    match plain.as_str() {
        ">" | "gt" | "greaterthan" => ">",
        ">=" | "gte" | "greaterthanequal" | "greaterthanorequals" => ">=",
        "<" | "lt" | "lessthan" => "<",
        "<=" | "lte" | "lessthanequal" | "lessthanorequals" => "<=",
        "!=" | "ne" | "notequal" | "notequals" => "!=",
        "in" | "any" | "containsany" => "in",
        "nin" | "notin" => "not in",
        _ => "=",
    }
}

/// Whether a key joins conditions, or says how they compare, and is no field.
fn is_operator(key: &str) -> bool {
    const OPERATORS: [&str; 24] = [
        "must",
        "should",
        "must_not",
        "and",
        "or",
        "not",
        "andAll",
        "orAll",
        "conditions",
        "filters",
        "filter",
        "bool",
        "term",
        "terms",
        "match",
        "range",
        "operands",
        "where",
        "equals",
        "notEquals",
        "operator",
        "condition",
        "min_should",
        "nested",
    ];
    key.starts_with('$') || OPERATORS.contains(&key)
}

/// A scalar, or a list of them, as text.
fn written(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.trim().is_empty()).then(|| text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Array(items) => {
            let items: Vec<String> =
                items.iter().take(CONDITIONS_MAX).map(|item| if item.is_array() { None } else { written(item) }).collect::<Option<_>>()?;
            (!items.is_empty()).then(|| items.join(" | "))
        }
        Value::Null | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_stores_are_read() {
        for (filter, expected) in [
            (r#"{"lang": "en", "year": 2019}"#, Some("lang = en, year = 2019")),
            (r#"{"year": {"$gte": 2019}}"#, Some("year >= 2019")),
            (r#"{"$and": [{"lang": {"$eq": "en"}}, {"team": {"$in": ["a", "b"]}}]}"#, Some("lang = en, team in a | b")),
            (r#"{"path": ["country"], "operator": "Equal", "valueText": "US"}"#, Some("country = US")),
            (r#"{"operator": "And", "operands": [{"path": ["a"], "operator": "GreaterThan", "valueInt": 3}]}"#, Some("a > 3")),
            (
                r#"{"must": [{"key": "tenant", "match": {"value": "globex"}}, {"key": "n", "range": {"lt": 5}}]}"#,
                Some("tenant = globex, n < 5"),
            ),
            (r#"{"operator": "AND", "conditions": [{"field": "meta.lang", "operator": "==", "value": "en"}]}"#, Some("meta.lang = en")),
            (r#"{"filters": [{"key": "x", "value": "y", "operator": "=="}]}"#, Some("x = y")),
            (r#"{"bool": {"filter": [{"term": {"lang": "en"}}]}}"#, Some("lang = en")),
            (r#"{"equals": {"key": "x", "value": "y"}}"#, Some("x = y")),
            ("{}", None),
            ("[]", None),
        ] {
            assert_eq!(conditions(&serde_json::from_str(filter).unwrap()).as_deref(), expected, "{filter}");
        }
    }
}
