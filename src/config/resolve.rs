//! Makes the configuration of a command from resolved settings.

use std::collections::BTreeMap;
use std::path::Path;

use super::{
    AnalysisConfig, ConfigError, ConfigErrors, Given, KeySource, Origin, Pipeline, Resolution, RunConfig, SelectMode, parse_duration,
    parse_time, timeout_from_seconds,
};
use crate::analyze::Links;
use crate::parse;
use crate::select::Selection;

impl RunConfig {
    /// Resolves the configuration of a run.
    ///
    /// # Errors
    /// [`ConfigErrors`].
    pub fn resolve(given: &Given) -> Result<Self, ConfigErrors> {
        let mut resolution = Resolution::new(given)?;
        let config = resolution.run(given);
        resolution.check()?;
        Ok(config)
    }
}

impl AnalysisConfig {
    /// Resolves the configuration of a command that writes no tables.
    ///
    /// # Errors
    /// [`ConfigErrors`].
    pub fn resolve(given: &Given) -> Result<Self, ConfigErrors> {
        Ok(Self::resolve_for_plan(given)?.0)
    }

    /// Resolves the configuration of a command that may read tables, and the location of the tables if one is given.
    ///
    /// # Errors
    /// [`ConfigErrors`].
    pub fn resolve_for_plan(given: &Given) -> Result<(Self, Option<String>), ConfigErrors> {
        let mut resolution = Resolution::new(given)?;
        let config = resolution.analysis(given);
        resolution.check()?;
        Ok((config, resolution.values.write.output))
    }
}

impl Resolution {
    /// The configuration of a run. It is usable if [`Self::check`] finds nothing wrong.
    pub fn run(&mut self, given: &Given) -> RunConfig {
        let analysis = self.analysis(given);
        let write = self.values.write.clone();
        if write.output.is_none() {
            self.report_missing("write", "output", ConfigError::NoOutput);
        }
        let commit_every = write.commit_every.and_then(|text| self.parsed(("write", "commit_every"), parse_duration(&text)));
        RunConfig {
            analysis,
            output: write.output.unwrap_or_default(),
            error_rate_max: write.max_error_rate.unwrap_or_default(),
            fresh: given.fresh,
            force: given.force,
            commit_every,
        }
    }

    /// The configuration of input, redaction and analysis. It is usable if [`Self::check`] finds nothing wrong.
    pub fn analysis(&mut self, given: &Given) -> AnalysisConfig {
        let Pipeline { source, redact, analyze, model, links, .. } = self.values.clone();
        if source.inputs.is_empty() {
            self.report_missing("source", "inputs", ConfigError::NoInput);
        }
        let input_format = source.format.unwrap_or_default();
        self.parsed(("source", "format"), parse::format_named(&input_format));
        let timeout = analyze.trace_timeout_seconds.map(timeout_from_seconds).transpose();
        // A key in the environment overrides the key file of the pipeline file, but not the flag.
        let is_flag = matches!(self.origin_of("redact", "key_file"), Some(Origin::Flag(_)));
        let key_file = redact.key_file.filter(|_| is_flag || !given.has_key_in_environment);
        let names: BTreeMap<String, String> =
            ["concurrency", "max_concurrency"].map(|key| (key.to_owned(), self.name_of("model", key))).into();
        AnalysisConfig {
            pipeline: pipeline_name(given.file.as_deref()),
            inputs: source.inputs,
            input_format,
            selection: self.selection(source.select, source.since.as_deref(), source.until.as_deref(), source.services),
            analyzer: analyze.analyzer.unwrap_or_default(),
            model: model.into_settings(|key| names.get(key).cloned().unwrap_or_default(), &mut self.problems),
            rules: analyze.rules,
            trace_timeout: self.parsed(("analyze", "trace_timeout_seconds"), timeout).flatten().unwrap_or_default(),
            record_bytes_max: source.max_record_bytes.unwrap_or_default(),
            memory_bytes: source.memory_limit_mb.unwrap_or_default().saturating_mul(1024 * 1024),
            redaction_key: KeySource::resolve(key_file, given.has_key_in_environment),
            redaction_rules: redact.rules,
            redaction_kinds: redact.kinds,
            excerpts: redact.excerpts.unwrap_or_default(),
            canaries: redact.canaries.unwrap_or_default(),
            links: self.links(&links),
            allow_empty: source.allow_empty.unwrap_or_default(),
        }
    }

