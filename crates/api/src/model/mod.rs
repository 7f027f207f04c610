//! What goes over the wire, as types: the OpenAPI document is made from them. Names and meanings are contracts; unknown
//! fields of requests are refused. One module for each resource.

mod apps;
mod deliveries;
mod errors;
mod files;
mod jobs;
mod staging;
mod system;

pub(crate) use apps::*;
pub(crate) use deliveries::*;
pub(crate) use errors::*;
pub(crate) use files::*;
pub(crate) use jobs::*;
pub(crate) use staging::*;
pub(crate) use system::*;
