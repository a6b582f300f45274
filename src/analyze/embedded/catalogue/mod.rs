//! The catalogue of errors: classes of exceptions and error codes of the field's packages and services, with what each of them says.
//!
//! In: the names and codes that an incident mentions. Out: a [`Condition`]. `data/catalogue` builds the tables from the sources of the packages and describes
//! their columns.

mod names;

use std::collections::HashMap;
use std::sync::LazyLock;

use self::names::{Mention, Place};
use super::condition::Condition;
use super::incident::Incident;
use super::signals::Signal;
use crate::model::last_segment;

/// `qualified name, package, base, HTTP status, condition`.
const CLASSES: &str = include_str!("classes.tsv");

/// `code, origin, HTTP status, condition`.
const CODES: &str = include_str!("codes.tsv");

/// How many bases of a class are searched for a condition.
const BASES_MAX: usize = 16;

/// The tables, parsed on first use.
static SHIPPED: LazyLock<ErrorCatalogue> = LazyLock::new(|| ErrorCatalogue::parse(CLASSES, CODES));

/// Classes and codes by name.
#[derive(Debug, Default)]
pub(super) struct ErrorCatalogue {
    classes: HashMap<&'static str, Class>,
    /// By the last segment of the qualified name.
    classes_by_name: HashMap<&'static str, Consensus>,
    codes: HashMap<&'static str, Consensus>,
    /// Codes that are numbers, with their origins: each service has its own.
    numbers: HashMap<&'static str, Vec<(&'static str, Condition)>>,
}

#[derive(Debug, Clone, Copy)]
struct Class {
    package: &'static str,
    base: &'static str,
    condition: Option<Condition>,
}

/// What the entries with one name say together.
#[derive(Debug, Clone, Copy)]
struct Consensus {
    /// The condition of most of them; `None` if they disagree.
    condition: Option<Condition>,
    /// Whether all of them belong to SDKs or APIs of model providers.
    is_of_provider: bool,
    /// Whether one of them belongs to the standard library of a language.
    is_builtin: bool,
    /// Whether one of them is a code that stands for itself only where a record has codes.
    needs_code_field: bool,
}

/// How a name was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MatchedBy {
    /// The end of an unknown class name: `OrderServiceTimeoutError`.
    NameSuffix,
    /// An error code.
    Code,
    /// A base class of a known class.
    Base,
    /// The name without its package.
    Name,
    /// The name with its package.
    QualifiedName,
    /// A sentence that software writes instead of an answer.
    Sentence,
}

impl MatchedBy {
    /// The word in facts and rationales.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::NameSuffix => "name_suffix",
            Self::Code => "code",
            Self::Base => "base",
            Self::Name => "name",
            Self::QualifiedName => "qualified_name",
            Self::Sentence => "sentence",
        }
    }
}

/// An error that the catalogue knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownError {
    pub(super) condition: Condition,
    pub(super) matched_by: MatchedBy,
    /// Whether only model providers have this class or code.
    pub(super) is_of_provider: bool,
    /// `error_class=openai.RateLimitError`, with its field.
    pub(super) signal: Signal,
}

/// What the catalogue knows about a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The standard library of a language.
    Builtin,
    /// A package of the catalogue.
    Package,
    /// Not in the catalogue: the application's own.
    Unknown,
}

