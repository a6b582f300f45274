//! Facts of a call to a tool that does not exist: its name, the offered tool with the most similar name, and whether another call offered it.

use super::super::byte_regex::ByteRegex;

use super::names::fact_names;
use super::tool_call::CALLED_TOOL;
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::{Span, SpanKind, Trace};

fact_names! {
    NEAREST_TOOL = "nearest_tool", Text, "the offered tool with the most similar name";
    TOOLS_OFFERED = "tools_offered", Count, "the number of offered tools";
    OFFERED_TOOLS = "offered_tools", Text, "the names of the offered tools";
    OFFERED_BY = "offered_by", Text, "another model call that offers the tool";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Names of tools that a fact lists.
const TOOLS_LISTED_MAX: usize = 6;

/// Offered tools that are compared.
const TOOLS_COMPARED_MAX: usize = 512;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some((incident, span)) = case.root.zip(case.span()).filter(|_| case.is(&["unknown_tool"])) else { return };
    let own = || Some(case.step()?.tool.as_ref()?.name.as_str()).filter(|name| !name.is_empty());
    // The text of an offer check is the name itself.
    let detected = incident.signals.iter().any(|signal| signal.text == "tool_offered=no").then_some(incident.tool.as_deref()).flatten();
    let named = case.messages().find_map(|(field, text)| Some((field.to_owned(), called_tool(text)?)));
    let called = match (detected, &named) {
        (Some(tool), _) => {
            let field = incident.texts.first().map_or("", |(field, _)| field.as_str());
            facts.add(&CALLED_TOOL, tool, Place::Field(span, field));
            tool
        }
        (None, Some((field, tool))) => {
            facts.add(&CALLED_TOOL, tool, Place::Field(span, field));
            tool
        }
        (None, None) => {
            let Some(tool) = own().or(incident.tool.as_deref()) else { return };
            facts.add(&CALLED_TOOL, tool, Place::Span(span));
            tool
        }
    };
    let listed: Vec<&str> = case.messages().find_map(|(_, text)| tools_listed(text)).unwrap_or_default();
    let offering = if span.tools_offered.is_empty() { offering_before(case) } else { Some(span) };
    let offered: Vec<&str> = match offering {
        Some(offering) if listed.is_empty() => offering.tools_offered.iter().map(String::as_str).take(TOOLS_COMPARED_MAX).collect(),
        _ => listed,
    };
    let place = offering.map_or(Place::Span(span), Place::Span);
    if !offered.is_empty() {
        facts.add(&TOOLS_OFFERED, offered.len(), place);
        let mut listing = offered.iter().take(TOOLS_LISTED_MAX).map(|name| shortened(name, 40)).collect::<Vec<_>>().join(", ");
        if let Some(more) = offered.len().checked_sub(TOOLS_LISTED_MAX).filter(|more| *more > 0) {
            listing = format!("{listing} and {more} more");
        }
        facts.add(&OFFERED_TOOLS, listing, place);
    }
    let suggested = || case.messages().find_map(|(_, text)| suggestion(text));
    if let Some(nearest) = nearest(called, &offered).or_else(suggested).filter(|nearest| *nearest != called) {
        facts.add(&NEAREST_TOOL, nearest, place);
    }
    if let Some(other) = offered_elsewhere(case.trace, called, offering) {
        facts.add(&OFFERED_BY, &other.name, Place::Span(other));
    }
}

/// The last model call before the failure that has a list of tools.
fn offering_before<'t>(case: &Case<'_, 't>) -> Option<&'t Span> {
    let has_tools = |span: &&Span| !span.tools_offered.is_empty();
    super::call::spans_before(case).rev().find(has_tools).or_else(|| case.span().filter(has_tools))
}

/// A model call that offers the tool, other than the one that called it.
fn offered_elsewhere<'t>(trace: &'t Trace, called: &str, offering: Option<&Span>) -> Option<&'t Span> {
    let calls = trace.spans.iter().filter(|span| matches!(span.kind, SpanKind::Llm | SpanKind::Agent));
    let others = calls.filter(|span| offering.is_none_or(|offering| !std::ptr::eq(*span, offering)));
    others.into_iter().find(|span| span.tools_offered.iter().any(|name| name == called))
}

