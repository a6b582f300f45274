//! Maps the attributes and events of a span to its fields, by the semantic conventions of LLM instrumentation.
//!
//! [`SpanMapper`] takes the decoded attributes and events of one span, in any order, and returns a [`Span`]. This module knows no formats:
//! OTLP and Phoenix decode their records first.
//!
//! A convention is one file that implements [`Convention`], and one line in [`CONVENTIONS`]. [`SpanMapper`] offers an attribute to the
//! conventions that read the namespace of its key (`llm` in `llm.model_name`) until one of them maps it. An attribute that no convention
//! takes is kept on the span unchanged.

mod claude_code;
mod codex;
mod event_list;
mod gemini_cli;
mod gen_ai;
mod gen_ai_events;
mod genkit;
mod google_adk;
mod haystack;
mod indexed;
mod instructor;
mod laminar;
mod langfuse;
mod langsmith_otel;
mod langwatch;
mod litellm;
mod livekit;
mod logfire;
mod mastra;
mod mcp;
mod microsoft;
mod mlflow;
mod namespaces;
mod openai_agents;
mod openinference;
mod openllmetry;
mod opentelemetry;
mod pydantic_ai;
mod span_builder;
mod strands;
mod vercel_ai;
mod voltagent;

use std::borrow::Cow;
use std::sync::LazyLock;

pub(super) use self::gen_ai_events::EventContent;
pub(super) use self::langfuse::observation_kind;
use self::namespaces::{IndexedConvention, NamespaceTable};
pub(super) use self::openai_agents::error_text as openai_agents_error;
pub(super) use self::openinference::span_kind as openinference_kind;
use self::span_builder::SpanBuilder;
use super::infer;
use super::value::Value;
use crate::model::Span;

/// Every convention, specific ones before general ones. Conventions that read the same namespace are asked in this order, so that a framework may give
/// a general name its own meaning. They finish a span in the opposite order, so that it sees what the general ones found.
const CONVENTIONS: [&dyn Convention; 27] = [
    &instructor::Instructor,
    &openai_agents::OpenAiAgents,
    &langfuse::Langfuse,
    &strands::Strands,
    &google_adk::GoogleAdk,
    &microsoft::Microsoft,
    &livekit::LiveKit,
    &claude_code::ClaudeCode,
    &codex::Codex,
    &gemini_cli::GeminiCli,
    &vercel_ai::VercelAi,
    &mastra::Mastra,
    &genkit::Genkit,
    &voltagent::VoltAgent,
    &logfire::Logfire,
    &pydantic_ai::PydanticAi,
    &mlflow::Mlflow,
    &haystack::Haystack,
    &litellm::LiteLlm,
    &langsmith_otel::LangSmithOtel,
    &langwatch::LangWatch,
    &laminar::Laminar,
    &mcp::Mcp,
    &openinference::OpenInference,
    &gen_ai::GenAi,
    &openllmetry::OpenLlmetry,
    &opentelemetry::OpenTelemetry,
];

/// A semantic convention: a vocabulary of attribute and event names.
///
/// A convention itself is stateless; [`Self::start`] returns its state for one span.
/// Several conventions may describe the same span, because instrumentations stack.
///
/// The documentation of each file names the specification and the version that was checked, shows a short sample, and lists the quirks of
/// real exporters with the version in which each was seen.
trait Convention: Sync {
    /// The name in reports, which is that of its file: `gen_ai`.
    fn name(&self) -> &'static str;

    /// How specific it is. The main convention of a span is the most specific one that maps any of it.
    fn scope(&self) -> Scope {
        Scope::Framework
    }

    /// The namespaces of the attributes that it reads: the first segments of their keys, such as `llm` for `llm.model_name`. A key without a
    /// dot is its own first segment.
    fn namespaces(&self) -> &'static [&'static str];

    /// Single keys that it reads of a namespace of other conventions, such as `gen_ai.prompt`.
    fn keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether it reads span events with this name. The first convention in the order of [`CONVENTIONS`] gets the event.
    fn reads_event(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// The state for one span. Called for the first attribute or event of the span that the convention may read. A convention without
    /// state returns a zero-sized type, for which `Box` does not allocate.
    fn start(&self) -> Box<dyn ConventionState>;
}

