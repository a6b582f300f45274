//! Finds what is sensitive in one text.
//!
//! The text is first decoded to what a reader sees ([`view`]). One pass over all literals ([`literals`]) finds the formats of credentials
//! ([`secrets`]) and the labels that say what the value beside them is ([`labels`], [`values`], [`tables`]); one pass over the words ([`words`])
//! finds numbers ([`numbers`]), names ([`names`]), addresses ([`addresses`]) and encoded runs ([`encoded`]); names and addresses in scripts
//! without blanks are looked for by themselves ([`cjk`]). What was found once is found wherever else it stands ([`repeats`]). Everything is
//! found in the decoded text and given in bytes of the original.

mod addresses;
mod cjk;
mod encoded;
mod labels;
mod lexicon;
mod literals;
mod names;
mod numbers;
mod own;
mod pieces;
mod repeats;
mod secrets;
mod shapes;
mod tables;
mod text;
mod tokens;
mod values;
mod view;
mod words;

use std::cell::Cell;
use std::ops::Range;

use self::labels::{Label, label_at};
use self::literals::{LabelKind, Literals, Next, Role, literals};
use self::names::Verdict;
pub use self::own::{CustomDetectors, CustomDetectorsError};
pub(super) use self::repeats::Values;
use self::repeats::unite;
use self::tables::Tables;
use self::text::{Text, is_cjk};
pub(super) use self::tokens::{SUFFIX_DIGITS, UNNUMBERED_KINDS};
use self::view::View;
use crate::runtime::Deadline;

/// Encodings inside encodings are followed this deep.
const DEPTH_MAX: usize = 4;

/// Nothing shorter is a value with something that tells it.
const VALUE_BYTES_MIN: usize = 5;

/// Something sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    /// Bytes of the text.
    pub(super) range: Range<usize>,
    /// What it is: `email`, `github_token`.
    pub(super) kind: &'static str,
    /// Which detector found it.
    pub(super) why: &'static str,
    /// As a reader sees it, where it is encoded in the text.
    pub(super) value: String,
}

/// Something sensitive in a decoded text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    range: Range<usize>,
    kind: &'static str,
    why: &'static str,
}

/// How texts are looked through.
#[derive(Debug)]
pub(super) struct Search<'s> {
    own: &'s CustomDetectors,
    deadline: Option<Deadline>,
    /// Questions about the time since the clock was read.
    asked: Cell<u32>,
    is_over: Cell<bool>,
}

impl<'s> Search<'s> {
    /// However long it takes.
    pub(super) fn new(own: &'s CustomDetectors) -> Self {
        Self { own, deadline: None, asked: Cell::new(0), is_over: Cell::new(false) }
    }

    /// Up to `deadline`: what is found is not everything once [`Self::is_over`] is true.
    pub(super) fn until(own: &'s CustomDetectors, deadline: Deadline) -> Self {
        Self { deadline: Some(deadline), ..Self::new(own) }
    }

    /// Whether the time is up. Cheap enough for inner loops: most calls only count.
    pub(super) fn is_over(&self) -> bool {
        const CALLS_PER_LOOK: u32 = 64;
        let Some(deadline) = self.deadline else { return false };
        let asked = self.asked.get().wrapping_add(1);
        self.asked.set(asked);
        if asked.is_multiple_of(CALLS_PER_LOOK) && deadline.check().is_err() {
            self.is_over.set(true);
        }
        self.is_over.get()
    }

    /// Every hit, in order and without overlaps.
    pub(super) fn find(&self, text: &str) -> Vec<Hit> {
        self.find_deep(text, 0)
    }

    /// Every hit, and every other place in the same text where one of the values stands.
    pub(super) fn find_all(&self, raw: &str) -> Vec<Hit> {
        let view = View::new(raw);
        let mut hits = self.find_in(&view, 0);
        if let Some(values) = Values::new(&hits) {
            let found = values.found_in(Text(view.text()), self);
            if !found.is_empty() {
                hits.extend(in_original(&view, found));
                unite(&mut hits);
            }
        }
        hits
    }

