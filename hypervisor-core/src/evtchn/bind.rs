//! Binding and closing ports: the operations that change the table.
//!
//! Errors come in the order in which Xen checks (common/event_channel.c), because guests probe.

use guest_mem::Window;
use hv_types::{DomId, Port, VcpuId};
use xen_abi::Errno;
use xen_abi::event::{NR_VIRQS, state, virq};

use super::Events;
use super::ports::{Binding, Channel, Service};
use crate::memory::pages::Pages;

/// What `EVTCHNOP_status` tells of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PortStatus {
    /// [`xen_abi::event::state`].
    pub state: u32,
    /// vCPU that it notifies.
    pub vcpu: u32,
    /// The other domain's id or the number of the virtual interrupt.
    pub dom_or_irq: u32,
    /// The other domain's port.
    pub remote_port: u32,
}

/// Who a virtual interrupt is for (public/xen.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum VirqKind {
    /// Each vCPU has its own.
    Vcpu,
    /// The domain has one.
    Domain,
    /// The machine has one, which belongs to the control domain.
    Global,
}

fn virq_kind(number: u32) -> VirqKind {
    match number {
        virq::TIMER | virq::DEBUG | virq::XENOPROF | virq::XENPMU => VirqKind::Vcpu,
        virq::ARGO => VirqKind::Domain,
        // Unassigned and architecture-specific ones too: Arm defines none.
        _ => VirqKind::Global,
    }
}

/// Who back ends are to their guest.
const BACKEND: DomId = DomId(0);

impl Events {
    /// Binds the back end of `service` to a port that the guest has set aside for domain 0; false
    /// where it is none.
    pub fn bind_backend(&mut self, service: Service, port: Port) -> bool {
        let free = Binding::Unbound { remote: BACKEND };
        self.rebind(port, free, Binding::Backend(service))
    }

    /// The back end lets a port go, which waits for domain 0 again. One that the guest has closed
    /// is left alone.
    pub fn release_backend(&mut self, service: Service, port: Port) {
        let free = Binding::Unbound { remote: BACKEND };
        self.rebind(port, Binding::Backend(service), free);
    }

    /// Changes the binding of a port that has another one.
    fn rebind(&mut self, port: Port, from: Binding, to: Binding) -> bool {
        let Some(port) = self.table.index(port) else {
            return false;
        };
        let channel = self.table.get(port);
        let is_so = channel.binding == from;
        if is_so {
            let binding = to;
            self.table.set(port, Channel { binding, ..channel });
        }
        is_so
    }

    /// `EVTCHNOP_alloc_unbound`: a port to which `remote` may bind, which is the domain itself:
    /// [`Events::alloc_foreign`] is for another one. A guest with devices may name domain 0, which
    /// is their back ends.
    ///
    /// # Errors
    /// `Esrch`: no such `dom`; `Enospc`: no free port; `Esrch`: no such `remote`; `Eperm`: either
    /// is not the domain itself.
    pub fn alloc_unbound(&mut self, dom: DomId, remote: DomId) -> Result<Port, Errno> {
        if !self.domains.exists(dom) {
            return Err(Errno::Esrch);
        }
        if self.table.is_full() {
            return Err(Errno::Enospc);
        }
        let remote = if self.has_backends && remote == BACKEND {
            remote
        } else {
            self.domains.own(remote)?;
            self.domains.me()
        };
        self.domains.own(dom)?;
        let port = self.table.alloc(Binding::Unbound { remote })?;
        Ok(Port(port.into()))
    }

