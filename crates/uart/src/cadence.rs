//! Cadence UART, as on Xilinx Zynq and ZynqMP (UG1085 chapter 21, register names as in UG1087
//! module UART).

use mmio::Registers;

use crate::line::divisors;
use crate::{BadLine, Line, Uart};

const CR: usize = 0x00;
const MR: usize = 0x04;
const IER: usize = 0x08;
const IDR: usize = 0x0c;
const ISR: usize = 0x14;
const BAUDGEN: usize = 0x18;
const RXTOUT: usize = 0x1c;
const RXWM: usize = 0x20;
const SR: usize = 0x2c;
const FIFO: usize = 0x30;
const BAUDDIV: usize = 0x34;

/// `CR`: reset of the receiver, which ends by itself. The transmitter is not reset: its FIFO may
/// hold what was written before.
const CR_RESET: u32 = 0b01;
/// `CR`: RXEN and TXEN, neither RXDIS nor TXDIS. Kernels other than debug ones leave the
/// transmitter off.
const CR_ON: u32 = 0x14;
/// `CR`: restarts the receive time-out counter.
const CR_RESTART_TIMEOUT: u32 = 1 << 6;
/// `MR`: 8 data bits, no parity, one stop bit, normal mode, undivided clock.
const MR_8N1: u32 = 0x20;

/// `ISR`, `IER`, `IDR`: the receive FIFO has reached its trigger level.
const RTRIG: u32 = 1 << 0;
/// The transmit FIFO is empty.
const TEMPTY: u32 = 1 << 3;
/// The receive FIFO overran; a byte had a framing error; a parity error.
const ERRORS: [u32; 3] = [1 << 5, 1 << 6, 1 << 7];
/// Bytes have lain in the receive FIFO for the time in `RXTOUT`.
const TIMEOUT: u32 = 1 << 8;
const RX: u32 = RTRIG | TIMEOUT;
const ALL: u32 = 0x1fff;

/// `SR`: the receive FIFO is empty; the transmit FIFO is full.
const SR_REMPTY: u32 = 1 << 1;
const SR_TFUL: u32 = 1 << 4;

/// Depth of the receive FIFO.
const FIFO_DEPTH: u32 = 64;
/// Received bytes that raise the interrupt: three quarters of the FIFO are left for the time until
/// they are fetched.
const RX_TRIGGER: u32 = FIFO_DEPTH / 4;
/// Time after the last byte that raises it too, in units of four bits: four bytes.
const RX_TIMEOUT: u32 = 10;

/// A Cadence UART.
#[derive(Debug)]
pub struct Cadence<R> {
    registers: R,
    tx_irq: bool,
    errors: u32,
}

impl<R: Registers> Cadence<R> {
    /// The UART with these registers.
    pub const fn over(registers: R) -> Self {
        Self {
            registers,
            tx_irq: false,
            errors: 0,
        }
    }

    /// Sets the line, empties the receive FIFO, turns both directions on and enables the receive
    /// interrupts.
    ///
    /// # Errors
    /// [`BadLine`]; the UART is as it was.
    pub fn start(&mut self, line: Line) -> Result<(), BadLine> {
        let (generator, divider) = divisors(line).ok_or(BadLine(line))?;
        let registers = &mut self.registers;
        registers.write(IDR, ALL);
        registers.write(CR, CR_RESET);
        registers.write(MR, MR_8N1);
        registers.write(BAUDGEN, generator);
        registers.write(BAUDDIV, divider);
        registers.write(RXWM, RX_TRIGGER);
        registers.write(RXTOUT, RX_TIMEOUT);
        registers.write(CR, CR_ON | CR_RESTART_TIMEOUT);
        registers.write(ISR, ALL);
        registers.write(IER, RX);
        Ok(())
    }

    /// Kinds of receive errors (overrun, framing, parity) that interrupts have reported.
    pub const fn receive_errors(&self) -> u32 {
        self.errors
    }
}

impl<R: Registers> Uart for Cadence<R> {
    fn write(&mut self, bytes: &[u8]) -> usize {
        for (sent, &byte) in bytes.iter().enumerate() {
            if self.registers.read(SR) & SR_TFUL != 0 {
                return sent;
            }
            self.registers.write(FIFO, u32::from(byte));
        }
        bytes.len()
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        for (got, slot) in into.iter_mut().enumerate() {
            if self.registers.read(SR) & SR_REMPTY != 0 {
                return got;
            }
            *slot = self.registers.read(FIFO).to_le_bytes()[0];
        }
        into.len()
    }

    fn set_tx_irq(&mut self, on: bool) {
        if self.tx_irq != on {
            self.tx_irq = on;
            // The FIFO may have drained already: an interrupt that was latched before must not be
            // cleared here.
            self.registers.write(if on { IER } else { IDR }, TEMPTY);
        }
    }

    fn ack(&mut self) {
        let raised = self.registers.read(ISR);
        let errors = ERRORS.iter().filter(|&&bit| raised & bit != 0).count();
        self.errors = self
            .errors
            .saturating_add(u32::try_from(errors).unwrap_or(0));
        self.registers.write(ISR, raised);
        if raised & TIMEOUT != 0 {
            self.registers.write(CR, CR_ON | CR_RESTART_TIMEOUT);
        }
    }
}

#[cfg(test)]
#[path = "cadence_tests.rs"]
mod tests;
