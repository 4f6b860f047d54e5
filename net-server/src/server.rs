//! Turns: frames from port to port.

use guest_mem::Window;
use heapless::{Deque, Vec};
use hv_types::{Mac, WindowAddr};
use net_server_api::{Frame, MAX_NICS, ServerEnd};
use topology::MAX_DOMAINS;

use crate::notice::Notice;
use crate::port::{Counters, Dropped, Groups, Port, PortSpec, QUANTUM, cost};

/// What a turn does at most, as [`cost`] counts, but for its last frame.
const BUDGET: i64 = 256 << 10;
/// Most ports.
const PORTS: usize = MAX_DOMAINS * MAX_NICS;
/// Notices that wait at most; more are forgotten.
const NOTICES: usize = 32;
/// Bytes of a frame that are looked at: both addresses.
const ADDRESSES: usize = 12;

/// What a turn has left to do.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Turn {
    /// VMMs to be notified, a bit each.
    pub notify: u32,
    /// There is more to do now.
    pub more: bool,
}

/// The server.
#[derive(Debug)]
pub struct Server<'a, D> {
    guests: [Option<ServerEnd<'a, D>>; MAX_DOMAINS],
    ports: Vec<Port, PORTS>,
    /// The port whose turn it is.
    next: usize,
    /// Ticks of its clock in a second.
    frequency: u64,
    notices: Deque<Notice, NOTICES>,
}

impl<D> Default for Server<'_, D> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, D> Server<'a, D> {
    /// A server without guests.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            guests: [const { None }; MAX_DOMAINS],
            ports: Vec::new(),
            next: 0,
            frequency: 0,
            notices: Deque::new(),
        }
    }

    /// Its clock has so many ticks in a second.
    pub const fn set_frequency(&mut self, frequency: u64) {
        self.frequency = frequency;
    }

    /// Guest `guest`, from 0, has these interfaces, numbered from 0; at most [`MAX_NICS`] count.
    pub fn add(
        &mut self,
        guest: usize,
        mut end: ServerEnd<'a, D>,
        nics: impl IntoIterator<Item = PortSpec>,
    ) {
        let Some(slot) = self.guests.get_mut(guest) else {
            return;
        };
        for (nic, spec) in nics.into_iter().enumerate().take(MAX_NICS) {
            // There is one for each interface of each domain.
            let _ = self.ports.push(Port {
                guest,
                nic,
                spec,
                counters: Counters::default(),
                credit: 0,
                visited: false,
                groups: Groups::default(),
            });
            end.set_present(nic);
        }
        *slot = Some(end);
    }

    /// The next thing that a person should know.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Port `index`'s guest, interface and counters; ports are in the order in which they were
    /// added.
    #[must_use]
    pub fn port(&self, index: usize) -> Option<(usize, usize, Counters)> {
        let port = self.ports.get(index)?;
        Some((port.guest, port.nic, port.counters))
    }

    /// What the port of interface `nic` of guest `guest` has counted.
    #[must_use]
    pub fn counters(&self, guest: usize, nic: usize) -> Option<Counters> {
        let mut ports = self.ports.iter();
        let port = ports.find(|port| port.guest == guest && port.nic == nic)?;
        Some(port.counters)
    }
}

