//! Finds values in table cells by the names of their columns: CSV, tables drawn with `|`, SQL `INSERT`, HTML tables.
//!
//! A label in a header starts it; the rows below are then read once, each cell according to the type of its column.

use std::ops::Range;

use super::labels::{Label, ValueType, label_at};
use super::literals::{LabelRule, Literals, RuleRef, ScanControl};
use super::names::{self, NameMatch};
use super::secrets::is_placeholder;
use super::text::Text;
use super::values::{is_document_code, is_non_secret_word};
use super::{Match, numbers};

/// Rows that are read as a table, to bound the work.
const ROWS_MAX: usize = 20_000;
/// Columns of a table.
const COLUMNS_MAX: usize = 64;
/// Length of a header line.
const HEADER_BYTES_MAX: usize = 2000;

/// The tables of one text that were read so far, while its labels are visited in order.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// End of the last table that was read.
    read_until: usize,
    /// End of the last line that was checked for a header.
    header_checked_until: usize,
    /// Start of the last list in parentheses that was checked for the columns of an `INSERT`.
    insert_checked_at: Option<usize>,
}

impl Tables {
    /// Reads the table whose header contains the label, unless it was already read.
    pub(super) fn match_table_of_label(&mut self, literals: &Literals, text: Text<'_>, label: &Label, matches: &mut Vec<Match>) {
        let start = label.identifier.start;
        if start < self.read_until {
            return;
        }
        let after = text.skip_while(label.identifier.end, 4, |byte| matches!(byte, b' ' | b'"' | b'`' | b'\'' | b'*'));
        let before = text.skip_back_while(start, 4, |byte| matches!(byte, b' ' | b'"' | b'`' | b'\'' | b'*'));
        let is_cell = |byte: u8| matches!(byte, b',' | b';' | b'|' | b'\t');
        if text.rest(after).starts_with("</th>") {
            self.html(literals, text, start, matches);
        } else if is_cell(text.byte_at(after))
            || is_cell(text.byte_before(before))
            || text.byte_at(after) == b')'
            || text.byte_before(before) == b'('
        {
            self.lines(literals, text, start, matches);
        }
    }

    /// CSV, TSV, and tables drawn with bars.
    fn lines(&mut self, literals: &Literals, text: Text<'_>, at: usize, matches: &mut Vec<Match>) {
        let left = text.start_after_last(at, 1000, [b'\n', b'(']);
        if text.byte_before(left) == b'(' {
            self.insert(literals, text, left, matches);
            return;
        }
        if at < self.header_checked_until {
            return;
        }
        let line = text.start_after_last(at, HEADER_BYTES_MAX, [b'\n', b'\n']);
        let end = text.find_byte(at, HEADER_BYTES_MAX, b'\n');
        self.header_checked_until = end;
        if end - line >= HEADER_BYTES_MAX {
            return;
        }
        let header = text.slice(line..end);
        let separator = ['|', '\t', ';', ','].into_iter().find(|c| header.contains(*c)).unwrap_or(',');
        let next = text.slice(end + 1..text.line_end((end + 1).min(text.len())).max(end + 1).min(text.len()));
        let is_ruled = next.len() > 2 && next.bytes().all(|byte| matches!(byte, b'-' | b'|' | b'+' | b':' | b' ' | b'=' | b'\r'));
        // `name | Ada` without a ruled second line is a form whose first column has the labels, not a table with a header.
        if separator == '|' && !is_ruled {
            return;
        }
        let header = header.get(header_start(header, separator)..).unwrap_or_default();
        let columns = columns_of(literals, header, separator);
        if columns.iter().filter(|column| column.is_some()).count() == 0 || columns.len() < 2 {
            return;
        }
        let mut row_start = end + 1;
        for _ in 0..ROWS_MAX {
            if row_start >= text.len() {
                break;
            }
            let row_end = text.line_end(row_start);
            let row = text.slice(row_start..row_end);
            let is_rule = !row.is_empty() && row.bytes().all(|byte| matches!(byte, b'-' | b'|' | b'+' | b':' | b' ' | b'='));
            if !is_rule {
                let cells = cells_of(row, separator);
                let fits = cells.len() == columns.len()
                    || (matches!(separator, '|' | '\t') && cells.len() + 1 >= columns.len() && cells.len() > 1);
                // The last row may be followed by the end of the JSON field that contains the table, and its last cell by further commas.
                let is_last = !fits && cells.len() > columns.len() && row.contains(['"', '}']);
                if fits || is_last {
                    read_row(text, row_start, &cells, &columns, matches);
                }
                if !fits {
                    break;
                }
            }
            row_start = row_end + 1;
        }
        self.read_until = row_start.min(text.len());
    }

