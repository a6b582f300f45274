//! `failsift run --explain`: prints every setting, its value, and where the value comes from.

use std::io::Write;

use serde_json::{Value, json};

use super::exit::{Exit, Failure};
use super::output;
use crate::config::{Given, Origin, Resolution, Setting};
use crate::model::escape_to_one_line;

/// Prints the settings, and fails if they are not those of a run.
pub(super) fn execute(given: &Given, as_json: bool) -> Result<Exit, Failure> {
    let mut resolution = Resolution::new(given)?;
    let mut stdout = std::io::stdout().lock();
    if as_json {
        writeln!(stdout, "{}", output::escaped_json(&json(&resolution).to_string()))?;
    } else {
        write!(stdout, "{}", text(&resolution))?;
    }
    resolution.run(given);
    resolution.check()?;
    Ok(Exit::Complete)
}

/// One aligned line per setting, those without a value last.
fn text(resolution: &Resolution) -> String {
    let (given, not_given): (Vec<_>, Vec<_>) = resolution.settings.iter().partition(|setting| setting.origin != Origin::NotSet);
    let variables = resolution.variables.iter();
    let variables = variables.map(|(name, origin)| [format!("{{{name}}}"), "variable".to_owned(), escape_to_one_line(&origin.to_string())]);
    let rows: Vec<[String; 3]> = given
        .iter()
        .map(|setting| [name(setting), shown(&setting.shown), escape_to_one_line(&setting.origin.to_string())])
        .chain(variables)
        .collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default();
    let (names, values) = (width(0), width(1).min(60));
    let lines = rows.iter().map(|[name, value, origin]| format!("{name:names$}  {value:values$}  {origin}\n"));
    let not_given = not_given.iter().map(|setting| name(setting)).collect::<Vec<_>>().join(", ");
    let last = (!not_given.is_empty()).then(|| format!("not set: {not_given}\n"));
    lines.chain(last).collect()
}

fn name(setting: &Setting) -> String {
    escape_to_one_line(&format!("{}.{}", setting.section, setting.key))
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    escape_to_one_line(&text)
}

fn json(resolution: &Resolution) -> Value {
    let setting = |setting: &Setting| json!({"setting": name(setting), "value": setting.shown, "origin": setting.origin.to_string()});
    let variables = resolution.variables.iter().map(|(name, origin)| (name.clone(), Value::from(origin.to_string())));
    json!({
        "settings": resolution.settings.iter().map(setting).collect::<Vec<_>>(),
        "variables": variables.collect::<serde_json::Map<_, _>>(),
    })
}
