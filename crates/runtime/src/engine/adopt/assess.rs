//! What is to be thought of a foreign manifest: the same for adopting it and for saying beforehand what would become of
//! it. Nothing here changes anything.

use super::GROWING;
use crate::config::Config;
use handover_core::{DeliveryId, Error, ErrorKind, FileName, Manifest, Result};
use handover_file::arrive::Candidate;
use handover_ledger::Ledger;
use jiff::Timestamp;
use std::path::{Path, PathBuf};

/// What is to be thought of a manifest that another program put into the data directory.
pub(crate) enum Assessed {
    /// It can be adopted: the name of its data file.
    Fine(FileName),
    /// It may come right: what it waits for, and the data file that is looked out for.
    Waits(String, PathBuf),
    /// It cannot be used, and why.
    Refused(Error),
}

/// Looks at a manifest's data file and its apps; `stem` is what the manifest at `path` is named after.
pub(crate) fn assess(
    config: &Config,
    now: Timestamp,
    path: &Path,
    stem: &str,
    manifest: &Manifest,
) -> Assessed {
    let name = match manifest.file_name() {
        Ok(name) if name.stem() == stem => name,
        Ok(_) => {
            let message = format!("the manifest is named {stem} and names {}", manifest.filename);
            return Assessed::Refused(Error::bad_data(message));
        }
        Err(e) => return Assessed::Refused(e),
    };
    let data = path.with_file_name(&manifest.filename);
    let what = match Candidate::look(&data) {
        // It may still be growing, under a manifest that was written too early.
        Ok(seen) if seen.size < manifest.file_size && now.duration_since(seen.mtime) < GROWING => {
            let (there, all) = (seen.size, manifest.file_size);
            Some(format!("{there} of the {all} bytes of {} are there", manifest.filename))
        }
        Ok(_) => undeclared(config, manifest),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Some(format!("its data file {} is not there yet", manifest.filename))
        }
        Err(e) => return Assessed::Refused(e),
    };
    what.map_or(Assessed::Fine(name), |what| Assessed::Waits(what, data))
}

/// What a manifest waits for whose apps are none of ours.
fn undeclared(config: &Config, manifest: &Manifest) -> Option<String> {
    let targets = manifest.targets();
    let none = !targets.is_empty() && targets.iter().all(|app| config.app(app.as_str()).is_none());
    let names = || targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    none.then(|| format!("it is for {}, which is not declared", names()))
}

/// The delivery that this ledger knows a manifest's file as, where it was copied here from another place.
///
/// # Errors
/// Where the ledger cannot be read.
pub(crate) async fn copied(ledger: &dyn Ledger, manifest: &Manifest) -> Result<Option<DeliveryId>> {
    if manifest.ledger.as_deref() != Some(ledger.identity()) {
        return Ok(None);
    }
    let Some(id) = manifest.delivery_id.as_ref().and_then(|id| id.parse::<DeliveryId>().ok()) else {
        return Ok(None);
    };
    // After an older ledger was restored its numbers come again: the same number must be of the same content.
    let same = |data: &serde_json::Value| data.get("checksum") == Some(&serde_json::json!(manifest.checksum));
    Ok(ledger.get(id).await?.filter(|delivery| same(&delivery.data)).map(|delivery| delivery.id))
}
