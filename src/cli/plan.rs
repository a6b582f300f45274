//! `failsift plan`: prints what a run with a model would cost. The estimate itself is made by `plan`.

use std::fmt::Write as _;
use std::io::Write;

use serde_json::json;

use super::analysis_args::AnalysisArgs;
use super::exit::{Exit, Failure};
use super::output;
use crate::config::{AnalysisConfig, Origins, WriteSection};
use crate::model::escape_control_chars;
use crate::plan::{self, Plan, Range};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    analysis: AnalysisArgs,
    /// Location of the tables; traces with a pattern of the same settings are not analyzed again
    #[arg(id = "write.output", long = "output", value_name = "URL", env = "FAILSIFT_OUTPUT")]
    output: Option<String>,
    /// Plan as for `run --force`
    #[arg(long)]
    force: bool,
    /// Output format of the plan
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    format: PlanFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PlanFormat {
    /// Human-readable text
    Text,
    /// One JSON object
    Json,
}

pub(super) async fn execute(args: Args, origins: Origins) -> Result<Exit, Failure> {
    let write = WriteSection { output: args.output, ..WriteSection::default() };
    let (config, output) = AnalysisConfig::resolve_for_plan(&args.analysis.into_given(write, origins))?;
    let cost_max_usd = config.model.cost_max_usd;
    let Some(plan) = plan::plan(&config, output.as_deref(), args.force).await? else {
        return Err(Failure::usage(
            "nothing to plan: the embedded analyzer is free\n  hint: select a model with --analyzer gemini or --analyzer openai",
        ));
    };
    let mut stdout = std::io::stdout().lock();
    match args.format {
        PlanFormat::Text => write!(stdout, "{}", escape_control_chars(&text(&plan, cost_max_usd)))?,
        PlanFormat::Json => writeln!(stdout, "{}", json(&plan))?,
    }
    if plan.cost_usd.is_none() {
        output::note("the price of the model is unknown; --prices FILE adds it (data/prices.toml shows the format)");
    }
    Ok(Exit::Complete)
}

fn text(plan: &Plan, cost_max_usd: Option<f64>) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<16}{value}");
    };
    line("model", plan.model.clone().unwrap_or_else(|| "the only model of the server".into()));
    line("traces", plan.traces.to_string());
    for (name, count, explanation) in [
        ("unchanged", plan.unchanged, "have a result already and are not paid for again"),
        ("filtered", plan.filtered, "excluded by the selection"),
        ("rejected", plan.rejected, "cannot be processed; failsift inspect shows why"),
        ("cut", plan.cut, "longer than --prompt-tokens; the prompt shows failed spans and their surroundings"),
    ] {
        if count > 0 {
            line(name, format!("{count}   {explanation}"));
        }
    }
    line("input tokens", range(plan.input_tokens, |tokens| tokens.to_string()));
    line("output tokens", range(plan.output_tokens, |tokens| tokens.to_string()));
    line("cost", plan.cost_usd.map_or_else(|| "unknown".into(), |cost| format!("{} US dollars", range(cost, |cost| format!("{cost:.2}")))));
    line("minutes", range(plan.minutes, |minutes| format!("{minutes:.1}")));
    if let (Some(limit), Some(cost)) = (cost_max_usd, plan.cost_usd)
        && cost.max > limit
    {
        line("limit", format!("the run may reach --max-cost {limit} before its end"));
    }
    out
}

fn range<T: Copy + PartialEq>(range: Range<T>, format: impl Fn(T) -> String) -> String {
    let (min, max) = (format(range.min), format(range.max));
    if min == max { min } else { format!("{min} to {max}") }
}

fn json(plan: &Plan) -> serde_json::Value {
    json!({
        "model": plan.model,
        "traces": plan.traces,
        "unchanged": plan.unchanged,
        "filtered": plan.filtered,
        "rejected": plan.rejected,
        "cut": plan.cut,
        "input_tokens": [plan.input_tokens.min, plan.input_tokens.max],
        "output_tokens": [plan.output_tokens.min, plan.output_tokens.max],
        "cost_usd": plan.cost_usd.map(|cost| [cost.min, cost.max]),
        "minutes": [plan.minutes.min, plan.minutes.max],
    })
}
