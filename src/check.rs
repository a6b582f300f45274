//! Checks everything that a run needs, without running: files that the configuration names, inputs, the output with its tables, and the model.
//!
//! Takes a configuration and returns one finding for each thing that was checked. Reads nothing of a trace, and leaves nothing behind.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::{self, BoxFuture, FutureExt};
use nix::unistd::{AccessFlags, access};
use url::Url;

use crate::analyze::{embedded, llm};
use crate::config::{KeySource, RunConfig};
use crate::messages::io_cause;
use crate::pipeline;
use crate::redact::{CustomDetectors, KindOptions, RedactionKey, Redactor};
use crate::runtime::pool;
use crate::store::{self, Location, StoreError};
use crate::tables::{self, TableName};
use crate::telemetry::ExportError;

/// How thoroughly to check.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// The time for each check.
    pub timeout: Duration,
    /// Whether to use the network.
    pub offline: bool,
}

/// What came out of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckStatus {
    /// A run can use it.
    Ok,
    /// A run would fail, or not do what is expected.
    Problem,
    /// It was not checked.
    Skipped,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, such as `input`.
    pub check: &'static str,
    /// Which one: a path, a URL, a name.
    pub subject: String,
    /// The result.
    pub status: CheckStatus,
    /// What is wrong, with a hint on a line of its own; or what was found.
    pub message: String,
}

impl Finding {
    /// A finding.
    pub fn new(check: &'static str, subject: impl Into<String>, status: CheckStatus, message: impl Into<String>) -> Self {
        Self { check, subject: subject.into(), status, message: message.into() }
    }

    /// A check that passed with a remark, or failed with a message.
    fn of(check: &'static str, subject: impl Into<String>, result: Result<String, String>) -> Self {
        let (status, message) = match result {
            Ok(remark) => (CheckStatus::Ok, remark),
            Err(message) => (CheckStatus::Problem, message),
        };
        Self::new(check, subject, status, message)
    }
}

/// Checks everything that a run with this configuration needs. Checks run concurrently; their order in the result is fixed.
pub async fn check(config: &RunConfig, options: CheckOptions) -> Vec<Finding> {
    let analysis = &config.analysis;
    // Without an output, the default of other commands only has to differ from every input.
    let has_output = !config.output.is_empty();
    let output = store::table_url(if has_output { &config.output } else { "failsift-out" });
    let mut checks: Vec<BoxFuture<'static, Finding>> = Vec::new();
    checks.extend(analysis.rules.iter().map(|path| rule_file(path.clone()).boxed()));
    checks.extend(analysis.redaction_rules.iter().map(|path| detector_file(path.clone()).boxed()));
    checks.push(redaction_kinds(analysis.redaction_rules.clone(), analysis.redaction_kinds.clone()).boxed());
    checks.push(future::ready(redaction_key(&analysis.redaction_key)).boxed());
    checks.push(future::ready(temporary_folder()).boxed());
    let tables = output.as_ref().ok().cloned();
    checks.extend(analysis.inputs.iter().map(|text| input(text.clone(), tables.clone(), analysis.allow_empty, options).boxed()));
    match output {
        _ if !has_output => {}
        Ok(location) => {
            let subject = store::without_secrets(&config.output);
            checks.push(tables_at(subject.clone(), location.clone(), options).boxed());
            checks.push(writable(subject, location, options).boxed());
        }
        Err(error) => {
            let subject = store::without_secrets(&config.output);
            checks.push(future::ready(Finding::of("output", subject, Err(error.to_string()))).boxed());
        }
    }
    let telemetry = [config.metrics_file.as_deref().map(metrics_file), config.metrics_listen.map(metrics_port)];
    checks.extend(telemetry.into_iter().flatten().map(|finding| future::ready(finding).boxed()));
    checks.extend(config.notify.targets.iter().map(|target| notification(target.to_string(), options).boxed()));
    if let Some(provider) = analysis.analyzer.provider() {
        checks.push(model(provider, analysis.analyzer.as_str(), analysis.model.clone(), options).boxed());
    }
    future::join_all(checks).await
}

async fn rule_file(path: PathBuf) -> Finding {
    let subject = path.display().to_string();
    let checked = pool::run(move || {
        let files = pipeline::rule_files(&[path]).map_err(|error| error.to_string())?;
        let mut rules = 0;
        for (name, text) in &files {
            let check = embedded::check_rules(name, text).map_err(|error| pipeline::RunError::from(error).to_string())?;
            if let Some(failure) = check.failures.first() {
                return Err(format!("{failure}\n  hint: `failsift rules check {name}` lists all failed cases"));
            }
            rules += check.rules;
        }
        Ok(counted(rules, "rule"))
    });
    Finding::of("rules", subject, checked.await)
}

async fn detector_file(path: PathBuf) -> Finding {
    let subject = path.display().to_string();
    let checked = pool::run(move || CustomDetectors::read(&[path]).map(|_| String::new()).map_err(|error| error.to_string()));
    Finding::of("redaction rules", subject, checked.await)
}

