//! Columns: the header of a CSV text, of a table drawn with bars, of an SQL `INSERT` or of an HTML table says what the cells below it are.

use std::ops::Range;

use super::labels::{Label, Shape, label_at};
use super::literals::{LabelKind, Literals, Next, Role};
use super::names::{self, Verdict};
use super::secrets::is_placeholder;
use super::text::Text;
use super::{Found, numbers};

/// Rows past this are not read as a table any more, so that work stays bounded.
const ROWS_MAX: usize = 20_000;
const COLUMNS_MAX: usize = 64;
/// A longer line is no header.
const HEADER_BYTES_MAX: usize = 2000;

/// What is known of the tables of one text while its labels are gone through.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// Where the last table that was read ends.
    done: usize,
    /// Where the last line ends that is no header.
    no_header_before: usize,
    /// Where the last list in brackets opens that is no header of an `INSERT`.
    no_insert_at: Option<usize>,
}

impl Tables {
    /// Reads the table in whose header a label stands, once.
    pub(super) fn of_label(&mut self, literals: &Literals, text: Text<'_>, label: &Label, hits: &mut Vec<Found>) {
        let start = label.identifier.start;
        if start < self.done {
            return;
        }
        let after = text.skip(label.identifier.end, 4, |byte| matches!(byte, b' ' | b'"' | b'`' | b'\'' | b'*'));
        let before = text.skip_back(start, 4, |byte| matches!(byte, b' ' | b'"' | b'`' | b'\'' | b'*'));
        let is_cell = |byte: u8| matches!(byte, b',' | b';' | b'|' | b'\t');
        if text.rest(after).starts_with("</th>") {
            self.html(literals, text, start, hits);
        } else if is_cell(text.at(after)) || is_cell(text.before(before)) || text.at(after) == b')' || text.before(before) == b'(' {
            self.lines(literals, text, start, hits);
        }
    }

