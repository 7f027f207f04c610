//! Streams that are hashed at the same time in this process, two at a time: a stage's input and its output, or those of two
//! workers. [`Sha256::update_two`] says what that gains.
//!
//! A chunk waits for one of another stream, so that both are hashed together by whoever brings the second; it does not wait
//! where it is the only stream, or where its stream has [`HELD_CHUNKS`] waiting.
//!
//! Invariants:
//! - A stream's chunks are hashed in their order, by one thread at a time: who hashes has taken its digest out of the lane.
//! - A few chunks of a stream wait at most; who brings more hashes, or waits for who does.
//! - Nothing is hashed under the lock, and nothing that is done under it can panic.
//!
//! There is no I/O, so a crash leaves nothing.

use super::sha256::Sha256;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// So many chunks of a stream wait for another's.
const HELD_CHUNKS: usize = 3;

static LANES: Mutex<Vec<Lane>> = Mutex::new(Vec::new());
/// Ids are for ever: what is put back late must not meet another stream.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);
/// Somebody has put a digest back.
static HASHED: Condvar = Condvar::new();

#[derive(Debug)]
struct Lane {
    id: u64,
    /// None while somebody hashes.
    digest: Option<Sha256>,
    waiting: VecDeque<Vec<u8>>,
    /// Where chunks go that are hashed.
    spare: Sender<Vec<u8>>,
}

/// What one thread hashes now.
struct Taken {
    id: u64,
    digest: Sha256,
    chunk: Vec<u8>,
}

/// A stream among those that are hashed now. Dropped, it is one no longer.
#[derive(Debug)]
pub(super) struct Stream(u64);

impl Stream {
    /// Goes on with a digest; chunks that are hashed go to `spare`, emptied.
    pub(super) fn begin(digest: Sha256, spare: Sender<Vec<u8>>) -> Self {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let waiting = VecDeque::with_capacity(HELD_CHUNKS);
        lock().push(Lane { id, digest: Some(digest), waiting, spare });
        Self(id)
    }

    /// The next bytes.
    pub(super) fn push(&self, chunk: Vec<u8>) {
        let mut lanes = lock();
        if let Some(lane) = lanes.iter_mut().find(|lane| lane.id == self.0) {
            lane.waiting.push_back(chunk);
        }
        self.hash(lanes, HELD_CHUNKS);
    }

    /// The digest, once all that waited is hashed.
    pub(super) fn finish(self) -> Sha256 {
        self.hash(lock(), 1);
        self.leave().unwrap_or_default()
    }

    /// Hashes until fewer than `held` chunks of this stream wait, and none that could be hashed with another's.
    fn hash(&self, mut lanes: MutexGuard<'_, Vec<Lane>>, held: usize) {
        loop {
            let alone = lanes.len() == 1;
            let Some(own) = lanes.iter().position(|lane| lane.id == self.0) else { return };
            let waiting = lanes[own].waiting.len();
            if lanes[own].digest.is_none() {
                // Who hashes it puts it back soon. At the end it is to be there.
                if waiting < held && held > 1 {
                    return;
                }
                lanes = HASHED.wait(lanes).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let other = (0..lanes.len()).find(|at| *at != own && lanes[*at].is_ready());
            if waiting == 0 || (other.is_none() && !alone && waiting < held) {
                return;
            }
            let both = (lanes[own].take(), other.and_then(|at| lanes[at].take()));
            drop(lanes);
            lanes = put_back(hash(both));
        }
    }

    fn leave(&self) -> Option<Sha256> {
        let mut lanes = lock();
        let own = lanes.iter().position(|lane| lane.id == self.0)?;
        lanes.swap_remove(own).digest
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.leave();
    }
}

impl Lane {
    fn is_ready(&self) -> bool {
        self.digest.is_some() && !self.waiting.is_empty()
    }

    fn take(&mut self) -> Option<Taken> {
        if !self.is_ready() {
            return None;
        }
        Some(Taken { id: self.id, digest: self.digest.take()?, chunk: self.waiting.pop_front()? })
    }
}

fn lock() -> MutexGuard<'static, Vec<Lane>> {
    LANES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hashes what was taken; gives it back.
fn hash((own, other): (Option<Taken>, Option<Taken>)) -> [Option<Taken>; 2] {
    match (own, other) {
        (Some(mut own), Some(mut other)) => {
            Sha256::update_two((&mut own.digest, &own.chunk), (&mut other.digest, &other.chunk));
            [Some(own), Some(other)]
        }
        (Some(mut one), None) | (None, Some(mut one)) => {
            one.digest.update(&one.chunk);
            [Some(one), None]
        }
        (None, None) => [None, None],
    }
}

/// Puts digests back into their lanes; one that has left wants none.
fn put_back(taken: [Option<Taken>; 2]) -> MutexGuard<'static, Vec<Lane>> {
    let mut lanes = lock();
    for Taken { id, digest, mut chunk } in taken.into_iter().flatten() {
        let Some(lane) = lanes.iter_mut().find(|lane| lane.id == id) else { continue };
        lane.digest = Some(digest);
        chunk.clear();
        // At the end nobody wants it back.
        let _ = lane.spare.send(chunk);
    }
    HASHED.notify_all();
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::Digest as _;
    use std::sync::mpsc::channel;

    #[test]
    fn many_streams_at_once_have_the_digests_of_each() {
        let hashed = |seed: usize| {
            let chunks: Vec<Vec<u8>> =
                (0..40).map(|i| vec![(seed * 31 + i) as u8; 1000 + 64 * (seed % 3) + i % 5]).collect();
            let expected = sha2::Sha256::digest(chunks.concat());
            let (spare, back) = channel();
            let stream = Stream::begin(Sha256::default(), spare);
            let count = chunks.len();
            chunks.into_iter().for_each(|chunk| stream.push(chunk));
            assert_eq!(stream.finish().finish().0, <[u8; 32]>::from(expected), "{seed}");
            assert_eq!(back.iter().filter(Vec::is_empty).count(), count, "each chunk comes back, emptied");
        };
        std::thread::scope(|scope| {
            for seed in 0..8 {
                scope.spawn(move || hashed(seed));
            }
        });
    }

    #[test]
    fn a_stream_that_is_given_up_hinders_no_other() {
        let (spare, _back) = channel();
        let (one, other) =
            (Stream::begin(Sha256::default(), spare.clone()), Stream::begin(Sha256::default(), spare));
        one.push(b"given up".to_vec());
        drop(one);
        other.push(b"abc".to_vec());
        assert_eq!(other.finish().finish().0, <[u8; 32]>::from(sha2::Sha256::digest(b"abc")));
    }
}
