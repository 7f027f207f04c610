//! The file-importer: where files come from. Finding and taking them is the file door's; here is what a person may
//! configure, its checks, and the pass-through copy for the console.
//!
//! Invariant: the copy is byte for byte; rows are counted, never changed.

use crate::app::{AppIo, Outcome, RowApp};
use crate::config::resolve;
use crate::exporter::{ExportFrom, Exporter};
use crate::streams::InputConfig;
use globset::{Glob, GlobBuilder};
use handover_core::limits::SETTLE_DEFAULT_MS;
use handover_core::name::check_ext;
use handover_core::{Error, Result, TypeName, units};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The configuration of a file-importer. With `sources`, what stands beside it holds for every source that does not
/// say otherwise.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder that files arrive in, relative to the configuration.
    #[serde(default)]
    pub from: Option<PathBuf>,
    /// Which files: a glob over the name, or over the path below `from` where it has a `/`. `*.csv` by default.
    #[serde(default)]
    pub pattern: Option<String>,
    /// What sort of data they hold: a part of every file's name from here on.
    #[serde(default, rename = "type")]
    #[schemars(with = "Option<String>")]
    pub type_name: Option<TypeName>,
    /// How long a file must have been left alone before it is taken, such as `5s`; 1s by default. A file that was
    /// renamed in or has a done-marker is taken at once.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    pub settle: Option<Duration>,
    /// The largest file that is taken, such as `500 MB` or a number of bytes; unlimited by default.
    #[serde(default, with = "units::size::option")]
    #[schemars(with = "Option<Amount>")]
    pub max_size: Option<u64>,
    /// What becomes of the original: `leave` (the default), `move` (to `move_to`) or `delete`.
    #[serde(default)]
    pub original: Option<Original>,
    /// Where originals are moved to, relative to the configuration; needs `original: move`.
    #[serde(default)]
    pub move_to: Option<PathBuf>,
    /// What becomes of content that came before under another name: `skip`, `warn` (the default: it goes through, with
    /// a warning) or `reject`.
    #[serde(default)]
    pub duplicates: Option<Duplicates>,
    /// Whether folders below `from` count too.
    #[serde(default)]
    pub recursive: Option<bool>,
    /// The extension that imported files get, where theirs is not the right one.
    #[serde(default)]
    pub ext: Option<String>,
    /// Where a file's date comes from: `name` (the default: a date in its name, else as `modified`), `modified` (its
    /// modification time) or `arrived` (now).
    #[serde(default)]
    pub date: Option<Dating>,
    /// How the files are read for counting their rows, where their extension does not say it.
    #[serde(default)]
    pub input: Option<InputConfig>,
    /// Several folders or patterns, each with its own `type`.
    #[serde(default)]
    pub sources: Option<Vec<Source>>,
}

/// One of several sources: the same keys, each for this source alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The folder that files arrive in.
    #[serde(default)]
    pub from: Option<PathBuf>,
    /// Which files.
    #[serde(default)]
    pub pattern: Option<String>,
    /// What sort of data they hold.
    #[serde(default, rename = "type")]
    #[schemars(with = "Option<String>")]
    pub type_name: Option<TypeName>,
    /// How long a file must have been left alone.
    #[serde(default, with = "units::duration::option")]
    #[schemars(with = "Option<String>")]
    pub settle: Option<Duration>,
    /// The largest file that is taken.
    #[serde(default, with = "units::size::option")]
    #[schemars(with = "Option<Amount>")]
    pub max_size: Option<u64>,
    /// What becomes of the original.
    #[serde(default)]
    pub original: Option<Original>,
    /// Where originals are moved to.
    #[serde(default)]
    pub move_to: Option<PathBuf>,
    /// What becomes of content that came before.
    #[serde(default)]
    pub duplicates: Option<Duplicates>,
    /// Whether folders below `from` count too.
    #[serde(default)]
    pub recursive: Option<bool>,
    /// The extension that imported files get.
    #[serde(default)]
    pub ext: Option<String>,
    /// Where a file's date comes from.
    #[serde(default)]
    pub date: Option<Dating>,
    /// How the files are read for counting their rows.
    #[serde(default)]
    pub input: Option<InputConfig>,
}

/// A size as a configuration has it: a number of bytes, or text with a unit.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)]
pub(crate) enum Amount {
    Bytes(u64),
    Text(String),
}

/// What becomes of an original that was imported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Original {
    /// It stays where it is.
    #[default]
    Leave,
    /// It goes to `move_to`.
    Move,
    /// It is deleted.
    Delete,
}

/// What becomes of content that came before under another name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Duplicates {
    /// It is not imported, and that is said.
    Skip,
    /// It is imported, with a warning.
    #[default]
    Warn,
    /// It goes to quarantine.
    Reject,
}

/// Where a file's date comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dating {
    /// A date in its name, else its modification time.
    #[default]
    Name,
    /// Its modification time.
    Modified,
    /// The time at which it is imported.
    Arrived,
}

/// A source, complete and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportSource {
    /// The folder that files arrive in.
    pub from: PathBuf,
    /// The glob.
    pub pattern: String,
    /// What sort of data they hold.
    pub type_name: TypeName,
    /// How long a file must have been left alone.
    pub settle: Duration,
    /// The largest file that is taken, in bytes.
    pub max_size: Option<u64>,
    /// What becomes of the original.
    pub original: Original,
    /// Where originals are moved to; there where `original` is `Move`.
    pub move_to: Option<PathBuf>,
    /// What becomes of content that came before.
    pub duplicates: Duplicates,
    /// Whether folders below `from` count too.
    pub recursive: bool,
    /// The extension that imported files get.
    pub ext: Option<String>,
    /// Where a file's date comes from.
    pub date: Dating,
    /// How the files are read for counting their rows.
    pub input: InputConfig,
}

