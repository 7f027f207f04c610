//! What an output is to be called, before it has its number: the words in which a name is asked for.

use handover_core::{AppName, DeliveryId, FileName, TypeName, path_text};
use handover_ledger::Reserve;
use jiff::civil::Date;
use std::borrow::Cow;
use std::path::PathBuf;

/// The slot of an app's own output.
pub(crate) const OUT: &str = "out";

/// Where an output goes.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A folder of the data directory, by its name; the date is added.
    Data(String),
    /// A folder outside, flat.
    Outside(PathBuf),
}

/// What an output is called, before it has its sequence.
#[derive(Debug, Clone)]
pub(crate) struct Naming {
    /// Which output of its delivery: `out`, `rejected`, `report`, `quarantine`; of an export that is several files, `out-2`.
    pub(crate) slot: Cow<'static, str>,
    /// Where it goes.
    pub(crate) place: Place,
    /// The app in its name.
    pub(crate) app: AppName,
    /// The type in its name.
    pub(crate) type_name: TypeName,
    /// The date in its name.
    pub(crate) date: Date,
    /// The sequence wanted: the input's.
    pub(crate) wanted: Option<u32>,
    /// Its extension.
    pub(crate) ext: String,
    /// A name of its own form, without extension (exports).
    pub(crate) stem: Option<String>,
}

impl Naming {
    /// The folder as the ledger keeps it.
    pub(super) fn key(&self) -> String {
        match &self.place {
            Place::Data(name) => format!("{name}/{}", self.date),
            Place::Outside(path) => path_text::to_text(path),
        }
    }

    /// What the ledger is asked for, for an output of this delivery.
    pub(crate) fn reserve(&self, maker: DeliveryId, floor: u32) -> Reserve {
        Reserve {
            maker: Some(maker),
            slot: self.slot.clone().into_owned(),
            folder: self.key(),
            app: self.app.clone(),
            type_name: self.type_name.clone(),
            date: self.date,
            wanted: self.wanted,
            floor,
            stem: self.stem.clone(),
        }
    }
}

/// The input's place in the convention, for what is made from it.
pub(crate) fn naming_like(
    name: &FileName,
    slot: impl Into<Cow<'static, str>>,
    place: Place,
    app: &AppName,
    ext: String,
) -> Naming {
    Naming {
        slot: slot.into(),
        place,
        app: app.clone(),
        type_name: name.type_name.clone(),
        date: name.date,
        wanted: Some(name.sequence),
        ext,
        stem: None,
    }
}
