//! Who may use whom, over the `use crate::` lines: the path of the data goes one way.

use std::fs;
use std::path::Path;

/// `(module, modules of the crate that it may name)`.
const ALLOWED: [(&str, &[&str]); 17] = [
    ("model", &["limits", "schemas", "model"]),
    ("runtime", &["model", "limits", "runtime"]),
    ("store", &["limits", "store"]),
    ("read", &["model", "limits", "runtime", "store", "read"]),
    ("parse", &["model", "limits", "store", "read", "runtime", "suggest", "parse"]),
    ("redact", &["model", "limits", "runtime", "redact", "suggest", "text_file"]),
    ("analyze", &["model", "limits", "runtime", "redact", "suggest", "analyze"]),
    ("validate", &["model", "limits", "runtime", "schemas", "validate"]),
    ("write", &["model", "limits", "runtime", "store", "validate", "write"]),
    ("query", &["limits", "store", "write", "query"]),
    ("audit", &["query", "redact"]),
    ("select", &["model", "analyze", "runtime", "redact"]),
    ("spans", &["model", "limits", "runtime", "store", "read", "parse", "redact"]),
    ("inspect", &["model", "limits", "runtime", "store", "read", "parse", "redact", "pipeline"]),
    ("eval", &["model", "limits", "runtime", "analyze", "config", "pipeline", "eval"]),
    ("plan", &["model", "analyze", "config", "pipeline", "runtime", "store", "write"]),
    ("config", &["limits", "analyze", "select", "config", "suggest", "text_file"]),
];

fn rust_files(path: &Path, found: &mut Vec<std::path::PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            rust_files(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_owned());
    }
}

#[test]
fn a_stage_names_no_other_save_the_one_before_it() {
    let mut complaints = Vec::new();
    for (module, allowed) in ALLOWED {
        let mut files = Vec::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        rust_files(&source.join(module), &mut files);
        rust_files(&source.join(format!("{module}.rs")), &mut files);
        for file in files.iter().filter(|file| file.exists()) {
            let text = fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            for rest in code.split("crate::").skip(1) {
                let named: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !named.is_empty() && !allowed.contains(&named.as_str()) {
                    complaints.push(format!("{} names crate::{named}", file.display()));
                }
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}
