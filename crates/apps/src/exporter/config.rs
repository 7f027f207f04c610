//! The file-exporter's configuration.

use super::name::USUAL;
use crate::streams::{FormatName, InputConfig, OutputConfig};
use handover_core::{Error, Result, units};
use handover_records::csv::Quoting;
use handover_records::{Compression, Dialect};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Component, Path, PathBuf};

/// The configuration of a file-exporter.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder that exports go to, relative to the configuration, or several: each gets every export. Nothing in
    /// them is ever replaced.
    pub to: Folders,
    /// How the input is read, where its extension does not say it.
    #[serde(default)]
    pub input: InputConfig,
    /// The format of exports: `csv`, `tsv`, `ndjson` or `json`; the input's by default.
    #[serde(default)]
    pub format: Option<FormatName>,
    /// How exported tables are written down: delimiter, quotes, line ends, encoding; as the input's by default.
    #[serde(default)]
    pub dialect: Option<Dialect>,
    /// Which cells are put in quotes: `minimal` (those that need them) or `all`.
    #[serde(default)]
    pub quoting: Option<Quoting>,
    /// How exports are compressed: `none`, `gzip` or `zstd`; as the input is by default. The extension says so too.
    #[serde(default)]
    pub compression: Option<Compression>,
    /// How hard: 0 to 12 for gzip (4), 1 to 22 for zstd (3).
    #[serde(default)]
    pub level: Option<i32>,
    /// Splits an export into several files: `{ rows: 100000 }` or `{ size: 100MB }`.
    #[serde(default)]
    pub split: Option<Split>,
    /// The names of exports: text with `{app} {type} {date} {sequence} {part} {hash} {ext}`. `{hash}` is the first twelve
    /// hex digits of the export's SHA-256, `{part}` which part of a split export it is: 001, 002, ….
    #[serde(default = "usual_name")]
    pub name: String,
    /// Whether an export is read again after writing and compared with what was written (`true`), and each compressed block
    /// is also unpacked again and compared with what went in before it is written (`content`).
    #[serde(default)]
    pub verify: Verify,
}

/// What of an export is looked at again before it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected true, false or content")]
pub enum Verify {
    /// Whether the file is read again and compared with what was written.
    Written(bool),
    /// A word for more.
    More(VerifyMore),
}

/// More than the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VerifyMore {
    /// The file, and what comes out of each compressed block.
    Content,
}

impl Default for Verify {
    fn default() -> Self {
        Self::Written(true)
    }
}

impl Verify {
    /// Whether the file is read again.
    pub(super) fn written(self) -> bool {
        self != Self::Written(false)
    }

    /// Whether compressed blocks are unpacked again.
    pub(super) fn content(self) -> bool {
        self == Self::More(VerifyMore::Content)
    }
}

fn usual_name() -> String {
    USUAL.to_owned()
}

impl Config {
    /// A configuration with this folder, and the usual of everything else.
    pub fn to(folder: PathBuf) -> Self {
        Self {
            to: Folders::One(folder),
            input: InputConfig::default(),
            format: None,
            dialect: None,
            quoting: None,
            compression: None,
            level: None,
            split: None,
            name: usual_name(),
            verify: Verify::default(),
        }
    }

    /// How exports are written.
    pub(super) fn output(&self) -> OutputConfig {
        OutputConfig {
            format: self.format,
            dialect: self.dialect.clone(),
            quoting: self.quoting,
            compression: self.compression,
            level: self.level,
        }
    }
}

/// A folder, or several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a folder, or a list of folders")]
pub enum Folders {
    /// One folder.
    One(PathBuf),
    /// Several folders.
    Several(Vec<PathBuf>),
}

/// More folders than anybody needs.
const FOLDERS_MAX: usize = 16;

impl Folders {
    /// The folders in their order.
    pub fn list(&self) -> &[PathBuf] {
        match self {
            Folders::One(folder) => std::slice::from_ref(folder),
            Folders::Several(folders) => folders,
        }
    }

    pub(super) fn checked(&self) -> Result<Vec<PathBuf>> {
        let list = self.list();
        if list.is_empty() || list.len() > FOLDERS_MAX {
            return Err(Error::config(format!("to: {} folders are given", list.len()))
                .hint(format!("give one, or up to {FOLDERS_MAX}")));
        }
        let plain = |path: &Path| -> PathBuf {
            path.components().filter(|part| *part != Component::CurDir).collect()
        };
        for (index, folder) in list.iter().enumerate() {
            if list[..index].iter().any(|other| plain(other) == plain(folder)) {
                return Err(Error::config("to: a folder is given twice").on(folder.display()));
            }
        }
        Ok(list.to_vec())
    }
}

/// When the next part begins.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// After so many rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Before a part would have more than so many bytes, counted before compression, such as `100MB`.
    #[serde(default, with = "units::size::option", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<crate::importer::Amount>")]
    pub size: Option<u64>,
}

impl Split {
    pub(super) fn check(&self) -> Result<()> {
        match (self.rows, self.size) {
            (None, None) => {
                Err(Error::config("split: neither rows nor size is given").hint("split: { rows: 100000 }"))
            }
            (Some(0), _) | (_, Some(0)) => Err(Error::config("split: a part cannot have nothing in it")),
            _ => Ok(()),
        }
    }
}
