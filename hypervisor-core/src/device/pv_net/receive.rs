//! From the server to the pages that a guest has asked to be filled.

use guest_mem::Window;
use heapless::Vec;
use hv_types::{Mac, WindowAddr};
use net_server_api::{Checksum, Frame, GsoKind, MAX_FRAME, NetPort};
use xen_abi::netif::{Extra, RX_SLOT, RxRequest, RxResponse, extra, rx, status};
use zerocopy::{FromBytes, IntoBytes};

use super::{Nic, PvNet};
use crate::device::backend::ring::Broken;
use crate::host::Host;
use crate::hypercall::grant::backend::{Access, Grants};
use crate::memory::pages::Pages;

/// Frames that one call brings to an interface.
const MOST_FRAMES: u32 = 64;
/// Bytes of them, but for those of the last.
const MOST_BYTES: u32 = 256 << 10;
/// Bytes of a page.
const PAGE: u32 = 4096;
/// Most slots of a frame: its pages, and one for how it is to be cut.
const SLOTS: usize = MAX_FRAME.div_ceil(PAGE) as usize + 1;

impl PvNet {
    /// Brings frames to an interface, as far as it has asked for pages.
    pub(super) fn receive<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        number: u8,
    ) {
        let (mut frames, mut bytes) = (MOST_FRAMES, MOST_BYTES);
        while let Some(nic) = self.open_nic(number)
            && let Some(frame) = host.nets().peek(number)
        {
            if frames == 0 || bytes == 0 {
                self.more = true;
                return;
            }
            // What makes no sense, or is not wanted, goes.
            if let Ok(frame) = frame
                && nic.wants(host, &frame)
            {
                match nic.receive_one(host, grants, &frame) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(broken) => return self.on_broken(host, number, &broken),
                }
                bytes = bytes.saturating_sub(frame.len);
            }
            frames -= 1;
            host.nets().advance(number);
        }
    }
}

impl Nic {
    /// Whether the front end can take such a frame, and wants those to its group.
    fn wants<H: Host>(&self, host: &mut H, frame: &Frame) -> bool {
        let can = match frame.offload.gso.map(|gso| gso.kind) {
            None => true,
            Some(GsoKind::Tcp4) => self.can.gso4,
            Some(GsoKind::Tcp6) => self.can.gso6,
        };
        if !can || (frame.len > PAGE && !self.can.pages) {
            return false;
        }
        if !self.can.groups || self.wants_all {
            return true;
        }
        let Some(data) = host.nets().data() else {
            return false;
        };
        let mut to = Mac::default();
        data.read(WindowAddr::new(frame.offset.into()), &mut to.0);
        !to.is_group() || to == Mac::BROADCAST || self.groups.contains(&to)
    }

    /// Fills pages with a frame; whether there were enough.
    fn receive_one<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        frame: &Frame,
    ) -> Result<bool, Broken> {
        let pages = frame.len.div_ceil(PAGE);
        let slots = pages + u32::from(frame.offload.gso.is_some());
        if self.receives.waiting(host, grants)? < slots
            && !self.receives.rest(host, grants, slots)?
        {
            return Ok(false);
        }
        let mut responses: Vec<[u8; RX_SLOT], SLOTS> = Vec::new();
        let mut done = 0;
        for slot in 0..slots {
            let bytes = self.receives.peek(host, grants, slot)?;
            if let (1, Some(gso)) = (slot, frame.offload.gso) {
                // Its page stays the front end's, which does not look for anything there.
                let [low, high] = gso.size.to_le_bytes();
                let kind = match gso.kind {
                    GsoKind::Tcp4 => extra::GSO_TCPV4,
                    GsoKind::Tcp6 => extra::GSO_TCPV6,
                };
                let info = Extra {
                    kind: extra::GSO,
                    flags: 0,
                    data: [low, high, kind, 0, 0, 0],
                };
                push(&mut responses, info.as_bytes());
                continue;
            }
            let request = RxRequest::read_from_bytes(&bytes).unwrap_or_default();
            let len = (frame.len - done).min(PAGE);
            let filled = fill(host, grants, request.gref, frame.offset + done, len);
            done += len;
            let mut flags = 0;
            if slot == 0 {
                flags |= match frame.offload.checksum {
                    Checksum::Unknown => 0,
                    Checksum::Valid => rx::DATA_VALIDATED,
                    Checksum::Blank => rx::DATA_VALIDATED | rx::CSUM_BLANK,
                };
                if frame.offload.gso.is_some() {
                    flags |= rx::EXTRA_INFO;
                }
            }
            if done < frame.len {
                flags |= rx::MORE_DATA;
            }
            let response = RxResponse {
                id: request.id,
                offset: 0,
                flags,
                // At most a page.
                status: filled.map_or(status::ERROR, |()| i16::try_from(len).unwrap_or(0)),
            };
            push(&mut responses, response.as_bytes());
        }
        self.receives.take(slots);
        for response in &responses {
            self.receives.respond(host, grants, response)?;
        }
        Ok(true)
    }
}

/// Adds a response, for which there is room.
fn push(responses: &mut Vec<[u8; RX_SLOT], SLOTS>, bytes: &[u8]) {
    let response = bytes.try_into().unwrap_or_default();
    let _ = responses.push(response);
}

/// Copies bytes of the data area to the page that `gref` grants; `None` where it does not.
fn fill<H: Host, P: Pages>(
    host: &mut H,
    grants: &Grants<'_, P>,
    gref: u32,
    from: u32,
    len: u32,
) -> Option<()> {
    let (_, page) = grants.open(host, gref, Access::Write)?;
    let (window, nets) = host.window_and_nets();
    let from = WindowAddr::new(from.into());
    nets.data()?.copy_to(from, window, page, len.into());
    Some(())
}
