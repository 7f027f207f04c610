//! One block: its literals and matches, and how they are written (RFC 1951, 3.2): with a code made for it, with the fixed code, or
//! stored, whichever is shortest.

use super::bits::{Bits, HELD_BITS, OVERHANG_BYTES};
use super::huffman::{Code, LONGEST_CODE};

/// How many literals and matches a block has.
const TOKENS: usize = 1 << 15;
/// A token with this bit is a match: its length from bit 16 on, its distance less one below.
const IS_MATCH: u32 = 1 << 31;
/// Symbols for literals, the end, and lengths; two that are never used belong to the fixed code.
const LITERALS: usize = 288;
const DISTANCES: usize = 32;
/// So many of both have a length in a block.
const LITERALS_USED: usize = 286;
const DISTANCES_USED: usize = 30;
/// Ends a block.
const END: usize = 256;
/// The first symbol of a length.
const LENGTHS: usize = 257;
/// The most bits of a literal, and of a match: of a length 15 and 5, of a distance 15 and 13.
const LITERAL_BITS: u32 = 15;
const MATCH_BITS: u32 = 48;
/// Stored blocks hold so many bytes at most, 3.2.4.
const STORED_BYTES: usize = 65_535;
/// The most that is put around them.
const STORED_AROUND_BYTES: usize = 6;

/// RFC 1951, 3.2.5: where the lengths of a symbol begin, and how many bits say which one it is.
const LENGTH_BASES: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195,
    227, 258,
];
const LENGTH_BITS: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
/// The symbol of each length, less 257. Of 512, so that nine bits need no look whether they fit.
const LENGTH_SYMBOLS: [u8; 512] = length_symbols();

const fn length_symbols() -> [u8; 512] {
    let mut symbols = [0; 512];
    let mut symbol = 0;
    while symbol < LENGTH_BASES.len() {
        let mut length = LENGTH_BASES[symbol] as usize;
        while length <= super::matches::LONGEST {
            symbols[length] = symbol as u8;
            length += 1;
        }
        symbol += 1;
    }
    symbols
}

/// How many bytes the blocks of a text of so many bytes have at most, and what is written past their end.
pub(super) fn bound(plain_bytes: usize) -> usize {
    let blocks = plain_bytes / TOKENS + plain_bytes / STORED_BYTES + 2;
    plain_bytes + blocks * STORED_AROUND_BYTES + OVERHANG_BYTES
}

/// The symbol of a distance less one, how many bits say which one it is, and these.
#[inline(always)]
fn distance_symbol(less_one: u32) -> (usize, u32, u32) {
    if less_one < 4 {
        return (less_one as usize, 0, 0);
    }
    let top = 31 - less_one.leading_zeros();
    let bits = top - 1;
    ((2 * top + (less_one >> bits & 1)) as usize, bits, less_one & ((1 << bits) - 1))
}

/// What is in a block, and how often.
pub(super) struct Block {
    tokens: [u32; TOKENS + 1],
    count: usize,
    literals: [u32; LITERALS],
    distances: [u32; DISTANCES],
}

impl Default for Block {
    fn default() -> Self {
        Self { tokens: [0; TOKENS + 1], count: 0, literals: [0; LITERALS], distances: [0; DISTANCES] }
    }
}

impl Block {
    /// Whether only a match may follow.
    #[inline(always)]
    pub(super) fn is_full(&self) -> bool {
        self.count >= TOKENS
    }

