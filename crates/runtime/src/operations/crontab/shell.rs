//! Whether a command line needs a shell, and what it does with its output: a reader of sh's words, operators and
//! redirections. It runs nothing.
//!
//! Invariants: what it takes for plain words means the same to a program that is started without a shell, word by word; in
//! doubt it says that a shell is needed. No text makes it panic, and it looks at each character once.

use std::ops::Range;

/// A word of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// Where it stands.
    pub(super) at: Range<usize>,
    /// What it means without quotes; what a shell would fill in stands in it as it is written.
    pub(super) text: String,
    /// Whether a shell would fill in something, or match names of files.
    pub(super) expands: bool,
    /// Whether a part of it is quoted.
    pub(super) quoted: bool,
}

/// `2>> file`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    /// Where it stands, with its target.
    pub(super) at: Range<usize>,
    /// Whose output or input: 0, 1, 2, …; `&>` is none.
    pub(super) descriptor: Option<u32>,
    /// `>`, `>>`, `<`, `>&`, …
    pub(super) operator: &'static str,
    /// To or from where.
    pub(super) target: Word,
}

/// One command between operators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Simple {
    /// What stands before it: `|`, `&&`, `;`, …; nothing before the first.
    pub(super) after: &'static str,
    pub(super) words: Vec<Word>,
    pub(super) redirects: Vec<Redirect>,
}

/// A whole command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) commands: Vec<Simple>,
    /// What stands behind a `#`.
    pub(super) comment: Option<String>,
    /// Where that comment begins.
    pub(super) comment_at: Option<usize>,
    /// There is a parenthesis, a background job, or another thing that makes the parts hard to tell apart.
    pub(super) compound: bool,
}

/// The operators, longest first.
const OPERATORS: [&str; 10] = ["&&", "||", ";;", "|&", "|", "&", ";", "(", ")", "\n"];
const REDIRECTIONS: [&str; 13] =
    ["&>>", "<<<", "<<-", "&>", ">>", "<<", ">&", "<&", ">|", "<>", ">", "<", "<("];

/// What only a shell can do.
const BUILTINS: [&str; 40] = [
    "cd", ".", "source", "export", "set", "unset", "ulimit", "umask", "exec", "eval", "trap", "wait", ":",
    "if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "{", "}", "!",
    "[[", "]]", "function", "time", "alias", "shopt", "read", "return", "exit", "local", "declare",
    "command",
];

/// Whether this first word is the shell's own.
pub(super) fn is_builtin(word: &str) -> bool {
    BUILTINS.contains(&word)
}

/// Whether this is `NAME=value`, which a shell takes for an assignment before a command.
pub(super) fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

impl CommandLine {
    /// Whether words alone do: one command, nothing to fill in, no redirection.
    pub(super) fn is_words(&self) -> bool {
        let [only] = &self.commands[..] else { return false };
        !self.compound && only.redirects.is_empty() && only.is_plain()
    }
}

impl Simple {
    /// Whether its words mean the same without a shell.
    pub(super) fn is_plain(&self) -> bool {
        let Some(first) = self.words.first() else { return false };
        !self.words.iter().any(|word| word.expands)
            && (first.quoted || !(is_builtin(&first.text) || is_assignment(&first.text)))
    }
}

