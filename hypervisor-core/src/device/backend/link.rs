//! The connections of the devices of one kind: what each does with the store, and who asks next.

use core::fmt::{self, Write as _};

use dt_server_api::DomainRecord;
use heapless::String;
use xen_abi::store::kind;
use xen_abi::xenbus::state;
use xenstore_server_api::{BackendStore as _, Request};

use super::xenbus::Backend;
use super::{DEVICES, Kind};
use crate::host::Host;

/// Longest path of a node.
const PATH: usize = 96;

/// A path.
pub(crate) type Path = String<PATH>;

/// A node with a number.
pub(crate) type Node = (&'static str, u64);

/// What a device does with the store.
#[derive(Clone, Debug)]
pub(crate) enum Job<G> {
    /// Nothing.
    Idle,
    /// Asks to be told of the front end's state.
    Watch,
    /// Reads it.
    Look,
    /// Writes the node of that number of [`Backend::offer`].
    Offer(usize),
    /// Reads what the front end gives.
    Gather(G),
    /// Writes the node of that number of [`Backend::about`].
    Tell(usize),
    /// Writes its own state.
    Say(u8),
}

/// Whether a device can be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Presence {
    /// There is none of this number, or not yet.
    Absent,
    /// It can be used.
    Present,
    /// There was one.
    Gone,
}

/// A device's end of its connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection<G> {
    pub(super) job: Job<G>,
    is_watched: bool,
    /// The front end's state may be another one.
    pub(super) changed: bool,
    /// Our state.
    pub(super) state: u8,
    /// What that becomes when nothing is under way any more.
    rest: Option<u8>,
}

impl<G> Connection<G> {
    const NEW: Self = Self {
        job: Job::Idle,
        is_watched: false,
        changed: false,
        state: state::INITIALISING,
        rest: None,
    };

    /// The store has been asked for a watch, and has set it.
    pub(super) const fn on_watched(&mut self) {
        self.is_watched = true;
    }
}

/// The connections of a guest's devices of one kind.
#[derive(Debug)]
pub(crate) struct Link<G> {
    domid: u16,
    vcpus: u8,
    connections: [Connection<G>; DEVICES],
    /// The device for which the store has been asked something.
    pub(super) asked: Option<u8>,
    /// Number of what was asked last.
    pub(super) serial: u32,
}

impl<G> Link<G> {
    pub(crate) const fn new(record: &DomainRecord, kind: Kind) -> Self {
        Self {
            domid: record.domid,
            vcpus: record.vcpus,
            connections: [const { Connection::NEW }; DEVICES],
            asked: None,
            serial: kind as u32,
        }
    }

    /// As at the beginning of the guest's life.
    pub(crate) fn reset(&mut self) {
        self.connections = [const { Connection::NEW }; DEVICES];
        self.asked = None;
    }

    /// vCPUs of the guest.
    pub(crate) const fn vcpus(&self) -> u8 {
        self.vcpus
    }

    /// Devices whose queues are to go.
    pub(crate) fn closing(&self) -> impl Iterator<Item = u8> + use<G> {
        let mut bits = 0u32;
        for (number, connection) in self.connections.iter().enumerate() {
            bits |= u32::from(connection.rest.is_some()) << number;
        }
        #[expect(clippy::cast_possible_truncation, reason = "few devices")]
        (0..DEVICES as u8).filter(move |number| bits & 1 << number != 0)
    }

    /// Whether device `device` is connected to its front end, and stays so: one whose next state is
    /// on its way to the store is not.
    pub(crate) fn is_connected(&mut self, device: u8) -> bool {
        let connection = self.connection(device);
        connection.is_some_and(|it| {
            it.state == state::CONNECTED
                && it.rest.is_none()
                && !matches!(it.job, Job::Say(_) | Job::Offer(_))
        })
    }

    /// A ring of the device was broken, and its queues are shut.
    pub(crate) fn on_broken(&mut self, device: u8) {
        self.close(device, state::CLOSING);
    }

    /// The device's queues are gone.
    pub(crate) fn on_rest(&mut self, device: u8) {
        let Some(connection) = self.connection(device) else {
            return;
        };
        connection.job = match connection.rest.take() {
            None => Job::Idle,
            Some(state::INIT_WAIT) => Job::Offer(0),
            Some(state) => Job::Say(state),
        };
    }

    /// The device's queues, which are shut, go; then its state becomes `state`.
    pub(crate) fn close(&mut self, device: u8, state: u8) {
        if self.asked == Some(device) {
            // Whatever is answered is not for what it does now.
            self.asked = None;
        }
        if let Some(connection) = self.connection(device) {
            connection.job = Job::Idle;
            connection.rest = Some(state);
        }
    }

    pub(super) fn connection(&mut self, device: u8) -> Option<&mut Connection<G>> {
        self.connections.get_mut(usize::from(device))
    }

    /// The store said that the front ends' states of these devices may be others.
    pub(super) fn on_changed(&mut self, devices: u32) {
        for (number, connection) in self.connections.iter_mut().enumerate() {
            connection.changed |= devices & 1 << number != 0;
        }
    }

