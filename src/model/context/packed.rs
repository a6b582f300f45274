//! What the records of a trace say about its deployment, while its spans are gathered.

use serde::{Deserialize, Serialize};

use super::{ContextField, VALUE_BYTES_MAX};
use crate::model::Attribute;

/// Bytes of a whole [`Context`], which is stored with each span while traces are gathered.
const CONTEXT_BYTES_MAX: usize = 2 * 1024;

/// What the records of a trace say about their deployment, packed into one text: attributes, one a line. A resource has the same for all of its spans, and
/// each of them is stored on its own while traces are gathered, so this must be cheap to copy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Context(String);

impl Context {
    /// Adds an attribute. Empty, long and repeated ones are left out, and so are those beyond a limit.
    pub fn add(&mut self, key: &str, value: &str) {
        let value = value.trim();
        let is_valid = |text: &str| !text.is_empty() && !text.contains(['\n', '\t', '\r']);
        let bytes = key.len() + value.len() + 2;
        if !is_valid(key) || !is_valid(value) || value.len() > VALUE_BYTES_MAX || self.0.len() + bytes > CONTEXT_BYTES_MAX {
            return;
        }
        if self.iter().any(|(known, _)| known == key) {
            return;
        }
        self.0.extend([key, "\t", value, "\n"]);
    }

    /// Adds an attribute of a resource, if it is one of those that are kept: what describes the deployment, and neither the machine nor the SDK in detail.
    pub fn add_of_resource(&mut self, key: &str, value: &str) {
        const PREFIXES: [&str; 9] =
            ["service.", "vcs.", "git.", "langfuse.", "langsmith.", "traceloop.", "openinference.", "deployment.", "telemetry.sdk."];
        const KEYS: [&str; 10] = [
            "cloud.provider",
            "container.image.name",
            "container.image.tag",
            "container.image.tags",
            "k8s.cluster.name",
            "k8s.deployment.name",
            "k8s.namespace.name",
            "process.runtime.name",
            "process.runtime.version",
            "faas.name",
        ];
        // Both have a field of the trace.
        let is_field = matches!(key, "service.name" | "deployment.environment" | "deployment.environment.name");
        let is_kept = || ContextField::of(key).is_some() || PREFIXES.iter().any(|prefix| key.starts_with(prefix)) || KEYS.contains(&key);
        if !is_field && is_kept() {
            self.add(key, value);
        }
    }

    /// Adds an attribute whose value may be unknown.
    pub fn add_known(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.split_once('\t'))
    }

    /// The attributes of several contexts. Of two with the same name the first counts.
    pub fn join<'c>(contexts: impl IntoIterator<Item = &'c Self>) -> Vec<Attribute> {
        const ATTRIBUTES_MAX: usize = 64;
        let mut joined: Vec<Attribute> = Vec::new();
        let mut last: Option<&Self> = None;
        for context in contexts {
            // Most spans of a trace have the same.
            if context.0.is_empty() || last == Some(context) {
                continue;
            }
            last = Some(context);
            for (key, value) in context.iter() {
                if joined.len() < ATTRIBUTES_MAX && joined.iter().all(|known| known.key != key) {
                    joined.push(Attribute { key: key.to_owned(), value: value.to_owned() });
                }
            }
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_bounded_and_keeps_what_describes_the_deployment() {
        let mut context = Context::default();
        for (key, value) in [
            ("service.version", "1.4.2"),
            ("service.name", "support"),
            ("host.arch", "amd64"),
            ("vcs.ref.head.revision", "9f1c"),
            ("service.version", "other"),
            ("telemetry.sdk.version", "1.30\n0"),
        ] {
            context.add_of_resource(key, value);
        }
        assert_eq!(context.iter().collect::<Vec<_>>(), [("service.version", "1.4.2"), ("vcs.ref.head.revision", "9f1c")]);
        (0..1_000).for_each(|index| context.add(&format!("k{index}"), "0123456789"));
        assert!(context.0.len() <= CONTEXT_BYTES_MAX);
        let mut other = Context::default();
        other.add("service.version", "2");
        other.add("project", "p");
        let joined = Context::join([&Context::default(), &context, &context, &other]);
        assert_eq!((joined[0].value.as_str(), joined.len()), ("1.4.2", 64));
    }
}
