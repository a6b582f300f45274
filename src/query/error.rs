//! Why a query fails, in plain words: what the engine reports, without its own types and namespaces.

use std::sync::LazyLock;
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateDefaults;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::limits::{QUERY_BYTES_MAX, QUERY_OPERATORS_MAX};
use crate::messages::did_you_mean;
use crate::store;
use crate::tables::{TableName, failure_message};

/// Why a query fails.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The location has no tables.
    #[error("no tables at {0}\n  hint: pass the --output of a run as --tables; failsift query --input reads traces as the table spans")]
    NoTables(String),
    /// The location is unusable.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// A table cannot be opened.
    #[error("cannot open the table {table} at {location}: {reason}")]
    Table {
        /// Which table.
        table: &'static str,
        /// The location of the tables.
        location: String,
        /// The cause, with a hint if there is one.
        reason: String,
    },
    /// The SQL is invalid, or its execution failed.
    #[error("{0}")]
    Sql(String),
    /// The query exceeds a limit.
    #[error(transparent)]
    Exceeded(#[from] ExceededError),
}

/// Which limit a query exceeds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExceededError {
    /// The length of its text.
    #[error(
        "cannot run the query: it is {found} bytes long, over the limit of {QUERY_BYTES_MAX}\n  hint: use a range or a join instead of a list of values"
    )]
    Length {
        /// Bytes.
        found: usize,
    },
    /// The number of operators, keywords and joins. Each of them may nest the plan one level deeper.
    #[error(
        "cannot run the query: it has {found} operators and keywords, over the limit of {QUERY_OPERATORS_MAX}\n  hint: replace a chain of OR by IN (…), and a chain of UNION ALL by VALUES"
    )]
    Operators {
        /// How many.
        found: usize,
    },
    /// The nesting of its text.
    #[error("cannot run the query: it is nested too deeply\n  hint: name inner queries with WITH")]
    Nesting,
    /// The size of a value that a function would return.
    #[error(
        "cannot run the query: {function} would return a value of more than {} MB\n  hint: raise the limit with --memory-limit",
        bytes_max / (1024 * 1024)
    )]
    Value {
        /// The name of the function.
        function: String,
        /// The limit.
        bytes_max: u64,
    },
    /// The memory that it takes.
    #[error(
        "cannot run the query: it needs more than {} MB of memory\n  hint: select fewer columns or rows, or raise the limit with --memory-limit",
        bytes_max / (1024 * 1024)
    )]
    Memory {
        /// The limit.
        bytes_max: u64,
    },
    /// The time that it takes.
    #[error("cannot run the query: it takes more than {} s\n  hint: select fewer rows, or raise the limit with --timeout", time.as_secs_f64())]
    Time {
        /// The limit.
        time: Duration,
    },
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        if let Some(message) = cast_error(&error.to_string()) {
            return Self::Sql(message);
        }
        match error.find_root() {
            DataFusionError::External(source) => match source.downcast_ref::<ExceededError>() {
                Some(exceeded) => exceeded.clone().into(),
                None => Self::Sql(failure_message(source.as_ref())),
            },
            DataFusionError::SQL(parser, _) => match parser.as_ref() {
                ParserError::RecursionLimitExceeded => ExceededError::Nesting.into(),
                ParserError::TokenizerError(text) | ParserError::ParserError(text) => Self::Sql(syntax_error(text)),
            },
            DataFusionError::SchemaError(schema, _) => Self::Sql(schema_error(schema)),
            DataFusionError::Plan(text) | DataFusionError::Execution(text) => Self::Sql(plan_error(text)),
            DataFusionError::NotImplemented(text) => Self::Sql(format!("not supported: {}", first_line(text))),
            DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::ParquetError(_) => {
                Self::Sql(format!("cannot read a data file: {}", failure_message(&error)))
            }
            DataFusionError::ArrowError(arrow, _) => Self::Sql(match arrow.as_ref() {
                ArrowError::DivideByZero => "division by zero".to_owned(),
                other => lower_first(without_kind(&other.to_string())),
            }),
            DataFusionError::Internal(text) => Self::Sql(function_error(text).unwrap_or_else(|| lower_first(without_kind(text)))),
            _ => Self::Sql(without_namespace(without_kind(&error.strip_backtrace()))),
        }
    }
}

/// `cannot convert text to Int64`, for a failed conversion wherever the engine reports it: a filter that is pushed down to the files reports
/// only the text of the error. The value is left out.
fn cast_error(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("Cannot cast string '")?;
    let (_, rest) = rest.rsplit_once("' to value of ")?;
    let target: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
    Some(format!("cannot convert text to {target}\n  hint: compare text with text in quotes, or use TRY_CAST, which gives NULL instead"))
}

