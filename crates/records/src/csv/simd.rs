//! The kernels that use vector instructions, and the only way to them: [`run`] with a level that the processor has.
//!
//! Invariant: a `Level` other than the portable one exists only where [`has_avx2`] or [`has_avx512`] said yes, so no
//! instruction runs that the processor does not know. Loops go by numbers: a closure may be compiled apart from the function
//! that has the instructions, and is then called for each block.
#![allow(unsafe_code)]

use super::kernel::{Kernel, Level, Portable};

/// Whether the processor has what the 256-bit kernel needs.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
}

/// Whether the processor has what the 512-bit kernel needs.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx512() -> bool {
    has_avx2() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// Work over bytes that any kernel can do. `run` is to be `#[inline(always)]`, so that it is compiled anew for each.
pub(crate) trait Task {
    /// Does it with this kernel.
    fn run<K: Kernel>(self);
}

/// Does a task with the kernel of this level.
pub(crate) fn run<T: Task>(level: Level, task: T) {
    match level {
        Level::Portable => task.run::<Portable>(),
        // SAFETY: this level is made only where the processor was asked and has these instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { x86::with_avx2(task) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { x86::with_avx512(task) },
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::kernel::WIDTH;
    use super::{Kernel, Task};
    use std::arch::x86_64::{
        _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
        _mm512_cmpeq_epi8_mask, _mm512_loadu_si512, _mm512_set1_epi8,
    };

    struct Avx2;
    struct Avx512;

    impl Kernel for Avx2 {
        #[inline(always)]
        fn find<const N: usize>(block: &[u8; WIDTH], needles: [u8; N]) -> [u64; N] {
            // SAFETY: both loads lie within the 64 bytes and may be unaligned; this is inlined only into functions
            // that have AVX2.
            unsafe {
                let low = _mm256_loadu_si256(block.as_ptr().cast());
                let high = _mm256_loadu_si256(block.as_ptr().add(32).cast());
                let mut found = [0; N];
                for at in 0..N {
                    let needle = _mm256_set1_epi8(needles[at].cast_signed());
                    let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, needle)).cast_unsigned();
                    let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, needle)).cast_unsigned();
                    found[at] = u64::from(low) | (u64::from(high) << 32);
                }
                found
            }
        }
    }

    impl Kernel for Avx512 {
        #[inline(always)]
        fn find<const N: usize>(block: &[u8; WIDTH], needles: [u8; N]) -> [u64; N] {
            // SAFETY: the load is of the 64 bytes and may be unaligned; this is inlined only into functions that
            // have AVX-512 BW.
            unsafe {
                let bytes = _mm512_loadu_si512(block.as_ptr().cast());
                let mut found = [0; N];
                for at in 0..N {
                    found[at] = _mm512_cmpeq_epi8_mask(bytes, _mm512_set1_epi8(needles[at].cast_signed()));
                }
                found
            }
        }
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn with_avx2<T: Task>(task: T) {
        task.run::<Avx2>();
    }

    #[target_feature(enable = "avx512f,avx512bw,avx2,bmi1,bmi2,lzcnt,popcnt")]
    pub(super) fn with_avx512<T: Task>(task: T) {
        task.run::<Avx512>();
    }
}
