//! Lines through `console_io`.

use core::fmt;

use crate::xen::{self, nr};

/// A line under construction; what does not fit is dropped.
pub struct Line {
    bytes: [u8; 240],
    len: usize,
}

impl Line {
    /// An empty line.
    pub const fn new() -> Self {
        Self {
            bytes: [0; 240],
            len: 0,
        }
    }

    /// Prints the line and its end.
    pub fn print(mut self) {
        let end = self.len.min(self.bytes.len() - 1);
        self.bytes[end] = b'\n';
        xen::call3(nr::CONSOLE, 0, end as u64 + 1, self.bytes.as_ptr() as u64);
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
        }
        Ok(())
    }
}

/// Prints a line.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => {{
        let mut line = $crate::console::Line::new();
        // Writing to a line cannot fail; what is too long is cut.
        let _ = core::fmt::Write::write_fmt(&mut line, format_args!($($argument)*));
        line.print();
    }};
}
