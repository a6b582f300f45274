//! The folder in which gathering may put raw spans on disk: 0700, files 0600, removed at the end of the run, and by the next run
//! where this one was killed.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

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
        remove_abandoned(parent);
        let path = parent.join(format!("{PREFIX}{}", uuid::Uuid::now_v7()));
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = File::create_new(path.join(LOCK))?;
        lock.lock()?;
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

/// Removes the folders of runs that were killed: those whose lock nobody holds. What belongs to another user stays.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_abandoned(&entry.path()) {
            tracing::debug!(path = %entry.path().display(), "removing the spill folder of a run that was killed");
            // Another user's folder, or one that a run just removed itself.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(folder: &Path) -> bool {
    match File::options().write(true).open(folder.join(LOCK)) {
        Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        // Between making the folder and its lock a run needs microseconds, so an old folder without one is dead.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let age = fs::metadata(folder).and_then(|metadata| metadata.modified()).map(|time| SystemTime::now().duration_since(time));
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
