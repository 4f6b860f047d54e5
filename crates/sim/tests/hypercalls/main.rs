//! The hypercalls that a guest needs to reach a shell, with good and bad arguments, as it sees
//! them.
//!
//! Each test runs with the MMU off and on, and however the kernel reports an HVC.

#[path = "../common/mod.rs"]
mod common;
use common::{
    EACCES, EBUSY, EDOM, EFAULT, EINVAL, ENOENT, ENOSPC, ENOSYS, ENXIO, EOPNOTSUPP, EPERM, ESRCH,
    SELF, decrease, in_every_way, not_writable, populate, remove, reservation, reserve, strangers,
    wild,
};
use hv_types::Gva;
use hypervisor_core::domain::shutdown::StopReason;
use sim::guest::insn::Width;
use sim::guest::stage1::SCRAMBLED;
use sim::guest::{ARGS, CONSOLE_PAGE, FREE, RAM, SHARED_INFO};
use sim::{Ran, System, Way};
use xen_abi::event::{
    AllocUnbound, BindInterdomain, BindIpi, BindVcpu, BindVirq, PortArg, Reset, Status,
};
use xen_abi::grant::{GetVersion, QuerySize, SetVersion, SetupTable, status};
use xen_abi::hvm::HvmParam;
use xen_abi::memory::{
    AddToPhysmap, DECREASE_RESERVATION, DomainArg, POPULATE_PHYSMAP, RemoveFromPhysmap, space,
};
use xen_abi::number::{
    CONSOLE_IO, DOMCTL, EVENT_CHANNEL_OP, GRANT_TABLE_OP, HVM_OP, MEMORY_OP, MULTICALL, PHYSDEV_OP,
    PLATFORM_OP, SCHED_OP, SYSCTL, VCPU_OP, VM_ASSIST, XEN_VERSION,
};
use xen_abi::sched::Shutdown;
use xen_abi::shared::shared_info;
use xen_abi::vcpu::{
    REGISTER_RUNSTATE_MEMORY_AREA, REGISTER_VCPU_INFO, RegisterRunstate, RegisterVcpuInfo,
    RunstateInfo,
};
use xen_abi::version::FeatureInfo;
use xen_abi::{GuestHandle, event, grant, memory, sched, version};
use zerocopy::IntoBytes;

mod about;
mod balloon;
mod codes;
mod grants;
mod mappings;
mod physmap;
mod pointers;
mod ports;
mod psci;
mod scheduling;
mod vcpu;

const VERSION: i64 = 4 << 16 | 22;
