//! Stream programs (`mode: stream`): a console program that goes on running, is given records and jobs one a line on its stdin,
//! and answers one a line on its stdout.
//!
//! `crew` are an app's workers, `worker` is one of them with its one program, `flight` the records that this has; `jobs` what
//! waits for a worker beside them; `process` the program with its pipes; `lines` what the two
//! say to each other; `commit` how answers come into the ledger; `blame` what a program's end means for the records that
//! it had; `pace` how many it is given at once.
//!
//! # Invariants
//! - A record is with one program at a time. What is claimed and not yet committed is bounded, in number and in bytes.
//! - An answer counts once: the record completes, and what follows is pushed, in one transaction, under its claim's token.
//!   Answers that come while a transaction runs are the next transaction.
//! - A record fails for its program's death only where it was alone with it; no other loses an attempt by that death.
//! - A job is given before the records that wait, and settles by itself. One whose end is asked for while a program has it
//!   ends when that program is gone; what else this had is given again.
//! - The program is a run of the guard like any other: when this process dies, it and all it started are killed.
//!
//! # What happens on a crash
//! Of this process: its leases are rescued, and what was not committed is given again, to another program. So a program may
//! see a record twice, and its answer counts once.

mod blame;
mod commit;
mod crew;
mod flight;
mod jobs;
mod lines;
mod pace;
mod process;
mod worker;

pub(crate) use crew::{Crew, Health};
pub(crate) use jobs::Jobs;
