//! What users install: the wheel, the source distribution, and the image.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::remote::python;
use crate::support::{KEY, stderr, stdout};

/// A program of `target/python`.
fn tool(name: &str) -> Command {
    Command::new(Path::new(&python()).with_file_name(name))
}

fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// The only file in a folder.
fn only_file(folder: &Path) -> PathBuf {
    let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.into_iter().next().unwrap()
}

/// The files that the binary was built from, relative to the package, as the compiler lists them.
fn build_inputs() -> BTreeSet<PathBuf> {
    let list = std::fs::read_to_string(Path::new(env!("CARGO_BIN_EXE_failsift")).with_extension("d")).unwrap();
    let (_, files) = list.split_once(": ").unwrap();
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = files.split_whitespace().filter_map(|file| Path::new(file).strip_prefix(package).ok()).map(Path::to_owned);
    let files: BTreeSet<PathBuf> = files.collect();
    assert!(files.len() > 300 && files.contains(Path::new("data/prices.toml")), "{files:?}");
    files
}

/// The wheel of the binary that the tests run, so that building it takes seconds.
#[test]
#[ignore = "needs maturin and uv from PyPI; tests/run prepares them"]
fn a_wheel_installs_failsift() {
    let folder = tempfile::tempdir().unwrap();
    let wheels = folder.path().join("wheels");
    let target = Path::new(env!("CARGO_BIN_EXE_failsift")).ancestors().nth(2).unwrap();
    succeed(
        tool("maturin")
            .args(["build", "--profile", "dev", "--locked", "--compression-level", "1", "--out"])
            .arg(&wheels)
            .env("CARGO_TARGET_DIR", target),
    );
    let wheel = only_file(&wheels);
    let name = wheel.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(&format!("failsift-{}-py3-none-", env!("CARGO_PKG_VERSION"))), "{name}: for every version of Python");
    assert!(cfg!(not(target_os = "linux")) || name.contains("manylinux"), "{name}: for every Linux with that glibc");

    let venv = folder.path().join("venv");
    succeed(Command::new(python()).args(["-m", "venv"]).arg(&venv));
    succeed(Command::new(venv.join("bin/python")).args(["-m", "pip", "install", "--quiet", "--no-index"]).arg(&wheel));
    let version = format!("failsift {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(succeed(Command::new(venv.join("bin/failsift")).arg("--version")), version);
    let mut run = Command::new(venv.join("bin/failsift"));
    run.args(["run", "pipelines/demo.toml", "--format", "json", "--output"]).arg(folder.path().join("out"));
    let summary: serde_json::Value = serde_json::from_str(&succeed(run.env("FAILSIFT_REDACTION_KEY", KEY))).unwrap();
    assert_eq!(summary["stored"], 79);
    let metadata =
        succeed(Command::new(venv.join("bin/python")).args(["-c", "import importlib.metadata as m; print(m.metadata('failsift'))"]));
    assert!(metadata.contains("License-Expression: Apache-2.0") && metadata.contains("Requires-Python: >=3.9"), "{metadata}");

    let mut uvx = tool("uvx");
    uvx.args(["--quiet", "--offline", "--no-config", "--from"]).arg(&wheel).args(["failsift", "--version"]);
    assert_eq!(succeed(uvx.env("UV_CACHE_DIR", folder.path().join("uv")).env("UV_PYTHON", python())), version);
}

#[test]
#[ignore = "needs maturin from PyPI; tests/run prepares it"]
fn the_source_distribution_has_what_the_build_reads_and_no_test_data() {
    let folder = tempfile::tempdir().unwrap();
    succeed(tool("maturin").args(["sdist", "--out"]).arg(folder.path().join("dist")));
    let archive = only_file(&folder.path().join("dist"));
    let megabytes = std::fs::metadata(&archive).unwrap().len() / 1_000_000;
    assert!(megabytes < 5, "{megabytes} MB");
    succeed(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(folder.path()));
    let root = folder.path().join(concat!("failsift-", env!("CARGO_PKG_VERSION")));
    for file in build_inputs() {
        assert!(root.join(&file).exists(), "{} is missing", file.display());
    }
    assert!(!root.join("tests").exists() && !root.join("data/labelled").exists());
    // Cargo refuses to build if a file that Cargo.toml names is missing, even if this build does not need it.
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(&root);
    let metadata: serde_json::Value = serde_json::from_str(&succeed(&mut cargo)).unwrap();
    let targets = metadata["packages"][0]["targets"].as_array().unwrap();
    assert!(targets.len() >= 2, "{targets:?}");
    for target in targets {
        assert!(Path::new(target["src_path"].as_str().unwrap()).exists(), "{target}");
    }
}

#[test]
fn the_image_is_built_from_all_inputs_of_the_build() {
    let dockerfile = std::fs::read_to_string("Dockerfile").unwrap();
    let copied: Vec<&str> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY ").filter(|rest| !rest.starts_with("--from")))
        .flat_map(|rest| rest.split_whitespace().rev().skip(1))
        .collect();
    let allowed = std::fs::read_to_string(".dockerignore").unwrap();
    let allowed: Vec<&str> = allowed.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for file in build_inputs() {
        assert!(copied.iter().any(|path| file.starts_with(path)), "Dockerfile does not copy {}", file.display());
    }
    let (copied, allowed): (BTreeSet<&str>, BTreeSet<&str>) = (copied.into_iter().collect(), allowed.into_iter().collect());
    assert_eq!(copied, allowed, "Dockerfile and .dockerignore");
}

#[test]
#[ignore = "needs hadolint from PyPI; tests/run prepares it"]
fn the_dockerfile_passes_hadolint() {
    succeed(tool("hadolint").arg("Dockerfile"));
}

/// The image has these libraries, and so has every Linux that a wheel is installed on.
#[test]
#[cfg(target_os = "linux")]
fn the_binary_needs_only_glibc_and_libgcc() {
    let libraries = succeed(Command::new("ldd").arg(env!("CARGO_BIN_EXE_failsift")));
    let known = ["linux-vdso", "ld-linux", "libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "libgcc_s.so"];
    let other: Vec<&str> = libraries.lines().filter(|line| !known.iter().any(|name| line.contains(name))).collect();
    assert!(other.is_empty() && libraries.contains("libc.so"), "{libraries}");
}

/// As in a container with a read-only root: only `/tmp` and the output can be written, and there is no home folder.
#[test]
#[cfg(target_os = "linux")]
fn a_run_needs_no_writable_files_but_tmp() {
    let script = format!(
        "mount -t tmpfs tmpfs /tmp && mount -o remount,bind,ro / && ! touch /failsift-test 2>/dev/null && {} run pipelines/demo.toml --output /tmp/out",
        env!("CARGO_BIN_EXE_failsift")
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let output = command.env("FAILSIFT_REDACTION_KEY", KEY).env_remove("HOME").output().expect("unshare creates a mount namespace");
    assert!(output.status.success() && stdout(&output).contains("stored"), "{}{}", stdout(&output), stderr(&output));
}
