//! The built-in apps of a configuration, compiled: schemas read, references loaded, patterns made into globs. What
//! is wrong with them is found here, before anything runs.

use crate::config::{App, BuiltIn, Config, Runs};
use crate::operations::jobs::Contracts;
use globset::{GlobSet, GlobSetBuilder};
use handover_apps::importer::{Dating, ImportSource, Original};
use handover_apps::{Enricher, Exporter, RowApp, Transformer, Validator};
use handover_core::{AppName, Checksum, Error, Result};
use handover_file::arrive::{Candidate, Disposal, date_of};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// All of them, by app.
#[derive(Default)]
pub struct Built {
    /// Validators, transformers and enrichers.
    pub(crate) row_apps: HashMap<AppName, Arc<dyn RowApp>>,
    /// Where importers look.
    pub(crate) importers: HashMap<AppName, Arc<Vec<Source>>>,
    /// Exporters with their folders.
    pub(crate) exporters: HashMap<AppName, Export>,
    /// Casts of cells where files are split into records, by the path of their schema as it was written.
    pub(crate) casts: HashMap<PathBuf, Cast>,
}

/// A cast of the cells of tables.
#[derive(Clone)]
pub(crate) struct Cast {
    pub(crate) app: Arc<Transformer>,
    /// Of its schema.
    pub(crate) checksum: Checksum,
}

/// A source of foreign files.
#[derive(Debug)]
pub(crate) struct Source {
    /// What is configured.
    pub(crate) config: ImportSource,
    /// Its pattern, compiled.
    pub(crate) patterns: GlobSet,
}

/// An exporter and where it exports to.
#[derive(Clone)]
pub(crate) struct Export {
    pub(crate) exporter: Arc<Exporter>,
    /// At least one.
    pub(crate) folders: Vec<PathBuf>,
    /// Whether its names follow the convention.
    pub(crate) by_convention: bool,
}

impl Source {
    /// What becomes of an original that was imported.
    pub(crate) fn disposal(&self) -> Disposal {
        match (self.config.original, &self.config.move_to) {
            (Original::Move, Some(folder)) => Disposal::Move(folder.clone()),
            (Original::Delete, _) => Disposal::Delete,
            (Original::Leave | Original::Move, _) => Disposal::Leave,
        }
    }

    /// The date that its file gets.
    pub(crate) fn date(&self, candidate: &Candidate, zone: &TimeZone, now: Timestamp) -> Date {
        let on = |time: Timestamp| time.to_zoned(zone.clone()).date();
        match self.config.date {
            Dating::Name => date_of(&candidate.path, candidate.mtime, zone),
            Dating::Modified => on(candidate.mtime),
            Dating::Arrived => on(now),
        }
    }
}

impl Built {
    /// Compiles the built-in apps of a configuration.
    ///
    /// # Errors
    /// What is wrong with the first of them, with its app named.
    pub fn new(config: &Config) -> Result<Self> {
        let mut built = Self::default();
        // Only to be told early: whoever takes jobs keeps them.
        Contracts::new(config)?;
        for app in &config.apps {
            built.add(config, app).map_err(|e| about(format!("app {}", app.name), &e))?;
        }
        for link in config.flows.iter().flat_map(|flow| &flow.links) {
            let Some(schema) = link.cast.as_ref().filter(|schema| !built.casts.contains_key(*schema)) else {
                continue;
            };
            let (app, checksum) = Transformer::casting(schema, &config.base)
                .map_err(|e| about(format!("the link from {} to {}: cast", link.from, link.to), &e))?;
            built.casts.insert(schema.clone(), Cast { app: Arc::new(app), checksum });
        }
        Ok(built)
    }

    fn add(&mut self, config: &Config, app: &App) -> Result<()> {
        let Runs::BuiltIn(uses) = &app.runs else { return Ok(()) };
        let (name, base) = (app.name.clone(), config.base.as_path());
        match uses {
            BuiltIn::Importer(with) => {
                let sources = with.sources(base)?.into_iter().map(compile).collect::<Result<Vec<_>>>()?;
                self.importers.insert(name, Arc::new(sources));
            }
            BuiltIn::Exporter(with) => {
                let exporter = Exporter::new(with)?;
                let place = |to: &PathBuf| base.join(to).components().collect();
                let export = Export {
                    folders: exporter.folders().iter().map(place).collect(),
                    by_convention: exporter.names_by_convention(),
                    exporter: Arc::new(exporter),
                };
                self.exporters.insert(name, export);
            }
            BuiltIn::Validator(with) => {
                self.row_apps.insert(name, Arc::new(Validator::new(with, base)?));
            }
            BuiltIn::Transformer(with) => {
                self.row_apps.insert(name, Arc::new(Transformer::new(with, base)?));
            }
            BuiltIn::Enricher(with) => {
                self.row_apps.insert(name, Arc::new(Enricher::new(with, base)?));
            }
        }
        Ok(())
    }
}

/// An error with what it is about before it.
pub(crate) fn about(what: String, error: &Error) -> Error {
    let again = Error::config(what).because(error.to_string());
    match error.hint_text() {
        Some(hint) => again.hint(hint),
        None => again,
    }
}

pub(crate) fn compile(config: ImportSource) -> Result<Source> {
    let patterns = GlobSetBuilder::new()
        .add(config.glob()?)
        .build()
        .map_err(|e| Error::config(format!("pattern: {:?} is no glob", config.pattern)).because(e))?;
    Ok(Source { config, patterns })
}
