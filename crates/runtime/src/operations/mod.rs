//! What a person does by hand: put a file in, archive, replay a flow, ask why.

pub mod archive;
