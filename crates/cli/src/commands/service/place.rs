//! A project, and where its unit lies and what it should say.

use super::PlaceArgs;
use super::systemd::Manager;
use super::unit::{self, Owner, Unit};
use crate::commands::{Start, shown};
use crate::printer::Outcome;
use handover_core::{Error, Result};
use handover_runtime::config::LedgerAddress;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A project and the unit that it has, or would have.
pub(super) struct Service {
    pub(super) manager: Manager,
    /// The unit's name with its ending.
    pub(super) name: String,
    /// Where it lies.
    pub(super) file: PathBuf,
    pub(super) config: PathBuf,
    pub(super) folder: PathBuf,
    data: PathBuf,
    on_postgres: bool,
}

impl Service {
    /// That of the project here.
    pub(super) fn of(start: &Start, place: &PlaceArgs) -> Outcome<Self> {
        let config = start.config()?;
        let folder =
            std::fs::canonicalize(&config.base).map_err(|e| Error::io("find", shown(&config.base), e))?;
        let file_name = config.file.file_name().map(PathBuf::from).unwrap_or_default();
        let is_root = rustix::process::geteuid().is_root();
        let manager = if place.system || (is_root && !place.user) { Manager::System } else { Manager::User };
        let name = place.name.clone().unwrap_or_else(|| default_name(&folder));
        let name = format!("{name}.service");
        let data = std::fs::canonicalize(&config.data).unwrap_or_else(|_| folder.clone());
        let on_postgres = matches!(config.ledger, LedgerAddress::Postgres(_));
        Ok(Self {
            manager,
            file: manager.folder()?.join(&name),
            name,
            config: folder.join(file_name),
            folder,
            data,
            on_postgres,
        })
    }

    /// What its unit should say.
    pub(super) fn text(&self, run_as: Option<&str>) -> Result<String> {
        let program = std::env::current_exe().map_err(|e| Error::io("find", "this program", e))?;
        let owner = match (self.manager, run_as) {
            (Manager::User, Some(_)) => {
                return Err(Error::config("a unit of a user runs as that user")
                    .hint("`--run-as` goes with `--system`"));
            }
            (Manager::User, None) => None,
            (Manager::System, Some(user)) => Some(user.to_owned()),
            (Manager::System, None) => Some(owner_of(&self.folder)?),
        };
        let unit = Unit {
            program: &program,
            config: &self.config,
            folder: &self.folder,
            data: &self.data,
            user: owner.as_deref(),
            on_postgres: self.on_postgres,
        };
        unit.text()
    }

    /// The unit that is there, and whose it is; a link, as to /dev/null for a masked unit, is somebody else's.
    pub(super) fn present(&self) -> Result<Option<(String, Owner)>> {
        match std::fs::symlink_metadata(&self.file) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("look at", shown(&self.file), e)),
            Ok(meta) if !meta.is_file() => {
                return Err(Error::config(
                    "a unit of this name is a link or no file, such as one that is masked",
                )
                .on(shown(&self.file))
                .hint("remove it first, or choose another name by `--name`"));
            }
            Ok(_) => {}
        }
        let bytes = std::fs::read(&self.file).map_err(|e| Error::io("read", shown(&self.file), e))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let owner = unit::owner(&text, &self.config);
        Ok(Some((text, owner)))
    }

    /// Why a unit that is not this project's is left alone.
    pub(super) fn refuse(&self, owner: &Owner, doing: &str) -> Error {
        let whose = match owner {
            Owner::AnotherProject(project) => format!("it is the unit of another project, {project}"),
            _ => "somebody else wrote it, not `handover service install`".to_owned(),
        };
        Error::config(format!("the unit is not {doing}: {whose}"))
            .on(shown(&self.file))
            .hint("`--name` chooses another name; `--force` does it all the same")
    }
}

/// `handover-` and the folder's name, in letters that a unit's name has.
fn default_name(folder: &Path) -> String {
    let name = folder.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let words: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let name = if words.is_empty() { "project".to_owned() } else { words.join("-") };
    format!("handover-{}", name.chars().take(100).collect::<String>())
}

/// Who owns the folder: a name, or a number where there is none.
fn owner_of(folder: &Path) -> Result<String> {
    let uid = std::fs::metadata(folder).map_err(|e| Error::io("look at", shown(folder), e))?.uid();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
    });
    Ok(name.unwrap_or_else(|| uid.to_string()))
}
