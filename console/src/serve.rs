//! From the clients' rings to lines on the wire.
//!
//! A *step* composes at most one line of one client, so lines cannot mix. What it composes is
//! bounded by [`STEP_MAX`](crate::wire::STEP_MAX): it may end the line on the screen (6 bytes) and
//! print a remembered line (18 bytes of name, at most 552 by its cost, see `line`, and 6 to end
//! it); for the focused client it then shows [`CHUNK`] bytes as they come, each second of which may
//! be a CR that brings the name again (23 bytes).

use console_api::{ServerEnd, TX_SIZE};
use heapless::String;

use crate::client::Client;
use crate::filter::{Item, is_plain, is_style};
use crate::mux::Mux;
use crate::screen::Screen;

/// Bytes looked at in a client's ring at a time.
const CHUNK: usize = 64;
/// Most bytes taken from a client without the focus in one step, where they make no line.
const TAKE_MAX: usize = 1024;

impl<'a, const N: usize> Mux<'a, N> {
    /// Composes a little; `false` when there was nothing to do.
    pub(crate) fn step(&mut self) -> bool {
        if core::mem::take(&mut self.bell) {
            self.screen.wire.put(b"\x07");
        }
        if core::mem::take(&mut self.announce) {
            self.announce_focus();
            return true;
        }
        if self.job_step() {
            return true;
        }
        if let Some(key) = self.keys.pop_front() {
            self.key(key);
            return true;
        }
        match self.screen.shown() {
            Some(index) => {
                let mut others = self.ready;
                others.remove(index);
                if others.is_empty() {
                    self.pace.nobody_waits();
                }
                let overdue = !others.is_empty() && self.pace.is_overdue();
                if !overdue && self.ready.contains(index) && self.serve(index) {
                    return true;
                }
                if !overdue && !others.is_empty() && self.pace.is_busy() {
                    return false;
                }
            }
            None => self.pace.nobody_waits(),
        }
        let mut waiting = self.ready;
        let last = self
            .focus
            .filter(|_| self.pace.others_first())
            .inspect(|&focus| waiting.remove(focus));
        while let Some(index) = waiting.next_from(self.next) {
            waiting.remove(index);
            self.next = index + 1;
            if self.serve(index) {
                return true;
            }
        }
        if let Some(focus) = last.filter(|&focus| self.ready.contains(focus))
            && self.serve(focus)
        {
            return true;
        }
        // Behind what the guest and its VMM had to say.
        if core::mem::take(&mut self.last_words) {
            self.notice(format_args!(
                "no guest runs any more; s at the monitor starts one (Ctrl-a three times: next)"
            ));
            return true;
        }
        self.print_again()
    }

    /// Prints the focused client's unfinished line where it is not on the screen: others
    /// interrupted it, or the focus has just moved there.
    fn print_again(&mut self) -> bool {
        let Some(index) = self.focus.filter(|_| self.screen.shown().is_none()) else {
            return false;
        };
        let Some(client) = self.clients.get(index).filter(|c| !c.line.is_empty()) else {
            return false;
        };
        if !self.pace.may_come_back() {
            return false;
        }
        self.screen.open(index, &client.name, &client.line);
        true
    }

    fn announce_focus(&mut self) {
        // The line there stays: another client wrote it.
        self.screen.end();
        let down = self.focus.and_then(|guest| self.why_down(guest));
        if let Some(guest) = self.focus.and_then(|i| self.clients.get_mut(i)) {
            guest.told_down = down.is_some();
        }
        match self.focus.and_then(|i| self.clients.get(i)) {
            Some(guest) => self.screen.print_parts(&[
                "*** Input goes to ",
                &guest.name,
                if down.is_some() {
                    " now, which is down: "
                } else {
                    " now"
                },
                down.unwrap_or(""),
                " (Ctrl-a three times: next) ***",
            ]),
            None => self.screen.print_parts(&[
                "*** Input goes to ",
                topology::pd::CONSOLE_MONITOR,
                " now: h for help (Ctrl-a three times: next) ***",
            ]),
        }
    }

