//! The console's protection domain: sole owner of the UART.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use console::{Mux, Role, SERVER_COMMANDS};
use static_cell::ConstStaticCell;
use topology::{MAX_DOMAINS, channel, console_client};
use uart::Serial;
use zazen_rt::clients::arm_timer_over;
use zazen_rt::clock;
use zazen_rt::event::poll;
use zazen_rt::{Channel, ChannelSet, Handler, Infallible, patched, protection_domain, region};

protection_domain!(init);

/// Some 60 KiB, so it lives here and not on the stack.
static MUX: ConstStaticCell<Mux<'static, { console_client::COUNT }>> =
    ConstStaticCell::new(Mux::new());

const TIMER: Channel = Channel::new(channel::CONSOLE_TIMER);

struct Pd {
    mux: &'static mut Mux<'static, { console_client::COUNT }>,
    uart: Serial<'static>,
    /// Client number of each of the multiplexer's clients, which is also its channel.
    channels: [usize; console_client::COUNT],
    indices: [Option<usize>; console_client::COUNT],
    /// Deadline that the timer server has of us, which may be earlier than need be.
    armed: Option<u64>,
}

fn init() -> Pd {
    let mux = MUX.take();
    mux.notice(format_args!(
        "Zazen {}: the Xen ABI on seL4 Microkit",
        env!("CARGO_PKG_VERSION")
    ));
    mux.set_frequency(clock::frequency());
    mux.set_commands(SERVER_COMMANDS);
    let mut channels = [0; console_client::COUNT];
    let mut indices = [None; console_client::COUNT];
    for (client, bytes) in patched::console_names().iter().enumerate() {
        let length = bytes
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(bytes.len());
        let Ok(name @ [_, ..]) = core::str::from_utf8(&bytes[..length]).map(str::as_bytes) else {
            continue;
        };
        let name = core::str::from_utf8(name).unwrap_or("?");
        let role = if client < MAX_DOMAINS {
            Role::Guest
        } else {
            Role::Server
        };
        let Some(end) = region::console_region(client).server() else {
            continue;
        };
        if let Ok(index) = mux.admit(client, name, role, end) {
            channels[index] = client;
            indices[client] = Some(index);
            if client == console_client::FAULT_SERVER {
                mux.set_timekeeper(index);
            }
        }
    }
    let (mut uart, line) = region::uart();
    let started = uart.start(line);
    debug_assert!(started.is_ok(), "boards' clocks allow 115200 baud");
    let mut pd = Pd {
        mux,
        uart,
        channels,
        indices,
        armed: None,
    };
    pd.pump();
    pd
}

impl Pd {
    /// Takes note of the notification of channel `id`.
    fn take(&mut self, id: usize) {
        match id {
            channel::IRQ => {
                self.mux.on_uart_irq(&mut self.uart);
                let _ = Channel::new(channel::IRQ).irq_ack();
            }
            channel::CONSOLE_TIMER => self.armed = None,
            client => {
                if let Some(Some(index)) = self.indices.get(client) {
                    self.mux.on_client(*index);
                    if client == console_client::FAULT_SERVER {
                        self.take_stopped(*index);
                    }
                }
            }
        }
    }

    /// The fault server, the multiplexer's client `index`, may have said which protection domains
    /// have stopped.
    fn take_stopped(&mut self, index: usize) {
        let stopped = self.mux.stopped_clients(index);
        for (client, index) in self.indices.iter().enumerate() {
            if let Some(index) = index.filter(|_| stopped & 1 << client != 0) {
                self.mux.mark_stopped(index);
            }
        }
    }

    /// Moves output until there is none. Each round also handles new notifications, so a client
    /// that always has more delays neither other clients nor what is typed.
    fn pump(&mut self) {
        let wake_at = loop {
            let pumped = self.mux.pump(&mut self.uart, clock::now());
            for index in pumped.notify {
                Channel::new(self.channels[index]).notify();
            }
            if !pumped.more {
                break pumped.wake_at;
            }
            poll().iter().for_each(|id| self.take(id));
        };
        // Being woken too early costs less than a call for each byte that moves the deadline.
        if let Some(at) = wake_at
            && self.armed.is_none_or(|armed| at < armed)
        {
            arm_timer_over(TIMER, Some(at));
            self.armed = Some(at);
        }
    }
}

impl Handler for Pd {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        channels
            .iter()
            .for_each(|channel| self.take(channel.index()));
        self.pump();
        Ok(())
    }
}
