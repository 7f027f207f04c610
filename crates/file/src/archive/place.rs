//! Where in the archive a file goes, from its path alone.
//!
//! `{folder}/{date}/{name}` goes to `archive/{month}/{folder}/`. A name that does not carry the date of its folder
//! could come again on another day, so it goes to `archive/{month}/{folder}/{date}/`. The month is that of the
//! date in the name, else of the date folder, else (a file that stands in neither) of its publication.

use crate::layout::{ARCHIVE_FOLDER, DataDir};
use crate::place::{io_error, show};
use crate::publish::manifest_name;
use handover_core::{Error, FileName, Result};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Extensions of what is compressed already.
const COMPRESSED: [&str; 18] = [
    "gz", "tgz", "zst", "bz2", "xz", "lz4", "lzma", "br", "zip", "7z", "rar", "sz", "parquet", "orc", "avro",
    "png", "jpg", "jpeg",
];

/// A place in the archive.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) folder: PathBuf,
    /// The name there.
    pub(super) name: String,
    /// The name without extension.
    pub(super) stem: String,
    /// Whether it is compressed on the way.
    pub(super) compressed: bool,
}

impl Place {
    /// The place of a file; `published` is asked where nothing else tells the month.
    pub(super) fn new(
        data: &DataDir,
        source: &Path,
        name: &str,
        published: Option<Timestamp>,
    ) -> Result<Self> {
        if source.file_name().and_then(|n| n.to_str()) != Some(name) {
            return Err(Error::internal("a manifest does not name the file that it is archived with")
                .on(show(source)));
        }
        let parts = Parts::of(data, source, name)?;
        let published = published.map(|at| at.to_zoned(TimeZone::UTC).date());
        let month = parts.date.or(published).map(month_of);
        let month = month.ok_or_else(|| Error::internal("a file without a date is to be archived"))?;
        Ok(parts.place(&month, name))
    }

    /// All the places at which a file may lie. Only for one whose path tells no month are there many.
    pub(super) fn candidates(data: &DataDir, source: &Path, name: &str) -> Result<Vec<Self>> {
        let Ok(parts) = Parts::of(data, source, name) else { return Ok(Vec::new()) };
        let months = match parts.date {
            Some(date) => vec![month_of(date)],
            None => months_there(data)?,
        };
        Ok(months.iter().map(|month| parts.place(month, name)).collect())
    }

    pub(super) fn manifest_path(&self) -> PathBuf {
        self.folder.join(manifest_name(&self.stem))
    }

    /// The extension of the name there, for its draft.
    pub(super) fn ext(&self) -> String {
        let ext = self.name.rsplit_once('.').map_or("", |(_, ext)| ext);
        if handover_core::name::check_ext(ext).is_ok() { ext.to_owned() } else { "dat".to_owned() }
    }
}

/// A path's parts: `{above}/{date folder}/{name}`.
struct Parts {
    archive: PathBuf,
    above: PathBuf,
    /// The date folder, where the name needs it to be unique.
    below: Option<Date>,
    date: Option<Date>,
}

impl Parts {
    fn of(data: &DataDir, source: &Path, name: &str) -> Result<Self> {
        let outside = || Error::internal("only what lies in the data directory is archived").on(show(source));
        let folder = source.parent().and_then(|p| p.strip_prefix(data.root()).ok()).ok_or_else(outside)?;
        if folder.starts_with(ARCHIVE_FOLDER) || folder.starts_with(crate::layout::STATE_FOLDER) {
            return Err(Error::internal("what lies in the archive is not archived again").on(show(source)));
        }
        let in_folder = folder.file_name().and_then(|n| n.to_str()).and_then(date_of);
        let in_name = name.parse::<FileName>().ok().map(|name| name.date);
        let above = match in_folder {
            Some(_) => folder.parent().unwrap_or(Path::new("")),
            None => folder,
        };
        Ok(Self {
            archive: data.root().join(ARCHIVE_FOLDER),
            above: above.to_owned(),
            below: in_folder.filter(|date| in_name != Some(*date)),
            date: in_name.or(in_folder),
        })
    }

    fn place(&self, month: &str, name: &str) -> Place {
        let mut folder = self.archive.join(month).join(&self.above);
        if let Some(date) = self.below {
            folder.push(date.to_string());
        }
        let last = name.rsplit_once('.').map_or("", |(_, ext)| ext).to_ascii_lowercase();
        let compressed = !COMPRESSED.contains(&last.as_str());
        let stem = stem_of(name);
        let name = if compressed { format!("{name}.zst") } else { name.to_owned() };
        Place { folder, name, stem, compressed }
    }
}

/// What the manifest there is named after: by the convention the name without extension; any other name whole,
/// since nobody knows where its extension begins.
fn stem_of(name: &str) -> String {
    name.parse::<FileName>().map_or_else(|_| name.to_owned(), |parsed| parsed.stem())
}

fn month_of(date: Date) -> String {
    format!("{:04}-{:02}", date.year(), date.month())
}

/// The date that a date folder's name is.
pub(super) fn date_of(name: &str) -> Option<Date> {
    (name.len() == 10).then(|| name.parse().ok()).flatten()
}

fn months_there(data: &DataDir) -> Result<Vec<String>> {
    let archive = data.root().join(ARCHIVE_FOLDER);
    let entries = match fs::read_dir(&archive) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io_error("list", &archive, e)),
    };
    let mut months: Vec<String> =
        entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    months.sort_unstable();
    Ok(months)
}
