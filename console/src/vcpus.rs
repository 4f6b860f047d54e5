//! The list of vCPUs, as `xl vcpu-list` has it: what each does, where, and its processor time.
//!
//! What a vCPU does its VMM says, when it is notified; the time another client says, the
//! timekeeper. The list is printed when that one has answered. It is notified behind the VMMs.

use core::fmt::Write;

use console_api::{DOMAINS_MAX, VcpuShown};
use heapless::String;
use topology::MAX_DOMAINS;

use crate::job::{Job, VcpuRow as Row};
use crate::mux::Mux;

const _: () = assert!(DOMAINS_MAX == MAX_DOMAINS);

impl<const N: usize> Mux<'_, N> {
    /// Client `index` is the timekeeper: it answers when it is asked for processor times.
    pub const fn set_timekeeper(&mut self, index: usize) {
        self.timekeeper = Some(index);
    }

    /// Asks everybody who knows something of vCPUs.
    pub(crate) fn ask_vcpus(&mut self) {
        let guests: heapless::Vec<usize, N> = self.guests().collect();
        guests.iter().for_each(|&guest| self.notify.insert(guest));
        let keeper = self
            .timekeeper
            .filter(|&index| !self.stopped.contains(index));
        let keeper = keeper.and_then(|index| Some((index, self.clients.get(index)?)));
        match keeper {
            Some((index, client)) => {
                client.end.ask_times();
                self.notify.insert(index);
                self.vcpus_asked = true;
            }
            None => self.say(format_args!("nobody in this system knows processor times")),
        }
    }

    /// Whether the list was asked for and can be printed now.
    pub(crate) fn vcpus_known(&mut self) -> bool {
        let keeper = self.timekeeper.and_then(|index| self.clients.get(index));
        let known = self.vcpus_asked && keeper.is_some_and(|client| client.end.has_times());
        self.vcpus_asked &= !known;
        known
    }

    /// Prints a row of the list.
    pub(crate) fn vcpus_step(&mut self, row: Row) {
        let Row::Of(number, vcpu) = row else {
            self.say(format_args!(
                "    {:<16} {:>4} {:>4}  {:<5} {:>10}",
                "name", "vcpu", "core", "state", "time (s)"
            ));
            self.job = Job::Vcpus(Row::Of(0, 0));
            return;
        };
        let guest = self.guests().nth(number);
        let Some((index, client)) = guest.and_then(|index| Some((index, self.clients.get(index)?)))
        else {
            return;
        };
        let (mark, digit) = self.mark(index);
        let (down, why, shown) = self.doing(index);
        let (name, keeper) = (&client.name, self.timekeeper);
        let us = keeper
            .and_then(|index| self.clients.get(index))
            .map_or(0, |client| client.end.time(number, vcpu));
        let mut text: String<96> = String::new();
        let lives = shown.vcpus.iter().any(Option::is_some);
        let next = match shown.vcpus.get(vcpu) {
            // Those behind the last one are none, and there may be holes in nonsense.
            Some(Some(VcpuShown { state, core })) => {
                let _ = write!(
                    text,
                    "{mark} {digit} {name:<16} {vcpu:>4} {core:>4}  {:<5} {:>8}.{}",
                    state.words(),
                    us / 1_000_000,
                    us / 100_000 % 10
                );
                Row::Of(number, vcpu + 1)
            }
            Some(None) if vcpu == 0 && !lives => {
                let _ = write!(text, "{mark} {digit} {name:<16}    -    -  {down}{why}");
                Row::Of(number + 1, 0)
            }
            Some(None) => Row::Of(number, vcpu + 1),
            None => Row::Of(number + 1, 0),
        };
        self.job = Job::Vcpus(next);
        if !text.is_empty() {
            self.say(format_args!("{text}"));
        }
    }
}
