//! What a command of a crontab becomes: `run:`, whether by a shell, and what its output is.
//!
//! Invariants: what runs does what cron ran, in the same folder, with the same variables and the same input; only the output
//! may go elsewhere, and a note says so. What cannot be said so is an error with its reason.

use super::names;
use super::shell::{self, CommandLine, Redirect, Simple};
use crate::config::{Placeholder, stands};
use handover_core::name::check_ext;
use std::ops::Range;

/// What holds where the command stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Around {
    /// Variables of the program.
    pub(super) variables: Vec<(String, String)>,
    /// The shell that runs it.
    pub(super) shell: Option<String>,
    /// Whose program it is, in a system crontab.
    pub(super) user: Option<String>,
    /// Who gets what it prints by mail; empty is nobody.
    pub(super) mail_to: Option<String>,
}

/// A command as an app runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Converted {
    pub(super) run: String,
    pub(super) shell: bool,
    /// What its output is, if it has one.
    pub(super) output: Option<DataFile>,
    /// What to look at.
    pub(super) notes: Vec<String>,
    /// What it may be called, and words that tell it from others of that name.
    pub(super) name: String,
    pub(super) more: Vec<String>,
    /// What stands behind a `#` in it.
    pub(super) comment: Option<String>,
    /// Paths that it seems to write and to read.
    pub(super) writes: Vec<String>,
    pub(super) reads: Vec<String>,
}

/// A file of data, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataFile {
    pub(super) type_name: Option<String>,
    pub(super) ext: String,
}

/// Endings of files that hold data.
const DATA: [&str; 26] = [
    "csv", "tsv", "json", "ndjson", "jsonl", "xml", "txt", "sql", "dump", "parquet", "avro", "tar", "tgz",
    "zip", "gz", "xz", "zst", "bz2", "html", "pdf", "xls", "xlsx", "dat", "yaml", "yml", "md",
];
/// Endings that make a bare word a file of the current folder.
const FILES: [&str; 16] = [
    "py", "sh", "pl", "rb", "php", "js", "jar", "conf", "cfg", "ini", "log", "env", "lock", "r", "lua",
    "rake",
];
/// Commands that print nothing, before one whose output counts.
const SILENT: [&str; 13] =
    ["[[", "cd", "export", "set", "umask", "ulimit", "sleep", ".", "source", "test", "[", "mkdir", ":"];
/// Commands at the end of a pipe that take what was printed to its place.
const TAKERS: [&str; 8] = ["mail", "mailx", "sendmail", "mutt", "logger", "tee", "systemd-cat", "ts"];

/// Makes an app's command of it.
///
/// # Errors
/// The reason why it cannot be one.
pub(super) fn convert(command: &str, input: Option<&[String]>, around: &Around) -> Result<Converted, String> {
    let line = shell::read(command)?;
    if line.commands.is_empty() {
        return Err("its command is a comment alone".to_owned());
    }
    let (name, more) = names::suggest(&line);
    let mut notes = Vec::new();
    let (mut cut, output) = output(&line, around, &mut notes);
    cut.extend(line.comment_at.map(|at| at..command.len()));
    let text = without(command, cut);
    let left = shell::read(&text)?;
    let home = needs_home(&left);
    let (run, shell) = compose(&text, &left, input, home, around)?;
    for word in Placeholder::ALL.map(Placeholder::word) {
        if stands(&run, word) {
            return Err(format!(
                "`{{{word}}}` stands in its command, and Handover would fill that in: put the command into a script, and call it"
            ));
        }
    }
    let (writes, reads) = paths(&line);
    Ok(Converted { run, shell, output, notes, name, more, comment: line.comment, writes, reads })
}