    /// Asks the store the next thing that is to be asked for devices of `B`; whether that was done.
    pub(super) fn ask<B: Backend<Gather = G>, H: Host>(&mut self, host: &mut H) -> bool {
        if self.asked.is_some() {
            return false;
        }
        let (domid, vcpus) = (self.domid, self.vcpus);
        // Which kind asks can be told from the number.
        #[expect(clippy::cast_possible_truncation, reason = "few kinds")]
        let serial = self.serial.wrapping_add(Kind::COUNT as u32);
        for (number, connection) in (0..).zip(&mut self.connections) {
            if matches!(connection.job, Job::Idle) {
                connection.job = match B::presence(host, number) {
                    Presence::Absent => continue,
                    _ if connection.rest.is_some() => continue,
                    _ if !connection.is_watched => Job::Watch,
                    // One that is not there yet is offered when it is.
                    presence
                        if connection.changed
                            && (presence == Presence::Present
                                || !matches!(
                                    connection.state,
                                    state::INITIALISING | state::CLOSED
                                )) =>
                    {
                        Job::Look
                    }
                    _ => continue,
                };
                if matches!(connection.job, Job::Look) {
                    connection.changed = false;
                }
            }
            let Some(message) = message::<B, H>(&connection.job, (domid, vcpus), number, host)
            else {
                // The device has gone before the front end was told of it.
                connection.job = Job::Idle;
                connection.rest = Some(state::CLOSING);
                continue;
            };
            if message.send(host, serial) {
                (self.asked, self.serial) = (Some(number), serial);
                return true;
            }
            return false;
        }
        false
    }
}

/// A message to the store.
struct Message {
    kind: u32,
    path: Path,
    /// What follows the path's NUL.
    value: String<24>,
}

impl Message {
    fn send<H: Host>(&self, host: &mut H, id: u32) -> bool {
        let (path, value) = (self.path.as_bytes(), self.value.as_bytes());
        host.store().ask(Request {
            kind: self.kind,
            id,
            tx: 0,
            payload: &[path, b"\0", value],
        })
    }
}

/// What `job` of a device of domain `domid`, with so many vCPUs, asks the store; `None` where there
/// is nothing to ask any more.
fn message<B: Backend, H: Host>(
    job: &Job<B::Gather>,
    (domid, vcpus): (u16, u8),
    device: u8,
    host: &mut H,
) -> Option<Message> {
    let mut value = String::new();
    let front = |name: fmt::Arguments<'_>| front::<B>(domid, device, name);
    let (kind, path) = match job {
        Job::Idle => return None,
        Job::Watch => {
            let token = usize::from(B::KIND as u8) * DEVICES + usize::from(device);
            let _ = write!(value, "{token}\0");
            (kind::WATCH, front(format_args!("state")))
        }
        Job::Look => (kind::READ, front(format_args!("state"))),
        Job::Offer(_) | Job::Tell(_) | Job::Say(_) => {
            let (name, number) = match *job {
                Job::Offer(at) => B::offer(host, vcpus, at)?,
                Job::Tell(at) => B::about(host, device, at)?,
                Job::Say(state) => ("state", state.into()),
                _ => return None,
            };
            let _ = write!(value, "{number}");
            (kind::WRITE, back::<B>(domid, device, name))
        }
        Job::Gather(gather) => {
            let mut path = front(format_args!(""));
            // What is written is shorter.
            let _ = B::wanted(gather, &mut path);
            (kind::READ, path)
        }
    };
    Some(Message { kind, path, value })
}

/// Node `name` of the front end's directory.
fn front<B: Backend>(domid: u16, device: u8, name: fmt::Arguments<'_>) -> Path {
    let (mut path, kind, id) = (Path::new(), B::DIRECTORY, B::id(device));
    // What is written is shorter.
    let _ = write!(path, "/local/domain/{domid}/device/{kind}/{id}/{name}");
    path
}

/// Node `name` of the back end's directory.
fn back<B: Backend>(domid: u16, device: u8, name: &str) -> Path {
    let (mut path, kind, id) = (Path::new(), B::DIRECTORY, B::id(device));
    let _ = write!(path, "/local/domain/0/backend/{kind}/{domid}/{id}/{name}");
    path
}

/// A decimal number, as front ends write one.
pub(crate) fn number_of(value: &[u8]) -> Option<u32> {
    core::str::from_utf8(value).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::super::pv_block::PvBlock;
    use super::super::super::pv_net::PvNet;
    use super::*;

    #[test]
    fn paths_are_those_of_xen() {
        let path = front::<PvBlock>(3, 0, format_args!("state"));
        assert_eq!(path, "/local/domain/3/device/vbd/51712/state");
        let path = front::<PvBlock>(3, 1, format_args!("queue-2/ring-ref{}", 15));
        assert_eq!(path, "/local/domain/3/device/vbd/51728/queue-2/ring-ref15");
        let path = back::<PvBlock>(u16::MAX, 7, "feature-max-indirect-segments");
        assert_eq!(
            path,
            "/local/domain/0/backend/vbd/65535/51824/feature-max-indirect-segments"
        );
        let path = back::<PvNet>(2, 3, "feature-multicast-control");
        assert_eq!(
            path,
            "/local/domain/0/backend/vif/2/3/feature-multicast-control"
        );
    }
}
