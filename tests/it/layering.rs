//! Which module may use which: the data flows one way, and no two top-level modules use each other.
//!
//! The test reads the source of the library: every `use` tree (nested groups, `self`, globs, renames) and every `crate::`, `self::` or
//! `super::` path in the code. Each is resolved to the top-level module that it leads to. Code under `#[cfg(test)]` is exempt.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// `(module, modules that it may use)`. Every top-level module has a row, so that none can re-export what another may not use.
const ALLOWED: [(&str, &[&str]); 31] = [
    ("limits", &[]),
    ("schemas", &[]),
    ("messages", &[]),
    ("text_file", &["limits", "messages"]),
    ("model", &["limits", "schemas"]),
    ("runtime", &["limits", "model"]),
    ("store", &["limits", "messages"]),
    ("read", &["limits", "messages", "model", "runtime", "store"]),
    ("parse", &["limits", "model", "read", "runtime", "store", "messages"]),
    ("gather", &["limits", "model", "parse", "runtime", "store"]),
    ("spill", &[]),
    ("redact", &["limits", "model", "runtime", "text_file", "messages"]),
    ("http", &["limits", "messages", "runtime"]),
    ("analyze", &["http", "limits", "model", "redact", "runtime", "messages"]),
    ("validate", &["model", "runtime", "schemas"]),
    ("tables", &["limits", "messages", "model", "schemas", "store"]),
    ("statistics", &[]),
    ("write", &["limits", "model", "runtime", "statistics", "store", "tables", "validate"]),
    ("query", &["limits", "messages", "spill", "store", "tables"]),
    ("runs", &["limits", "model", "query", "statistics", "tables"]),
    ("audit", &["query", "redact", "tables"]),
    ("select", &["analyze", "model", "redact", "runtime"]),
    ("notify", &["http", "limits", "model", "query"]),
    ("config", &["analyze", "limits", "messages", "notify", "parse", "redact", "schemas", "select", "store", "text_file"]),
    (
        "pipeline",
        &[
            "analyze",
            "config",
            "gather",
            "limits",
            "model",
            "parse",
            "read",
            "redact",
            "runtime",
            "select",
            "spill",
            "store",
            "tables",
            "text_file",
            "validate",
            "write",
        ],
    ),
    ("telemetry", &["analyze", "limits", "messages", "model", "pipeline", "text_file"]),
    ("check", &["analyze", "config", "messages", "pipeline", "redact", "runtime", "store", "tables", "telemetry"]),
    ("spans", &["limits", "model", "pipeline", "redact", "runtime"]),
    ("inspect", &["limits", "model", "parse", "pipeline", "redact", "runtime", "store"]),
    ("eval", &["analyze", "config", "limits", "messages", "model", "pipeline", "runtime"]),
    ("plan", &["analyze", "config", "model", "pipeline", "redact", "runtime", "store", "tables", "write"]),
    (
        "cli",
        &[
            "analyze",
            "audit",
            "check",
            "config",
            "eval",
            "inspect",
            "limits",
            "messages",
            "model",
            "notify",
            "parse",
            "pipeline",
            "plan",
            "query",
            "read",
            "redact",
            "runs",
            "runtime",
            "schemas",
            "spans",
            "store",
            "tables",
            "telemetry",
            "write",
        ],
    ),
];

#[test]
fn modules_use_only_what_the_table_allows() {
    let library = Library::read();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let missing: Vec<&String> = library.modules.iter().filter(|module| !allowed.contains_key(module.as_str())).collect();
    assert!(missing.is_empty(), "modules without a row in ALLOWED: {missing:?}");
    let forbidden: Vec<String> = library
        .uses
        .iter()
        .filter(|found| allowed.get(found.module.as_str()).is_some_and(|allowed| !allowed.contains(&found.target.as_str())))
        .map(|found| format!("{}: {} uses {}", found.place, found.module, found.target))
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}