/// The text without these parts.
fn without(text: &str, mut cut: Vec<Range<usize>>) -> String {
    cut.sort_by_key(|range| range.start);
    let (mut out, mut at) = (String::new(), 0);
    for range in cut {
        out.push_str(text.get(at..range.start).unwrap_or_default().trim_end_matches(' '));
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out.trim().to_owned()
}

/// What is to be cut out of the line, and what its output is then.
fn output(
    line: &CommandLine,
    around: &Around,
    notes: &mut Vec<String>,
) -> (Vec<Range<usize>>, Option<DataFile>) {
    let Some(last) = line.commands.last() else { return (Vec::new(), None) };
    let stdout = last.redirects.iter().rev().find(|one| writes_stdout(one));
    let Some(to) = stdout else {
        say_mail(line, last, around, notes);
        return (Vec::new(), None);
    };
    if to.target.text == "/dev/null" {
        return (to_nothing(line, last, notes), None);
    }
    match data_file(&to.target.text) {
        Some(file) if is_a_file_each_run(line, to) => (to_a_file(last, to, &file, notes), Some(file)),
        Some(file) => {
            let how =
                if to.operator.contains(">>") { "grows with each run" } else { "is written anew each time" };
            let (path, operator, ext) = (&to.target.text, to.operator, &file.ext);
            let named = file.type_name.as_deref().unwrap_or("data");
            notes.push(format!(
                "`{path}` {how}, as before. To hand on what it prints instead: take `{operator} {path}` out of `run`, and write \
                 `output: stdout`, `type: {named}`, `ext: {ext}`"
            ));
            (Vec::new(), None)
        }
        None => (Vec::new(), None),
    }
}

/// Redirections to nothing, which `output: none` stands for.
fn to_nothing(line: &CommandLine, last: &Simple, notes: &mut Vec<String>) -> Vec<Range<usize>> {
    let alone = !line.compound && line.commands.len() == 1;
    if !alone || !last.redirects.iter().all(is_nothing) {
        return Vec::new();
    }
    if last.redirects.iter().any(|one| ![Some(0), Some(1)].contains(&one.descriptor)) {
        let said = "its error output went to /dev/null; the end of it is now kept with each delivery";
        notes.push(said.to_owned());
    }
    last.redirects.iter().map(|one| one.at.clone()).collect()
}

/// Whether each run prints a file of its own: its name has a date or the like in it, and nothing else is printed.
fn is_a_file_each_run(line: &CommandLine, to: &Redirect) -> bool {
    let others_silent = line.commands.iter().enumerate().all(|(i, one)| {
        let piped = line.commands.get(i + 1).is_none_or(|next| next.after == "|");
        piped || one.words.first().is_some_and(|word| SILENT.contains(&word.text.as_str()))
    });
    !line.compound && !to.operator.contains(">>") && to.target.expands && others_silent
}

/// What is cut out where the file that it printed becomes its output.
fn to_a_file(last: &Simple, to: &Redirect, file: &DataFile, notes: &mut Vec<String>) -> Vec<Range<usize>> {
    let mut cut = vec![to.at.clone()];
    let both = to.operator.starts_with('&') || to.operator == ">&";
    let merged = last.redirects.iter().filter(|one| one.descriptor == Some(2) && one.target.text == "1");
    cut.extend(merged.map(|one| one.at.clone()));
    if both || cut.len() > 1 {
        let said = "its error output went into the file too; now the end of it is kept with each delivery";
        notes.push(said.to_owned());
    }
    if last.after == "|" {
        notes.push(
            "in a pipe only the last program's exit code counts: where an earlier one fails, what came so far is published. \
             Bash's `set -o pipefail` before it makes that a failure"
                .to_owned(),
        );
    }
    let (path, ext) = (&to.target.text, &file.ext);
    let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
    notes.push(format!(
        "it wrote `{path}`; now each run publishes a {ext} file in the data directory. Where others read {folder}, link it to a \
         file-exporter with `to: {folder}`, or put `> …` and `output: none` back"
    ));
    cut
}

/// What the line prints was mailed.
fn say_mail(line: &CommandLine, last: &Simple, around: &Around, notes: &mut Vec<String>) {
    let program = last.words.first().map(|word| base(&word.text)).unwrap_or_default();
    if last.after == "|" && TAKERS.contains(&program) {
        return;
    }
    let inner = line.commands.iter().flat_map(|one| &one.redirects).any(writes_stdout);
    if line.compound && inner {
        return;
    }
    notes.push(match around.mail_to.as_deref() {
        Some("") => "what it prints was thrown away, and still is".to_owned(),
        to => format!(
            "cron mailed what it prints{}; now that is thrown away. To keep it: `output: stdout` and a `type`",
            to.map(|to| format!(" to {to}")).unwrap_or_default()
        ),
    });
}

fn writes_stdout(one: &Redirect) -> bool {
    let both = one.operator.starts_with("&>") || (one.operator == ">&" && !is_descriptor(&one.target.text));
    both || (one.descriptor == Some(1) && [">", ">>", ">|"].contains(&one.operator))
}

fn is_descriptor(text: &str) -> bool {
    text == "-" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}

/// Whether a redirection leads to or from nothing, or to where the other output goes.
fn is_nothing(one: &Redirect) -> bool {
    one.target.text == "/dev/null" || (one.operator == ">&" && ["1", "2"].contains(&one.target.text.as_str()))
}

/// A file of data, if its ending says so: its type is what remains of its name without dates and what a shell fills in.
fn data_file(path: &str) -> Option<DataFile> {
    if path.contains("/log/") || path.contains("/logs/") {
        return None;
    }
    let filled = without_expansions(path);
    let name = filled.rsplit('/').next().unwrap_or_default();
    let (stem, ext) = name.split_once('.')?;
    let ext = ext.to_ascii_lowercase();
    let (stem, ext) = match check_ext(&ext) {
        Ok(()) if ext.split('.').all(|part| DATA.contains(&part)) => (stem, ext),
        _ => {
            let (stem, last) = name.rsplit_once('.')?;
            (stem, last.to_ascii_lowercase())
        }
    };
    DATA.contains(&ext.rsplit('.').next()?).then(|| DataFile {
        type_name: names::slug(stem.trim_end_matches(|c: char| !c.is_alphabetic())),
        ext,
    })
}

/// The path with a hyphen for each thing that a shell fills in.
fn without_expansions(path: &str) -> String {
    let (mut out, mut rest) = (String::new(), path);
    while let Some(at) = rest.find(['$', '`']) {
        out.push_str(&rest[..at]);
        out.push('-');
        let tail = &rest[at..];
        let end = if tail.starts_with("$(") {
            tail.rfind(')').map_or(tail.len(), |end| end + 1)
        } else if tail.starts_with("${") {
            tail.find('}').map_or(tail.len(), |end| end + 1)
        } else if let Some(inner) = tail.strip_prefix('`') {
            inner.find('`').map_or(tail.len(), |end| end + 2)
        } else {
            1 + tail[1..].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
        };
        rest = &tail[end..];
    }
    out + rest
}

/// `run:`, and whether it is a script.
fn compose(
    text: &str,
    line: &CommandLine,
    input: Option<&[String]>,
    home: bool,
    around: &Around,
) -> Result<(String, bool), String> {
    let assignments: Vec<String> = around
        .variables
        .iter()
        .map(|(name, value)| Ok(format!("{name}={}", quoted(value)?)))
        .collect::<Result<_, String>>()?;
    if line.is_words() && input.is_none() && !home {
        let words: Vec<&str> =
            line.commands.iter().flat_map(|one| &one.words).map(|word| word.text.as_str()).collect();
        let as_written = shlex::split(text).is_some_and(|split| split == words);
        let words =
            if as_written { text.to_owned() } else { shlex::try_join(words).map_err(|e| e.to_string())? };
        return Ok((prefixed("env", &assignments, &words), false));
    }
    let mut script = Vec::new();
    if home {
        script.push(match around.user.as_deref() {
            Some(user) if around.variables.iter().all(|(name, _)| name != "HOME") => {
                if !user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
                    return Err(format!("{user:?} is no name of a user"));
                }
                format!("cd ~{user} || exit")
            }
            _ => "cd || exit".to_owned(),
        });
    }
    match input {
        None => script.push(text.to_owned()),
        Some(lines) => {
            let lines: Vec<String> = lines.iter().map(|line| quoted(line)).collect::<Result<_, String>>()?;
            script.push(format!("printf '%s\\n' {} | {{\n{text}\n}}", lines.join(" ")));
        }
    }
    match around.shell.as_deref().filter(|shell| !["sh", "dash"].contains(&base(shell))) {
        Some(shell) => {
            let line = format!("{} -c {}", quoted(shell)?, quoted(&script.join("\n"))?);
            Ok((prefixed("env", &assignments, &line), false))
        }
        None => {
            if !assignments.is_empty() {
                script.insert(0, prefixed("export", &assignments, "").trim_end().to_owned());
            }
            Ok((script.join("\n"), true))
        }
    }
}

