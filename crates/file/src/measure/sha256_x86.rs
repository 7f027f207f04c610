//! The compression function of SHA-256 (FIPS 180-4, section 6.2.2) for two streams at once, by the processor's own
//! instructions (Intel's SHA extensions), their rounds taken in turns; elsewhere one stream after the other.
//!
//! Invariant: the instructions run only where the processor said that it has them.
//!
//! Loops go by numbers: a closure, or what an iterator is made of, may be compiled apart from the function that has the
//! instructions, and is then called for each block.
#![allow(unsafe_code)]

use sha2::block_api::compress256;

/// Hashes as many blocks into the one state as into the other.
pub(super) fn compress_two(states: [&mut [u32; 8]; 2], blocks: [&[[u8; 64]]; 2]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("sha")
        && is_x86_feature_detected!("sse4.1")
        && is_x86_feature_detected!("ssse3")
    {
        // SAFETY: the processor has all that this function is compiled for.
        unsafe { x86::compress_two(states, blocks) };
        return;
    }
    for (state, blocks) in states.into_iter().zip(blocks) {
        compress256(state, blocks);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32, _mm_storeu_si128,
    };

    /// The constants of the rounds (FIPS 180-4, section 4.2.2), four a line.
    #[rustfmt::skip]
    static ROUNDS: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    /// A state as the instructions want it: words A, B, E, F and C, D, G, H.
    #[derive(Clone, Copy)]
    struct Words {
        abef: __m128i,
        cdgh: __m128i,
    }

    impl Words {
        #[target_feature(enable = "sse2,ssse3,sse4.1")]
        fn load(state: &[u32; 8]) -> Self {
            // SAFETY: both loads lie within the 32 bytes of the state, and may be unaligned.
            let (abcd, efgh) = unsafe {
                (_mm_loadu_si128(state.as_ptr().cast()), _mm_loadu_si128(state.as_ptr().add(4).cast()))
            };
            let (cdab, efgh) = (_mm_shuffle_epi32(abcd, 0xB1), _mm_shuffle_epi32(efgh, 0x1B));
            Self { abef: _mm_alignr_epi8(cdab, efgh, 8), cdgh: _mm_blend_epi16(efgh, cdab, 0xF0) }
        }

        #[target_feature(enable = "sse2,ssse3,sse4.1")]
        fn store(self, state: &mut [u32; 8]) {
            let (feba, dchg) = (_mm_shuffle_epi32(self.abef, 0x1B), _mm_shuffle_epi32(self.cdgh, 0xB1));
            let (dcba, hgef) = (_mm_blend_epi16(feba, dchg, 0xF0), _mm_alignr_epi8(dchg, feba, 8));
            // SAFETY: both stores lie within the 32 bytes of the state, and may be unaligned.
            unsafe {
                _mm_storeu_si128(state.as_mut_ptr().cast(), dcba);
                _mm_storeu_si128(state.as_mut_ptr().add(4).cast(), hgef);
            }
        }
    }

    /// As [`super::compress_two`].
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn compress_two(states: [&mut [u32; 8]; 2], blocks: [&[[u8; 64]]; 2]) {
        let [one, other] = states;
        let mut words = [Words::load(one), Words::load(other)];
        for (a, b) in blocks[0].iter().zip(blocks[1]) {
            let before = words;
            let mut message = [schedule_of(a), schedule_of(b)];
            for round in 0..4 {
                rounds(&mut words, &message, round, round);
            }
            for first in [4, 8, 12] {
                scheduled::<0>(&mut words, &mut message, first);
                scheduled::<1>(&mut words, &mut message, first);
                scheduled::<2>(&mut words, &mut message, first);
                scheduled::<3>(&mut words, &mut message, first);
            }
            for stream in 0..2 {
                words[stream].abef = _mm_add_epi32(words[stream].abef, before[stream].abef);
                words[stream].cdgh = _mm_add_epi32(words[stream].cdgh, before[stream].cdgh);
            }
        }
        words[0].store(one);
        words[1].store(other);
    }

    /// The 16 words of a block.
    #[target_feature(enable = "sse2,ssse3")]
    #[inline]
    fn schedule_of(block: &[u8; 64]) -> [__m128i; 4] {
        [words_of(block, 0), words_of(block, 1), words_of(block, 2), words_of(block, 3)]
    }

    /// The first, second, third or fourth four words of a block.
    #[target_feature(enable = "sse2,ssse3")]
    #[inline]
    fn words_of(block: &[u8; 64], four: usize) -> __m128i {
        let to_words = _mm_set_epi64x(0x0C0D_0E0F_0809_0A0B, 0x0405_0607_0001_0203);
        let (fours, _) = block.as_chunks::<16>();
        // SAFETY: the load is of the 16 bytes that were taken, and may be unaligned.
        let bytes = unsafe { _mm_loadu_si128(fours[four].as_ptr().cast()) };
        _mm_shuffle_epi8(bytes, to_words)
    }

    /// The next four words of a schedule, in the place of its oldest four.
    #[target_feature(enable = "sha,sse2,ssse3")]
    #[inline]
    fn next(words: &[__m128i; 4], place: usize) -> __m128i {
        let (oldest, second) = (words[place], words[(place + 1) % 4]);
        let (third, newest) = (words[(place + 2) % 4], words[(place + 3) % 4]);
        let partly = _mm_sha256msg1_epu32(oldest, second);
        _mm_sha256msg2_epu32(_mm_add_epi32(partly, _mm_alignr_epi8(newest, third, 4)), newest)
    }

    /// Four rounds of both streams with the next words of their schedules. The place is known to the compiler, so that schedules
    /// stay in registers.
    #[target_feature(enable = "sha,sse2,ssse3")]
    #[inline]
    fn scheduled<const PLACE: usize>(words: &mut [Words; 2], message: &mut [[__m128i; 4]; 2], first: usize) {
        message[0][PLACE] = next(&message[0], PLACE);
        message[1][PLACE] = next(&message[1], PLACE);
        rounds(words, message, first + PLACE, PLACE);
    }

    /// Four rounds of both streams, in turns.
    #[target_feature(enable = "sha,sse2")]
    #[inline]
    fn rounds(words: &mut [Words; 2], message: &[[__m128i; 4]; 2], round: usize, place: usize) {
        // SAFETY: it loads the 16 bytes of one line, and may be unaligned.
        let constants = unsafe { _mm_loadu_si128(ROUNDS[round].as_ptr().cast()) };
        for stream in 0..2 {
            let (words, sum) = (&mut words[stream], _mm_add_epi32(message[stream][place], constants));
            words.cdgh = _mm_sha256rnds2_epu32(words.cdgh, words.abef, sum);
            words.abef = _mm_sha256rnds2_epu32(words.abef, words.cdgh, _mm_shuffle_epi32(sum, 0x0E));
        }
    }
}
