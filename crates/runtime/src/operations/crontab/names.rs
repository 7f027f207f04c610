//! What an app may be called, from the command that it runs: the script or program, not what starts it.

use super::command::base;
use super::shell::{self, CommandLine, Word, is_assignment, is_builtin};
use handover_file::layout::default_folder;

/// A name has so many characters at most, so that a number fits behind it.
const LENGTH_MAX: usize = 40;

/// Programs that start another, with the options of theirs that have a value, and how many words stand before the other.
const STARTERS: [(&str, &[&str], usize); 17] = [
    ("env", &["-u", "-C"], 0),
    ("nice", &["-n"], 0),
    ("ionice", &["-c", "-n", "-p"], 0),
    ("chrt", &[], 1),
    ("flock", &["-w", "-E"], 1),
    ("timeout", &["-k", "-s"], 1),
    ("sudo", &["-u", "-g"], 0),
    ("doas", &["-u"], 0),
    ("runuser", &["-u", "-g"], 0),
    ("nohup", &[], 0),
    ("setsid", &[], 0),
    ("stdbuf", &[], 0),
    ("chronic", &[], 0),
    ("cronic", &[], 0),
    ("time", &["-f", "-o"], 0),
    ("exec", &[], 0),
    ("xvfb-run", &["-s", "-n"], 0),
];
/// Programs whose work is in a script.
const INTERPRETERS: [&str; 16] = [
    "python", "perl", "ruby", "php", "node", "nodejs", "sh", "bash", "dash", "zsh", "ksh", "rscript", "java",
    "lua", "deno", "su",
];
/// Those of them whose script may stand in the command line.
const SHELLS: [&str; 6] = ["sh", "bash", "dash", "zsh", "ksh", "su"];
/// Scripts that do whatever their first word says.
const BY_WORD: [&str; 10] =
    ["manage", "artisan", "console", "rake", "wp", "occ", "run-parts", "drush", "certbot", "magento"];
/// Names of scripts that say nothing without their folder's.
const VAGUE: [&str; 9] = ["main", "run", "cron", "index", "app", "job", "start", "script", "task"];
/// Commands before the one that does the work.
const BEFORE: [&str; 21] = [
    "for", "while", "until", "case", "cd", "test", "[", "[[", "export", "set", "sleep", ".", "source",
    "umask", "ulimit", ":", "true", "mkdir", "if", "echo", "printf",
];

/// A text in the letters that a name has; none where nothing is left.
pub(super) fn slug(text: &str) -> Option<String> {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
        if out.len() >= LENGTH_MAX {
            break;
        }
    }
    let out = out.trim_end_matches('-');
    (!out.is_empty()).then(|| out.to_owned())
}

/// A name for the line, and words that tell it from others.
pub(super) fn suggest(line: &CommandLine) -> (String, Vec<String>) {
    let (name, more) = of_line(line, 0);
    (fit(&name), more)
}

fn of_line(line: &CommandLine, depth: usize) -> (String, Vec<String>) {
    let works = |words: &&[Word]| words.first().is_some_and(|word| !BEFORE.contains(&word.text.as_str()));
    let all = || line.commands.iter().map(|one| one.words.as_slice());
    let words = all().find(works).or_else(|| all().next_back()).unwrap_or_default();
    let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
    of_words(&texts, depth)
}

/// A name that no rule of the configuration refuses.
fn fit(name: &str) -> String {
    let name = slug(name).unwrap_or_else(|| "job".to_owned());
    let kept = crate::config::is_kept(default_folder(&name));
    if kept || name.starts_with("handover-") { format!("run-{name}") } else { name }
}

fn of_words(words: &[&str], depth: usize) -> (String, Vec<String>) {
    let words = worker(words);
    let Some((program, rest)) = words.split_first() else { return (String::new(), Vec::new()) };
    let program = stem(program);
    let kind = program.to_ascii_lowercase();
    let kind = kind.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    // `sh -c '…'`, `su - user -c '…'`, `flock FILE -c '…'`: what stands inside.
    let script = match words {
        ["-c", script, ..] => Some(*script),
        _ if SHELLS.contains(&kind) => rest
            .iter()
            .position(|word| word.starts_with('-') && !word.starts_with("--") && word.ends_with('c'))
            .and_then(|at| rest.get(at + 1).copied()),
        _ => None,
    };
    if let Some(Ok(line)) = script.filter(|_| depth < 3).map(shell::read) {
        return of_line(&line, depth + 1);
    }
    if !INTERPRETERS.contains(&kind) {
        return named(words[0], rest);
    }
    let script = rest.iter().position(|word| !word.starts_with('-'));
    match script {
        Some(at) => named(rest[at], &rest[at + 1..]),
        None => (program.to_owned(), Vec::new()),
    }
}

/// The words without what only starts the program.
fn worker<'w, 't>(mut words: &'w [&'t str]) -> &'w [&'t str] {
    loop {
        let Some((first, rest)) = words.split_first() else { return words };
        if is_assignment(first) || (is_builtin(first) && *first != "." && !rest.is_empty()) {
            words = rest;
            continue;
        }
        let Some((_, valued, before)) = STARTERS.iter().find(|(name, ..)| *name == base(first)) else {
            return words;
        };
        let mut at = 0;
        while let Some(option) = rest.get(at).filter(|word| word.starts_with('-') || is_assignment(word)) {
            at += if valued.contains(option) { 2 } else { 1 };
        }
        at += before;
        match rest.get(at..).filter(|left| !left.is_empty()) {
            Some(left) => words = left,
            None => return words,
        }
    }
}

/// A name after a script or program, and plain words behind it.
fn named(path: &str, rest: &[&str]) -> (String, Vec<String>) {
    let plain = |word: &&&str| {
        !word.starts_with('-')
            && word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
            && word.len() < 60
    };
    let mut more: Vec<String> =
        rest.iter().filter(plain).filter_map(|word| slug(stem(word))).take(3).collect();
    let mut name = stem(path).to_owned();
    let lower = name.to_ascii_lowercase();
    if BY_WORD.contains(&lower.as_str()) && !more.is_empty() {
        name = format!("{name}-{}", more.remove(0));
    } else if VAGUE.contains(&lower.as_str()) {
        let vague = ["", ".", "..", "bin", "src", "scripts", "sbin", "usr", "local", "opt", "current"];
        let folder =
            path.rsplit('/').skip(1).find(|part| !vague.contains(part) && !part.starts_with(['$', '~']));
        name = folder.map_or(name.clone(), |folder| format!("{folder}-{name}"));
    }
    (name, more)
}

/// The last part of a path without its ending.
fn stem(path: &str) -> &str {
    let name = base(path.trim_end_matches('/'));
    match name.rsplit_once('.') {
        Some((stem, ext))
            if !stem.is_empty() && ext.len() <= 4 && ext.bytes().all(|b| b.is_ascii_alphabetic()) =>
        {
            stem
        }
        _ => name,
    }
}

/// The first name of these that is free: the name, the name with a word behind it, the name with a number.
pub(super) fn free(name: &str, more: &[String], taken: &dyn Fn(&str) -> bool) -> String {
    let with_words = more.iter().map(|word| fit(&format!("{name}-{word}")));
    let numbered = (2..).map(|number: u32| format!("{name}-{number}"));
    std::iter::once(name.to_owned())
        .chain(with_words)
        .chain(numbered)
        .find(|one| !taken(one))
        .unwrap_or_default()
}
