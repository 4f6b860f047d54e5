//! Reading a program of operations from bytes.

use arbitrary::{Arbitrary, Unstructured};

/// The bytes that are left. Everything is read from the front in little-endian order, so that seeds
/// can be written by hand; what is missing at the end reads as 0.
pub(crate) struct Input<'a>(Unstructured<'a>);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    /// The next operation; `None` at the end.
    pub(crate) fn operation(&mut self) -> Option<u8> {
        (!self.0.is_empty()).then(|| self.get())
    }

    /// An integer of fixed size.
    pub(crate) fn get<T: Arbitrary<'a> + Default>(&mut self) -> T {
        self.0.arbitrary().unwrap_or_default()
    }

    /// Up to `most` bytes.
    pub(crate) fn bytes(&mut self, most: usize) -> &'a [u8] {
        let count = most.min(self.0.len());
        self.0.bytes(count).unwrap_or(&[])
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }

    /// A number in few bytes if it is small or at a boundary: `0..=0x7f` is itself, `0x80 + n` is
    /// 2^n and `0xc0 + n` (`n` at most 0x3e) 2^(n+1) - 1; after `0xff` come eight bytes.
    pub(crate) fn number(&mut self) -> u64 {
        match self.get::<u8>() {
            0xff => self.get(),
            n @ ..0x80 => u64::from(n),
            n @ ..0xc0 => 1 << (n - 0x80),
            n => (2 << (n - 0xc0)) - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_at_boundaries() {
        let mut input = Input::new(&[
            5, 0x7f, 0x80, 0xbf, 0xc0, 0xfe, 0xff, 1, 2, 0, 0, 0, 0, 0, 3,
        ]);
        let read = [(); 7].map(|()| input.number());
        assert_eq!(
            read,
            [5, 127, 1, 1 << 63, 1, u64::MAX >> 1, 0x0300_0000_0000_0201]
        );
        assert_eq!(input.operation(), None);
        assert_eq!(input.number(), 0, "what is missing is 0");
    }
}
