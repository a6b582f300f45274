//! Standard input, FIFOs and process substitution: inputs without a size that can be read once, from start to end.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path as LocalPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use tokio_util::sync::CancellationToken;

use super::object::Object;

/// How often a reader that waits for the writer checks for a shutdown.
const POLL_INTERVAL_MS: u16 = 100;

/// An input that can be read once.
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    /// `None` for standard input.
    path: Option<PathBuf>,
    is_opened: Arc<AtomicBool>,
}

impl Pipe {
    pub(super) fn stdin() -> Self {
        Self { path: None, is_opened: Arc::default() }
    }

    /// The pipe at a path; `None` if the path is not a pipe.
    pub(super) fn at(path: &LocalPath) -> Option<Self> {
        let kind = std::fs::metadata(path).ok()?.file_type();
        let is_pipe = kind.is_fifo() || kind.is_char_device() || kind.is_socket();
        // Standard input may be a socket, which cannot be opened by its path.
        let path = (path != LocalPath::new("/dev/stdin")).then(|| path.to_owned());
        is_pipe.then(|| Self { path, is_opened: Arc::default() })
    }

    pub(super) fn object(&self) -> Object {
        let uri = self.path.as_ref().map_or_else(|| super::STDIN.to_owned(), |path| path.display().to_string());
        Object::of_pipe(self.clone(), uri)
    }

    /// Opens the pipe. This does not wait for a writer; reading does.
    pub(super) fn open(&self, shutdown: CancellationToken) -> io::Result<PipeReader> {
        if self.is_opened.swap(true, Ordering::Relaxed) {
            return Err(io::Error::other(
                "a pipe can be read only once, and this one was already read; save it to a file to read it again",
            ));
        }
        let file = match &self.path {
            None => File::from(io::stdin().as_fd().try_clone_to_owned()?),
            Some(path) => OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?,
        };
        Ok(PipeReader { file, shutdown })
    }
}

/// Reads a pipe to its end, or until a shutdown is requested.
#[derive(Debug)]
pub(super) struct PipeReader {
    file: File,
    shutdown: CancellationToken,
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.shutdown.is_cancelled() {
                return Err(super::object::interrupted());
            }
            let mut watched = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            match nix::poll::poll(&mut watched, PollTimeout::from(POLL_INTERVAL_MS)) {
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => match self.file.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    read => return read,
                },
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_is_read_to_its_end_once_and_a_shutdown_ends_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let pipe = Pipe::at(&path).unwrap();
        let mut reader = pipe.open(CancellationToken::new()).unwrap();
        let writer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(250));
            std::fs::write(&path, "hello").unwrap();
        });
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        writer.join().unwrap();
        assert_eq!(read, "hello");
        assert!(pipe.open(CancellationToken::new()).unwrap_err().to_string().contains("only once"));
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        let pipe = Pipe::at(&folder.path().join("pipe")).unwrap();
        assert!(pipe.open(shutdown).unwrap().read(&mut [0; 8]).is_err());
    }
}
