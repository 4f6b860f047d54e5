//! Text: lines on standard output, and names.

use core::fmt::Write as _;

use crate::sys;

/// A text under construction; what does not fit is dropped.
pub struct Line {
    bytes: [u8; 128],
    len: usize,
}

impl Line {
    /// The text of `arguments`.
    pub fn new(arguments: core::fmt::Arguments<'_>) -> Self {
        let mut line = Self {
            bytes: [0; 128],
            len: 0,
        };
        // Writing to a line cannot fail; what is too long is cut.
        let _ = line.write_fmt(arguments);
        line
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl core::fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

/// Prints to standard output.
pub fn say(arguments: core::fmt::Arguments<'_>) {
    sys::write(1, Line::new(arguments).bytes());
}

/// A decimal number.
pub fn number(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}
