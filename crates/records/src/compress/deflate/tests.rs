//! What was compressed is the same again, by readers of another make, and never longer than it may be.

use super::*;
use proptest::prelude::*;
use std::io::Read as _;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    Deflater::new().gzip(plain, &mut packed);
    packed
}

/// Read by two of another make.
fn read(packed: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut text).unwrap();
    let mut again = vec![0; text.len()];
    let length = libdeflater::Decompressor::new().gzip_decompress(packed, &mut again).unwrap();
    assert_eq!(length, text.len());
    assert!(again == text);
    text
}

#[track_caller]
fn comes_back(plain: &[u8]) -> Vec<u8> {
    let packed = gzip(plain);
    assert!(packed.len() <= bound(plain.len()), "{} of {}", packed.len(), plain.len());
    assert!(read(&packed) == plain, "{} bytes", plain.len());
    packed
}

/// Numbers that look drawn, and are the same each time.
fn drawn() -> impl Iterator<Item = u32> {
    std::iter::successors(Some(1_u32), |last| Some(last.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)))
        .map(|n| n >> 8)
}

fn rows(bytes: usize) -> Vec<u8> {
    let mut numbers = drawn();
    let mut text = Vec::new();
    while text.len() < bytes {
        let mut next = |most: u32| numbers.next().unwrap() % most;
        let carrier = ["Delta Air Lines Inc.", "JetBlue Airways", "United Air Lines Inc."][next(3) as usize];
        let row = format!("2013,{},{},{},{carrier},{}\n", next(12), next(2400), next(2400), next(5000));
        text.extend_from_slice(row.as_bytes());
    }
    text.truncate(bytes);
    text
}

#[test]
fn rows_come_back_and_are_small() {
    let plain = rows(1024 * 1024);
    let packed = comes_back(&plain);
    let mut other = vec![0; plain.len()];
    let level = libdeflater::CompressionLvl::new(1).unwrap();
    let length = libdeflater::Compressor::new(level).gzip_compress(&plain, &mut other).unwrap();
    assert!(packed.len() < length, "{} beside {length}", packed.len());
}

#[test]
fn nothing_little_and_the_same_over_and_over_come_back() {
    for length in (0..70).chain([257, 258, 259, 300, 32_767, 32_768, 32_769, 65_535, 65_536, 100_000]) {
        comes_back(&vec![b'a'; length]);
        comes_back(&rows(length));
    }
    assert!(comes_back(b"").len() < 25);
    assert!(comes_back(&vec![0; 1024 * 1024]).len() < 2_000);
}

#[test]
fn what_does_not_get_smaller_is_stored() {
    for length in [1, 100, TOKENS_AND_MORE, 65_535, 65_536, 1024 * 1024] {
        let plain: Vec<u8> = drawn().map(|n| (n >> 7) as u8).take(length).collect();
        comes_back(&plain);
    }
}

const TOKENS_AND_MORE: usize = 40_000;

#[test]
fn a_member_depends_on_its_bytes_alone() {
    let (one, other) = (rows(200_000), vec![b'x'; 70_000]);
    let mut deflater = Deflater::new();
    let mut packed = vec![7; 9];
    deflater.gzip(&one, &mut packed);
    deflater.gzip(&other, &mut packed);
    deflater.gzip(&one, &mut packed);
    assert!(packed == gzip(&one));
}

#[test]
fn counts_that_would_make_too_long_a_code_are_written_all_the_same() {
    // Counts as Fibonacci's numbers make the deepest tree.
    let (mut plain, mut counts) = (Vec::new(), (1, 1));
    for byte in 0..24_u8 {
        plain.extend(std::iter::repeat_n(byte, counts.0));
        counts = (counts.1, counts.0 + counts.1);
    }
    // In an order without matches of four.
    let mut numbers = drawn();
    for last in (1..plain.len()).rev() {
        plain.swap(last, numbers.next().unwrap() as usize % last);
    }
    comes_back(&plain);
}

proptest! {
    #[test]
    fn anything_comes_back(
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..40), 1_usize..2000), 0..60),
        few in prop::collection::vec(prop::sample::select(&b"ab,\n"[..]), 0..5000),
    ) {
        let mut plain = few;
        for (piece, times) in pieces {
            for _ in 0..times % 300 {
                plain.extend_from_slice(&piece);
            }
            plain.extend(piece.iter().rev());
        }
        comes_back(&plain);
    }

    #[test]
    fn small_alphabets_come_back(plain in prop::collection::vec(0_u8..3, 0..3000)) {
        comes_back(&plain);
    }
}
