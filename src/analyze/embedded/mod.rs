//! The embedded analyzer: deterministic, without network access or API keys.
//!
//! In: a redacted trace. Out: a draft. `incidents` finds what went wrong in each span, and `recovery` from which incidents the run
//! recovered; `root` picks the root cause, and the catalogue (`rules`, from `rules/*.toml`) names it. If no step reports one
//! explicitly (by an error status or a finish reason), `dialogue` looks for one in the turns; a specific rule for an inferred incident still wins. `verdict` combines both, `confidence` estimates how likely it is right, and `drafts` writes it down.

mod analyzer;
mod cases;
mod client_calls;
mod confidence;
mod dialogue;
mod drafts;
mod incident;
mod incidents;
mod recovery;
mod root;
mod rule_file;
mod rules;
mod searches;
mod signals;
mod text;
mod tool_incidents;
mod tree;
mod verdict;

pub use self::analyzer::{Embedded, Explanation, Findings};
pub use self::cases::{RuleCheck, check_rules};
pub use self::confidence::VerdictBasis;
pub(super) use self::drafts::draft_about;
pub use self::rule_file::RuleError;
pub(crate) use self::rules::RULES_VERSION;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    /// The modules of this folder with their imports from each other, tests left out. `dialogue` counts as one module.
    fn imports() -> BTreeMap<String, BTreeSet<String>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/analyze/embedded");
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let entries = std::fs::read_dir(&folder).unwrap().chain(std::fs::read_dir(folder.join("dialogue")).unwrap());
        for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
            let in_dialogue = path.parent().unwrap().ends_with("dialogue");
            let name = if in_dialogue { "dialogue".to_owned() } else { path.file_stem().unwrap().to_string_lossy().into_owned() };
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let prefix = if in_dialogue { "use super::super::" } else { "use super::" };
            let lines = code.lines().filter_map(|line| line.trim().strip_prefix(prefix));
            let modules = lines.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>());
            imports.entry(name).or_default().extend(modules.filter(|module| module != "super"));
        }
        imports.remove("mod");
        imports
    }

    #[test]
    fn modules_do_not_import_each_other_in_a_cycle() {
        let mut left = imports();
        assert!(left["analyzer"].contains("verdict") && left["dialogue"].contains("tree"), "{left:?}");
        // Removes modules without imports until none is left. Those of a cycle stay.
        while let Some(name) = left.iter().find(|(_, imports)| imports.is_empty()).map(|(name, _)| name.clone()) {
            left.remove(&name);
            for imports in left.values_mut() {
                imports.remove(&name);
            }
        }
        assert!(left.is_empty(), "{left:?}");
    }
}
