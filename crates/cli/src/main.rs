//! The `handover` binary: arguments, printing, wiring. What it does is in the other crates.

mod cli;
mod commands;
mod logging;
mod printer;
mod progress;
mod table;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            // Help and version are no mistakes; anything else is a wrong command.
            return if e.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    let printer = printer::Printer::new(cli.json);
    match commands::run(cli, &printer) {
        Ok(code) => code,
        Err(error) => printer.fail(&error),
    }
}
