//! A linear model that proposes the condition in an error message: rate limited, timeout, not found …
//!
//! In: a text. Out: the most probable conditions. It is for messages that no rule and no entry of the catalogue knows. Who failed (the
//! model provider or a tool) is not its business.
//!
//! The model is a multinomial logistic regression over the words, pairs of words and character n-grams of the text, fitted by
//! `data/fit/text_model.py`, which has the same arithmetic. The golden vectors that it writes hold the two together: after a change of
//! [`words_of`] or [`Features`], change both, fit again, and run the test.
//!
//! The time is linear in the text, of which at most [`HEAD_CHARS`] + [`TAIL_CHARS`] characters are read.

/// Characters read from the beginning of a text, where messages state the error.
const HEAD_CHARS: usize = 800;
/// Characters read from the end of a longer text, where messages state the cause.
const TAIL_CHARS: usize = 400;
/// Longest word. Longer ones are cut into several, for writing systems without spaces.
const WORD_CHARS_MAX: usize = 40;
/// Words read from a text.
const WORDS_MAX: usize = 300;
/// Longest token of the redaction, such as `<EMAIL:1a2b3c>`.
const TOKEN_CHARS_MAX: usize = 40;
/// Length of character n-grams. The marks for the beginning and the end of a word count.
const NGRAM_CHARS_MIN: usize = 2;
const NGRAM_CHARS_MAX: usize = 4;
/// Conditions in a prediction.
const CONDITIONS_MAX: usize = 4;
/// Classes of a model.
const CLASSES_MAX: usize = 64;
/// The class of texts that report no error.
const NO_CONDITION: &str = "none";

/// The fitted model. [`TextModel::shipped`] is the one of this build.
#[derive(Debug)]
pub(super) struct TextModel {
    classes: Vec<&'static str>,
    /// What one unit of a weight is worth, by class.
    scales: Vec<f32>,
    biases: Vec<f32>,
    /// Features with a lower index are words and pairs of words, the others are n-grams.
    word_features: u32,
    /// Feature `i` has the weights from `starts[i]` to `starts[i + 1]`.
    starts: Vec<u32>,
    /// The squared share of each feature in the length of its family of features in a text, before scaling.
    rarities: &'static [u8],
    /// Pairs of a class and a weight.
    weights: &'static [u8],
    /// Hash table with linear probing over the hashes of the features.
    slots: Vec<Slot>,
}

/// A place in the hash table.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    hash: u32,
    /// The index of the feature plus 1; 0 if the slot is free.
    number: u32,
}

/// The conditions that a text may report.
#[derive(Debug)]
pub(super) struct Prediction {
    /// A word of the catalogue's format and its probability, at most [`CONDITIONS_MAX`], most probable first. The probabilities of all
    /// conditions and of `no_condition` add up to 1.
    pub(super) conditions: Vec<(&'static str, f64)>,
    /// The probability that the text reports no error.
    pub(super) no_condition: f64,
}

impl TextModel {
    /// The model that `data/fit/text_model.py` wrote.
    ///
    /// # Errors
    /// The reason why the file is invalid, which a test rules out.
    pub(super) fn shipped() -> Result<Self, String> {
        Self::read(include_bytes!("text_model.bin"))
    }

    /// Reads the format that `Quantised.bytes` in `text_model.py` writes.
    fn read(file: &'static [u8]) -> Result<Self, String> {
        let mut rest = file.strip_prefix(b"FSTM\x02").ok_or("not a text model of version 2")?;
        let class_count = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let word_features = u32::from_le_bytes(take(&mut rest)?);
        let feature_count = u32::from_le_bytes(take(&mut rest)?) as usize;
        if class_count > CLASSES_MAX {
            return Err(format!("{class_count} classes, at most {CLASSES_MAX} are supported"));
        }
        let mut classes = Vec::with_capacity(class_count);
        for _ in 0..class_count {
            let [length] = take(&mut rest)?;
            let name = take_slice(&mut rest, usize::from(length))?;
            classes.push(std::str::from_utf8(name).map_err(|error| error.to_string())?);
        }
        let scales = take_numbers(&mut rest, class_count, f32::from_le_bytes)?;
        let biases = take_numbers(&mut rest, class_count, f32::from_le_bytes)?;
        let hashes = take_numbers(&mut rest, feature_count, u32::from_le_bytes)?;
        let mut starts = Vec::with_capacity(feature_count + 1);
        let mut start = 0;
        for count in take_slice(&mut rest, feature_count)? {
            starts.push(start);
            start += u32::from(*count);
        }
        starts.push(start);
        let rarities = take_slice(&mut rest, feature_count)?;
        if rest.len() != 2 * start as usize || rest.iter().step_by(2).any(|class| usize::from(*class) >= class_count) {
            return Err("the weights do not fit the features".to_owned());
        }
        let slots = hash_table(&hashes);
        Ok(Self { classes, scales, biases, word_features, starts, rarities, weights: rest, slots })
    }

