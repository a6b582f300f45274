//! `failsift check`: checks the configuration of a run and everything that it needs, and prints all findings.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::analysis_args::AnalysisArgs;
use super::exit::{Exit, Failure};
use super::{counted, output};
use crate::check::{self, CheckOptions, CheckStatus, Finding};
use crate::config::{self, ConfigError, Given, NotifySection, Origin, Origins, Resolution, RunSection, TelemetrySection, WriteSection};
use crate::model::escape_to_one_line;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    analysis: AnalysisArgs,
    #[command(flatten)]
    write: WriteSection,
    #[command(flatten)]
    run: RunSection,
    #[command(flatten)]
    notify: NotifySection,
    #[command(flatten)]
    telemetry: TelemetrySection,
    /// Do not use the network: check files and settings only
    #[arg(long)]
    offline: bool,
    /// Time for each check, such as 30s
    #[arg(long, value_name = "TIME", value_parser = config::parse_duration, default_value = "10s")]
    timeout: Duration,
    /// Output format of the findings
    #[arg(long, value_enum, default_value_t = CheckFormat::Text)]
    format: CheckFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum CheckFormat {
    /// Human-readable text
    Text,
    /// One JSON object
    Json,
}

pub(super) async fn execute(args: Args, origins: Origins) -> Result<Exit, Failure> {
    let mut given = args.analysis.into_given(args.write, args.run, origins);
    given.settings.notify = args.notify;
    given.settings.telemetry = args.telemetry;
    let findings = findings(&given, CheckOptions { timeout: args.timeout, offline: args.offline }).await;
    let problems = findings.iter().filter(|finding| finding.status == CheckStatus::Problem).count();
    let mut stdout = std::io::stdout().lock();
    match args.format {
        CheckFormat::Text => write!(stdout, "{}", text(&findings, problems))?,
        CheckFormat::Json => writeln!(stdout, "{}", output::escaped_json(&json(&findings, problems).to_string()))?,
    }
    Ok(if problems == 0 { Exit::Complete } else { Exit::OverThreshold })
}

/// The findings about the configuration, and about what it names as far as it is usable.
async fn findings(given: &Given, options: CheckOptions) -> Vec<Finding> {
    let subject = given.file.as_ref().map_or_else(|| "command line".to_owned(), |path| path.display().to_string());
    let problem = |error: &ConfigError| Finding::new("configuration", subject.clone(), CheckStatus::Problem, error.to_string());
    let mut resolution = match Resolution::new(given) {
        Ok(resolution) => resolution,
        Err(errors) => {
            let rest = Finding::new("inputs, output, model", "", CheckStatus::Skipped, "the configuration cannot be read");
            return errors.0.iter().map(problem).chain([rest]).collect();
        }
    };
    let config = resolution.run(given);
    let mut findings: Vec<Finding> = resolution.problems.iter().map(problem).collect();
    if findings.is_empty() {
        let given = resolution.settings.iter().filter(|setting| !matches!(setting.origin, Origin::Default | Origin::NotSet)).count();
        findings.push(Finding::new("configuration", subject, CheckStatus::Ok, counted(given as u64, "setting")));
    }
    findings.extend(check::check(&config, options).await);
    findings
}

/// One line for each check; that of a problem continues with its hint.
fn text(findings: &[Finding], problems: usize) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    let line = |finding: &Finding| {
        let (check, subject) = (finding.check, escape_to_one_line(&finding.subject));
        match finding.status {
            CheckStatus::Problem => format!("problem  {check:width$}  {}\n", output::indented(&finding.message, 11 + width)),
            CheckStatus::Ok => format!("ok       {}\n", remark(check, width, &subject, &finding.message)),
            CheckStatus::Skipped => format!("skipped  {}\n", remark(check, width, &subject, &finding.message)),
        }
    };
    findings.iter().map(line).chain([format!("{}\n", counted(problems as u64, "problem"))]).collect()
}

/// `input  s3://b/x: first object s3://b/x/a.jsonl`
fn remark(check: &str, width: usize, subject: &str, message: &str) -> String {
    let parts: Vec<String> = [subject.to_owned(), escape_to_one_line(message)].into_iter().filter(|part| !part.is_empty()).collect();
    format!("{check:width$}  {}", parts.join(": "))
}

fn json(findings: &[Finding], problems: usize) -> Value {
    let finding = |finding: &Finding| {
        let (message, hint) =
            finding.message.split_once("\n  hint: ").map_or((finding.message.as_str(), None), |(message, hint)| (message, Some(hint)));
        let status = match finding.status {
            CheckStatus::Ok => "ok",
            CheckStatus::Problem => "problem",
            CheckStatus::Skipped => "skipped",
        };
        json!({"check": finding.check, "subject": finding.subject, "status": status, "message": message, "hint": hint})
    };
    json!({"problems": problems, "checks": findings.iter().map(finding).collect::<Vec<_>>()})
}
