//! Errors of the Delta library, the query engine and the stores below them, in plain words.

use std::error::Error;

use deltalake_core::DeltaTableError;

use crate::messages::io_cause;

/// What the libraries put before the cause. It does not help the user.
const PREFIXES: [&str; 16] = [
    "Generic DeltaTable error: ",
    "Delta-rs must be initialized: ",
    "Kernel error: ",
    "Generic delta kernel error: ",
    "Failed to read delta log object: ",
    "Failed to parse parquet: ",
    "Failed to commit transaction: ",
    "Arrow error: ",
    "Parquet error: ",
    "External error: ",
    "External: ",
    "Execution error: ",
    "Object Store error: ",
    "Object store error: ",
    "Error during planning: ",
    "Internal error: ",
];

/// Why an operation on a table failed: one line, without the names of libraries and their types.
pub(crate) fn error_message(error: &DeltaTableError) -> String {
    match error {
        // failsift's own messages are of this kind too.
        DeltaTableError::Generic(text) => first_line(without_prefixes(text)).to_owned(),
        other => failure_message(other),
    }
}

/// The cause if an entry of the transaction log is not valid JSON.
const CORRUPT_LOG: &str = "its transaction log is corrupt";

/// What the user can do about an error of a table, if the cause is known.
pub(crate) fn error_hint(error: &DeltaTableError) -> Option<&'static str> {
    if error_message(error) == CORRUPT_LOG {
        return Some("restore the folder _delta_log of the table from a backup, or use another location");
    }
    is_denied(error).then_some("check that this user, or these credentials, may read _delta_log and the data files of the table")
}

/// The cause of an error of any library on one line: what the operating system or the store answered, or else the innermost message.
pub(crate) fn failure_message(error: &(dyn Error + 'static)) -> String {
    if is_denied(error) {
        let answer = causes(error).find_map(|error| http_answer(&error.to_string()));
        let answer = answer.map(|answer| format!(" ({answer})")).unwrap_or_default();
        let object = causes(error).find_map(denied_object).map(|path| format!(" for {path}")).unwrap_or_default();
        return format!("permission denied{object}{answer}");
    }
    let known = causes(error).find_map(|error| {
        if let Some(error) = error.downcast_ref::<object_store::Error>() {
            return match error {
                object_store::Error::NotFound { path, .. } => Some(format!("{path} does not exist")),
                other => http_answer(&other.to_string()),
            };
        }
        // Other errors are wrappers, and their cause is the next item.
        error.downcast_ref::<std::io::Error>().filter(|error| error.raw_os_error().is_some()).map(io_cause)
    });
    known.unwrap_or_else(|| {
        let innermost = causes(error).last().map(ToString::to_string).unwrap_or_default();
        if without_prefixes(&innermost).starts_with("Json error: ") {
            return CORRUPT_LOG.to_owned();
        }
        first_line(without_prefixes(&innermost)).to_owned()
    })
}

/// An error, its source, the source of that one, and so on.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let current = next?;
        next = current.source();
        Some(current)
    })
}

/// The object to which a store refuses access.
fn denied_object<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a str> {
    match error.downcast_ref::<object_store::Error>()? {
        object_store::Error::PermissionDenied { path, .. } | object_store::Error::Unauthenticated { path, .. } => Some(path),
        _ => None,
    }
}

/// Whether an operation was not allowed.
fn is_denied(error: &(dyn Error + 'static)) -> bool {
    causes(error).any(|error| {
        let by_system = error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        let by_store = matches!(
            error.downcast_ref::<object_store::Error>(),
            Some(object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. })
        );
        // Some libraries keep only the text of their cause.
        by_system || by_store || error.to_string().contains("Permission denied")
    })
}

/// The status of a response that a store's client quotes, with the error code from its XML body: `HTTP 403 AccessDenied`.
fn http_answer(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("status code: ")?;
    let status: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let code = code.filter(|code| code.len() <= 64 && code.chars().all(char::is_alphanumeric));
    Some(code.map_or_else(|| format!("HTTP {status}"), |code| format!("HTTP {status} {code}")))
}

fn without_prefixes(text: &str) -> &str {
    let mut rest = text;
    while let Some(shorter) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        rest = shorter;
    }
    rest
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store_error(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn a_log_that_may_not_be_read_is_reported_as_permission_denied() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let error = DeltaTableError::Io { source: denied };
        assert_eq!(error_message(&error), "permission denied");
        assert!(error_hint(&error).is_some_and(|hint| hint.contains("this user")));
        let error = DeltaTableError::Generic("Kernel error: Permission denied (os error 13)".to_owned());
        assert!(error_hint(&error).is_some());
    }

    #[test]
    fn an_answer_of_a_store_is_its_status_and_code_without_xml() {
        let text =
            "PUT http://s3/a - Server returned non-2xx status code: 503 Service Unavailable: <?xml?><Error><Code>SlowDown</Code></Error>";
        assert_eq!(failure_message(&store_error(text)), "HTTP 503 SlowDown");
        let source = "status code: 403 Forbidden: <Error><Code>AccessDenied</Code></Error>".into();
        let denied = object_store::Error::PermissionDenied { path: "a/b".to_owned(), source };
        assert_eq!(failure_message(&denied), "permission denied for a/b (HTTP 403 AccessDenied)");
        let missing = object_store::Error::NotFound { path: "a/b".to_owned(), source: "404".into() };
        assert_eq!(failure_message(&DeltaTableError::ObjectStore { source: missing }), "a/b does not exist");
    }

    #[test]
    fn other_errors_keep_their_innermost_message_without_names_of_libraries() {
        let error = DeltaTableError::Generic("Generic DeltaTable error: External error: the file is cut off\nmore".to_owned());
        assert_eq!(error_message(&error), "the file is cut off");
    }
}
