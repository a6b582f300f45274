//! The published JSON Schemas, embedded in the binary: the contract with downstream users.

use std::sync::LazyLock;

use serde_json::Value;

/// `(name, text)` of every schema in `schemas/`.
pub const ALL: [(&str, &str); 6] = [
    ("trace", include_str!("../schemas/trace.schema.json")),
    ("pattern", include_str!("../schemas/pattern.schema.json")),
    ("error", include_str!("../schemas/error.schema.json")),
    ("fingerprint", include_str!("../schemas/fingerprint.schema.json")),
    ("run_summary", include_str!("../schemas/run_summary.schema.json")),
    ("pipeline", PIPELINE),
];

/// The schema of pipeline files.
pub const PIPELINE: &str = include_str!("../schemas/pipeline.schema.json");

/// The pattern schema, parsed once.
pub fn pattern() -> &'static Value {
    static PATTERN: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(ALL[1].1).unwrap_or_default());
    &PATTERN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_a_valid_schema() {
        for (name, text) in ALL {
            let schema: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(jsonschema::draft202012::new(&schema).is_ok(), "{name}");
        }
        assert!(pattern()["properties"]["category"].is_object());
    }
}
