//! Whether locations can be read and written, for `failsift check`: looks at one object of an input, and leaves nothing behind at an output.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path as LocalPath;
use std::time::Duration;

use futures::StreamExt;
use nix::unistd::{AccessFlags, access};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::error::Cause;
use super::{Listed, Location, StoreError, non_empty, open, without_credentials};

/// Opens the first object of an input that may contain traces. Returns its URI.
///
/// # Errors
/// [`StoreError::Empty`] if there is none, [`StoreError::Unreadable`] if it cannot be opened.
pub async fn probe_input(input: &Location, tables: &Url) -> Result<String, StoreError> {
    let mut listing = non_empty(input, tables).await?;
    while let Some(listed) = listing.next().await {
        match listed? {
            Listed::Skipped(_) => {}
            Listed::Object(object) => {
                object.open(CancellationToken::new()).await.map_err(|error| StoreError::unreadable(&object.uri, error))?;
                return Ok(object.uri);
            }
            Listed::Unreadable { uri, reason } => return Err(StoreError::unreadable(&uri, Cause::Other(reason))),
        }
    }
    Ok(input.shown().to_owned())
}

/// Checks that files can be created at the location of tables, without creating a folder there. `folders` are the folders below it to which a
/// run writes, as far as they exist. In a bucket, an object is written and deleted, because nothing else tells whether that is allowed.
///
/// # Errors
/// [`StoreError`].
pub async fn probe_output(location: &Url, folders: &[String]) -> Result<(), StoreError> {
    if let Ok(root) = location.to_file_path() {
        return probe_local_output(&root, folders);
    }
    let (store, root) = open(location)?;
    let shown = without_credentials(location);
    let failed = |error: object_store::Error| StoreError::unwritable(&shown, &Cause::from(&error));
    let name: Path = root.parts().chain([format!("_failsift_check_{}", uuid::Uuid::now_v7()).into()]).collect();
    store.put(&name, PutPayload::from_static(b"written by failsift check")).await.map_err(failed)?;
    store.delete(&name).await.map_err(failed)
}

fn probe_local_output(root: &LocalPath, folders: &[String]) -> Result<(), StoreError> {
    let existing = root.ancestors().find(|folder| folder.symlink_metadata().is_ok()).unwrap_or(root);
    let below = folders.iter().map(|folder| root.join(folder)).filter(|folder| folder.exists());
    for folder in [existing.to_owned()].into_iter().chain(below) {
        let shown = folder.display().to_string();
        if !folder.is_dir() {
            return Err(StoreError::unwritable(&shown, &Cause::Other("it is a file, not a folder".to_owned())));
        }
        access(&folder, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|errno| StoreError::unwritable(&shown, &Cause::from(std::io::Error::from(errno))))?;
    }
    Ok(())
}

/// What to do about a location whose credentials are not in the environment; `None` if they are, or if it needs none. The identity of the
/// machine may still grant access.
pub fn missing_credentials(text: &str) -> Option<&'static str> {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let (variables, hint): (&[&str], _) = match text.split_once("://")?.0 {
        "s3" | "s3a" => (
            &[
                "AWS_ACCESS_KEY_ID",
                "AWS_WEB_IDENTITY_TOKEN_FILE",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                "AWS_SKIP_SIGNATURE",
            ],
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run on a machine with a role that may access the bucket",
        ),
        "gs" => (
            &[
                "GOOGLE_SERVICE_ACCOUNT",
                "GOOGLE_SERVICE_ACCOUNT_PATH",
                "GOOGLE_SERVICE_ACCOUNT_KEY",
                "GOOGLE_APPLICATION_CREDENTIALS",
                "GOOGLE_SKIP_SIGNATURE",
            ],
            "set GOOGLE_APPLICATION_CREDENTIALS, or run on a machine with a service account that may access the bucket",
        ),
        "az" | "adl" | "azure" | "abfs" | "abfss" => (
            &[
                "AZURE_STORAGE_ACCOUNT_KEY",
                "AZURE_STORAGE_SAS_TOKEN",
                "AZURE_STORAGE_SAS_KEY",
                "AZURE_CLIENT_ID",
                "AZURE_USE_AZURE_CLI",
                "AZURE_SKIP_SIGNATURE",
            ],
            "set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or run on a machine with an identity that may access the container",
        ),
        _ => return None,
    };
    (!variables.iter().any(is_set)).then_some(hint)
}

/// Why the server of a location cannot be reached, where its address is known and no proxy is configured. The clients of clouds retry for
/// minutes before they report it. Blocks for at most `timeout` per address.
pub fn unreachable_endpoint(text: &str, timeout: Duration) -> Option<String> {
    let is_proxy = |name: &str| ["http_proxy", "https_proxy", "all_proxy"].contains(&name.to_ascii_lowercase().as_str());
    let has_proxy = std::env::vars_os().any(|(name, value)| !value.is_empty() && is_proxy(&name.to_string_lossy()));
    let endpoint = match text.split_once("://")?.0 {
        "s3" | "s3a" => std::env::var("AWS_ENDPOINT_URL_S3")
            .or_else(|_| std::env::var("AWS_ENDPOINT_URL"))
            .or_else(|_| std::env::var("AWS_ENDPOINT"))
            .ok()?,
        "http" | "https" => text.to_owned(),
        _ => return None,
    };
    let url = Url::parse(&endpoint).ok().filter(|_| !has_proxy)?;
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    let failed = |cause: &str| Some(format!("cannot connect to {host}:{port}: {cause}"));
    let Ok(addresses) = (host.trim_matches(['[', ']']), port).to_socket_addrs() else {
        return failed("the host name cannot be resolved");
    };
    let mut error = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(_) => return None,
            Err(cause) => error = Some(cause),
        }
    }
    error.and_then(|error| failed(&Cause::from(error).to_string()))
}