    /// `INSERT INTO t (a, b) VALUES (…), (…)`
    fn insert(&mut self, literals: &Literals, text: Text<'_>, open: usize, matches: &mut Vec<Match>) {
        if self.insert_checked_at == Some(open) {
            return;
        }
        self.insert_checked_at = Some(open);
        let close = text.find_byte(open, 2000, b')');
        let rest = text.window(close, 40);
        let Some(values) = rest.to_ascii_lowercase().find("values") else {
            return;
        };
        let columns = columns_of(literals, text.slice(open..close), ',');
        self.read_until = close;
        if columns.iter().all(Option::is_none) {
            return;
        }
        let mut at = close + values + "values".len();
        for _ in 0..ROWS_MAX {
            at = text.skip_while(at, 16, |byte| byte.is_ascii_whitespace() || byte == b',');
            if text.byte_at(at) != b'(' {
                break;
            }
            let row_start = at + 1;
            let row_end = end_of_tuple(text, row_start);
            let cells = cells_of(text.slice(row_start..row_end), ',');
            if cells.len() == columns.len() {
                read_row(text, row_start, &cells, &columns, matches);
            }
            at = row_end + 1;
        }
        self.read_until = at.min(text.len());
    }

    fn html(&mut self, literals: &Literals, text: Text<'_>, at: usize, matches: &mut Vec<Match>) {
        let mut columns = Vec::new();
        let from = text.0.floor_char_boundary(at.saturating_sub(1000));
        let start = text.slice(from..at).rfind("<tr").map_or(from, |index| from + index);
        let mut cursor = start;
        let head_end = text.window(start, 4000).find("</tr>").map_or(start, |index| start + index);
        while let Some(cell) = text.slice(cursor..head_end).find("<th") {
            let open = text.skip_while(cursor + cell, 200, |byte| byte != b'>') + 1;
            let close = text.skip_while(open, 200, |byte| byte != b'<');
            columns.push(column_of(literals, text.slice(open..close).trim()));
            cursor = close.max(open);
            if columns.len() > COLUMNS_MAX {
                return;
            }
        }
        self.read_until = head_end;
        if columns.iter().all(Option::is_none) {
            return;
        }
        let mut index = 0;
        let mut at = head_end;
        for _ in 0..ROWS_MAX {
            let rest = text.rest(at);
            let Some(next) = memchr::memmem::find(rest.as_bytes(), b"<t") else { break };
            at += next;
            if text.rest(at).starts_with("<tr") {
                index = 0;
                at += 3;
            } else if text.rest(at).starts_with("<td") {
                let mut open = text.skip_while(at, 200, |byte| byte != b'>') + 1;
                // The value may be inside another tag: `<td><a href="…">value</a></td>`.
                while text.byte_at(open) == b'<' && text.byte_at(open + 1) != b'/' {
                    open = text.skip_while(open, 400, |byte| byte != b'>') + 1;
                }
                let close = text.skip_while(open, 400, |byte| byte != b'<');
                if let Some(Some(column)) = columns.get(index) {
                    read_cell(text, open..close, *column, matches);
                }
                index += 1;
                at = close.max(at + 3);
            } else if text.rest(at).starts_with("<th") {
                break;
            } else {
                at += 2;
            }
        }
        self.read_until = at;
    }
}

