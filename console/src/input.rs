//! From the keyboard to the client with the focus.

use crate::client::Role;
use crate::mux::Mux;

/// Ctrl-a, as on Xen.
const SWITCH: u8 = 0x01;
/// How often it must be typed in a row.
const SWITCH_COUNT: u8 = 3;

impl<const N: usize> Mux<'_, N> {
    /// Takes typed bytes. Ctrl-a is held back until the next key says whether it is a switch.
    pub fn on_uart_rx(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == SWITCH {
                self.held += 1;
                if self.held == SWITCH_COUNT {
                    self.held = 0;
                    self.switch();
                }
                continue;
            }
            for _ in 0..core::mem::take(&mut self.held) {
                self.deliver(SWITCH);
            }
            self.deliver(byte);
        }
    }

    fn deliver(&mut self, byte: u8) {
        if let Some(index) = self.focus
            && self.why_down(index).is_some()
            && let Some(client) = self.clients.get_mut(index)
        {
            // Nobody reads it. The first key gets the reason.
            client.dropped += 1;
            self.announce |= !core::mem::replace(&mut client.told_down, true);
            self.bell = true;
            return;
        }
        let accepted = match self.focus.and_then(|i| Some((i, self.clients.get_mut(i)?))) {
            Some((index, client)) => {
                client.told_down = false;
                client.accept(byte).map(|notify| {
                    if notify {
                        self.notify.insert(index);
                    }
                })
            }
            None => self.keys.push_back(byte).map_err(|_| ()),
        };
        if accepted.is_err() {
            self.bell = true;
        }
    }

    /// Moves the focus to the next guest, after the last to the monitor, from there to the first.
    fn switch(&mut self) {
        let from = self.focus.map_or(0, |i| i + 1);
        let next = self
            .clients
            .iter()
            .enumerate()
            .skip(from)
            .find(|(_, c)| c.role == Role::Guest)
            .map(|(i, _)| i);
        self.focus_on(next);
    }

    /// Moves the focus to a guest, or to the monitor.
    pub(crate) fn focus_on(&mut self, guest: Option<usize>) {
        self.focus = guest;
        self.last_guest = self.focus.or(self.last_guest);
        self.question = None;
        self.announce = true;
        self.pace.switched();
    }

    /// Moves the focus to a guest that was named to the monitor: what was typed behind that is for
    /// the guest.
    pub(crate) fn choose(&mut self, guest: usize) {
        self.focus_on(Some(guest));
        while let Some(key) = self.keys.pop_front() {
            self.deliver(key);
        }
    }
}
