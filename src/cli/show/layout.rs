//! Pages of text for a terminal: headings, wrapped paragraphs, and lines of fixed columns.
//!
//! Every text passes through [`Page`], which escapes what a terminal would interpret; only its own styles are escape sequences.

use std::io::IsTerminal;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::escape_control_chars;

/// Columns of a page that is not printed to a terminal.
const WIDTH_DEFAULT: usize = 100;

/// Narrower pages are unreadable, and wider lines are hard to follow.
const WIDTH_MIN: usize = 40;
const WIDTH_MAX: usize = 120;

/// Stands between words of one line.
const NO_BREAK_SPACE: &str = "\u{a0}";

/// How a text is shown on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Style {
    Plain,
    /// Titles and headings.
    Strong,
    /// What failed.
    Alarm,
    /// What can be skipped.
    Quiet,
}

impl Style {
    fn sequence(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\x1b[1m",
            Self::Alarm => "\x1b[31m",
            Self::Quiet => "\x1b[2m",
        }
    }
}

/// A page under construction.
pub(in crate::cli) struct Page {
    width: usize,
    has_styles: bool,
    text: String,
}

impl Page {
    /// A page for stdout: as wide as its terminal, with styles unless `NO_COLOR` is set.
    pub(in crate::cli) fn for_stdout() -> Self {
        let stdout = std::io::stdout();
        let of_terminal = terminal_size::terminal_size_of(&stdout).map(|(width, _)| usize::from(width.0));
        let of_environment = || std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let width = of_terminal.or_else(of_environment).unwrap_or(WIDTH_DEFAULT);
        Self::new(width, stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none())
    }

    pub(in crate::cli) fn new(width: usize, has_styles: bool) -> Self {
        Self { width: width.clamp(WIDTH_MIN, WIDTH_MAX), has_styles, text: String::new() }
    }

    pub(in crate::cli) fn width(&self) -> usize {
        self.width
    }

    pub(in crate::cli) fn into_text(self) -> String {
        self.text
    }

    pub(in crate::cli) fn heading(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.line(&[(text, Style::Strong)]);
    }

    /// A wrapped text that begins with `mark`; its other lines are indented as far.
    pub(in crate::cli) fn paragraph(&mut self, mark: &str, text: &str, style: Style) {
        let mark = clean(mark);
        let indent = mark.width();
        let mut start = mark.clone();
        for line in wrapped(&clean_lines(text), self.width.saturating_sub(indent)) {
            self.line(&[(&start, Style::Plain), (&line.replace(NO_BREAK_SPACE, " "), style)]);
            start = " ".repeat(indent);
        }
    }

    /// Items that are separated by a dot, wrapped between them where possible.
    pub(in crate::cli) fn items(&mut self, mark: &str, items: &[String]) {
        let room = self.width.saturating_sub(columns_of(mark));
        let fits = |item: &String| columns_of(item) + 2 <= room;
        let kept: Vec<String> =
            items.iter().map(|item| clean(item)).map(|item| if fits(&item) { item.replace(' ', NO_BREAK_SPACE) } else { item }).collect();
        self.paragraph(mark, &kept.join(&format!("{NO_BREAK_SPACE}· ")), Style::Plain);
    }

    /// One line of texts side by side, which is not wrapped.
    pub(in crate::cli) fn line(&mut self, parts: &[(&str, Style)]) {
        let last = parts.iter().rposition(|(text, _)| !text.trim_end().is_empty());
        for (index, (text, style)) in parts.iter().enumerate().take_while(|(index, _)| last.is_some_and(|last| *index <= last)) {
            let text = clean(text);
            let text = if last == Some(index) { text.trim_end() } else { text.as_str() };
            let sequence = if self.has_styles { style.sequence() } else { "" };
            self.text.push_str(sequence);
            self.text.push_str(text);
            if !sequence.is_empty() {
                self.text.push_str("\x1b[0m");
            }
        }
        self.text.push('\n');
    }
}

/// A text as one line without anything that a terminal would interpret.
fn clean(text: &str) -> String {
    escape_control_chars(text).replace(['\n', '\t'], " ")
}

fn clean_lines(text: &str) -> String {
    escape_control_chars(text).replace('\t', " ")
}

