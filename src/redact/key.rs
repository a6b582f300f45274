//! The key that makes tokens, and where it comes from.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::detect::{LOW_ENTROPY_KINDS, TOKEN_SUFFIX_DIGITS};
use crate::model::hex;
use crate::text_file;

/// Shorter keys can be guessed, and then values can be tried against tokens.
const KEY_BYTES_MIN: usize = 16;

/// A secret key with its public id.
#[derive(Clone)]
pub struct RedactionKey {
    mac: Hmac<Sha256>,
    id: String,
    /// Where a new key was made, so that the run can say so.
    created_file: Option<PathBuf>,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Too short to be a secret.
    #[error("the redaction key has {0} bytes, at least {KEY_BYTES_MIN} are needed\n  hint: openssl rand -hex 32")]
    TooShort(usize),
    /// The file cannot be read or made.
    #[error("cannot use the redaction key file {}: {source}\n  hint: set FAILSIFT_REDACTION_KEY, or --redaction-key-file to a file that only you can read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Neither a home nor a configuration folder is known.
    #[error(
        "there is no place for a redaction key: neither HOME nor XDG_CONFIG_HOME is set\n  hint: set FAILSIFT_REDACTION_KEY or --redaction-key-file"
    )]
    NoPlace,
}

impl RedactionKey {
    /// The key in `text`, white space around it cut.
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
    /// [`KeyError::File`] where it cannot be read, [`KeyError::TooShort`].
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        let text = text_file::read(path).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
        Self::from_text(&text)
    }

    /// The key in the user's configuration folder, made there once. Of two runs that start at once one makes it and both use it.
    ///
    /// # Errors
    /// [`KeyError`] where the folder or the file cannot be made or read.
    pub fn from_user_config() -> Result<Self, KeyError> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config"))).ok_or(KeyError::NoPlace)?;
        let path = config.join("failsift").join("redaction.key");
        if path.exists() {
            return Self::from_file(&path);
        }
        let made = make_file(&path).map_err(|source| KeyError::File { path: path.clone(), source })?;
        Ok(Self { created_file: made.then(|| path.clone()), ..Self::from_file(&path)? })
    }

    /// Names the key without giving it away.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where the key was made by this process.
    pub fn created_file(&self) -> Option<&Path> {
        self.created_file.as_deref()
    }

    /// `<EMAIL:1a2b3c>`: the first 6 hex digits of HMAC-SHA-256 over kind and normalised value. Short secrets such as a PIN of four digits get
    /// none: who holds many tokens could tell which PINs are equal, and there are few.
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

/// Writes a new key beside `path` and links it there; false where another process was faster.
fn make_file(path: &Path) -> io::Result<bool> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut random = [0u8; 32];
    for half in random.chunks_mut(16) {
        half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    }
    // A version 4 UUID has 122 random bits, so hashing two of them leaves more than 240.
    let key = hex(&Sha256::digest(random));
    let draft = folder.join(format!("redaction.key.{}", uuid::Uuid::new_v4()));
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    writeln!(file, "{key}")?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// The first `count` bytes in hex.
fn short_hex(bytes: &[u8], count: usize) -> String {
    hex(bytes.get(..count).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_belongs_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/redaction.key");
        let made: Vec<bool> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| make_file(&path).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(made.iter().filter(|made| **made).count(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        assert_eq!(RedactionKey::from_file(&path).unwrap().id(), RedactionKey::from_file(&path).unwrap().id());
    }

    #[test]
    fn a_key_never_shows() {
        let key = RedactionKey::from_text("sixteen bytes and more").unwrap();
        assert!(!format!("{key:?}").contains("sixteen"));
        assert!(matches!(RedactionKey::from_text("short"), Err(KeyError::TooShort(5))));
    }
}
