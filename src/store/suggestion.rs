//! What a user may have meant by a local path that does not exist.

use std::path::{Path, PathBuf};

use crate::messages::closest;

/// Folder entries that are compared. A folder may have millions.
const ENTRIES_MAX: usize = 2_000;

/// An existing path with a similar name beside a missing one, or with the same name one folder deeper: `data/samples` for `samples`. Relative
/// paths are resolved against `current_folder` and stay relative.
pub(super) fn suggestion(missing: &Path, current_folder: &Path) -> Option<PathBuf> {
    let missing_name = missing.file_name()?.to_str()?;
    let parent = missing.parent().unwrap_or(Path::new(""));
    let entries = entry_names(&current_folder.join(parent));
    let same_name_below =
        || entries.iter().map(|entry| parent.join(entry).join(missing_name)).find(|path| current_folder.join(path).exists());
    let names: Vec<&str> = entries.iter().map(String::as_str).collect();
    closest(missing_name, &names).map(|entry| parent.join(entry)).or_else(same_name_below)
}

fn entry_names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(ENTRIES_MAX);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similar_names_and_the_same_name_one_folder_deeper_are_suggested() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["data/samples/otlp", "traces", "exports/2026"] {
            std::fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        for (missing, found) in [
            ("samples", Some("data/samples")),
            ("data/sample", Some("data/samples")),
            ("trace", Some("traces")),
            ("Traces", Some("traces")),
            ("data/samples/otpl", Some("data/samples/otlp")),
            ("tr", None),
            ("unrelated", None),
            ("nowhere/at/this/path", None),
        ] {
            assert_eq!(suggestion(Path::new(missing), folder.path()), found.map(PathBuf::from), "{missing}");
            let absolute = folder.path().join(missing);
            assert_eq!(suggestion(&absolute, Path::new("/")), found.map(|found| folder.path().join(found)), "{missing}");
        }
    }
}
