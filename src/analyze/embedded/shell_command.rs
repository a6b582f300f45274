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

    /// Whether a later call ran the command of an earlier one again, maybe within a longer command or for more files.
    pub(super) fn is_run_again(earlier: &str, later: &str) -> bool {
        let earlier = core_of(&command_of(earlier));
        // A command without arguments, such as `ls`, is about something else each time.
        let is_specific = |command: &str| command.split_whitespace().count() >= 2;
        if !is_specific(&earlier) {
            return false;
        }
        let later = command_of(later);
        let all = words_in(&later);
        let is_bounded = |at: usize| {
            let end = at + earlier.len();
            let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '.' | ':');
            !all.get(..at).is_some_and(|before| before.ends_with(is_word))
                && !all.get(end..).is_some_and(|after| after.starts_with(is_word))
        };
        let contains = all.match_indices(earlier.as_str()).any(|(at, _)| is_bounded(at));
        let core = core_of(&later);
        // `pytest tests` runs what `pytest tests/test_a.py -x` ran.
        contains || (is_specific(&core) && earlier.starts_with(&core))
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

/// The last command of several, without what is done with its output.
fn core_of(command: &str) -> String {
    let command = command.trim_end();
    let ends = ["&&", "||", ";", "\n"].iter().filter_map(|separator| Some(command.rfind(separator)? + separator.len())).max();
    let last = command.get(ends.unwrap_or(0)..).unwrap_or_default();
    let last = last.split(['|', '>']).next().unwrap_or_default();
    words_in(last.trim_end().trim_end_matches(" 2"))
}

/// A text with single spaces.
fn words_in(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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
    fn a_command_is_run_again_within_a_longer_one_or_for_more_files() {
        for (earlier, later, is_again) in [
            ("npm test -- a.spec.ts", "npm test -- a.spec.ts", true),
            ("npm test -- a.spec.ts", "for i in 1 2 3; do npm test  -- a.spec.ts || exit 1; done", true),
            ("cd app && pytest tests/test_a.py -x 2>&1 | tail -20", r#"{"command": "pytest tests/test_a.py -x"}"#, true),
            ("pytest tests/test_a.py", "pytest tests", true),
            ("pytest tests/test_a.py", "pytest tests/test_a.py::test_b", false),
            ("pytest tests/test_a.py", "pytest other", false),
            ("npm test -- a.spec.ts", "git commit -m 'npm test'", false),
            ("ls", "ls", false),
        ] {
            assert_eq!(ShellCommand::is_run_again(earlier, later), is_again, "{earlier} then {later}");
        }
    }

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
