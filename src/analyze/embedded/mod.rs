//! The embedded analyzer: deterministic, without network access or API keys.
//!
//! A redacted trace comes in, a draft goes out. `incidents` finds what went wrong span by span and `recovery` which of it the run recovered
//! from; `root` picks the root cause, and the catalogue (`rules`, from `rules/*.toml`) names it. If no step reports a failure, `dialogue` looks
//! for one in the turns. `verdict` combines both, `confidence` estimates how likely it is right, and `drafts` writes it down.

mod analyzer;
mod cases;
mod confidence;
mod dialogue;
mod drafts;
mod incident;
mod incidents;
mod recovery;
mod root;
mod rule_file;
mod rules;
mod signals;
mod text;
mod tree;
mod verdict;

pub use self::analyzer::{Embedded, Explanation, Findings};
pub use self::cases::{RuleCheck, check_rules};
pub use self::confidence::VerdictBasis;
pub(super) use self::drafts::draft_about;
pub use self::rule_file::RuleError;
pub(crate) use self::rules::RULES_VERSION;