/// The lines of a text, broken between words so that none is wider than `width` columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        let mut columns = 0;
        for word in paragraph.split(|c: char| c.is_whitespace() && c != '\u{a0}').filter(|word| !word.is_empty()) {
            let mut gap = usize::from(!line.is_empty());
            for (piece, piece_columns) in pieces(word, width) {
                if columns > 0 && columns + gap + piece_columns > width {
                    lines.push(std::mem::take(&mut line));
                    (columns, gap) = (0, 0);
                }
                if gap > 0 {
                    line.push(' ');
                }
                line.push_str(&piece);
                columns += gap + piece_columns;
                gap = 0;
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// A word in pieces that stay together, with their columns: whole if it fits in a line, but Chinese, Japanese and Korean break between characters.
fn pieces(word: &str, width: usize) -> Vec<(String, usize)> {
    let mut pieces: Vec<(String, usize)> = Vec::new();
    let mut after_wide = true;
    for character in word.chars() {
        let columns = character.width().unwrap_or(0);
        let is_wide = columns > 1;
        match pieces.last_mut() {
            // A combining mark stays with its character.
            Some((piece, _)) if columns == 0 => piece.push(character),
            Some((piece, total)) if !is_wide && !after_wide && *total + columns <= width => {
                piece.push(character);
                *total += columns;
            }
            _ => pieces.push((character.into(), columns)),
        }
        if columns > 0 {
            after_wide = is_wide;
        }
    }
    pieces
}

/// A text in exactly `columns` columns: cut with `…`, or filled with spaces.
pub(in crate::cli) fn fitted(text: &str, columns: usize) -> String {
    let text = clean(text);
    let width = text.width();
    if width <= columns {
        return text + &" ".repeat(columns - width);
    }
    let mut kept = String::new();
    let mut total = 0;
    for character in text.chars() {
        let next = character.width().unwrap_or(0);
        if total + next >= columns {
            break;
        }
        kept.push(character);
        total += next;
    }
    kept.push('…');
    kept + &" ".repeat(columns.saturating_sub(total + 1))
}

/// Columns that a text takes on a page.
pub(in crate::cli) fn columns_of(text: &str) -> usize {
    clean(text).width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_never_wider_than_the_page() {
        assert_eq!(wrapped("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrapped("one\ntwo  three", 20), ["one", "two three"]);
        assert_eq!(wrapped(&"x".repeat(25), 10), ["x".repeat(10), "x".repeat(10), "x".repeat(5)]);
        assert_eq!(wrapped("a 漢字漢字漢字 b", 8), ["a 漢字漢", "字漢字 b"]);
        assert_eq!(wrapped("e\u{301}e\u{301}e\u{301}", 2), ["e\u{301}e\u{301}", "e\u{301}"]);
        assert!(wrapped(" \n\t", 10).is_empty());
        let mixed = "tool の結果 is 長い長い長い長い文 and \u{1f600}\u{1f600}\u{1f600} https://example.com/a/very/long/path".repeat(3);
        for width in 1..60 {
            assert!(wrapped(&mixed, width).iter().all(|line| line.width() <= width.max(2)), "{width}");
        }
    }

    #[test]
    fn columns_are_cut_and_filled_by_their_width() {
        for (text, expected) in [("abc", "abc  "), ("abcdef", "abcd…"), ("漢字漢字", "漢字…"), ("a漢字漢", "a漢… "), ("", "     ")]
        {
            assert_eq!(fitted(text, 5), expected);
            assert_eq!(fitted(text, 5).width(), 5);
        }
    }

    #[test]
    fn only_the_page_itself_writes_escape_sequences() {
        for has_styles in [false, true] {
            let mut page = Page::new(60, has_styles);
            page.heading("Title");
            page.paragraph("  \u{1b}[2J ", "red \u{1b}[31m text\u{202e}\nsecond line", Style::Alarm);
            page.line(&[("a\nb\u{9b}", Style::Quiet), ("  ", Style::Plain)]);
            let text = page.into_text();
            let plain = ["\x1b[1m", "\x1b[31m", "\x1b[2m", "\x1b[0m"].iter().fold(text.clone(), |text, style| text.replace(style, ""));
            assert_eq!(text != plain, has_styles);
            assert_eq!(plain, "Title\n  \\u{1b}[2J red \\u{1b}[31m text\\u{202e}\n            second line\na b\\u{9b}\n");
        }
    }

    #[test]
    fn items_are_wrapped_between_each_other() {
        let mut page = Page::new(40, false);
        page.items("  from  ", &["one two\nthree".into(), "four five six seven".into(), "x".repeat(60)]);
        assert_eq!(
            page.into_text(),
            format!("  from  one two three ·\n        four five six seven ·\n        {}\n        {}\n", "x".repeat(32), "x".repeat(28))
        );
    }

    #[test]
    fn a_page_has_a_readable_width() {
        assert_eq!([0, 80, 500].map(|width| Page::new(width, false).width()), [WIDTH_MIN, 80, WIDTH_MAX]);
    }
}
