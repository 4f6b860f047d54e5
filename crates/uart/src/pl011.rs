//! Arm PrimeCell UART (PL011, Arm DDI 0183), as on QEMU's virt board.
//!
//! # Soundness
//! [`Pl011::new`] is the one unsafe operation: its caller promises that a register page of a PL011
//! is mapped at the address for ever and that nobody else uses it. From this it makes the
//! `UniqueMmioPointer` through which the `arm-pl011-uart` crate does every access, volatile and of
//! the registers' 32 bits.

use core::ptr::NonNull;

use arm_pl011_uart::{
    DataBits, FifoLevel, Interrupts, LineConfig, PL011Registers, Parity, StopBits,
    UniqueMmioPointer,
};

use crate::{BadLine, Line, Uart};

/// Received bytes, and received bytes that have lain there for 32 bit times.
const RX: Interrupts = Interrupts::RXI.union(Interrupts::RTI);
/// What is acknowledged; receive errors are not enabled but their raw bits would stay.
const HANDLED: Interrupts = RX
    .union(Interrupts::TXI)
    .union(Interrupts::OEI)
    .union(Interrupts::BEI)
    .union(Interrupts::PEI)
    .union(Interrupts::FEI);

/// A PL011.
pub struct Pl011<'a> {
    uart: arm_pl011_uart::Uart<'a>,
    tx_irq: bool,
    errors: u32,
}

impl Pl011<'static> {
    /// The PL011 whose registers are mapped at `base`.
    ///
    /// # Safety
    /// `base` is the first byte of a PL011's register page, mapped as device memory, readable and
    /// writable, for as long as the program runs, and nothing else in the program uses that page.
    #[expect(
        unsafe_code,
        reason = "the address of a device can only be vouched for by who mapped it"
    )]
    pub unsafe fn new(base: NonNull<u8>) -> Self {
        // SAFETY: what `UniqueMmioPointer::new` asks is what our caller promises.
        Self::over(unsafe { UniqueMmioPointer::new(base.cast::<PL011Registers>()) })
    }
}

impl<'a> Pl011<'a> {
    /// The PL011 with these registers, which may be plain memory in a test.
    pub const fn over(registers: UniqueMmioPointer<'a, PL011Registers>) -> Self {
        Self {
            uart: arm_pl011_uart::Uart::new(registers),
            tx_irq: false,
            errors: 0,
        }
    }

    /// Sets the line, turns the FIFOs on and enables the receive interrupts.
    ///
    /// # Errors
    /// [`BadLine`]; the UART is as it was.
    pub fn start(&mut self, line: Line) -> Result<(), BadLine> {
        let config = LineConfig {
            data_bits: DataBits::Bits8,
            parity: Parity::None,
            stop_bits: StopBits::One,
        };
        self.uart
            .enable(config, line.baud, line.clock_hz)
            .map_err(|_| BadLine(line))?;
        // RX at half full, so that a burst has 16 byte times to be fetched; TX at 1/8 left, so
        // that one interrupt makes room for 28 bytes.
        self.uart
            .set_interrupt_fifo_levels(FifoLevel::Bytes16, FifoLevel::Bytes4);
        self.uart.clear_interrupts(HANDLED);
        self.apply_masks();
        Ok(())
    }

    /// Received bytes that were lost or damaged on the line (overrun, framing, parity, break).
    pub const fn receive_errors(&self) -> u32 {
        self.errors
    }

    fn apply_masks(&mut self) {
        let masks = if self.tx_irq {
            RX.union(Interrupts::TXI)
        } else {
            RX
        };
        self.uart.set_interrupt_masks(masks);
    }
}