    fn find_deep(&self, raw: &str, depth: usize) -> Vec<Hit> {
        self.find_in(&View::new(raw), depth)
    }

    fn find_in(&self, view: &View<'_>, depth: usize) -> Vec<Hit> {
        let mut found = find_in_view(view, self, depth);
        self.own.find(view.text(), &mut found);
        let text = Text(view.text());
        // Redacting twice changes nothing.
        let is_in_token =
            |range: &Range<usize>| tokens::token_around(text, range.start, self.own).is_some_and(|token| token.end >= range.end);
        found.retain(|hit| !self.own.allows(text.slice(hit.range.clone())) && !is_in_token(&hit.range));
        in_original(view, found)
    }
}

/// Every hit, however long it takes.
#[cfg(test)]
fn find(text: &str, own: &CustomDetectors) -> Vec<Hit> {
    Search::new(own).find(text)
}

/// The kinds of what is found in a text that was redacted. Only tokens are left out, and by other means than where values are taken out, so
/// that a defect of the one is seen by the other.
pub(super) fn kinds_left_in(text: &str, own: &CustomDetectors) -> Vec<&'static str> {
    let view = View::new(text);
    let left = tokens::without_tokens(view.text(), own);
    let mut found = find_in_view(&View::new(&left), &Search::new(own), 0);
    own.find(&left, &mut found);
    found.retain(|hit| !own.allows(left.get(hit.range.clone()).unwrap_or_default()));
    merged(found).into_iter().map(|found| found.kind).collect()
}

/// Bytes of the view to bytes of the original.
fn in_original(view: &View<'_>, found: Vec<Found>) -> Vec<Hit> {
    merged(found)
        .into_iter()
        .map(|found| Hit {
            value: view.text().get(found.range.clone()).unwrap_or_default().to_owned(),
            range: view.raw(found.range),
            kind: found.kind,
            why: found.why,
        })
        .collect()
}

/// Hits in order; of those that overlap one is left that covers them all, of the kind of the longest.
fn merged(mut found: Vec<Found>) -> Vec<Found> {
    found.retain(|hit| !hit.range.is_empty());
    found.sort_by(|a, b| a.range.start.cmp(&b.range.start).then(b.range.end.cmp(&a.range.end)));
    let mut kept: Vec<(Found, usize)> = Vec::with_capacity(found.len());
    for hit in found {
        let len = hit.range.len();
        match kept.last_mut() {
            Some((last, longest)) if hit.range.start < last.range.end => {
                last.range.end = last.range.end.max(hit.range.end);
                // Of two names for the same place the one that says more.
                let says_more = len == *longest && specificity(hit.kind) > specificity(last.kind);
                if len > *longest || says_more {
                    (last.kind, last.why, *longest) = (hit.kind, hit.why, len);
                }
            }
            _ => kept.push((hit, len)),
        }
    }
    kept.into_iter().map(|(hit, _)| hit).collect()
}

/// How much a kind says; where a label and a format agree on the place, the format names it.
fn specificity(kind: &str) -> u8 {
    match kind {
        "generic_secret" | "phone" => 0,
        "api_key" => 1,
        "bearer_token" | "password" => 2,
        _ => 3,
    }
}

fn find_in_view(view: &View<'_>, search: &Search<'_>, depth: usize) -> Vec<Found> {
    let Some(literals) = literals() else { return Vec::new() };
    let text = Text(view.text());
    if text.len() < VALUE_BYTES_MIN {
        return Vec::new();
    }
    let mut hits = Vec::new();
    shapes::at_signs(text, &mut hits);
    let mails = mail_names(text, &hits);
    let labels = by_literals(literals, text, search, &mut hits);
    let mut verdicts = Vec::new();
    words::by_words(text, search, depth, &mails, &mut hits, &mut verdicts);
    let mut tables = Tables::default();
    // Where a long value ends: labels well inside it, whose own values are a part of it, are not read.
    let mut long_value_end = 0;
    for (label, kind) in &labels {
        if search.is_over() {
            return hits;
        }
        if label.identifier.end + values::TOKEN_BYTES_MAX < long_value_end {
            continue;
        }
        values::of_label(view, label, *kind, &mut hits, &mut verdicts);
        if let Some(last) = hits.last().filter(|last| last.range.len() >= values::TOKEN_BYTES_MAX) {
            long_value_end = long_value_end.max(last.range.end);
        }
        tables.of_label(literals, text, label, &mut hits);
    }
    if !text.0.is_ascii() && text.0.chars().any(is_cjk) {
        cjk::names(text, &mut hits);
        cjk::addresses(text, &mut hits);
    }
    settle(text, verdicts, &mut hits);
    hits
}

