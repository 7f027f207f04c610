//! Leaving out duplicates, and sorting, in bounded memory.
//!
//! Of duplicates the first is kept by remembering the keys that were seen, as long as they fit into memory: then records
//! go on as they come. Those whose key does not fit go to a sorter by key, as all do where the last is kept; at the end
//! the one to keep of each key goes on, in the order of the input unless the records are sorted anyway.
//!
//! Invariants:
//! - Memory is bounded by [`SEEN_BYTES`] and two sorters of [`SORT_BYTES`].
//! - The records that go on and those left out are the records that came.
//!
//! On a crash nothing is left: scratch files have no name.

use super::config::Keep;
use crate::app::Scratch;
use crate::spill::{Sorted, Sorter};
use handover_core::Result;
use std::collections::HashSet;

/// How much of memory the keys that were seen may take.
pub(super) const SEEN_BYTES: usize = 16 * 1024 * 1024;
/// How much of memory one sorter may take.
pub(super) const SORT_BYTES: usize = 24 * 1024 * 1024;
/// What a key takes beside its bytes, about.
const KEY_EXTRA_BYTES: usize = 48;

/// Whether a record goes on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goes {
    /// It is to be written now.
    On,
    /// It waits, or was a duplicate.
    No,
}

/// The keys that were seen.
struct Seen {
    keys: HashSet<Box<[u8]>>,
    bytes: usize,
    bytes_max: usize,
}

enum See {
    New,
    Again,
    Full,
}

impl Seen {
    fn see(&mut self, key: &[u8]) -> See {
        if self.keys.contains(key) {
            return See::Again;
        }
        let bytes = self.bytes + key.len() + KEY_EXTRA_BYTES;
        if bytes > self.bytes_max {
            // Full for good: what waits came after all that was seen.
            self.bytes = self.bytes_max;
            return See::Full;
        }
        self.bytes = bytes;
        self.keys.insert(key.into());
        See::New
    }
}

struct Duplicates<'a> {
    keep: Keep,
    seen: Option<Seen>,
    /// By key; a record has its sort key before it.
    waiting: Sorter<'a>,
    any_waiting: bool,
}

/// Orders records.
pub(super) struct Ordering<'a> {
    scratch: &'a Scratch<'a>,
    sort_bytes: usize,
    duplicates: Option<Duplicates<'a>>,
    sorter: Option<Sorter<'a>>,
    number: u64,
    left_out: u64,
    /// The sort key of the record under way.
    sort: Vec<u8>,
    /// The record under way with its sort key before it.
    framed: Vec<u8>,
}

impl<'a> Ordering<'a> {
    /// Leaves out duplicates where `keep` is given, and sorts where `sorts`.
    pub(super) fn new(scratch: &'a Scratch<'a>, keep: Option<Keep>, sorts: bool) -> Self {
        Self::with_memory(scratch, keep, sorts, SEEN_BYTES, SORT_BYTES)
    }

    fn with_memory(
        scratch: &'a Scratch<'a>,
        keep: Option<Keep>,
        sorts: bool,
        seen_bytes: usize,
        sort_bytes: usize,
    ) -> Self {
        let sorter = || Sorter::new(scratch, sort_bytes);
        let seen = || Seen { keys: HashSet::new(), bytes: 0, bytes_max: seen_bytes };
        let duplicates = keep.map(|keep| Duplicates {
            keep,
            seen: (keep == Keep::First).then(seen),
            waiting: sorter(),
            any_waiting: false,
        });
        Self {
            scratch,
            sort_bytes,
            duplicates,
            sorter: sorts.then(sorter),
            number: 0,
            left_out: 0,
            sort: Vec::new(),
            framed: Vec::new(),
        }
    }

    /// Takes a record with its keys: what it is the same by, and what it is sorted by.
    ///
    /// # Errors
    /// Where a scratch file cannot be written.
    pub(super) fn take(&mut self, same: &[u8], sort: &[u8], record: &[u8]) -> Result<Goes> {
        self.number += 1;
        // Records with the same sort key stay in the order of the input, also those that waited by another key.
        self.sort.clear();
        if self.sorter.is_some() {
            self.sort.extend_from_slice(sort);
        }
        if self.duplicates.is_some() {
            self.sort.extend_from_slice(&self.number.to_be_bytes());
        }
        let sort = &self.sort;
        if let Some(duplicates) = &mut self.duplicates {
            match duplicates.seen.as_mut().map_or(See::Full, |seen| seen.see(same)) {
                See::New => {}
                See::Again => {
                    self.left_out += 1;
                    return Ok(Goes::No);
                }
                See::Full => {
                    self.framed.clear();
                    self.framed
                        .extend_from_slice(&u32::try_from(sort.len()).unwrap_or(u32::MAX).to_le_bytes());
                    self.framed.extend_from_slice(sort);
                    self.framed.extend_from_slice(record);
                    duplicates.any_waiting = true;
                    duplicates.waiting.push(same, &self.framed)?;
                    return Ok(Goes::No);
                }
            }
        }
        match &mut self.sorter {
            None => Ok(Goes::On),
            Some(sorter) => sorter.push(sort, record).map(|()| Goes::No),
        }
    }

