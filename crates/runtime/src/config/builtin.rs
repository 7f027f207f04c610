//! The built-in apps as they are declared: `uses:` and the `with:` of each.

use super::decode::decode;
use super::report::{Report, did_you_mean};
use handover_apps::{
    Enricher, Exporter, Transformer, Validator, enricher, exporter, importer, transformer, validator,
};
use handover_core::{Error, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A built-in app with its configuration, which has been read and checked as far as that takes no other file.
#[derive(Debug, Clone)]
pub enum BuiltIn {
    /// Brings files in from folders.
    Importer(importer::Config),
    /// Checks rows against a schema.
    Validator(validator::Config),
    /// Makes other columns and other formats of rows.
    Transformer(transformer::Config),
    /// Adds columns by lookup and by calculation.
    Enricher(enricher::Config),
    /// Brings files out to a folder.
    Exporter(exporter::Config),
}

impl BuiltIn {
    /// The name by which `uses:` knows it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Importer(_) => handover_apps::BuiltIn::FileImporter,
            Self::Validator(_) => handover_apps::BuiltIn::Validator,
            Self::Transformer(_) => handover_apps::BuiltIn::Transformer,
            Self::Enricher(_) => handover_apps::BuiltIn::Enricher,
            Self::Exporter(_) => handover_apps::BuiltIn::FileExporter,
        }
        .name()
    }

    /// Tries whether it can start: reads its schema or its reference files, compiles its expressions.
    ///
    /// # Errors
    /// What the app itself says; paths are relative to `base`.
    pub fn try_start(&self, base: &Path) -> Result<()> {
        match self {
            Self::Importer(config) => config.sources(base).map(drop),
            Self::Validator(config) => Validator::new(config, base).map(drop),
            Self::Transformer(config) => Transformer::new(config, base).map(drop),
            Self::Enricher(config) => Enricher::new(config, base).map(drop),
            Self::Exporter(config) => Exporter::new(config).map(drop),
        }
    }

    /// The folders outside the data directory that it reads from or writes to, each with the path of its key below
    /// the app.
    pub(crate) fn folders(&self) -> Vec<(Vec<String>, PathBuf)> {
        let path = |segments: &[&str]| segments.iter().map(|&segment| segment.to_owned()).collect::<Vec<_>>();
        match self {
            Self::Exporter(config) => match &config.to {
                exporter::Folders::One(folder) => vec![(path(&["with", "to"]), folder.clone())],
                exporter::Folders::Several(folders) => folders
                    .iter()
                    .enumerate()
                    .map(|(index, folder)| (path(&["with", "to", &index.to_string()]), folder.clone()))
                    .collect(),
            },
            Self::Importer(config) => {
                let own = config.from.iter().map(|from| (path(&["with", "from"]), from.clone()));
                let listed = config.sources.iter().flatten().enumerate().filter_map(|(index, source)| {
                    Some((path(&["with", "sources", &index.to_string(), "from"]), source.from.clone()?))
                });
                own.chain(listed).collect()
            }
            Self::Validator(_) | Self::Transformer(_) | Self::Enricher(_) => Vec::new(),
        }
    }
}

/// Reads the `with:` of the built-in app that `uses:` names; what is wrong goes to the report.
pub(crate) fn read(report: &mut Report<'_>, path: &[&str], uses: &str, base: &Path) -> Option<BuiltIn> {
    use handover_apps::BuiltIn as Known;
    let known = match handover_apps::built_in(uses) {
        Ok(known) => known,
        Err(error) => {
            let near = did_you_mean(uses, Known::ALL.map(Known::name));
            let uses = [path, &["uses"]].concat();
            report.value(&uses, error.to_string()).maybe_help(near);
            return None;
        }
    };
    let with = [path, &["with"]].concat();
    let builtin = match known {
        Known::FileImporter => decode(report, &with).map(BuiltIn::Importer),
        Known::Validator => decode(report, &with).map(BuiltIn::Validator),
        Known::Transformer => decode(report, &with).map(BuiltIn::Transformer),
        Known::Enricher => decode(report, &with).map(BuiltIn::Enricher),
        Known::FileExporter => decode(report, &with).map(BuiltIn::Exporter),
    }?;
    let takes_no_file = matches!(builtin, BuiltIn::Importer(_) | BuiltIn::Exporter(_));
    if let Some(error) = takes_no_file.then(|| builtin.try_start(base).err()).flatten() {
        refuse(report, path, &error);
        return None;
    }
    Some(builtin)
}

/// An app's own error, at the key that it speaks of where that can be told.
pub(crate) fn refuse(report: &mut Report<'_>, path: &[&str], error: &Error) {
    let message = error.to_string();
    let with = [path, &["with"]].concat();
    let hint = error.hint_text().map(str::to_owned);
    let mut keyed: Vec<String> = with.iter().map(|&segment| segment.to_owned()).collect();
    // `compute: total: …` goes as deep as it names keys; else any key that the first clause mentions will do.
    for word in message.split(": ") {
        keyed.push(word.to_owned());
        if report.document.node(&borrowed(&keyed)).is_none() {
            keyed.pop();
            break;
        }
    }
    if keyed.len() == with.len() {
        let clause = message.split(": ").next().unwrap_or_default();
        let mut words = clause.split(|c: char| !c.is_alphanumeric() && c != '_');
        let found = words.find(|word| report.document.node(&[&with[..], &[word]].concat()).is_some());
        keyed.extend(found.map(str::to_owned));
    }
    let keyed = borrowed(&keyed);
    if keyed.len() == with.len() {
        report.key(&with, message).maybe_help(hint);
    } else {
        report.value(&keyed, message).maybe_help(hint);
    }
}

fn borrowed(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// The schema of each one's `with:`, by its name.
pub(crate) fn schemas(generator: &mut schemars::SchemaGenerator) -> Vec<(&'static str, Value)> {
    use handover_apps::BuiltIn as Known;
    let schema = |app: Known, generator: &mut schemars::SchemaGenerator| match app {
        Known::FileImporter => generator.subschema_for::<importer::Config>(),
        Known::Validator => generator.subschema_for::<validator::Config>(),
        Known::Transformer => generator.subschema_for::<transformer::Config>(),
        Known::Enricher => generator.subschema_for::<enricher::Config>(),
        Known::FileExporter => generator.subschema_for::<exporter::Config>(),
    };
    Known::ALL.into_iter().map(|app| (app.name(), schema(app, generator).into())).collect()
}
