//! memory_op (public/memory.h): ballooning, the physmap, and questions about sizes.
//!
//! x0 holds the operation in bits 5:0 and, while a long one is being continued, the number of
//! extents done in bits 63:6; x1 points to the argument. Operations on extents answer with a count
//! and never with an error: whatever goes wrong, the extents before it are done and stay so.
//!
//! One call does a bounded amount of work (`reservation`), then the guest executes its HVC again
//! with the progress in x0, and takes its interrupts between (BL-10).

mod exchange;
pub(super) mod failure;
mod physmap;
mod queries;
mod reservation;

use hv_types::Gva;
use xen_abi::Errno::{self, Enosys, Eopnotsupp, Eperm};
use xen_abi::memory;
use xen_abi::memory::{CMD_MASK, EXTENT_SHIFT};

use super::outcome::Outcome;
use super::row::Status::{Done, Error, Later, Partly};
use super::row::family;
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;

family! {
    /// memory_op(cmd, arg).
    MEMORY_OP "memory_op"
    fn memory_op<H: VcpuHost>(domain: &mut Domain<'_>, host: &mut H, args: [u64; 5]);
    before {
        let [cmd, arg, ..] = args;
        let (op, start) = (cmd & CMD_MASK, cmd >> EXTENT_SHIFT);
        let arg = Gva::new(arg);
    }
    match op, else Enosys;
    memory::INCREASE_RESERVATION { "increase_reservation", Partly("no extent is done"), "Adds memory to the guest without saying where. An auto-translated guest, as all are on Arm, uses populate_physmap instead.",
        Outcome::Return(start.cast_signed()) }
    memory::DECREASE_RESERVATION { "decrease_reservation", Done, "Gives frames of the guest's RAM back: the balloon inflates. They become holes in its physical map.",
        reservation::adjust(domain, host, args, op, start) }
    memory::MAXIMUM_RAM_PAGE { "maximum_ram_page", Done, "The highest machine frame of the host; here a constant, because guests see no machine frames.",
        once(start, queries::maximum_ram_page) }
    memory::CURRENT_RESERVATION { "current_reservation", Done, "How many pages of RAM the guest has.",
        once(start, || queries::current_reservation(domain, host, arg)) }
    memory::MAXIMUM_RESERVATION { "maximum_reservation", Done, "How many pages of RAM the guest may have.",
        once(start, || queries::maximum_reservation(domain, host, arg)) }
    memory::MACHPHYS_MFN_LIST { "machphys_mfn_list", Error(Enosys), "Tables from machine to guest frames, which Arm does not have." }
    memory::POPULATE_PHYSMAP { "populate_physmap", Done, "Fills holes of the guest's physical map with memory: the balloon deflates.",
        reservation::adjust(domain, host, args, op, start) }
    memory::ADD_TO_PHYSMAP { "add_to_physmap", Done, "Puts one special page (shared_info, a grant frame) at a guest frame.",
        physmap::add(domain, host, start, arg) }
    memory::MEMORY_MAP { "memory_map", Error(Enosys), "The e820 map of a PV guest, which Arm does not have." }
    memory::MACHINE_MEMORY_MAP { "machine_memory_map", Error(Enosys), "The host's e820 map, which Arm does not have." }
    memory::EXCHANGE { "exchange", Error(Eopnotsupp), "Exchanges frames for ones that are contiguous in machine memory.",
        once(start, || exchange::exchange(domain, host, arg)) }
    memory::MACHPHYS_MAPPING { "machphys_mapping", Error(Enosys), "Where the table from machine to guest frames is mapped, which Arm does not have." }
    memory::SET_MEMORY_MAP { "set_memory_map", Error(Enosys), "Sets the e820 map of another domain." }
    memory::MAXIMUM_GPFN { "maximum_gpfn", Done, "The highest guest frame that is in use.",
        once(start, || queries::maximum_gpfn(domain, host, arg)) }
    memory::REMOVE_FROM_PHYSMAP { "remove_from_physmap", Done, "Takes one page out of the guest's physical map.",
        once(start, || physmap::remove(domain, host, arg)) }
    memory::SET_POD_TARGET { "set_pod_target", Error(Enosys), "Populate on demand, which Arm does not have." }
    memory::GET_POD_TARGET { "get_pod_target", Error(Enosys), "Populate on demand, which Arm does not have." }
    memory::GET_SHARING_FREED_PAGES { "get_sharing_freed_pages", Done, "Memory sharing, which Arm does not have.",
        queries::shared_pages(args) }
    memory::GET_SHARING_SHARED_PAGES { "get_sharing_shared_pages", Done, "Memory sharing, which Arm does not have.",
        queries::shared_pages(args) }
    memory::PAGING_OP { "paging_op", Error(Enosys), "Paging guests to disk, which Arm does not have." }
    memory::ACCESS_OP { "access_op", Error(Enosys), "Access rights of pages, for introspection by another domain." }
    memory::SHARING_OP { "sharing_op", Error(Enosys), "Memory sharing, which Arm does not have." }
    memory::ADD_TO_PHYSMAP_BATCH { "add_to_physmap_batch", Done, "Puts a batch of special or foreign pages at guest frames.",
        physmap::add_batch(domain, host, args, start) }
    memory::CLAIM_PAGES { "claim_pages", Error(Eperm), "Sets memory aside for a domain that is being built.",
        once(start, || queries::claim(domain, host, arg)) }
    memory::MACHPHYS_COMPAT_MFN_LIST { "machphys_compat_mfn_list", Error(Enosys), "Tables for 32-bit guests, which Arm does not have." }
    memory::GET_VNUMAINFO { "get_vnumainfo", Error(Eopnotsupp), "The guest's NUMA topology; guests have none.",
        once(start, || queries::topology(domain, host, arg)) }
    memory::RESERVED_DEVICE_MEMORY_MAP { "reserved_device_memory_map", Done, "Memory that devices need, which Arm does not have.",
        once(start, || queries::reserved_memory(domain, host, arg)) }
    memory::ACQUIRE_RESOURCE { "acquire_resource", Later(Eperm), "Maps frames of another domain, such as its grant table.",
        queries::acquire_resource(domain, host, arg) }
}

/// An operation that does not support continuation.
fn once<T: Into<Outcome>>(start: u64, operation: impl FnOnce() -> T) -> Outcome {
    if start == 0 {
        operation().into()
    } else {
        Errno::Einval.into()
    }
}