    fn lines(&mut self, literals: &Literals, text: Text<'_>, at: usize, hits: &mut Vec<Found>) {
        let left = text.left_of(at, 1000, [b'\n', b'(']);
        if text.before(left) == b'(' {
            self.insert(literals, text, left, hits);
            return;
        }
        if at < self.no_header_before {
            return;
        }
        let line = text.left_of(at, HEADER_BYTES_MAX, [b'\n', b'\n']);
        let end = text.find_within(at, HEADER_BYTES_MAX, b'\n');
        // Whatever else stands in this line.
        self.no_header_before = end;
        if end - line >= HEADER_BYTES_MAX {
            return;
        }
        let header = text.slice(line..end);
        let separator = ['|', '\t', ';', ','].into_iter().find(|sign| header.contains(*sign)).unwrap_or(',');
        let next = text.slice(end + 1..text.line_end((end + 1).min(text.len())).max(end + 1).min(text.len()));
        let is_ruled = next.len() > 2 && next.bytes().all(|byte| matches!(byte, b'-' | b'|' | b'+' | b':' | b' ' | b'=' | b'\r'));
        // Bars also draw forms, whose first column names the fields.
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
                // The last row may be followed by the end of the field that the table stands in.
                let is_last = !fits && cells.len() > columns.len() && row.contains(['"', '}']);
                if fits || is_last {
                    self.row(text, row_start, &cells, &columns, hits);
                }
                if !fits {
                    break;
                }
            }
            row_start = row_end + 1;
        }
        self.done = row_start.min(text.len());
    }

    /// `INSERT INTO t (a, b) VALUES (…), (…)`
    fn insert(&mut self, literals: &Literals, text: Text<'_>, open: usize, hits: &mut Vec<Found>) {
        if self.no_insert_at == Some(open) {
            return;
        }
        self.no_insert_at = Some(open);
        let close = text.find_within(open, 2000, b')');
        let rest = text.window(close, 40);
        let Some(values) = rest.to_ascii_lowercase().find("values") else {
            return;
        };
        let columns = columns_of(literals, text.slice(open..close), ',');
        self.done = close;
        if columns.iter().all(Option::is_none) {
            return;
        }
        let mut at = close + values + "values".len();
        for _ in 0..ROWS_MAX {
            at = text.skip(at, 16, |byte| byte.is_ascii_whitespace() || byte == b',');
            if text.at(at) != b'(' {
                break;
            }
            let row_start = at + 1;
            let row_end = end_of_tuple(text, row_start);
            let cells = cells_of(text.slice(row_start..row_end), ',');
            if cells.len() == columns.len() {
                self.row(text, row_start, &cells, &columns, hits);
            }
            at = row_end + 1;
        }
        self.done = at.min(text.len());
    }

    fn html(&mut self, literals: &Literals, text: Text<'_>, at: usize, hits: &mut Vec<Found>) {
        let mut columns = Vec::new();
        let from = text.0.floor_char_boundary(at.saturating_sub(1000));
        let start = text.slice(from..at).rfind("<tr").map_or(from, |index| from + index);
        let mut cursor = start;
        let head_end = text.window(start, 4000).find("</tr>").map_or(start, |index| start + index);
        while let Some(cell) = text.slice(cursor..head_end).find("<th") {
            let open = text.skip(cursor + cell, 200, |byte| byte != b'>') + 1;
            let close = text.skip(open, 200, |byte| byte != b'<');
            columns.push(column_of(literals, text.slice(open..close).trim()));
            cursor = close.max(open);
            if columns.len() > COLUMNS_MAX {
                return;
            }
        }
        self.done = head_end;
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
                let mut open = text.skip(at, 200, |byte| byte != b'>') + 1;
                // `<td><a href="…">value</a></td>`
                while text.at(open) == b'<' && text.at(open + 1) != b'/' {
                    open = text.skip(open, 400, |byte| byte != b'>') + 1;
                }
                let close = text.skip(open, 400, |byte| byte != b'<');
                if let Some(Some(column)) = columns.get(index) {
                    read_cell(text, open..close, *column, hits);
                }
                index += 1;
                at = close.max(at + 3);
            } else if text.rest(at).starts_with("<th") {
                break;
            } else {
                at += 2;
            }
        }
        self.done = at;
    }

    #[expect(clippy::unused_self, reason = "reads like the other steps")]
    fn row(&self, text: Text<'_>, start: usize, cells: &[Range<usize>], columns: &[Option<LabelKind>], hits: &mut Vec<Found>) {
        for (cell, column) in cells.iter().zip(columns) {
            if let Some(column) = column {
                read_cell(text, start + cell.start..start + cell.end, *column, hits);
            }
        }
    }
}

/// Where the header begins in its line: a transcript or a JSON field may stand before it.
fn header_start(line: &str, separator: char) -> usize {
    let first_cell = line.get(..line.find(separator).unwrap_or(0)).unwrap_or_default();
    let said = first_cell.rfind(": ").map_or(0, |at| at + 2);
    let quotes = first_cell.matches('"').count();
    let after_quote = if quotes % 2 == 1 { first_cell.rfind('"').map_or(0, |at| at + 1) } else { 0 };
    said.max(after_quote)
}

/// The columns of a header; empty where a part is no name of a column.
fn columns_of(literals: &Literals, header: &str, separator: char) -> Vec<Option<LabelKind>> {
    let cells = cells_of(header, separator);
    if cells.len() > COLUMNS_MAX {
        return Vec::new();
    }
    let cells_count = cells.len();
    let mut columns = Vec::with_capacity(cells_count);
    for cell in cells {
        let name = header.get(cell).unwrap_or_default().trim_matches(['"', '\'', '`', ' ', '*']);
        let is_name = name.len() <= 48
            && name.split(' ').count() <= 5
            && name.chars().all(|sign| sign.is_alphanumeric() || " _-./#()?".contains(sign));
        if !is_name {
            return Vec::new();
        }
        if name.is_empty() && cells_count > 2 || !header.contains(char::is_alphabetic) {
            return Vec::new();
        }
        columns.push(column_of(literals, name));
    }
    if columns.len() == 2 && header.trim_end().ends_with(separator) {
        return Vec::new();
    }
    columns
}