    /// The most probable conditions in a text.
    pub(super) fn predict(&self, text: &str) -> Prediction {
        let logits = self.logits(text);
        // Softmax, shifted by the largest logit so that `exp` cannot overflow.
        let largest = logits.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
        let mut conditions: Vec<(&'static str, f64)> =
            self.classes.iter().zip(&logits).map(|(class, logit)| (*class, (logit - largest).exp() / total)).collect();
        let no_condition = conditions.iter().find(|(class, _)| *class == NO_CONDITION).map_or(0.0, |(_, probability)| *probability);
        conditions.retain(|(class, _)| *class != NO_CONDITION);
        conditions.sort_by(|left, right| right.1.total_cmp(&left.1));
        conditions.truncate(CONDITIONS_MAX);
        Prediction { conditions, no_condition }
    }

    fn logits(&self, text: &str) -> Vec<f64> {
        let mut features = Features::of(self);
        let mut previous: Option<String> = None;
        for word in words_of(text) {
            features.add_word(&word);
            if let Some(previous) = &previous {
                features.add_pair(previous, &word);
            }
            previous = Some(word);
        }
        let norms = [&features.words, &features.ngrams].map(|sums| (1.0 / f64::from(sums.rarities.max(1)).sqrt(), &sums.by_class));
        let parts = self.scales.iter().zip(&self.biases).enumerate();
        parts
            .map(|(class, (scale, bias))| {
                let sum = norms.iter().map(|(norm, sums)| norm * f64::from(sums.get(class).copied().unwrap_or_default())).sum::<f64>();
                f64::from(*bias) + f64::from(*scale) * sum
            })
            .collect()
    }

    /// The index of the feature with a hash.
    fn find(&self, hash: u32) -> Option<u32> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut slot = slot_of(hash, mask);
        // A free slot ends the search; the table is never full.
        for _ in 0..self.slots.len() {
            let Slot { hash: found, number } = *self.slots.get(slot)?;
            let index = number.checked_sub(1)?;
            if found == hash {
                return Some(index);
            }
            slot = (slot + 1) & mask;
        }
        None
    }

    /// The pairs of class and weight of a feature.
    fn weights_of(&self, feature: u32) -> &'static [u8] {
        let bound = |index: usize| self.starts.get(index).map_or(0, |start| 2 * *start as usize);
        self.weights.get(bound(feature as usize)..bound(feature as usize + 1)).unwrap_or_default()
    }
}

/// Sums of the weights of the features found in a text, for one family of features.
struct Sums {
    /// The sum of the rarities: the square of the length.
    rarities: u32,
    by_class: [i32; CLASSES_MAX],
}

impl Default for Sums {
    fn default() -> Self {
        Self { rarities: 0, by_class: [0; CLASSES_MAX] }
    }
}

/// Collects the features of a text. Each counts once.
struct Features<'a> {
    model: &'a TextModel,
    /// A bit for each feature of the model.
    seen: Vec<u64>,
    words: Sums,
    ngrams: Sums,
    /// Buffers of `add_ngrams`: the word with its marks, and where each character starts.
    marked: Vec<u8>,
    char_starts: Vec<usize>,
}

/// FNV-1a. The families of features start from different states, so that they do not share hashes.
const WORD_STATE: u32 = 0x811C_9DC5;
const PAIR_STATE: u32 = 0x9E37_79B9;
const NGRAM_STATE: u32 = 0x85EB_CA6B;

