//! Names that are excluded from inputs: metadata that other programs keep beside data, and the tables of failsift.

/// The folders of failsift's tables below their location.
pub(super) const TABLE_FOLDERS: [&str; 5] = ["patterns", "errors", "runs", "fingerprints", "_staging"];

/// The start of a path up to its first excluded segment: `day=1/_delta_log/`; `None` if no segment is excluded. Segments in `requested`, which
/// the user wrote in a glob, are not excluded.
pub(super) fn excluded_prefix<'a>(path: &'a str, requested: &[String]) -> Option<&'a str> {
    let mut end = 0;
    for segment in path.split_inclusive('/') {
        end += segment.len();
        let name = segment.trim_end_matches('/');
        if is_excluded(name) && !requested.iter().any(|requested| requested == name) {
            return path.get(..end);
        }
    }
    None
}

/// Whether a file or folder name is excluded. The rule is Hadoop's, as implemented in Spark's `InMemoryFileIndex`: `_delta_log`, `_SUCCESS`,
/// `_temporary` and `.x.crc` are excluded; `_day=1` is a partition.
pub(super) fn is_excluded(name: &str) -> bool {
    let is_hidden = name.starts_with('.') || (name.starts_with('_') && !name.contains('='));
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    // Desktops leave these files in folders.
    let is_desktop_file = matches!(name, "Thumbs.db" | "desktop.ini" | "Desktop.ini");
    is_hidden || is_desktop_file || matches!(extension, "crc" | "_COPYING_")
}

/// Whether a path relative to the location of the tables is the location itself or in one of the tables.
pub(super) fn is_table_path(path: &str) -> bool {
    path.split('/').find(|segment| !segment.is_empty()).is_none_or(|segment| TABLE_FOLDERS.contains(&segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_excluded_by_its_name_and_partitions_are_not() {
        for (path, excluded) in [
            ("_SUCCESS", Some("_SUCCESS")),
            ("day=1/_delta_log/0.json", Some("day=1/_delta_log/")),
            ("a/_temporary/0/x.jsonl", Some("a/_temporary/")),
            (".x.jsonl.crc", Some(".x.jsonl.crc")),
            ("x.jsonl.crc", Some("x.jsonl.crc")),
            (".DS_Store", Some(".DS_Store")),
            ("x.jsonl._COPYING_", Some("x.jsonl._COPYING_")),
            ("_day=1/x.jsonl", None),
            ("a_b/x._.jsonl", None),
        ] {
            assert_eq!(excluded_prefix(path, &[]), excluded, "{path}");
        }
        assert_eq!(excluded_prefix("_raw/x.jsonl", &["_raw".to_owned()]), None);
    }
}
