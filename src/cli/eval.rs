//! `failsift eval`: parses its arguments, calls `eval`, and prints the scores as text or JSON.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::{counted, output};
use crate::config::{AnalysisConfig, AnalyzeSection, AnalyzerName, Given, ModelOptions, Origins, Pipeline, RedactSection, SourceSection};
use crate::eval::{self, Agreement, AnalyzerResult, Answers, Figures, Labels, ScoredAnswer};
use crate::model::{Label, ReasonCount, escape_control_chars, escape_to_one_line};
use crate::parse;
use crate::redact::KindOptions;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["labels", "review", "ratings", "explain"]).required(true).multiple(true))]
pub(super) struct Args {
    /// Labelled traces: a path, a glob or a URL; can be repeated
    #[arg(id = "source.inputs", long = "input", value_name = "URL", required_unless_present = "ratings")]
    inputs: Vec<String>,
    /// JSON lines with `trace_id`, `category`, `contributing_factor`, and optionally `also` and `span_id`; can be repeated
    #[arg(long = "labels", value_name = "FILE", conflicts_with = "ratings")]
    labels: Vec<PathBuf>,
    /// Analyzer of the traces; if repeated, the analyzers are compared side by side
    #[arg(long = "analyzer", value_name = "NAME", value_enum, default_value = "embedded")]
    analyzers: Vec<AnalyzerName>,
    /// File with custom rules, which add to the shipped ones or replace them; can be repeated
    #[arg(id = "analyze.rules", long = "rules", value_name = "FILE")]
    rules: Vec<PathBuf>,
    #[arg(id = "source.format", long = "input-format", help = parse::format_help("Trace format"), value_name = "NAME")]
    input_format: Option<String>,
    /// Write N patterns as a sheet for a person to rate
    #[arg(long, value_name = "N", requires = "sheet")]
    review: Option<usize>,
    /// The sheet that --review writes (CSV)
    #[arg(long, value_name = "FILE", requires = "review")]
    sheet: Option<PathBuf>,
    /// Read a rated sheet instead of labels
    #[arg(long, value_name = "FILE", conflicts_with_all = ["source.inputs", "review"])]
    ratings: Option<PathBuf>,
    /// Write the explanations of the embedded analyzer as JSON lines, for `data/fit/fit.py`
    #[arg(long, value_name = "FILE")]
    explain: Option<PathBuf>,
    /// Exit with 3 if the accuracy of category and factor is lower
    #[arg(long, value_name = "SHARE", value_parser = share)]
    min_accuracy: Option<f64>,
    /// Exit with 3 if the expected calibration error is higher
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_ece: Option<f64>,
    /// File with the redaction key; `FAILSIFT_REDACTION_KEY` sets the key itself
    #[arg(id = "redact.key_file", long = "redaction-key-file", value_name = "FILE")]
    redaction_key_file: Option<PathBuf>,
    /// File with custom detectors and allowed values; can be repeated
    #[arg(id = "redact.rules", long = "redaction-rules", value_name = "FILE")]
    redaction_rules: Vec<PathBuf>,
    #[command(flatten)]
    redaction_kinds: KindOptions,
    /// Output format of the scores
    #[arg(long, value_enum, default_value_t = FiguresFormat::Text)]
    format: FiguresFormat,
    #[command(flatten)]
    model: ModelOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FiguresFormat {
    /// Human-readable text
    Text,
    /// One JSON object
    Json,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| format!("invalid share '{text}'; expected a number from 0 to 1"))
}

