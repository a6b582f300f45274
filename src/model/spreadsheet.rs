//! Text for spreadsheet cells.

use std::borrow::Cow;

/// A cell text that a spreadsheet does not evaluate as a formula: an apostrophe in front makes it text (OWASP, "CSV Injection"). Numbers stay
/// numbers.
pub fn without_formula(cell: &str) -> Cow<'_, str> {
    // The last four are the full-width forms of `=`, `+`, `-` and `@`, which some spreadsheets accept.
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    if is_formula && cell.parse::<f64>().is_err() { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formula_becomes_text_and_a_number_stays_one() {
        for formula in ["=cmd()", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "\u{ff1d}1"] {
            assert_eq!(without_formula(formula), format!("'{formula}"));
        }
        for plain in ["", "-5", "+3.5", "-1e9", "a=b", "'=x", " =1"] {
            assert_eq!(without_formula(plain), plain);
        }
    }
}
