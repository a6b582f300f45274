//! The `failsift` binary: passes the arguments to the library and returns its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    failsift::cli::main()
}
