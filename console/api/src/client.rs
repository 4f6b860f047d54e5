//! The client's end of the region.

use ring::{Consumer, Producer};

use crate::ConsolePort;

/// A client's console: a [`ConsolePort`] over a [`Region`](crate::Region).
#[derive(Debug)]
pub struct Client<'a, F: FnMut()> {
    output: Producer<'a>,
    input: Consumer<'a>,
    notify: F,
}

impl<'a, F: FnMut()> Client<'a, F> {
    pub(crate) fn new(output: Producer<'a>, input: Consumer<'a>, notify: F) -> Self {
        Self {
            output,
            input,
            notify,
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