impl ErrorCatalogue {
    /// The shipped tables.
    pub(super) fn shipped() -> &'static Self {
        &SHIPPED
    }

    fn parse(classes: &'static str, codes: &'static str) -> Self {
        let rows = |text: &'static str| text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut this = Self::default();
        let class_of = |row: &'static str| {
            let mut cells = row.split('\t');
            let mut next = || cells.next().unwrap_or_default();
            let (name, package, base, _status, condition) = (next(), next(), next(), next(), next());
            (name, Class { package, base, condition: Condition::from_word(condition) })
        };
        // Languages have classes of the same name; each of them has a vote.
        for (name, class) in rows(classes).map(class_of) {
            this.classes.entry(name).or_insert(class);
        }
        let mut votes: HashMap<&'static str, Votes> = HashMap::with_capacity(this.classes.len());
        for (name, class) in rows(classes).map(class_of) {
            let condition = this.condition_with_bases(&class).map(|(condition, _)| condition);
            let vote = votes.entry(last_segment(name)).or_default();
            vote.add(condition, is_package_of_provider(class.package), class.package.starts_with("builtin:"));
        }
        this.classes_by_name = votes.into_iter().map(|(name, votes)| (name, votes.consensus())).collect();
        let mut votes: HashMap<&'static str, Votes> = HashMap::new();
        for row in rows(codes) {
            let mut cells = row.split('\t');
            let mut next = || cells.next().unwrap_or_default();
            let (code, origin, _status, condition) = (next(), next(), next(), next());
            let is_of_provider = origin.starts_with("api:") || origin.starts_with("aws:bedrock");
            if names::is_number(code) {
                this.numbers.entry(code).or_default().extend(Condition::from_word(condition).map(|condition| (origin, condition)));
                continue;
            }
            let vote = votes.entry(code).or_default();
            vote.add(Condition::from_word(condition), is_of_provider, false);
            vote.needs_code_field |= !names::stands_for_itself(code);
        }
        this.codes = votes.into_iter().map(|(code, votes)| (code, votes.consensus())).collect();
        this
    }

    /// The condition of a class or of the nearest base that has one, and whether it is that of a base. A base that is only known to be an exception
    /// says nothing.
    fn condition_with_bases(&self, class: &Class) -> Option<(Condition, bool)> {
        if let Some(condition) = class.condition {
            return Some((condition, false));
        }
        let bases = std::iter::successors(self.classes.get(class.base), |base| self.classes.get(base.base)).take(BASES_MAX);
        bases.into_iter().find_map(|base| base.condition).map(|condition| (condition, true))
    }

    /// The error that the names and codes of an incident say most about: along the whole chain of causes, the most precise condition; of equal
    /// ones that of the name found most surely.
    pub(super) fn diagnose(&self, incident: &Incident<'_>) -> Option<KnownError> {
        let mut context = None;
        let found = names::mentions(incident).filter_map(|mention| {
            if names::is_number(mention.text) {
                self.known_number(&mention, context.get_or_insert_with(|| names::context(incident)))
            } else {
                self.known_error(&mention)
            }
        });
        found.max_by_key(|error| (error.condition.precision(), error.matched_by))
    }

    /// A code that is a number, if the incident names the service whose code it is. Those of JSON-RPC and MCP are like no others.
    fn known_number(&self, mention: &Mention<'_>, context: &str) -> Option<KnownError> {
        let is_of_protocol = mention.text.starts_with("-32");
        if mention.place == Place::Text && !is_of_protocol {
            return None;
        }
        let is_named = |origin: &str| {
            let service = origin.rsplit(':').next().unwrap_or_default();
            (is_of_protocol && matches!(service, "mcp" | "jsonrpc")) || context.contains(service)
        };
        // The more precise of two protocols: MCP says more about a code than JSON-RPC.
        let named = self.numbers.get(mention.text)?.iter().filter(|(origin, _)| is_named(origin));
        let (origin, condition) = named.max_by_key(|(_, condition)| condition.precision())?;
        let signal = Signal::new("error_code", mention.text, mention.field.clone());
        Some(KnownError { condition: *condition, matched_by: MatchedBy::Code, is_of_provider: origin.starts_with("api:"), signal })
    }

    /// What the catalogue knows about a class.
    pub(super) fn origin(&self, error_type: &str) -> Origin {
        let known = self.classes.get(error_type).map(|class| class.package.starts_with("builtin:"));
        match known.or_else(|| self.classes_by_name.get(last_segment(error_type)).map(|found| found.is_builtin)) {
            Some(true) => Origin::Builtin,
            Some(false) => Origin::Package,
            None => Origin::Unknown,
        }
    }

    fn known_error(&self, mention: &Mention<'_>) -> Option<KnownError> {
        let of_class = || self.known_class(mention);
        let of_code = || self.known_code(mention);
        if mention.place == Place::Code { of_code().or_else(of_class) } else { of_class().or_else(of_code) }
    }

    fn known_class(&self, mention: &Mention<'_>) -> Option<KnownError> {
        let name = mention.class_name()?;
        let found = |condition, matched_by, is_of_provider| {
            let signal = Signal::new("error_class", name, mention.field.clone());
            Some(KnownError { condition, matched_by, is_of_provider, signal })
        };
        // The names of classes in JavaScript have no package.
        let is_qualified = name.contains(['.', ':']);
        if let Some(class) = self.classes.get(name).filter(|_| is_qualified) {
            let (condition, is_base) = self.condition_with_bases(class)?;
            let matched_by = if is_base { MatchedBy::Base } else { MatchedBy::QualifiedName };
            return found(condition, matched_by, is_package_of_provider(class.package));
        }
        let bare = last_segment(name);
        if let Some(consensus) = self.classes_by_name.get(bare) {
            // Without its package the name may be that of any service.
            return found(consensus.condition?, MatchedBy::Name, false);
        }
        // `acme.OrderServiceTimeoutError` ends in the name of a known class.
        let suffix = names::suffixes(bare).find_map(|suffix| self.classes_by_name.get(suffix)?.condition)?;
        if suffix.is_specific() { found(suffix, MatchedBy::NameSuffix, false) } else { None }
    }

    fn known_code(&self, mention: &Mention<'_>) -> Option<KnownError> {
        let consensus = self.codes.get(mention.text)?;
        // `14 UNAVAILABLE: no connection` is how gRPC writes a code before its message.
        let is_raised = mention.place == Place::Raised && mention.text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
        if consensus.needs_code_field && mention.place != Place::Code && !is_raised {
            return None;
        }
        let signal = Signal::new("error_code", mention.text, mention.field.clone());
        Some(KnownError { condition: consensus.condition?, matched_by: MatchedBy::Code, is_of_provider: consensus.is_of_provider, signal })
    }
}