    #[inline(always)]
    pub(super) fn literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
        self.tokens[self.count] = u32::from(byte);
        self.count += 1;
    }

    #[inline(always)]
    pub(super) fn matched(&mut self, length: usize, distance: usize) {
        self.literals[LENGTHS + usize::from(LENGTH_SYMBOLS[length & 511])] += 1;
        let less_one = distance as u32 - 1;
        self.distances[distance_symbol(less_one).0 % DISTANCES] += 1;
        self.tokens[self.count] = IS_MATCH | (length as u32) << 16 | less_one;
        self.count += 1;
    }

    /// Takes the last token back, if it is a literal.
    #[inline(always)]
    pub(super) fn take_back(&mut self) -> bool {
        match self.count.checked_sub(1).map(|last| self.tokens[last]) {
            Some(byte) if byte < IS_MATCH => {
                self.literals[(byte & 0xff) as usize] -= 1;
                self.count -= 1;
                true
            }
            _ => false,
        }
    }

    /// Writes it, which is these bytes, and empties it.
    pub(super) fn write(&mut self, plain: &[u8], is_last: bool, bits: &mut Bits<'_>) {
        self.literals[END] = 1;
        let own = Codes {
            literals: Code::best(&self.literals, LONGEST_CODE),
            distances: Code::best(&self.distances, LONGEST_CODE),
        };
        let header = Header::of(&own);
        let fixed = Codes::fixed();
        let own_bits = header.bits() + self.bits(&own);
        let fixed_bits = self.bits(&fixed);
        let stored_bits = 8 * (plain.len() + STORED_AROUND_BYTES * (plain.len() / STORED_BYTES + 1));
        if stored_bits <= own_bits.min(fixed_bits) {
            store(plain, is_last, bits);
        } else if fixed_bits <= own_bits {
            bits.put(u32::from(is_last) | 1 << 1, 3);
            self.write_tokens(&fixed, bits);
        } else {
            bits.put(u32::from(is_last) | 2 << 1, 3);
            header.write(bits);
            self.write_tokens(&own, bits);
        }
        self.count = 0;
        self.literals.fill(0);
        self.distances.fill(0);
    }

    /// How many bits the tokens have with these codes.
    fn bits(&self, codes: &Codes) -> usize {
        let literals =
            self.literals.iter().zip(codes.literals.lengths).enumerate().map(|(symbol, (count, length))| {
                let more =
                    symbol.checked_sub(LENGTHS).and_then(|nth| LENGTH_BITS.get(nth)).copied().unwrap_or(0);
                *count as usize * usize::from(length + more)
            });
        let distances = self.distances.iter().zip(codes.distances.lengths).enumerate();
        let distances = distances.map(|(symbol, (count, length))| {
            *count as usize * (usize::from(length) + (symbol / 2).saturating_sub(1))
        });
        literals.sum::<usize>() + distances.sum::<usize>()
    }

    fn write_tokens(&self, codes: &Codes, bits: &mut Bits<'_>) {
        let literals = codes.literal_words();
        let lengths = codes.length_words();
        let distances: [(u32, u32); DISTANCES] = std::array::from_fn(|symbol| codes.distances.word(symbol));
        for &token in &self.tokens[..self.count] {
            if token < IS_MATCH {
                let (word, count) = literals[(token & 0xff) as usize];
                bits.hold(word, count);
                bits.write_above(HELD_BITS - LITERAL_BITS);
            } else {
                bits.write_above(HELD_BITS - MATCH_BITS);
                let (word, count) = lengths[(token >> 16 & 511) as usize];
                bits.hold(word, count);
                let (symbol, more_bits, more) = distance_symbol(token & 0x7fff);
                let (word, count) = distances[symbol % DISTANCES];
                bits.hold(word, count);
                bits.hold(more, more_bits);
                bits.write();
            }
        }
        bits.write();
        let (word, count) = codes.literals.word(END);
        bits.put(word, count);
    }
}

/// Writes bytes as they are.
fn store(plain: &[u8], is_last: bool, bits: &mut Bits<'_>) {
    let mut pieces = plain.chunks(STORED_BYTES).peekable();
    while let Some(piece) = pieces.next() {
        bits.put(u32::from(is_last && pieces.peek().is_none()), 3);
        let length = (piece.len() as u16).to_le_bytes();
        bits.put_bytes(&length);
        bits.put_bytes(&length.map(|byte| !byte));
        bits.put_bytes(piece);
    }
}

/// Both codes of a block.
struct Codes {
    literals: Code<LITERALS>,
    distances: Code<DISTANCES>,
}

impl Codes {
    /// RFC 1951, 3.2.6.
    fn fixed() -> Self {
        let length = |symbol| match symbol {
            0..=143 => 8,
            144..=255 => 9,
            256..=279 => 7,
            _ => 8,
        };
        Self { literals: Code::of(std::array::from_fn(length)), distances: Code::of([5; DISTANCES]) }
    }