/// Kinds that are switched on or off by name, which may be those of custom detectors.
async fn redaction_kinds(files: Vec<PathBuf>, kinds: KindOptions) -> Finding {
    let level = kinds.level.unwrap_or_default();
    let checked = pool::run(move || {
        // A file that cannot be used has a finding of its own.
        let readable = files.into_iter().filter(|file| CustomDetectors::read(std::slice::from_ref(file)).is_ok()).collect::<Vec<_>>();
        let detectors = CustomDetectors::read(&readable).map_err(|error| error.to_string())?;
        detectors.with_kinds(&kinds).map(|_| String::new()).map_err(|error| error.to_string())
    });
    Finding::of("redaction", format!("level {}", level.as_str()), checked.await)
}

/// The key is read, and not created where there is none.
fn redaction_key(source: &KeySource) -> Finding {
    let (subject, result) = match source {
        KeySource::Environment => ("FAILSIFT_REDACTION_KEY".to_owned(), pipeline::redaction_key(source).map(|_| String::new())),
        KeySource::File(path) => (path.display().to_string(), RedactionKey::from_file(path).map(|_| String::new())),
        KeySource::User => match RedactionKey::user_file() {
            Err(error) => ("user's folder".to_owned(), Err(error)),
            Ok(path) if path.exists() => (path.display().to_string(), RedactionKey::from_file(&path).map(|_| String::new())),
            Ok(path) => (path.display().to_string(), Ok("created by the first run".to_owned())),
        },
    };
    Finding::of("redaction key", subject, result.map_err(|error| error.to_string()))
}

/// The folder for spill files.
fn temporary_folder() -> Finding {
    let folder = std::env::temp_dir();
    let result = access(&folder, AccessFlags::W_OK | AccessFlags::X_OK).map(|()| String::new());
    let result = result.map_err(|errno| {
        let cause = io_cause(&std::io::Error::from(errno));
        format!("cannot write to {}: {cause}\n  hint: set TMPDIR to a writable folder", folder.display())
    });
    Finding::of("temporary folder", folder.display().to_string(), result)
}

/// Whether the metrics file can be replaced. It is not touched.
fn metrics_file(path: &Path) -> Finding {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let result = access(folder, AccessFlags::W_OK | AccessFlags::X_OK).map(|()| "writable".to_owned());
    let result = result.map_err(|errno| ExportError::File { path: path.to_owned(), reason: errno.into() }.to_string());
    Finding::of("metrics file", path.display().to_string(), result)
}

/// Whether this program can serve metrics. The port is not opened: another run may use it.
fn metrics_port(address: SocketAddr) -> Finding {
    let result = if cfg!(feature = "telemetry") { Ok(String::new()) } else { Err(ExportError::NotBuilt.to_string()) };
    Finding::of("metrics port", address.to_string(), result)
}

/// Whether the receiver of notifications can be reached. `target` is its scheme and host; the rest of the URL is a secret.
async fn notification(target: String, options: CheckOptions) -> Finding {
    const CHECK: &str = "notification";
    if options.offline {
        return Finding::new(CHECK, target, CheckStatus::Skipped, "--offline");
    }
    let (url, timeout) = (target.clone(), options.timeout.min(Duration::from_secs(3)));
    let result = match pool::run(move || store::unreachable_endpoint(&url, timeout)).await {
        Some(cause) => Err(format!("{cause}\n  hint: check the URL and the network")),
        None => Ok("nothing is posted by a check".to_owned()),
    };
    Finding::of(CHECK, target, result)
}

async fn input(text: String, tables: Option<Url>, allow_empty: bool, options: CheckOptions) -> Finding {
    const CHECK: &str = "input";
    let location = match Location::parse(&text) {
        Ok(location) => location,
        Err(error) => return Finding::of(CHECK, store::without_secrets(&text), Err(error.to_string())),
    };
    let subject = location.shown().to_owned();
    let Some(tables) = tables else { return Finding::new(CHECK, subject, CheckStatus::Skipped, "the output is not valid") };
    if store::is_table_location(&location, &tables) {
        return Finding::of(CHECK, subject.clone(), Err(pipeline::RunError::InputIsOutput(subject).to_string()));
    }
    if location.is_pipe() {
        return Finding::new(CHECK, subject, CheckStatus::Skipped, "a pipe can be read only once");
    }
    if location.is_remote() && options.offline {
        return Finding::new(CHECK, subject, CheckStatus::Skipped, offline_remark(&text));
    }
    let probed = remote(text, options, async move {
        store::probe_input(&location, &tables).await.map_err(|error| (is_empty(&error), error.to_string()))
    });
    match probed.await {
        Ok(first) if first == subject => Finding::of(CHECK, subject, Ok(String::new())),
        Ok(first) => Finding::of(CHECK, subject, Ok(format!("first object {first}"))),
        Err((true, _)) if allow_empty => Finding::of(CHECK, subject, Ok("empty, which allow_empty accepts".to_owned())),
        Err((_, message)) => Finding::of(CHECK, subject, Err(message)),
    }
}

fn is_empty(error: &StoreError) -> bool {
    matches!(error, StoreError::Empty { .. })
}

