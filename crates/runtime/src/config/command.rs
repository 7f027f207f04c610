//! A console program's command line, and how a delivery's values get into it.
//!
//! Invariants: exactly the eight placeholders of [`Placeholder`] are filled in, and those that the app's `job:` declares; each
//! other brace and every `${…}` is left alone; without a shell a value is always one argument or part of one; in a shell a value is never read as
//! code, wherever in the script its placeholder stands.

use super::arguments::{filled, flags};
use super::job::{Argument, How};
use handover_core::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What may be filled into a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Placeholder {
    /// `{input}`: the path of the input file.
    Input,
    /// `{output}`: the path that the program writes to.
    Output,
    /// `{manifest}`: the path of the input's manifest.
    Manifest,
    /// `{config}`: the path of the app's `with:` as JSON.
    Config,
    /// `{delivery_id}`: the delivery's number.
    DeliveryId,
    /// `{type}`: what sort of data it is.
    Type,
    /// `{date}`: the date of its source, YYYY-MM-DD.
    Date,
    /// `{sequence}`: its sequence, three digits or more.
    Sequence,
}

impl Placeholder {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Input,
        Self::Output,
        Self::Manifest,
        Self::Config,
        Self::DeliveryId,
        Self::Type,
        Self::Date,
        Self::Sequence,
    ];

    /// The word between the braces.
    pub fn word(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Manifest => "manifest",
            Self::Config => "config",
            Self::DeliveryId => "delivery_id",
            Self::Type => "type",
            Self::Date => "date",
            Self::Sequence => "sequence",
        }
    }
}

/// The values of one delivery; what it does not have is empty.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Placeholders {
    pub input: OsString,
    pub output: OsString,
    pub manifest: OsString,
    pub config: OsString,
    pub delivery_id: OsString,
    pub type_name: OsString,
    pub date: OsString,
    pub sequence: OsString,
    /// The fields of its configuration, for what the app's `job:` declares.
    pub fields: Map<String, Value>,
}

impl Placeholders {
    fn get(&self, placeholder: Placeholder) -> &OsStr {
        match placeholder {
            Placeholder::Input => &self.input,
            Placeholder::Output => &self.output,
            Placeholder::Manifest => &self.manifest,
            Placeholder::Config => &self.config,
            Placeholder::DeliveryId => &self.delivery_id,
            Placeholder::Type => &self.type_name,
            Placeholder::Date => &self.date,
            Placeholder::Sequence => &self.sequence,
        }
    }
}

/// How a program gets its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// On stdin.
    Stdin,
    /// As a path: `{input}` stands in its command line.
    Path,
    /// Not at all: it runs by a schedule.
    None,
}

/// How a program gives its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// What it prints is the output.
    Stdout,
    /// It writes the file that `{output}` or `HANDOVER_OUTPUT` names.
    File,
    /// It has none.
    None,
}

/// How an app's records are claimed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClaimBy {
    /// Each record is marked as claimed.
    #[default]
    Rows,
    /// What a worker has is noted in one row, and what is completed goes to the archive at once.
    Lanes,
}

/// How long a program lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is started for each delivery.
    Once,
    /// It goes on running and gets one record a line.
    Stream,
}

/// A console program as it was declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    line: Line,
    used: Vec<Fill>,
    arguments: Vec<Argument>,
    /// How it gets its input.
    pub input: Input,
    /// How it gives its output.
    pub output: Output,
    /// How long it lives.
    pub mode: Mode,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    /// Each argument in parts.
    Words(Vec<Vec<Part>>),
    /// A script for `sh`, its placeholders turned into shell variables.
    Shell(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Fill(Fill),
}

/// What stands between braces.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fill {
    Known(Placeholder),
    /// A field of the configuration, by the word that stands for it.
    Field {
        word: String,
        field: String,
    },
}

impl Fill {
    fn word(&self) -> &str {
        match self {
            Self::Known(placeholder) => placeholder.word(),
            Self::Field { word, .. } => word,
        }
    }

    fn value(&self, values: &Placeholders) -> OsString {
        match self {
            Self::Known(placeholder) => values.get(*placeholder).to_owned(),
            Self::Field { field, .. } => filled(field, &values.fields),
        }
    }
}

/// All that may be filled into a command line.
fn fills(arguments: &[Argument]) -> Vec<Fill> {
    let fields = arguments.iter().filter_map(|argument| match &argument.how {
        How::Fill(word) => Some(Fill::Field { word: word.clone(), field: argument.field.clone() }),
        How::Flag(_) | How::Joined(_) => None,
    });
    Placeholder::ALL.into_iter().map(Fill::Known).chain(fields).collect()
}

impl Program {
    /// A program from its `run:` line; with `shell`, the line is a script for `sh`.
    ///
    /// Its input is stdin unless `{input}` stands in the line, its output stdout unless `{output}` does.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where the line is empty or a quote is not closed.
    pub fn new(run: &str, shell: bool) -> Result<Self> {
        Self::with_arguments(run, shell, Vec::new())
    }