/// Reads a command line.
///
/// # Errors
/// What a shell would refuse: a quote that is not closed, a redirection to nowhere.
pub(super) fn read(text: &str) -> Result<CommandLine, String> {
    Reader { text, at: 0, line: CommandLine::default(), current: Simple::default() }.read()
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    line: CommandLine,
    current: Simple,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn read(mut self) -> Result<CommandLine, String> {
        while let Some(c) = self.rest().chars().next() {
            if c == ' ' || c == '\t' {
                self.at += 1;
            } else if c == '#' {
                self.line.comment_at = Some(self.at);
                self.line.comment = Some(self.rest().trim_start_matches('#').trim().to_owned());
                break;
            } else if !self.redirect()? && !self.operator() {
                let word = self.word()?;
                self.current.words.push(word);
            }
        }
        self.end_command("");
        Ok(self.line)
    }

    fn end_command(&mut self, next: &'static str) {
        let done = std::mem::replace(&mut self.current, Simple { after: next, ..Simple::default() });
        if !done.words.is_empty() || !done.redirects.is_empty() {
            self.line.commands.push(done);
        }
    }

    fn operator(&mut self) -> bool {
        let Some(operator) = OPERATORS.into_iter().find(|one| self.rest().starts_with(one)) else {
            return false;
        };
        self.at += operator.len();
        self.line.compound |= ["(", ")", "&", ";;", "|&"].contains(&operator);
        self.end_command(operator);
        true
    }

    /// A redirection with its descriptor and target, if one stands here.
    fn redirect(&mut self) -> Result<bool, String> {
        let from = self.at;
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let after = &self.rest()[digits..];
        let Some(operator) = REDIRECTIONS.into_iter().find(|one| after.starts_with(one)) else {
            return Ok(false);
        };
        if digits > 0 && operator.starts_with('&') {
            return Ok(false);
        }
        let descriptor = match (digits, operator) {
            (0, "&>" | "&>>") => None,
            (0, one) if one.starts_with('<') => Some(0),
            (0, _) => Some(1),
            (digits, _) => self.rest()[..digits].parse().ok(),
        };
        self.at += digits + operator.len();
        while self.rest().starts_with([' ', '\t']) {
            self.at += 1;
        }
        if self.rest().is_empty() || self.rest().starts_with(['|', '&', ';', '(', ')', '<', '>', '\n']) {
            return Err(format!("its `{operator}` names no file"));
        }
        let target = self.word()?;
        self.line.compound |= operator == "<(";
        self.current.redirects.push(Redirect { at: from..self.at, descriptor, operator, target });
        Ok(true)
    }

    /// A word up to the next blank or operator that is not quoted.
    fn word(&mut self) -> Result<Word, String> {
        let from = self.at;
        let mut word = Word { at: from..from, text: String::new(), expands: false, quoted: false };
        while let Some(c) = self.rest().chars().next() {
            match c {
                ' ' | '\t' | '\n' | '|' | '&' | ';' | '(' | ')' | '<' | '>' => break,
                '\'' => {
                    let inner = &self.text[self.at + 1..];
                    let end = inner.find('\'').ok_or("a quote in it is not closed")?;
                    word.text.push_str(&inner[..end]);
                    word.quoted = true;
                    self.at += end + 2;
                }
                '"' => self.double(&mut word)?,
                '\\' => {
                    let escaped = self.text[self.at + 1..].chars().next().ok_or("it ends in a backslash")?;
                    word.text.push(escaped);
                    word.quoted = true;
                    self.at += 1 + escaped.len_utf8();
                }
                '$' | '`' => self.expansion(&mut word)?,
                c => {
                    let names_files = "*?[".contains(c);
                    let tilde = c == '~' && (word.text.is_empty() || word.text.ends_with(['=', ':']));
                    let braces = c == '{' && self.braces();
                    word.expands |= names_files || tilde || braces;
                    word.text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        word.at.end = self.at;
        Ok(word)
    }

    /// `{a,b}` or `{1..9}`, which some shells make several words of.
    fn braces(&self) -> bool {
        let rest = self.rest();
        let inner = rest.find('}').map_or("", |end| &rest[1..end]);
        inner.contains(',') || inner.contains("..")
    }

    /// A text in double quotes.
    fn double(&mut self, word: &mut Word) -> Result<(), String> {
        self.at += 1;
        word.quoted = true;
        loop {
            let c = self.rest().chars().next().ok_or("a quote in it is not closed")?;
            match c {
                '"' => {
                    self.at += 1;
                    return Ok(());
                }
                '\\' => {
                    let escaped =
                        self.text[self.at + 1..].chars().next().ok_or("a quote in it is not closed")?;
                    if !"$`\"\\\n".contains(escaped) {
                        word.text.push('\\');
                    }
                    word.text.push(escaped);
                    self.at += 1 + escaped.len_utf8();
                }
                '$' | '`' => self.expansion(word)?,
                c => {
                    word.text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
    }

    /// `$NAME`, `${…}`, `$(…)` or `` `…` ``: taken over as it is written.
    fn expansion(&mut self, word: &mut Word) -> Result<(), String> {
        let rest = self.rest();
        let length = if let Some(inner) = rest.strip_prefix('`') {
            inner.find('`').map(|end| end + 2).ok_or("a backquote in it is not closed")?
        } else if rest.starts_with("$(") {
            closing(rest, '(', ')').ok_or("a `$(` in it is not closed")?
        } else if rest.starts_with("${") {
            closing(rest, '{', '}').ok_or("a `${` in it is not closed")?
        } else {
            // A `$` by itself is one.
            let name = rest[1..].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
            let special = rest[1..].starts_with(['?', '#', '$', '!', '@', '*', '-', '\'', '"']);
            word.expands |= name > 0 || special;
            1 + name
        };
        word.expands |= length > 1;
        word.text.push_str(&rest[..length]);
        self.at += length;
        Ok(())
    }
}

/// Up to where what is opened behind a `$` is closed; quotes in it are looked over.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => {
                chars.next();
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, c) if c == open => depth += 1,
            (None, c) if c == close => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + c.len_utf8());
                }
            }
            _ => {}
        }
    }
    None
}
