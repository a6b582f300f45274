//! Files of the user that are read as a whole: keys, rules, prices, pipelines.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::limits::TEXT_FILE_BYTES_MAX;

/// The text of a file with at most [`TEXT_FILE_BYTES_MAX`] bytes.
///
/// # Errors
/// What the system says; [`io::ErrorKind::FileTooLarge`] where it is larger, as a device may be without end; [`io::ErrorKind::InvalidData`] where
/// it is no UTF-8.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?.take(TEXT_FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if length as u64 > TEXT_FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {} MiB", TEXT_FILE_BYTES_MAX >> 20)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_refused() {
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert!(read(Path::new("Cargo.toml")).unwrap().contains("failsift"));
    }
}