    /// `EVTCHNOP_bind_interdomain`: a port connected to an unbound port of the domain's own:
    /// [`Events::bind_foreign`] is for those of another one.
    ///
    /// The new port is pending at once, because the peer may have sent before; the second value is
    /// as that of [`Events::raise`].
    ///
    /// # Errors
    /// `Esrch`: no such domain; `Enospc`: no free port; `Einval`: the peer does not exist, is not
    /// unbound, or is reserved for another domain.
    pub fn bind_interdomain<W: Window, P: Pages>(
        &mut self,
        window: &W,
        pages: &P,
        remote: DomId,
        remote_port: Port,
    ) -> Result<(Port, Option<VcpuId>), Errno> {
        if !self.domains.exists(remote) {
            return Err(Errno::Esrch);
        }
        if !remote.is_self(self.domains.me()) {
            // It exists, but no port of it can be unbound for us.
            return Err(Errno::Einval);
        }
        if self.table.is_full() {
            return Err(Errno::Enospc);
        }
        let peer = self.table.index(remote_port).ok_or(Errno::Einval)?;
        let channel = self.table.get(peer);
        let remote = self.domains.me();
        if channel.binding != (Binding::Unbound { remote }) {
            return Err(Errno::Einval);
        }
        let local = self
            .table
            .alloc(Binding::Interdomain { remote, port: peer })?;
        self.table.set(
            peer,
            Channel {
                binding: Binding::Interdomain {
                    remote,
                    port: local,
                },
                ..channel
            },
        );
        let local = Port(local.into());
        Ok((local, self.raise(window, pages, local)))
    }

    /// `EVTCHNOP_bind_virq`.
    ///
    /// # Errors
    /// `Einval`: no such VIRQ, or one of the domain or machine on a vCPU but 0; `Enoent`: no such
    /// vCPU; `Ebusy`: a global VIRQ, which belongs to the control domain; `Eexist`: bound already;
    /// `Enospc`: no free port.
    pub fn bind_virq(&mut self, number: u32, vcpu: u32) -> Result<Port, Errno> {
        let virq = u8::try_from(number)
            .ok()
            .filter(|_| number < NR_VIRQS)
            .ok_or(Errno::Einval)?;
        let kind = virq_kind(number);
        if kind != VirqKind::Vcpu && vcpu != 0 {
            return Err(Errno::Einval);
        }
        let vcpu = self.vcpu(vcpu)?;
        if kind == VirqKind::Global {
            return Err(Errno::Ebusy);
        }
        if self.virq_port(vcpu, virq) != 0 {
            return Err(Errno::Eexist);
        }
        let port = self.table.alloc(Binding::Virq(virq))?;
        self.table.set(
            port,
            Channel {
                binding: Binding::Virq(virq),
                vcpu,
            },
        );
        self.set_virq_port(vcpu, virq, port);
        Ok(Port(port.into()))
    }

    /// Raises a VIRQ on vCPU 0; nothing where the guest has not bound it. As [`Events::raise`].
    pub fn raise_virq<W: Window, P: Pages>(
        &mut self,
        window: &W,
        pages: &P,
        number: u32,
    ) -> Option<VcpuId> {
        let virq = u8::try_from(number).ok().filter(|_| number < NR_VIRQS)?;
        let port = self.virq_port(VcpuId::BOOT, virq);
        self.raise(window, pages, Port(port.into()))
    }

    fn virq_port(&self, vcpu: VcpuId, virq: u8) -> u16 {
        let virqs = &self.cpus[vcpu.index()].virqs;
        virqs.get(usize::from(virq)).copied().unwrap_or(0)
    }

    fn set_virq_port(&mut self, vcpu: VcpuId, virq: u8, port: u16) {
        let virqs = &mut self.cpus[vcpu.index()].virqs;
        if let Some(place) = virqs.get_mut(usize::from(virq)) {
            *place = port;
        }
    }

    /// `EVTCHNOP_bind_ipi`.
    ///
    /// # Errors
    /// `Enoent`: no such vCPU; `Enospc`: no free port.
    pub fn bind_ipi(&mut self, vcpu: u32) -> Result<Port, Errno> {
        let vcpu = self.vcpu(vcpu)?;
        let port = self.table.alloc(Binding::Ipi)?;
        self.table.set(
            port,
            Channel {
                binding: Binding::Ipi,
                vcpu,
            },
        );
        Ok(Port(port.into()))
    }

    /// `EVTCHNOP_bind_vcpu`: which vCPU the port notifies.
    ///
    /// # Errors
    /// `Enoent`: no such vCPU; `Einval`: no such port, or one tied to its vCPU (IPI, VIRQ of a
    /// vCPU).
    pub fn bind_vcpu(&mut self, port: Port, vcpu: u32) -> Result<(), Errno> {
        let vcpu = self.vcpu(vcpu)?;
        let port = self.table.index(port).ok_or(Errno::Einval)?;
        let channel = self.table.get(port);
        match channel.binding {
            Binding::Unbound { .. }
            | Binding::Interdomain { .. }
            | Binding::Service(_)
            | Binding::Backend(_)
            | Binding::Foreign => {}
            Binding::Virq(virq) if virq_kind(virq.into()) != VirqKind::Vcpu => {}
            Binding::Free | Binding::Ipi | Binding::Virq(_) => return Err(Errno::Einval),
        }
        self.table.set(port, Channel { vcpu, ..channel });
        Ok(())
    }