impl Uart for Pl011<'_> {
    fn write(&mut self, bytes: &[u8]) -> usize {
        for (sent, &byte) in bytes.iter().enumerate() {
            if self.uart.is_tx_fifo_full() {
                return sent;
            }
            self.uart.write_word(byte);
        }
        bytes.len()
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        let (mut got, mut bad) = (0, 0);
        while let Some(slot) = into.get_mut(got) {
            match self.uart.read_word() {
                Ok(Some(byte)) => {
                    *slot = byte;
                    got += 1;
                }
                Ok(None) => break,
                Err(_) => {
                    self.errors = self.errors.saturating_add(1);
                    bad += 1;
                    // A line that only gives errors must not keep us here: the FIFO holds 32.
                    if bad == 32 {
                        break;
                    }
                }
            }
        }
        got
    }

    fn set_tx_irq(&mut self, on: bool) {
        if self.tx_irq != on {
            self.tx_irq = on;
            self.apply_masks();
        }
    }

    fn ack(&mut self) {
        self.uart.clear_interrupts(HANDLED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::transmute_mut;

    const FR: usize = 0x18 / 4;
    const RXFE: u32 = 1 << 4;
    const TXFF: u32 = 1 << 5;

    fn over(registers: &mut [u32; 1024]) -> Pl011<'_> {
        let registers: &mut PL011Registers = transmute_mut!(registers);
        Pl011::over(UniqueMmioPointer::from(registers))
    }

    #[test]
    fn start_sets_line_fifos_and_receive_interrupts() {
        let mut registers = [0; 1024];
        let line = Line {
            baud: 115_200,
            clock_hz: 24_000_000,
        };
        assert_eq!(over(&mut registers).start(line), Ok(()));
        assert_eq!((registers[0x24 / 4], registers[0x28 / 4]), (13, 1));
        assert_eq!(registers[0x2c / 4], 0x70, "8n1 with FIFOs");
        assert_eq!(registers[0x30 / 4], 0x301, "UARTEN, TXE, RXE");
        assert_eq!(registers[0x34 / 4], 0b010_000);
        assert_eq!(registers[0x38 / 4], 0x50, "RXIM and RTIM");
    }

    #[test]
    fn a_speed_out_of_reach_is_refused_untouched() {
        let mut registers = [0; 1024];
        let line = Line {
            baud: 4_000_000,
            clock_hz: 24_000_000,
        };
        assert_eq!(over(&mut registers).start(line), Err(BadLine(line)));
        let line = Line {
            baud: 0,
            clock_hz: 24_000_000,
        };
        assert_eq!(over(&mut registers).start(line), Err(BadLine(line)));
        assert!(registers.iter().all(|&r| r == 0));
    }

    #[test]
    fn write_stops_at_a_full_fifo() {
        let mut registers = [0; 1024];
        registers[FR] = TXFF;
        assert_eq!(over(&mut registers).write(b"abc"), 0);
        assert_eq!(registers[0], 0);
        registers[FR] = 0;
        assert_eq!(over(&mut registers).write(b"abc"), 3);
        assert_eq!(registers[0], u32::from(b'c'));
    }

    #[test]
    fn read_stops_at_an_empty_fifo_and_counts_errors() {
        let mut registers = [0; 1024];
        let mut into = [0; 4];
        registers[FR] = RXFE;
        assert_eq!(over(&mut registers).read(&mut into), 0);
        registers[FR] = 0;
        registers[0] = u32::from(b'k');
        assert_eq!(over(&mut registers).read(&mut into), 4);
        assert_eq!(&into, b"kkkk");
        registers[0] = 1 << 10; // break, for ever
        let mut uart = over(&mut registers);
        assert_eq!(uart.read(&mut into), 0);
        assert_eq!(uart.receive_errors(), 32);
    }

    #[test]
    fn interrupts_are_masked_and_acknowledged() {
        let mut registers = [0; 1024];
        let mut uart = over(&mut registers);
        uart.set_tx_irq(true);
        uart.ack();
        assert_eq!((registers[0x38 / 4], registers[0x44 / 4]), (0x70, 0x7f0));
        let mut uart = over(&mut registers);
        uart.set_tx_irq(true);
        uart.set_tx_irq(false);
        assert_eq!(registers[0x38 / 4], 0x50);
    }
}
