//! The last command that a tool was asked to run, by which its output and its exit code are understood: `cat` shows a text that may be about errors, and
//! `grep` ends with exit code 1 if nothing matches.

use std::borrow::Cow;

use super::result_payload::is_one_of;
use super::result_value::{Object, Parsed, Value};

/// A command of a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShellCommand {
    /// `git`, without its folder.
    program: String,
    /// `log`, the first argument that is no option.
    subcommand: String,
    /// Whether its output goes to a file.
    writes: bool,
}

impl ShellCommand {
    /// The last command in the arguments of a call: JSON with a field for it, or the command itself.
    pub(super) fn last_in(arguments: &str) -> Option<Self> {
        let command = command_of(arguments);
        let ends =
            ["&&", "||", ";", "\n"].iter().filter_map(|separator| Some(command.trim_end().rfind(separator)? + separator.len())).max();
        let last = command.get(ends.unwrap_or(0)..)?;
        // The exit code and the output of a pipe depend on all its commands; the first one says what it is about.
        let first = last.split('|').next()?;
        let is_prefix = |word: &&str| matches!(*word, "sudo" | "time" | "timeout" | "env" | "command" | "exec" | "!") || word.contains('=');
        let mut words = first.split_whitespace().skip_while(|word| is_prefix(word) || word.bytes().all(|byte| byte.is_ascii_digit()));
        let program = words.next()?.rsplit('/').next()?.to_owned();
        let subcommand = words.find(|word| !word.starts_with('-')).unwrap_or_default().to_owned();
        Some(Self { program, subcommand, writes: last.replace("2>", "").contains('>') })
    }

    /// Whether it only shows text.
    pub(super) fn shows_text(&self) -> bool {
        const PROGRAMS: &str = "ack|ag|awk|bat|cat|cut|diff|dmesg|find|grep|egrep|fgrep|head|journalctl|jq|less|ls|more|nl|rg|sed|sort|strings|tail|tree|xxd|zcat";
        const SUBCOMMANDS: &str = "git log|git show|git diff|git grep|git blame|git status|docker logs|docker inspect|docker ps|kubectl logs|kubectl get|\
            kubectl describe|kubectl events|podman logs|podman inspect|aws logs|gh run|gh issue|gh pr|gh api";
        !self.writes && self.is(PROGRAMS, SUBCOMMANDS)
    }

    /// Whether its exit code 1 is an answer: nothing matches, files differ, a condition is false.
    pub(super) fn answers_with_exit_code(&self) -> bool {
        const PROGRAMS: &str = "ack|ag|grep|egrep|fgrep|zgrep|rg|diff|cmp|test|[|[[|which|type|pgrep|pidof|false|expr|jq|dpkg|systemctl";
        self.is(PROGRAMS, "git grep|git diff|git merge-base|git check-ignore|systemctl is-active|npm outdated|kubectl diff")
    }

    fn is(&self, programs: &str, subcommands: &str) -> bool {
        is_one_of(programs, &self.program) || is_one_of(subcommands, &format!("{} {}", self.program, self.subcommand))
    }
}

/// The command in the arguments of a call.
fn command_of(arguments: &str) -> Cow<'_, str> {
    const COMMAND_BYTES_MAX: usize = 16 * 1024;
    const KEYS: [&str; 8] = ["command", "cmd", "script", "shellcommand", "commands", "input", "code", "action"];
    let in_object = |object: &Object<'_>| match object.get(&KEYS)? {
        Value::Text(text) => Some(text.decoded(COMMAND_BYTES_MAX).into_owned()),
        // `["bash", "-lc", "grep x"]`, `["grep", "x"]`.
        Value::List(list) => {
            let words: Vec<_> = list.items.iter().filter_map(|word| Some(word.as_text()?.decoded(COMMAND_BYTES_MAX))).collect();
            let is_shell = words.first().is_some_and(|word| word.ends_with("sh")) && words.get(1).is_some_and(|word| word.starts_with('-'));
            Some(if is_shell { words.get(2)?.clone().into_owned() } else { words.join(" ") })
        }
        _ => None,
    };
    match Parsed::of_result(arguments).map(|parsed| parsed.value) {
        Some(Value::Object(object)) => in_object(&object).map_or(Cow::Borrowed(""), Cow::Owned),
        _ => Cow::Borrowed(arguments.get(..arguments.len().min(COMMAND_BYTES_MAX)).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_command_is_found_in_every_form_of_arguments() {
        for (arguments, shows, answers) in [
            (r#"{"command": "cd /srv && tail -n 50 app.log | head"}"#, true, false),
            (r#"{"command": ["bash", "-lc", "cd a; grep -rn TODO src"]}"#, true, true),
            (r#"{"command": ["rg", "TODO"]}"#, true, true),
            ("{'cmd': 'cat notes.md'}", true, false),
            ("git log --oneline", true, false),
            ("git diff --exit-code", true, true),
            (r#"{"command": "cat > a.py <<EOF\nprint(1)\nEOF\npython a.py"}"#, false, false),
            (r#"{"command": "sudo env A=1 /usr/bin/which node"}"#, false, true),
            (r#"{"command": "python a.py 2>&1 | grep -c x"}"#, false, false),
            (r#"{"command": "cat a > b"}"#, false, false),
            (r#"{"path": "grep"}"#, false, false),
            ("", false, false),
        ] {
            let command = ShellCommand::last_in(arguments);
            let found = command.map_or((false, false), |command| (command.shows_text(), command.answers_with_exit_code()));
            assert_eq!(found, (shows, answers), "{arguments}");
        }
    }
}