fn read_row(text: Text<'_>, start: usize, cells: &[Range<usize>], columns: &[Option<LabelRule>], matches: &mut Vec<Match>) {
    for (cell, column) in cells.iter().zip(columns) {
        if let Some(column) = column {
            read_cell(text, start + cell.start..start + cell.end, *column, matches);
        }
    }
}

/// The start of the header in its line, after the speaker of a transcript (`User: `) or the quote of a JSON field.
fn header_start(line: &str, separator: char) -> usize {
    let first_cell = line.get(..line.find(separator).unwrap_or(0)).unwrap_or_default();
    let after_speaker = first_cell.rfind(": ").map_or(0, |at| at + 2);
    let quotes = first_cell.matches('"').count();
    let after_quote = if quotes % 2 == 1 { first_cell.rfind('"').map_or(0, |at| at + 1) } else { 0 };
    after_speaker.max(after_quote)
}

/// The columns of a header with the rules of those that have a label; empty if a cell cannot be a column name.
fn columns_of(literals: &Literals, header: &str, separator: char) -> Vec<Option<LabelRule>> {
    let cells = cells_of(header, separator);
    if cells.len() > COLUMNS_MAX {
        return Vec::new();
    }
    let cells_count = cells.len();
    let mut columns = Vec::with_capacity(cells_count);
    for cell in cells {
        let name = header.get(cell).unwrap_or_default().trim_matches(['"', '\'', '`', ' ', '*']);
        let is_name =
            name.len() <= 48 && name.split(' ').count() <= 5 && name.chars().all(|c| c.is_alphanumeric() || " _-./#()?".contains(c));
        if !is_name {
            return Vec::new();
        }
        if name.is_empty() && cells_count > 2 || !header.contains(char::is_alphabetic) {
            return Vec::new();
        }
        columns.push(column_of(literals, name));
    }
    // `Dear Ada,` is a salutation, not two columns.
    if columns.len() == 2 && header.trim_end().ends_with(separator) {
        return Vec::new();
    }
    columns
}

/// The rule of the longest label in the name of a column.
fn column_of(literals: &Literals, name: &str) -> Option<LabelRule> {
    // A label of two letters is found with the character after it.
    let name = &format!("{name} ");
    let text = Text(name);
    let mut best: Option<(usize, LabelRule)> = None;
    literals.scan(name, &mut |literal, rule| {
        let RuleRef::Label(index) = rule else { return ScanControl::NextRule };
        let Some(rule) = literals.labels.get(index).copied() else { return ScanControl::NextRule };
        let len = literal.len();
        let fits = label_at(text, literal, rule).is_some();
        if fits && best.is_none_or(|(longest, _)| len > longest) {
            best = Some((len, rule));
        }
        ScanControl::skip_if(fits)
    });
    best.map(|(_, rule)| rule)
}

/// The cells of a row, without outer bars. Separators inside quotes do not count.
fn cells_of(row: &str, separator: char) -> Vec<Range<usize>> {
    let mut cells = Vec::new();
    let (mut start, mut quote) = (0, None);
    // Separators and quotes are bytes of ASCII, which occur in no other character.
    let separator_byte = u8::try_from(separator).unwrap_or(b',');
    for (at, byte) in row.bytes().enumerate() {
        match quote {
            Some(open) if byte == open => quote = None,
            // A quote opens a cell only at its start: the apostrophe in `O'Neil` does not.
            None if matches!(byte, b'"' | b'\'')
                && matches!(separator, ',' | ';')
                && row.get(start..at).is_some_and(|left| left.trim().is_empty()) =>
            {
                quote = Some(byte);
            }
            None if byte == separator_byte => {
                cells.push(start..at);
                start = at + 1;
                if cells.len() > COLUMNS_MAX {
                    break;
                }
            }
            _ => {}
        }
    }
    cells.push(start..row.len());
    if separator == '|' && cells.len() > 2 {
        let is_empty =
            |cell: Option<&Range<usize>>| cell.is_some_and(|cell| row.get(cell.clone()).is_some_and(|text| text.trim().is_empty()));
        if is_empty(cells.last()) {
            cells.pop();
        }
        if is_empty(cells.first()) {
            cells.remove(0);
        }
    }
    cells
}

