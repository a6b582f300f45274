//! Notifications as flags and as the section `[notify]` of a pipeline file.

use std::convert::Infallible;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;

use super::{ConfigError, setting_name};
use crate::limits::NOTIFY_URLS_MAX;
use crate::notify::{Format, NotifyConfig, Target, When};

/// The URL of a web hook, as given. It usually contains a secret.
#[derive(Clone, PartialEq, Eq, Deserialize)]
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

/// Notifications: flags, and the section `[notify]` of a pipeline file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyOptions {
    /// Web hook to which a summary of the run is posted when it ends, also if it fails; can be repeated
    #[arg(help_heading = HEADING, id = "notify", long = "notify", value_name = "URL", env = "FAILSIFT_NOTIFY", hide_env_values = true)]
    pub urls: Vec<NotifyUrl>,
    /// Format of the summary [default: what the host expects, else json]
    #[arg(help_heading = HEADING, id = "notify-format", long = "notify-format", value_name = "FORMAT", value_enum)]
    pub format: Option<Format>,
    /// Runs after which a summary is posted [default: always]
    #[arg(help_heading = HEADING, id = "notify-when", long = "notify-when", value_name = "WHEN", value_enum)]
    pub when: Option<When>,
    /// Post the redacted titles of new failures too
    #[arg(help_heading = HEADING, id = "notify-titles", long = "notify-titles")]
    pub titles: bool,
    /// Share of patterns that describe a failure above which a run is a problem.
    #[arg(skip)]
    pub failure_rate_over: Option<f64>,
    /// Share of rejected traces and records above which a run is a problem.
    #[arg(skip)]
    pub rejected_rate_over: Option<f64>,
}

impl NotifyOptions {
    /// Takes each missing value from the pipeline file, and checks all. `path` is the pipeline file.
    pub(super) fn resolve(self, file: Self, path: Option<&Path>) -> Result<NotifyConfig, ConfigError> {
        let is_flag = !self.urls.is_empty();
        let name = setting_name(path, is_flag, "--notify", "[notify] urls");
        let invalid = |reason: String| Err(ConfigError::InvalidValue(reason));
        let urls = if is_flag { self.urls } else { file.urls };
        if urls.len() > NOTIFY_URLS_MAX {
            return invalid(format!("invalid {name}: at most {NOTIFY_URLS_MAX} URLs can be given"));
        }
        let mut targets = Vec::with_capacity(urls.len());
        // An empty variable is as good as none.
        for url in urls.iter().filter(|url| !url.0.trim().is_empty()) {
            match Target::parse(&url.0) {
                Ok(target) => targets.push(target),
                Err(error) => return invalid(format!("{name}: {error}")),
            }
        }
        for (key, threshold) in [("failure_rate_over", file.failure_rate_over), ("rejected_rate_over", file.rejected_rate_over)] {
            if threshold.is_some_and(|threshold| !(0.0..=1.0).contains(&threshold)) {
                let name = setting_name(path, false, "", &format!("[notify] {key}"));
                return invalid(format!("invalid {name}: must be between 0 and 1 (0.1 means 10 %)"));
            }
        }
        Ok(NotifyConfig {
            targets,
            format: self.format.or(file.format),
            when: self.when.or(file.when).unwrap_or_default(),
            failure_rate_over: file.failure_rate_over,
            rejected_rate_over: file.rejected_rate_over,
            // The only place that permits titles: where an access policy is configured, it is checked here.
            titles: self.titles || file.titles,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(urls: &[&str]) -> NotifyOptions {
        NotifyOptions { urls: urls.iter().map(|url| NotifyUrl((*url).to_owned())).collect(), ..NotifyOptions::default() }
    }

    #[test]
    fn flags_replace_the_urls_of_the_file() {
        let file = NotifyOptions { when: Some(When::Problem), failure_rate_over: Some(0.5), ..options(&["https://a.example/token"]) };
        let config = options(&["https://b.example/token"]).resolve(file.clone(), None).unwrap();
        assert_eq!(
            (config.targets, config.when, config.failure_rate_over),
            (vec![Target::parse("https://b.example/token").unwrap()], When::Problem, Some(0.5))
        );
        let config = NotifyOptions { when: Some(When::Always), ..options(&[]) }.resolve(file, None).unwrap();
        assert_eq!(
            (config.targets, config.when, config.titles),
            (vec![Target::parse("https://a.example/token").unwrap()], When::Always, false)
        );
        assert_eq!(options(&[" "]).resolve(options(&[]), None).unwrap().targets, []);
    }

    #[test]
    fn messages_and_debug_output_do_not_contain_the_url() {
        let error = options(&["ftp://a.example/token"]).resolve(options(&[]), Some(Path::new("p.toml"))).unwrap_err().to_string();
        assert!(error.starts_with("--notify: invalid notification URL") && !error.contains("token"), "{error}");
        let error = options(&[]).resolve(options(&["token"]), Some(Path::new("p.toml"))).unwrap_err().to_string();
        assert!(error.starts_with("[notify] urls in p.toml: ") && !error.contains("token"), "{error}");
        assert!(!format!("{:?}", options(&["https://a.example/token"])).contains("token"));
        let share = NotifyOptions { rejected_rate_over: Some(10.0), ..options(&[]) };
        let error = options(&[]).resolve(share, Some(Path::new("p.toml"))).unwrap_err().to_string();
        assert!(error.starts_with("invalid [notify] rejected_rate_over in p.toml: must be between 0 and 1"), "{error}");
    }
}