    /// Takes output of a client, up to the end of a line; `false` when there was none.
    fn serve(&mut self, index: usize) -> bool {
        if self.report_damage(index) {
            return true;
        }
        let focused = self.focus == Some(index);
        let most = if focused { CHUNK } else { TAKE_MAX };
        let (mut total, mut ended) = (0, false);
        while !ended && total < most {
            let mut bytes = [0; CHUNK];
            let got = self.end(index).map_or(0, |end| end.output.peek(&mut bytes));
            if got == 0 {
                self.ready.remove(index);
                break;
            }
            let mut used = 0;
            while !ended && let Some(&byte) = bytes.get(..got).and_then(|b| b.get(used)) {
                used += 1;
                ended = self.take(index, focused, byte);
            }
            total += used;
            let Some(end) = self.end(index) else {
                break;
            };
            end.output.advance(used);
            // A wake-up is worth its price when half of the ring is free.
            if end.output.len() <= TX_SIZE / 2 && end.output.take_starved() {
                self.notify.insert(index);
            }
        }
        if let Some(client) = self.clients.get_mut(index) {
            client.output += total as u64;
        }
        if focused && total > 0 {
            self.pace.wrote();
        }
        if ended && !focused {
            self.pace.others_printed();
        }
        total > 0
    }

    /// Takes one byte of a client's output; returns whether that ended a line.
    fn take(&mut self, index: usize, focused: bool, byte: u8) -> bool {
        let Some(client) = self.clients.get_mut(index) else {
            return false;
        };
        let Client {
            name,
            filter,
            line,
            backlog,
            ..
        } = client;
        let screen = &mut self.screen;
        let mut ended = false;
        filter.feed(byte, &mut |item| {
            // A line that would become too long ends here and goes on as another.
            let full = match item {
                Item::Byte(b) => line.is_full_for(&[b]),
                Item::Sequence(s) => is_style(s) && line.is_full_for(s),
                Item::Return => !focused && line.is_full_for_return(),
                Item::Back | Item::Bell | Item::Newline => false,
            };
            if full || item == Item::Newline {
                finish(screen, focused, index, name, line);
                ended = true;
            }
            if focused {
                show(screen, index, name, line, item);
            }
            match item {
                Item::Byte(b) => {
                    line.push(b);
                    backlog.push(b);
                }
                Item::Back => {
                    if line.back() {
                        backlog.push(0x08);
                    }
                }
                Item::Return if line.is_empty() => line.clear(),
                Item::Return => {
                    // What is on the screen need not be remembered.
                    if focused {
                        line.clear();
                    } else {
                        line.push_return();
                    }
                    backlog.push(b'\r');
                }
                Item::Newline => backlog.push(b'\n'),
                Item::Sequence(s) if is_style(s) => line.push_style(s, !is_plain(s)),
                Item::Sequence(s) if focused => line.moved(s),
                Item::Bell | Item::Sequence(_) => {}
            }
        });
        ended
    }

    fn end(&mut self, index: usize) -> Option<&mut ServerEnd<'a>> {
        Some(&mut self.clients.get_mut(index)?.end)
    }

    /// Says once that a client's ring has become unusable; returns whether it said something.
    fn report_damage(&mut self, index: usize) -> bool {
        let Some(client) = self.clients.get_mut(index) else {
            return false;
        };
        let end = &client.end;
        let checks = [
            ("output", end.output.check().err()),
            ("input", end.input.check().err()),
        ];
        for ((which, error), said) in checks.into_iter().zip(&mut client.damaged) {
            let news = error.filter(|_| !*said);
            *said = error.is_some();
            if let Some(error) = news {
                let mut text: String<160> = String::new();
                let _ = core::fmt::write(
                    &mut text,
                    format_args!(
                        "{}: its {which} ring is damaged: {error}; ignored until {} repairs it",
                        client.name, client.name
                    ),
                );
                self.notice(format_args!("{text}"));
                self.pace.others_printed();
                return true;
            }
        }
        false
    }
}

/// Ends a client's line on the screen, printing it first where it is not there.
fn finish(
    screen: &mut Screen,
    focused: bool,
    index: usize,
    name: &str,
    line: &mut crate::line::Line,
) {
    if focused {
        screen.open(index, name, line);
        screen.end();
    } else {
        screen.print(name, line);
    }
    line.clear();
}

/// Shows at once what the client with the focus wrote; `line` is what it had written before.
fn show(screen: &mut Screen, index: usize, name: &str, line: &crate::line::Line, item: Item<'_>) {
    match item {
        Item::Byte(b) => {
            screen.open(index, name, line);
            screen.add(&[b]);
        }
        Item::Back if line.can_go_back() => {
            screen.open(index, name, line);
            screen.wire.put(b"\x08");
        }
        Item::Bell => screen.wire.put(b"\x07"),
        Item::Return if (!line.is_empty() || line.is_ahead()) && screen.shown() == Some(index) => {
            screen.restart(name);
        }
        Item::Sequence(s) => {
            screen.open(index, name, line);
            if is_style(s) {
                screen.style(s, !is_plain(s));
            } else {
                screen.control(s);
            }
        }
        Item::Back | Item::Return | Item::Newline => {}
    }
}