impl ImportSource {
    /// The pattern, compiled: `*` does not match a `/`.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] where it is no glob.
    pub fn glob(&self) -> Result<Glob> {
        GlobBuilder::new(&self.pattern).literal_separator(true).build().map_err(|error| {
            Error::config(format!("pattern: {:?} is no glob", self.pattern))
                .because(error)
                .hint("such as *.csv, sales-*.csv or {orders,returns}_*.csv")
        })
    }
}

impl Config {
    /// The sources, complete and checked; paths are made absolute to `base`.
    ///
    /// # Errors
    /// [`handover_core::ErrorKind::Config`] naming what is missing or does not go together.
    pub fn sources(&self, base: &Path) -> Result<Vec<ImportSource>> {
        let none = Source::default();
        let found = match &self.sources {
            None => vec![self.source(&none, base)?],
            Some(list) if list.is_empty() => return Err(Error::config("sources is an empty list")),
            Some(list) => list
                .iter()
                .enumerate()
                .map(|(i, source)| self.source(source, base).map_err(|e| e.on(format!("sources[{i}]"))))
                .collect::<Result<Vec<_>>>()?,
        };
        for (index, source) in found.iter().enumerate() {
            if found[..index].iter().any(|other| other.from == source.from && other.pattern == source.pattern)
            {
                return Err(Error::config(format!(
                    "two sources have the folder {} and the pattern {}",
                    source.from.display(),
                    source.pattern
                )));
            }
        }
        Ok(found)
    }

    fn source(&self, own: &Source, base: &Path) -> Result<ImportSource> {
        let from = own.from.as_ref().or(self.from.as_ref()).filter(|from| !from.as_os_str().is_empty());
        let from = from.ok_or_else(|| {
            Error::config("a file-importer needs `from`")
                .hint("from: ./incoming is the folder that files arrive in")
        })?;
        let type_name = own.type_name.as_ref().or(self.type_name.as_ref()).cloned().ok_or_else(|| {
            Error::config("a file-importer needs `type`")
                .hint("type: sales says what sort of data the files hold")
        })?;
        let ext = own.ext.as_ref().or(self.ext.as_ref()).cloned();
        if let Some(ext) = &ext {
            check_ext(ext)?;
        }
        let source = ImportSource {
            from: resolve(base, from),
            pattern: own
                .pattern
                .as_ref()
                .or(self.pattern.as_ref())
                .cloned()
                .unwrap_or_else(|| "*.csv".to_owned()),
            type_name,
            settle: own.settle.or(self.settle).unwrap_or(Duration::from_millis(SETTLE_DEFAULT_MS)),
            max_size: own.max_size.or(self.max_size),
            original: own.original.or(self.original).unwrap_or_default(),
            move_to: own.move_to.as_ref().or(self.move_to.as_ref()).map(|path| resolve(base, path)),
            duplicates: own.duplicates.or(self.duplicates).unwrap_or_default(),
            recursive: own.recursive.or(self.recursive).unwrap_or(false),
            ext,
            date: own.date.or(self.date).unwrap_or_default(),
            input: own.input.as_ref().or(self.input.as_ref()).cloned().unwrap_or_default(),
        };
        source.glob()?;
        match (source.original, &source.move_to) {
            (Original::Move, None) => Err(Error::config("original: move needs `move_to`")),
            (Original::Leave | Original::Delete, Some(_)) => {
                Err(Error::config("move_to is given, and original is not move").hint("write original: move"))
            }
            (Original::Move, Some(to)) if *to == source.from => {
                Err(Error::config("move_to is the folder that files arrive in"))
            }
            _ => Ok(source),
        }
    }
}

/// A file-importer whose configuration is checked; run by itself it copies its input.
#[derive(Debug)]
pub struct Importer {
    sources: Vec<ImportSource>,
    copying: Exporter,
}

impl Importer {
    /// Checks the configuration; paths are relative to `base`. The folders are not touched.
    ///
    /// # Errors
    /// As [`Config::sources`].
    pub fn new(config: &Config, base: &Path) -> Result<Self> {
        let copying = Exporter::copying(config.input.clone().unwrap_or_default())?;
        Ok(Self { sources: config.sources(base)?, copying })
    }

    /// An importer that only copies: for the console.
    ///
    /// # Errors
    /// None that a person can cause.
    pub fn copying(input: InputConfig) -> Result<Self> {
        Ok(Self { sources: Vec::new(), copying: Exporter::copying(input)? })
    }

    /// Where files come from.
    pub fn sources(&self) -> &[ImportSource] {
        &self.sources
    }
}

impl RowApp for Importer {
    fn name(&self) -> &'static str {
        "file-importer"
    }

    fn run(&self, io: AppIo<'_>) -> Result<Outcome> {
        let watch = io.watch();
        let from = ExportFrom {
            input: io.input,
            input_ext: io.input_ext,
            watch,
            options: io.options,
            known: None,
            hash_content: false,
        };
        let mut output = Some(io.output);
        let mut open = |_| output.take().ok_or_else(|| Error::internal("an import was begun twice"));
        self.copying.export(from, io.rejected, &mut open).map(|(outcome, _)| outcome)
    }
}

#[cfg(test)]
#[path = "importer_tests.rs"]
mod tests;