    /// # Errors
    /// [`ConfigErrors`], if there are problems.
    pub fn check(&mut self) -> Result<(), ConfigErrors> {
        if self.problems.is_empty() { Ok(()) } else { Err(ConfigErrors(std::mem::take(&mut self.problems))) }
    }

    fn selection(&mut self, mode: Option<SelectMode>, since: Option<&str>, until: Option<&str>, services: Vec<String>) -> Selection {
        let bound = |text: &str| parse_time(text, self.date);
        let (since, until) = (since.map(bound).transpose(), until.map(bound).transpose());
        let since_ns = self.parsed(("source", "since"), since).flatten();
        let until_ns = self.parsed(("source", "until"), until).flatten();
        if since_ns.zip(until_ns).is_some_and(|(since, until)| since >= until) {
            let names = (self.name_of("source", "since"), self.name_of("source", "until"));
            self.problems.push(ConfigError::InvalidValue(format!("invalid time range: {} must be before {}", names.0, names.1)));
        }
        Selection { failed_only: mode == Some(SelectMode::Failed), since_ns, until_ns, services }
    }

    /// The templates of links by format.
    fn links(&mut self, templates: &BTreeMap<String, String>) -> Links {
        let mut links = Links::default();
        for (format, template) in templates {
            let is_known = format == Links::DEFAULT || self.parsed(("links", format), parse::format_named(format)).is_some();
            if is_known {
                self.parsed(("links", format), links.set(format, template));
            }
        }
        links
    }

    /// A value, or a problem of its setting.
    fn parsed<T>(&mut self, (section, key): (&str, &str), value: Result<T, String>) -> Option<T> {
        value.map_err(|error| self.problems.push(ConfigError::InvalidValue(format!("{}: {error}", self.name_of(section, key))))).ok()
    }
}

