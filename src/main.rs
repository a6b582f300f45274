//! The `failsift` binary: arguments in, one call, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    failsift::cli::main()
}
