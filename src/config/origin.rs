//! Where the value of a setting comes from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This flag.
    Flag(String),
    /// This environment variable.
    Variable(String),
    /// A key of the pipeline file.
    File {
        /// The file.
        path: PathBuf,
        /// The line of the key, from 1.
        line: Option<usize>,
    },
    /// The default of failsift.
    Default,
    /// Nothing: the setting has no value.
    NotSet,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
            Self::NotSet => f.write_str("not set"),
        }
    }
}

impl Origin {
    /// The name of a setting in messages: the flag, the variable, or the key of the file.
    pub(super) fn name_of(&self, section: &str, key: &str) -> String {
        match self {
            Self::Flag(name) | Self::Variable(name) => name.clone(),
            Self::File { path, line } => key_in_file(section, key, path, *line),
            Self::Default | Self::NotSet => format!("[{section}] {key}"),
        }
    }
}

/// `[source] since in nightly.toml line 3`
fn key_in_file(section: &str, key: &str, path: &Path, line: Option<usize>) -> String {
    let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
    format!("[{section}] {key} in {}{line}", path.display())
}

/// The origins of arguments, by their ids. The id of an argument that is a setting is its key in the pipeline file: `source.since`.
#[derive(Debug, Clone, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// The origins of the arguments that were given to a command.
    pub fn of(command: &clap::Command, matches: &clap::ArgMatches) -> Self {
        let origin = |argument: &clap::Arg| match matches.value_source(argument.get_id().as_str())? {
            ValueSource::CommandLine => Some(Origin::Flag(format!("--{}", argument.get_long()?))),
            ValueSource::EnvVariable => Some(Origin::Variable(argument.get_env()?.to_string_lossy().into_owned())),
            _ => None,
        };
        Self(command.get_arguments().filter_map(|argument| Some((argument.get_id().to_string(), origin(argument)?))).collect())
    }

    /// The origin of a setting that was given. One argument may set several keys of a section, as `--trace-url` does.
    pub(super) fn get(&self, section: &str, key: &str) -> Origin {
        let found = self.0.get(&format!("{section}.{key}")).or_else(|| self.0.get(section));
        found.cloned().unwrap_or_else(|| Origin::Flag(format!("[{section}] {key}")))
    }

    /// The name of an argument that is no setting, such as `--date` or the variable that it came from.
    pub(super) fn argument(&self, id: &str) -> String {
        self.0.get(id).map_or_else(|| format!("--{id}"), ToString::to_string)
    }
}