fn prefixed(word: &str, assignments: &[String], rest: &str) -> String {
    if assignments.is_empty() { rest.to_owned() } else { format!("{word} {} {rest}", assignments.join(" ")) }
}

fn quoted(text: &str) -> Result<String, String> {
    shlex::try_quote(text).map(std::borrow::Cow::into_owned).map_err(|e| e.to_string())
}

/// The last part of a path.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether it matters in which folder the line is run: cron does so in the user's own.
fn needs_home(line: &CommandLine) -> bool {
    let first = line.commands.first();
    let goes = first.filter(|one| one.words.first().is_some_and(|word| word.text == "cd"));
    if let Some(to) = goes.and_then(|one| one.words.get(1)) {
        return !to.text.starts_with(['/', '~', '$']);
    }
    line.commands.iter().any(|one| {
        let words = one.words.iter().enumerate().any(|(i, word)| is_relative(&word.text, i == 0));
        let files = |redirect: &Redirect| {
            let other = redirect.operator.ends_with('&') || redirect.operator.starts_with("<<");
            !other && !redirect.target.text.starts_with(['/', '~', '$', '`'])
        };
        words || one.redirects.iter().any(files)
    })
}

/// Whether a word looks like a path that depends on the current folder.
fn is_relative(word: &str, is_program: bool) -> bool {
    if let Some(option) = word.strip_prefix('-') {
        return option.split_once('=').is_some_and(|(_, value)| is_relative(value, false));
    }
    if word.starts_with(['/', '~', '$', '`']) || word.contains("://") || word.contains(char::is_whitespace) {
        return false;
    }
    if let Some((before, _)) = word.split_once('/') {
        return !before.contains(':');
    }
    let ext =
        word.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, ext)| ext.to_ascii_lowercase());
    !is_program && ext.is_some_and(|ext| FILES.contains(&ext.as_str()) || DATA.contains(&ext.as_str()))
}