/// `Expected: an expression, found: FROM at Line: 1, Column: 8`, with the position first.
fn syntax_error(text: &str) -> String {
    let text = first_line(text).trim_start_matches("sql parser error: ");
    let position = text.rsplit_once(" at Line: ").and_then(|(rest, position)| Some((rest, position.split_once(", Column: ")?)));
    let (problem, place) = match position {
        Some((problem, (line, column))) => (problem, format!(" at line {line}, column {column}")),
        None => (text, String::new()),
    };
    let problem = problem.replace("Expected: ", "expected ").replace(", found: ", ", found ").replace("EOF", "the end of the query");
    format!("invalid SQL{place}: {}", lower_first(&problem))
}

fn schema_error(error: &SchemaError) -> String {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => unknown_column(field, valid_fields),
        SchemaError::AmbiguousReference { field } => {
            format!("ambiguous column '{}'\n  hint: put the name of its table before it, as in patterns.{}", field.name, field.name)
        }
        other => without_namespace(&lower_first(&other.to_string())),
    }
}

fn unknown_column(field: &Column, valid_fields: &[Column]) -> String {
    let mut names: Vec<&str> = valid_fields.iter().map(|field| field.name.as_str()).collect();
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    let suggestion = did_you_mean(&field.name, &names);
    let hint = if names.is_empty() { String::new() } else { format!("\n  hint: the columns are {}", names.join(", ")) };
    format!("unknown column '{}'{suggestion}{hint}", field.name)
}

/// The names of the functions of the engine. Its own suggestion considers fewer.
static FUNCTIONS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let scalar = SessionStateDefaults::default_scalar_functions();
    let aggregate = SessionStateDefaults::default_aggregate_functions();
    let window = SessionStateDefaults::default_window_functions();
    let scalar = scalar.iter().map(|function| function.name().to_owned());
    let aggregate = aggregate.iter().map(|function| function.name().to_owned());
    scalar.chain(aggregate).chain(window.iter().map(|function| function.name().to_owned())).collect()
});

fn plan_error(text: &str) -> String {
    if let Some(name) = text.strip_prefix("table '").and_then(|rest| rest.split_once("' not found")).map(|(name, _)| name) {
        return unknown_table(&without_namespace(name));
    }
    if let Some(rest) = text.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default();
        let known: Vec<&str> = FUNCTIONS.iter().map(String::as_str).collect();
        return format!("unknown function '{name}'{}", did_you_mean(name, &known));
    }
    if ["DDL not supported", "DML not supported", "Statement not supported"].iter().any(|refused| text.starts_with(refused)) {
        return "cannot run the statement: failsift query only reads, and tables are written by failsift run\n  hint: use SELECT"
            .to_owned();
    }
    if text.contains("must appear in the GROUP BY clause") {
        let column = text.split('"').nth(1).unwrap_or_default();
        return format!("column '{column}' must be in GROUP BY or in an aggregate function");
    }
    if text.starts_with("Cannot access field") && text.contains("type List(") {
        let example = "SELECT e['kind'] FROM (SELECT unnest(evidence) AS e FROM patterns)";
        return format!("cannot access a field of a list\n  hint: unnest the list first, as in {example}");
    }
    function_error(text).unwrap_or_else(|| lower_first(&without_namespace(without_kind(text))))
}

/// `Function 'sum' failed to match any signature, errors: …`, without the error of each signature.
fn function_error(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("Function '")?;
    let (name, rest) = rest.split_once("' failed to match any signature")?;
    let received = rest.split_once("but received ").map(|(_, rest)| rest.split([' ', ',', ')']).next().unwrap_or_default());
    // For a wrong number of arguments it is that number.
    let received = received.filter(|received| received.starts_with(char::is_alphabetic));
    Some(match received {
        Some(kind) => format!("the function '{name}' does not accept an argument of type {kind}"),
        None => format!("the function '{name}' does not accept these arguments"),
    })
}

fn unknown_table(name: &str) -> String {
    const SPANS: &str = "spans";
    if name == SPANS {
        return "unknown table 'spans'\n  hint: pass traces with --input to query the table spans".to_owned();
    }
    let mut names: Vec<&str> = TableName::ALL.iter().map(|name| name.as_str()).collect();
    let suggestion = did_you_mean(name, &names);
    names.push(SPANS);
    format!("unknown table '{name}'{suggestion}\n  hint: the tables are {} (with --input)", names.join(", "))
}

