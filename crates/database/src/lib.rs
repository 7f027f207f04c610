//! The database door: records go into the ledger in bulk and come out in batches, as lines of JSON.