/// The entries with one name.
#[derive(Debug, Default)]
struct Votes {
    conditions: Vec<(Condition, u32)>,
    entries: u32,
    of_providers: u32,
    builtin: bool,
    builtin_conditions: Vec<Condition>,
    needs_code_field: bool,
}

impl Votes {
    fn add(&mut self, condition: Option<Condition>, is_of_provider: bool, is_builtin: bool) {
        self.entries += 1;
        self.of_providers += u32::from(is_of_provider);
        self.builtin |= is_builtin;
        let Some(condition) = condition else { return };
        if is_builtin {
            self.builtin_conditions.push(condition);
        }
        match self.conditions.iter_mut().find(|(known, _)| *known == condition) {
            Some((_, count)) => *count += 1,
            None => self.conditions.push((condition, 1)),
        }
    }

    /// The condition counts if at least two thirds of the entries that have one agree.
    fn consensus(&self) -> Consensus {
        let total: u32 = self.conditions.iter().map(|(_, count)| count).sum();
        // A class of a language is raised by everything; packages that use its name mean less.
        let of_language = self.builtin_conditions.iter().min_by_key(|condition| condition.precision()).copied();
        let best = self.conditions.iter().max_by_key(|(condition, count)| (*count, condition.precision()));
        Consensus {
            condition: of_language.or(best.filter(|(_, count)| 3 * count >= 2 * total).map(|(condition, _)| *condition)),
            is_of_provider: self.of_providers == self.entries,
            is_builtin: self.builtin,
            needs_code_field: self.needs_code_field,
        }
    }
}

