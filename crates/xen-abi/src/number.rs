//! Hypercall numbers and how a guest makes one (public/xen.h, public/arch-arm.h).

/// Immediate of the HVC instruction that makes a hypercall (`XEN_HYPERCALL_TAG`).
pub const HVC_IMMEDIATE: u16 = 0xea1;
/// `HVC #0xEA1` as an A64 instruction word.
pub const HVC_INSTRUCTION: u32 = 0xd401_d422;

/// Legacy scheduler operations.
pub const SCHED_OP_COMPAT: u64 = 6;
/// Platform operations of the hardware domain.
pub const PLATFORM_OP: u64 = 7;
/// Memory reservation and guest physical map ([`crate::memory`]).
pub const MEMORY_OP: u64 = 12;
/// Several hypercalls in one ([`crate::multicall`]).
pub const MULTICALL: u64 = 13;
/// Legacy event channel operations.
pub const EVENT_CHANNEL_OP_COMPAT: u64 = 16;
/// Version and features ([`crate::version`]).
pub const XEN_VERSION: u64 = 17;
/// Emergency console ([`crate::console`]).
pub const CONSOLE_IO: u64 = 18;
/// Legacy physical device operations.
pub const PHYSDEV_OP_COMPAT: u64 = 19;
/// Grant tables ([`crate::grant`]).
pub const GRANT_TABLE_OP: u64 = 20;
/// Assists ([`crate::assist`]).
pub const VM_ASSIST: u64 = 21;
/// vCPU operations ([`crate::vcpu`]).
pub const VCPU_OP: u64 = 24;
/// Security module.
pub const XSM_OP: u64 = 27;
/// Scheduler ([`crate::sched`]).
pub const SCHED_OP: u64 = 29;
/// Event channels ([`crate::event`]).
pub const EVENT_CHANNEL_OP: u64 = 32;
/// Physical devices.
pub const PHYSDEV_OP: u64 = 33;
/// Parameters of hardware-virtualised guests ([`crate::hvm`]).
pub const HVM_OP: u64 = 34;
/// Host control by a toolstack.
pub const SYSCTL: u64 = 35;
/// Domain control by a toolstack.
pub const DOMCTL: u64 = 36;
/// Argo message passing.
pub const ARGO_OP: u64 = 39;
/// Device model operations.
pub const DM_OP: u64 = 41;
/// Hypervisor file system.
pub const HYPFS_OP: u64 = 42;