/// The name of the pipeline file without its extension.
fn pipeline_name(file: Option<&Path>) -> String {
    let Some(path) = file else { return "command line".to_owned() };
    path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{AnalyzeSection, SourceSection, VariableOptions};
    use crate::limits;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn given(file: &tempfile::NamedTempFile, settings: Pipeline) -> Given {
        Given { file: Some(file.path().to_owned()), settings, ..Given::default() }
    }

    fn source(source: SourceSection) -> Pipeline {
        Pipeline { source, ..Pipeline::default() }
    }

    #[test]
    fn flags_override_the_file_and_the_file_the_defaults() {
        let file = file("[source]\ninputs = ['a']\nformat = 'otlp'\n[analyze]\ntrace_timeout_seconds = 2\n[write]\noutput = 'out'\n");
        let config = RunConfig::resolve(&given(&file, Pipeline::default())).unwrap();
        let analysis = config.analysis;
        assert_eq!(
            (analysis.inputs.as_slice(), config.output.as_str(), analysis.input_format.as_str()),
            (["a".to_owned()].as_slice(), "out", "otlp")
        );
        assert_eq!((analysis.trace_timeout, analysis.record_bytes_max), (Duration::from_secs(2), limits::RECORD_BYTES_MAX));
        assert_eq!((analysis.memory_bytes, config.error_rate_max), (limits::GATHER_MEMORY_BYTES, limits::ERROR_RATE_MAX));
        let mut settings = source(SourceSection { inputs: vec!["b".into()], ..SourceSection::default() });
        settings.analyze = AnalyzeSection { trace_timeout_seconds: Some(5.0), ..AnalyzeSection::default() };
        let config = AnalysisConfig::resolve(&Given { has_key_in_environment: true, ..given(&file, settings) }).unwrap();
        assert_eq!(
            (config.inputs[0].as_str(), config.trace_timeout, config.redaction_key),
            ("b", Duration::from_secs(5), KeySource::Environment)
        );
    }

    #[test]
    fn a_flag_replaces_the_link_of_the_file_for_the_same_format() {
        let file =
            file("[source]\ninputs = ['a']\n[links]\ndefault = 'https://a.example/{trace_id}'\nlangfuse = 'https://b.example{path}'\n");
        let links = [("default".to_owned(), "https://c.example/{trace_id}".to_owned())].into();
        let mut expected = Links::default();
        expected.set("default", "https://c.example/{trace_id}").unwrap();
        expected.set("langfuse", "https://b.example{path}").unwrap();
        assert_eq!(AnalysisConfig::resolve(&given(&file, Pipeline { links, ..Pipeline::default() })).unwrap().links, expected);
    }

    #[test]
    fn variables_and_ages_follow_the_logical_date() {
        let file = file(
            "[variables]\nteam = 'agents'\n[source]\ninputs = ['s3://b/{team}/{date-1d}/*.{json,jsonl}']\nsince = '24h'\nuntil = '{date}'\n\
             [links]\ndefault = 'https://x.example/{trace_id}'\n",
        );
        let mut given = given(&file, Pipeline::default());
        given.variables.date = Some("2026-11-23".to_owned());
        let config = AnalysisConfig::resolve(&given).unwrap();
        assert_eq!(config.inputs, ["s3://b/agents/2026-11-22/*.{json,jsonl}"]);
        let day = 24 * 3600 * 1_000_000_000_i64;
        assert_eq!(
            (config.selection.since_ns.map(|since| since + day), config.selection.until_ns),
            (config.selection.until_ns, parse_time("2026-11-23", chrono::Utc::now()).ok())
        );
        given.variables.set = vec![("team".to_owned(), "support".to_owned())];
        assert_eq!(AnalysisConfig::resolve(&given).unwrap().inputs, ["s3://b/support/2026-11-22/*.{json,jsonl}"]);
        // Also in the location that a flag gives, with the defaults of the file.
        given.settings = source(SourceSection { inputs: vec!["in/{team}/{hour}".into()], ..SourceSection::default() });
        assert_eq!(AnalysisConfig::resolve(&given).unwrap().inputs, ["in/support/00"]);
    }

    #[test]
    fn mistakes_are_reported_with_their_remedy() {
        let error_in = |text: &str| RunConfig::resolve(&given(&file(text), Pipeline::default())).unwrap_err().0[0].to_string();
        let error = error_in("[source]\ninput = ['a']\n");
        assert!(error.contains(": line 2: unknown key 'input'; did you mean 'inputs'?\n  hint: pipelines/demo.toml"), "{error}");
        let error = error_in("[source]\ninputs = ['a']\n[analyze]\nanalyzer = 'embeded'\n");
        assert!(error.contains(" line 4: unknown value 'embeded'; did you mean 'embedded'?\n  hint: analyzer: "), "{error}");
        let error = error_in("[source]\ninputs = ['a']\n[write]\noutput = 'out'\ncommit_every = 'often'\n");
        assert!(error.starts_with("[write] commit_every in ") && error.contains(".toml line 5: invalid duration 'often'"), "{error}");
        let error = error_in("[source]\ninputs = ['a']\nsince = 'yesterday'\n");
        assert!(error.starts_with("[source] since in ") && error.contains(".toml line 3: invalid time 'yesterday'"), "{error}");
        let error = error_in("[source]\ninputs = ['a']\nmemory_limit_mb = 1\n");
        assert!(error.starts_with("invalid [source] memory_limit_mb in ") && error.contains(": must be at least 32\n  hint: "), "{error}");
        let error = error_in("[source]\ninputs = ['a']\n[links]\nlangfuse = 'ftp://x/{trace_id}'\n");
        assert!(error.starts_with("[links] langfuse in ") && error.contains(": invalid trace URL 'ftp://x/{trace_id}'"), "{error}");
        let error = error_in("[source]\ninputs = ['a/{dat}']\n");
        assert!(
            error.starts_with("[source] inputs in ") && error.contains(" line 2: unknown variable 'dat'; did you mean 'date'?"),
            "{error}"
        );
        let since = source(SourceSection { inputs: vec!["a".into()], since: Some("yesterday".into()), ..SourceSection::default() });
        let error = RunConfig::resolve(&given(&file("[source]\nsince = '1h'\n"), since)).unwrap_err().to_string();
        assert!(error.contains("invalid time 'yesterday'"), "{error}");
        let nothing = RunConfig::resolve(&Given::default()).unwrap_err().0;
        assert!(matches!(nothing.as_slice(), [ConfigError::NoInput, ConfigError::NoOutput]), "{nothing:?}");
    }

    #[test]
    fn all_mistakes_of_a_file_are_reported_in_its_order() {
        let text = "inputs = ['b']\n[source]\ninput = ['a']\nselect = 7\nconcurrency = 2\n[sourc]\nx = 1\n[write]\nmax_error_rate = 3\noutput = '{nobody}'\n";
        let errors = RunConfig::resolve(&given(&file(text), Pipeline::default())).unwrap_err().0;
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let expected = [
            "line 1: key 'inputs' outside of a section; it belongs below [source]",
            "line 3: unknown key 'input'; did you mean 'inputs'?",
            "line 4: expected a text, found a number",
            "line 5: unknown key 'concurrency' in [source]; it is a key of [model]",
            "line 6: unknown section 'sourc'; did you mean 'source'?",
            "line 9: must be at most 1",
            "line 10: unknown variable 'nobody'",
            "no input given",
        ];
        assert_eq!(errors.len(), expected.len(), "{errors:#?}");
        for (error, expected) in errors.iter().zip(expected) {
            assert!(error.contains(expected), "{expected} in {error}");
        }
    }

    #[test]
    fn a_wrong_value_is_reported_once() {
        let file = file("[source]\ninputs = ['a/{regon}']\n[write]\noutput = 'out{'\n");
        let variables = VariableOptions { set: vec![("region".into(), "eu".into())], ..VariableOptions::default() };
        let errors = RunConfig::resolve(&Given { variables, ..given(&file, Pipeline::default()) }).unwrap_err().0;
        assert!(matches!(errors.as_slice(), [ConfigError::InvalidValue(_), ConfigError::InvalidValue(_)]), "{errors:?}");
    }

    #[test]
    fn each_setting_says_where_it_comes_from() {
        let file = file("[source]\ninputs = ['https://u:p@x.example/a?sig=s', 's3://b/{env:CARGO_PKG_NAME}']\n[redact]\nkey_file = 'k'\n");
        let mut settings = Pipeline::default();
        settings.write.output = Some("out".to_owned());
        let given = Given { has_key_in_environment: true, ..given(&file, settings) };
        let resolution = Resolution::new(&given).unwrap();
        let of = |section: &str, key: &str| {
            let setting = resolution.settings.iter().find(|setting| setting.section == section && setting.key == key).unwrap();
            (setting.shown.to_string(), setting.origin.clone())
        };
        let path = file.path().to_owned();
        assert_eq!(
            of("source", "inputs"),
            (r#"["https://x.example/a","s3://b/{env:CARGO_PKG_NAME}"]"#.to_owned(), Origin::File { path, line: Some(2) })
        );
        assert_eq!(of("write", "output").0, "\"out\"");
        assert_eq!(of("write", "max_error_rate"), ("0.1".to_owned(), Origin::Default));
        assert_eq!(of("source", "since"), ("null".to_owned(), Origin::NotSet));
        assert_eq!(of("redact", "key_file"), ("\"<secret>\"".to_owned(), Origin::Variable("FAILSIFT_REDACTION_KEY".to_owned())));
        assert_eq!(resolution.values.source.inputs[1], "s3://b/failsift");
    }
}
