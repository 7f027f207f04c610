//! A compressor for tables: gzip members (RFC 1952) of DEFLATE (RFC 1951), made for rows that repeat the few values of their columns.
//!
//! It stands where compressors that look for the best match of all spend their time on rows: of each four bytes only the last three
//! places are known ([`matches`]), the first eight bytes of all three are compared without a branch, only the shortest match is
//! held against the one that begins a byte later, and what lies within a long match is not noted down. Decision 0026 has the figures.
//!
//! Invariants:
//! - What a member holds depends on its bytes alone, not on the members before.
//! - A member is at most [`bound`] long: a block that does not get smaller is stored.

mod bits;
mod block;
mod huffman;
mod matches;

use bits::Bits;
use block::Block;
use matches::{Match, Places};

/// Before the compressed bytes, RFC 1952, 2.3: no name, no time, no system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// After them: a checksum and the length.
const TRAILER_BYTES: usize = 8;
/// A match that is shorter is held against the one that begins at the next byte.
const HELD_BELOW: usize = 5;
/// Within a longer match only the places at its begin and its end are noted down.
const LONG: usize = 16;
/// So many of them.
const NOTED: usize = 2;

/// Compresses member after member.
pub(super) struct Deflater {
    places: Box<Places>,
    block: Box<Block>,
}

/// How many bytes a member of so many bytes has at most.
pub(super) fn bound(plain_bytes: usize) -> usize {
    HEADER.len() + block::bound(plain_bytes) + TRAILER_BYTES
}

impl Deflater {
    pub(super) fn new() -> Self {
        Self { places: Box::default(), block: Box::default() }
    }

    /// Compresses to a member, which takes the place of what `packed` held.
    pub(super) fn gzip(&mut self, plain: &[u8], packed: &mut Vec<u8>) {
        packed.resize(bound(plain.len()), 0);
        packed[..HEADER.len()].copy_from_slice(&HEADER);
        let end = HEADER.len() + self.deflate(plain, &mut packed[HEADER.len()..]);
        packed.truncate(end);
        let mut checksum = libdeflater::Crc::new();
        checksum.update(plain);
        packed.extend(checksum.sum().to_le_bytes());
        // RFC 1952, 2.3.1: the length modulo 2^32.
        packed.extend((plain.len() as u32).to_le_bytes());
    }

    /// Compresses into `out`; how many bytes that took.
    fn deflate(&mut self, plain: &[u8], out: &mut [u8]) -> usize {
        self.places.forget();
        let mut bits = Bits::new(out);
        let mut at = 0;
        loop {
            let from = at;
            at = fill(&mut self.places, &mut self.block, plain, from);
            let is_last = at == plain.len();
            self.block.write(&plain[from..at], is_last, &mut bits);
            if is_last {
                return bits.end();
            }
        }
    }
}

/// Fills the block with what stands from `at` on, and says where it ends.
fn fill(places: &mut Places, block: &mut Block, plain: &[u8], mut at: usize) -> usize {
    while !block.is_full() {
        let Some(found) = places.longest(plain, at) else {
            let Some(&byte) = plain.get(at) else { break };
            block.literal(byte);
            at += 1;
            continue;
        };
        let (start, found, noted) = held(places, block, plain, at, found);
        let back = reach_back(block, plain, start, found);
        block.matched(found.length + back, found.distance);
        note(places, plain, start, found.length, noted);
        at = start + found.length;
    }
    at
}

/// A short match gives way to a better one that begins a byte later. Where it begins, what it is, and up to where places are
/// noted down already.
#[inline(always)]
fn held(
    places: &mut Places,
    block: &mut Block,
    plain: &[u8],
    mut at: usize,
    mut found: Match,
) -> (usize, Match, usize) {
    let mut noted = at + 1;
    while found.length < HELD_BELOW && !block.is_full() {
        noted = at + 2;
        match places.longest(plain, at + 1) {
            Some(next) if next.worth() > found.worth() => {
                block.literal(plain[at]);
                at += 1;
                found = next;
                noted = at + 1;
            }
            _ => break,
        }
    }
    (at, found, noted)
}

/// Literals before a match that are part of it are taken back: how many they were.
#[inline(always)]
fn reach_back(block: &mut Block, plain: &[u8], start: usize, found: Match) -> usize {
    let mut back = 0;
    while found.length + back < matches::LONGEST
        && start - back > found.distance
        && plain[start - back - 1] == plain[start - back - 1 - found.distance]
        && block.take_back()
    {
        back += 1;
    }
    back
}

/// Notes the places within a match down, from `from` on.
#[inline(always)]
fn note(places: &mut Places, plain: &[u8], start: usize, length: usize, from: usize) {
    let end = start + length;
    if length <= LONG {
        places.note(plain, from..end);
    } else {
        places.note(plain, from..from + NOTED);
        places.note(plain, end - NOTED..end);
    }
}

#[cfg(test)]
mod tests;
