//! The bytes that matter in 64 bytes of text, as bit masks: bit i of a mask says that byte i is the one looked for.
//!
//! There is one kernel for each level of the processor and a portable one. All give the same masks (a test compares
//! them on random bytes), so which one runs changes the speed alone. [`Level::best`] asks the processor once.
//!
//! Invariant: the kernels read the 64 bytes that they are given and nothing else. A crash leaves nothing behind.

/// How many bytes one mask covers.
pub(crate) const WIDTH: usize = 64;

/// The bytes that are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needles {
    /// Ends a cell.
    pub(crate) delimiter: u8,
    /// Opens and closes quotes; where there is none, its mask is switched off by [`Needles::quote_on`].
    pub(crate) quote: u8,
    /// All ones where there is a quote character, else zero.
    pub(crate) quote_on: u64,
    /// Ends a row: LF, or the dialect's own terminator.
    pub(crate) newline: u8,
    /// All ones where a CR ends rows too, else zero.
    pub(crate) return_on: u64,
    /// Bytes that need the exact state machine: escape, comment mark, space; unused places repeat another.
    pub(crate) odd: Option<[u8; 3]>,
}

/// Where the bytes stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Masks {
    pub(crate) delimiter: u64,
    pub(crate) quote: u64,
    pub(crate) newline: u64,
    pub(crate) carriage_return: u64,
    pub(crate) odd: u64,
}

/// Finds bytes in a block.
pub(crate) trait Kernel {
    /// The mask of the bytes that are `needles[k]`, for each k.
    fn find<const N: usize>(block: &[u8; WIDTH], needles: [u8; N]) -> [u64; N];

    /// All masks of one block.
    #[inline(always)]
    fn masks(block: &[u8; WIDTH], needles: &Needles) -> Masks {
        let [delimiter, quote, newline, carriage_return] =
            Self::find(block, [needles.delimiter, needles.quote, needles.newline, b'\r']);
        let odd = match needles.odd {
            None => 0,
            Some(odd) => Self::find(block, odd).iter().fold(0, |all, mask| all | mask),
        };
        Masks {
            delimiter,
            quote: quote & needles.quote_on,
            newline,
            carriage_return: carriage_return & needles.return_on,
            odd,
        }
    }
}

/// Eight bytes at a time, on any processor.
pub(crate) struct Portable;

impl Kernel for Portable {
    #[inline(always)]
    fn find<const N: usize>(block: &[u8; WIDTH], needles: [u8; N]) -> [u64; N] {
        const LOW: u64 = 0x0101_0101_0101_0101;
        const SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;
        let mut found = [0u64; N];
        for (at, word) in block.chunks_exact(8).enumerate() {
            let word = word.iter().rev().fold(0u64, |word, byte| (word << 8) | u64::from(*byte));
            for (mask, needle) in found.iter_mut().zip(needles) {
                // A byte is zero where its top bit ends up set; no carry runs from one byte into the next.
                let differs = word ^ (LOW * u64::from(needle));
                let zero = !(((differs & SEVEN) + SEVEN) | differs | SEVEN);
                // Gathers the eight top bits into one byte.
                let bits = (zero >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
                *mask |= bits << (8 * at);
            }
        }
        found
    }
}

/// Which kernel runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The fastest that this processor has.
    pub(crate) fn best() -> Self {
        *Self::all().last().unwrap_or(&Level::Portable)
    }

    /// All that this processor has, the slowest first.
    pub(crate) fn all() -> &'static [Self] {
        static ALL: std::sync::OnceLock<Vec<Level>> = std::sync::OnceLock::new();
        ALL.get_or_init(|| {
            #[allow(unused_mut)]
            let mut all = vec![Level::Portable];
            #[cfg(target_arch = "x86_64")]
            {
                all.extend(super::simd::has_avx2().then_some(Level::Avx2));
                all.extend(super::simd::has_avx512().then_some(Level::Avx512));
            }
            all
        })
    }
}

/// Each bit says whether an odd number of bits is set at or below it: inside quotes, where the bits are quotes.
#[inline(always)]
pub(crate) fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_portable_kernel_finds_what_a_loop_finds(
            bytes in proptest::collection::vec(prop_oneof![Just(0u8), Just(b','), Just(0x80), Just(0xac), any::<u8>()], WIDTH),
            needle in prop_oneof![Just(b','), Just(0u8), any::<u8>()],
        ) {
            let block: [u8; WIDTH] = bytes.try_into().unwrap();
            let expected = block.iter().enumerate().fold(0u64, |mask, (i, b)| mask | (u64::from(*b == needle) << i));
            prop_assert_eq!(Portable::find(&block, [needle]), [expected]);
        }

        #[test]
        fn inside_quotes_is_the_parity_of_the_quotes_before(bits in any::<u64>()) {
            let expected = (0..64).fold(0u64, |mask, i| {
                mask | (u64::from((bits & (u64::MAX >> (63 - i))).count_ones() % 2) << i)
            });
            prop_assert_eq!(prefix_xor(bits), expected);
        }
    }
}
