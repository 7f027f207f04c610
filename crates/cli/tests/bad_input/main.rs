//! What bad input gets, on the real binary: a clear reason in the ledger and in `errors/`, and the flow goes on with
//! the next file. Every test puts a good file beside what is bad and finds it exported.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod changing;
mod configuration;
mod disk;
mod duplicates;
mod exports;
mod imports;
mod kit;
mod manifests;
mod names;
mod outputs;
mod programs;
mod projects;
mod rows;
mod users;