/// What a column holds by its name.
fn column_of(literals: &Literals, name: &str) -> Option<LabelKind> {
    let text = Text(name);
    let mut best: Option<(usize, LabelKind)> = None;
    literals.scan(name, &mut |hit, role| {
        let Role::Label(index) = role else { return Next::Here };
        let Some(kind) = literals.labels.get(index).copied() else { return Next::Here };
        let len = hit.len();
        let fits = label_at(text, hit, kind.shape).is_some();
        if fits && best.is_none_or(|(longest, _)| len > longest) {
            best = Some((len, kind));
        }
        Next::after(fits)
    });
    best.map(|(_, kind)| kind)
}

/// The cells of a row, without the bars around it; quotes protect separators.
fn cells_of(row: &str, separator: char) -> Vec<Range<usize>> {
    let mut cells = Vec::new();
    let (mut start, mut quote) = (0, None);
    for (at, sign) in row.char_indices() {
        match quote {
            Some(open) if sign == open => quote = None,
            // An apostrophe in a word opens nothing.
            None if matches!(sign, '"' | '\'')
                && matches!(separator, ',' | ';')
                && row.get(start..at).is_some_and(|left| left.trim().is_empty()) =>
            {
                quote = Some(sign);
            }
            None if sign == separator => {
                cells.push(start..at);
                start = at + sign.len_utf8();
            }
            _ => {}
        }
        if cells.len() > COLUMNS_MAX {
            break;
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

/// Where the values of an `INSERT` end that begin at `start`: at the bracket that stands in no quotes.
fn end_of_tuple(text: Text<'_>, start: usize) -> usize {
    const TUPLE_BYTES_MAX: usize = 8192;
    let end = text.len().min(start + TUPLE_BYTES_MAX);
    let (mut at, mut in_quote) = (start, false);
    while at < end && (in_quote || text.at(at) != b')') {
        in_quote ^= text.at(at) == b'\'';
        at += 1;
    }
    at
}

fn read_cell(text: Text<'_>, range: Range<usize>, column: LabelKind, hits: &mut Vec<Found>) {
    let shown = text.slice(range.clone());
    let trimmed = shown.trim_matches(['"', '\'', '`', ' ', '*', '\r', '\t']);
    if trimmed.is_empty() {
        return;
    }
    let start = range.start + shown.find(trimmed).unwrap_or(0);
    let range = start..start + trimmed.len();
    let digits = trimmed.bytes().filter(u8::is_ascii_digit).count();
    let whole = match column.shape {
        Shape::Person | Shape::WeakPerson => {
            let verdict = names::in_field(text, range, true);
            if let Some(Verdict::Name(range)) = verdict {
                hits.push(Found { range, kind: "person", why: "column of a table" });
            }
            return;
        }
        Shape::Phone => (7..=15).contains(&digits) && numbers::phone_shaped(text, range.start, 7).is_some(),
        Shape::Date => digits >= 4,
        Shape::Id | Shape::Iban => digits >= 4 && trimmed.len() <= 40,
        Shape::Account | Shape::Card => digits >= 6 && trimmed.len() <= 40,
        Shape::Address => trimmed.len() >= 6 && trimmed.contains(' ') && !trimmed.contains("://"),
        Shape::Password | Shape::AssignedPassword | Shape::Secret => {
            trimmed.len() >= 4 && !trimmed.contains(' ') && !is_placeholder(trimmed) && digits > 0
        }
        Shape::Key => super::secrets::looks_random(trimmed) && !is_placeholder(trimmed),
        Shape::Authorization | Shape::Cookie | Shape::Seed | Shape::Coordinate => false,
    };
    if whole {
        hits.push(Found { range, kind: column.kind, why: "column of a table" });
    }
}