    /// The same, where fields of the configuration become arguments: the flags behind the line's own words (of a script they
    /// are `"$@"`), the rest in place of their placeholders.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_arguments(run: &str, shell: bool, arguments: Vec<Argument>) -> Result<Self> {
        if run.trim().is_empty() {
            return Err(
                Error::config("there is no program in it").hint("write a command, such as `run: cat`")
            );
        }
        if run.contains('\0') {
            return Err(Error::config("it holds a NUL character"));
        }
        let known = fills(&arguments);
        let line = if shell { Line::Shell(script(run, &known)) } else { Line::Words(words(run, &known)?) };
        let used: Vec<Fill> = known.into_iter().filter(|one| stands(run, one.word())).collect();
        let has = |placeholder| used.contains(&Fill::Known(placeholder));
        let input = if has(Placeholder::Input) { Input::Path } else { Input::Stdin };
        let output = if has(Placeholder::Output) { Output::File } else { Output::Stdout };
        Ok(Self { line, used, arguments, input, output, mode: Mode::Once })
    }

    /// Whether this placeholder stands in the command line.
    pub fn uses(&self, placeholder: Placeholder) -> bool {
        self.used.contains(&Fill::Known(placeholder))
    }

    /// How fields of the configuration reach the command line.
    pub fn arguments(&self) -> &[Argument] {
        &self.arguments
    }

    /// Whether what stands for this field stands in the command line.
    pub(crate) fn fills(&self, argument: &str) -> bool {
        self.used.iter().any(|one| matches!(one, Fill::Field { word, .. } if word == argument))
    }

    /// Whether the line is a script for `sh`.
    pub fn is_shell(&self) -> bool {
        matches!(self.line, Line::Shell(_))
    }

    /// The program that is started, where its name does not depend on a delivery; `sh` for a script.
    pub fn name(&self) -> Option<&str> {
        match &self.line {
            Line::Shell(_) => Some("sh"),
            Line::Words(words) => match words.first().map(Vec::as_slice) {
                Some([Part::Text(name)]) => Some(name),
                _ => None,
            },
        }
    }

    /// The program and its arguments for one delivery.
    pub fn command(&self, values: &Placeholders) -> Vec<OsString> {
        match &self.line {
            Line::Words(words) => {
                let words = words.iter().map(|word| fill(word, values));
                words.chain(flags(&self.arguments, &values.fields)).collect()
            }
            Line::Shell(script) => {
                let mut line = Vec::new();
                for one in &self.used {
                    line.extend_from_slice(format!("{}=", variable(one)).as_bytes());
                    line.extend_from_slice(&quoted(&one.value(values)));
                    line.extend_from_slice(b"; ");
                }
                line.extend_from_slice(script.as_bytes());
                let mut words = vec!["sh".into(), "-c".into(), OsString::from_vec(line)];
                let flags = flags(&self.arguments, &values.fields);
                if !flags.is_empty() {
                    // The first word behind a script is its `$0`.
                    words.push("sh".into());
                    words.extend(flags);
                }
                words
            }
        }
    }
}

fn words(run: &str, known: &[Fill]) -> Result<Vec<Vec<Part>>> {
    let words = shlex::split(run).ok_or_else(|| {
        Error::config("a quote in it is not closed, or it ends in a backslash")
            .hint("close the quote; `shell: true` gives the line to a shell as it stands")
    })?;
    if words.first().is_none_or(String::is_empty) {
        return Err(Error::config("there is no program in it").hint("write a command, such as `run: cat`"));
    }
    Ok(words.iter().map(|word| parts(word, known)).collect())
}

/// Whether this word stands between braces in a line, so that it is filled in; `${word}` is the program's own.
pub(crate) fn stands(run: &str, word: &str) -> bool {
    run.match_indices(&format!("{{{word}}}")).any(|(at, _)| !run[..at].ends_with('$'))
}

/// The placeholder that a text begins with, and its length.
fn leading<'f>(text: &str, known: &'f [Fill]) -> Option<(&'f Fill, usize)> {
    let inner = text.strip_prefix('{')?;
    let end = inner.find('}')?;
    let found = known.iter().find(|one| one.word() == &inner[..end])?;
    Some((found, end + 2))
}

