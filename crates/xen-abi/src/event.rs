//! event_channel_op (public/event_channel.h) and virtual interrupts (public/xen.h).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `EVTCHNOP_bind_interdomain`: [`BindInterdomain`].
pub const BIND_INTERDOMAIN: u64 = 0;
/// `EVTCHNOP_bind_virq`: [`BindVirq`].
pub const BIND_VIRQ: u64 = 1;
/// `EVTCHNOP_bind_pirq`.
pub const BIND_PIRQ: u64 = 2;
/// `EVTCHNOP_close`: [`PortArg`].
pub const CLOSE: u64 = 3;
/// `EVTCHNOP_send`: [`PortArg`].
pub const SEND: u64 = 4;
/// `EVTCHNOP_status`: [`Status`].
pub const STATUS: u64 = 5;
/// `EVTCHNOP_alloc_unbound`: [`AllocUnbound`].
pub const ALLOC_UNBOUND: u64 = 6;
/// `EVTCHNOP_bind_ipi`: [`BindIpi`].
pub const BIND_IPI: u64 = 7;
/// `EVTCHNOP_bind_vcpu`: [`BindVcpu`].
pub const BIND_VCPU: u64 = 8;
/// `EVTCHNOP_unmask`: [`PortArg`].
pub const UNMASK: u64 = 9;
/// `EVTCHNOP_reset`: [`Reset`].
pub const RESET: u64 = 10;
/// `EVTCHNOP_init_control`.
pub const INIT_CONTROL: u64 = 11;
/// `EVTCHNOP_expand_array`.
pub const EXPAND_ARRAY: u64 = 12;
/// `EVTCHNOP_set_priority`.
pub const SET_PRIORITY: u64 = 13;
/// `EVTCHNOP_reset_cont`, how a long reset goes on inside Xen: [`Reset`].
pub const RESET_CONT: u64 = 14;

/// Number of virtual interrupts (`NR_VIRQS`); those at and above are invalid.
pub const NR_VIRQS: u32 = 24;
/// Virtual interrupts (`VIRQ_*`).
pub mod virq {
    /// Timebase update; per vCPU.
    pub const TIMER: u32 = 0;
    /// Request to dump state; per vCPU.
    pub const DEBUG: u32 = 1;
    /// Bytes received on the emergency console; global.
    pub const CONSOLE: u32 = 2;
    /// Exceptional event for a domain; global.
    pub const DOM_EXC: u32 = 3;
    /// Trace buffer has records; global.
    pub const TBUF: u32 = 4;
    /// A domain paused for debugging; global.
    pub const DEBUGGER: u32 = 6;
    /// Profiling; per vCPU.
    pub const XENOPROF: u32 = 7;
    /// The console ring has text; global.
    pub const CON_RING: u32 = 8;
    /// A physical CPU changed state; global.
    pub const PCPU_STATE: u32 = 9;
    /// A memory event; global.
    pub const MEM_EVENT: u32 = 10;
    /// Argo; per domain.
    pub const ARGO: u32 = 11;
    /// Low on heap; global.
    pub const ENOMEM: u32 = 12;
    /// Performance counters; per vCPU.
    pub const XENPMU: u32 = 13;
    /// First of the architecture's eight.
    pub const ARCH_0: u32 = 16;
}

/// Values of [`Status::status`] (`EVTCHNSTAT_*`).
pub mod state {
    /// Not in use.
    pub const CLOSED: u32 = 0;
    /// Waiting for the other domain.
    pub const UNBOUND: u32 = 1;
    /// Connected to another port.
    pub const INTERDOMAIN: u32 = 2;
    /// Physical interrupt.
    pub const PIRQ: u32 = 3;
    /// Virtual interrupt.
    pub const VIRQ: u32 = 4;
    /// Between vCPUs.
    pub const IPI: u32 = 5;
}

/// `evtchn_bind_interdomain`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct BindInterdomain {
    /// The other domain.
    pub remote_dom: u16,
    /// Padding.
    pub pad: u16,
    /// Its port.
    pub remote_port: u32,
    /// Out: the new port.
    pub local_port: u32,
}
layout!(BindInterdomain, 12; remote_dom @ 0, pad @ 2, remote_port @ 4, local_port @ 8);

/// `evtchn_bind_virq`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct BindVirq {
    /// [`virq`].
    pub virq: u32,
    /// Which vCPU.
    pub vcpu: u32,
    /// Out: the new port.
    pub port: u32,
}
layout!(BindVirq, 12; virq @ 0, vcpu @ 4, port @ 8);

/// A lone port: argument of close, send and unmask.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct PortArg {
    /// The port.
    pub port: u32,
}
layout!(PortArg, 4; port @ 0);

/// `evtchn_status`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Status {
    /// Whose port.
    pub dom: u16,
    /// Padding.
    pub pad: u16,
    /// The port.
    pub port: u32,
    /// Out: [`state`].
    pub status: u32,
    /// Out: vCPU that it notifies.
    pub vcpu: u32,
    /// Out: unbound or interdomain: the other domain's id (16 bits); virq or pirq: its number; else
    /// kept.
    pub dom_or_irq: u32,
    /// Out: interdomain: the other domain's port; else kept.
    pub remote_port: u32,
}
layout!(Status, 24; dom @ 0, pad @ 2, port @ 4, status @ 8, vcpu @ 12, dom_or_irq @ 16, remote_port @ 20);

/// `evtchn_alloc_unbound`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct AllocUnbound {
    /// In whose table.
    pub dom: u16,
    /// Who may bind to it.
    pub remote_dom: u16,
    /// Out: the new port.
    pub port: u32,
}
layout!(AllocUnbound, 8; dom @ 0, remote_dom @ 2, port @ 4);

/// `evtchn_bind_ipi`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct BindIpi {
    /// Which vCPU.
    pub vcpu: u32,
    /// Out: the new port.
    pub port: u32,
}
layout!(BindIpi, 8; vcpu @ 0, port @ 4);

/// `evtchn_bind_vcpu`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct BindVcpu {
    /// The port.
    pub port: u32,
    /// vCPU that it shall notify.
    pub vcpu: u32,
}
layout!(BindVcpu, 8; port @ 0, vcpu @ 4);

/// `evtchn_reset`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Reset {
    /// Whose ports.
    pub dom: u16,
}
layout!(Reset, 2; dom @ 0);

/// `evtchn_bind_pirq`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct BindPirq {
    /// Physical interrupt.
    pub pirq: u32,
    /// Flags.
    pub flags: u32,
    /// Out: the new port.
    pub port: u32,
}
layout!(BindPirq, 12; pirq @ 0, flags @ 4, port @ 8);

/// `evtchn_init_control`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct InitControl {
    /// Guest frame of the control block.
    pub control_gfn: u64,
    /// Its first byte there.
    pub offset: u32,
    /// Whose.
    pub vcpu: u32,
    /// Out: bits of a link.
    pub link_bits: u8,
    /// Padding.
    pub pad: [u8; 7],
}
layout!(InitControl, 24; control_gfn @ 0, offset @ 8, vcpu @ 12, link_bits @ 16, pad @ 17);

/// `evtchn_expand_array`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct ExpandArray {
    /// Guest frame of the new page.
    pub array_gfn: u64,
}
layout!(ExpandArray, 8; array_gfn @ 0);

/// `evtchn_set_priority`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct SetPriority {
    /// The port.
    pub port: u32,
    /// 0 (highest) to 15.
    pub priority: u32,
}
layout!(SetPriority, 8; port @ 0, priority @ 4);
