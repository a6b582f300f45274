//! The arguments that `run`, `plan` and `check` share: which traces to read and how to analyze them. Only collects what was given; `config`
//! resolves it.

use std::path::PathBuf;

use crate::analyze::Links;
use crate::config::{
    AnalyzeSection, Given, ModelOptions, Origins, Pipeline, RedactSection, RunSection, SourceSection, VariableOptions, WriteSection,
};

#[derive(Debug, clap::Args)]
pub(super) struct AnalysisArgs {
    /// Pipeline file; flags and FAILSIFT_* variables take precedence
    pipeline: Option<PathBuf>,
    #[command(flatten)]
    source: SourceSection,
    #[command(flatten)]
    analyze: AnalyzeSection,
    #[command(flatten)]
    redact: RedactSection,
    /// Template of the link to a trace in its own tool, as `[FORMAT=]URL` with placeholders such as `{trace_id}`; can be repeated
    #[arg(id = "links", long = "trace-url", value_name = "URL", env = "FAILSIFT_TRACE_URL")]
    trace_urls: Vec<String>,
    #[command(flatten)]
    variables: VariableOptions,
    #[command(flatten)]
    model: ModelOptions,
}

impl AnalysisArgs {
    /// What was given, with the settings of a command that writes.
    pub(super) fn into_given(self, write: WriteSection, run: RunSection, origins: Origins) -> Given {
        let link = |text: &String| {
            let (format, template) = Links::split_flag(text);
            (format.to_owned(), template.to_owned())
        };
        let links = self.trace_urls.iter().map(link).collect();
        Given {
            file: self.pipeline,
            settings: Pipeline {
                source: self.source,
                redact: self.redact,
                analyze: self.analyze,
                model: self.model,
                links,
                write,
                run,
                ..Pipeline::default()
            },
            origins,
            variables: self.variables,
            has_key_in_environment: super::has_key_in_environment(),
            fresh: false,
            force: false,
        }
    }
}