/// The tool that an error says does not exist.
fn called_tool(text: &str) -> Option<&str> {
    static NAMES: [ByteRegex; 10] = [
        ByteRegex::new(
            r#"(?i)\b(?:unknown|unavailable|unsupported|unrecognized|invalid|non-?existent|undefined|missing) (?:custom )?(?:tool|function|action)(?: call)?(?: name)?s?(?: requested| called)?\s?[:=]?\s?["'`]?(?P<n>[A-Za-z_][A-Za-z0-9_.:/-]{1,99})"#,
        ),
        ByteRegex::new(
            r#"(?i)\b(?:no|cannot find|could not find|couldn't find|can't find|did not find|find no) (?:such )?(?:a |the |any )?(?:tool|function|action)s?(?: named| called| with (?:the )?name)?:? ["'`]?(?P<n>[A-Za-z_][A-Za-z0-9_.:/-]{1,99})"#,
        ),
        ByteRegex::new(r#"["']tool_?name["'] ?: ?["'](?P<n>[^"']{1,100})["']"#),
        ByteRegex::new(
            r#"(?i)\b(?:tool|function|action) (?:named |called |with name )?["'`](?P<n>[^"'`\n]{1,100})["'`] (?:is |was |does |has |could |cannot |can't |isn't |doesn't |wasn't |not )"#,
        ),
        ByteRegex::new(
            r"(?i)\b(?:tool|function|action) (?:named |called )?(?P<n>[A-Za-z_][A-Za-z0-9_.:/-]{1,99}) (?:is not|was not|does not|not|isn't|doesn't|wasn't|could not|cannot|is unknown|is unavailable) ?",
        ),
        ByteRegex::new(r#"(?i)\bunavailable tool ["'`](?P<n>[^"'`\n]{1,100})["'`]"#),
        ByteRegex::new(r#"(?i)\bcalled (?:a )?(?:tool |function )?["'`](?P<n>[A-Za-z0-9_.:/-]{2,100})["'`],? (?:which|that|but)"#),
        ByteRegex::new(
            r#"(?im)^(?:error: )?["'`]?(?P<n>[^"'`\n]{1,100}?)["'`]? is not (?:a valid|an available|a known|a registered) (?:tool|function|action)"#,
        ),
        ByteRegex::new(
            r#"(?i)["'`](?P<n>[A-Za-z0-9_.:/-]{2,100})["'`] (?:is not|was not) (?:a valid |an available |a known |a registered |in the list of |among the |one of the )?(?:available |provided |offered |registered )?(?:tools?|functions?)"#,
        ),
        ByteRegex::new(
            r#"(?i)(?:工具|函数)\s?["'`「“]?(?P<n>[A-Za-z_][A-Za-z0-9_.:/-]{1,99})["'`」”]?\s?(?:不存在|未找到|未注册|未定义)|(?:未知|不存在的?|找不到)(?:工具|函数)[:： ]{0,2}["'`「“]?(?P<m>[A-Za-z_][A-Za-z0-9_.:/-]{1,99})"#,
        ),
    ];
    const NO_NAMES: [&str; 24] = [
        "name",
        "named",
        "call",
        "calls",
        "not",
        "found",
        "is",
        "was",
        "in",
        "with",
        "for",
        "the",
        "that",
        "which",
        "error",
        "requested",
        "called",
        "tool",
        "tools",
        "function",
        "available",
        "use",
        "of",
        "to",
    ];
    NAMES.iter().find_map(|names| {
        let mut found = names.captures_iter(text).take(4).filter_map(|captures| captures.name("n").or_else(|| captures.name("m")));
        found.find_map(|name| {
            let name = name.as_str().trim().trim_end_matches(['.', ':', ',', '-', '/']);
            (!name.is_empty() && !NO_NAMES.contains(&name.to_ascii_lowercase().as_str())).then_some(name)
        })
    })
}

/// The tools that an error lists: `available: ['lookup', 'search']`, `try one of [lookup, search]`.
fn tools_listed(text: &str) -> Option<Vec<&str>> {
    static LISTS: [ByteRegex; 3] = [
        ByteRegex::new(concat!(
            r"(?i)\b(?:available|valid|known|registered|allowed|existing|possible|supported|offered|provided)(?: (?:tools?|functions?|actions?|names?|options?|tool names?))?",
            r"(?: are| is)?(?: \([^)\n]{0,40}\))?\s?(?:[:：=]\s{0,3}[\[({]?|[\[({])(?P<l>[^\])}\n]{2,2000})",
        )),
        ByteRegex::new(
            r"(?i)\b(?:try|use|choose|must be|expected|pick)(?: one)? (?:of|from)(?: the following)?:?\s{0,3}[\[({]?(?P<l>[^\])}\n]{2,2000})",
        ),
        ByteRegex::new(r"(?:\btools are|可用(?:的)?工具(?:有|为|包括)?)[:：]?\s{0,3}[\[({]?(?P<l>[^\])}\n]{2,2000})"),
    ];
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    LISTS.iter().find_map(|lists| {
        let list = lists.captures(text)?.name("l")?.as_str();
        let names = list.split([',', '、', '|', ';']).take(TOOLS_COMPARED_MAX).map(|item| {
            let item = item.trim();
            item.trim_start_matches("and ").trim_start_matches("or ").trim_matches(['"', '\'', '`', '.', ' ', '\\', '?'])
        });
        let names: Vec<&str> = names.take_while(|name| !name.is_empty() && name.len() <= 100 && name.chars().all(is_name)).collect();
        (!names.is_empty()).then_some(names)
    })
}

/// The tool that an error suggests: `Did you mean 'get_weather'?`
fn suggestion(text: &str) -> Option<&str> {
    static SUGGESTION: ByteRegex = ByteRegex::new(r#"(?i)did you mean(?: one of)?:? \\?["'`]?(?P<n>[A-Za-z_][A-Za-z0-9_.:/-]{1,99})"#);
    SUGGESTION.captures(text)?.name("n").map(|name| name.as_str())
}

/// The offered name that is most similar: by the words in it, or by the number of edits.
pub(super) fn nearest<'n>(called: &str, offered: &[&'n str]) -> Option<&'n str> {
    /// Names that are less similar are different tools.
    const SIMILARITY_MIN: usize = 50;
    /// Longer names are not compared.
    const NAME_BYTES_MAX: usize = 128;
    let wanted = words_of(called);
    let joined = wanted.concat();
    let score = |name: &str| {
        let words = words_of(name);
        let other = words.concat();
        let length = joined.chars().count().max(other.chars().count()).max(1);
        let edits = strsim::osa_distance(&joined, &other);
        let shared = wanted.iter().filter(|word| words.contains(word)).count();
        let all = wanted.len() + words.len() - shared;
        // Both in hundredths, and comparable: equal names have 100.
        let by_edits = (100 * length.saturating_sub(edits)) / length;
        let by_words = (100 * shared).checked_div(all).unwrap_or_default();
        by_edits.max(by_words)
    };
    if called.len() > NAME_BYTES_MAX {
        return None;
    }
    let scored = offered.iter().filter(|name| name.len() <= NAME_BYTES_MAX).map(|name| (score(name), *name));
    scored.filter(|(score, _)| *score >= SIMILARITY_MIN).max_by_key(|(score, _)| *score).map(|(_, name)| name)
}

/// The words of a name in lower case: `mcp__orders__lookupOrder` has `mcp`, `orders`, `lookup` and `order`.
pub(super) fn words_of(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut was_lower) = (String::new(), false);
    for c in name.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && was_lower) {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        was_lower = c.is_lowercase() || c.is_ascii_digit();
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_called_tool_is_found_in_the_wording_of_frameworks() {
        for (text, tool) in [
            ("unknown tool 'cancel_subscription', available: ['lookup_order', 'search_docs']", "cancel_subscription"),
            ("Unknown tool name: 'transfer_funds'. Available tools: 'balance', 'history'", "transfer_funds"),
            ("Error: book_hotel is not a valid tool, try one of [search, calculator].", "book_hotel"),
            ("Tool track_parcel not found in agent Support.", "track_parcel"),
            ("Tool not found: {\"tool_name\":\"track_parcel\"}", "track_parcel"),
            ("Tool \"mcp__orders__lookup\" not found. Did you mean one of: \"mcp_orders_lookup\"?", "mcp__orders__lookup"),
            ("Model tried to call unavailable tool 'sign_lease'. Available tools: a, b.", "sign_lease"),
            ("Error: function 'get_wether' is not defined. Did you mean 'get_weather'?", "get_wether"),
            ("MCP error -32602: Tool get_wether not found", "get_wether"),
            ("Unknown tool: delete_everything", "delete_everything"),
            ("Function book_table not found", "book_table"),
            ("No tool named `book_table` is registered", "book_table"),
            ("unsupported custom tool call: apply_patch", "apply_patch"),
            ("Could not find tool book_table", "book_table"),
            ("未知工具: book_table", "book_table"),
        ] {
            assert_eq!(called_tool(text), Some(tool), "{text}");
        }
        for text in ["customer not found", "the tool failed", "connection refused", ""] {
            assert_eq!(called_tool(text), None, "{text}");
        }
    }

    #[test]
    fn the_list_of_tools_is_read() {
        for (text, tools) in [
            ("unknown tool 'x', available: ['lookup_order', 'search_docs']", vec!["lookup_order", "search_docs"]),
            ("x is not a valid tool, try one of [search, calculator].", vec!["search", "calculator"]),
            ("Tool 'x' not found. Available tools: lookup_order, search_docs", vec!["lookup_order", "search_docs"]),
            ("Unknown tool name: 'x'. Available tools: 'balance', 'history'", vec!["balance", "history"]),
        ] {
            assert_eq!(tools_listed(text), Some(tools), "{text}");
        }
        assert_eq!(tools_listed("Unknown tool: delete_everything"), None);
        assert_eq!(suggestion("Did you mean 'get_weather'?"), Some("get_weather"));
    }

    #[test]
    fn the_nearest_tool_has_most_letters_or_words_in_common() {
        for (called, offered, expected) in [
            ("get_wether", vec!["get_weather", "get_news"], Some("get_weather")),
            ("mcp__orders__lookup", vec!["mcp_orders_lookup", "update_topic"], Some("mcp_orders_lookup")),
            ("lookupOrder", vec!["lookup_order", "search_docs"], Some("lookup_order")),
            ("order_lookup", vec!["lookup_order", "search_docs"], Some("lookup_order")),
            ("functions.search_docs", vec!["lookup_order", "search_docs"], Some("search_docs")),
            ("cancel_subscription", vec!["lookup_order", "search_docs"], None),
            ("book_helicopter", vec!["search_flights", "cancel"], None),
            ("", vec!["search_flights"], None),
        ] {
            assert_eq!(nearest(called, &offered), expected, "{called}");
        }
    }
}