    fn literal_words(&self) -> [(u32, u32); 256] {
        std::array::from_fn(|byte| self.literals.word(byte))
    }

    /// The words of all lengths, with the bits that say which one it is.
    fn length_words(&self) -> [(u32, u32); 512] {
        std::array::from_fn(|length| {
            let symbol = usize::from(LENGTH_SYMBOLS[length]);
            let (word, count) = self.literals.word(LENGTHS + symbol);
            let more = length.saturating_sub(usize::from(LENGTH_BASES[symbol])) as u32;
            (word | more << count, count + u32::from(LENGTH_BITS[symbol]))
        })
    }
}

/// RFC 1951, 3.2.7: the order in which the lengths of the code for lengths stand.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// The last length again, and zeros, few and many: the symbol, the smallest and the largest count, and its bits.
const AGAIN: Run = Run { symbol: 16, least: 3, most: 6, bits: 2 };
const ZEROS: Run = Run { symbol: 17, least: 3, most: 10, bits: 3 };
const MANY_ZEROS: Run = Run { symbol: 18, least: 11, most: 138, bits: 7 };

struct Run {
    symbol: usize,
    least: usize,
    most: usize,
    bits: u32,
}

/// What stands before the tokens of a block with codes of its own: the lengths of their codes.
struct Header {
    literals: usize,
    distances: usize,
    /// A symbol, and how many bits of what follow it.
    symbols: Vec<(usize, u32, u32)>,
    code: Code<19>,
    /// How many lengths of that code are written.
    written: usize,
}

impl Header {
    fn of(codes: &Codes) -> Self {
        let used = |lengths: &[u8], least: usize| {
            lengths.iter().rposition(|length| *length > 0).map_or(least, |last| least.max(last + 1))
        };
        let literals = used(&codes.literals.lengths[..LITERALS_USED], LENGTHS);
        let distances = used(&codes.distances.lengths[..DISTANCES_USED], 1);
        let lengths = [&codes.literals.lengths[..literals], &codes.distances.lengths[..distances]].concat();
        let mut symbols = Vec::with_capacity(lengths.len());
        for run in lengths.chunk_by(|one, next| one == next) {
            runs(run[0], run.len(), &mut symbols);
        }
        let mut counts = [0; 19];
        symbols.iter().for_each(|(symbol, ..)| counts[*symbol] += 1);
        let code = Code::best(&counts, 7);
        let written =
            ORDER.iter().rposition(|symbol| code.lengths[*symbol] > 0).map_or(4, |last| 4.max(last + 1));
        Self { literals, distances, symbols, code, written }
    }

    fn bits(&self) -> usize {
        let symbols = self
            .symbols
            .iter()
            .map(|(symbol, bits, _)| usize::from(self.code.lengths[*symbol]) + *bits as usize);
        5 + 5 + 4 + 3 * self.written + symbols.sum::<usize>()
    }

    fn write(&self, bits: &mut Bits<'_>) {
        bits.put((self.literals - LENGTHS) as u32, 5);
        bits.put((self.distances - 1) as u32, 5);
        bits.put((self.written - 4) as u32, 4);
        for symbol in &ORDER[..self.written] {
            bits.put(u32::from(self.code.lengths[*symbol]), 3);
        }
        for (symbol, more_bits, more) in &self.symbols {
            let (word, count) = self.code.word(*symbol);
            bits.put(word, count);
            bits.put(*more, *more_bits);
        }
    }
}

/// The symbols of the same length so many times.
fn runs(length: u8, mut count: usize, symbols: &mut Vec<(usize, u32, u32)>) {
    let one = (usize::from(length), 0, 0);
    if length > 0 {
        symbols.push(one);
        count -= 1;
    }
    let longer = if length > 0 { &[AGAIN][..] } else { &[MANY_ZEROS, ZEROS][..] };
    for run in longer {
        while count >= run.least {
            let taken = count.min(run.most);
            symbols.push((run.symbol, run.bits, (taken - run.least) as u32));
            count -= taken;
        }
    }
    symbols.extend(std::iter::repeat_n(one, count));
}
