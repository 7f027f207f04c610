//! The text of the proposed handover.yaml.
//!
//! Invariants: whatever stands in a crontab comes out as a value or as a comment of one line each, never as YAML of its own;
//! only `run:` is left without `$${`, because nothing is filled in there.

use super::command::DataFile;
use super::folders::Shared;
use super::{Left, Taken};
use handover_core::units::format_duration;
use std::time::Duration;

/// A text of a crontab is shown so long.
const SHOWN_MAX: usize = 200;
/// A comment above a job is its description up to so many characters.
const DESCRIPTION_MAX: usize = 160;
/// So many lines that were not taken over stand in the file; `init` prints them all.
const LEFT_MAX: usize = 200;
/// A comment line is broken behind so many.
const WIDTH: usize = 110;

/// What is written of an app beside its name.
#[derive(Debug, Clone, Default)]
pub(super) struct AppText {
    pub(super) comments: Vec<String>,
    pub(super) run: String,
    pub(super) shell: bool,
    pub(super) schedule: String,
    pub(super) timezone: Option<String>,
    pub(super) timeout: Duration,
    pub(super) output: Option<DataFile>,
    pub(super) description: Option<String>,
}

/// What the file is made of.
#[derive(Default)]
pub(super) struct Parts<'p> {
    pub(super) apps: &'p [Taken],
    pub(super) left: &'p [Left],
    pub(super) notes: &'p [String],
    pub(super) loose: &'p [String],
    pub(super) flows: &'p [Shared],
    pub(super) timezone: &'p str,
}

const HEAD: &str = "\
# Proposed by `handover init --from-crontab`: each job of the crontab is an app with a schedule. Look it through, most of all what
# stands behind \"look:\", then:
#   handover check     whether it is right, and whether the programs are there
#   handover run       runs them by the clock, until stopped; `handover status` and `handover list` show what became of them
# The crontab was not changed: comment out what is taken over, or it runs twice.

# Output, attempts, the ledger and what becomes of each run are kept here.
data: ./data
";

const APPS: &str = "
# As cron, Handover starts each program once at its time, however it ends (`retries: 0`; 3 would try again with growing delays). Other
# than cron, it starts none while its last run goes on, and ends one that overruns its `timeout`. What a program writes to stderr
# is kept with its delivery.
apps:
";

/// The whole file.
pub(super) fn file(parts: &Parts<'_>) -> String {
    let mut out = String::from(HEAD);
    out.push_str(&format!(
        "\n# The time zone that cron goes by here.\ntimezone: {}\n",
        scalar(parts.timezone)
    ));
    if !parts.notes.is_empty() {
        out.push('\n');
        parts.notes.iter().for_each(|note| comment(&mut out, "", note));
    }
    if !parts.loose.is_empty() {
        out.push_str("\n# Other comments of the crontab:\n");
        parts.loose.iter().for_each(|text| comment(&mut out, "", &format!("  {text}")));
    }
    out.push_str(APPS);
    for (i, taken) in parts.apps.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        app(&mut out, taken);
    }
    flows(&mut out, parts.flows);
    if !parts.left.is_empty() {
        out.push_str("\n# Not taken over:\n");
        for left in parts.left.iter().take(LEFT_MAX) {
            comment(&mut out, "", &format!("  line {}: {}", left.line, left.text));
            comment(&mut out, "", &format!("    because {}", left.reason));
        }
        if parts.left.len() > LEFT_MAX {
            comment(
                &mut out,
                "",
                &format!("  and {} more, which `handover init` told of", parts.left.len() - LEFT_MAX),
            );
        }
    }
    out
}

fn app(out: &mut String, taken: &Taken) {
    let app = &taken.app;
    comment(out, "  ", &format!("line {} of the crontab", taken.line));
    app.comments.iter().for_each(|text| comment(out, "  ", text));
    taken.notes.iter().for_each(|note| comment(out, "  ", &format!("look: {note}")));
    out.push_str(&format!("  {}:\n", taken.name));
    if let Some(text) = &app.description {
        out.push_str(&format!("    description: {}\n", scalar(&text.replace("${", "$${"))));
    }
    out.push_str(&format!("    schedule: {}\n", double_quoted(&app.schedule)));
    if let Some(zone) = &app.timezone {
        out.push_str(&format!("    timezone: {}\n", scalar(zone)));
    }
    out.push_str(&format!("    run: {}\n", block(&app.run)));
    if app.shell {
        out.push_str("    shell: true\n");
    }
    match &app.output {
        None => out.push_str("    output: none\n"),
        Some(file) => {
            let type_name = file.type_name.as_deref().unwrap_or(&taken.name);
            out.push_str(&format!(
                "    output: stdout\n    type: {}\n    ext: {}\n",
                scalar(type_name),
                scalar(&file.ext)
            ));
        }
    }
    out.push_str(&format!("    timeout: {}\n    retries: 0\n", format_duration(app.timeout)));
}