/// The parts before the `@` of all addresses, letters only and lower case.
fn mail_names(text: Text<'_>, hits: &[Found]) -> Vec<String> {
    let local = |hit: &Found| text.slice(hit.range.clone()).split('@').next().unwrap_or_default().to_lowercase();
    let letters = |local: String| local.chars().filter_map(lexicon::fold).filter(|sign| sign.is_alphabetic()).collect::<String>();
    hits.iter().filter(|hit| hit.kind == "email").take(200).map(|hit| letters(local(hit))).filter(|name| name.len() >= 3).collect()
}

/// Credentials by their format, user names in paths, and the labels with their identifiers.
fn by_literals(literals: &Literals, text: Text<'_>, search: &Search<'_>, hits: &mut Vec<Found>) -> Vec<(Label, LabelKind)> {
    let mut labels = Vec::new();
    // Where the last value of each format ends: what begins inside it is a part of it.
    let mut secret_ends = vec![0; literals.secrets.len()];
    literals.scan(text.0, &mut |hit, role| match role {
        _ if search.is_over() => Next::Stop,
        Role::Secret(index) => {
            let (Some(rule), Some(last_end)) = (literals.secrets.get(index), secret_ends.get_mut(index)) else { return Next::Here };
            if hit.start < *last_end {
                return Next::Behind;
            }
            let found = rule.find(text, hit.start);
            if let Some(range) = &found {
                *last_end = range.end;
                hits.push(Found { range: range.clone(), kind: rule.kind, why: rule.name });
            }
            Next::after(found.is_some())
        }
        Role::Label(index) => {
            let Some(kind) = literals.labels.get(index).copied() else { return Next::Here };
            // A whole word that is no label here has no labels inside it: the `key` of `create_api_key`.
            let is_whole = text.ends_word(hit.end);
            let label = label_at(text, hit, kind.shape);
            let found = label.is_some();
            labels.extend(label.map(|label| (label, kind)));
            Next::after(found || is_whole)
        }
        Role::Home => {
            hits.extend(shapes::user_of_path(text, hit.start, hit.end));
            Next::Here
        }
    });
    labels
}

/// What may be a name is one if something beside it belongs to a person.
fn settle(text: Text<'_>, verdicts: Vec<Verdict>, hits: &mut Vec<Found>) {
    const NEAR: usize = 160;
    let mut personal: Vec<usize> = hits
        .iter()
        .filter(|hit| {
            matches!(
                hit.kind,
                "email"
                    | "phone"
                    | "date_of_birth"
                    | "address"
                    | "iban"
                    | "credit_card"
                    | "passport"
                    | "national_id"
                    | "ssn"
                    | "medical_id"
                    | "drivers_license"
                    | "bank_account"
            )
        })
        .map(|hit| hit.range.start)
        .collect();
    personal.sort_unstable();
    for verdict in verdicts {
        match verdict {
            Verdict::Name(range) => hits.push(Found { range, kind: "person", why: "name" }),
            Verdict::Maybe(range) => {
                let first = personal.partition_point(|at| *at + NEAR < range.start);
                let beside = personal.get(first..).unwrap_or_default().iter().take_while(|at| **at <= range.end + NEAR);
                let same_part = |at: &&usize| {
                    let between = if **at > range.end { range.end..**at } else { **at..range.start };
                    !text.slice(between).contains("\n\n")
                };
                if beside.filter(same_part).count() > 0 {
                    hits.push(Found { range, kind: "person", why: "name beside personal data" });
                }
            }
        }
    }
}

