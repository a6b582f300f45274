//! The files for cron, systemd, Kubernetes and GitHub Actions: valid for their schedulers, and their commands run.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::remote::python;
use crate::support::{KEY, Place, stderr, stdout, trace};

/// A folder with a pipeline file, traces of which a share is broken, and `failsift` on its PATH.
fn host(broken_lines: usize) -> Place {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom") + &"broken\n".repeat(broken_lines));
    let pipeline = format!("[source]\ninputs = ['{}']\n[write]\noutput = '{}'\n", place.input(), place.output());
    std::fs::write(place.path().join("nightly.toml"), pipeline).unwrap();
    std::fs::write(place.path().join("environment"), format!("FAILSIFT_REDACTION_KEY='{KEY}'\n")).unwrap();
    std::fs::write(place.path().join("redaction.key"), KEY).unwrap();
    std::fs::set_permissions(place.path().join("redaction.key"), PermissionsExt::from_mode(0o600)).unwrap();
    place
}

/// Runs a command of a scheduler's file with the files of `place` in place of those that the scheduler has.
fn run(place: &Place, command: &str) -> Output {
    let folder = place.path().display().to_string();
    let command = command.replace("/etc/failsift", &folder).replace("/usr/local/bin/", "").replace("%d", &folder);
    let binary = Path::new(env!("CARGO_BIN_EXE_failsift")).parent().unwrap().display().to_string();
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).env_clear().env("PATH", format!("{binary}:/usr/bin:/bin")).env("HOME", &folder).current_dir(&folder);
    // Other tests take the machine's time meanwhile.
    shell.env("FAILSIFT_TRACE_TIMEOUT", "60");
    shell.output().unwrap()
}

/// A program of `target/python`.
fn tool(name: &str) -> Command {
    Command::new(Path::new(&python()).with_file_name(name))
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}{}", stdout(&output), stderr(&output));
}

