//! Channels to other domains.
//!
//! The table says of such a port only that it is one; where it ends says the page that the peer
//! server keeps ([`peer_server_api`]). So what the other domain does needs no message to this one.

use guest_mem::Window;
use hv_types::{DomId, Port, VcpuId};
use peer_server_api::{End, Error, MAX_PORT, PeerPort, Request};
use xen_abi::Errno;
use xen_abi::event::state;

use super::Events;
use super::bind::PortStatus;
use super::ports::Binding;
use crate::memory::pages::Pages;

/// What a guest is told where the server refuses.
fn errno(error: Error) -> Errno {
    match error {
        Error::Denied => Errno::Eperm,
        // The others would be a bug of this side: the port is free and the number one of a domain.
        _ => Errno::Einval,
    }
}

impl Events {
    /// `port` as the peer server knows it, if it is a channel to another domain.
    pub fn foreign(&self, port: Port) -> Option<u16> {
        let port = self.table.index(port)?;
        (self.table.get(port).binding == Binding::Foreign).then_some(port)
    }

    /// Whether there is any.
    pub fn any_foreign(&self) -> bool {
        let mut used = self.table.in_use();
        used.any(|port| self.table.get(port).binding == Binding::Foreign)
    }

    /// `EVTCHNOP_alloc_unbound` for another domain, number `remote` from 0.
    ///
    /// # Errors
    /// `Esrch`: no such `dom`; `Enospc`: no free port; `Eperm`: `dom` is not the domain itself, or
    /// the domains file does not let the two have channels.
    pub fn alloc_foreign<R: PeerPort>(
        &mut self,
        peers: &mut R,
        dom: DomId,
        remote: u8,
    ) -> Result<Port, Errno> {
        if !self.domains.exists(dom) {
            return Err(Errno::Esrch);
        }
        if self.table.is_full() {
            return Err(Errno::Enospc);
        }
        self.domains.own(dom)?;
        let port = self.table.alloc(Binding::Foreign)?;
        let domain = remote;
        if let Err(error) = peers.ask(Request::Alloc { port, domain }) {
            self.table.free(port);
            return Err(errno(error));
        }
        Ok(Port(port.into()))
    }

    /// `EVTCHNOP_bind_interdomain` to a port of another domain, number `remote` from 0. As
    /// [`Events::bind_interdomain`].
    ///
    /// # Errors
    /// `Enospc`: no free port; `Einval`: the peer's port does not exist, is not unbound, or is
    /// reserved for another domain; `Eperm`: the domains file does not let the two have channels.
    pub fn bind_foreign<W: Window, P: Pages, R: PeerPort>(
        &mut self,
        (window, peers): (&W, &mut R),
        pages: &P,
        remote: u8,
        remote_port: Port,
    ) -> Result<(Port, Option<VcpuId>), Errno> {
        let port = self.table.alloc(Binding::Foreign)?;
        let asked = peers.ask(Request::Bind {
            port,
            domain: remote,
            remote: remote_port.0,
        });
        if let Err(error) = asked {
            self.table.free(port);
            return Err(errno(error));
        }
        let port = Port(port.into());
        Ok((port, self.raise(window, pages, port)))
    }

    /// What `EVTCHNOP_status` tells of a channel to another domain, from what the table says.
    pub fn foreign_status<R: PeerPort>(peers: &R, port: u16, known: PortStatus) -> PortStatus {
        // Ids of domains begin at 1.
        let id = |domain: u8| u32::from(domain) + 1;
        match peers.end(port) {
            End::Bound { domain, port, .. } => PortStatus {
                state: state::INTERDOMAIN,
                dom_or_irq: id(domain),
                remote_port: port.into(),
                ..known
            },
            End::Unbound { domain } => PortStatus {
                state: state::UNBOUND,
                dom_or_irq: id(domain),
                ..known
            },
            End::None => known,
        }
    }

    /// Takes the events that other domains have sent; `upcall` gets the vCPUs whose upcalls were
    /// raised: their PPI 31 must go high.
    pub fn receive<W: Window, P: Pages, R: PeerPort>(
        &self,
        (window, peers): (&W, &mut R),
        pages: &P,
        mut upcall: impl FnMut(VcpuId),
    ) {
        peers.take(|port| {
            let channel = self.table.get(port);
            if channel.binding == Binding::Foreign
                && let Some(cpu) = self.set_pending(window, pages, port, channel)
            {
                upcall(cpu);
            }
        });
    }

    /// A guest begins to live: its static channels are there, and those are pending over which an
    /// event has come by their being made. A port that something else has taken is left to that;
    /// the dt-server refuses such numbers.
    pub fn begin_foreign<W: Window, P: Pages, R: PeerPort>(
        &mut self,
        (window, peers): (&W, &mut R),
        pages: &P,
        mut upcall: impl FnMut(VcpuId),
    ) {
        // It refuses nobody that.
        let _ = peers.ask(Request::Start);
        for port in 1..=MAX_PORT {
            let end = peers.end(port);
            if end == End::None || !self.table.claim(port, Binding::Foreign) {
                continue;
            }
            if matches!(end, End::Bound { woken: true, .. })
                && let Some(cpu) = self.raise(window, pages, Port(port.into()))
            {
                upcall(cpu);
            }
        }
    }
}
