//! Access to a row of `patterns` as JSON. Columns of later versions are null in old rows, and everything may be missing.

use serde_json::Value;

use crate::model::{bytes, duration, with_separators};

/// A row, or a struct in it.
#[derive(Clone, Copy)]
pub(super) struct Row<'v>(pub(super) &'v Value);

impl<'v> Row<'v> {
    /// A text that is not empty.
    pub(super) fn text(self, key: &str) -> Option<&'v str> {
        self.0.get(key)?.as_str().filter(|text| !text.trim().is_empty())
    }

    pub(super) fn number(self, key: &str) -> Option<f64> {
        self.0.get(key)?.as_f64()
    }

    pub(super) fn count(self, key: &str) -> Option<u64> {
        self.0.get(key)?.as_u64()
    }

    pub(super) fn is_true(self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool) == Some(true)
    }

    /// The structs of a list column.
    pub(super) fn list(self, key: &str) -> Vec<Row<'v>> {
        self.0.get(key).and_then(Value::as_array).into_iter().flatten().map(Row).collect()
    }

    /// The texts of a list column.
    pub(super) fn texts(self, key: &str) -> Vec<&'v str> {
        self.0.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// A number of milliseconds for people: `12.4 s`.
    pub(super) fn duration(self, key: &str) -> Option<String> {
        self.number(key).filter(|milliseconds| *milliseconds >= 0.0).map(duration)
    }

    /// A count for people: `141,397`.
    pub(super) fn separated(self, key: &str) -> Option<String> {
        self.count(key).map(|count| with_separators(&count.to_string()))
    }

    /// The value of an item of `facts` for people.
    pub(super) fn fact_value(self) -> Option<String> {
        let value = self.text("value")?;
        let number: Option<f64> = value.parse().ok().filter(|number: &f64| number.is_finite());
        Some(match (self.text("unit"), number) {
            (Some("tokens"), Some(_)) => format!("{} tokens", with_separators(value)),
            (Some("ms"), Some(number)) if number >= 0.0 => duration(number),
            (Some("bytes"), Some(number)) if number >= 0.0 => bytes(number),
            (Some("percent"), Some(_)) => format!("{value} %"),
            (Some("usd"), Some(_)) => format!("${value}"),
            (Some(unit), _) => format!("{value} {unit}"),
            (None, _) => value.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn facts_are_written_as_people_write_them() {
        let value = |value: &str, unit: Option<&str>| Row(&json!({ "value": value, "unit": unit })).fact_value();
        assert_eq!(value("128000", Some("tokens")).as_deref(), Some("128,000 tokens"));
        assert_eq!(value("12400", Some("ms")).as_deref(), Some("12.4 s"));
        assert_eq!(value("92431", Some("bytes")).as_deref(), Some("92 KB"));
        assert_eq!(value("unlimited", Some("tokens")).as_deref(), Some("unlimited tokens"));
        assert_eq!(value("NaN", Some("ms")).as_deref(), Some("NaN ms"));
        assert_eq!(value("20260101", None).as_deref(), Some("20260101"));
        assert_eq!(value("", None), None);
    }

    #[test]
    fn missing_and_null_columns_are_nothing() {
        let value = json!({ "a": null, "b": "", "c": "x" });
        let row = Row(&value);
        assert_eq!((row.text("a"), row.text("b"), row.text("c"), row.text("d")), (None, None, Some("x"), None));
        assert!(row.list("a").is_empty() && row.texts("d").is_empty() && row.count("a").is_none() && !row.is_true("a"));
    }
}