/// Whether a package calls a model provider, so that its exceptions come from a model call, also where the call has no span of its own.
fn is_package_of_provider(package: &str) -> bool {
    const PACKAGES: [&str; 34] = [
        "pypi:openai",
        "pypi:anthropic",
        "pypi:google-genai",
        "pypi:google-generativeai",
        "pypi:google-cloud-aiplatform",
        "pypi:mistralai",
        "pypi:cohere",
        "pypi:groq",
        "pypi:together",
        "pypi:fireworks-ai",
        "pypi:replicate",
        "pypi:ollama",
        "pypi:litellm",
        "pypi:zhipuai",
        "pypi:zai-sdk",
        "pypi:dashscope",
        "pypi:ai21",
        "pypi:reka-api",
        "pypi:voyageai",
        "pypi:cerebras-cloud-sdk",
        "pypi:xai-sdk",
        "pypi:writer-sdk",
        "pypi:ibm-watsonx-ai",
        "pypi:azure-ai-inference",
        "pypi:volcengine-python-sdk",
        "npm:openai",
        "npm:@anthropic-ai/sdk",
        "npm:@google/genai",
        "npm:cohere-ai",
        "npm:@mistralai/mistralai",
        "npm:groq-sdk",
        "npm:together-ai",
        "npm:ollama",
        "npm:replicate",
    ];
    PACKAGES.contains(&package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_found_by_its_name_its_base_and_the_end_of_its_name() {
        let classes = "openai.RateLimitError\tpypi:openai\topenai.APIStatusError\t429\trate_limited\n\
                       openai.APIStatusError\tpypi:openai\tException\t\texception\n\
                       acme.SlowDown\tpypi:acme\tacme.Busy\t\t\n\
                       acme.Busy\tpypi:acme\tException\t\toverloaded\n\
                       one.TimeoutError\tpypi:one\tException\t\ttimeout\n\
                       ValueError\tbuiltin:python\tException\t\texception\n\
                       ValueError\tbuiltin:ruby\tStandardError\t\tnot_found\n\
                       three.ValueError\tpypi:three\tException\t\tinvalid_request\n\
                       four.ValueError\tpypi:four\tException\t\tinvalid_request\n\
                       one.ParseError\tpypi:one\tException\t\tdata_error\n\
                       two.ParseError\tpypi:two\tException\t\tmalformed_json\n";
        let catalogue = ErrorCatalogue::parse(
            classes,
            "insufficient_quota\tapi:openai\t429\tquota_exhausted\ntimeout\tapi:x\t\ttimeout\n\
                     1113\tapi:zhipu\t429\tquota_exhausted\n1113\tsql:acme\t\tconflict\n-32602\tjsonrpc\t\tinvalid_request\n\
                     -32602\tmcp\t\tinvalid_tool_arguments\n",
        );
        let find = |text: &str, place| {
            let mention = Mention { text, place, field: "error_type".into() };
            catalogue.known_error(&mention).map(|error| (error.condition, error.matched_by, error.is_of_provider))
        };
        assert_eq!(find("openai.RateLimitError", Place::Type), Some((Condition::RateLimited, MatchedBy::QualifiedName, true)));
        // Without its package the name may be that of any service.
        assert_eq!(find("RateLimitError", Place::Type), Some((Condition::RateLimited, MatchedBy::Name, false)));
        assert_eq!(find("acme.SlowDown", Place::Type), Some((Condition::Overloaded, MatchedBy::Base, false)));
        assert_eq!(find("app.OrderServiceTimeoutError", Place::Type), Some((Condition::Timeout, MatchedBy::NameSuffix, false)));
        assert_eq!(find("ValueError", Place::Type), Some((Condition::Exception, MatchedBy::Name, false)));
        // Two packages disagree.
        assert_eq!(find("ParseError", Place::Type), None);
        assert_eq!(find("insufficient_quota", Place::Text), Some((Condition::QuotaExhausted, MatchedBy::Code, true)));
        // An ordinary word is a code only where a code stands.
        assert_eq!(find("timeout", Place::Text), None);
        assert_eq!(find("timeout", Place::Code), Some((Condition::Timeout, MatchedBy::Code, true)));
        // A number is a code of the service that the incident names.
        let number = |text: &str, place, context: &str| {
            catalogue.known_number(&Mention { text, place, field: "error_type".into() }, context).map(|error| error.condition)
        };
        assert_eq!(number("1113", Place::Code, "zhipu says no"), Some(Condition::QuotaExhausted));
        assert_eq!(number("1113", Place::Code, "somebody says no"), None);
        assert_eq!(number("1113", Place::Text, "zhipu took 1113 ms"), None);
        assert_eq!(number("-32602", Place::Text, ""), Some(Condition::InvalidToolArguments));
        assert_eq!(catalogue.origin("acme.SlowDown"), Origin::Package);
        assert_eq!(catalogue.origin("shop.OutOfStock"), Origin::Unknown);
    }
}
