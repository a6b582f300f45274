//! What the error of a database says: the table, the column, the constraint and the lock, in the words of `PostgreSQL`, `MySQL`, `SQLite`, SQL Server,
//! Oracle, `MongoDB` and the drivers of them.

use super::super::byte_regex::ByteRegex;
use super::find::{add_from_messages, expressions};
use super::names::{FactName, fact_names};
use super::{Case, Extractor, Facts, Place, shortened};

fact_names! {
    TABLE = "db_table", Text, "the table of the database";
    COLUMN = "db_column", Text, "the column of the table";
    CONSTRAINT = "db_constraint", Text, "the constraint that was violated";
    DUPLICATE_KEY = "db_key_value", Text, "the value that violated the constraint";
    BLOCKED_BY = "blocked_by_process", Text, "the process that blocked the statement";
    WAITING = "waiting_process", Text, "the process that waited";
    LOCK = "lock_mode", Text, "the lock that was waited for";
    DATABASE = "db_name", Text, "the database";
    SYNTAX_NEAR = "syntax_error_near", Text, "the word at which the statement does not parse";
    STATEMENT = "db_statement", Text, "the statement of the database";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

const IN_MESSAGES: &[(&FactName, &ByteRegex)] = &[
    (&TABLE, &TABLE_IN_TEXT),
    (&COLUMN, &COLUMN_IN_TEXT),
    (&CONSTRAINT, &CONSTRAINT_IN_TEXT),
    (&DUPLICATE_KEY, &KEY_IN_TEXT),
    (&BLOCKED_BY, &BLOCKED_BY_IN_TEXT),
    (&WAITING, &WAITING_IN_TEXT),
    (&LOCK, &LOCK_IN_TEXT),
    (&DATABASE, &DATABASE_IN_TEXT),
    (&SYNTAX_NEAR, &NEAR_IN_TEXT),
];

// Names are quoted in most messages; without quotes a word is read only where the grammar of the message leaves no other.
expressions! {
    TABLE_IN_TEXT =
        r#"(?i)(?-u:\b)(?:relation|table|view) \\?["'`»]([A-Za-z_][A-Za-z0-9_.$-]{0,79})\\?["'`«]|(?-u:\b)no such table: ([A-Za-z_][A-Za-z0-9_.]{0,79})|(?-u:\b)UNIQUE constraint failed: ([A-Za-z_][A-Za-z0-9_]{0,63})\.[A-Za-z0-9_]|(?-u:\b)NOT NULL constraint failed: ([A-Za-z_][A-Za-z0-9_]{0,63})\.[A-Za-z0-9_]"#,
        r#"|(?-u:\b)object '([A-Za-z_][A-Za-z0-9_.]{0,79})'|(?-u:\b)invalid object name '([A-Za-z_][A-Za-z0-9_.]{0,79})'|(?-u:\b)object name: "?([A-Za-z_][A-Za-z0-9_.]{0,79})|(?-u:\b)duplicate key error collection: ([A-Za-z_][A-Za-z0-9_.-]{0,79})"#,
        r"|(?-u:\b)in table:? ([a-z][A-Za-z0-9_]*_[A-Za-z0-9_]+|[A-Za-z0-9_]+\.[A-Za-z0-9_]+)(?-u:\b)|(?-u:\b)table [`']?([a-z][A-Za-z0-9_]*\.[A-Za-z0-9_]+)[`']? |(?-u:\b)fails \(`[^`\n]{1,63}`\.`([^`\n]{1,63})`";
    COLUMN_IN_TEXT =
        r#"(?i)(?-u:\b)column:? \\?["'`»]?([A-Za-z_][A-Za-z0-9_.]{0,79})\\?["'`«]?(?: of relation| does not exist| cannot be null| in ['"]|, table)|(?-u:\b)column \\?["'`]([A-Za-z_][A-Za-z0-9_.]{0,79})\\?["'`]|(?-u:\b)unknown column ['"`]([^'"`\n]{1,80})"#,
        r#"|(?-u:\b)no such column: ([A-Za-z_][A-Za-z0-9_.]{0,79})|(?-u:\b)invalid column name ['"]([^'"\n]{1,80})|(?-u:\b)constraint failed: [A-Za-z0-9_]{1,63}\.([A-Za-z0-9_]{1,63})|(?-u:\b)(?:data too long|out of range value|incorrect [A-Za-z0-9_]{1,12} value: '[^'\n]{0,80}') for column ['"`]([^'"`\n]{1,80})"#;
    CONSTRAINT_IN_TEXT =
        r#"(?i)(?-u:\b)constraint:? \\?["'`»]([A-Za-z_][A-Za-z0-9_.$-]{0,127})\\?["'`«]|(?-u:\b)unique constraint \(([A-Za-z0-9_.$]{1,127})\)|(?-u:\b)for key ['"`]([^'"`\n]{1,127})|(?-u:\b)dup key.{0,12}index: ([A-Za-z0-9_.$-]{1,127})|(?-u:\b)index: ([A-Za-z_][A-Za-z0-9_.$-]{0,127}) dup key|(?-u:\b)((?:UNIQUE|NOT NULL|CHECK|FOREIGN KEY|PRIMARY KEY) constraint) failed(?-u:\b)"#;
    KEY_IN_TEXT =
        r#"(?i)(?-u:\b)key \([^)\n]{1,120}\)=\(([^)\n]{1,120})\)|(?-u:\b)duplicate entry '([^'\n]{1,120})'|(?-u:\b)duplicate key value is \(([^)\n]{1,120})\)|(?-u:\b)dup key: (\{[^}\n]{1,120}\})"#;
    BLOCKED_BY_IN_TEXT = r"(?i)(?-u:\b)blocked by (?:process|pid|session|spid|transaction)(?: id)?:? ?#?([0-9]{1,12})";
    WAITING_IN_TEXT = r"(?i)(?-u:\b)(?:process|pid|session|spid)(?: id)? ?#?([0-9]{1,12})\)? (?:waits for|was deadlocked|is waiting|waiting for)|(?-u:\b)transaction \(process id ([0-9]{1,12})\)";
    LOCK_IN_TEXT = r"(?-u:\b)waits for ([A-Za-z0-9_]{4,30}Lock)(?-u:\b)|(?-u:\b)mode ['\x22]?([A-Za-z0-9_]{4,30}Lock)(?-u:\b)|(?i)(?-u:\b)(lock wait timeout|database (?:table )?is locked|could not obtain lock|metadata lock)(?-u:\b)";
    DATABASE_IN_TEXT = r#"(?i)(?-u:\b)(?:database|catalog|schema) \\?["'`]([A-Za-z_][A-Za-z0-9_.$-]{0,79})\\?["'`]"#;
    NEAR_IN_TEXT = r#"(?i)(?-u:\b)syntax error (?:at or )?near \\?["'`]([^"'`\n]{1,60})\\?["'`]|(?-u:\b)near \\?["']([^"'\n]{1,60})\\?["']: syntax error|(?-u:\b)to use near ['"]([^'"\n]{1,60})|(?-u:\b)incorrect syntax near ['"]([^'"\n]{1,60})|(?-u:\b)mismatched input ['"]([^'"\n]{1,60})"#;
}

/// Whether a text is about a database. The words that name a table or a column also occur in other messages.
fn is_of_database(text: &str) -> bool {
    const WORDS: [&str; 38] = [
        "relation \"",
        "relation »",
        "sqlstate",
        "psycopg",
        "sqlalchemy",
        "sqlite",
        "mysql",
        "postgres",
        "asyncpg",
        "ora-0",
        "ora-1",
        "deadlock",
        "constraint",
        "duplicate key",
        "duplicate entry",
        "syntax error at",
        "syntax error near",
        ": syntax error",
        "no such table",
        "no such column",
        "unknown column",
        "column \"",
        "invalid column",
        "invalid object",
        "e11000",
        "sharelock",
        "exclusivelock",
        "lock wait",
        "is locked",
        "[sql:",
        "odbc",
        "jdbc",
        "sqlserver",
        "bigquery",
        "snowflake",
        "pg::",
        "does not exist\nline",
        "sql compilation",
    ];
    let text = text.to_ascii_lowercase();
    WORDS.iter().any(|word| text.contains(word))
}

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    const STATEMENT_CHARS_MAX: usize = 140;
    let is_wanted = matches!(case.label.category(), "tool_failure" | "tool_misuse" | "environment_error" | "retrieval_failure");
    let (Some(incident), true) = (case.root, is_wanted) else { return };
    let kind = incident.error_type.as_deref().unwrap_or_default();
    if !case.messages().any(|(_, text)| is_of_database(text)) && !is_of_database(kind) {
        return;
    }
    add_from_messages(case, facts, IN_MESSAGES);
    // The statement is recorded by the span of the driver, below the step or the step itself.
    let below = case.tree.children(incident.index).iter().filter_map(|child| case.trace.spans.get(*child)).take(8);
    for span in std::iter::once(incident.span).chain(below.filter(|span| span.failed())) {
        let found = ["db.query.text", "db.statement"].iter().find_map(|key| Some((*key, span.attribute(key)?)));
        if let Some((key, statement)) = found.filter(|(_, statement)| !statement.trim().is_empty()) {
            facts.add(&STATEMENT, shortened(statement, STATEMENT_CHARS_MAX), Place::Field(span, &format!("attributes.{key}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::find::{bare, capture};
    use super::*;

    #[test]
    fn errors_of_databases_are_read() {
        let deadlock = "deadlock detected\nDETAIL:  Process 41873 waits for ShareLock on transaction 9102231; blocked by process 41902.\nProcess 41902 waits for ShareLock on transaction 9102230; blocked by process 41873.\nCONTEXT:  while updating tuple (118,7) in relation \"stock_reservations\"";
        let unique = "duplicate key value violates unique constraint \"users_email_key\"\nDETAIL:  Key (email)=(a-17) already exists.";
        for (text, expression, expected) in [
            (deadlock, &TABLE_IN_TEXT, Some("stock_reservations")),
            (deadlock, &BLOCKED_BY_IN_TEXT, Some("41902")),
            (deadlock, &WAITING_IN_TEXT, Some("41873")),
            (deadlock, &LOCK_IN_TEXT, Some("ShareLock")),
            (unique, &CONSTRAINT_IN_TEXT, Some("users_email_key")),
            (unique, &KEY_IN_TEXT, Some("a-17")),
            ("null value in column \"due\" of relation \"invoices\" violates not-null constraint", &COLUMN_IN_TEXT, Some("due")),
            ("null value in column \"due\" of relation \"invoices\" violates not-null constraint", &TABLE_IN_TEXT, Some("invoices")),
            ("insert or update on table \"orders\" violates foreign key constraint \"orders_sku_fkey\"", &TABLE_IN_TEXT, Some("orders")),
            (
                "insert or update on table \"orders\" violates foreign key constraint \"orders_sku_fkey\"",
                &CONSTRAINT_IN_TEXT,
                Some("orders_sku_fkey"),
            ),
            ("(1062, \"Duplicate entry '7-9' for key 'bookings.uq_slot'\")", &CONSTRAINT_IN_TEXT, Some("bookings.uq_slot")),
            ("(1062, \"Duplicate entry '7-9' for key 'bookings.uq_slot'\")", &KEY_IN_TEXT, Some("7-9")),
            ("UNIQUE constraint failed: bookings.slot", &TABLE_IN_TEXT, Some("bookings")),
            ("UNIQUE constraint failed: bookings.slot", &COLUMN_IN_TEXT, Some("slot")),
            ("ORA-00001: unique constraint (SHOP.PK_ORDERS) violated", &CONSTRAINT_IN_TEXT, Some("SHOP.PK_ORDERS")),
            ("Transaction (Process ID 61) was deadlocked on lock resources", &WAITING_IN_TEXT, Some("61")),
            ("Invalid object name 'dbo.Ordres'.", &TABLE_IN_TEXT, Some("dbo.Ordres")),
            (
                "E11000 duplicate key error collection: shop.users index: email_1 dup key: { email: \"x\" }",
                &TABLE_IN_TEXT,
                Some("shop.users"),
            ),
            (
                "E11000 duplicate key error collection: shop.users index: email_1 dup key: { email: \"x\" }",
                &CONSTRAINT_IN_TEXT,
                Some("email_1"),
            ),
            ("syntax error at or near \"FORM\"", &NEAR_IN_TEXT, Some("FORM")),
            ("near \"order\": syntax error", &NEAR_IN_TEXT, Some("order")),
            ("database \"shop_eu\" does not exist", &DATABASE_IN_TEXT, Some("shop_eu")),
            ("FEHLER:  Relation »lager_neu« existiert nicht", &TABLE_IN_TEXT, Some("lager_neu")),
            ("the table was set for four", &TABLE_IN_TEXT, None),
        ] {
            assert_eq!(capture(expression, text).map(bare), expected, "{text}");
        }
        assert!(is_of_database(deadlock) && !is_of_database("the table \"menu\" has no row for 'x'"));
    }
}