impl<D: Window> Server<'_, D> {
    /// Brings frames to whom they are for, a bounded part of them; it is tick `now`.
    pub fn turn(&mut self, now: u64) -> Turn {
        let more = self.forward(now);
        let mut turn = Turn { notify: 0, more };
        for (index, guest) in self.guests.iter_mut().enumerate() {
            if guest.as_mut().is_some_and(ServerEnd::take_notify) {
                turn.notify |= 1 << index;
            }
        }
        turn
    }

    /// Forwards frames, port after port; whether there is more that could be now.
    fn forward(&mut self, now: u64) -> bool {
        let mut left = BUDGET;
        loop {
            let mut waits = false;
            for _ in 0..self.ports.len() {
                let index = self.next;
                if self.has_frame(index) {
                    waits = true;
                    if let Some(port) = self.ports.get_mut(index)
                        && !core::mem::replace(&mut port.visited, true)
                    {
                        port.credit = (port.credit + QUANTUM).min(QUANTUM);
                    }
                }
                while self.may_send(index) {
                    if left <= 0 {
                        return true;
                    }
                    let cost = self.forward_one(index, now);
                    left -= cost;
                    if let Some(port) = self.ports.get_mut(index) {
                        port.credit -= cost;
                    }
                }
                if let Some(port) = self.ports.get_mut(index) {
                    port.visited = false;
                    if port.credit > 0 {
                        // What a port leaves it does not save up.
                        port.credit = 0;
                    }
                }
                self.next = (index + 1) % self.ports.len().max(1);
            }
            if !waits {
                return false;
            }
        }
    }

    fn may_send(&mut self, index: usize) -> bool {
        let open = self.ports.get(index).is_some_and(|port| port.credit > 0);
        open && self.has_frame(index)
    }

    fn has_frame(&mut self, index: usize) -> bool {
        self.peek(index).is_some()
    }

    fn peek(&mut self, index: usize) -> Option<Result<Frame, net_server_api::Malformed>> {
        let port = self.ports.get(index)?;
        self.guests
            .get_mut(port.guest)?
            .as_mut()?
            .sent(port.nic)?
            .peek()
    }

    /// Takes the next frame of a port and brings it to whom it is for; what that cost.
    fn forward_one(&mut self, index: usize, now: u64) -> i64 {
        let frame = match self.peek(index) {
            Some(Ok(frame)) => Some(frame),
            Some(Err(_)) => None,
            None => return 0,
        };
        let outcome = frame.ok_or(Dropped::Malformed);
        let outcome = outcome.and_then(|frame| Ok((frame, self.deliver(index, &frame, now)?)));
        let Some(port) = self.ports.get_mut(index) else {
            return 0;
        };
        port.counters.send(frame.map_or(0, |frame| frame.len));
        let price = match outcome {
            Ok((frame, receivers)) => cost(frame.len, receivers),
            Err(why) => {
                let count = port.counters.drop(why);
                if why == Dropped::Group && count.is_power_of_two() {
                    let (guest, nic) = (port.guest, port.nic);
                    let _ = self.notices.push_back(Notice::Groups { guest, nic, count });
                }
                cost(0, 0)
            }
        };
        let (guest, nic) = (port.guest, port.nic);
        let end = self.guests.get_mut(guest).and_then(Option::as_mut);
        if let Some(sent) = end.and_then(|end| end.sent(nic)) {
            sent.advance();
        }
        price
    }

    /// Brings a frame to whom it is for; to how many that was.
    fn deliver(&mut self, index: usize, frame: &Frame, now: u64) -> Result<u32, Dropped> {
        let frequency = self.frequency;
        let port = self.ports.get_mut(index).ok_or(Dropped::Malformed)?;
        let end = self.guests.get(port.guest).and_then(Option::as_ref);
        let end = end.ok_or(Dropped::Malformed)?;
        let mut addresses = [0; ADDRESSES];
        end.data()
            .read(WindowAddr::new(frame.offset.into()), &mut addresses);
        let [a, b, c, d, e, f, g, h, i, j, k, l] = addresses;
        let (to, source) = (Mac([a, b, c, d, e, f]), Mac([g, h, i, j, k, l]));
        if source != port.spec.mac {
            let count = port.counters.dropped(Dropped::Forged) + 1;
            if count.is_power_of_two() {
                let (guest, nic) = (port.guest, port.nic);
                // Who cannot read so fast misses some.
                let _ = self.notices.push_back(Notice::Forged {
                    guest,
                    nic,
                    source,
                    count,
                });
            }
            return Err(Dropped::Forged);
        }
        if to.is_link_local() {
            return Err(Dropped::Unknown);
        }
        let network = port.spec.network;
        if to.is_group() && !port.groups.may_send(now, frequency) {
            return Err(Dropped::Group);
        }
        let mut receivers = 0;
        for other in 0..self.ports.len() {
            let Some(port) = self.ports.get(other) else {
                break;
            };
            let hears = port.spec.network == network
                && other != index
                && (to.is_group() || port.spec.mac == to);
            if hears {
                receivers += 1;
                self.hand_over(index, other, frame, &addresses);
            }
        }
        if receivers == 0 && !to.is_group() {
            return Err(Dropped::Unknown);
        }
        Ok(receivers)
    }

    /// Copies a frame from one port to another, which may not take it.
    fn hand_over(&mut self, from: usize, to: usize, frame: &Frame, addresses: &[u8; ADDRESSES]) {
        let (Some(sender), Some(receiver)) = (self.ports.get(from), self.ports.get(to)) else {
            return;
        };
        let (source, target, nic) = (sender.guest, receiver.guest, receiver.nic);
        let done = if source == target {
            let end = self.guests.get_mut(target).and_then(Option::as_mut);
            end.map_or(Err(Dropped::Closed), |end| {
                put(end, nic, None, frame, addresses)
            })
        } else {
            match self.guests.get_disjoint_mut([source, target]) {
                Ok([Some(source), Some(end)]) => {
                    put(end, nic, Some(source.data()), frame, addresses)
                }
                _ => Err(Dropped::Closed),
            }
        };
        if let Some(port) = self.ports.get_mut(to) {
            match done {
                Ok(()) => port.counters.receive(frame.len),
                Err(why) => {
                    port.counters.drop(why);
                }
            }
        }
    }
}

/// Copies a frame to interface `nic`, from `source` or the same data area.
fn put<D: Window>(
    end: &mut ServerEnd<'_, D>,
    nic: usize,
    source: Option<&D>,
    frame: &Frame,
    addresses: &[u8; ADDRESSES],
) -> Result<(), Dropped> {
    if !end.is_open(nic) {
        return Err(Dropped::Closed);
    }
    let (sender, data) = end.to(nic).ok_or(Dropped::Closed)?;
    let at = sender.reserve(frame.len).ok_or(Dropped::Full)?;
    let (from, to) = (
        WindowAddr::new(frame.offset.into()),
        WindowAddr::new(at.into()),
    );
    match source {
        Some(source) => source.copy_to(from, data, to, frame.len.into()),
        None => data.copy(from, to, frame.len.into()),
    }
    // The addresses that were looked at, whatever is there by now.
    data.write(to, addresses);
    if sender.send(frame.len, frame.offload) {
        Ok(())
    } else {
        Err(Dropped::Full)
    }
}