/// The end of an `INSERT` tuple that starts at `start`: the first closing parenthesis outside quotes.
fn end_of_tuple(text: Text<'_>, start: usize) -> usize {
    const TUPLE_BYTES_MAX: usize = 8192;
    let end = text.len().min(start + TUPLE_BYTES_MAX);
    let (mut at, mut in_quote) = (start, false);
    while at < end && (in_quote || text.byte_at(at) != b')') {
        in_quote ^= text.byte_at(at) == b'\'';
        at += 1;
    }
    at
}

fn read_cell(text: Text<'_>, range: Range<usize>, column: LabelRule, matches: &mut Vec<Match>) {
    let shown = text.slice(range.clone());
    let trimmed = shown.trim_matches(['"', '\'', '`', ' ', '*', '\r', '\t']);
    if trimmed.is_empty() {
        return;
    }
    let start = range.start + shown.find(trimmed).unwrap_or(0);
    let range = start..start + trimmed.len();
    let digits = trimmed.bytes().filter(u8::is_ascii_digit).count();
    // Header and value must agree: a column `phone` may also contain `yes`, and `key` many harmless values.
    let is_match = match column.value_type {
        ValueType::Person | ValueType::WeakPerson => {
            let name_match = names::match_field_value(text, range, true);
            if let Some(NameMatch::Certain(range)) = name_match {
                matches.push(Match { range, kind: "person", detector: "table column" });
            }
            return;
        }
        ValueType::Phone => (7..=15).contains(&digits) && numbers::phone_shaped(text, range.start, 7).is_some(),
        ValueType::Date => digits >= 4,
        ValueType::Id | ValueType::Iban => (digits >= 4 && trimmed.len() <= 40) || is_document_code(trimmed),
        ValueType::Account | ValueType::Card | ValueType::WeakAccount => digits >= 6 && trimmed.len() <= 40,
        ValueType::WeakId => digits >= 5 && trimmed.len() >= 7 && trimmed.len() <= 40 && !trimmed.contains(' '),
        ValueType::Pin => (3..=8).contains(&digits) && digits == trimmed.len(),
        ValueType::LastDigits => digits == 4 && trimmed.len() == 4,
        ValueType::Expiry => digits >= 3 && trimmed.contains('/') && trimmed.len() <= 7,
        ValueType::PostalCode => digits >= 2 && (4..=10).contains(&trimmed.len()),
        ValueType::Answer => trimmed.len() >= 3 && !is_placeholder(trimmed) && !is_non_secret_word(trimmed),
        ValueType::Address => trimmed.len() >= 6 && trimmed.contains(' ') && !trimmed.contains("://"),
        ValueType::Password | ValueType::AssignedPassword | ValueType::Secret => {
            // A plain word is a password in the column of passwords, but a column `pass` has many other values.
            let is_plain = column.value_type == ValueType::Password && trimmed.len() >= 5 && !trimmed.contains('(');
            trimmed.len() >= 4
                && !trimmed.contains(' ')
                && !is_placeholder(trimmed)
                && !is_non_secret_word(trimmed)
                && (digits > 0 || is_plain)
        }
        ValueType::Key => super::secrets::looks_random(trimmed) && !is_placeholder(trimmed),
        ValueType::Authorization
        | ValueType::Pair
        | ValueType::EncodedPair
        | ValueType::Cookie
        | ValueType::Seed
        | ValueType::PersonNumber
        | ValueType::CodedId
        | ValueType::Segment
        | ValueType::Coordinate => false,
    };
    if is_match {
        matches.push(Match { range, kind: column.kind, detector: "table column" });
    }
}