fn flows(out: &mut String, flows: &[Shared]) {
    if flows.is_empty() {
        return;
    }
    out.push_str(
        "\n# Perhaps flows. Where one program reads what another writes, a link hands each file over as soon as it is complete, and \
         nothing\n# is read half. The second program then has no `schedule`, and gets the file on stdin, or its path where `{input}` \
         stands.\n",
    );
    for one in flows {
        comment(
            out,
            "",
            &format!(
                "  {} (line {}) writes into {}, and {} (line {}) reads there:",
                one.from, one.from_line, one.folder, one.to, one.to_line
            ),
        );
        comment(out, "", &format!("    flows: {{ {}: {} -> {} }}", one.from, one.from, one.to));
    }
}

/// A comment's line, or several where it is long.
fn comment(out: &mut String, indent: &str, text: &str) {
    let text = visible(text);
    let inner = text.len() - text.trim_start().len();
    let mut line = String::new();
    for word in text.trim_start().split(' ') {
        if !line.is_empty() && inner + line.len() + word.len() > WIDTH {
            out.push_str(&format!("{indent}# {}{line}\n", " ".repeat(inner)));
            line = format!("  {word}");
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out.push_str(format!("{indent}# {}{line}", " ".repeat(inner)).trim_end());
    out.push('\n');
}

/// The text with what has no picture, or turns the direction of writing, made visible.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let unseen = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        match c {
            '\t' => out.push(' '),
            c if c.is_control() || unseen => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// A line of a crontab, as it is shown: what is long is cut, and its line says where the rest is.
pub(super) fn cut(text: &str) -> String {
    let text = visible(text);
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// A value on one line: plain where nothing in it means anything to YAML.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && !text.ends_with(' ')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._- +@,=%".contains(&b))
        && !["true", "false", "yes", "no", "on", "off", "null", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if plain { text.to_owned() } else { double_quoted(text) }
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || visible(c.encode_utf8(&mut [0; 4])).len() != c.len_utf8() => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// A command: as it is on lines of their own where it has several or many quotes, else on one line.
fn block(text: &str) -> String {
    let quotes = text.contains(['"', '\\']) || text.contains('\n');
    let literal = quotes
        && visible(text.replace('\n', " ").as_str()) == text.replace('\n', " ")
        && !text.starts_with([' ', '\t'])
        && !text.ends_with(['\n', ' ', '\t']);
    if !literal {
        return scalar(text);
    }
    text.split('\n')
        .fold("|-".to_owned(), |out, line| format!("{out}\n      {line}").trim_end_matches(' ').to_owned())
}

/// The description and the comments that remain: short comments above a job describe it.
pub(super) fn description(above: Vec<String>, behind: Option<String>) -> (Option<String>, Vec<String>) {
    let above = without_template(above);
    let text = above.iter().filter(|line| !line.is_empty()).cloned().collect::<Vec<_>>().join(" ");
    let behind = behind.filter(|text| !text.is_empty());
    if !text.is_empty() && text.chars().count() <= DESCRIPTION_MAX {
        return (Some(visible(&text)), behind.into_iter().collect());
    }
    match behind {
        Some(behind) if behind.chars().count() <= DESCRIPTION_MAX => (Some(visible(&behind)), above),
        behind => (None, above.into_iter().chain(behind).collect()),
    }
}

/// The comments without those that `crontab -e` begins with, which explain cron itself.
pub(super) fn without_template(mut comments: Vec<String>) -> Vec<String> {
    let starts =
        |comments: &[String], text: &str| comments.first().is_some_and(|first| first.starts_with(text));
    if starts(&comments, "DO NOT EDIT THIS FILE") {
        let told = comments[1..].iter().take_while(|line| line.starts_with('(')).count();
        comments.drain(..=told);
    }
    let is_head = |line: &String| {
        let words: Vec<String> = line.split_whitespace().map(str::to_ascii_lowercase).collect();
        let begins =
            |place: usize, letters: &str| words.get(place).is_some_and(|word| word.starts_with(letters));
        words.len() >= 6
            && begins(0, "m")
            && begins(1, "h")
            && begins(2, "do")
            && begins(3, "m")
            && begins(4, "do")
    };
    if starts(&comments, "Edit this file to introduce tasks")
        && let Some(head) = comments.iter().position(is_head)
    {
        comments.drain(..=head);
    } else if comments.first().is_some_and(is_head) {
        comments.remove(0);
    }
    comments
}