/// Removes the names of catalog and schema that the engine puts before the names of tables.
fn without_namespace(text: &str) -> String {
    text.replace("datafusion.public.", "").replace("datafusion.", "")
}

/// Removes the names of error kinds at the start.
fn without_kind(text: &str) -> &str {
    const KINDS: [&str; 9] = [
        "Error during planning: ",
        "Execution error: ",
        "External error: ",
        "Arrow error: ",
        "Optimizer rule ",
        "Schema error: ",
        "Divide by zero error: ",
        "Cast error: ",
        "Invalid argument error: ",
    ];
    KINDS.iter().find_map(|kind| text.strip_prefix(kind)).map_or(text, without_kind)
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    // An abbreviation is unchanged.
    match characters.next() {
        Some(first) if !characters.clone().next().is_some_and(char::is_uppercase) => first.to_lowercase().chain(characters).collect(),
        _ => text.to_owned(),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn message(sql: &str) -> String {
        let context = SessionContext::new();
        context.sql("CREATE VIEW patterns AS SELECT 'x' AS trace_id, 'y' AS category, 0.5 AS confidence").await.unwrap();
        context.sql("CREATE VIEW errors AS SELECT 'x' AS trace_id").await.unwrap();
        let result = match context.sql(sql).await {
            Ok(frame) => frame.collect().await,
            Err(error) => Err(error),
        };
        QueryError::from(result.unwrap_err()).to_string()
    }

    #[tokio::test]
    async fn unknown_names_are_reported_with_candidates() {
        let expected = "unknown column 'categry'; did you mean 'category'?\n  hint: the columns are trace_id, category, confidence";
        assert_eq!(message("SELECT categry FROM patterns").await, expected);
        assert_eq!(
            message("SELECT nonsense FROM patterns").await,
            "unknown column 'nonsense'\n  hint: the columns are trace_id, category, confidence"
        );
        assert_eq!(
            message("SELECT 1 FROM pattern").await,
            "unknown table 'pattern'; did you mean 'patterns'?\n  hint: the tables are patterns, errors, fingerprints, runs, spans (with --input)"
        );
        assert!(message("SELECT 1 FROM spans").await.contains("--input"));
        let unknown = message("SELECT cuont(*) FROM patterns").await;
        assert_eq!(unknown, "unknown function 'cuont'; did you mean 'count'?");
        let ambiguous = message("SELECT trace_id FROM patterns, errors").await;
        assert!(ambiguous.starts_with("ambiguous column 'trace_id'"), "{ambiguous}");
    }

    #[tokio::test]
    async fn syntax_errors_are_reported_with_their_position() {
        for (sql, expected) in [
            ("SELECT * form patterns", "invalid SQL at line 1, column 10: expected "),
            ("SELECT (1", "invalid SQL: expected ), found the end of the query"),
            ("SELECT 'x", "invalid SQL at line 1, column 8: unterminated string literal"),
            ("SELEC 1", "invalid SQL at line 1, column 1: expected "),
        ] {
            let found = message(sql).await;
            assert!(found.starts_with(expected), "{sql}: {found}");
        }
    }

    #[tokio::test]
    async fn frequent_mistakes_have_short_messages() {
        for (sql, expected) in [
            ("SELECT 1 / 0", "division by zero"),
            (
                "SELECT cast('x' AS INT)",
                "cannot convert text to Int32\n  hint: compare text with text in quotes, or use TRY_CAST, which gives NULL instead",
            ),
            ("SELECT sum(category) FROM patterns", "the function 'sum' does not accept an argument of type String"),
            ("SELECT date_trunc('day') FROM patterns", "the function 'date_trunc' does not accept these arguments"),
            ("SELECT category, count(*) FROM patterns", "column 'patterns.category' must be in GROUP BY or in an aggregate function"),
        ] {
            assert_eq!(message(sql).await, expected, "{sql}");
        }
    }

    #[tokio::test]
    async fn errors_of_values_keep_their_text_without_the_name_of_the_engine() {
        for sql in
            ["SELECT 1 / 0", "SELECT cast('x' AS INT)", "SELECT sum(category) FROM patterns", "SELECT 1 + 'x' + category FROM patterns"]
        {
            let message = message(sql).await;
            let internal = ["DataFusion", "datafusion", "Arrow error", "Error during planning", "Optimizer rule"];
            assert!(!internal.iter().any(|word| message.contains(word)), "{sql}: {message}");
        }
    }
}