fn parts(word: &str, known: &[Fill]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(c) = rest.chars().next() {
        match leading(rest, known).filter(|_| !text.ends_with('$')) {
            Some((one, length)) => {
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Fill(one.clone()));
                rest = &rest[length..];
            }
            None => {
                text.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    if !text.is_empty() || parts.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

fn fill(word: &[Part], values: &Placeholders) -> OsString {
    let mut out = OsString::new();
    for part in word {
        match part {
            Part::Text(text) => out.push(text),
            Part::Fill(one) => out.push(one.value(values)),
        }
    }
    out
}

fn variable(one: &Fill) -> String {
    format!("handover_{}", one.word())
}

/// A value as one word of a shell; a NUL, which no path and no name can hold, is left out.
fn quoted(value: &OsStr) -> Vec<u8> {
    let bytes: Vec<u8> = value.as_bytes().iter().copied().filter(|b| *b != 0).collect();
    shlex::bytes::try_quote(&bytes).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

/// Where in a script we are.
#[derive(Clone, Copy, PartialEq)]
enum Quote {
    None,
    Single,
    Double,
    Comment,
}

/// The script with each placeholder turned into a shell variable that is quoted for where it stands. The values are
/// assigned to the variables before it, so that a value is never parsed as part of the script.
fn script(run: &str, known: &[Fill]) -> String {
    let mut out = String::with_capacity(run.len() + 64);
    let mut quote = Quote::None;
    let mut rest = run;
    while let Some(c) = rest.chars().next() {
        if let Some((one, length)) = leading(rest, known).filter(|_| !out.ends_with('$')) {
            let name = variable(one);
            out.push_str(&match quote {
                Quote::None | Quote::Comment => format!("\"${{{name}}}\""),
                Quote::Double => format!("${{{name}}}"),
                Quote::Single => format!("'\"${{{name}}}\"'"),
            });
            rest = &rest[length..];
            continue;
        }
        let at_word = out.is_empty() || out.ends_with(|c: char| c.is_whitespace() || c == ';');
        out.push(c);
        rest = &rest[c.len_utf8()..];
        quote = match (quote, c) {
            (Quote::None, '\'') => Quote::Single,
            (Quote::None, '"') => Quote::Double,
            (Quote::None, '#') if at_word => Quote::Comment,
            (Quote::Single, '\'') | (Quote::Double, '"') | (Quote::Comment, '\n') => Quote::None,
            (Quote::None | Quote::Double, '\\') => {
                if let Some(escaped) = rest.chars().next() {
                    out.push(escaped);
                    rest = &rest[escaped.len_utf8()..];
                }
                quote
            }
            (same, _) => same,
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn values() -> Placeholders {
        Placeholders {
            input: "/d/a b.csv".into(),
            output: "/d/out.csv".into(),
            date: "2025-11-24".into(),
            sequence: "001".into(),
            ..Placeholders::default()
        }
    }

    fn line(run: &str) -> Vec<String> {
        let program = Program::new(run, false).unwrap();
        program.command(&values()).into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn only_the_eight_placeholders_are_filled_in() {
        assert_eq!(line("awk '{print $1}'"), ["awk", "{print $1}"]);
        assert_eq!(line("cp {input} --to={output}"), ["cp", "/d/a b.csv", "--to=/d/out.csv"]);
        assert_eq!(
            line("x ${input} {Input} { input } {inputs} {{input}}"),
            ["x", "${input}", "{Input}", "{", "input", "}", "{inputs}", "{/d/a b.csv}"]
        );
        assert_eq!(line("jq '{date: .d}' {date}-{sequence}"), ["jq", "{date: .d}", "2025-11-24-001"]);
        assert_eq!(line("mlr --icsv '' cat"), ["mlr", "--icsv", "", "cat"]);
    }

    #[test]
    fn input_and_output_follow_from_the_placeholders() {
        let program = Program::new("sort -o {output} {input}", false).unwrap();
        assert_eq!(
            (program.input, program.output, program.name()),
            (Input::Path, Output::File, Some("sort"))
        );
        let program = Program::new("sort", false).unwrap();
        assert_eq!((program.input, program.output), (Input::Stdin, Output::Stdout));
        let program = Program::new("for input in *; do cp ${input} ${output}; done", true).unwrap();
        assert_eq!((program.input, program.output), (Input::Stdin, Output::Stdout));
        assert!(Program::new("echo 'a", false).is_err() && Program::new("  ", true).is_err());
        assert!(Program::new("'' a", false).is_err() && Program::new("# only", false).is_err());
    }

    #[test]
    fn a_shell_never_reads_a_value_as_code() {
        let evil = "a'b\"c $(echo no) `echo no` ;\n*";
        for run in [
            "printf %s {input}",
            "printf %s \"{input}\"",
            "printf %s '{input}'",
            "x=1 # don't\nprintf %s {input}",
            "printf %s \\\"{input}\\\" | tr -d '\\n' | cat && true",
        ] {
            let program = Program::new(run, true).unwrap();
            let command = program.command(&Placeholders { input: evil.into(), ..Placeholders::default() });
            let output = Command::new(&command[0]).args(&command[1..]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success() && text.contains("$(echo no) `echo no`"), "{run}: {text}");
        }
        let program = Program::new("awk '{print $1}' {input} > {output}", true).unwrap();
        assert!(program.is_shell() && program.input == Input::Path && program.output == Output::File);
    }
}
