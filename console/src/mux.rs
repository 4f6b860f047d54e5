//! The multiplexer's state and its interface.

use core::fmt::Write;

use console_api::{NAME_MAX, ServerEnd};
use heapless::{Deque, String, Vec};
use uart::Uart;

use topology::pd::CONSOLE_MONITOR as MONITOR;

use crate::client::{AddError, Client, Role, is_name};
use crate::command::Command;
use crate::job::Job;
use crate::pace::Pace;
use crate::screen::Screen;
use crate::set::ClientSet;
use crate::which::Question;

/// Most bytes that one [`Mux::pump`] moves, so that input and notifications get their turn even
/// where the UART takes everything at once.
const PUMP_MAX: usize = 32 * 1024;

/// What [`Mux::pump`] leaves to its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "clients must be notified, and nothing else may wake the console for `more` and `wake_at`"]
pub struct Pumped {
    /// Clients to notify.
    pub notify: ClientSet,
    /// There is more to do now: call [`Mux::pump`] again after the notifications.
    pub more: bool,
    /// Tick of the system counter at which [`Mux::pump`] must be called if nothing happens before;
    /// calling it earlier does no harm. `None`: time alone changes nothing.
    pub wake_at: Option<u64>,
}

/// The multiplexer for up to `N` clients (at most 64), about 5.5 KiB each.
///
/// It is big: build it in a static with [`Mux::new`], then [`Mux::add`] the clients. After any
/// event ([`Mux::on_client`], [`Mux::on_uart_irq`], the time of [`Pumped::wake_at`]) call
/// [`Mux::pump`] until it has no more.
#[derive(Debug)]
pub struct Mux<'a, const N: usize> {
    pub(crate) clients: Vec<Client<'a>, N>,
    /// Clients whose ring may hold something.
    pub(crate) ready: ClientSet,
    pub(crate) notify: ClientSet,
    /// Where the next round of the round robin starts.
    pub(crate) next: usize,
    /// The guest with the input focus; `None` is the monitor.
    pub(crate) focus: Option<usize>,
    /// The guest that has it or had it last.
    pub(crate) last_guest: Option<usize>,
    /// The focus has changed and that has not been said yet.
    pub(crate) announce: bool,
    /// Clients whose protection domain has stopped.
    pub(crate) stopped: ClientSet,
    /// Not all guests were down when one of them changed last.
    pub(crate) any_up: bool,
    /// The last guest has gone down and that has not been said yet.
    pub(crate) last_words: bool,
    /// Who answers for processor times.
    pub(crate) timekeeper: Option<usize>,
    /// The list of vCPUs has been asked for and not been printed.
    pub(crate) vcpus_asked: bool,
    pub(crate) bell: bool,
    /// Ctrl-a's that may become a switch.
    pub(crate) held: u8,
    /// Keys for the monitor.
    pub(crate) keys: Deque<u8, 128>,
    /// Which guest is meant by what is typed at the monitor.
    pub(crate) question: Option<Question>,
    pub(crate) commands: &'static [Command],
    pub(crate) requests: Deque<u16, 4>,
    pub(crate) job: Job,
    pub(crate) screen: Screen,
    pub(crate) pace: Pace,
}

impl<'a, const N: usize> Mux<'a, N> {
    /// A multiplexer without clients; the monitor has the focus.
    pub const fn new() -> Self {
        const { assert!(N <= 64, "ClientSet holds 64") };
        Self {
            clients: Vec::new(),
            ready: ClientSet::EMPTY,
            notify: ClientSet::EMPTY,
            next: 0,
            focus: None,
            last_guest: None,
            announce: true,
            bell: false,
            held: 0,
            keys: Deque::new(),
            question: None,
            stopped: ClientSet::EMPTY,
            any_up: false,
            last_words: false,
            timekeeper: None,
            vcpus_asked: false,
            commands: &[],
            requests: Deque::new(),
            job: Job::None,
            screen: Screen::new(),
            pace: Pace::new(),
        }
    }

