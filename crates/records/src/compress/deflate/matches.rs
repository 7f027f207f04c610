//! Finding what stood before: for each four bytes the last three places that began with them.
//!
//! A place is kept as the last 16 bits of its position, and four of them in one word: to note one down is one load, one shift and
//! one store. Nothing is ever cleared within a member: a place that lies too far back is taken for a nearer one with the same
//! 16 bits, where the bytes are compared as anywhere, so that it is a match or none.
#![allow(unsafe_code)]

use std::ops::Range;

/// A match has at least as many bytes as are looked up.
pub(super) const SHORTEST: usize = 4;
/// And at most so many, RFC 1951, 3.2.5.
pub(super) const LONGEST: usize = 258;
/// And lies at most so far back.
const FARTHEST: usize = 32_768;
/// How many places are compared.
const PLACES: usize = 3;
/// One that is so long is good enough.
const ENOUGH: usize = 64;
/// 2^14 words are 128 KiB: they stay in the second cache.
const HASH_BITS: u32 = 14;
/// How many bytes are read at once.
const WORD: usize = 8;

/// The places of the bytes before.
pub(super) struct Places([u64; 1 << HASH_BITS]);

/// Bytes that stand `distance` bytes before, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) length: usize,
    pub(super) distance: usize,
}

impl Match {
    /// A measure of what it saves: a byte is worth four bits, and each doubling of the distance costs one.
    pub(super) fn worth(self) -> i64 {
        4 * self.length as i64 - i64::from(usize::BITS - self.distance.leading_zeros())
    }
}

impl Default for Places {
    fn default() -> Self {
        Self([0; 1 << HASH_BITS])
    }
}

impl Places {
    /// Before another text.
    pub(super) fn forget(&mut self) {
        self.0.fill(0);
    }

    /// The longest match of what stands at `at`, which is noted down. Near the end of the text there is none.
    #[inline(always)]
    pub(super) fn longest(&mut self, text: &[u8], at: usize) -> Option<Match> {
        let room = text.len().checked_sub(at + 2 * WORD)?;
        // SAFETY: two words from `at` on lie within the text.
        let here = unsafe { word(text, at) };
        let places = self.at(here as u32);
        let known = *places;
        *places = noted(known, at);
        let mut best = Match { length: 0, distance: 0 };
        let mut long = [at; PLACES];
        let mut any_long = false;
        for (nth, long) in long.iter_mut().enumerate() {
            let distance = usize::from((at as u16).wrapping_sub((known >> (16 * nth)) as u16));
            let is_before = distance.wrapping_sub(1) < at.min(FARTHEST);
            let from = if is_before { at - distance } else { at };
            // SAFETY: `from` is at most `at`.
            let differs = (unsafe { word(text, from) } ^ here) | if is_before { 0 } else { u64::MAX };
            let length = (differs.trailing_zeros() / 8) as usize;
            if length == WORD {
                *long = from;
                any_long = true;
            }
            if length > best.length {
                best = Match { length, distance };
            }
        }
        if any_long {
            best = longest_of(text, at, &long, LONGEST.min(room + WORD));
        }
        (best.length >= SHORTEST).then_some(best)
    }

    /// Notes places down, but for those near the end of the text.
    #[inline(always)]
    pub(super) fn note(&mut self, text: &[u8], places: Range<usize>) {
        for at in places.start..places.end.min(text.len().saturating_sub(WORD)) {
            // SAFETY: a word from `at` on lies within the text.
            let here = unsafe { word(text, at) };
            let places = self.at(here as u32);
            *places = noted(*places, at);
        }
    }

    /// Where the places of four bytes are; those of other bytes too, now and then.
    #[inline(always)]
    fn at(&mut self, four: u32) -> &mut u64 {
        // The multiplier is 2^32 divided by the golden ratio.
        &mut self.0[(four.wrapping_mul(0x9E37_79B1) >> (u32::BITS - HASH_BITS)) as usize]
    }
}

#[inline(always)]
fn noted(known: u64, at: usize) -> u64 {
    known << 16 | (at & 0xffff) as u64
}

/// The longest of the matches that begin with a whole word at these places (`at` for none), of at most `most` bytes.
#[inline(always)]
fn longest_of(text: &[u8], at: usize, places: &[usize; PLACES], most: usize) -> Match {
    debug_assert!(at + most + WORD <= text.len());
    let mut best = Match { length: WORD - 1, distance: 0 };
    for &from in places.iter().filter(|from| **from < at) {
        // SAFETY: the last byte of both words is the one after the best match, which has at most `most` bytes; `from` lies before
        // `at`, and a whole word after `at + most` is part of the text.
        let last = unsafe {
            (word(text, from + best.length - (WORD - 1)), word(text, at + best.length - (WORD - 1)))
        };
        if last.0 != last.1 {
            continue;
        }
        let length = alike(text, from, at, most);
        if length > best.length {
            best = Match { length, distance: at - from };
            if length >= ENOUGH.min(most) {
                break;
            }
        }
    }
    best
}

/// How many bytes are alike, at most `most`, from these two places on, whose first words are.
#[inline(always)]
fn alike(text: &[u8], from: usize, at: usize, most: usize) -> usize {
    let mut length = WORD;
    while length + WORD <= most {
        // SAFETY: both words end at most `most` bytes after `at`.
        let differs = unsafe { word(text, from + length) ^ word(text, at + length) };
        if differs != 0 {
            return length + (differs.trailing_zeros() / 8) as usize;
        }
        length += WORD;
    }
    while length < most && text[from + length] == text[at + length] {
        length += 1;
    }
    length
}

/// The word at a place, its first byte lowest.
///
/// # Safety
/// A whole word has to lie within the text from `at` on.
#[inline(always)]
unsafe fn word(text: &[u8], at: usize) -> u64 {
    debug_assert!(at + WORD <= text.len());
    // SAFETY: as the caller promised; it need not be aligned.
    u64::from_le(unsafe { text.as_ptr().add(at).cast::<u64>().read_unaligned() })
}
