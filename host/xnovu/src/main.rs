//! Parses the command line, runs the command, ends with its exit code.
//!
//! Owns the only exit. Exit codes: 0 done, 1 failed, 2 the command line is wrong, 64 the settings are wrong.

use std::process::ExitCode;

use clap::Parser;
use xnovu::cli::{Cli, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.run_alone().unwrap_or_else(|| serve(cli))
}

#[tokio::main]
async fn serve(cli: Cli) -> ExitCode {
    // Two libraries speak TLS and neither brings cryptography; the first to be installed stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    run(cli).await
}
