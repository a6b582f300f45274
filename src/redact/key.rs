//! The redaction key: read from a text or a file, or created on first use. Makes the token of a value.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::detect::{LOW_ENTROPY_KINDS, TOKEN_SUFFIX_DIGITS};
use crate::messages::io_cause;
use crate::model::hex;
use crate::text_file;

/// Shorter keys can be guessed, and whoever knows the key can test guessed values against tokens.
const KEY_BYTES_MIN: usize = 16;

/// Random bytes in a new key.
const NEW_KEY_BYTES: usize = 32;

/// A secret key with its public id.
#[derive(Clone)]
pub struct RedactionKey {
    mac: Hmac<Sha256>,
    id: String,
    /// The file of a newly created key, which a run reports.
    created_file: Option<PathBuf>,
}

/// Why the redaction key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key is too short to be secret.
    #[error("the redaction key has {0} bytes, but needs at least {KEY_BYTES_MIN}\n  hint: generate one with `openssl rand -hex 32`")]
    TooShort(usize),
    /// The key file cannot be read or created.
    #[error("cannot use the redaction key file {}: {}\n  hint: set FAILSIFT_REDACTION_KEY, or --redaction-key-file to a file that only you can read", path.display(), io_cause(source))]
    File {
        /// The file.
        path: PathBuf,
        /// The I/O error.
        source: io::Error,
    },
    /// The user has neither a home folder nor a configuration folder.
    #[error(
        "cannot create a redaction key: neither HOME nor XDG_CONFIG_HOME is set\n  hint: set FAILSIFT_REDACTION_KEY or --redaction-key-file"
    )]
    NoConfigDirectory,
}

impl RedactionKey {
    /// The key in `text`, without surrounding white space.
    ///
    /// # Errors
    /// [`KeyError::TooShort`].
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let key = text.trim().as_bytes();
        if key.len() < KEY_BYTES_MIN {
            return Err(KeyError::TooShort(key.len()));
        }
        let mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| KeyError::TooShort(key.len()))?;
        let id = short_hex(&Sha256::new().chain_update(b"failsift redaction key id\0").chain_update(key).finalize(), 4);
        Ok(Self { mac, id, created_file: None })
    }

    /// The key in `path`.
    ///
    /// # Errors
    /// [`KeyError::File`] if the file cannot be read, [`KeyError::TooShort`].
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let text = text_file::read(path).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
        Self::from_text(&text)
    }

    /// The key in the user's configuration folder, created on first use. If two runs start at the same time, one creates the key and both use
    /// it.
    ///
    /// # Errors
    /// [`KeyError`] if the folder or the file cannot be created or read.
    pub fn from_user_config() -> Result<Self, KeyError> {
        let path = Self::user_file()?;
        if path.exists() {
            return Self::from_file(&path);
        }
        let is_created = create_key_file(&path).map_err(|source| KeyError::File { path: path.clone(), source })?;
        Ok(Self { created_file: is_created.then(|| path.clone()), ..Self::from_file(&path)? })
    }

    /// The file of the key in the user's configuration folder, whether or not it exists.
    ///
    /// # Errors
    /// [`KeyError::NoConfigDirectory`].
    pub fn user_file() -> Result<PathBuf, KeyError> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config =
            absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config"))).ok_or(KeyError::NoConfigDirectory)?;
        Ok(config.join("failsift").join("redaction.key"))
    }

    /// The public id of the key, which does not reveal it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key file, if this process created it.
    pub fn created_file(&self) -> Option<&Path> {
        self.created_file.as_deref()
    }

    /// The token of a value, such as `<EMAIL:1a2b3c>`, with the first 6 hex digits of HMAC-SHA-256 over kind and value. Case, spaces, hyphens and
    /// parentheses do not matter. Short secrets such as a four-digit PIN get no digits: there are so few PINs that equal tokens would reveal
    /// them.
    pub(super) fn token(&self, kind: &str, value: &str) -> String {
        const SECRET_BYTES_MIN: usize = 8;
        let upper = kind.to_ascii_uppercase();
        if LOW_ENTROPY_KINDS.contains(&kind) && value.len() < SECRET_BYTES_MIN {
            return format!("<{upper}>");
        }
        let mut mac = self.mac.clone();
        mac.update(kind.as_bytes());
        mac.update(b"\0");
        for byte in value.bytes().filter(|byte| !matches!(byte, b' ' | b'-' | b'(' | b')')) {
            mac.update(&[byte.to_ascii_lowercase()]);
        }
        format!("<{upper}:{}>", short_hex(&mac.finalize().into_bytes(), TOKEN_SUFFIX_DIGITS / 2))
    }
}

impl fmt::Debug for RedactionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedactionKey {{ id: {:?}, key: <secret> }}", self.id)
    }
}

/// Creates a key file that only its owner can read. Returns false if another process created it first.
fn create_key_file(path: &Path) -> io::Result<bool> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let mut key = [0u8; NEW_KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    // Written to a temporary file (mode 0600) first, so that no other process reads an incomplete key.
    let mut file = tempfile::Builder::new().prefix("redaction.key.").tempfile_in(directory)?;
    writeln!(file, "{}", hex(&key))?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// The first `count` bytes as hex.
fn short_hex(bytes: &[u8], count: usize) -> String {
    hex(bytes.get(..count).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn concurrent_runs_create_one_key_that_only_its_owner_can_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/redaction.key");
        let created: Vec<bool> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| create_key_file(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(created.iter().filter(|created| **created).count(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert_eq!(RedactionKey::from_file(&path).unwrap().id(), RedactionKey::from_file(&path).unwrap().id());
    }

    #[test]
    fn debug_output_does_not_contain_the_key() {
        let key = RedactionKey::from_text("sixteen bytes and more").unwrap();
        assert!(!format!("{key:?}").contains("sixteen"));
        assert!(matches!(RedactionKey::from_text("short"), Err(KeyError::TooShort(5))));
    }
}