/// How many frameworks share a convention, from all to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// Any program: errors, HTTP.
    General,
    /// The instrumentations of many frameworks.
    Shared,
    /// One framework or one tracing product.
    Framework,
}

/// How a convention maps one span.
///
/// Attributes arrive in any order. If several describe the same field, [`SpanBuilder`] decides by their rank; a field that the methods of
/// the builder do not rank is usually set by the last attribute, and exceptions are noted in comments. Inputs and outputs whose meaning depends on
/// the kind of the span are resolved by the builder. Anything else that depends on other attributes is remembered here and resolved in
/// [`Self::finish`].
trait ConventionState {
    /// Maps one attribute. Returns the value if the attribute is not part of the convention, or is also useful unchanged.
    ///
    /// A list or map of the convention that cannot be read, such as messages or documents, is returned too, and counted in
    /// [`Span::unread_fields`] if its absence could be mistaken for an empty result. A scalar of another type than the convention
    /// defines, such as a token count that is text, is dropped.
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>>;

    /// Maps one event for which [`Convention::reads_event`] returned `true`. `attributes` is a map.
    fn add_event(&mut self, name: &str, attributes: Value<'_>, span: &mut SpanBuilder) {
        let _ = (name, attributes, span);
    }

    /// Resolves what depends on several attributes. Called after all attributes and events, and after the more general conventions have
    /// finished. A kind that no attribute defines is inferred only afterwards.
    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        let _ = span;
    }
}

/// Maps the attributes and events of one span to its fields.
pub(super) struct SpanMapper {
    builder: SpanBuilder,
    /// The state of each convention, by its index in [`CONVENTIONS`].
    states: [Option<Box<dyn ConventionState>>; CONVENTIONS.len()],
    /// The number of attributes and events that each convention mapped.
    mapped: [u32; CONVENTIONS.len()],
}

impl SpanMapper {
    /// Starts with the fields that the format itself defines.
    pub(super) fn new(span: Span) -> Self {
        Self { builder: SpanBuilder::new(span), states: [const { None }; CONVENTIONS.len()], mapped: [0; CONVENTIONS.len()] }
    }

    /// Maps one attribute, or keeps it as an attribute of the span.
    pub(super) fn set_attribute(&mut self, key: Cow<'_, str>, mut value: Value<'_>) {
        for (convention, index) in conventions_of(&key) {
            let Some(slot) = self.states.get_mut(*index) else { continue };
            let state = slot.get_or_insert_with(|| convention.start());
            match state.set_attribute(&key, value, &mut self.builder) {
                Some(unmapped) => value = unmapped,
                None => return self.count(*index),
            }
        }
        self.builder.keep_attribute(key, value);
    }

    /// Maps one event on the span. An event that no convention reads is dropped.
    pub(super) fn add_event<'v>(&mut self, name: &str, attributes: impl IntoIterator<Item = (Cow<'v, str>, Value<'v>)>) {
        let reader = CONVENTIONS.iter().zip(&mut self.states).enumerate().find(|(_, (convention, _))| convention.reads_event(name));
        if let Some((index, (convention, slot))) = reader {
            let state = slot.get_or_insert_with(|| convention.start());
            state.add_event(name, Value::Map(attributes.into_iter().collect()), &mut self.builder);
            self.count(index);
        }
    }

    fn count(&mut self, index: usize) {
        if let Some(mapped) = self.mapped.get_mut(index) {
            *mapped += 1;
        }
    }

    /// The most specific convention that mapped any attribute or event; of several, the one that mapped most.
    fn main_convention(&self) -> Option<&'static str> {
        let mapped = CONVENTIONS.iter().zip(&self.mapped).filter(|(_, count)| **count > 0);
        mapped.max_by_key(|(convention, count)| (convention.scope(), **count)).map(|(convention, _)| convention.name())
    }

    /// The span, with the fields that depend on several attributes and events.
    pub(super) fn finish(mut self) -> Span {
        self.builder.fields.convention = self.main_convention();
        for state in self.states.into_iter().rev().flatten() {
            state.finish(&mut self.builder);
        }
        infer::infer_fields(self.builder.finish())
    }
}

