//! Random bytes for ids: the system is asked for many at once, not for each id.

use std::cell::RefCell;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; SIZE], left: 0 }) };
}

const SIZE: usize = 2_048;

/// Bytes that nobody has had yet: the first `left` of them.
struct Pool {
    bytes: [u8; SIZE],
    left: usize,
}

/// So many random bytes, as good as the system's.
///
/// # Errors
/// Where the system gives none.
pub(crate) fn bytes<const COUNT: usize>() -> Result<[u8; COUNT], getrandom::Error> {
    const { assert!(COUNT <= SIZE) };
    POOL.with_borrow_mut(|pool| {
        if pool.left < COUNT {
            getrandom::fill(&mut pool.bytes)?;
            pool.left = SIZE;
        }
        let start = pool.left - COUNT;
        let mut taken = [0; COUNT];
        taken.copy_from_slice(&pool.bytes[start..pool.left]);
        pool.left = start;
        Ok(taken)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_bytes_are_given_twice() {
        let all: HashSet<[u8; 20]> = (0..10_000).map(|_| bytes().unwrap()).collect();
        assert_eq!(all.len(), 10_000);
    }
}
