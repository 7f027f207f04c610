//! The `handover` binary: arguments, printing, wiring. What it does is in the other crates.

mod cli;
mod commands;
mod logging;
mod printer;
mod progress;
mod supervisor;
mod table;

use clap::Parser as _;
use std::io::IsTerminal as _;
use std::process::ExitCode;

/// Small blocks that come and go on several threads at once are most of what a runtime allocates.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return not_parsed(&e),
    };
    let printer = printer::Printer::new(cli.json);
    printer::end(match commands::run(cli, &printer) {
        Ok(code) => code,
        Err(error) => printer.fail(&error),
    })
}

/// Help and version are no mistakes; anything else is a wrong command.
fn not_parsed(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let text = error.render();
        let colour = std::io::stdout().is_terminal();
        let text = if colour { text.ansi().to_string() } else { text.to_string() };
        printer::Printer::new(false).data(text.trim_end());
        return printer::end(ExitCode::SUCCESS);
    }
    // What follows `--` is another program's.
    if std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json") {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let answer = serde_json::json!({ "error": { "code": "USAGE_ERROR", "message": message, "hint": text.trim_end() } });
        printer::Printer::new(true).data(answer);
    } else {
        let _ = error.print();
    }
    ExitCode::from(2)
}
