//! Checks the text of a query before it is parsed: its length, and how deep its syntax tree can become.
//!
//! A chain such as `1 + 1 + …` or `SELECT … UNION ALL SELECT …` becomes a tree as deep as the chain is long, and traversing, cloning or dropping
//! that tree recursively needs stack in proportion. The parser itself bounds nesting in parentheses.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::error::ExceededError;
use crate::limits::{QUERY_BYTES_MAX, QUERY_OPERATORS_MAX};

/// Checks the text of a query.
///
/// # Errors
/// [`ExceededError`] if it is too long or has too many operators. Text that is not SQL is left to the parser.
pub(super) fn check(sql: &str) -> Result<(), ExceededError> {
    if sql.len() > QUERY_BYTES_MAX {
        return Err(ExceededError::Length { found: sql.len() });
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    let found = operators(&tokens);
    if found > QUERY_OPERATORS_MAX { Err(ExceededError::Operators { found }) } else { Ok(()) }
}

/// Counts the tokens that may make the tree one level deeper: all but literals, separators of lists, and plain names.
fn operators(tokens: &[Token]) -> usize {
    let mut tokens = tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).peekable();
    let mut found = 0;
    while let Some(token) = tokens.next() {
        found += usize::from(match token {
            Token::Word(word) => word.keyword != Keyword::NoKeyword,
            // A comma between tables is a join.
            Token::Comma => tokens.peek().is_some_and(|next| matches!(next, Token::Word(_))),
            token => !is_part_of_a_list(token),
        });
    }
    found
}

fn is_part_of_a_list(token: &Token) -> bool {
    matches!(
        token,
        Token::EOF
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::EscapedStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::LParen
            | Token::RParen
            | Token::SemiColon
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_allowed_and_long_chains_are_not() {
        let ids = (0..5_000).map(|number| format!("'{number:032x}'")).collect::<Vec<_>>();
        check(&format!("SELECT * FROM patterns WHERE trace_id IN ({})", ids.join(", "))).unwrap();
        let rows = (0..5_000).map(|number| format!("({number}, 'x')")).collect::<Vec<_>>();
        check(&format!("SELECT * FROM (VALUES {}) AS t (a, b)", rows.join(","))).unwrap();
        for (start, link) in [
            ("SELECT 1", "+1"),
            ("SELECT 1", " UNION ALL SELECT 1"),
            ("SELECT true", " AND true"),
            ("SELECT 1", " IS NULL"),
            ("SELECT 1", "::INT"),
            ("SELECT a", "[1]"),
            ("SELECT a", ".b"),
            ("SELECT 1 FROM t", ", t x"),
            ("SELECT 1 FROM t", " JOIN t"),
            ("SELECT 1 FROM t", ", (SELECT 1) x"),
        ] {
            let chain = format!("{start}{}", link.repeat(QUERY_OPERATORS_MAX + 1));
            assert!(matches!(check(&chain), Err(ExceededError::Operators { .. })), "{link}");
        }
        assert!(matches!(check(&"x".repeat(QUERY_BYTES_MAX + 1)), Err(ExceededError::Length { .. })));
    }
}
