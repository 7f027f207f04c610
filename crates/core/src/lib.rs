//! The words of Handover as types. This crate does no I/O: it parses, checks and formats.
//!
//! - [`name`]: what an app, a type and a file may be called.
//! - [`manifest`]: the commit marker that lies beside every data file.
//! - [`state`]: a delivery's kinds, statuses and legal transitions.
//! - [`delivery`]: a row of the ledger.
//! - [`error`]: one error type; each says what failed, on what, whether a retry helps and what to do.
//! - [`clock`]: where the time comes from. [`limits`]: every bound in one place.
//! - [`media`]: media types and extensions. [`network`]: the file systems that are another machine's.
//! - [`fault`]: the points at which a test may kill the process.
//! - [`rows`]: counting rows as bytes pass. [`path_text`]: paths of any bytes as text, and back. [`units`]: durations and sizes as people write them.

pub mod clock;
pub mod delivery;
pub mod error;
pub mod fault;
pub mod id;
pub mod json;
pub mod limits;
pub mod manifest;
pub mod media;
pub mod name;
pub mod network;
pub mod path_text;
pub mod rows;
pub mod state;
pub mod suggest;
pub mod trace;
pub mod units;

pub use clock::{Clock, SystemClock};
pub use delivery::{Delivery, NewDelivery};
pub use error::{Error, ErrorKind, Result, Retry};
pub use id::{DeliveryId, HolderId, LeaseToken};
pub use json::Json;
pub use manifest::{Checksum, Manifest};
pub use name::{AppName, FileName, TypeName, WEBHOOK_APP};
pub use rows::CountRows;
pub use state::{Kind, Status};
