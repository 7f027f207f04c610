//! Mutated inputs for a bounded time: each test starts from the files of its corpus and from a fixed seed, so a failure
//! comes again. `HANDOVER_FUZZ_ROUNDS` asks for more rounds. An input that failed once is kept in the corpus.

use std::path::Path;

/// Rounds of an ordinary test run: some seconds.
const ROUNDS: u64 = 4_000;
/// The longest input.
const LENGTH_MAX: usize = 4_096;

/// A generator of numbers that is the same at each run (xorshift64).
pub(crate) struct Random(u64);

impl Random {
    /// A number below the bound, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Calls the function with each file of the corpus, and then with mutations of them.
pub(crate) fn inputs(corpus: &str, interesting: &[u8], mut check: impl FnMut(&[u8], &mut Random)) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(corpus);
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for seed in &seeds {
        check(seed, &mut random);
    }
    let rounds =
        std::env::var("HANDOVER_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    for round in 0..rounds {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(8) {
            mutate(&mut bytes, &seeds, interesting, &mut random);
        }
        bytes.truncate(LENGTH_MAX);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&bytes, &mut random)));
        if let Err(panic) = outcome {
            println!("round {round} fails with the input {:?}", String::from_utf8_lossy(&bytes));
            println!("as bytes: {bytes:?}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], interesting: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    match random.below(7) {
        0 => bytes.insert(at, interesting[random.below(interesting.len())]),
        1 if at < bytes.len() => bytes[at] = interesting[random.below(interesting.len())],
        2 if at < bytes.len() => bytes[at] = random.below(256) as u8,
        3 if at < bytes.len() => {
            let end = (at + 1 + random.below(20)).min(bytes.len());
            bytes.drain(at..end);
        }
        4 => {
            let end = (at + random.below(60)).min(bytes.len());
            let piece = bytes[at..end].to_vec();
            let to = random.below(bytes.len() + 1);
            bytes.splice(to..to, piece);
        }
        5 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        _ => bytes.truncate(at),
    }
}

/// Gives a few bytes at a time.
pub(crate) struct Dribble<'a>(pub(crate) &'a [u8], pub(crate) usize);

impl std::io::Read for Dribble<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.len().min(self.1).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}
