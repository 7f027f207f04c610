//! What an app says of its jobs (`job:`): what they may ask for, how that reaches the program, what its exit codes mean.
//!
//! Nothing here runs anything, so a crash loses nothing.

use super::command::{Mode, Placeholder, Program};
use super::decode::decode;
use super::report::Report;
use crate::program::{Meaning, Verdict};
use handover_apps::TextMap;
use handover_apps::validator::SchemaSource;
use handover_core::media;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// An app's own contract for its jobs. The default is that of an app which says nothing: any object will do.
#[derive(Debug, Clone, Default)]
pub struct JobContract {
    /// The JSON Schema of a job's configuration.
    pub config: Option<SchemaSource>,
    /// How the fields of the configuration reach the command line, in this order.
    pub arguments: Vec<Argument>,
    /// The media types that its input may have; none is any.
    pub input: Vec<String>,
    /// The media type of what it prints.
    pub output: Option<String>,
    /// What its exit codes mean.
    pub exit_codes: BTreeMap<i32, ExitCode>,
    /// Whether a job must be submitted with an idempotency key.
    pub key_required: bool,
}

impl JobContract {
    /// What this contract says of a program's end: changes what the end means otherwise, and gives what becomes of the delivery.
    pub(crate) fn meaning(&self, ended: crate::program::How, otherwise: &mut Meaning) -> Option<Then> {
        let crate::program::How::Exit(code) = ended else { return None };
        let said = self.exit_codes.get(&code)?;
        otherwise.sentence = format!("exit code {code}: {}", said.means);
        match said.then {
            Some(Then::Fail | Then::Retry) => otherwise.verdict = Verdict::Retry,
            Some(Then::Later) => otherwise.verdict = Verdict::Later,
            Some(Then::BadData) => otherwise.verdict = Verdict::BadData,
            None => {}
        }
        said.then
    }
}

/// A field of the configuration, and how it reaches the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The field.
    pub field: String,
    /// How.
    pub how: How,
}

/// How a field reaches the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Behind this flag, as the next word.
    Flag(String),
    /// Behind this flag, which ends in `=`, in one word with it.
    Joined(String),
    /// In place of `{…}` with this word in `run:`.
    Fill(String),
}

/// What an exit code means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExitCode {
    /// For people: a clause.
    pub means: String,
    /// For the delivery; none is what the code means otherwise.
    pub then: Option<Then>,
}

/// What becomes of a delivery whose program ended so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// It has failed.
    Fail,
    /// It is tried again, at the cost of an attempt.
    Retry,
    /// It is tried again later, at no cost.
    Later,
    /// The data is bad: it has failed, and a file goes to quarantine.
    BadData,
}

/// Whether a job must have an idempotency key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeyWanted {
    /// It must: without one it is refused.
    Required,
    /// It may.
    #[default]
    Optional,
}

/// `job:` as it is written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Job")]
pub(crate) struct RawJob {
    /// The JSON Schema of a job's configuration: a path, or the schema itself. By default any object will do.
    pub(crate) config: Option<SchemaSource>,
    /// How fields of the configuration reach the command line: `--flag` with the value as the next word, `--flag=` in one word
    /// with it, or `{word}`, which is filled into `run`.
    pub(crate) arguments: Option<TextMap>,
    /// The media types that its input may have; by default any.
    pub(crate) input: Option<Vec<String>>,
    /// The media type of what it prints; by default after the extension.
    pub(crate) output: Option<String>,
    /// What the program's exit codes mean: a text, or `{ means, then }`.
    #[schemars(with = "Option<BTreeMap<String, ExitCodeSchema>>")]
    pub(crate) exit_codes: Option<Map<String, Value>>,
    /// Whether a job must be submitted with an Idempotency-Key.
    pub(crate) idempotency_key: Option<KeyWanted>,
}

/// What an exit code means, as it is written at length.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ExitCode")]
pub(crate) struct RawExitCode {
    /// For people: a clause, such as `the model is missing`.
    means: String,
    /// What becomes of the delivery; by default what the code means otherwise.
    then: Option<Then>,
}

