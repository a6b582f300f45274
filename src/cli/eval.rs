//! `failsift eval`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::output;
use crate::config::{AnalysisConfig, AnalyzerName, ModelOptions, Overrides};
use crate::eval::{self, Agreement, Answers, Compared, Figures, Labels, Scored};
use crate::model::escape_control_chars;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").args(["labels", "review", "ratings", "explain"]).required(true).multiple(true))]
pub(super) struct Args {
    /// Where labelled traces lie: a path, a glob or a URL; may be given several times
    #[arg(long = "input", value_name = "URL", required_unless_present = "ratings")]
    inputs: Vec<String>,
    /// JSON lines with `trace_id`, `category`, `contributing_factor`, and where known `also` and `span_id`; may be given several times
    #[arg(long = "labels", value_name = "FILE", conflicts_with = "ratings")]
    labels: Vec<PathBuf>,
    /// Who analyses the traces; given several times, analyzers are compared side by side
    #[arg(long = "analyzer", value_name = "NAME", value_enum, default_value = "embedded")]
    analyzers: Vec<AnalyzerName>,
    /// File with rules of your own beside the shipped ones; may be given several times
    #[arg(long = "rules", value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// auto, otlp, phoenix, langsmith, datadog, langfuse, failsift or chat
    #[arg(long, value_name = "NAME")]
    input_format: Option<String>,
    /// Write N patterns as a sheet for a person to rate
    #[arg(long, value_name = "N", requires = "sheet")]
    review: Option<usize>,
    /// The sheet that --review writes (CSV)
    #[arg(long, value_name = "FILE", requires = "review")]
    sheet: Option<PathBuf>,
    /// Read a rated sheet instead of labels
    #[arg(long, value_name = "FILE", conflicts_with_all = ["inputs", "review"])]
    ratings: Option<PathBuf>,
    /// Write what the embedded analyzer rests on, as JSON lines (`data/fit/fit.py` reads it)
    #[arg(long, value_name = "FILE")]
    explain: Option<PathBuf>,
    /// Exit with 3 where category and factor are right in a smaller share
    #[arg(long, value_name = "SHARE", value_parser = share)]
    min_accuracy: Option<f64>,
    /// Exit with 3 where the expected calibration error is larger
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_ece: Option<f64>,
    /// File with the key that makes redaction tokens
    #[arg(long, value_name = "FILE")]
    redaction_key_file: Option<PathBuf>,
    /// File with detectors of your own and values to leave alone; may be given several times
    #[arg(long = "redaction-rules", value_name = "FILE")]
    redaction_rules: Vec<PathBuf>,
    /// How the figures are printed
    #[arg(long, value_enum, default_value_t = FiguresFormat::Text)]
    format: FiguresFormat,
    #[command(flatten)]
    model: ModelOptions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FiguresFormat {
    /// For reading
    Text,
    /// One JSON object
    Json,
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| format!("{text:?} is no share between 0 and 1"))
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    if let Some(path) = &args.ratings {
        let scored = eval::read_ratings(path).map_err(|error| Failure::usage(error.to_string()))?;
        return report(&args, &scored, None);
    }
    // Labels first: a mistake in them should not cost a run.
    let labels = match args.labels.as_slice() {
        [] => None,
        paths => Some(Labels::read(paths).map_err(|error| Failure::usage(error.to_string()))?),
    };
    if let [_, _, ..] = args.analyzers.as_slice() {
        return compare(&args, labels.as_ref()).await;
    }
    let config = config(&args, args.analyzers.first().copied())?;
    let answers = eval::answers(&config, args.explain.is_some()).await?;
    if let Some(reason) = &answers.first_rejection {
        output::note(&format!("{} traces or records became no pattern; the first: {reason}", answers.rejected));
    }
    if let Some(path) = &args.explain {
        explain(path, &answers)?;
    }
    if let (Some(count), Some(path)) = (args.review, &args.sheet) {
        let written = eval::write_sheet(&answers.patterns, count, path).map_err(|error| Failure::failed(error.to_string()))?;
        let sheet = path.display();
        output::note(&format!(
            "wrote {written} patterns to {sheet}; fill the column `right` with yes, category or no, then: failsift eval --ratings {sheet}"
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

fn config(args: &Args, analyzer: Option<AnalyzerName>) -> Result<AnalysisConfig, Failure> {
    let given = Overrides {
        inputs: args.inputs.clone(),
        input_format: args.input_format.clone(),
        analyzer,
        model: args.model.clone(),
        rules: args.rules.clone(),
        redaction_key_file: args.redaction_key_file.clone(),
        redaction_rules: args.redaction_rules.clone(),
        ..Overrides::default()
    };
    Ok(AnalysisConfig::resolve(None, given, std::env::var_os("FAILSIFT_REDACTION_KEY").is_some())?)
}

/// Runs each analyzer over the input and prints them side by side.
async fn compare(args: &Args, labels: Option<&Labels>) -> Result<Exit, Failure> {
    if args.explain.is_some() || args.review.is_some() {
        return Err(Failure::usage("--explain and --review are about one analyzer; give --analyzer once"));
    }
    let mut all = Vec::new();
    for analyzer in &args.analyzers {
        let answers = eval::answers(&config(args, Some(*analyzer))?, false).await?;
        if let Some(reason) = &answers.first_rejection {
            output::note(&format!("{}: {} traces or records became no pattern; the first: {reason}", analyzer.as_str(), answers.rejected));
        }
        all.push((analyzer.as_str(), answers));
    }
    let compared: Vec<Compared> = all.iter().map(|(name, answers)| Compared::of(name, answers, labels)).collect();
    let mut agreements = Vec::new();
    for (index, (left, of_left)) in all.iter().enumerate() {
        for (right, of_right) in all.iter().skip(index + 1) {
            agreements.push(Agreement::of((left, of_left), (right, of_right)));
        }
    }
    let mut stdout = std::io::stdout().lock();
    match args.format {
        FiguresFormat::Text => write!(stdout, "{}", side_by_side(&compared, &agreements))?,
        FiguresFormat::Json => writeln!(stdout, "{}", serde_json::json!({"analyzers": compared, "agreement": agreements}))?,
    }
    let figures = || compared.iter().filter_map(|one| one.figures.as_ref());
    let missed = args.min_accuracy.is_some_and(|least| figures().any(|figures| figures.accuracy < least))
        || args.max_ece.is_some_and(|most| figures().any(|figures| figures.ece > most));
    Ok(if missed { Exit::OverThreshold } else { Exit::Complete })
}

fn side_by_side(compared: &[Compared], agreements: &[Agreement]) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: &dyn Fn(&Compared) -> String| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{name:28}");
        for one in compared {
            let _ = write!(out, "{:>14}", value(one));
        }
        out.push('\n');
    };
    let percent = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let of_figures = |one: &Compared, of: fn(&Figures) -> f64| one.figures.as_ref().map(of);
    line("", &|one| one.analyzer.to_owned());
    line("patterns", &|one| one.patterns.to_string());
    line("without a pattern", &|one| one.rejected.to_string());
    line("category and factor right", &|one| percent(of_figures(one, |figures| figures.accuracy)));
    line("category right", &|one| percent(of_figures(one, |figures| figures.category_accuracy)));
    line("expected calibration error", &|one| of_figures(one, |figures| figures.ece).map_or_else(|| "-".into(), |ece| format!("{ece:.3}")));
    line("time per trace (median)", &|one| one.latency_ms_p50.map_or_else(|| "-".into(), |ms| format!("{ms:.1} ms")));
    line("tokens in", &|one| one.input_tokens.to_string());
    line("tokens out", &|one| one.output_tokens.to_string());
    line("cost in US dollars", &|one| format!("{:.4}", one.cost_usd));
    for agreement in agreements {
        let _ = writeln!(
            out,
            "\n{} and {} agree on the category of {} and on category and factor of {} of {} traces",
            agreement.left, agreement.right, agreement.category, agreement.label, agreement.both
        );
    }
    out
}

/// Labels and traces that do not belong together are the commonest mistake.
fn note_unanswered(scored: &[Scored], answers: &Answers) {
    let mut unanswered = scored.iter().filter(|one| one.answer.is_none());
    let Some(first) = unanswered.next() else { return };
    let count = unanswered.count() + 1;
    let found = answers.patterns.first().map_or_else(String::new, |row| format!("; a trace of the input is {}", row.trace_id));
    output::note(&format!("{count} of {} labels name a trace without a pattern, such as {}{found}", scored.len(), first.trace_id));
}

fn report(args: &Args, scored: &[Scored], answers: Option<&Answers>) -> Result<Exit, Failure> {
    let figures = Figures::of(scored);
    let mut stdout = std::io::stdout().lock();
    match args.format {
        FiguresFormat::Text => write!(stdout, "{}", escape_control_chars(&text(&figures, scored, answers)))?,
        FiguresFormat::Json => {
            let json = Report {
                figures: &figures,
                confidence_gap: figures.confidence_gap(),
                latency_ms_p50: answers.and_then(|a| a.latency_ms_p50),
            };
            writeln!(stdout, "{}", serde_json::to_string(&json).map_err(|error| Failure::failed(error.to_string()))?)?;
        }
    }
    let missed = args.min_accuracy.is_some_and(|least| figures.accuracy < least) || args.max_ece.is_some_and(|most| figures.ece > most);
    Ok(if missed { Exit::OverThreshold } else { Exit::Complete })
}

#[derive(Serialize)]
struct Report<'f> {
    #[serde(flatten)]
    figures: &'f Figures,
    confidence_gap: Option<f64>,
    latency_ms_p50: Option<f64>,
}

/// Mistakes that the text names one by one.
const MISTAKES_SHOWN: usize = 20;

fn text(figures: &Figures, scored: &[Scored], answers: Option<&Answers>) -> String {
    let mut out = String::new();
    let percent = |share: f64| format!("{:5.1} %", share * 100.0);
    let mut line = |text: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{text}");
    };
    let answered = figures.labelled - figures.unanswered;
    line(format!("{} labelled traces, {answered} with a pattern", figures.labelled));
    line(format!(
        "  category and factor right  {}   (best constant answer {})",
        percent(figures.accuracy),
        percent(figures.best_constant_accuracy)
    ));
    line(format!(
        "  category right             {}   (best constant answer {})",
        percent(figures.category_accuracy),
        percent(figures.best_constant_category_accuracy)
    ));
    line(format!("  exactly as labelled        {}", percent(figures.strict_accuracy)));
    if let Some(span) = figures.span_accuracy {
        line(format!("  culprit span in evidence   {}", percent(span)));
    }
    if figures.healthy > 0 {
        line(format!("  healthy called failed      {:5} of {}   (confidence 0.5 and more)", figures.false_alarms, figures.healthy));
    }
    if let Some(latency) = answers.and_then(|answers| answers.latency_ms_p50) {
        line(format!("  time per trace             {latency:5.2} ms  (median)"));
    }
    line(String::new());
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    line("confidence".into());
    line(format!(
        "  mean of right answers {}, of wrong {}, difference {}",
        number(figures.confidence_right),
        number(figures.confidence_wrong),
        number(figures.confidence_gap())
    ));
    line(format!("  right at 0.8 and more {} of {}", number(figures.precision_sure), figures.sure));
    line(format!("  expected calibration error {:.3}, Brier score {:.3}", figures.ece, figures.brier));
    line("  confidence   answers   mean   right".into());
    for bin in &figures.reliability {
        line(format!("  {:.1} to {:.1}   {:7}   {:.2}   {:.2}", bin.from, bin.from + 0.1, bin.answers, bin.confidence, bin.right));
    }
    line(String::new());
    line("category               labelled  answered  precision  recall".into());
    for (category, of) in &figures.categories {
        line(format!("{category:22} {:8}  {:8}  {:>9}  {:>6}", of.labelled, of.answered, number(of.precision), number(of.recall)));
    }
    let confused: Vec<_> = figures.confusion.iter().filter(|(truth, answer, _)| truth != answer).collect();
    if !confused.is_empty() {
        line(String::new());
        line("traces  labelled               answered".into());
        for (truth, answer, count) in confused {
            line(format!("{count:6}  {truth:22} {answer}"));
        }
    }
    let mut wrong: Vec<&Scored> = scored.iter().filter(|one| !one.right).collect();
    wrong.sort_by(|left, right| right.confidence.total_cmp(&left.confidence));
    if !wrong.is_empty() {
        line(String::new());
        line(format!("the surest of {} wrong answers", wrong.len()));
        for one in wrong.iter().take(MISTAKES_SHOWN) {
            let word = |label: Option<crate::model::Label>| label.map_or_else(|| "-".to_owned(), |label| label.to_string());
            line(format!("  {:.2}  {}  {} instead of {}", one.confidence, one.trace_id, word(one.answer), word(one.truth)));
        }
    }
    out
}

#[derive(Serialize)]
struct Explained<'a> {
    trace_id: &'a str,
    answer: String,
    way: &'static str,
    rule: Option<&'a str>,
    confidence: Option<f64>,
    facts: HashMap<&'a str, f64>,
    is_conversation: bool,
    signals: &'a [String],
}

fn explain(path: &Path, answers: &Answers) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("cannot write {}: {error}", path.display()));
    let confidences: HashMap<&str, f64> = answers.patterns.iter().map(|row| (row.trace_id.as_str(), row.confidence)).collect();
    let mut file = BufWriter::new(std::fs::File::create(path).map_err(failed)?);
    for (trace_id, explanation) in &answers.explanations {
        let explained = Explained {
            trace_id,
            answer: explanation.label.to_string(),
            way: explanation.way.as_str(),
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
