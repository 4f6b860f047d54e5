//! The registers of a device, mapped or modelled.
//!
//! Drivers are written over [`Registers`]; [`Mapped`] is the real thing, and tests bring a model
//! that reacts to what is written.
#![no_std]
#![forbid(unsafe_code)]

use safe_mmio::fields::ReadWrite;

pub use safe_mmio::UniqueMmioPointer;

/// Words of a page of registers.
pub const WORDS: usize = 1024;

/// A page of 32-bit registers. Reading one may change the device.
pub type Page = [ReadWrite<u32>; WORDS];

/// 32-bit registers of a device, by byte offset.
pub trait Registers {
    /// Reads the register at `offset`.
    fn read(&mut self, offset: usize) -> u32;
    /// Writes the register at `offset`.
    fn write(&mut self, offset: usize, value: u32);
}

/// Registers that are mapped. An offset past the page reads 0 and is not written.
#[derive(Debug)]
pub struct Mapped<'a>(UniqueMmioPointer<'a, Page>);

impl<'a> Mapped<'a> {
    /// The registers behind `page`, which may be plain memory in a test.
    pub const fn over(page: UniqueMmioPointer<'a, Page>) -> Self {
        Self(page)
    }
}

impl Registers for Mapped<'_> {
    fn read(&mut self, offset: usize) -> u32 {
        self.0
            .get(offset / 4)
            .map_or(0, |mut register| register.read())
    }
    fn write(&mut self, offset: usize, value: u32) {
        if let Some(mut register) = self.0.get(offset / 4) {
            register.write(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_and_nothing_past_it() {
        let mut page: Page = [const { ReadWrite(0) }; WORDS];
        let mut mapped = Mapped::over(UniqueMmioPointer::from(&mut page));
        mapped.write(0x2c, 7);
        mapped.write(0x1000, 8);
        assert_eq!((mapped.read(0x2c), mapped.read(0x1000)), (7, 0));
        assert_eq!(page[0x2c / 4].0, 7);
        assert_eq!(page.iter().filter(|word| word.0 != 0).count(), 1);
    }
}