/// The documents of a YAML file.
fn yaml(path: &str) -> Value {
    let script = "import json, sys, yaml
print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let output = Command::new(python()).args(["-c", script, path]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_cron_line_is_silent_after_a_complete_run_and_prints_what_went_wrong() {
    let file = std::fs::read_to_string("pipelines/cron/failsift").unwrap();
    let entry = file.lines().find(|line| line.starts_with(|c: char| c.is_ascii_digit())).unwrap();
    let mut fields = entry.splitn(9, ' ').filter(|field| !field.is_empty());
    let schedule: Vec<&str> = fields.by_ref().take(5).collect();
    assert_eq!((schedule, fields.next()), (vec!["0", "3", "*", "*", "*"], Some("failsift")));
    let command = fields.next().unwrap().trim();
    assert!(!command.contains('%'), "cron ends the command at a percent sign");

    let place = host(0);
    let complete = run(&place, command);
    assert!(complete.status.success(), "{complete:?}");
    assert_eq!((stdout(&complete), stderr(&complete)), (String::new(), String::new()), "no mail");
    assert_eq!(place.rows("select count(*) n from runs")[0], json!({"n": 1}));

    let failed = stdout(&run(&host(9), command));
    assert!(failed.contains("malformed_json") && failed.ends_with("failsift: exit code 3\n"), "{failed}");
}

#[test]
#[expect(clippy::print_stderr, reason = "says that it was skipped, on a developer's machine without systemd")]
fn the_systemd_units_are_valid_and_confined() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "systemd-analyze is missing: install the package systemd");
        eprintln!("skipped: this machine has no systemd-analyze");
        return;
    }
    // A root folder with the units of the system and ours, and something to start.
    let root = tempfile::tempdir().unwrap();
    for folder in ["etc/systemd/system", "usr/lib/systemd", "usr/local/bin"] {
        std::fs::create_dir_all(root.path().join(folder)).unwrap();
    }
    succeed(Command::new("cp").args(["-r", "/usr/lib/systemd/system"]).arg(root.path().join("usr/lib/systemd")));
    std::fs::copy("/bin/true", root.path().join("usr/local/bin/failsift")).unwrap();
    for unit in ["failsift.service", "failsift.timer"] {
        std::fs::copy(format!("pipelines/systemd/{unit}"), root.path().join("etc/systemd/system").join(unit)).unwrap();
    }
    let analyze = |arguments: &[&str]| {
        let mut command = Command::new("systemd-analyze");
        command.arg(format!("--root={}", root.path().display())).args(arguments).output().unwrap()
    };
    let verified = analyze(&["verify", "failsift.service", "failsift.timer"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    // What systemd would ignore is a message and no error.
    let messages: Vec<String> = stderr(&verified).lines().filter(|line| line.contains("failsift")).map(str::to_owned).collect();
    assert_eq!(messages, [""; 0]);
    // On its scale from 0 to 10, times ten; 0 would be a service without network.
    let security = analyze(&["security", "--offline=yes", "--threshold=15", "failsift.service"]);
    assert!(security.status.success(), "{}{}", stdout(&security), stderr(&security));
}

#[test]
fn the_command_of_the_systemd_service_runs() {
    let unit = std::fs::read_to_string("pipelines/systemd/failsift.service").unwrap();
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let place = host(0);
    let output = run(&place, command);
    assert!(output.status.success() && stdout(&output).contains("stored"), "{}{}", stdout(&output), stderr(&output));
    assert!(!place.path().join(".config").exists(), "the key is the one of the credential");
}

#[test]
#[ignore = "needs kubernetes-validate from PyPI; tests/run prepares it"]
fn the_kubernetes_manifest_is_valid_and_its_command_runs() {
    let path = "pipelines/kubernetes/failsift-nightly.yaml";
    // The JSON Schema that is made from the API's OpenAPI description; unknown fields are errors.
    succeed(tool("kubernetes-validate").args(["--strict", "--kubernetes-version", "1.37", path]));
    let documents = yaml(path);
    let pipeline = documents[0]["data"]["nightly.toml"].as_str().unwrap();
    let pod = &documents[2]["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let arguments: Vec<&str> = container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();

    let place = host(0);
    let pipeline = pipeline.replace("s3://acme-traces/agents/", &place.input()).replace("s3://acme-analytics/failsift/", &place.output());
    // The sample's trace is older than a day.
    std::fs::write(place.path().join("nightly.toml"), pipeline.replace("26h", "9999d")).unwrap();
    let output = run(&place, &format!("FAILSIFT_REDACTION_KEY='{KEY}' failsift {}", arguments.join(" ")));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["stored"], 1);

    // Names within the file fit together.
    assert_eq!(pod["serviceAccountName"], documents[1]["metadata"]["name"]);
    assert_eq!(pod["volumes"][0]["configMap"]["name"], documents[0]["metadata"]["name"]);
    let rule = &documents[2]["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"][0]["onExitCodes"];
    assert_eq!(rule["containerName"], container["name"]);
}

#[test]
#[ignore = "needs check-jsonschema and zizmor from PyPI; tests/run prepares them"]
fn the_github_workflow_is_valid_and_its_commands_run() {
    let path = "pipelines/github/failsift-nightly.yml";
    succeed(tool("check-jsonschema").args(["--builtin-schema", "vendor.github-workflows", path]));
    succeed(tool("zizmor").args(["--offline", "--quiet", path]));

    let workflow = yaml(path);
    let steps = workflow[0]["jobs"]["failsift"]["steps"].as_array().unwrap().clone();
    let command = |name: &str| steps.iter().find(|step| step["name"] == name).unwrap()["run"].as_str().unwrap().to_owned();
    let place = host(9);
    let failed = run(&place, &format!("FAILSIFT_REDACTION_KEY='{KEY}' {}", command("Run")));
    assert_eq!(failed.status.code(), Some(3), "{}", stderr(&failed));
    let summary = run(&place, &format!("GITHUB_STEP_SUMMARY=page.md\n{}", command("Summary")));
    assert!(summary.status.success(), "{}", stderr(&summary));
    let page = std::fs::read_to_string(place.path().join("page.md")).unwrap();
    assert!(page.starts_with("```\nrun ") && page.contains("malformed_json") && page.ends_with("```\n"), "{page}");
}

#[test]
fn the_scheduling_page_names_every_file() {
    let page = std::fs::read_to_string("docs/scheduling.md").unwrap();
    let folders = std::fs::read_dir("pipelines").unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut files = 0;
    for path in folders.flat_map(|folder| std::fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path()) {
        let is_named =
            page.contains(&format!("`{}`", path.display())) || page.contains(&format!("{}.*", path.with_extension("").display()));
        assert!(is_named, "docs/scheduling.md lacks {}", path.display());
        files += 1;
    }
    assert!(files >= 6, "{files}");
}