    /// `EVTCHNOP_close`. The peer of an interdomain channel becomes unbound, open to this domain.
    ///
    /// The port of a service keeps its binding, though the guest is told 0: on Xen that is an
    /// ordinary channel to a domain, Linux stops with BUG if it cannot close one, and a kernel
    /// started next finds its console port where the HVM parameter says.
    ///
    /// # Errors
    /// `Einval`: no such port, or a free one.
    pub fn close<W: Window>(&mut self, window: &W, port: Port) -> Result<(), Errno> {
        let port = self.table.index(port).ok_or(Errno::Einval)?;
        let channel = self.table.get(port);
        match channel.binding {
            Binding::Free => return Err(Errno::Einval),
            Binding::Service(_) => {
                self.clear_pending(window, port);
                return Ok(());
            }
            Binding::Interdomain { port: peer, .. } => {
                let binding = Binding::Unbound {
                    remote: self.domains.me(),
                };
                self.table.set(
                    peer,
                    Channel {
                        binding,
                        ..self.table.get(peer)
                    },
                );
            }
            Binding::Virq(virq) => {
                // One of the domain is bound on vCPU 0, whichever it notifies now.
                let owner = if virq_kind(virq.into()) == VirqKind::Vcpu {
                    channel.vcpu
                } else {
                    VcpuId::BOOT
                };
                self.set_virq_port(owner, virq, 0);
            }
            // The caller has told the peer server of a foreign one.
            Binding::Unbound { .. } | Binding::Ipi | Binding::Backend(_) | Binding::Foreign => {}
        }
        self.clear_pending(window, port);
        self.table.free(port);
        Ok(())
    }

    /// `EVTCHNOP_reset`: closes every port.
    ///
    /// # Errors
    /// `Esrch`, `Eperm`: `dom` is not the domain itself.
    pub fn reset<W: Window>(&mut self, window: &W, dom: DomId) -> Result<(), Errno> {
        self.domains.own(dom)?;
        for port in self.table.in_use() {
            // Closing a port in use succeeds.
            let _ = self.close(window, Port(port.into()));
        }
        Ok(())
    }

    /// `EVTCHNOP_status`. Port 0, from which tools count upwards until an error, is closed.
    ///
    /// # Errors
    /// `Esrch`: no such domain; `Einval`: no room for such a port, or one that no domain can have;
    /// `Eperm`: another domain.
    pub fn status(&self, dom: DomId, port: Port) -> Result<PortStatus, Errno> {
        match self.domains.own(dom) {
            Ok(()) if !self.table.has_room(port) => return Err(Errno::Einval),
            Err(Errno::Eperm) if port.0 > Self::MAX_PORT => return Err(Errno::Einval),
            other => other?,
        }
        let Some(port) = self.table.index(port) else {
            return Ok(PortStatus {
                state: state::CLOSED,
                ..PortStatus::default()
            });
        };
        let channel = self.table.get(port);
        let (state, dom_or_irq, remote_port) = match channel.binding {
            Binding::Free => {
                return Ok(PortStatus {
                    state: state::CLOSED,
                    ..PortStatus::default()
                });
            }
            Binding::Unbound { remote } => (state::UNBOUND, remote.0.into(), 0),
            Binding::Interdomain { remote, port } => {
                (state::INTERDOMAIN, remote.0.into(), port.into())
            }
            // A guest of Xen finds the control domain's daemon at the other end; its port there is
            // its own affair.
            Binding::Service(_) | Binding::Backend(_) => (state::INTERDOMAIN, 0, port.into()),
            Binding::Virq(virq) => (state::VIRQ, virq.into(), 0),
            Binding::Ipi => (state::IPI, 0, 0),
            // Where it ends says `foreign_status`.
            Binding::Foreign => (state::UNBOUND, 0, 0),
        };
        Ok(PortStatus {
            state,
            vcpu: channel.vcpu.raw().into(),
            dom_or_irq,
            remote_port,
        })
    }
}
