//! What a person does by hand: put a file in, push records, archive, replay a flow, ask why.

pub mod account;
pub mod alerts;
pub mod archive;
pub mod balance;
pub mod copy;
pub mod expect;
pub mod facts;
pub mod forget;
pub mod growth;
pub mod health;
pub mod jobs;
pub mod lineage;
pub mod picture;
pub mod plan;
pub mod put;
pub mod records;
pub mod replay;
pub mod running;
pub mod show;
pub mod sizes;
pub mod status;
pub mod storage;
pub mod times;
pub mod why;
pub mod work;
