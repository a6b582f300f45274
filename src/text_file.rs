//! Reads small text files written by users: keys, rules, prices, pipelines.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::limits::TEXT_FILE_BYTES_MAX;
use crate::messages::io_cause;

/// Reads a text file of at most [`TEXT_FILE_BYTES_MAX`] bytes.
///
/// # Errors
/// The system's error; [`io::ErrorKind::FileTooLarge`] for a larger file or an endless device; [`io::ErrorKind::InvalidData`] for invalid UTF-8.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| plain(&error))?;
    let length = file.take(TEXT_FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| plain(&error))?;
    if length as u64 > TEXT_FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("the file is larger than {} MiB", TEXT_FILE_BYTES_MAX >> 20)));
    }
    Ok(text)
}

/// The same error with its cause in plain words.
fn plain(error: &io::Error) -> io::Error {
    let cause = if error.kind() == io::ErrorKind::InvalidData { "it is not UTF-8 text".to_owned() } else { io_cause(error) };
    io::Error::new(error.kind(), cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_errors_are_plain() {
        assert_eq!(read(Path::new("missing.toml")).unwrap_err().to_string(), "no such file or folder");
        assert_eq!(read(Path::new("src")).unwrap_err().to_string(), "it is a folder, not a file");
    }

    #[test]
    fn an_endless_file_is_rejected() {
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read(Path::new("Cargo.toml")).unwrap().contains("failsift"));
    }
}
