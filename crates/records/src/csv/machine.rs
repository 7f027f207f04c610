//! Where cells and rows end: the rules of the dialect, 64 bytes at a time.
//!
//! Two ways lead through a block and agree (a test compares them). Where the quotes of the block lie as a writer lays
//! them, each opening at the start of a cell, bit arithmetic on the masks says at once which separators stand outside
//! quotes. A stray quote, an escape character, a comment mark or a space that may have to be skipped sends the block
//! through the exact machine, byte by byte.
//!
//! The rules:
//! - A quote is special only at the start of a cell; what follows a closing quote belongs to the cell.
//! - LF, CRLF and CR end a row, or the dialect's own terminator and nothing else.
//! - An escape character makes the next byte literal, inside and outside quotes, as in Python's `csv`; right after a
//!   closing quote it is a plain byte, as there.
//! - A comment mark at the start of a row makes the line a comment, to its end, whatever quotes it holds.
//!
//! Invariant: what a block gives depends on the bytes before it and in it alone, not on where blocks begin.

use super::kernel::{Kernel, Masks, Needles, WIDTH, prefix_xor};
use crate::dialect::{Dialect, LineEnd};

/// What the byte before left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    RowStart,
    CellStart,
    Plain,
    Quoted,
    /// After a quote inside quotes: it closed them, or it is the first of two.
    QuoteSeen,
    /// After an escape character outside quotes.
    Escaped,
    /// After an escape character inside quotes.
    EscapedQuoted,
    Comment,
}

/// Which bytes of a block end a cell, and which of these end its row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Cells that end before the byte: separators and line ends.
    pub(crate) cells: u64,
    /// Line ends (of a CRLF, the CR).
    pub(crate) rows: u64,
    /// Line ends with all of their bytes.
    pub(crate) terminators: u64,
    /// Line ends of comments.
    pub(crate) comments: u64,
}

/// The state machine of a dialect.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) state: State,
    /// Whether the last byte was a CR that ended a row: an LF after it belongs to it.
    after_return: bool,
    needles: Needles,
    quote: Option<u8>,
    double: bool,
    escape: Option<u8>,
    comment: Option<u8>,
    skip_space: bool,
}

impl Machine {
    pub(crate) fn new(dialect: &Dialect) -> Self {
        let (newline, return_on) = match dialect.line_terminator {
            LineEnd::Byte(byte) => (byte, 0),
            LineEnd::Lf | LineEnd::CrLf | LineEnd::Cr => (b'\n', u64::MAX),
        };
        let space = dialect.skip_initial_space.then_some(b' ');
        let odd = dialect.escape.or(dialect.comment).or(space).map(|first| {
            [dialect.escape.unwrap_or(first), dialect.comment.unwrap_or(first), space.unwrap_or(first)]
        });
        Self {
            state: State::RowStart,
            after_return: false,
            needles: Needles {
                delimiter: dialect.delimiter,
                quote: dialect.quote.unwrap_or(dialect.delimiter),
                quote_on: if dialect.quote.is_some() { u64::MAX } else { 0 },
                newline,
                return_on,
                odd,
            },
            quote: dialect.quote,
            double: dialect.double_quote,
            escape: dialect.escape,
            comment: dialect.comment,
            skip_space: dialect.skip_initial_space,
        }
    }

    /// Back to the start of a row.
    pub(crate) fn restart(&mut self) {
        self.state = State::RowStart;
        self.after_return = false;
    }

    /// Whether a CR ends rows, alone or with the LF after it.
    pub(crate) fn has_returns(&self) -> bool {
        self.needles.return_on != 0
    }

    /// The ends in one block, of which the first `len` bytes (1 to 64) count.
    #[inline(always)]
    pub(crate) fn block<K: Kernel>(&mut self, block: &[u8; WIDTH], len: usize) -> Ends {
        let mut masks = K::masks(block, &self.needles);
        if len < WIDTH {
            let valid = (1u64 << len) - 1;
            masks.delimiter &= valid;
            masks.quote &= valid;
            masks.newline &= valid;
            masks.carriage_return &= valid;
            masks.odd &= valid;
        }
        match self.fast(&masks, len) {
            Some(ends) => ends,
            None => self.exact(&block[..len]),
        }
    }