/// One literal of each entry of the tables, for tests.
#[cfg(test)]
pub(super) fn literals_of_tables() -> Vec<String> {
    let labels = labels::table().into_iter().flat_map(|table| table.label).filter_map(|entry| entry.words.first().cloned());
    let secrets = secrets::table().into_iter().flat_map(|table| table.secret).filter_map(|entry| entry.prefixes.first().cloned());
    labels.chain(secrets).collect()
}

#[cfg(test)]
fn check(kind: &str, examples: &[&str], counterexamples: &[&str]) {
    for example in examples {
        for text in [(*example).to_owned(), format!("a {example}, b"), format!("{{\"k\": \"x\\n{example}\"}}"), format!("({example})")] {
            let found = find(&text, &CustomDetectors::default());
            assert!(found.iter().any(|hit| hit.kind == kind && hit.value.contains(example)), "{kind} not found in {text:?}: {found:?}");
        }
    }
    for text in counterexamples {
        let found = find(text, &CustomDetectors::default());
        assert!(found.iter().all(|hit| hit.kind != kind), "{kind} wrongly found in {text:?}: {found:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<&'static str> {
        find(text, &CustomDetectors::default()).into_iter().map(|hit| hit.kind).collect()
    }

    #[test]
    fn every_label_finds_its_examples_and_leaves_its_counterexamples() {
        let mut complaints = Vec::new();
        for entry in labels::table().unwrap().label {
            assert!(!entry.examples.is_empty() && !entry.counterexamples.is_empty(), "{} has no samples", entry.kind);
            for example in &entry.examples {
                for text in [example.clone(), format!("x\n{example}\ny"), serde_json::json!({"content": example}).to_string()] {
                    if !kinds(&text).contains(&entry.kind.as_str()) {
                        complaints.push(format!("{} is not found in {text:?}: {:?}", entry.kind, find(&text, &CustomDetectors::default())));
                    }
                }
            }
            for example in &entry.counterexamples {
                if kinds(example).contains(&entry.kind.as_str()) {
                    complaints.push(format!(
                        "{} is wrongly found in {example:?}: {:?}",
                        entry.kind,
                        find(example, &CustomDetectors::default())
                    ));
                }
            }
        }
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    #[test]
    fn every_format_of_a_credential_finds_its_examples_and_leaves_its_counterexamples() {
        assert!(literals().is_some(), "a shipped table does not compile");
        let mut complaints = Vec::new();
        for entry in secrets::table().unwrap().secret {
            // A value in two parts, so that no scanner takes this repository for a leak.
            let join = |text: &String| text.replace('␣', "");
            assert!(!entry.examples.is_empty() && !entry.counterexamples.is_empty(), "{} has no samples", entry.name);
            for example in entry.examples.iter().map(join) {
                for text in [format!("{}{example}", entry.named), format!("see {}{example} and more", entry.named)] {
                    let found = find(&text, &CustomDetectors::default());
                    let is_it = |hit: &Hit| hit.kind == entry.kind && (hit.value.contains(&example) || example.contains(&hit.value));
                    if !found.iter().any(is_it) {
                        complaints.push(format!("{} is not found in {text:?}: {found:?}", entry.name));
                    }
                }
            }
            for example in entry.counterexamples.iter().map(join) {
                if kinds(&example).contains(&entry.kind.as_str()) {
                    complaints.push(format!(
                        "{} is wrongly found in {example:?}: {:?}",
                        entry.name,
                        find(&example, &CustomDetectors::default())
                    ));
                }
            }
        }
        assert!(complaints.is_empty(), "{complaints:#?}");
    }

    #[test]
    fn tables_say_what_their_cells_are() {
        for (text, values) in [
            (
                "id,name,phone,tier\n1,Zyrqel Vantroba,981 38 978,2\n2,Qoru Belloc,\"629 066 624\",1\n",
                &["Zyrqel Vantroba", "981 38 978", "Qoru Belloc", "629 066 624"][..],
            ),
            ("User: order;customer;iban\nSO-1;Zyrqel Vantroba;GB57GGBL60203376991029\n", &["Zyrqel Vantroba", "GB57GGBL60203376991029"]),
            (
                "INSERT INTO c (id, full_name, dob) VALUES (1, 'Zyrqel Vantroba', '1967-01-15'), (2, 'Qoru Belloc', '1970-02-01');",
                &["Zyrqel Vantroba", "1967-01-15", "Qoru Belloc", "1970-02-01"],
            ),
            (
                " id | name | ssn_or_id\n----+------+------\n 1 | Zyrqel Vantroba | 175044112574252\n",
                &["Zyrqel Vantroba", "175044112574252"],
            ),
            (
                "<tr><th>Guest</th><th>Phone</th></tr><tr><td>Zyrqel Vantroba</td><td>25 91 78 79</td></tr>",
                &["Zyrqel Vantroba", "25 91 78 79"],
            ),
        ] {
            let found: Vec<String> = find(text, &CustomDetectors::default()).into_iter().map(|hit| hit.value).collect();
            for value in values {
                assert!(found.iter().any(|found| found == value), "{value} in {text:?}: {found:?}");
            }
        }
        assert!(kinds("SELECT id, name, email, phone FROM users WHERE id = 4783 LIMIT 10;").is_empty());
    }

    #[test]
    fn a_value_wrapped_over_lines_goes_as_a_whole_and_the_next_line_stays() {
        let text = "CLIENT_SECRET=whTMZQgQ6VFx82S2t\n0D3fyEKLv2HsbF17E\n-Q_gvd8h9-pKyCelN\nfDyPRURgJVXNd\nend of output";
        let found = find(text, &CustomDetectors::default());
        assert_eq!(
            found.iter().map(|hit| text.get(hit.range.clone()).unwrap()).collect::<Vec<_>>(),
            [text.strip_prefix("CLIENT_SECRET=").unwrap().strip_suffix("\nend of output").unwrap()]
        );
        let text = "API_KEY=0D3fyEKLv2HsbF17E8aQ\nMAX_RETRIES=3\nREGION=eu";
        let found = find(text, &CustomDetectors::default());
        assert_eq!(found.iter().map(|hit| hit.value.as_str()).collect::<Vec<_>>(), ["0D3fyEKLv2HsbF17E8aQ"]);
    }

    #[test]
    fn names_by_lexicon_cue_mail_and_neighbours() {
        for (text, name) in [
            ("I think Marguerite Oyelaran knows", "Marguerite Oyelaran"),
            ("my name is Zyrqel Vantroba.", "Zyrqel Vantroba"),
            ("ask Zyrqel Vantroba <z.vantroba@mail.example>", "Zyrqel Vantroba"),
            ("it's Hernandez, Joseph, again", "Hernandez, Joseph"),
            ("If this wasn't you, Mikael, reset it", "Mikael"),
            ("お客様: 松本 修平と申します。", "松本 修平"),
            ("你好，我叫陈琳，电话", "陈琳"),
        ] {
            let found = find(text, &CustomDetectors::default());
            assert!(found.iter().any(|hit| hit.kind == "person" && hit.value == name), "{text:?}: {found:?}");
        }
        for text in [
            "Jenkins triggered Airflow, and Claude answered through Gemini",
            "Bill the account, then chase the art team; Mark as read and grant a grace period",
            "Apply Bayes theorem, then a Fourier transform; the Dijkstra step uses a Gaussian prior and Poisson noise.",
            "The Jordan river region, Sydney time zone (Australia/Sydney) and Washington office are in scope.",
            "See Python's EOL calendar. Extensions are named \"Flask-Foo\".",
        ] {
            assert!(kinds(text).is_empty(), "{text:?}: {:?}", find(text, &CustomDetectors::default()));
        }
    }
}