/// Whether the tables that exist can be read.
async fn tables_at(subject: String, location: Url, options: CheckOptions) -> Finding {
    const CHECK: &str = "tables";
    if is_remote(&location) && options.offline {
        return Finding::new(CHECK, subject, CheckStatus::Skipped, offline_remark(location.as_str()));
    }
    let shown = subject.clone();
    let read = async move {
        let mut existing = Vec::new();
        for name in TableName::ALL {
            match tables::open_existing(&location, name, None).await {
                Ok(Some(table)) => existing.push(format!("{} at version {}", name.as_str(), table.version().unwrap_or_default())),
                Ok(None) => {}
                Err(error) => {
                    let hint = tables::error_hint(&error);
                    let hint = hint.unwrap_or("check the location of the tables, and the credentials and endpoint in the environment");
                    let reason = tables::error_message(&error);
                    return Err((false, format!("cannot read the table {} in {shown}: {reason}\n  hint: {hint}", name.as_str())));
                }
            }
        }
        Ok(if existing.is_empty() { "created by the first run".to_owned() } else { existing.join(", ") })
    };
    Finding::of(CHECK, subject.clone(), remote(subject, options, read).await.map_err(|(_, message)| message))
}

/// Whether a run can write its tables.
async fn writable(subject: String, location: Url, options: CheckOptions) -> Finding {
    const CHECK: &str = "output";
    if is_remote(&location) && options.offline {
        return Finding::new(CHECK, subject, CheckStatus::Skipped, offline_remark(location.as_str()));
    }
    let folders: Vec<String> =
        TableName::ALL.iter().flat_map(|name| [name.as_str().to_owned(), format!("{}/_delta_log", name.as_str())]).collect();
    let probed = async move { store::probe_output(&location, &folders).await.map_err(|error| (false, error.to_string())) };
    let result = remote(subject.clone(), options, probed).await;
    Finding::of(CHECK, subject, result.map(|()| "writable".to_owned()).map_err(|(_, message)| message))
}

async fn model(provider: llm::Provider, analyzer: &'static str, settings: llm::Settings, options: CheckOptions) -> Finding {
    const CHECK: &str = "model";
    if options.offline {
        return match llm::check_settings(provider, &settings).await {
            Ok(()) => Finding::new(CHECK, analyzer, CheckStatus::Skipped, "--offline; credentials and settings are complete"),
            Err(error) => Finding::of(CHECK, analyzer, Err(error.to_string())),
        };
    }
    let started = std::time::Instant::now();
    let answered = tokio::time::timeout(options.timeout, llm::probe(provider, &settings, options.timeout)).await;
    let result = answered.unwrap_or_else(|_| Err(no_answer(options.timeout, "check the network, or pass a longer --timeout")));
    let result = result.map(|model| format!("{model} answered in {:.1} s", started.elapsed().as_secs_f64()));
    Finding::of(CHECK, analyzer, result.map_err(redacted))
}

/// Providers repeat keys in their messages.
fn redacted(mut message: String) -> String {
    if let Ok(key) = RedactionKey::from_text(&uuid::Uuid::new_v4().to_string()) {
        Redactor::new(key).redact(&mut message);
    }
    message
}

/// A check that may use the network, within the time of a check. An error says whether the location is empty, and what is wrong.
async fn remote<T>(
    location: String,
    options: CheckOptions,
    check: impl Future<Output = Result<T, (bool, String)>> + Send,
) -> Result<T, (bool, String)> {
    let credentials = store::missing_credentials(&location);
    let without = credentials.map(|hint| format!("; no credentials in the environment\n  hint: {hint}"));
    let (text, timeout) = (location.clone(), options.timeout);
    let unreachable = pool::run(move || store::unreachable_endpoint(&text, timeout.min(Duration::from_secs(3)))).await;
    if let Some(cause) = unreachable {
        let hint = if location.starts_with("http") { "check the URL and the network" } else { "check AWS_ENDPOINT and the network" };
        return Err((false, format!("{cause}\n  hint: {hint}")));
    }
    match tokio::time::timeout(options.timeout, check).await {
        Ok(Err((false, message))) => Err((
            false,
            match (without, message.split_once("\n  hint: ")) {
                (Some(without), Some((message, _))) => format!("{message}{without}"),
                _ => message,
            },
        )),
        Ok(result) => result,
        Err(_) => {
            let hint = "check the network and the region and endpoint in the environment, or pass a longer --timeout";
            let message = no_answer(options.timeout, hint);
            Err((false, without.map_or(message, |without| format!("no answer within {} s{without}", options.timeout.as_secs_f64()))))
        }
    }
}

fn no_answer(timeout: Duration, hint: &str) -> String {
    format!("no answer within {} s\n  hint: {hint}", timeout.as_secs_f64())
}

fn offline_remark(location: &str) -> String {
    let missing = store::missing_credentials(location);
    missing.map_or_else(|| "--offline".to_owned(), |_| "--offline; no credentials in the environment".to_owned())
}

fn is_remote(location: &Url) -> bool {
    location.scheme() != "file"
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
