//! From the server to the guest: bytes that were read, responses, and events.

use block_server_api::{Answer, DiskPort, Op, Status};
use guest_mem::Window;
use hv_types::{VcpuId, Vcpus};
use xen_abi::blkif::{Response, status};
use zerocopy::IntoBytes;

use super::flight::Flying;
use super::{PvBlock, QUEUES, extent};
use crate::evtchn::Events;
use crate::host::Host;
use crate::hypercall::grant::backend::{Access, Grants};
use crate::memory::pages::Pages;

impl PvBlock {
    /// An answer of the server's.
    pub(super) fn complete<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        answer: Answer,
    ) {
        let Some((request, slots)) = self.flight.answered(answer.id) else {
            return;
        };
        let Some(flying) = self.flight.request(request).copied() else {
            return;
        };
        let open = self.queue(flying.queue).is_some_and(|queue| !queue.is_shut);
        let mut result = match answer.status {
            Status::Done => status::OKAY,
            Status::Unsupported => status::UNSUPPORTED,
            Status::Failed | Status::Invalid | Status::ReadOnly | Status::Gone => status::ERROR,
        };
        for slot in slots {
            let slot = u8::try_from(slot).unwrap_or(u8::MAX);
            let copies = open && flying.op == Op::Read && result == status::OKAY;
            if copies && self.copy_out(host, grants, slot).is_none() {
                result = status::ERROR;
            }
            self.flight.free_slot(slot);
        }
        if let Some(flying) = self.flight.request(request)
            && flying.status == status::OKAY
        {
            flying.status = result;
        }
        if let Some(over) = self.flight.close(request) {
            self.respond(host, grants, &over);
        }
    }

    /// Copies what was read to the guest's page, which has to be granted as it was.
    fn copy_out<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        slot: u8,
    ) -> Option<()> {
        let place = *self.flight.slot(slot)?;
        let page = grants.again(host, place.granted, Access::Write)?;
        let (guest, there, len) = extent(page, slot, place.sectors)?;
        let (window, disks) = host.window_and_disks();
        disks.data()?.copy_to(there, window, guest, len);
        Some(())
    }

    /// Writes the response to a request that is over.
    pub(super) fn respond<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        flying: &Flying,
    ) {
        let number = usize::from(flying.queue);
        let Some(Some(queue)) = self.queues.get_mut(number) else {
            return;
        };
        if queue.is_shut {
            return;
        }
        let response = Response {
            id: flying.id,
            op: flying.code,
            pad: 0,
            status: flying.status,
            pad2: 0,
        };
        if let Err(broken) = queue.ring.respond(host, grants, response.as_bytes()) {
            self.on_broken(host, number, broken);
        }
    }

    /// Shows the guest its responses, and sends the events that it wants.
    pub(super) fn publish<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        events: &mut Events,
    ) -> Vcpus {
        let mut upcalls = Vcpus::NONE;
        for number in 0..QUEUES {
            let Some(Some(queue)) = self.queues.get_mut(number) else {
                continue;
            };
            if queue.is_shut {
                continue;
            }
            match queue.ring.publish(host, grants) {
                Ok(false) => {}
                Ok(true) => {
                    let raised = events.raise_backend(host.window(), grants.pages, queue.port);
                    let raised: Option<VcpuId> = raised;
                    upcalls = upcalls.with(raised.map_or(Vcpus::NONE, Vcpus::only));
                }
                Err(broken) => self.on_broken(host, number, broken),
            }
        }
        upcalls
    }

    /// There is no server any more: what was under way has failed.
    pub(super) fn fail_all<H: Host, P: Pages>(&mut self, host: &mut H, grants: &Grants<'_, P>) {
        while let Some(flying) = self.flight.fail_one() {
            let status = status::ERROR;
            self.respond(host, grants, &Flying { status, ..flying });
        }
        self.flight.clear();
    }
}
