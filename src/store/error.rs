//! Describes errors of locations with a cause and a hint, without the XML of a cloud's response and without names of libraries.

use std::fmt;
use std::io::{self, ErrorKind};

use crate::messages;

/// Why an input or output location cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The location is not a valid path, glob or URL.
    #[error("cannot use {location}: {reason}\n  hint: use a path, a glob, - for standard input, file://, s3://, gs://, az:// or https://")]
    Location {
        /// As the user gave it, without credentials.
        location: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The location cannot be read, or not listed to the end.
    #[error("cannot read {location}: {reason}\n  hint: {hint}")]
    Unreadable {
        /// As the user gave it, without credentials.
        location: String,
        /// What failed.
        reason: String,
        /// What to check.
        hint: String,
    },
    /// Files cannot be created at the location.
    #[error("cannot write to {location}: {reason}\n  hint: {hint}")]
    Unwritable {
        /// As the user gave it, without credentials.
        location: String,
        /// What failed.
        reason: String,
        /// What to check.
        hint: String,
    },
    /// The location does not exist, or has no object that may contain traces.
    #[error("cannot read {location}: {reason}\n  hint: {hint}")]
    Empty {
        /// As the user gave it, without credentials.
        location: String,
        /// What is missing.
        reason: String,
        /// What to check.
        hint: String,
    },
}

/// What to check if a location contains no traces.
pub const EMPTY_INPUT_HINT: &str = "check the path; objects whose names start with _ or . are skipped, and so are the tables of failsift";

impl StoreError {
    pub(super) fn location(location: &str, reason: impl Into<String>) -> Self {
        Self::Location { location: location.to_owned(), reason: reason.into() }
    }

    pub(super) fn unreadable(location: &str, cause: impl Into<Cause>) -> Self {
        Self::unreadable_because(location, "", cause)
    }

    /// `context` is put before the cause, such as `the listing cannot be completed: `.
    pub(super) fn unreadable_because(location: &str, context: &str, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        Self::Unreadable { location: location.to_owned(), reason: format!("{context}{cause}"), hint: cause.hint(location).to_owned() }
    }

    pub(super) fn unwritable(location: &str, cause: &Cause) -> Self {
        let hint = match (cause, location.contains("://")) {
            (Cause::Denied { .. }, false) => "check the permissions of the folder",
            (_, false) => "give a folder that can be created or written",
            (_, true) => cause.hint(location),
        };
        Self::Unwritable { location: location.to_owned(), reason: cause.to_string(), hint: hint.to_owned() }
    }

    pub(super) fn empty(location: &str, reason: &str) -> Self {
        Self::Empty { location: location.to_owned(), reason: reason.to_owned(), hint: EMPTY_INPUT_HINT.to_owned() }
    }

    pub(super) fn missing(location: &str, reason: &str, suggestion: Option<String>) -> Self {
        let hint = suggestion.map_or_else(|| Cause::Missing.hint(location).to_owned(), |suggestion| format!("did you mean {suggestion}?"));
        Self::Empty { location: location.to_owned(), reason: reason.to_owned(), hint }
    }
}

/// Why a request to a store, a web server or the file system failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// The object does not exist.
    Missing,
    /// Access was refused. `status` is that of the HTTP response, if there was one.
    Denied { status: Option<u16> },
    /// Anything else.
    Other(String),
}

impl Cause {
    pub(super) fn other(cause: impl fmt::Display) -> Self {
        Self::Other(first_line(&cause))
    }

    /// The cause of a response with this status.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Denied { status: Some(status) },
            404 | 410 => Self::Missing,
            other => Self::Other(format!("the server responded with HTTP {other}")),
        }
    }

    /// What to check if this happened at a location.
    fn hint(&self, location: &str) -> &'static str {
        let scheme = location.split_once("://").map_or("", |(scheme, _)| scheme);
        match (self, scheme) {
            (Self::Denied { .. }, "s3" | "s3a") => {
                "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and that they grant access to the bucket"
            }
            (Self::Denied { .. }, "gs") => {
                "check GOOGLE_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS, and that the account has access to the bucket"
            }
            (Self::Denied { .. }, "az" | "adl" | "azure" | "abfs" | "abfss") => {
                "check AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, and that they grant access to the container"
            }
            (Self::Denied { .. }, "http" | "https") => "check that the URL grants access; a signed URL may have expired",
            (Self::Denied { .. }, _) => "check the permissions of the file and of its parent folders",
            (Self::Missing, "" | "file") => "check the path",
            (Self::Other(_), "" | "file") => "check that the path can be read",
            (Self::Missing | Self::Other(_), "http" | "https") => "check the URL and the network",
            (Self::Missing | Self::Other(_), _) => "check the URL, and the credentials, region and endpoint in the environment",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no such file or object"),
            Self::Denied { status: Some(status) } => write!(f, "permission denied (HTTP {status})"),
            Self::Denied { status: None } => f.write_str("permission denied"),
            Self::Other(cause) => f.write_str(cause),
        }
    }
}

impl From<&object_store::Error> for Cause {
    fn from(error: &object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            object_store::Error::PermissionDenied { .. } => Self::Denied { status: Some(403) },
            object_store::Error::Unauthenticated { .. } => Self::Denied { status: Some(401) },
            // Clouds describe an error in XML after the status. Listings have no variant of their own for a refusal.
            other => match status_in(&other.to_string()) {
                Some(status) => Self::of_status(status),
                None => Self::other(other),
            },
        }
    }
}

impl From<&io::Error> for Cause {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::PermissionDenied => Self::Denied { status: None },
            _ => Self::Other(messages::io_cause(error)),
        }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

/// The HTTP status in the text of an `object_store` error, which has no accessor for it.
fn status_in(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("non-2xx status code: ")?;
    rest.split(' ').next()?.trim_end_matches(':').parse().ok()
}

pub(super) fn first_line(error: &dyn fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_a_cloud_are_permission_errors_without_xml() {
        let body = "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>";
        let listing = object_store::Error::Generic { store: "S3", source: body.into() };
        let error = StoreError::unreadable("s3://b/x", &listing).to_string();
        assert!(error.starts_with("cannot read s3://b/x: permission denied (HTTP 403)\n  hint: check AWS_ACCESS_KEY_ID"), "{error}");
        let broken = body.replace("403 Forbidden", "503 Service Unavailable");
        let listing = object_store::Error::Generic { store: "S3", source: broken.into() };
        assert_eq!(Cause::from(&listing).to_string(), "the server responded with HTTP 503");
    }

    #[test]
    fn local_errors_have_a_cause_and_a_hint() {
        let denied = StoreError::unreadable("/logs", io::Error::from(ErrorKind::PermissionDenied)).to_string();
        assert_eq!(denied, "cannot read /logs: permission denied\n  hint: check the permissions of the file and of its parent folders");
    }
}