#[test]
fn top_level_modules_form_no_cycle() {
    let library = Library::read();
    assert!(library.uses.len() > 100, "{} uses were found", library.uses.len());
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for found in &library.uses {
        graph.entry(&found.module).or_default().insert(&found.target);
    }
    // A module that uses no other module of the graph, or that none uses, is not part of a cycle.
    loop {
        let before = graph.len();
        let sources: BTreeSet<&str> = graph.keys().copied().collect();
        for targets in graph.values_mut() {
            targets.retain(|target| sources.contains(target));
        }
        let targets: BTreeSet<&str> = graph.values().flatten().copied().collect();
        graph.retain(|module, uses| !uses.is_empty() && targets.contains(module));
        if graph.len() == before {
            break;
        }
    }
    assert!(graph.is_empty(), "modules that use each other: {graph:#?}");
}

/// One use of another top-level module.
struct Use {
    module: String,
    target: String,
    /// File and line.
    place: String,
}

/// The top-level modules of the library and how they use each other.
struct Library {
    modules: BTreeSet<String>,
    uses: Vec<Use>,
}

impl Library {
    fn read() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let root = fs::read_to_string(source.join("lib.rs")).unwrap();
        let modules = declared_modules(&root);
        let reexports = reexports_of_root(&root);
        let mut uses = Vec::new();
        let mut files = Vec::new();
        rust_files(&source, &mut files);
        for file in files {
            let module_path = module_path(file.strip_prefix(&source).unwrap());
            let Some(module) = module_path.first().filter(|module| modules.contains(*module)) else { continue };
            for (line, path) in paths_outside_tests(&fs::read_to_string(&file).unwrap(), &module_path) {
                let Some(target) = target_of(&path, &reexports) else { continue };
                let place = format!("{}:{line}", file.strip_prefix(&source).unwrap().display());
                assert!(modules.contains(&target), "{place}: {path:?} does not lead to a module");
                if target != *module {
                    uses.push(Use { module: module.clone(), target, place });
                }
            }
        }
        Self { modules, uses }
    }
}

