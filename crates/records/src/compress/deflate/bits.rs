//! Writing bits, the lowest first (RFC 1951, 3.1.1).

/// Writes bits into bytes. What does not fit is a panic: [`super::bound`] is what has to fit.
pub(super) struct Bits<'a> {
    out: &'a mut [u8],
    at: usize,
    held: u64,
    count: u32,
}

/// So many bits are held at most.
pub(super) const HELD_BITS: u32 = 63;
/// So many bytes past the end are written to, and written over again.
pub(super) const OVERHANG_BYTES: usize = 8;

impl<'a> Bits<'a> {
    pub(super) fn new(out: &'a mut [u8]) -> Self {
        Self { out, at: 0, held: 0, count: 0 }
    }

    /// Holds `count` bits more, [`HELD_BITS`] in all.
    #[inline(always)]
    pub(super) fn hold(&mut self, bits: u32, count: u32) {
        self.held |= u64::from(bits) << self.count;
        self.count += count;
    }

    /// Writes the whole bytes that are held.
    #[inline(always)]
    pub(super) fn write(&mut self) {
        self.out[self.at..self.at + OVERHANG_BYTES].copy_from_slice(&self.held.to_le_bytes());
        let bits = self.count & !7;
        self.at += (bits / 8) as usize;
        self.held >>= bits;
        self.count -= bits;
    }

    /// Writes, where more than so many bits are held.
    #[inline(always)]
    pub(super) fn write_above(&mut self, bits: u32) {
        if self.count > bits {
            self.write();
        }
    }

    /// Holds and writes.
    pub(super) fn put(&mut self, bits: u32, count: u32) {
        self.hold(bits, count);
        self.write();
    }

    /// Fills the last byte up with zeros, and writes bytes after it.
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        self.fill_up();
        self.out[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    /// Fills the last byte up with zeros; how many bytes there are.
    pub(super) fn end(mut self) -> usize {
        self.fill_up();
        self.at
    }

    fn fill_up(&mut self) {
        self.hold(0, self.count.wrapping_neg() & 7);
        self.write();
    }
}
