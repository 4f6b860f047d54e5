//! UART drivers behind one small trait.
//!
//! [`Uart`] is what the console server needs: nothing in it waits. [`Pl011`] implements it for
//! Arm's PrimeCell UART on the `arm-pl011-uart` crate, [`Cadence`] for the one of Zynq and ZynqMP,
//! [`Serial`] for whichever of them the board has; [`FakeUart`] implements it for tests.
#![no_std]
#![deny(unsafe_code)]

#[cfg(test)]
extern crate std;

mod cadence;
mod fake;
mod line;
mod pl011;
mod serial;

pub use cadence::Cadence;
pub use fake::FakeUart;
pub use line::{BadLine, Line};
pub use mmio::{Mapped, UniqueMmioPointer};
pub use pl011::Pl011;
pub use serial::Serial;

/// A UART that is never waited for.
///
/// Its one interrupt line is raised while received bytes are there, and, between
/// `set_tx_irq(true)` and `set_tx_irq(false)`, when the transmit FIFO has room again.
pub trait Uart {
    /// Hands over as many bytes of `bytes` as the transmit FIFO takes now; returns how many.
    fn write(&mut self, bytes: &[u8]) -> usize;
    /// Takes received bytes, at most `into.len()`; returns how many. 0 means that none are left.
    fn read(&mut self, into: &mut [u8]) -> usize;
    /// Turns the interrupt "there is room in the transmit FIFO again" on or off; off at the start.
    ///
    /// To be turned on only after [`Uart::write`] took less than it was given: a PL011 raises this
    /// interrupt when a FIFO that was full drains, not because it is empty.
    fn set_tx_irq(&mut self, on: bool);
    /// Clears the interrupts that are raised now; to be called on an interrupt *before* reading and
    /// writing.
    fn ack(&mut self);
}
