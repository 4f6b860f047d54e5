//! What guests do, as their VMMs show it, and orders to their VMMs.
//!
//! The console holds no capability to any guest. An order is a word in the ring's header page and a
//! notification; the VMM does with its own guest what it could do anyway.

use core::fmt::{self, Write};

use console_api::{Order, Shown, State};
use heapless::String;

use crate::client::Role;
use crate::job::Job;
use crate::mux::Mux;

/// A length of time, as `xl list` writes it.
struct Time(u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (minutes, seconds) = (self.0 / 60, self.0 % 60);
        write!(f, "{}:{:02}:{seconds:02}", minutes / 60, minutes % 60)
    }
}

impl<const N: usize> Mux<'_, N> {
    /// The protection domain of client `index` has stopped. It neither reads nor writes any more.
    pub fn mark_stopped(&mut self, index: usize) {
        self.stopped.insert(index);
        self.look_for_any();
    }

    /// What client `index`, the fault server, says of others: their numbers, a bit each.
    pub fn stopped_clients(&self, index: usize) -> u32 {
        self.clients
            .get(index)
            .map_or(0, |client| client.end.stopped())
    }

    /// What guest `index` does, in words.
    pub(crate) fn doing(&self, index: usize) -> (&'static str, &'static str, Shown) {
        let unknown = Shown::UNKNOWN;
        let shown = self
            .clients
            .get(index)
            .map_or(unknown, |client| client.end.shown());
        if self.stopped.contains(index) {
            return ("down: ", "its VMM crashed", unknown);
        }
        match shown.state {
            State::Unknown => ("", "unknown", unknown),
            State::Starts => ("", "starts", shown),
            State::Runs => ("", "runs", shown),
            State::Restarts => ("", "restarts", shown),
            State::Down(end) => ("down: ", end.words(), shown),
        }
    }

    /// Why input for guest `index` is not read; `None` where it may be.
    pub(crate) fn why_down(&self, index: usize) -> Option<&'static str> {
        let (down, why, _) = self.doing(index);
        (!down.is_empty()).then_some(why)
    }

    /// Client `index` has sent a notification: checks whether it is a guest that was the last one
    /// to go down. Most notifications are output, so the other guests are looked at only if it does
    /// something else than before.
    pub(crate) fn look_at(&mut self, index: usize) {
        let client = self.clients.get_mut(index);
        let Some(client) = client.filter(|client| client.role == Role::Guest) else {
            return;
        };
        let state = client.end.state();
        if core::mem::replace(&mut client.state, state) != state {
            self.look_for_any();
        }
    }

    /// Checks whether the last guest has gone down.
    fn look_for_any(&mut self) {
        let any = self.guests().any(|guest| self.why_down(guest).is_none());
        if !any && self.any_up {
            self.last_words = true;
        }
        self.any_up = any;
    }

    /// Gives an order to the VMM of guest `index`.
    pub(crate) fn order(&mut self, index: usize, order: Order) {
        let Some(client) = self.clients.get(index) else {
            return;
        };
        let name = client.name.clone();
        let (down, why, shown) = self.doing(index);
        let refusal = match (order, shown.state) {
            _ if self.stopped.contains(index) => {
                Some("its VMM crashed, and nothing can start it before the next boot")
            }
            (_, State::Unknown) => Some("its VMM has not come that far"),
            (Order::Start, State::Runs) => Some("it runs"),
            (Order::Start, State::Starts | State::Restarts) => Some("it is about to start"),
            (Order::Stop, State::Down(_)) => Some("it is down"),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return self.say(format_args!("{name}: {refusal}"));
        }
        client.end.order(order);
        self.notify.insert(index);
        let what = match order {
            Order::Start => "starts",
            Order::Stop => "stops",
            Order::Restart => "restarts",
        };
        self.say(format_args!("{name} {what} (it was: {down}{why})"));
    }

    /// Prints a row of the list of domains.
    pub(crate) fn domains_step(&mut self, row: usize) {
        let mut text: String<96> = String::new();
        let Some(at) = row.checked_sub(1) else {
            let _ = write!(
                text,
                "    {:<16} {:<32} {:>9} {:>8}",
                "name", "state", "for", "restarts"
            );
            self.say(format_args!("{text}"));
            self.job = Job::Domains { row: 1 };
            return;
        };
        let guest = self.guests().nth(at);
        let Some((index, client)) = guest.and_then(|index| Some((index, self.clients.get(index)?)))
        else {
            return;
        };
        let (mark, number) = self.mark(index);
        let (down, why, shown) = self.doing(index);
        let mut state: String<48> = String::new();
        let _ = write!(state, "{down}{why}");
        let _ = write!(text, "{mark} {number} {:<16} {state:<32}", client.name);
        if shown.state != State::Unknown {
            let _ = write!(
                text,
                " {:>9} {:>8}",
                Time(self.pace.seconds_since(shown.since)),
                shown.restarts
            );
        }
        self.say(format_args!("{text}"));
        self.job = Job::Domains { row: row + 1 };
    }
}
