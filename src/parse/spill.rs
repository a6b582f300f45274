//! The folder in which gathering may put raw spans on disk: 0700, files 0600, removed at the end of the run, and by the next run
//! where this one was killed.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::fcntl::OFlag;

const PREFIX: &str = "failsift-spill-";
const LOCK: &str = "lock";

/// A folder that belongs to one run. Its lock file is held while the run lives, which is how others know.
#[derive(Debug)]
pub struct SpillFolder {
    path: PathBuf,
    _lock: File,
}

impl SpillFolder {
    /// Makes a folder below `parent` and removes those of dead runs.
    ///
    /// # Errors
    /// Where `parent` cannot be written.
    pub fn create(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!("{PREFIX}{}", uuid::Uuid::now_v7()));
        DirBuilder::new().mode(0o700).create(&path)?;
        // The lock comes under its name once it is held, so that nobody finds one that nobody holds.
        let unlocked = path.join("unlocked");
        let lock = File::create_new(&unlocked)?;
        lock.lock()?;
        fs::rename(&unlocked, path.join(LOCK))?;
        remove_abandoned(parent, fs::metadata(&path)?.uid());
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SpillFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the spill folder; the next run will");
        }
    }
}

/// Removes the folders of runs that were killed: those of the user `uid` whose lock nobody holds.
fn remove_abandoned(parent: &Path, uid: u32) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&entry.path(), uid) {
            tracing::debug!(path = %entry.path().display(), "removing the spill folder of a run that was killed");
            // One that a run just removed itself.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a folder is one that this user's run left. Anybody may put anything under such a name into a temporary folder: links, FIFOs and
/// what belongs to others are left alone.
fn is_abandoned(folder: &Path, uid: u32) -> bool {
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
        // Between making the folder and its lock a run needs microseconds, so an old folder without one is dead.
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
    fn what_others_put_under_such_a_name_stays_and_hangs_nobody() {
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
    fn runs_that_begin_at_once_leave_each_other_alone() {
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
    fn the_folder_of_a_dead_run_is_removed_and_that_of_a_living_one_stays() {
        let parent = tempfile::tempdir().unwrap();
        let living = SpillFolder::create(parent.path()).unwrap();
        let dead = parent.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let mine = SpillFolder::create(parent.path()).unwrap();
        assert!(living.path().exists() && mine.path().exists() && !dead.exists());
        assert_eq!(fs::metadata(mine.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let path = mine.path().to_owned();
        drop(mine);
        assert!(!path.exists());
    }
}
