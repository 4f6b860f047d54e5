//! The UART of whatever board.

use mmio::Mapped;

use crate::{BadLine, Cadence, Line, Pl011, Uart};

/// One of the UARTs that there is a driver for.
pub enum Serial<'a> {
    /// Arm's PrimeCell UART.
    Pl011(Pl011<'a>),
    /// The Cadence UART of Zynq and ZynqMP.
    Cadence(Cadence<Mapped<'a>>),
}

impl Serial<'_> {
    /// Sets the line and enables the receive interrupts.
    ///
    /// # Errors
    /// [`BadLine`]; the UART is as it was.
    pub fn start(&mut self, line: Line) -> Result<(), BadLine> {
        match self {
            Self::Pl011(uart) => uart.start(line),
            Self::Cadence(uart) => uart.start(line),
        }
    }

    fn uart(&mut self) -> &mut dyn Uart {
        match self {
            Self::Pl011(uart) => uart,
            Self::Cadence(uart) => uart,
        }
    }
}

impl Uart for Serial<'_> {
    fn write(&mut self, bytes: &[u8]) -> usize {
        self.uart().write(bytes)
    }
    fn read(&mut self, into: &mut [u8]) -> usize {
        self.uart().read(into)
    }
    fn set_tx_irq(&mut self, on: bool) {
        self.uart().set_tx_irq(on);
    }
    fn ack(&mut self) {
        self.uart().ack();
    }
}
