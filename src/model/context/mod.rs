//! What a trace says about the program that ran and for whom: its version, revision, prompt, project and region, the user and the session, and the cost
//! of its calls. Every convention and every tracing product names these differently; [`ContextField::of`] knows the names.

mod names;
mod packed;
mod run;

use std::sync::LazyLock;

use self::names::Names;
pub use self::packed::Context;
pub use self::run::RunContext;

/// Bytes of one value. Longer ones are texts rather than names, and are left out.
const VALUE_BYTES_MAX: usize = 256;

/// What an attribute says about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContextField {
    /// The user of the application.
    User,
    /// The session, conversation or thread.
    Session,
    /// The version of the service.
    ServiceVersion,
    /// The instance of the service.
    ServiceInstance,
    /// The revision of the source code.
    Revision,
    /// The name of the prompt.
    PromptName,
    /// The version of the prompt.
    PromptVersion,
    /// The project of the tracing tool.
    Project,
    /// The region or zone.
    Region,
    /// The cost of a call or a run in US dollars.
    Cost,
    /// One part of the cost of a call: that of its input or of its output.
    PartialCost,
    /// The path of the trace on the server of its own tool.
    Path,
}

impl ContextField {
    /// What an attribute of this name says, with its rank among the names for the same; lower ranks are preferred.
    pub fn of(key: &str) -> Option<(Self, usize)> {
        static NAMES_BY_LENGTH: LazyLock<Names> = LazyLock::new(Names::new);
        NAMES_BY_LENGTH.find(key)
    }

    /// Whether a value can be what the field says. Programs write placeholders for what they do not know.
    fn accepts(self, value: &str) -> bool {
        const PLACEHOLDERS: [&str; 22] = [
            "-",
            "?",
            "0.0.0",
            "<unknown>",
            "[redacted]",
            "anon",
            "anonymous",
            "default",
            "default_user_id",
            "false",
            "n/a",
            "na",
            "nil",
            "no_user",
            "none",
            "null",
            "redacted",
            "true",
            "undefined",
            "unknown",
            "unset",
            "<redacted>",
        ];
        let is_masked = |value: &str| value.bytes().all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'-'));
        let is_name = !value.is_empty() && value.len() <= VALUE_BYTES_MAX && !value.contains('\n') && !value.starts_with(['{', '[']);
        match self {
            Self::Cost | Self::PartialCost => true,
            Self::User | Self::Session if matches!(value, "0" | "-1") => false,
            _ => is_name && !PLACEHOLDERS.iter().any(|word| word.eq_ignore_ascii_case(value)) && !is_masked(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_every_convention_are_known() {
        for (key, field) in [
            ("user.id", ContextField::User),
            ("enduser.id", ContextField::User),
            ("langsmith.metadata.user_id", ContextField::User),
            ("metadata.userId", ContextField::User),
            ("traceloop.association.properties.user_id", ContextField::User),
            ("ai.telemetry.metadata.userId", ContextField::User),
            ("trace_metadata.mlflow.trace.user", ContextField::User),
            ("tags.user_id", ContextField::User),
            ("gen_ai.conversation.id", ContextField::Session),
            ("metadata.thread_id", ContextField::Session),
            ("ai.telemetry.metadata.sessionId", ContextField::Session),
            ("traceloop.association.properties.session_id", ContextField::Session),
            ("tags.version", ContextField::ServiceVersion),
            ("tags.git.commit.sha", ContextField::Revision),
            ("metadata.revision_id", ContextField::Revision),
            ("llm.prompt_template.version", ContextField::PromptVersion),
            ("openinference.project.name", ContextField::Project),
            ("otel.resource.cloud.region", ContextField::Region),
            ("llm.cost.total", ContextField::Cost),
        ] {
            assert_eq!(ContextField::of(key).map(|(field, _)| field), Some(field), "{key}");
        }
        // The user of the operating system, and words that mean something else outside of metadata.
        for key in ["mlflow.user", "user", "version", "input", "llm.model_name", "thread.name", "session"] {
            assert_eq!(ContextField::of(key), None, "{key}");
        }
    }

    #[test]
    fn placeholders_are_no_values() {
        for value in ["", "anonymous", "None", "***", "null", "{\"a\":1}", "default_user_id", "0"] {
            assert!(!ContextField::User.accepts(value), "{value}");
        }
        assert!(ContextField::User.accepts("u-17") && ContextField::Region.accepts("eu-central-1"));
    }
}
