use super::*;
use handover_core::{Error, ErrorKind};
use proptest::prelude::*;
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

fn temporary() -> Result<File> {
    tempfile::tempfile().map_err(|error| Error::io("create", "a temporary file", error))
}

fn sorted(records: &[(Vec<u8>, Vec<u8>)], memory_bytes: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut sorter = Sorter::new(&temporary, memory_bytes);
    records.iter().for_each(|(key, record)| sorter.push(key, record).unwrap());
    let mut sorted = sorter.sorted().unwrap();
    let mut all = Vec::new();
    while let Some(record) = sorted.next().unwrap() {
        all.push((record.key.to_vec(), record.record.to_vec()));
    }
    assert!(sorted.next().unwrap().is_none());
    all
}

/// Few keys, so that many are equal, of which some begin alike.
fn records(count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    (0..count)
        .map(|i| (format!("same beginning {}", i * 7919 % 13).into_bytes(), format!("{i}").into_bytes()))
        .collect()
}

fn expected(records: &[(Vec<u8>, Vec<u8>)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut expected = records.to_vec();
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    expected
}

#[test]
fn levels_of_runs_are_merged_and_equal_keys_keep_their_order() {
    let records = records(5_000);
    // About two records a run: runs are merged on three levels.
    assert_eq!(sorted(&records, 100), expected(&records));
    assert_eq!(sorted(&records, 10_000), expected(&records));
}

#[test]
fn what_fits_touches_no_disk() {
    let records = records(100);
    let asked = AtomicUsize::new(0);
    let scratch = || {
        asked.fetch_add(1, Relaxed);
        temporary()
    };
    let mut sorter = Sorter::new(&scratch, 1 << 20);
    records.iter().for_each(|(key, record)| sorter.push(key, record).unwrap());
    assert!(sorter.sorted().unwrap().next().unwrap().is_some());
    assert_eq!(asked.load(Relaxed), 0);
}

#[test]
fn records_longer_than_any_buffer_and_empty_ones() {
    let mut records = records(20);
    records.push((b"same".to_vec(), vec![b'x'; 300_000]));
    records.push((Vec::new(), Vec::new()));
    records.push((vec![b's'; 200_000], b"long key".to_vec()));
    assert_eq!(sorted(&records, 64), expected(&records));
    assert_eq!(sorted(&[], 64), []);
}

#[test]
fn a_scratch_file_that_cannot_be_had_ends_the_sorting() {
    let full = || Err(Error::io("create", "x", std::io::Error::from(std::io::ErrorKind::StorageFull)));
    let mut sorter = Sorter::new(&full, 64);
    let failed = (0..9).find_map(|_| sorter.push(b"key", b"a record of some length").err());
    assert_eq!(failed.unwrap().kind(), ErrorKind::NotYet);
}

proptest! {
    #[test]
    fn it_sorts_as_a_stable_sort_does(
        records in proptest::collection::vec(
            (proptest::collection::vec(0u8..4, 0..12), proptest::collection::vec(any::<u8>(), 0..9)), 0..200),
        memory_bytes in 1usize..4_000,
    ) {
        prop_assert_eq!(sorted(&records, memory_bytes), expected(&records));
    }
}