/// The absolute paths that a line seems to write, and those that it seems to read.
fn paths(line: &CommandLine) -> (Vec<String>, Vec<String>) {
    let (mut writes, mut reads) = (Vec::new(), Vec::new());
    for one in &line.commands {
        for redirect in &one.redirects {
            let side = if redirect.operator.starts_with('<') { &mut reads } else { &mut writes };
            side.push(redirect.target.text.clone());
        }
        let program = one.words.first().map(|word| base(&word.text)).unwrap_or_default();
        let moves = ["cp", "mv", "rsync", "install"].contains(&program);
        let count = one.words.len();
        for (i, word) in one.words.iter().enumerate().skip(1) {
            let before = one.words[i - 1].text.as_str();
            let named =
                ["-o", "-O", "--output", "--out", "--output-dir", "--to", "--dest", "-d"].contains(&before);
            let (option, value) = match word.text.split_once('=').filter(|_| word.text.starts_with("--")) {
                Some((option, value)) => (option, value),
                None => ("", word.text.as_str()),
            };
            let out = named || option.starts_with("--out") || (moves && i + 1 == count) || program == "tee";
            if out { &mut writes } else { &mut reads }.push(value.to_owned());
        }
    }
    for side in [&mut writes, &mut reads] {
        side.retain(|path| path.starts_with('/') && !path.starts_with("/dev/"));
    }
    (writes, reads)
}