    /// By the masks alone; none where only the exact machine can tell.
    #[inline(always)]
    fn fast(&mut self, masks: &Masks, len: usize) -> Option<Ends> {
        let (inside, opening, closing) = match self.state {
            State::Escaped | State::EscapedQuoted | State::Comment => return None,
            _ if masks.odd != 0 => return None,
            State::Quoted if masks.quote == 0 => {
                self.after_return = false;
                return Some(Ends::default());
            }
            _ if masks.quote == 0 => (0, 0, 0),
            state => {
                let carry = if state == State::Quoted { u64::MAX } else { 0 };
                let inside = prefix_xor(masks.quote) ^ carry;
                (inside, masks.quote & inside, masks.quote & !inside)
            }
        };
        let newline = masks.newline & !inside;
        let returns = masks.carriage_return & !inside;
        let separators = (masks.delimiter & !inside) | newline | returns;
        if opening != 0 {
            let reopening = if self.double { closing } else { 0 };
            let before = match self.state {
                State::RowStart | State::CellStart => 1,
                State::QuoteSeen => u64::from(self.double),
                _ => 0,
            };
            if opening & !(((separators | reopening) << 1) | before) != 0 {
                return None;
            }
        }
        let after_return = (returns << 1) | u64::from(self.after_return);
        let rows = returns | (newline & !after_return);
        let last = 1u64 << (len - 1);
        self.after_return = returns & last != 0;
        self.state = if inside & last != 0 {
            State::Quoted
        } else if (newline | returns) & last != 0 {
            State::RowStart
        } else if separators & last != 0 {
            State::CellStart
        } else if closing & last != 0 && self.double {
            State::QuoteSeen
        } else {
            State::Plain
        };
        Some(Ends {
            cells: (masks.delimiter & !inside) | rows,
            rows,
            terminators: newline | returns,
            comments: 0,
        })
    }

    /// Byte by byte.
    #[cold]
    #[inline(never)]
    fn exact(&mut self, bytes: &[u8]) -> Ends {
        let mut ends = Ends::default();
        for (at, byte) in bytes.iter().enumerate() {
            let comment = self.state == State::Comment;
            match self.step(*byte) {
                Step::Inside => {}
                Step::LineFeed => ends.terminators |= 1 << at,
                Step::Cell => ends.cells |= 1 << at,
                Step::Row => {
                    ends.cells |= 1 << at;
                    ends.rows |= 1 << at;
                    ends.terminators |= 1 << at;
                    ends.comments |= u64::from(comment) << at;
                }
            }
        }
        ends
    }

    fn step(&mut self, byte: u8) -> Step {
        if std::mem::take(&mut self.after_return) && byte == self.needles.newline {
            return Step::LineFeed;
        }
        let row_start = self.state == State::RowStart;
        self.state = match self.state {
            State::RowStart | State::CellStart => {
                if row_start && self.comment == Some(byte) {
                    State::Comment
                } else if self.quote == Some(byte) {
                    State::Quoted
                } else if self.skip_space && byte == b' ' {
                    State::CellStart
                } else {
                    return self.plain(byte);
                }
            }
            State::Plain => return self.plain(byte),
            State::Quoted if self.escape == Some(byte) => State::EscapedQuoted,
            State::Quoted if self.quote == Some(byte) && self.double => State::QuoteSeen,
            State::Quoted if self.quote == Some(byte) => State::Plain,
            State::Quoted => State::Quoted,
            State::QuoteSeen if self.quote == Some(byte) => State::Quoted,
            State::QuoteSeen if self.escape == Some(byte) => State::Plain,
            State::QuoteSeen => return self.plain(byte),
            State::Escaped => State::Plain,
            State::EscapedQuoted => State::Quoted,
            State::Comment if self.ends_row(byte) => return self.end_row(byte),
            State::Comment => State::Comment,
        };
        Step::Inside
    }

    /// A byte outside quotes.
    fn plain(&mut self, byte: u8) -> Step {
        if self.ends_row(byte) {
            return self.end_row(byte);
        }
        if byte == self.needles.delimiter {
            self.state = State::CellStart;
            return Step::Cell;
        }
        self.state = if self.escape == Some(byte) { State::Escaped } else { State::Plain };
        Step::Inside
    }

    fn ends_row(&self, byte: u8) -> bool {
        byte == self.needles.newline || (byte == b'\r' && self.has_returns())
    }

    fn end_row(&mut self, byte: u8) -> Step {
        self.state = State::RowStart;
        self.after_return = byte == b'\r' && self.has_returns();
        Step::Row
    }
}

/// What a byte is.
enum Step {
    /// Part of a cell.
    Inside,
    /// The LF of a CRLF, which the CR has told already.
    LineFeed,
    /// It ends a cell.
    Cell,
    /// It ends a cell and its row.
    Row,
}
