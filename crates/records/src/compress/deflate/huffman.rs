//! Prefix codes by Huffman, of limited length, as RFC 1951, 3.2.2 numbers them.

/// The longest code of any symbol.
pub(super) const LONGEST_CODE: usize = 15;

/// A code of `N` symbols: what is written for each, its first bit lowest, and how many bits that has; none where it is not used.
pub(super) struct Code<const N: usize> {
    pub(super) lengths: [u8; N],
    pub(super) words: [u16; N],
}

impl<const N: usize> Code<N> {
    /// The best code for symbols that are used so often, with no length above `longest`. Where fewer than two are used it has two
    /// all the same, as some readers want it.
    pub(super) fn best(counts: &[u32; N], longest: usize) -> Self {
        let mut used: Vec<(u32, usize)> = counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(symbol, count)| (*count, symbol))
            .collect();
        let mut lengths = [0; N];
        if used.len() < 2 {
            let one = used.first().map_or(0, |(_, symbol)| *symbol);
            lengths[one] = 1;
            lengths[usize::from(one == 0)] = 1;
            return Self::of(lengths);
        }
        used.sort_unstable();
        let mut symbols = used.iter().map(|(_, symbol)| *symbol);
        // The rarest get the longest.
        for (length, count) in how_many(&used, longest).into_iter().enumerate().rev() {
            for symbol in symbols.by_ref().take(count) {
                lengths[symbol] = length as u8;
            }
        }
        Self::of(lengths)
    }

    /// The code with these lengths.
    pub(super) fn of(lengths: [u8; N]) -> Self {
        let mut words = [0; N];
        let mut next = 0_u16;
        for length in 1..=LONGEST_CODE {
            next <<= 1;
            for (word, _) in words.iter_mut().zip(lengths).filter(|(_, of)| usize::from(*of) == length) {
                *word = next.reverse_bits() >> (16 - length);
                next = next.wrapping_add(1);
            }
        }
        Self { lengths, words }
    }

    /// The word of a symbol, and its length in bits.
    pub(super) fn word(&self, symbol: usize) -> (u32, u32) {
        (u32::from(self.words[symbol]), u32::from(self.lengths[symbol]))
    }
}

/// How many codes there are of each length, for these counts in rising order.
fn how_many(used: &[(u32, usize)], longest: usize) -> [usize; LONGEST_CODE + 1] {
    let mut many = [0; LONGEST_CODE + 1];
    for depth in depths(used) {
        many[depth.min(longest)] += 1;
    }
    // Kraft's sum, in units of the longest code: what was cut off made it too large. One leaf less at the bottom, and a shorter
    // one made a fork with two leaves below, take one unit off it.
    let whole = 1_usize << longest;
    let mut sum: usize = (1..=longest).map(|length| many[length] << (longest - length)).sum();
    while sum > whole {
        let Some(shorter) = (1..longest).rev().find(|length| many[*length] > 0) else { break };
        many[longest] -= 1;
        many[shorter] -= 1;
        many[shorter + 1] += 2;
        sum -= 1;
    }
    many
}

/// How deep the leaves lie in the tree that always joins the two lightest, by Huffman with two queues: the leaves, and what was
/// joined.
fn depths(leaves: &[(u32, usize)]) -> Vec<usize> {
    let mut weights: Vec<u64> = leaves.iter().map(|(count, _)| u64::from(*count)).collect();
    let mut above = vec![0; 2 * leaves.len() - 1];
    let (mut leaf, mut fork) = (0, leaves.len());
    for joined in leaves.len()..above.len() {
        let mut weight = 0;
        for _ in 0..2 {
            let is_leaf = leaf < leaves.len() && (fork == joined || weights[leaf] <= weights[fork]);
            let next = if is_leaf { &mut leaf } else { &mut fork };
            weight += weights[*next];
            above[*next] = joined;
            *next += 1;
        }
        weights.push(weight);
    }
    // What is above comes later: from the root, which is the last, down.
    let mut depths = vec![0; above.len()];
    for nth in (0..above.len() - 1).rev() {
        depths[nth] = depths[above[nth]] + 1;
    }
    depths.truncate(leaves.len());
    depths
}