    /// Adds a client and returns its index; the first guest gets the focus.
    ///
    /// # Errors
    /// [`AddError`]; nothing changed.
    pub fn add(&mut self, name: &str, role: Role, end: ServerEnd<'a>) -> Result<usize, AddError> {
        self.check_name(name)?;
        let name = name.try_into().map_err(|_| AddError::BadName)?;
        let index = self.clients.len();
        self.clients
            .push(Client::new(name, role, end))
            .map_err(|_| AddError::TooMany { most: N })?;
        self.ready.insert(index);
        if role == Role::Guest && self.last_guest.is_none() {
            self.focus = Some(index);
            self.last_guest = self.focus;
        }
        Ok(index)
    }

    /// [`Mux::add`] for a client whose name comes from outside: one that cannot be used is replaced
    /// by `#` and `number`, and a line says so. No name that can be used begins so in a domains
    /// file.
    ///
    /// # Errors
    /// [`AddError::TooMany`], and [`AddError::NameTaken`] where two clients have this number;
    /// nothing changed.
    pub fn admit(
        &mut self,
        number: usize,
        name: &str,
        role: Role,
        end: ServerEnd<'a>,
    ) -> Result<usize, AddError> {
        let Err(error) = self.check_name(name) else {
            return self.add(name, role, end);
        };
        let mut other: String<NAME_MAX> = String::new();
        // A number has 20 digits at most, and a client's two.
        let _ = write!(other, "#{number}");
        let index = self.add(&other, role, end)?;
        self.notice(format_args!("client {number} is called {other}: {error}"));
        Ok(index)
    }

    fn check_name(&self, name: &str) -> Result<(), AddError> {
        if !is_name(name) {
            return Err(AddError::BadName);
        }
        if name == MONITOR || self.clients.iter().any(|c| c.name == name) {
            return Err(AddError::NameTaken);
        }
        Ok(())
    }

    /// Says how many ticks of the system counter a second has. Until then no line waits for another
    /// to end.
    pub const fn set_frequency(&mut self, hz: u64) {
        self.pace.set_frequency(hz);
    }

    /// Adds commands to the monitor. A key that is taken already keeps its meaning.
    pub const fn set_commands(&mut self, commands: &'static [Command]) {
        self.commands = commands;
    }

    /// Client `index` has sent a notification: it wrote, or took input.
    pub fn on_client(&mut self, index: usize) {
        let Some(client) = self.clients.get_mut(index) else {
            return;
        };
        self.ready.insert(index);
        if client.flush_input() {
            self.notify.insert(index);
        }
        self.look_at(index);
    }

    /// The UART's interrupt came: acknowledges it and takes what was typed.
    pub fn on_uart_irq(&mut self, uart: &mut impl Uart) {
        uart.ack();
        let mut typed = [0; 32];
        // Bounded against a line that never falls silent; what is left raises the interrupt again.
        for _ in 0..64 {
            let count = uart.read(&mut typed);
            if count == 0 {
                break;
            }
            self.on_uart_rx(typed.get(..count).unwrap_or(&[]));
        }
    }

    /// Moves output from the clients to the UART until that is full, nothing is left or what is
    /// left has to wait for a line to end, and switches the UART's transmit interrupt on or off
    /// accordingly. `now` is the tick of the system counter.
    pub fn pump(&mut self, uart: &mut impl Uart, now: u64) -> Pumped {
        self.pace.set_now(now);
        let mut budget = PUMP_MAX;
        let more = loop {
            // A step counts for 64 even where all it took was dropped.
            budget = budget.saturating_sub(64 + self.screen.wire.drain(uart));
            if !self.screen.wire.has_room() {
                break false;
            }
            if budget == 0 {
                break true;
            }
            if !self.step() {
                break false;
            }
        };
        self.screen.wire.drain(uart);
        uart.set_tx_irq(!self.screen.wire.is_empty());
        Pumped {
            notify: core::mem::take(&mut self.notify),
            more,
            wake_at: self.pace.wake_at(),
        }
    }

    /// The oldest request of the monitor's commands that waits for the protection domain
    /// ([`Action::Request`](crate::Action)).
    pub fn take_request(&mut self) -> Option<u16> {
        self.requests.pop_front()
    }

    /// Index of the guest that has the input focus; `None` when the monitor has it.
    pub const fn focus(&self) -> Option<usize> {
        self.focus
    }

    /// Bytes lost on the way to the UART by a mistake in this crate; 0.
    pub const fn lost(&self) -> u64 {
        self.screen.wire.lost()
    }
}

impl<const N: usize> Default for Mux<'_, N> {
    fn default() -> Self {
        Self::new()
    }
}
