//! The receiver of notifications: a URL that is a secret.

use std::fmt;

use url::Url;

use super::message::Format;

/// A web hook. Its path and query usually contain a token, so only scheme and host are shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Url);

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.host())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Target {
    /// Parses a URL.
    ///
    /// # Errors
    /// A message that does not quote the URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        const HINT: &str = "\n  hint: copy the URL of the web hook, such as https://hooks.slack.com/services/…";
        let url = Url::parse(text.trim()).map_err(|error| format!("invalid notification URL: {error}{HINT}"))?;
        if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
            return Err(format!("invalid notification URL: it must start with https:// or http://{HINT}"));
        }
        Ok(Self(url))
    }

    /// The URL, for the request only.
    pub(super) fn url(&self) -> &str {
        self.0.as_str()
    }

    fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The format that the host expects, as far as it is known.
    pub(super) fn format(&self) -> Format {
        let (host, path) = (self.host(), self.0.path());
        let is_below = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        if is_below("logic.azure.com") || is_below("powerplatform.com") || is_below("webhook.office.com") {
            return Format::Teams;
        }
        let accepts_slack = is_below("slack.com") || is_below("slack-gov.com") || is_below("chat.googleapis.com");
        // Discord accepts Slack's format at this path, Mattermost and Rocket.Chat at the paths of their web hooks.
        let is_compatible = (is_below("discord.com") && path.ends_with("/slack")) || path.starts_with("/hooks/");
        if accepts_slack || is_compatible { Format::Slack } else { Format::Json }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_and_host_are_shown() {
        let target = Target::parse("https://user:pass@hooks.slack.com:8443/services/T0/B0/token?key=1#part").unwrap();
        assert_eq!(
            (target.to_string().as_str(), format!("{target:?}").as_str()),
            ("https://hooks.slack.com:8443", "Target(https://hooks.slack.com:8443)")
        );
        for wrong in ["hooks.slack.com/services/token", "ftp://host/token", "https://", "http://token:token@:80/"] {
            let error = Target::parse(wrong).unwrap_err();
            assert!(error.starts_with("invalid notification URL: ") && !error.contains("token"), "{error}");
        }
    }

    #[test]
    fn the_format_is_that_of_the_host() {
        let format = |url: &str| Target::parse(url).unwrap().format();
        for (url, expected) in [
            ("https://hooks.slack.com/services/a/b/c", Format::Slack),
            ("https://chat.googleapis.com/v1/spaces/a/messages?key=b", Format::Slack),
            ("https://discord.com/api/webhooks/1/a/slack", Format::Slack),
            ("https://mattermost.acme.example/hooks/abc", Format::Slack),
            ("https://prod-1.westeurope.logic.azure.com:443/workflows/a/triggers/manual/paths/invoke", Format::Teams),
            ("https://notslack.com/a", Format::Json),
            ("https://alerts.acme.example/failsift", Format::Json),
        ] {
            assert_eq!(format(url), expected, "{url}");
        }
    }
}