pub(super) async fn execute(args: Args, origins: &Origins) -> Result<Exit, Failure> {
    if let Some(path) = &args.ratings {
        let scored = eval::read_ratings(path).map_err(|error| Failure::usage(error.to_string()))?;
        return report(&args, &scored, None);
    }
    // Labels are read first, so that an error in them does not cost a run.
    let labels = match args.labels.as_slice() {
        [] => None,
        paths => Some(Labels::read(paths).map_err(|error| Failure::usage(error.to_string()))?),
    };
    if let [_, _, ..] = args.analyzers.as_slice() {
        return compare(&args, labels.as_ref(), origins).await;
    }
    let config = config(&args, args.analyzers.first().copied(), origins)?;
    let answers = eval::collect_answers(&config, args.explain.is_some()).await?;
    if let Some(reason) = &answers.first_rejection {
        output::note(&no_pattern(&answers, reason));
    }
    if let Some(path) = &args.explain {
        explain(path, &answers)?;
    }
    if let (Some(count), Some(path)) = (args.review, &args.sheet) {
        let written = eval::write_sheet(&answers.patterns, count, path).map_err(|error| Failure::failed(error.to_string()))?;
        let sheet = path.display();
        output::note(&format!(
            "wrote {} to {sheet}; fill the column `right` with yes, category or no, then run: failsift eval --ratings {sheet}",
            counted(written as u64, "pattern")
        ));
    }
    match labels {
        Some(labels) => {
            let scored = eval::score(&answers, &labels);
            note_unanswered(&scored, &answers);
            report(&args, &scored, Some(&answers))
        }
        None => Ok(Exit::Complete),
    }
}

fn config(args: &Args, analyzer: Option<AnalyzerName>, origins: &Origins) -> Result<AnalysisConfig, Failure> {
    let settings = Pipeline {
        source: SourceSection { inputs: args.inputs.clone(), format: args.input_format.clone(), ..SourceSection::default() },
        analyze: AnalyzeSection { analyzer, rules: args.rules.clone(), ..AnalyzeSection::default() },
        redact: RedactSection {
            key_file: args.redaction_key_file.clone(),
            rules: args.redaction_rules.clone(),
            kinds: args.redaction_kinds.clone(),
            ..RedactSection::default()
        },
        model: args.model.clone(),
        ..Pipeline::default()
    };
    let has_key_in_environment = super::has_key_in_environment();
    Ok(AnalysisConfig::resolve(&Given { settings, origins: origins.clone(), has_key_in_environment, ..Given::default() })?)
}

/// `2 traces or records have no pattern; the first one: …`
fn no_pattern(answers: &Answers, first_reason: &str) -> String {
    match answers.rejected {
        1 => format!("1 trace or record has no pattern: {first_reason}"),
        count => format!("{count} traces or records have no pattern; the first one: {first_reason}"),
    }
}

/// Runs each analyzer over the input and prints the results side by side.
async fn compare(args: &Args, labels: Option<&Labels>, origins: &Origins) -> Result<Exit, Failure> {
    if args.explain.is_some() || args.review.is_some() {
        return Err(Failure::usage("--explain and --review need a single analyzer\n  hint: give --analyzer once"));
    }
    let mut all = Vec::new();
    for analyzer in &args.analyzers {
        let answers = eval::collect_answers(&config(args, Some(*analyzer), origins)?, false).await?;
        if let Some(reason) = &answers.first_rejection {
            output::note(&format!("{}: {}", analyzer.as_str(), no_pattern(&answers, reason)));
        }
        all.push((analyzer.as_str(), answers));
    }
    let results: Vec<AnalyzerResult> = all.iter().map(|(name, answers)| AnalyzerResult::new(name, answers, labels)).collect();
    let mut agreements = Vec::new();
    for (index, (left, of_left)) in all.iter().enumerate() {
        for (right, of_right) in all.iter().skip(index + 1) {
            agreements.push(Agreement::between((left, of_left), (right, of_right)));
        }
    }
    let mut stdout = std::io::stdout().lock();
    match args.format {
        FiguresFormat::Text => write!(stdout, "{}", side_by_side(&results, &agreements))?,
        FiguresFormat::Json => writeln!(stdout, "{}", serde_json::json!({"analyzers": results, "agreement": agreements}))?,
    }
    Ok(exit_of(args, results.iter().filter_map(|result| Some((result.analyzer, result.figures.as_ref()?)))))
}

