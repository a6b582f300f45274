//! The folder of the files to which sorts spill: mode 0700, files 0600, removed at the end of the run or query, or by a later one if this one was
//! killed.
//!
//! Spill files of runs contain raw trace text. The only other file with raw text that failsift writes is the unnamed temporary file of a Parquet
//! input that cannot be read in ranges.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;

const PREFIX: &str = "failsift-spill-";
const LOCK: &str = "lock";

/// The spill folder of one run or query, which holds a lock on a file in it, so that others can tell whether it is still in use.
#[derive(Debug)]
pub struct SpillFolder {
    path: PathBuf,
    _lock: File,
}

impl SpillFolder {
    /// Creates a folder below `parent` and removes those of interrupted runs.
    ///
    /// # Errors
    /// If `parent` is not writable.
    pub fn create(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!("{PREFIX}{}", uuid::Uuid::now_v7()));
        DirBuilder::new().mode(0o700).create(&path)?;
        // The lock file gets its name when it is locked, so that no other run finds it unlocked.
        let unlocked = path.join("unlocked");
        let lock = File::create_new(&unlocked)?;
        lock.lock()?;
        fs::rename(&unlocked, path.join(LOCK))?;
        remove_stale(parent, fs::metadata(&path)?.uid());
        Ok(Self { path, _lock: lock })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the spill folder; the next run will try again");
        }
    }
}

/// Removes the folders of interrupted runs: those of the user `uid` whose lock is not held.
fn remove_stale(parent: &Path, uid: u32) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_stale(&entry.path(), uid) {
            tracing::debug!(path = %entry.path().display(), "removing the spill folder of an interrupted run");
            // Its run may be removing it at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a folder was left behind by a run of this user. Anyone can create entries with this prefix in a shared temporary folder, so
/// symbolic links, FIFOs and folders of other users are ignored.
fn is_stale(folder: &Path, uid: u32) -> bool {
    let Ok(metadata) = fs::symlink_metadata(folder) else { return false };
    if !metadata.is_dir() || metadata.uid() != uid {
        return false;
    }
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match File::options().read(true).write(true).custom_flags(flags.bits()).open(folder.join(LOCK)) {
        Ok(lock) => {
            let is_file = lock.metadata().is_ok_and(|metadata| metadata.is_file());
            is_file && !matches!(lock.try_lock(), Err(TryLockError::WouldBlock))
        }
        // A run locks its folder microseconds after creating it, so an old folder without a lock file is stale.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let age = metadata.modified().map(|time| SystemTime::now().duration_since(time));
            matches!(age, Ok(Ok(age)) if age > Duration::from_hours(1))
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn entries_of_others_with_the_same_prefix_are_kept_and_do_not_block() {
        let parent = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join(LOCK), "").unwrap();
        let at = |name: &str| parent.path().join(format!("{PREFIX}{name}"));
        for name in ["fifo", "link", "folder"] {
            fs::create_dir(at(name)).unwrap();
        }
        nix::unistd::mkfifo(&at("fifo").join(LOCK), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join(LOCK), at("link").join(LOCK)).unwrap();
        fs::create_dir(at("folder").join(LOCK)).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), at("whole")).unwrap();
        fs::write(at("file"), "").unwrap();
        drop(SpillFolder::create(parent.path()).unwrap());
        for name in ["fifo", "link", "folder", "whole", "file"] {
            assert!(fs::symlink_metadata(at(name)).is_ok(), "{name}");
        }
        assert!(elsewhere.path().join(LOCK).exists());
    }

    #[test]
    fn concurrent_runs_do_not_remove_each_others_folders() {
        let parent = tempfile::tempdir().unwrap();
        let runs: Vec<_> = (0..8)
            .map(|_| {
                let parent = parent.path().to_owned();
                std::thread::spawn(move || {
                    for _ in 0..50 {
                        let folder = SpillFolder::create(&parent).unwrap();
                        fs::write(folder.path().join("rows"), "x").unwrap();
                        assert!(folder.path().join(LOCK).exists());
                    }
                })
            })
            .collect();
        for run in runs {
            run.join().unwrap();
        }
    }

    #[test]
    fn the_folder_of_an_interrupted_run_is_removed_and_that_of_a_running_one_is_kept() {
        let parent = tempfile::tempdir().unwrap();
        let running = SpillFolder::create(parent.path()).unwrap();
        let interrupted = parent.path().join(format!("{PREFIX}interrupted"));
        fs::create_dir(&interrupted).unwrap();
        fs::write(interrupted.join(LOCK), "").unwrap();
        let own = SpillFolder::create(parent.path()).unwrap();
        assert!(running.path().exists() && own.path().exists() && !interrupted.exists());
        assert_eq!(fs::metadata(own.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let path = own.path().to_owned();
        drop(own);
        assert!(!path.exists());
    }
}
