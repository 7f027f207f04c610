//! `handover advise`: which pattern a link should have.

use super::Start;
use crate::printer::{Outcome, Printer};
use crate::table::{Cell, Column, Table, Tone};
use handover_core::{Error, Result};
use handover_runtime::operations::advise::{
    Advice, External, Fit, Judged, Need, Needs, Setup, Volume, advise, yes,
};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

const HELP: &str = "\
Says how well each pattern meets what a link needs, by the table in docs/concepts/which-pattern.md and by what was measured \
(bench/RESULTS.md), and prints the lines for handover.yaml. What is left out does not matter; on a terminal it is asked for, one \
question after the other.

Examples:
  handover advise
  handover advise --volume 2M/day --latency 10s --replay yes
  handover advise --latency 50ms --query yes --external no --setup nothing --json";

/// The arguments of `advise`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// How much goes along the link: 2000000/day, 50/s, 10GB/day
    #[arg(long, value_name = "VOLUME", value_parser = super::parsed::<Volume>)]
    volume: Option<Volume>,
    /// How long one may take from its maker to its reader: 500ms, 10s, 1h
    #[arg(long, value_name = "TIME", value_parser = super::length)]
    latency: Option<Duration>,
    /// Whether data of the past will be run again: yes or no
    #[arg(long, value_name = "YES", value_parser = yes_or_no)]
    replay: Option<bool>,
    /// Whether people or programs ask for single records: yes or no
    #[arg(long, value_name = "YES", value_parser = yes_or_no)]
    query: Option<bool>,
    /// How programs of others take part: no, files, sql or http
    #[arg(long, value_name = "HOW", value_parser = super::parsed::<External>)]
    external: Option<External>,
    /// What may be set up for it: nothing, or any
    #[arg(long, value_name = "WHAT", value_parser = super::parsed::<Setup>)]
    setup: Option<Setup>,
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    yes(text).map_err(|e| e.to_string())
}

/// Runs it.
pub(crate) fn run(start: &Start, args: &Args) -> Outcome {
    let printer = start.printer;
    let mut needs = Needs {
        volume: args.volume,
        latency: args.latency,
        replay: args.replay,
        query: args.query,
        external: args.external,
        setup: args.setup,
    };
    let asks = !printer.is_json() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if asks {
        ask(printer, &mut needs)?;
    } else if !Need::ALL.into_iter().any(|need| needs.says(need)) {
        return Err(Error::config("nothing is said of what the link needs")
            .hint("say it by options, such as `--volume 2M/day --latency 10s --replay yes`; on a terminal it is asked for")
            .into());
    }
    let advice = advise(&needs);
    if printer.is_json() {
        printer.json(&serde_json::json!({ "needs": needs, "advice": advice }));
    } else {
        say(printer, &needs, &advice);
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for what was not said.
fn ask(printer: Printer, needs: &mut Needs) -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let open = Need::ALL.into_iter().filter(|need| !needs.says(*need)).collect::<Vec<_>>();
    if !open.is_empty() {
        printer.talk("What does the link need? Enter alone: it does not matter.");
    }
    for need in open {
        loop {
            let _ = write!(std::io::stderr().lock(), "{} ", need.question());
            let Some(line) = lines.next() else { return Ok(()) };
            let line = line.map_err(|e| Error::io("read", "standard input", e))?;
            match needs.answer(need, &line) {
                Ok(()) => break,
                Err(e) => match e.hint_text() {
                    Some(hint) => printer.talk(format_args!("{e} ({hint})")),
                    None => printer.talk(&e),
                },
            }
        }
    }
    Ok(())
}

fn say(printer: Printer, needs: &Needs, advice: &Advice) {
    let names: Vec<String> = advice.best.iter().map(ToString::to_string).collect();
    printer.data(match &names[..] {
        [] => "No pattern meets all of that.".to_owned(),
        [one] => format!("A link by {one}."),
        _ => format!("These come out equal: by {}.", names.join(", by ")),
    });
    for judged in advice.doors.iter().filter(|judged| !judged.judgements.is_empty()) {
        printer.data(format_args!("\nby {}: {}", judged.by, sum(judged)));
        let mut table = Table::new(&[Column::left(""), Column::left(""), Column::text("")]).indent(2);
        for judgement in &judged.judgements {
            let tone = match judgement.fit {
                Fit::No => Tone::Bad,
                Fit::Poor => Tone::Warn,
                Fit::Fair | Fit::Good => Tone::Plain,
            };
            let fit = Cell::toned(judgement.fit.word(), tone);
            table.cells([judgement.need.word().into(), fit, judgement.why.as_str().into()]);
        }
        printer.data(table);
    }
    let silent: Vec<&str> = Need::ALL.into_iter().filter(|need| !needs.says(*need)).map(Need::word).collect();
    if !silent.is_empty() {
        printer.data(format_args!("\nTaken as of no weight: {}.", silent.join(", ")));
    }
    if !advice.decide.is_empty() {
        let head = if advice.best.is_empty() { "What would have to give" } else { "What would decide" };
        printer.data(format_args!("\n{head}:\n  {}", advice.decide.join("\n  ")));
    }
    for (name, lines) in names.iter().zip(&advice.lines) {
        printer.data(format_args!("\nIn handover.yaml, by {name}:\n"));
        for line in lines.lines() {
            printer.data(format_args!("    {line}"));
        }
    }
}

fn sum(judged: &Judged) -> String {
    let most = judged.judgements.len() * 3;
    if judged.possible { format!("{} of {most}", judged.points) } else { "not possible".to_owned() }
}
