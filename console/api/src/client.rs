//! The client's end of the region.

use ring::{Consumer, Producer};

use crate::ConsolePort;
use crate::control::{Control, Order, Shown};
use crate::times::Times;

/// A client's console: a [`ConsolePort`] over a [`Region`](crate::Region).
#[derive(Debug)]
pub struct Client<'a, F: FnMut()> {
    output: Producer<'a>,
    input: Consumer<'a>,
    control: Control<'a>,
    times: Times<'a>,
    /// The order taken last.
    taken: u32,
    notify: F,
}

impl<'a, F: FnMut()> Client<'a, F> {
    pub(crate) fn new(
        output: Producer<'a>,
        input: Consumer<'a>,
        control: Control<'a>,
        times: Times<'a>,
        notify: F,
    ) -> Self {
        Self {
            output,
            input,
            control,
            times,
            taken: 0,
            notify,
        }
    }

    /// Shows what this VMM's guest does. The console looks when it has something to say of it;
    /// nothing notifies it.
    pub fn show(&self, shown: Shown) {
        self.control.show(shown);
    }

    /// What the user at the console wants of this VMM's guest; to be read when the console
    /// notifies.
    pub fn take_order(&mut self) -> Option<Order> {
        self.control.take_order(&mut self.taken)
    }

    /// Adds clients whose protection domain has stopped, a bit each; the fault server's.
    pub fn add_stopped(&self, clients: u32) {
        self.control.add_stopped(clients);
    }

    /// The timekeeper's, when the console has notified it: if it was asked for processor times,
    /// answers with `us`, microseconds since the machine started, which is called for each vCPU
    /// there can be, by number of the domain and its own.
    pub fn answer_times(&mut self, us: impl FnMut(usize, usize) -> u64) {
        if self.times.answer(us) {
            (self.notify)();
        }
    }
}

impl<F: FnMut()> ConsolePort for Client<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = self.output.write(bytes);
        // While the console has yet to fetch earlier bytes it will see these too: no notification.
        if self.output.take_notify() {
            (self.notify)();
        }
        taken
    }

    fn read(&mut self, into: &mut [u8]) -> usize {
        let got = self.input.read(into);
        // The console holds back input that did not fit; tell it that some does now.
        if self.input.take_starved() {
            (self.notify)();
        }
        got
    }

    fn room(&self) -> usize {
        self.output.room()
    }
}