/// Whether all figures keep the thresholds. Each one that does not is reported on stderr; `analyzer` is empty if there is only one.
fn exit_of<'f>(args: &Args, figures: impl IntoIterator<Item = (&'f str, &'f Figures)>) -> Exit {
    let mut exit = Exit::Complete;
    for (analyzer, figures) in figures {
        let of_analyzer = if analyzer.is_empty() { String::new() } else { format!(" of {analyzer}") };
        if let Some(least) = args.min_accuracy.filter(|least| figures.accuracy < *least) {
            output::note(&format!("the accuracy{of_analyzer} is {:.3}, below --min-accuracy {least}", figures.accuracy));
            exit = Exit::OverThreshold;
        }
        if let Some(most) = args.max_ece.filter(|most| figures.ece > *most) {
            output::note(&format!("the expected calibration error{of_analyzer} is {:.3}, above --max-ece {most}", figures.ece));
            exit = Exit::OverThreshold;
        }
    }
    exit
}

fn side_by_side(results: &[AnalyzerResult], agreements: &[Agreement]) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &dyn Fn(&AnalyzerResult) -> String| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{name:28}");
        for result in results {
            let _ = write!(out, "{:>14}", value(result));
        }
        out.push('\n');
    };
    let percent = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let figure = |result: &AnalyzerResult, get: fn(&Figures) -> f64| result.figures.as_ref().map(get);
    line("", &|result| result.analyzer.to_owned());
    line("patterns", &|result| result.patterns.to_string());
    line("without a pattern", &|result| result.rejected.to_string());
    line("fallbacks", &|result| result.fallbacks.iter().map(|count| count.traces).sum::<u64>().to_string());
    line("category and factor right", &|result| percent(figure(result, |figures| figures.accuracy)));
    line("category right", &|result| percent(figure(result, |figures| figures.category_accuracy)));
    line("expected calibration error", &|result| {
        figure(result, |figures| figures.ece).map_or_else(|| "-".into(), |ece| format!("{ece:.3}"))
    });
    line("time per trace (median)", &|result| result.latency_ms_p50.map_or_else(|| "-".into(), |ms| format!("{ms:.1} ms")));
    line("tokens in", &|result| result.input_tokens.to_string());
    line("tokens out", &|result| result.output_tokens.to_string());
    line("cost in US dollars", &|result| format!("{:.4}", result.cost_usd));
    for agreement in agreements {
        let _ = writeln!(
            out,
            "\n{} and {} agree on the category of {} and on the category and factor of {} of {} traces",
            agreement.left, agreement.right, agreement.category, agreement.label, agreement.both
        );
    }
    out
}

/// Notes labels whose traces have no pattern. The most common mistake is a label file that belongs to other traces.
fn note_unanswered(scored: &[ScoredAnswer], answers: &Answers) {
    let mut unanswered = scored.iter().filter(|answer| answer.answer.is_none());
    let Some(first) = unanswered.next() else { return };
    let count = unanswered.count() + 1;
    let example = answers.patterns.first().map_or_else(String::new, |row| format!("; the input contains {}", row.trace_id));
    output::note(&format!("{count} of {} labels name a trace without a pattern, such as {}{example}", scored.len(), first.trace_id));
}

fn report(args: &Args, scored: &[ScoredAnswer], answers: Option<&Answers>) -> Result<Exit, Failure> {
    let figures = Figures::compute(scored);
    let mut stdout = std::io::stdout().lock();
    match args.format {
        FiguresFormat::Text => write!(stdout, "{}", escape_control_chars(&text(&figures, scored, answers)))?,
        FiguresFormat::Json => {
            let json = Report {
                figures: &figures,
                confidence_gap: figures.confidence_gap(),
                latency_ms_p50: answers.and_then(|answers| answers.latency_ms_p50),
                fallbacks: answers.map_or(&[], |answers| answers.fallbacks.as_slice()),
            };
            writeln!(stdout, "{}", serde_json::to_string(&json).map_err(|error| Failure::failed(error.to_string()))?)?;
        }
    }
    Ok(exit_of(args, [("", &figures)]))
}

