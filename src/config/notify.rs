//! Notifications as flags and as the section `[notify]` of a pipeline file.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use clap::builder::BoolishValueParser;
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::pipeline::finite;
use crate::notify::{Format, NotifyConfig, Target, When};

/// The URL of a web hook, as given. It usually contains a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyUrl(String);

impl fmt::Debug for NotifyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl FromStr for NotifyUrl {
    // It is checked later, because the messages of the command line would quote it.
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

/// Heading of the flags in help texts.
const HEADING: &str = "Notifications";

/// The section `[notify]`: who is told about the end of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct NotifySection {
    /// Web hook to which a summary of the run is posted when it ends, also if it fails; can be repeated
    #[arg(help_heading = HEADING, id = "notify.urls", long = "notify", value_name = "URL", env = "FAILSIFT_NOTIFY", hide_env_values = true)]
    pub urls: Vec<NotifyUrl>,
    /// Format of the summary [default: what the host expects, else json]
    #[arg(help_heading = HEADING, id = "notify.format", long = "notify-format", value_name = "FORMAT", value_enum, env = "FAILSIFT_NOTIFY_FORMAT")]
    pub format: Option<Format>,
    /// Runs after which a summary is posted [default: always]
    #[arg(help_heading = HEADING, id = "notify.when", long = "notify-when", value_name = "WHEN", value_enum, env = "FAILSIFT_NOTIFY_WHEN")]
    pub when: Option<When>,
    /// Post the redacted titles of new failures too
    #[arg(help_heading = HEADING, id = "notify.titles", long = "notify-titles", env = "FAILSIFT_NOTIFY_TITLES", num_args = 0..=1,
          require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub titles: Option<bool>,
    /// A run is a problem if a larger share of its patterns describes a failure
    #[arg(help_heading = HEADING, id = "notify.failure_rate_over", long = "notify-failure-rate-over", value_name = "SHARE", value_parser = finite, env = "FAILSIFT_NOTIFY_FAILURE_RATE_OVER")]
    pub failure_rate_over: Option<f64>,
    /// A run is a problem if a larger share of its traces and records is rejected
    #[arg(help_heading = HEADING, id = "notify.rejected_rate_over", long = "notify-rejected-rate-over", value_name = "SHARE", value_parser = finite, env = "FAILSIFT_NOTIFY_REJECTED_RATE_OVER")]
    pub rejected_rate_over: Option<f64>,
}

impl NotifySection {
    /// The receivers and what they are told. `problems` receives what is wrong; `urls` is the name of that key in messages.
    pub(super) fn into_config(self, urls: &str, problems: &mut Vec<ConfigError>) -> NotifyConfig {
        let mut targets = Vec::with_capacity(self.urls.len());
        // An empty variable is as good as none.
        for url in self.urls.iter().filter(|url| !url.0.trim().is_empty()) {
            match Target::parse(&url.0) {
                Ok(target) => targets.push(target),
                Err(error) => problems.push(ConfigError::InvalidValue(format!("{urls}: {error}"))),
            }
        }
        NotifyConfig {
            targets,
            format: self.format,
            when: self.when.unwrap_or_default(),
            failure_rate_over: self.failure_rate_over,
            rejected_rate_over: self.rejected_rate_over,
            // The only place that permits titles: where an access policy is configured, it is checked here.
            titles: self.titles.unwrap_or_default(),
        }
    }
}

/// The URL of a web hook for messages: scheme and host.
pub(super) fn shown_url(text: &str) -> String {
    if text.trim().is_empty() {
        return String::new();
    }
    Target::parse(text).map_or_else(|_| "<secret>".to_owned(), |target| target.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Given, Origin, Pipeline, Resolution, RunConfig};

    fn section(urls: &[&str]) -> NotifySection {
        NotifySection { urls: urls.iter().map(|url| NotifyUrl((*url).to_owned())).collect(), ..NotifySection::default() }
    }

    fn file(notify: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), format!("[source]\ninputs = ['a']\n[write]\noutput = 'out'\n[notify]\n{notify}")).unwrap();
        file
    }

    fn given(file: &tempfile::NamedTempFile, notify: NotifySection) -> Given {
        Given { file: Some(file.path().to_owned()), settings: Pipeline { notify, ..Pipeline::default() }, ..Given::default() }
    }

    fn resolved(file: &tempfile::NamedTempFile, notify: NotifySection) -> NotifyConfig {
        RunConfig::resolve(&given(file, notify)).unwrap().notify
    }

    #[test]
    fn flags_replace_the_urls_of_the_file() {
        let file = file("urls = ['https://a.example/SECRET']\nwhen = 'problem'\nfailure_rate_over = 0.5\n");
        let config = resolved(&file, section(&["https://b.example/SECRET"]));
        assert_eq!(
            (config.targets, config.when, config.failure_rate_over),
            (vec![Target::parse("https://b.example/SECRET").unwrap()], When::Problem, Some(0.5))
        );
        let config = resolved(&file, NotifySection { when: Some(When::Always), ..section(&[]) });
        assert_eq!(
            (config.targets, config.when, config.titles),
            (vec![Target::parse("https://a.example/SECRET").unwrap()], When::Always, false)
        );
        // An empty variable switches the notifications of the file off.
        assert_eq!(resolved(&file, section(&[" "])).targets, []);
    }

    #[test]
    fn messages_and_debug_output_do_not_contain_the_url() {
        let error_of = |notify: &str, flags: NotifySection| RunConfig::resolve(&given(&file(notify), flags)).unwrap_err().to_string();
        let error = error_of("", section(&["ftp://a.example/SECRET"]));
        assert!(error.contains(": invalid notification URL") && !error.contains("SECRET"), "{error}");
        let error = error_of("urls = ['SECRET']\n", section(&[]));
        assert!(error.starts_with("[notify] urls in ") && error.contains(" line 6: invalid ") && !error.contains("SECRET"), "{error}");
        let error = error_of("urls = 'https://a.example/SECRET'\n", section(&[]));
        assert!(error.contains("expected a list, found a text") && !error.contains("SECRET"), "{error}");
        let error = error_of(&format!("urls = [{}]\n", "'https://a.example/SECRET', ".repeat(11)), section(&[]));
        assert!(error.contains("must have at most 10 items") && !error.contains("SECRET"), "{error}");
        let error = error_of("rejected_rate_over = 10\n", section(&[]));
        assert!(error.starts_with("invalid [notify] rejected_rate_over in ") && error.contains(": must be at most 1\n"), "{error}");
        assert!(!format!("{:?}", given(&file(""), section(&["https://a.example/SECRET"]))).contains("SECRET"));
    }

    #[test]
    fn settings_show_scheme_and_host() {
        let file = file(
            "urls = ['https://u:SECRET@a.example:8443/SECRET?k=SECRET#SECRET', 'SECRET', '{env:CARGO_PKG_NAME}', 'https://a.example/{env:CARGO_PKG_NAME}']\n",
        );
        let resolution = Resolution::new(&given(&file, section(&[]))).unwrap();
        let setting = resolution.settings.iter().find(|setting| setting.section == "notify" && setting.key == "urls").unwrap();
        assert_eq!(setting.shown, serde_json::json!(["https://a.example:8443", "<secret>", "<secret>", "https://a.example"]));
        assert!(matches!(setting.origin, Origin::File { line: Some(6), .. }), "{:?}", setting.origin);
        assert!(!format!("{resolution:?}").contains("SECRET"), "{resolution:?}");
    }
}
