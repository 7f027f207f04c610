//! SHA-256 (FIPS 180-4) of bytes that come in pieces, of one stream or of two at a time.
//!
//! A processor with instructions for it is busy half the time while it hashes one stream, because each round waits for the one
//! before. [`Sha256::update_two`] fills that time with a second stream: both together take little longer than one. How a block is
//! hashed is the crate `sha2`'s, and for two streams [`super::sha256_x86`]'s, which is tested against it.
//!
//! Invariant: whichever way the pieces came, alone or beside another stream's, the digest is that of their bytes in order.

use handover_core::Checksum;
use sha2::block_api::compress256;

/// The size of a block.
const BLOCK_BYTES: usize = 64;
/// Where the length begins in the last block.
const LENGTH_AT: usize = BLOCK_BYTES - 8;

/// What was hashed so far.
#[derive(Debug, Clone)]
pub(crate) struct Sha256 {
    state: [u32; 8],
    /// Bytes that make no whole block yet.
    rest: [u8; BLOCK_BYTES],
    /// How many of `rest` count: fewer than a block's.
    rested: usize,
    /// All bytes so far.
    bytes: u64,
}

impl Default for Sha256 {
    fn default() -> Self {
        let state = [
            0x6a09_e667,
            0xbb67_ae85,
            0x3c6e_f372,
            0xa54f_f53a,
            0x510e_527f,
            0x9b05_688c,
            0x1f83_d9ab,
            0x5be0_cd19,
        ];
        Self { state, rest: [0; BLOCK_BYTES], rested: 0, bytes: 0 }
    }
}

impl Sha256 {
    /// The next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let (blocks, rest) = self.whole_blocks(bytes);
        compress256(&mut self.state, blocks);
        self.keep(rest);
    }

    /// The next bytes of two streams.
    pub(crate) fn update_two(one: (&mut Self, &[u8]), other: (&mut Self, &[u8])) {
        let ((one, one_bytes), (other, other_bytes)) = (one, other);
        let (one_blocks, one_rest) = one.whole_blocks(one_bytes);
        let (other_blocks, other_rest) = other.whole_blocks(other_bytes);
        let both = one_blocks.len().min(other_blocks.len());
        let ((one_blocks, one_more), (other_blocks, other_more)) =
            (one_blocks.split_at(both), other_blocks.split_at(both));
        super::sha256_x86::compress_two([&mut one.state, &mut other.state], [one_blocks, other_blocks]);
        compress256(&mut one.state, one_more);
        compress256(&mut other.state, other_more);
        one.keep(one_rest);
        other.keep(other_rest);
    }

    /// The digest of all bytes so far.
    pub(crate) fn finish(mut self) -> Checksum {
        let bits = self.bytes.wrapping_mul(8);
        self.rest[self.rested] = 0x80;
        self.rest[self.rested + 1..].fill(0);
        if self.rested >= LENGTH_AT {
            compress256(&mut self.state, &[self.rest]);
            self.rest.fill(0);
        }
        self.rest[LENGTH_AT..].copy_from_slice(&bits.to_be_bytes());
        compress256(&mut self.state, &[self.rest]);
        let mut digest = [0; 32];
        for (to, word) in digest.chunks_exact_mut(4).zip(self.state) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        Checksum(digest)
    }

    /// The whole blocks of the next bytes, once a block that was begun is hashed, and what is left.
    fn whole_blocks<'a>(&mut self, mut bytes: &'a [u8]) -> (&'a [[u8; BLOCK_BYTES]], &'a [u8]) {
        self.bytes = self.bytes.wrapping_add(bytes.len() as u64);
        if self.rested > 0 {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.rested));
            self.keep(now);
            bytes = later;
            if self.rested < BLOCK_BYTES {
                return (&[], &[]);
            }
            compress256(&mut self.state, &[self.rest]);
            self.rested = 0;
        }
        bytes.as_chunks()
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.rest[self.rested..self.rested + bytes.len()].copy_from_slice(bytes);
        self.rested += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::Digest as _;

    fn expected(bytes: &[u8]) -> Checksum {
        Checksum(sha2::Sha256::digest(bytes).into())
    }

    /// Cuts bytes into pieces of these lengths, again and again.
    fn pieces<'a>(bytes: &'a [u8], lengths: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
        let mut left = bytes;
        lengths.iter().cycle().map_while(move |length| {
            let (now, later) = left.split_at((*length).min(left.len()));
            left = later;
            (!now.is_empty()).then_some(now)
        })
    }

    #[test]
    fn every_length_around_a_block_has_its_digest() {
        let bytes: Vec<u8> = (0..200).collect();
        for length in 0..bytes.len() {
            let mut hash = Sha256::default();
            hash.update(&bytes[..length]);
            assert_eq!(hash.finish(), expected(&bytes[..length]), "{length}");
        }
    }

    proptest! {
        #[test]
        fn two_streams_in_any_pieces_have_the_digests_of_each(
            one in proptest::collection::vec(any::<u8>(), 0..2000),
            other in proptest::collection::vec(any::<u8>(), 0..2000),
            lengths in proptest::collection::vec(1usize..300, 1..5),
        ) {
            let (mut first, mut second) = (Sha256::default(), Sha256::default());
            let (mut ones, mut others) = (pieces(&one, &lengths), pieces(&other, &lengths[lengths.len() / 2..]));
            loop {
                match (ones.next(), others.next()) {
                    (Some(a), Some(b)) => Sha256::update_two((&mut first, a), (&mut second, b)),
                    (Some(a), None) => first.update(a),
                    (None, Some(b)) => second.update(b),
                    (None, None) => break,
                }
            }
            prop_assert_eq!(first.finish(), expected(&one));
            prop_assert_eq!(second.finish(), expected(&other));
        }
    }
}