fn hash(state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(state, |state, byte| (state ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

impl<'a> Features<'a> {
    fn of(model: &'a TextModel) -> Self {
        let seen = vec![0; model.starts.len().div_ceil(64)];
        Self { model, seen, words: Sums::default(), ngrams: Sums::default(), marked: Vec::new(), char_starts: Vec::new() }
    }

    fn add_word(&mut self, word: &str) {
        self.add(hash(WORD_STATE, word.as_bytes()));
        if !word.starts_with(|c: char| c == '<' || c.is_ascii_digit()) {
            self.add_ngrams(word);
        }
    }

    fn add_pair(&mut self, first: &str, second: &str) {
        self.add(hash(hash(hash(PAIR_STATE, first.as_bytes()), b" "), second.as_bytes()));
    }

    /// The n-grams of a word between the marks `^` and `$`. Those with the same start continue each other's hash.
    fn add_ngrams(&mut self, word: &str) {
        let mut marked = std::mem::take(&mut self.marked);
        let mut starts = std::mem::take(&mut self.char_starts);
        marked.clear();
        marked.push(b'^');
        marked.extend_from_slice(word.as_bytes());
        marked.push(b'$');
        starts.clear();
        starts.push(0);
        starts.extend(word.char_indices().map(|(at, _)| at + 1));
        starts.extend([marked.len() - 1, marked.len()]);
        for first in 0..starts.len() - 1 {
            let mut state = NGRAM_STATE;
            let starts = starts.get(first..).unwrap_or_default();
            for (length, (from, to)) in (1..=NGRAM_CHARS_MAX).zip(starts.iter().zip(starts.iter().skip(1))) {
                state = hash(state, marked.get(*from..*to).unwrap_or_default());
                if length >= NGRAM_CHARS_MIN {
                    self.add(state);
                }
            }
        }
        self.marked = marked;
        self.char_starts = starts;
    }

    /// Adds the weights of a feature that the model knows, when it is met first.
    fn add(&mut self, hash: u32) {
        let Some(feature) = self.model.find(hash) else { return };
        let bit = 1_u64 << (feature % 64);
        let Some(seen) = self.seen.get_mut(feature as usize / 64) else { return };
        if *seen & bit != 0 {
            return;
        }
        *seen |= bit;
        let sums = if feature < self.model.word_features { &mut self.words } else { &mut self.ngrams };
        sums.rarities += u32::from(self.model.rarities.get(feature as usize).copied().unwrap_or_default());
        let (pairs, _) = self.model.weights_of(feature).as_chunks::<2>();
        for [class, weight] in pairs {
            // The remainder changes nothing; it lets the compiler drop the check of the bound.
            if let Some(sum) = sums.by_class.get_mut(usize::from(*class) % CLASSES_MAX) {
                *sum += i32::from(weight.cast_signed());
            }
        }
    }
}

/// A table of twice the number of features or more, so that it is at most half full.
fn hash_table(hashes: &[u32]) -> Vec<Slot> {
    let size = (2 * hashes.len()).next_power_of_two();
    let mask = size - 1;
    let mut slots = vec![Slot::default(); size];
    for (hash, number) in hashes.iter().zip(1..) {
        let mut at = slot_of(*hash, mask);
        while slots.get(at).is_some_and(|slot| slot.number != 0) {
            at = (at + 1) & mask;
        }
        if let Some(free) = slots.get_mut(at) {
            *free = Slot { hash: *hash, number };
        }
    }
    slots
}

/// Where the search for a hash starts. The high bits of FNV-1a are the better ones, so they are folded into the low ones.
fn slot_of(hash: u32, mask: usize) -> usize {
    (hash ^ (hash >> 15)) as usize & mask
}

fn take<const N: usize>(rest: &mut &'static [u8]) -> Result<[u8; N], String> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or("the file is cut off")?;
    *rest = tail;
    Ok(*head)
}

fn take_slice(rest: &mut &'static [u8], length: usize) -> Result<&'static [u8], String> {
    let (head, tail) = rest.split_at_checked(length).ok_or("the file is cut off")?;
    *rest = tail;
    Ok(head)
}

fn take_numbers<T>(rest: &mut &'static [u8], count: usize, read: fn([u8; 4]) -> T) -> Result<Vec<T>, String> {
    let bytes = take_slice(rest, count.saturating_mul(4))?;
    let (chunks, _) = bytes.as_chunks::<4>();
    Ok(chunks.iter().map(|chunk| read(*chunk)).collect())
}

/// The words of a text in lower case. Names in camel case are split; addresses, paths, identifiers and numbers are masked.
fn words_of(text: &str) -> Vec<String> {
    let chars = clipped(text);
    let mut words: Vec<String> = Vec::new();
    let mut at = 0;
    while words.len() < WORDS_MAX {
        let Some(&c) = chars.get(at) else { break };
        let rest = chars.get(at..).unwrap_or_default();
        let before = at.checked_sub(1).and_then(|before| chars.get(before)).copied();
        if is_word_char(c) {
            let length = rest.iter().take_while(|c| is_word_char(**c)).count();
            let (run, after) = rest.split_at_checked(length).unwrap_or_default();
            at += length;
            if after.starts_with(&[':', '/', '/']) {
                at += value_length(after);
                words.push("<url>".to_owned());
            } else if length == 1 && after.starts_with(&[':', '\\']) {
                at += value_length(after);
                words.push("<path>".to_owned());
            } else {
                split_run(run, &mut words);
            }
        } else if let Some(length) = redaction_token_length(rest) {
            at += length;
            words.push("<value>".to_owned());
        } else if starts_path(before, rest) {
            at += value_length(rest);
            words.push("<path>".to_owned());
        } else {
            at += 1;
        }
    }
    words.truncate(WORDS_MAX);
    words
}

/// The beginning and the end of a text, with a space between them if something was left out.
fn clipped(text: &str) -> Vec<char> {
    let mut chars: Vec<char> = text.chars().take(HEAD_CHARS + TAIL_CHARS + 1).collect();
    if chars.len() > HEAD_CHARS + TAIL_CHARS {
        let mut tail: Vec<char> = text.chars().rev().take(TAIL_CHARS).collect();
        tail.reverse();
        chars.truncate(HEAD_CHARS);
        chars.push(' ');
        chars.append(&mut tail);
    }
    chars
}

fn is_word_char(c: char) -> bool {
    c.is_ascii_digit() || is_letter(c)
}

/// Every character beyond ASCII that is no punctuation, symbol, arrow, box drawing or emoji counts as a letter. The ranges are listed here,
/// and not taken from Unicode tables, because those differ between Rust and Python.
fn is_letter(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphabetic();
    }
    !matches!(u32::from(c),
        0x80..=0xA9 | 0xAB..=0xB4 | 0xB6..=0xB9 | 0xBB..=0xBF | 0xD7 | 0xF7 | 0x2000..=0x206F | 0x2190..=0x2BFF | 0x3000..=0x3004
        | 0x3008..=0x3020 | 0x3030 | 0xFE00..=0xFE6F | 0xFF01..=0xFF0F | 0xFF1A..=0xFF20 | 0xFF3B..=0xFF40 | 0xFF5B..=0xFF65
        | 0xFFF0..=0xFFFF | 0x1_F000..=0x1_FAFF)
}

/// The first character of the lower-case form, so that one character stays one.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// Whether a path starts here: a slash before a name, but not in `and/or` or `</html>`.
fn starts_path(before: Option<char>, rest: &[char]) -> bool {
    let begins = matches!(rest, ['/', next, ..] if is_letter(*next) || *next == '.');
    begins && before.is_none_or(|before| !is_word_char(before) && !matches!(before, '<' | '/' | '.'))
}

/// The length of the address or path at the beginning.
fn value_length(chars: &[char]) -> usize {
    let ends = |c: &char| " \t\r\n\"'`<>()[]{},;|".contains(*c) || (!c.is_ascii() && !is_letter(*c));
    chars.iter().position(ends).unwrap_or(chars.len())
}

/// The length of the token of the redaction at the beginning, such as `<EMAIL:1a2b3c>`.
fn redaction_token_length(chars: &[char]) -> Option<usize> {
    let ['<', 'A'..='Z', ..] = chars else { return None };
    let inner = chars.iter().skip(1).take(TOKEN_CHARS_MAX);
    let length = 1 + inner.take_while(|c| matches!(c, 'A'..='Z' | 'a'..='f' | '0'..='9' | '_' | ':')).count();
    (chars.get(length) == Some(&'>')).then_some(length + 1)
}

/// Adds the words of a run of letters and digits.
fn split_run(run: &[char], words: &mut Vec<String>) {
    let digits = run.iter().filter(|c| c.is_ascii_digit()).count();
    if digits == run.len() {
        words.push(number(run, words.last().map(String::as_str)));
        return;
    }
    if digits > 0 && is_identifier(run) {
        words.push("<id>".to_owned());
        return;
    }
    let mut start = 0;
    for at in 1..=run.len() {
        if at == run.len() || starts_word(run, at) || at - start == WORD_CHARS_MAX {
            words.push(masked_word(run.get(start..at).unwrap_or_default()));
            start = at;
        }
    }
}

/// Whether a run of letters and digits is a value such as a hash, and not a name such as `oauth2` or `utf8`.
fn is_identifier(run: &[char]) -> bool {
    const NAME_CHARS_MAX: usize = 20;
    const NAME_CHANGES_MAX: usize = 2;
    let changes = run.iter().zip(run.iter().skip(1)).filter(|(left, right)| left.is_ascii_digit() != right.is_ascii_digit()).count();
    changes > NAME_CHANGES_MAX || run.len() > NAME_CHARS_MAX
}

/// Whether a word of a name in camel case starts at a position: `rateLimit`, `HTTPError`.
fn starts_word(run: &[char], at: usize) -> bool {
    let is_upper = |c: char| is_letter(c) && lower(c) != c;
    let is_lower = |c: char| is_letter(c) && lower(c) == c;
    let (Some(&before), Some(&here)) = (at.checked_sub(1).and_then(|before| run.get(before)), run.get(at)) else { return false };
    if !is_upper(here) || before.is_ascii_digit() {
        return false;
    }
    !is_upper(before) || run.get(at + 1).is_some_and(|next| is_lower(*next))
}

/// The word in lower case, each run of digits as one 0.
fn masked_word(chars: &[char]) -> String {
    let mut word = String::with_capacity(chars.len());
    for c in chars {
        if !c.is_ascii_digit() {
            word.push(lower(*c));
        } else if !word.ends_with('0') {
            word.push('0');
        }
    }
    word
}

/// A number: a status of HTTP, and a code after a word such as `errno`, remain, others become 0.
fn number(digits: &[char], before: Option<&str>) -> String {
    const CODE_DIGITS_MAX: usize = 3;
    let is_status = matches!(digits, ['4' | '5', _, _]);
    let follows_code_word = matches!(before, Some("errno" | "code" | "status" | "exit" | "error" | "http" | "winerror"));
    let is_code = digits.len() <= CODE_DIGITS_MAX && follows_code_word;
    if is_status || is_code { digits.iter().collect() } else { "0".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Instant;

    use serde::Deserialize;

    use super::*;

    /// A line of `text_model_golden.jsonl`, which `text_model.py` writes.
    #[derive(Deserialize)]
    struct Golden {
        text: String,
        words: usize,
        top: Vec<(String, f64)>,
    }

    fn golden() -> Vec<Golden> {
        let lines = include_str!("../../../data/fit/text_model_golden.jsonl").lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All classes with their probabilities, `none` among them, most probable first.
    fn probabilities(model: &TextModel, text: &str) -> Vec<(&'static str, f64)> {
        let logits = model.logits(text);
        let total: f64 = logits.iter().map(|logit| logit.exp()).sum();
        let mut all: Vec<_> = model.classes.iter().copied().zip(logits.iter().map(|logit| logit.exp() / total)).collect();
        all.sort_by(|left, right| right.1.total_cmp(&left.1));
        all
    }

    #[test]
    fn predictions_are_those_of_the_fit() {
        let model = TextModel::shipped().unwrap();
        let golden = golden();
        assert!(golden.len() > 100);
        for line in golden {
            assert_eq!(words_of(&line.text).len(), line.words, "{}", line.text);
            for ((class, probability), (expected_class, expected)) in probabilities(&model, &line.text).iter().zip(&line.top) {
                assert!((probability - expected).abs() < 2e-5, "{}: {class} {probability}, {expected_class} {expected}", line.text);
            }
        }
    }

    #[test]
    fn words_are_split_and_values_masked() {
        let words = |text| words_of(text).join(" ");
        assert_eq!(words("openai.RateLimitError: HTTPError 429"), "openai rate limit error http error 429");
        assert_eq!(words("rate_limit_exceeded, retry in 12.5s"), "rate limit exceeded retry in 0 0s");
        assert_eq!(words("errno 28, exit code 137 after 137 s"), "errno 28 exit code 137 after 0 s");
        assert_eq!(words("GET https://a.example/b?c=1 and/or </html>"), "get <url> and or html");
        assert_eq!(words("open '/var/lib/x.so': C:\\Temp\\a b"), "open <path> <path> b");
        assert_eq!(words("key 9f8e7d1c of <EMAIL:1a2b3c> and <PASSWORD>"), "key <id> of <value> and <value>");
        assert_eq!(words("oauth2 UTF8 OOMKilled ECONNREFUSED"), "oauth0 utf0 oom killed econnrefused");
        assert_eq!(words("日本語のエラー、タイムアウト。"), "日本語のエラー タイムアウト");
        assert_eq!(words(""), "");
    }

    #[test]
    fn a_text_without_a_known_feature_is_no_condition_with_confidence() {
        let model = TextModel::shipped().unwrap();
        for text in ["", "    ", "ꙮꙮ ꙮꙮ"] {
            let prediction = model.predict(text);
            assert!(prediction.conditions.iter().all(|(_, probability)| *probability < 0.3), "{prediction:?}");
        }
    }

    #[test]
    fn probabilities_are_a_distribution_and_ordered() {
        let model = TextModel::shipped().unwrap();
        for line in golden() {
            let prediction = model.predict(&line.text);
            assert_eq!(prediction.conditions.len(), CONDITIONS_MAX);
            assert!(prediction.conditions.windows(2).all(|pair| pair[0].1 >= pair[1].1), "{prediction:?}");
            let sum: f64 = probabilities(&model, &line.text).iter().map(|(_, probability)| probability).sum();
            assert!((sum - 1.0).abs() < 1e-9);
            assert!((0.0..=1.0).contains(&prediction.no_condition));
        }
    }

    #[test]
    fn classes_are_unique() {
        let model = TextModel::shipped().unwrap();
        assert_eq!(model.classes.iter().collect::<BTreeSet<_>>().len(), model.classes.len());
        assert!(model.classes.contains(&NO_CONDITION) && model.classes.len() >= 39);
    }

    /// Wordings that stand nowhere in the training texts.
    #[test]
    fn typical_messages_in_new_wordings_are_recognised() {
        let model = TextModel::shipped().unwrap();
        let cases = [
            ("You have sent too many queries this minute, wait before the next one", "rate_limited"),
            ("the peer reset the connection while the body was read", "connection_failed"),
            ("acme.sdk.InvalidTokenError: access token is expired, sign in again", "authentication_failed"),
            ("operation timed out after 12 s", "timeout"),
            ("No module named 'geopandas'", "missing_dependency"),
            ("prompt has 300000 tokens, the context window of the model is 128000 tokens", "context_window_exceeded"),
            ("Der Server ist nicht erreichbar, die Verbindung wurde abgelehnt", "connection_failed"),
        ];
        for (text, condition) in cases {
            let prediction = model.predict(text);
            assert_eq!(prediction.conditions[0].0, condition, "{text}: {prediction:?}");
        }
    }

    #[test]
    fn a_long_text_is_read_in_part() {
        let model = TextModel::shipped().unwrap();
        let text = format!("request failed {} connection refused", "x y 1 ".repeat(1_000_000));
        assert!(words_of(&text).len() <= WORDS_MAX);
        let started = Instant::now();
        let prediction = model.predict(&text);
        assert!(started.elapsed().as_secs() < 2, "{prediction:?}");
    }

    #[test]
    fn a_file_that_is_cut_off_is_an_error() {
        let file: &'static [u8] = include_bytes!("text_model.bin");
        for length in [0, 4, 5, 14, 100, 2_000, 100_000, file.len() - 1] {
            assert!(TextModel::read(file.get(..length).unwrap()).is_err(), "{length}");
        }
    }
}