/// The top-level module that an absolute path leads to; nothing for a path of another crate.
fn target_of(path: &[String], reexports: &BTreeMap<String, String>) -> Option<String> {
    match path {
        [root, name, ..] if root == "crate" => Some(reexports.get(name).unwrap_or(name).clone()),
        // The root itself under another name could lead to any module.
        [root] if root == "crate" => Some("crate".to_owned()),
        _ => None,
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// `parse/otlp/json.rs` and `parse/otlp/mod.rs` below `src` as module paths; empty for the root files.
fn module_path(file: &Path) -> Vec<String> {
    let mut steps: Vec<String> = file.with_extension("").iter().map(|step| step.to_str().unwrap().to_owned()).collect();
    if steps.last().is_some_and(|last| last == "mod") {
        steps.pop();
    }
    if matches!(steps.as_slice(), [root] if root == "lib" || root == "main") {
        steps.clear();
    }
    steps
}

fn declared_modules(root: &str) -> BTreeSet<String> {
    let tokens = without_test_code(&tokens(root));
    tokens.windows(3).filter(|window| window[0].text == "mod" && window[2].text == ";").map(|window| window[1].text.clone()).collect()
}

/// Names that the root re-exports, with the module that defines each.
fn reexports_of_root(root: &str) -> BTreeMap<String, String> {
    let tokens = without_test_code(&tokens(root));
    let leaves = use_trees(&tokens).into_iter().flat_map(|(_, leaves)| leaves);
    leaves
        .filter_map(|leaf| {
            let path = if leaf.path.first().is_some_and(|first| first == "crate") { &leaf.path[1..] } else { &leaf.path[..] };
            Some((leaf.name.clone(), path.first()?.clone()))
        })
        .collect()
}

/// Every path of a file that starts at the root of the crate once it is resolved, with its line. Test code is left out.
fn paths_outside_tests(source: &str, module_path: &[String]) -> Vec<(usize, Vec<String>)> {
    let tokens = without_test_code(&tokens(source));
    let modules = module_paths(&tokens, module_path);
    let mut found = Vec::new();
    let mut in_use = BTreeSet::new();
    for (range, leaves) in use_trees(&tokens) {
        found.extend(leaves.into_iter().map(|leaf| (tokens[range.0].line, resolve(&leaf.path, &modules[range.0]))));
        in_use.extend(range.0..range.1);
    }
    for (start, token) in tokens.iter().enumerate() {
        let is_start = matches!(token.text.as_str(), "crate" | "self" | "super");
        let continues_path = start > 0 && tokens[start - 1].text == "::";
        // `pub(crate)` and `self.field` are not paths.
        let has_next = tokens.get(start + 1).is_some_and(|next| next.text == "::");
        if is_start && has_next && !continues_path && !in_use.contains(&start) {
            let names = tokens[start..].chunks(2).take_while(|pair| is_name(&pair[0].text));
            let mut path = Vec::new();
            for pair in names {
                path.push(pair[0].text.clone());
                if pair.get(1).is_none_or(|separator| separator.text != "::") {
                    break;
                }
            }
            found.push((token.line, resolve(&path, &modules[start])));
        }
    }
    // `extern crate self as name` would open another way to the root.
    for window in tokens.windows(3) {
        if window[0].text == "extern" && window[1].text == "crate" && window[2].text == "self" {
            found.push((window[0].line, vec!["crate".to_owned()]));
        }
    }
    found.retain(|(_, path)| path.first().is_some_and(|first| first == "crate"));
    found
}

/// A path in terms of the crate's root; other paths stay as they are.
fn resolve(path: &[String], module_path: &[String]) -> Vec<String> {
    let mut module = module_path.to_vec();
    let mut rest = path;
    match rest.first().map(String::as_str) {
        Some("self" | "super") => {}
        // `crate`, or another crate.
        _ => return rest.to_vec(),
    }
    while let Some((first, after)) = rest.split_first() {
        match first.as_str() {
            "self" => {}
            "super" => drop(module.pop()),
            _ => break,
        }
        rest = after;
    }
    std::iter::once("crate".to_owned()).chain(module).chain(rest.iter().cloned()).collect()
}

/// For each token the path of the module that it is in: that of the file and of inline modules.
fn module_paths(tokens: &[Token], file: &[String]) -> Vec<Rc<Vec<String>>> {
    let (mut module, mut depth, mut inline) = (Rc::new(file.to_vec()), 0_usize, Vec::new());
    let mut paths = Vec::with_capacity(tokens.len());
    for (index, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => {
                if index >= 2 && tokens[index - 2].text == "mod" {
                    let inner = module.iter().cloned().chain([tokens[index - 1].text.clone()]).collect();
                    inline.push((depth, std::mem::replace(&mut module, Rc::new(inner))));
                }
                depth += 1;
            }
            "}" => {
                depth = depth.saturating_sub(1);
                if let Some((_, outer)) = inline.pop_if(|(start, _)| *start == depth) {
                    module = outer;
                }
            }
            _ => {}
        }
        paths.push(Rc::clone(&module));
    }
    paths
}

/// One name that a `use` imports.
#[derive(Debug, Clone, PartialEq)]
struct Leaf {
    path: Vec<String>,
    /// The last segment of the path, or its new name after `as`.
    name: String,
}

/// Every `use` with the range of its tokens.
fn use_trees(tokens: &[Token]) -> Vec<((usize, usize), Vec<Leaf>)> {
    let mut found = Vec::new();
    for (start, token) in tokens.iter().enumerate() {
        // `impl Trait + use<'a>` is not an import.
        if token.text != "use" || tokens.get(start + 1).is_some_and(|next| next.text == "<") {
            continue;
        }
        let mut at = start + 1;
        let mut leaves = Vec::new();
        use_tree(tokens, &mut at, &[], &mut leaves);
        found.push(((start, at), leaves));
    }
    found
}

fn use_tree(tokens: &[Token], at: &mut usize, prefix: &[String], leaves: &mut Vec<Leaf>) {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(*at) {
        match token.text.as_str() {
            // At the start of a path it means another crate.
            "::" if path.is_empty() => path.push("::".to_owned()),
            "::" => {}
            "{" => {
                *at += 1;
                while tokens.get(*at).is_some_and(|token| token.text != "}") {
                    use_tree(tokens, at, &path, leaves);
                    if tokens.get(*at).is_some_and(|token| token.text == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "as" => {
                let name = tokens.get(*at + 1).map(|token| token.text.clone()).unwrap_or_default();
                leaves.push(Leaf { path: without_trailing_self(path), name });
                *at += 2;
                return;
            }
            "," | "}" | ";" => break,
            name => path.push(name.to_owned()),
        }
        *at += 1;
    }
    let path = without_trailing_self(path);
    let name = path.last().cloned().unwrap_or_default();
    leaves.push(Leaf { path, name });
}

/// `parse::{self}` is `parse`.
fn without_trailing_self(mut path: Vec<String>) -> Vec<String> {
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    path
}

#[derive(Debug, Clone, PartialEq)]
struct Token {
    text: String,
    line: usize,
}

fn is_name(text: &str) -> bool {
    text.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// Names, `::` and single characters. Comments, strings, characters and lifetimes are left out.
fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let starts = |at: usize, text: &str| text.chars().enumerate().all(|(index, c)| chars.get(at + index) == Some(&c));
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while let Some(c) = chars.get(at).copied() {
        let start = at;
        if starts(at, "//") {
            while chars.get(at).is_some_and(|c| *c != '\n') {
                at += 1;
            }
        } else if starts(at, "/*") {
            let mut depth = 0;
            loop {
                if starts(at, "/*") {
                    (depth, at) = (depth + 1, at + 2);
                } else if starts(at, "*/") {
                    (depth, at) = (depth - 1, at + 2);
                } else {
                    at += 1;
                }
                if depth == 0 || at >= chars.len() {
                    break;
                }
            }
        } else if let Some(end) = raw_string_end(&chars, at) {
            at = end;
        } else if c == '"' {
            at += 1;
            while chars.get(at).is_some_and(|c| *c != '"') {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
        } else if c == '\'' {
            at = if chars.get(at + 1) == Some(&'\\') {
                // The closing quotation mark after the escape.
                (at + 3..chars.len()).find(|at| chars[*at] == '\'').map_or(chars.len(), |end| end + 1)
            } else if chars.get(at + 2) == Some(&'\'') {
                at + 3
            } else {
                at + 1 + chars[at + 1..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count()
            };
        } else if c.is_alphanumeric() || c == '_' {
            while chars.get(at).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
                at += 1;
            }
            found.push(Token { text: chars[start..at].iter().collect(), line });
        } else if starts(at, "::") {
            at += 2;
            found.push(Token { text: "::".to_owned(), line });
        } else {
            at += 1;
            if !c.is_whitespace() {
                found.push(Token { text: c.to_string(), line });
            }
        }
        line += chars[start..at.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    found
}

/// The end of the raw string that starts at a position, such as `br#"…"#`.
fn raw_string_end(chars: &[char], start: usize) -> Option<usize> {
    let is_inside_name = start > 0 && chars.get(start - 1).is_some_and(|c| c.is_alphanumeric() || *c == '_');
    let mut at = start + usize::from(matches!(chars.get(start), Some('b' | 'c')));
    if is_inside_name || chars.get(at) != Some(&'r') {
        return None;
    }
    at += 1;
    let hashes = chars.get(at..)?.iter().take_while(|c| **c == '#').count();
    at += hashes;
    if chars.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    let is_end = |at: usize| chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (at..chars.len()).find(|at| is_end(*at)).map(|end| end + 1 + hashes)
}

/// The tokens without items under `#[cfg(test)]`.
fn without_test_code(tokens: &[Token]) -> Vec<Token> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let is_test = ATTRIBUTE.iter().enumerate().all(|(index, text)| tokens.get(at + index).is_some_and(|token| token.text == *text));
        if is_test {
            at = end_of_item(tokens, at + ATTRIBUTE.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The index after the item that starts at a token and ends with a semicolon or the brace that closes its body.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let (mut depth, mut is_use) = (0_usize, false);
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            // The braces of its groups are not a body.
            "use" => is_use = true,
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" && !is_use {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// What a file `read/lines.rs` with this source uses.
fn used(source: &str) -> Vec<String> {
    let paths = paths_outside_tests(source, &["read".to_owned(), "lines".to_owned()]);
    let reexports = BTreeMap::from([("Trace".to_owned(), "model".to_owned())]);
    paths.iter().filter_map(|(_, path)| target_of(path, &reexports)).collect()
}

#[test]
fn every_syntax_of_an_import_is_understood() {
    for source in [
        "use crate::parse::Format;",
        "use crate::parse;",
        "use crate::parse as p;",
        "use crate::parse::*;",
        "use crate::{parse};",
        "use crate::{parse as p};",
        "use crate::{parse::{self as p}};",
        "use crate::{\n    parse::{otlp::{Otlp}},\n};",
        "pub use crate::parse::Format as Other;",
        "pub(crate) use crate::parse::{Format as _};",
        "use super::super::parse::Format;",
        "use super::{super::{parse::Format}};",
        "use self::super::super::parse;",
        "fn f() { use crate::parse::Format; }",
        "fn f(x: crate::parse::Parsed) {}",
        "fn f() { super::super::parse::f() }",
        "fn f() { let x = <crate::parse::Otlp as T>::NAME; }",
        "mod inner { use super::super::super::parse; }",
        "mod inner { mod deep { fn f() { super::super::super::super::parse::f() } } }",
        "/* use */ use /* x */ crate /* y */ :: parse ;",
        "const A: char = '\"'; use crate::parse; const B: char = '\"';",
        "const A: &str = r#\"\"\"#; use crate::parse;",
        "fn f<'a>(x: &'a str) { crate::parse::f(x) }",
        "#[cfg(test)]\nuse crate::{read::{A, B}};\nuse crate::parse;",
        "#[cfg(test)]\nmod tests { fn f() -> [u8; 1] { [0] } }\nuse crate::parse;",
        "#[cfg(not(test))]\nuse crate::parse;",
    ] {
        assert_eq!(used(source), ["parse"], "{source}");
    }
    assert_eq!(used("use crate::{limits, parse, pipeline, store};"), ["limits", "parse", "pipeline", "store"]);
    assert_eq!(used("use crate::{model::{self, Trace}, write::*};"), ["model", "model", "write"]);
}

#[test]
fn other_ways_to_the_root_are_found() {
    assert_eq!(used("use crate::Trace;"), ["model"], "a re-export of the root leads to its module");
    for source in ["use crate as root;", "use super::super as root;", "use crate::{self as root};", "extern crate self as root;"] {
        assert_eq!(used(source), ["crate"], "{source}");
    }
    assert_eq!(used("use crate::*;"), ["*"]);
}

#[test]
fn text_that_is_not_a_use_of_another_module_is_ignored() {
    for source in [
        "// use crate::parse;\n/// [`crate::parse`]\n",
        "/* use crate::parse; /* nested */ use crate::parse; */",
        "const A: &str = \"crate::parse::x\";",
        "const A: &str = r#\"use \"crate::parse;\"#;",
        "use ::parse::Format; use parse::Format; use std::parse;",
        "#[cfg(test)]\nmod tests { use crate::parse; }",
        "#[cfg(test)]\nuse crate::parse::{A, B};",
        "#[cfg(test)]\n#[expect(x)]\npub(crate) mod tests { mod deep { fn f() { crate::parse::f() } } }",
        "pub(crate) fn parse(self) { self.parse() }",
    ] {
        assert_eq!(used(source), [""; 0], "{source}");
    }
    assert_eq!(used("use super::Position; use super::super::read::x; fn f() { self::parse::f() }"), ["read", "read", "read"]);
}

#[test]
fn files_are_modules() {
    for (file, path) in
        [("parse.rs", vec!["parse"]), ("parse/mod.rs", vec!["parse"]), ("parse/otlp/json.rs", vec!["parse", "otlp", "json"])]
    {
        assert_eq!(module_path(Path::new(file)), path);
    }
    assert_eq!(module_path(Path::new("lib.rs")), Vec::<String>::new());
    assert!(Library::read().modules.is_superset(&["read", "parse", "write"].map(str::to_owned).into()));
}