#[derive(Serialize)]
struct Report<'f> {
    #[serde(flatten)]
    figures: &'f Figures,
    confidence_gap: Option<f64>,
    latency_ms_p50: Option<f64>,
    fallbacks: &'f [ReasonCount],
}

/// The scores as human-readable text.
fn text(figures: &Figures, scored: &[ScoredAnswer], answers: Option<&Answers>) -> String {
    let mut out = String::new();
    accuracy_text(&mut out, figures, answers);
    confidence_text(&mut out, figures);
    category_text(&mut out, figures);
    wrong_answers_text(&mut out, scored);
    out
}

// Writing to a string cannot fail.
macro_rules! line {
    ($out:expr) => { $out.push('\n') };
    ($out:expr, $($format:tt)+) => {{ let _ = writeln!($out, $($format)+); }};
}

fn accuracy_text(out: &mut String, figures: &Figures, answers: Option<&Answers>) {
    let percent = |share: f64| format!("{:5.1} %", share * 100.0);
    let constant = |share: f64| format!("(best constant answer {})", percent(share));
    line!(out, "{} labelled traces, {} with a pattern", figures.labelled, figures.labelled - figures.unanswered);
    line!(out, "  category and factor right  {}   {}", percent(figures.accuracy), constant(figures.best_constant_accuracy));
    line!(
        out,
        "  category right             {}   {}",
        percent(figures.category_accuracy),
        constant(figures.best_constant_category_accuracy)
    );
    line!(out, "  exactly as labelled        {}", percent(figures.strict_accuracy));
    if figures.suspicions > 0 {
        line!(
            out,
            "  counting suspected labels  {}   (category {}; {} verdicts suspect one)",
            percent(figures.accuracy_with_suspicions),
            percent(figures.category_accuracy_with_suspicions).trim_start(),
            figures.suspicions
        );
    }
    if let Some(span) = figures.span_accuracy {
        line!(out, "  culprit span in evidence   {}", percent(span));
    }
    if figures.healthy > 0 {
        line!(
            out,
            "  false alarms               {:5} of {} healthy traces   (confidence of at least 0.5)",
            figures.false_alarms,
            figures.healthy
        );
    }
    let Some(answers) = answers else { return };
    if let Some(latency) = answers.latency_ms_p50 {
        line!(out, "  time per trace             {latency:5.2} ms  (median)");
    }
    fallback_text(out, answers);
}

/// Scores of a fallback are not those of the analyzer that was asked for, so they must not go unnoticed.
fn fallback_text(out: &mut String, answers: &Answers) {
    const REASONS_SHOWN: usize = 5;
    if answers.fallbacks.is_empty() {
        return;
    }
    line!(
        out,
        "  fallbacks                  {:5} of {} traces   (answered by another analyzer)",
        answers.fallback_count(),
        answers.patterns.len()
    );
    for count in answers.fallbacks.iter().take(REASONS_SHOWN) {
        line!(out, "    {:5}  {}: {}", count.traces, count.kind, escape_to_one_line(&count.reason));
    }
}

fn confidence_text(out: &mut String, figures: &Figures) {
    line!(out);
    line!(out, "confidence");
    line!(
        out,
        "  mean of right answers {}, of wrong answers {}, difference {}",
        optional(figures.confidence_right),
        optional(figures.confidence_wrong),
        optional(figures.confidence_gap())
    );
    line!(out, "  right at 0.8 and more {} of {}", optional(figures.precision_sure), figures.sure);
    line!(
        out,
        "  no failure named: right {} of {} (not part of the figures below)",
        optional(figures.unclassified_precision),
        figures.unclassified
    );
    line!(out, "  expected calibration error {:.3}, Brier score {:.3}", figures.ece, figures.brier);
    line!(out, "  confidence   answers   mean   right");
    for bin in &figures.reliability {
        line!(out, "  {:.1} to {:.1}   {:7}   {:.2}   {:.2}", bin.from, bin.from + 0.1, bin.answers, bin.confidence, bin.right);
    }
}