/// The two ways to write an exit code, for editors.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "ExitCodeMeaning")]
#[allow(dead_code, reason = "only its schema is used")]
enum ExitCodeSchema {
    Means(String),
    AtLength(RawExitCode),
}

/// Reads a contract; `path` is that of `job:`. What is wrong goes to the report.
pub(crate) fn read(report: &mut Report<'_>, path: &[&str], raw: RawJob) -> JobContract {
    let at =
        |keys: &[&'static str]| -> Vec<&str> { path.iter().copied().chain(keys.iter().copied()).collect() };
    let arguments = raw.arguments.map(|map| map.0).unwrap_or_default();
    let arguments = arguments
        .into_iter()
        .filter_map(|(field, how)| argument(report, &at(&["arguments"]), field, how))
        .collect();
    for media_type in raw.input.iter().flatten().chain(&raw.output) {
        if !media::is_media_type(media_type) {
            let key = if raw.output.as_ref() == Some(media_type) { "output" } else { "input" };
            report
                .value(&at(&[key]), format!("{media_type:?} is no media type"))
                .help("such as text/csv, application/json or application/x-ndjson");
        }
    }
    JobContract {
        config: raw.config,
        arguments,
        input: raw.input.unwrap_or_default(),
        output: raw.output,
        exit_codes: exit_codes(report, &at(&["exit_codes"]), raw.exit_codes.unwrap_or_default()),
        key_required: raw.idempotency_key == Some(KeyWanted::Required),
    }
}

fn argument(report: &mut Report<'_>, path: &[&str], field: String, how: String) -> Option<Argument> {
    let filled = how.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let taken = filled.filter(|word| Placeholder::ALL.into_iter().any(|one| one.word() == *word));
    if let Some(word) = taken {
        let key: Vec<&str> = path.iter().copied().chain([field.as_str()]).collect();
        report
            .value(&key, format!("`{{{word}}}` stands for something else"))
            .help("choose another word, such as the field's own name with something before it");
        return None;
    }
    let how = match filled {
        Some(word) if is_word(word) => How::Fill(word.to_owned()),
        None if how.len() > 1 && !how.contains(char::is_whitespace) && !how.contains(['{', '}', '\0']) => {
            if how.ends_with('=') {
                How::Joined(how)
            } else {
                How::Flag(how)
            }
        }
        _ => {
            let key: Vec<&str> = path.iter().copied().chain([field.as_str()]).collect();
            report
                .value(&key, format!("{how:?} says no way onto the command line"))
                .help("write a flag (`--threshold`), one that ends in `=` (`--tag=`), or a placeholder of `run` (`{region}`)");
            return None;
        }
    };
    Some(Argument { field, how })
}

fn is_word(word: &str) -> bool {
    word.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn exit_codes(report: &mut Report<'_>, path: &[&str], raw: Map<String, Value>) -> BTreeMap<i32, ExitCode> {
    let mut codes = BTreeMap::new();
    for (key, value) in raw {
        let at: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
        let Some(code) = key.parse::<i32>().ok().filter(|code| (1..=255).contains(code)) else {
            report
                .key(&at, format!("`{key}` is no exit code of a failure"))
                .help("an exit code is 1 to 255; 0 is done");
            continue;
        };
        let said = match value {
            Value::String(means) => Some(ExitCode { means, then: None }),
            _ => decode::<RawExitCode>(report, &at).map(|raw| ExitCode { means: raw.means, then: raw.then }),
        };
        codes.extend(said.map(|said| (code, said)));
    }
    codes
}

/// What a contract and a command line say together; `path` is that of the app.
pub(crate) fn check_program(report: &mut Report<'_>, path: &[&str], run: &str, program: &Program) {
    let at =
        |keys: &[&'static str]| -> Vec<&str> { path.iter().copied().chain(keys.iter().copied()).collect() };
    if program.mode == Mode::Stream && !program.arguments().is_empty() {
        report
            .key(
                &at(&["job", "arguments"]),
                "a stream program is started before its jobs come, so they have no arguments",
            )
            .help("remove `arguments`: each job's configuration comes with it, on the program's stdin");
        return;
    }
    for argument in program.arguments() {
        let How::Fill(word) = &argument.how else { continue };
        if !program.fills(word) {
            let key: Vec<&str> =
                at(&["job", "arguments"]).into_iter().chain([argument.field.as_str()]).collect();
            report
                .value(&key, format!("`{{{word}}}` does not stand in `run`"))
                .help("put it there, or give the field a flag");
        }
    }
    let has_flags = program.arguments().iter().any(|argument| !matches!(argument.how, How::Fill(_)));
    if has_flags && program.is_shell() && !["$@", "$*", "$1"].iter().any(|word| run.contains(word)) {
        report
            .key(&at(&["job", "arguments"]), "the script does not use its arguments")
            .help("write \"$@\" in it, where the flags are to stand");
    }
}

/// What an app that is no program cannot say of its jobs; `path` is that of the app.
pub(crate) fn check_other(report: &mut Report<'_>, path: &[&str], job: &JobContract, is_service: bool) {
    let said = [
        ("config", job.config.is_some()),
        ("arguments", !job.arguments.is_empty()),
        ("exit_codes", !job.exit_codes.is_empty()),
    ];
    for (key, _) in said.into_iter().filter(|(_, there)| *there) {
        let key: Vec<&str> = path.iter().copied().chain(["job", key]).collect();
        report.key(&key, format!("`{}` is for a program", key.last().copied().unwrap_or_default())).help(
            match is_service {
                true => "remove it: a service app is posted the job's input alone",
                false => "remove it: a built-in app is configured by its `with:` alone",
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{gallery, good, snapshot};
    use super::*;

    #[test]
    fn a_contract_is_read() {
        let config = good(
            "apps:
  scorer:
    run: python3 score.py {region}
    job:
      config: schemas/score.json
      arguments: { threshold: --threshold, tags: '--tag=', region: '{region}' }
      input: [text/csv, application/json]
      output: application/json
      exit_codes: { 3: the model is missing, 4: { means: busy, then: later } }
      idempotency_key: required
  plain: { run: cat }
",
        );
        let job = &config.app("scorer").unwrap().job;
        let hows: Vec<&How> = job.arguments.iter().map(|argument| &argument.how).collect();
        assert_eq!(
            hows,
            [&How::Flag("--threshold".into()), &How::Joined("--tag=".into()), &How::Fill("region".into())]
        );
        assert_eq!((job.input.len(), job.output.as_deref()), (2, Some("application/json")));
        assert_eq!(job.exit_codes[&3], ExitCode { means: "the model is missing".into(), then: None });
        assert_eq!(job.exit_codes[&4].then, Some(Then::Later));
        assert!(job.key_required && matches!(job.config, Some(SchemaSource::Path(_))));
        let plain = &config.app("plain").unwrap().job;
        assert!(!plain.key_required && plain.arguments.is_empty() && plain.config.is_none());
    }

    #[test]
    fn contracts_that_cannot_be_are_explained() {
        let app = |job: &str| format!("apps:\n  a:\n    run: cat {{region}}\n    job:\n      {job}\n");
        let cases: Vec<(&str, String)> = vec![
            ("unknown key", app("argument: { a: --a }")),
            ("no way", app("arguments: { a: 'two words' }")),
            ("not in run", app("arguments: { a: '{regoin}' }")),
            ("taken", app("arguments: { a: '{date}' }")),
            ("no media type", app("input: [csv]")),
            ("no exit code", app("exit_codes: { 0: fine, x: odd }")),
            ("no fate", app("exit_codes: { 3: { means: busy, then: sleep } }")),
            ("no key", app("idempotency_key: always")),
            ("stream", "apps: { a: { run: cat, mode: stream, job: { arguments: { a: --a } } } }\n".into()),
            ("script", "apps: { a: { run: cat, shell: true, job: { arguments: { a: --a } } } }\n".into()),
            (
                "built-in",
                "apps: { a: { uses: file-exporter, with: { to: x }, job: { config: {} } } }\n".into(),
            ),
            ("reserved", "apps: { handover-webhook: { run: cat } }\n".into()),
        ];
        let cases: Vec<(&str, &str)> = cases.iter().map(|(name, text)| (*name, text.as_str())).collect();
        snapshot("jobs_that_cannot_be", &gallery(&cases));
    }
}
