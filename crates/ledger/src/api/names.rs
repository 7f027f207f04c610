//! Names of files that nobody else gets.

use handover_core::{AppName, DeliveryId, TypeName};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;

/// Asks for a file name. One output of a delivery (`slot`) has one name for ever.
#[derive(Debug, Clone)]
pub struct Reserve {
    /// The delivery whose output it will be; none for a file that a person puts in.
    pub maker: Option<DeliveryId>,
    /// Which output: `out`, `rejected`, `report`, `quarantine`.
    pub slot: String,
    /// The folder with its date, relative to the data directory, such as `validated/2025-11-24`; or an export's
    /// absolute path.
    pub folder: String,
    /// The app in the name.
    pub app: AppName,
    /// The type in the name.
    pub type_name: TypeName,
    /// The date in the name.
    pub date: Date,
    /// The sequence wanted: taken where it is free and above `floor`.
    pub wanted: Option<u32>,
    /// Every sequence up to this one is taken in the folder.
    pub floor: u32,
    /// This name or none, instead of one by the sequence: an export of its own form, a file put in under its name.
    pub stem: Option<String>,
}

/// A name that nobody else gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The folder as it was asked for.
    pub folder: String,
    /// The name without extension.
    pub stem: String,
    /// The sequence in it.
    pub sequence: u32,
    /// The number set aside for the delivery that this file will be.
    pub file_id: DeliveryId,
    /// When it was made.
    pub reserved_at: Timestamp,
    /// Whether it was made just now, so that a file of this name cannot be ours.
    pub fresh: bool,
}

/// A row of the names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameRow {
    /// The folder.
    pub folder: String,
    /// The name without extension.
    pub stem: String,
    /// The delivery whose output it is.
    pub maker: Option<DeliveryId>,
    /// Which output.
    pub slot: String,
    /// The delivery that the file is.
    pub file_id: DeliveryId,
}
