//! Names that are no input: what other programs keep beside data.

/// The folders of failsift's tables below their location.
pub(super) const TABLES: [&str; 5] = ["patterns", "errors", "runs", "fingerprints", "_staging"];

/// The part of a path below an input that ends with the first step that is bookkeeping: `day=1/_delta_log/`; nothing where none is.
/// Steps that the user wrote in a glob are `meant`.
pub(super) fn bookkeeping<'a>(below: &'a str, meant: &[String]) -> Option<&'a str> {
    let mut end = 0;
    for step in below.split_inclusive('/') {
        end += step.len();
        let name = step.trim_end_matches('/');
        if is_bookkeeping(name) && !meant.iter().any(|meant| meant == name) {
            return below.get(..end);
        }
    }
    None
}

/// Hadoop's rule, as Spark's `InMemoryFileIndex` follows it: `_delta_log`, `_SUCCESS`, `_temporary`, `.x.crc`; but `_day=1` is a partition.
pub(super) fn is_bookkeeping(name: &str) -> bool {
    let is_hidden = name.starts_with('.') || (name.starts_with('_') && !name.contains('='));
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    // What desktops leave in folders.
    let is_of_desktop = matches!(name, "Thumbs.db" | "desktop.ini" | "Desktop.ini");
    is_hidden || is_of_desktop || matches!(extension, "crc" | "_COPYING_")
}

/// Whether a path below the location of the tables, without a slash in front, is that of the location itself or of a table.
pub(super) fn is_of_tables(below: &str) -> bool {
    below.split('/').find(|step| !step.is_empty()).is_none_or(|step| TABLES.contains(&step))
}

/// The steps of a glob that have no wildcard.
pub(super) fn literal_steps(glob: &str) -> Vec<String> {
    glob.split('/').filter(|step| !step.contains(['*', '?', '['])).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookkeeping_is_told_by_its_name_and_partitions_are_none() {
        for (below, found) in [
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
            assert_eq!(bookkeeping(below, &[]), found, "{below}");
        }
        assert_eq!(bookkeeping("_raw/x.jsonl", &literal_steps("_raw/*.jsonl")), None);
    }
}