fn category_text(out: &mut String, figures: &Figures) {
    line!(out);
    line!(out, "category               labelled  answered  precision  recall");
    for (category, of) in &figures.categories {
        line!(out, "{category:22} {:8}  {:8}  {:>9}  {:>6}", of.labelled, of.answered, optional(of.precision), optional(of.recall));
    }
    let confused: Vec<_> = figures.confusion.iter().filter(|(labelled, answered, _)| labelled != answered).collect();
    if !confused.is_empty() {
        line!(out);
        line!(out, "traces  labelled               answered");
        for (labelled, answered, count) in confused {
            line!(out, "{count:6}  {labelled:22} {answered}");
        }
    }
}

fn wrong_answers_text(out: &mut String, scored: &[ScoredAnswer]) {
    /// Wrong answers that are listed.
    const WRONG_ANSWERS_SHOWN: usize = 20;
    let mut wrong: Vec<&ScoredAnswer> = scored.iter().filter(|answer| !answer.right).collect();
    if wrong.is_empty() {
        return;
    }
    wrong.sort_by(|left, right| right.confidence.total_cmp(&left.confidence));
    line!(out);
    line!(out, "wrong answers, most confident first ({} of {})", wrong.len().min(WRONG_ANSWERS_SHOWN), wrong.len());
    for answer in wrong.iter().take(WRONG_ANSWERS_SHOWN) {
        let word = |label: Option<Label>| label.map_or_else(|| "-".to_owned(), |label| label.to_string());
        line!(out, "  {:.2}  {}  {} instead of {}", answer.confidence, answer.trace_id, word(answer.answer), word(answer.truth));
    }
}

fn optional(number: Option<f64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"))
}

#[derive(Serialize)]
struct Explained<'a> {
    trace_id: &'a str,
    answer: String,
    way: &'static str,
    rule: Option<&'a str>,
    confidence: Option<f64>,
    /// Sorted, so that two explanations can be compared.
    facts: BTreeMap<&'a str, f64>,
    is_conversation: bool,
    signals: &'a [String],
}

/// Writes the explanations as JSON lines. The keys are read by `data/fit/fit.py`.
fn explain(path: &Path, answers: &Answers) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot write {}: {error}", path.display()));
    let confidences: HashMap<&str, f64> = answers.patterns.iter().map(|row| (row.trace_id.as_str(), row.confidence)).collect();
    let mut file = BufWriter::new(std::fs::File::create(path).map_err(failed)?);
    for (trace_id, explanation) in &answers.explanations {
        let explained = Explained {
            trace_id,
            answer: explanation.label.to_string(),
            way: explanation.basis.as_str(),
            rule: explanation.rule.as_deref(),
            confidence: confidences.get(trace_id.as_str()).copied(),
            facts: explanation.facts.iter().map(|(name, value)| (*name, *value)).collect(),
            is_conversation: explanation.is_conversation,
            signals: &explanation.signals,
        };
        let json = serde_json::to_string(&explained).map_err(|error| Failure::failed(error.to_string()))?;
        writeln!(file, "{json}").map_err(failed)?;
    }
    file.flush().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fallbacks_are_shown_with_their_reasons() {
        let reason = |traces: u64, kind: &str| ReasonCount { kind: kind.into(), reason: format!("a reason\nfor {kind}"), traces };
        let answers = Answers { fallbacks: vec![reason(2, "provider_error"), reason(1, "answer_empty")], ..Answers::default() };
        let shown = text(&Figures::compute(&[]), &[], Some(&answers));
        assert!(shown.contains("  fallbacks                      3 of 0 traces   (answered by another analyzer)\n"), "{shown}");
        assert!(shown.contains("\n        2  provider_error: a reason for provider_error\n"), "{shown}");
        assert!(shown.contains("\n        1  answer_empty: a reason for answer_empty\n"), "{shown}");
        let result = AnalyzerResult::new("openai", &answers, None);
        assert!(side_by_side(&[result], &[]).contains("fallbacks                                3\n"));
        let without = text(&Figures::compute(&[]), &[], Some(&Answers::default()));
        assert!(!without.contains("fallbacks"), "{without}");
    }
}
