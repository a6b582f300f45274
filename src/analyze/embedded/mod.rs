//! The embedded analyzer: deterministic, without network access or API keys.
//!
//! In: a redacted trace. Out: a draft. `incidents` finds what went wrong in each span, and `recovery` from which incidents the run
//! recovered; `diagnosis` says what an incident is, by rules (`rules`, from `rules/*.toml`), by the catalogue of errors (`catalogue`), by a status or by
//! the words of the error (`text_model`); `root` picks the root cause. If no step reports one
//! explicitly (by an error status or a finish reason), `dialogue` looks for one in the turns; a specific rule for an inferred incident still wins. `verdict` combines both, `confidence` estimates how likely it is right, `facts` extracts what explains it,
//! `wording` composes sentences from these facts and `summary` the summary, `profile` reads the columns about the failed step and the run, and `drafts`, `run_drafts` and `unexplained_drafts` put all into a draft.

mod admissions;
mod analyzer;
mod announced_step;
mod answers;
mod byte_regex;
mod canned_answers;
mod cases;
mod catalogue;
mod client_calls;
mod closing_message;
mod code_results;
mod condition;
mod confidence;
mod control_flow;
mod copied_units;
mod deployment;
mod diagnosis;
mod dialogue;
mod drafts;
mod error_fields;
mod facts;
mod field_names;
mod forced_answers;
mod grounding;
mod incident;
mod incidents;
mod message_order;
mod persistent_failures;
mod profile;
mod provider_names;
mod rationale;
mod recovery;
mod repetition;
mod required_words;
mod result_payload;
mod result_text;
mod result_value;
mod root;
mod rule_file;
mod rules;
mod run_drafts;
mod searches;
mod shell_command;
mod signals;
mod span_tree;
mod status;
mod summary;
mod template;
mod text;
mod text_model;
mod tool_error;
mod tool_incidents;
mod tool_nature;
mod tool_result;
mod totals;
mod tree;
mod unexplained_drafts;
mod upstream;
mod verdict;
mod wording;

pub use self::analyzer::{Embedded, Explanation, Findings};
pub use self::cases::{RuleCheck, check_rules};
pub use self::confidence::VerdictBasis;
pub(super) use self::drafts::draft_about;
pub(super) use self::profile::step_of_span;
pub use self::rule_file::RuleError;
pub(crate) use self::rules::RULES_VERSION;

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    /// Folders that count as one module each.
    const FOLDERS: [&str; 3] = ["catalogue", "dialogue", "facts"];

    /// The modules of this folder with their imports from each other, tests left out.
    fn imports() -> BTreeMap<String, BTreeSet<String>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/analyze/embedded");
        let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let folders = [folder.clone()].into_iter().chain(FOLDERS.map(|name| folder.join(name)));
        let entries = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap());
        for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
            let inside = FOLDERS.into_iter().find(|name| path.parent().unwrap().ends_with(name));
            let name = inside.map_or_else(|| path.file_stem().unwrap().to_string_lossy().into_owned(), str::to_owned);
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let prefix = if inside.is_some() { "use super::super::" } else { "use super::" };
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