/// The conventions that read an attribute, in the order of [`CONVENTIONS`].
fn conventions_of(key: &str) -> &'static [IndexedConvention] {
    static TABLE: LazyLock<NamespaceTable> = LazyLock::new(|| NamespaceTable::new(&CONVENTIONS));
    TABLE.of(key)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::SpanKind;

    /// The span named `step` with these attributes.
    pub(in crate::parse) fn span_with(attributes: &[(&'static str, &'static str)]) -> Span {
        named_span("step", attributes)
    }

    /// The span with this name and these attributes.
    pub(in crate::parse) fn named_span(name: &str, attributes: &[(&'static str, &'static str)]) -> Span {
        let mut span = SpanMapper::new(Span { name: name.into(), ..Span::default() });
        for (key, value) in attributes {
            span.set_attribute(Cow::Borrowed(*key), Value::Text(Cow::Borrowed(*value)));
        }
        span.finish()
    }

    #[test]
    fn the_model_does_not_depend_on_the_order_of_attributes() {
        let mut attributes = [
            ("gen_ai.request.model", "asked"),
            ("gen_ai.response.model", "answered"),
            ("gen_ai.system", "old"),
            ("gen_ai.provider.name", "new"),
        ];
        for _ in 0..attributes.len() {
            attributes.rotate_left(1);
            let span = span_with(&attributes);
            assert_eq!((span.model.as_deref(), span.provider.as_deref()), (Some("answered"), Some("new")));
        }
    }

    #[test]
    fn an_attribute_is_offered_to_every_convention_that_reads_its_namespace() {
        let span = span_with(&[("llm.model_name", "m"), ("llm.request.type", "chat"), ("llm.unknown", "kept"), ("plain", "kept too")]);
        assert_eq!((span.model.as_deref(), span.kind), (Some("m"), SpanKind::Llm));
        assert_eq!((span.attribute("llm.unknown"), span.attribute("plain")), (Some("kept"), Some("kept too")));
        let names: Vec<_> = conventions_of("llm").iter().map(|(convention, _)| convention.name()).collect();
        assert!(names.ends_with(&["openinference", "openllmetry"]), "{names:?}");
        assert!(conventions_of("user").is_empty() && conventions_of("").is_empty());
    }

    #[test]
    fn a_single_key_is_offered_to_its_readers_and_to_those_of_its_namespace() {
        let names = |key: &str| conventions_of(key).iter().map(|(convention, _)| convention.name()).collect::<Vec<_>>();
        assert_eq!(names("gen_ai.request.model"), ["gen_ai", "openllmetry"]);
        assert_eq!(names("gen_ai.prompt"), ["strands", "langsmith_otel", "gen_ai", "openllmetry"]);
    }

    #[test]
    fn specific_conventions_come_before_general_ones() {
        assert!(CONVENTIONS.is_sorted_by_key(|convention| std::cmp::Reverse(convention.scope())));
        let mut names: Vec<_> = CONVENTIONS.iter().map(|convention| convention.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CONVENTIONS.len(), "two conventions have the same name");
    }

    #[test]
    fn a_framework_sees_what_the_general_conventions_found() {
        // The error of a step is in `error`, which is also a general name; Logfire adds the message that it logged.
        let span =
            span_with(&[("logfire.msg", "Function: lookup"), ("logfire.level_num", "17"), ("name", "lookup"), ("error", "no such order")]);
        assert!(span.failed(), "{span:?}");
    }

    #[test]
    fn an_event_that_no_convention_reads_is_dropped() {
        let mut span = SpanMapper::new(Span::default());
        span.add_event("retry", [(Cow::Borrowed("gen_ai.request.model"), Value::Text(Cow::Borrowed("m")))]);
        assert_eq!(span.finish(), Span::default());
    }
}
