//! `handover reference`, hidden: the whole command line as Markdown, for docs/reference/cli.md. The same for everyone:
//! neither the terminal nor the environment has a say.

use super::Start;
use crate::cli::Cli;
use crate::printer::Outcome;
use clap::{Command, CommandFactory as _};
use std::process::ExitCode;

/// The width of the help texts, in columns.
const WIDTH: usize = 100;

/// Prints it.
pub(crate) fn run(start: &Start) -> Outcome {
    let mut cli = Cli::command().term_width(WIDTH);
    cli.build();
    let mut out = vec![
        "# The commands".to_owned(),
        String::new(),
        "<!-- Written by `handover reference`: change the help texts in crates/cli, not this file. -->".to_owned(),
        String::new(),
        "stdout is data and stderr is talk; `--json` gives JSON wherever a person would see a table. Exit codes: 0 \
         fine, 1 the work failed, 2 the command or the configuration is wrong."
            .to_owned(),
        String::new(),
    ];
    section(&mut cli, "handover", 2, &mut out);
    start.printer.data(out.join("\n").trim_end());
    Ok(ExitCode::SUCCESS)
}

fn section(command: &mut Command, name: &str, level: usize, out: &mut Vec<String>) {
    out.push(format!("{} {name}", "#".repeat(level.min(6))));
    out.push(String::new());
    out.push("```text".to_owned());
    let help = command.clone().term_width(WIDTH).render_long_help().to_string();
    out.extend(help.trim_end().lines().map(|line| line.trim_end().to_owned()));
    out.push("```".to_owned());
    out.push(String::new());
    for inner in
        command.get_subcommands_mut().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
    {
        let name = format!("{name} {}", inner.get_name());
        section(inner, &name, level + 1, out);
    }
}