    /// Whether records wait to be written at the end.
    pub(super) fn any_waiting(&self) -> bool {
        self.sorter.is_some() || self.duplicates.as_ref().is_some_and(|duplicates| duplicates.any_waiting)
    }

    /// The records that waited, in their order, and how many were left out in all.
    ///
    /// # Errors
    /// Where a scratch file cannot be written or read.
    pub(super) fn finish(self) -> Result<(Sorted, u64)> {
        let mut left_out = self.left_out;
        let mut sorter = self.sorter.unwrap_or_else(|| Sorter::new(self.scratch, self.sort_bytes));
        if let Some(duplicates) = self.duplicates
            && duplicates.any_waiting
        {
            let keep = duplicates.keep;
            drop(duplicates.seen);
            left_out += one_of_each(duplicates.waiting.sorted()?, keep, &mut sorter)?;
        }
        Ok((sorter.sorted()?, left_out))
    }
}

/// Passes the first or the last record of each key on, and tells how many others there were.
fn one_of_each(mut waiting: Sorted, keep: Keep, into: &mut Sorter<'_>) -> Result<u64> {
    let (mut key, mut kept) = (Vec::new(), Vec::new());
    let (mut any, mut left_out) = (false, 0);
    while let Some(next) = waiting.next()? {
        if any && next.key == key {
            left_out += 1;
            if keep == Keep::First {
                continue;
            }
        } else {
            if any {
                pass(&kept, into)?;
            }
            any = true;
            key.clear();
            key.extend_from_slice(next.key);
        }
        kept.clear();
        kept.extend_from_slice(next.record);
    }
    if any {
        pass(&kept, into)?;
    }
    Ok(left_out)
}

/// A record with its sort key before it.
fn pass(framed: &[u8], into: &mut Sorter<'_>) -> Result<()> {
    let Some((length, rest)) = framed.split_first_chunk::<4>() else { return Ok(()) };
    let (sort, record) = rest.split_at((u32::from_le_bytes(*length) as usize).min(rest.len()));
    into.push(sort, record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use handover_core::Error;
    use proptest::prelude::*;
    use std::fs::File;

    fn temporary() -> Result<File> {
        tempfile::tempfile().map_err(|error| Error::io("create", "a temporary file", error))
    }

    /// Orders numbered records by keys of the same letter, and gives their numbers.
    fn ordered(keys: &[u8], keep: Option<Keep>, sorts: bool, seen: usize, sort: usize) -> (Vec<usize>, u64) {
        let mut ordering = Ordering::with_memory(&temporary, keep, sorts, seen, sort);
        let mut out = Vec::new();
        for (number, key) in keys.iter().enumerate() {
            let record = number.to_string();
            if ordering.take(&[*key], &[*key % 4], record.as_bytes()).unwrap() == Goes::On {
                out.push(number);
            }
        }
        let (mut sorted, left_out) = ordering.finish().unwrap();
        while let Some(record) = sorted.next().unwrap() {
            out.push(std::str::from_utf8(record.record).unwrap().parse().unwrap());
        }
        (out, left_out)
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_plain_way(
            keys in proptest::collection::vec(0u8..20, 0..80), last in any::<bool>(), unique in any::<bool>(),
            sorts in any::<bool>(), seen in 0usize..500, sort in 1usize..600,
        ) {
            let keep = unique.then_some(if last { Keep::Last } else { Keep::First });
            let mut expected: Vec<usize> = (0..keys.len())
                .filter(|at| match keep {
                    None => true,
                    Some(Keep::First) => !keys[..*at].contains(&keys[*at]),
                    Some(Keep::Last) => !keys[at + 1..].contains(&keys[*at]),
                })
                .collect();
            let left_out = (keys.len() - expected.len()) as u64;
            if sorts {
                expected.sort_by_key(|at| keys[*at] % 4);
            }
            let (found, found_left_out) = ordered(&keys, keep, sorts, seen, sort);
            prop_assert_eq!(found_left_out, left_out);
            prop_assert_eq!(found, expected);
        }
    }
}
