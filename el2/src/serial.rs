//! The console server over the board's UART.
//!
//! # Soundness
//! The UART is made once by [`uart()`], which its one caller promises to do, and a second time by
//! [`last_words`], which never returns to the user of the first.
#![expect(unsafe_code, reason = "device registers")]

use core::fmt::{self, Write};
use core::ptr::NonNull;

use board::UartKind;
use console::{AddError, Mux, Role, SERVER_COMMANDS};
use console_api::Region;
use topology::console_client::{COUNT, TIMER_SERVER};
use uart::{Cadence, Mapped, Pl011, Serial, Uart, UniqueMmioPointer};

use crate::board::{BOARD, LINE, UART};
use crate::cpu;
use crate::log::Port;
use crate::own::Own;
use crate::services::{self, RING};

/// The UART. To be called once.
pub(crate) fn uart() -> Serial<'static> {
    let base = NonNull::new(UART as *mut u8).expect("the UART's address is not null");
    // SAFETY: the board's UART, mapped as device memory from the start; see the module.
    let mut uart = unsafe {
        match BOARD.uart.kind {
            UartKind::Pl011 => Serial::Pl011(Pl011::new(base)),
            UartKind::Cadence => Serial::Cadence(Cadence::over(Mapped::over(
                UniqueMmioPointer::new(base.cast()),
            ))),
        }
    };
    let started = uart.start(LINE);
    debug_assert!(started.is_ok(), "boards' clocks allow 115200 baud");
    uart
}

/// Writes to the UART and waits until it has taken everything: for what comes before the console
/// server, and after it.
pub(crate) struct Direct<'u>(pub(crate) &'u mut Serial<'static>);

impl Write for Direct<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for mut bytes in text.split_inclusive('\n').map(str::as_bytes) {
            let newline = bytes.last() == Some(&b'\n');
            if newline {
                bytes = &bytes[..bytes.len() - 1];
            }
            for mut piece in [bytes, if newline { b"\r\n" } else { b"" }] {
                while !piece.is_empty() {
                    piece = &piece[self.0.write(piece)..];
                }
            }
        }
        Ok(())
    }
}

/// Writes a line when nothing else works any more.
pub(crate) fn last_words(line: fmt::Arguments<'_>) {
    let _ = write!(Direct(&mut uart()), "\n{line}\n");
}

/// The console server.
pub(crate) struct Console {
    mux: &'static mut Mux<'static, COUNT>,
    uart: Serial<'static>,
    /// Client number of each of the multiplexer's clients.
    clients: [usize; COUNT],
    /// The multiplexer's index of each client.
    indices: [Option<usize>; COUNT],
}

impl Console {
    /// The console on `uart`, without clients. Its 60 KiB come from `own`: in a static they would
    /// be part of the image.
    pub(crate) fn new(own: &mut Own, uart: Serial<'static>) -> Self {
        let mux = own.value(Mux::new);
        mux.set_frequency(cpu::frequency());
        mux.set_commands(SERVER_COMMANDS);
        Self {
            mux,
            uart,
            clients: [0; COUNT],
            indices: [None; COUNT],
        }
    }

    /// Adds client `client` and returns its end. A name that cannot be used is replaced and said:
    /// see [`Mux::admit`].
    ///
    /// # Errors
    /// [`AddError`].
    pub(crate) fn add(
        &mut self,
        own: &mut Own,
        client: usize,
        name: &str,
        role: Role,
    ) -> Result<Port, AddError> {
        let header = own.zeroed(console_api::HEADER_SIZE / 4);
        let data = own.zeroed(console_api::REGION_SIZE - console_api::HEADER_SIZE);
        let region = Region::new(header, data).expect("the lengths are the geometry's own");
        let index = self
            .mux
            .admit(client, name, role, region.server().expect("likewise"))?;
        self.clients[index] = client;
        self.indices[client] = Some(index);
        // The host itself, whose scheduler knows.
        if client == TIMER_SERVER {
            self.mux.set_timekeeper(index);
        }
        Ok(region.client(RING[client]).expect("likewise"))
    }

    /// The UART's interrupt came.
    pub(crate) fn on_interrupt(&mut self) {
        self.mux.on_uart_irq(&mut self.uart);
    }

    /// Looks after the clients that rang, and moves bytes. Calls `notify` for each client that is
    /// to be notified, and returns when it wants to be called again at the latest.
    pub(crate) fn pump(&mut self, mut notify: impl FnMut(usize)) -> Option<u64> {
        let mut bells = services::take_bells();
        while bells != 0 {
            if let Some(Some(index)) = self.indices.get(bells.trailing_zeros() as usize) {
                self.mux.on_client(*index);
            }
            bells &= bells - 1;
        }
        loop {
            let pumped = self.mux.pump(&mut self.uart, cpu::now());
            for index in pumped.notify {
                notify(self.clients[index]);
            }
            if !pumped.more {
                return pumped.wake_at;
            }
        }
    }
}
