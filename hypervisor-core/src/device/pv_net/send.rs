//! From a guest's ring to the server.

use guest_mem::Window;
use hv_types::WindowAddr;
use net_server_api::NetPort;
use xen_abi::netif::{TxResponse, status};
use zerocopy::IntoBytes;

use super::packet::{Group, Packet, Part, Unsound, Work};
use super::{Nic, PvNet};
use crate::device::backend::ring::Broken;
use crate::host::Host;
use crate::hypercall::grant::backend::{Access, Grants};
use crate::memory::pages::Pages;

/// Packets that one call takes from a ring.
const MOST_PACKETS: u32 = 64;
/// Bytes that one call copies for them, but for those of the last.
const MOST_BYTES: u32 = 256 << 10;

impl PvNet {
    /// Takes packets of an interface and hands them to the server, as far as there is room.
    pub(super) fn send<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        number: u8,
    ) {
        let (mut packets, mut bytes) = (MOST_PACKETS, MOST_BYTES);
        loop {
            let Some(nic) = self.open_nic(number) else {
                return;
            };
            match nic.send_one(host, grants, number) {
                Ok(Sent::Nothing) => return,
                Ok(Sent::Packet(len)) => {
                    packets -= 1;
                    bytes = bytes.saturating_sub(len);
                }
                Err(Wrong::Ring(broken)) => return self.on_broken(host, number, &broken),
                Err(Wrong::Packet(unsound)) => return self.on_broken(host, number, &unsound),
            }
            if packets == 0 || bytes == 0 {
                self.more = true;
                return;
            }
        }
    }
}

/// What became of a look at the ring.
enum Sent {
    /// There is no packet, or no room for it.
    Nothing,
    /// A packet of so many bytes.
    Packet(u32),
}

/// The ring cannot be used any more.
enum Wrong {
    Ring(Broken),
    Packet(Unsound),
}

impl From<Broken> for Wrong {
    fn from(broken: Broken) -> Self {
        Self::Ring(broken)
    }
}

impl Nic {
    fn send_one<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        number: u8,
    ) -> Result<Sent, Wrong> {
        if self.sends.waiting(host, grants)? == 0 && !self.sends.rest(host, grants, 1)? {
            return Ok(Sent::Nothing);
        }
        let waiting = self.sends.waiting(host, grants)?;
        let mut packet = Packet::new();
        let mut slot = 0;
        loop {
            if slot == waiting {
                return Err(Wrong::Packet(Unsound::Short));
            }
            let bytes = self.sends.peek(host, grants, slot)?;
            slot += 1;
            if !packet.push(&bytes).map_err(Wrong::Packet)? {
                break;
            }
        }
        let (len, status) = match packet.work() {
            Work::Frame(len, parts, offload) => {
                let Some(at) = host.nets().reserve(number, len) else {
                    return Ok(Sent::Nothing);
                };
                let sent = copy(host, grants, at, parts)
                    .is_some_and(|()| host.nets().send(number, len, offload));
                (len, if sent { status::OKAY } else { status::ERROR })
            }
            Work::Group(group) => (0, self.change(group)),
            Work::Wrong => (0, status::ERROR),
        };
        self.sends.take(slot);
        for id in packet.slots() {
            let response = TxResponse {
                id: id.unwrap_or(0),
                status: if id.is_some() { status } else { status::NULL },
            };
            self.sends.respond(host, grants, response.as_bytes())?;
        }
        Ok(Sent::Packet(len))
    }

    /// Changes what the front end wants to hear.
    fn change(&mut self, group: Group) -> i16 {
        match group {
            Group::Add(mac) => {
                if !self.groups.contains(&mac) && self.groups.push(mac).is_err() {
                    self.wants_all = true;
                }
            }
            Group::Remove(mac) => self.groups.retain(|other| *other != mac),
        }
        status::OKAY
    }
}

/// Copies the parts of a frame to byte `at` of the data area; `None` where one is not granted.
fn copy<H: Host, P: Pages>(
    host: &mut H,
    grants: &Grants<'_, P>,
    at: u32,
    parts: &[Part],
) -> Option<()> {
    let mut to = WindowAddr::new(at.into());
    for part in parts {
        let (_, page) = grants.open(host, part.gref, Access::Read)?;
        let from = page.checked_add(part.offset.into())?;
        let (window, nets) = host.window_and_nets();
        window.copy_to(from, nets.data()?, to, part.len.into());
        to = to.checked_add(part.len.into())?;
    }
    Some(())
}
