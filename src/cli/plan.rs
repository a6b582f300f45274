//! `failsift plan`.

use std::fmt::Write as _;
use std::io::Write;

use serde_json::json;

use super::analysis_args::AnalysisArgs;
use super::exit::{Exit, Failure};
use super::output;
use crate::config::AnalysisConfig;
use crate::model::escape_control_chars;
use crate::plan::{self, Plan, Range};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    analysis: AnalysisArgs,
    /// Where the tables lie; traces that have a pattern there of the same settings are not asked about again
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT")]
    output: Option<String>,
    /// Plan as for `run --force`
    #[arg(long)]
    force: bool,
    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = PlanFormat::Text)]
    format: PlanFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PlanFormat {
    /// For reading
    Text,
    /// One JSON object
    Json,
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    let (pipeline, given) = args.analysis.into_overrides();
    let in_environment = std::env::var_os("FAILSIFT_REDACTION_KEY").is_some();
    let (config, output) = AnalysisConfig::resolve_for_plan(pipeline.as_deref(), given, args.output, in_environment)?;
    let most = config.model.cost_max_usd;
    let Some(plan) = plan::plan(&config, output.as_deref(), args.force).await? else {
        return Err(Failure::usage(
            "there is nothing to plan: the embedded analyzer asks no model and costs nothing\n  hint: --analyzer gemini, or --analyzer openai",
        ));
    };
    let mut stdout = std::io::stdout().lock();
    match args.format {
        PlanFormat::Text => write!(stdout, "{}", escape_control_chars(&text(&plan, most)))?,
        PlanFormat::Json => writeln!(stdout, "{}", json(&plan))?,
    }
    if plan.cost_usd.is_none() {
        output::note("the price of the model is not known; --prices FILE names a file with it (data/prices.toml shows its form)");
    }
    Ok(Exit::Complete)
}

fn text(plan: &Plan, most: Option<f64>) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<16}{value}");
    };
    line("model", plan.model.clone().unwrap_or_else(|| "the one that the server has".into()));
    line("traces", plan.traces.to_string());
    for (name, count, says) in [
        ("unchanged", plan.unchanged, "their patterns are there and are not paid for again"),
        ("filtered", plan.filtered, "left out by the selection"),
        ("rejected", plan.rejected, "cannot be read; failsift inspect says why"),
        ("cut", plan.cut, "longer than --prompt-tokens; what failed and its surroundings are shown"),
    ] {
        if count > 0 {
            line(name, format!("{count}   {says}"));
        }
    }
    line("input tokens", between(plan.input_tokens, |tokens| tokens.to_string()));
    line("output tokens", between(plan.output_tokens, |tokens| tokens.to_string()));
    line(
        "cost",
        plan.cost_usd.map_or_else(|| "unknown".into(), |cost| format!("{} US dollars", between(cost, |cost| format!("{cost:.2}")))),
    );
    line("minutes", between(plan.minutes, |minutes| format!("{minutes:.1}")));
    if let (Some(most), Some(cost)) = (most, plan.cost_usd)
        && cost.most > most
    {
        line("limit", format!("--max-cost {most} may stop the run before its end"));
    }
    out
}

fn between<T: Copy + PartialEq>(range: Range<T>, shown: impl Fn(T) -> String) -> String {
    let (least, most) = (shown(range.least), shown(range.most));
    if least == most { least } else { format!("{least} to {most}") }
}

fn json(plan: &Plan) -> serde_json::Value {
    json!({
        "model": plan.model,
        "traces": plan.traces,
        "unchanged": plan.unchanged,
        "filtered": plan.filtered,
        "rejected": plan.rejected,
        "cut": plan.cut,
        "input_tokens": [plan.input_tokens.least, plan.input_tokens.most],
        "output_tokens": [plan.output_tokens.least, plan.output_tokens.most],
        "cost_usd": plan.cost_usd.map(|cost| [cost.least, cost.most]),
        "minutes": [plan.minutes.least, plan.minutes.most],
    })
}
