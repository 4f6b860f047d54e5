//! Every hypercall and sub-operation of the Xen ABI on Arm, one row each.
//!
//! Not consulted at run time: the dispatcher is a match. The tests hold the rows against the
//! dispatcher, and `coverage_markdown` writes the table of SUPPORT.md from them.

use xen_abi::Errno::{self, Ebusy, Einval, Enosys, Eopnotsupp, Eperm};
use xen_abi::{assist, console, event, grant, hvm, memory, number, sched, vcpu, version};

/// What a guest gets from an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It works as in Xen, or as the list of differences in SUPPORT.md says.
    Done,
    /// It works as far as the text says.
    Partly(&'static str),
    /// It is refused with this error, as Xen does.
    Error(Errno),
    /// Xen has it and this hypervisor will; until then it is refused with this error, and guests have a way around.
    Later(Errno),
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Hypercall number (x16).
    pub number: u64,
    /// Name of the hypercall.
    pub name: &'static str,
    /// Sub-operation (x0, in vcpu_op and the like the `cmd`), where the hypercall has any.
    pub cmd: Option<u64>,
    /// Name of the sub-operation, empty where there is none.
    pub cmd_name: &'static str,
    /// What the guest gets.
    pub status: Status,
}

const fn row(
    number: u64,
    name: &'static str,
    cmd: u64,
    cmd_name: &'static str,
    status: Status,
) -> Row {
    Row {
        number,
        name,
        cmd: Some(cmd),
        cmd_name,
        status,
    }
}

const fn whole(number: u64, name: &'static str, status: Status) -> Row {
    Row {
        number,
        name,
        cmd: None,
        cmd_name: "",
        status,
    }
}

const fn mem(cmd: u64, name: &'static str, status: Status) -> Row {
    row(number::MEMORY_OP, "memory_op", cmd, name, status)
}

const fn ver(cmd: u64, name: &'static str, status: Status) -> Row {
    row(number::XEN_VERSION, "xen_version", cmd, name, status)
}

const fn gnt(cmd: u64, name: &'static str, status: Status) -> Row {
    row(number::GRANT_TABLE_OP, "grant_table_op", cmd, name, status)
}

const fn sch(cmd: u64, name: &'static str, status: Status) -> Row {
    row(number::SCHED_OP, "sched_op", cmd, name, status)
}

const fn evt(cmd: u64, name: &'static str, status: Status) -> Row {
    row(
        number::EVENT_CHANNEL_OP,
        "event_channel_op",
        cmd,
        name,
        status,
    )
}

use Status::{Done, Error, Later, Partly};

/// The rows, ascending by number and sub-operation.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    whole(number::SCHED_OP_COMPAT, "sched_op_compat", Error(Enosys)),
    whole(number::PLATFORM_OP, "platform_op", Error(Eperm)),

    mem(memory::INCREASE_RESERVATION, "increase_reservation", Partly("no extent is done")),
    mem(memory::DECREASE_RESERVATION, "decrease_reservation", Done),
    mem(memory::MAXIMUM_RAM_PAGE, "maximum_ram_page", Done),
    mem(memory::CURRENT_RESERVATION, "current_reservation", Done),
    mem(memory::MAXIMUM_RESERVATION, "maximum_reservation", Done),
    mem(memory::MACHPHYS_MFN_LIST, "machphys_mfn_list", Error(Enosys)),
    mem(memory::POPULATE_PHYSMAP, "populate_physmap", Done),
    mem(memory::ADD_TO_PHYSMAP, "add_to_physmap", Done),
    mem(memory::MEMORY_MAP, "memory_map", Error(Enosys)),
    mem(memory::MACHINE_MEMORY_MAP, "machine_memory_map", Error(Enosys)),
    mem(memory::EXCHANGE, "exchange", Error(Eopnotsupp)),
    mem(memory::MACHPHYS_MAPPING, "machphys_mapping", Error(Enosys)),
    mem(memory::SET_MEMORY_MAP, "set_memory_map", Error(Enosys)),
    mem(memory::MAXIMUM_GPFN, "maximum_gpfn", Done),
    mem(memory::REMOVE_FROM_PHYSMAP, "remove_from_physmap", Done),
    mem(memory::SET_POD_TARGET, "set_pod_target", Error(Enosys)),
    mem(memory::GET_POD_TARGET, "get_pod_target", Error(Enosys)),
    mem(memory::GET_SHARING_FREED_PAGES, "get_sharing_freed_pages", Done),
    mem(memory::GET_SHARING_SHARED_PAGES, "get_sharing_shared_pages", Done),
    mem(memory::PAGING_OP, "paging_op", Error(Enosys)),
    mem(memory::ACCESS_OP, "access_op", Error(Enosys)),
    mem(memory::SHARING_OP, "sharing_op", Error(Enosys)),
    mem(memory::ADD_TO_PHYSMAP_BATCH, "add_to_physmap_batch", Done),
    mem(memory::CLAIM_PAGES, "claim_pages", Error(Eperm)),
    mem(memory::MACHPHYS_COMPAT_MFN_LIST, "machphys_compat_mfn_list", Error(Enosys)),
    mem(memory::GET_VNUMAINFO, "get_vnumainfo", Error(Eopnotsupp)),
    mem(memory::RESERVED_DEVICE_MEMORY_MAP, "reserved_device_memory_map", Done),
    mem(memory::ACQUIRE_RESOURCE, "acquire_resource", Later(Eperm)),

    whole(number::MULTICALL, "multicall", Done),
    whole(number::EVENT_CHANNEL_OP_COMPAT, "event_channel_op_compat", Error(Enosys)),

    ver(version::VERSION, "version", Done),
    ver(version::EXTRAVERSION, "extraversion", Done),
    ver(version::COMPILE_INFO, "compile_info", Done),
    ver(version::CAPABILITIES, "capabilities", Done),
    ver(version::CHANGESET, "changeset", Done),
    ver(version::PLATFORM_PARAMETERS, "platform_parameters", Done),
    ver(version::GET_FEATURES, "get_features", Done),
    ver(version::PAGESIZE, "pagesize", Done),
    ver(version::GUEST_HANDLE, "guest_handle", Done),
    ver(version::COMMANDLINE, "commandline", Done),
    ver(version::BUILD_ID, "build_id", Error(Eperm)),
    ver(version::EXTRAVERSION2, "extraversion2", Done),
    ver(version::CAPABILITIES2, "capabilities2", Done),
    ver(version::CHANGESET2, "changeset2", Done),
    ver(version::COMMANDLINE2, "commandline2", Error(Eperm)),

    row(number::CONSOLE_IO, "console_io", console::WRITE, "write", Done),
    row(number::CONSOLE_IO, "console_io", console::READ, "read", Done),

    whole(number::PHYSDEV_OP_COMPAT, "physdev_op_compat", Error(Enosys)),

    gnt(grant::MAP_GRANT_REF, "map_grant_ref", Partly("grants of the caller itself")),
    gnt(grant::UNMAP_GRANT_REF, "unmap_grant_ref", Done),
    gnt(grant::SETUP_TABLE, "setup_table", Done),
    gnt(grant::DUMP_TABLE, "dump_table", Error(Enosys)),
    gnt(grant::TRANSFER, "transfer", Error(Eopnotsupp)),
    gnt(grant::COPY, "copy", Partly("frames and grants of the caller itself")),
    gnt(grant::QUERY_SIZE, "query_size", Done),
    gnt(grant::UNMAP_AND_REPLACE, "unmap_and_replace", Done),
    gnt(grant::SET_VERSION, "set_version", Done),
    gnt(grant::GET_STATUS_FRAMES, "get_status_frames", Done),
    gnt(grant::GET_VERSION, "get_version", Done),
    gnt(grant::SWAP_GRANT_REF, "swap_grant_ref", Done),
    gnt(grant::CACHE_FLUSH, "cache_flush", Partly("direct-mapped domains, own RAM")),

    row(number::VM_ASSIST, "vm_assist", assist::CMD_ENABLE, "enable", Done),
    row(number::VM_ASSIST, "vm_assist", assist::CMD_DISABLE, "disable", Done),

    row(number::VCPU_OP, "vcpu_op", 0, "initialise", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", 1, "up", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", 2, "down", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", 3, "is_up", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", 4, "get_runstate_info", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", vcpu::REGISTER_RUNSTATE_MEMORY_AREA, "register_runstate_memory_area", Done),
    row(number::VCPU_OP, "vcpu_op", 6, "set_periodic_timer", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", 7, "stop_periodic_timer", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", 8, "set_singleshot_timer", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", 9, "stop_singleshot_timer", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", vcpu::REGISTER_VCPU_INFO, "register_vcpu_info", Done),
    row(number::VCPU_OP, "vcpu_op", 11, "send_nmi", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", 12, "get_physid", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", 13, "register_vcpu_time_memory_area", Error(Einval)),
    row(number::VCPU_OP, "vcpu_op", vcpu::REGISTER_RUNSTATE_PHYS_AREA, "register_runstate_phys_area", Done),
    row(number::VCPU_OP, "vcpu_op", 15, "register_vcpu_time_phys_area", Error(Einval)),

    whole(number::XSM_OP, "xsm_op", Error(Enosys)),

    sch(sched::YIELD, "yield", Done),
    sch(sched::BLOCK, "block", Done),
    sch(sched::SHUTDOWN, "shutdown", Done),
    sch(sched::POLL, "poll", Done),
    sch(sched::REMOTE_SHUTDOWN, "remote_shutdown", Error(Eperm)),
    sch(sched::SHUTDOWN_CODE, "shutdown_code", Done),
    sch(sched::WATCHDOG, "watchdog", Done),
    sch(sched::PIN_OVERRIDE, "pin_override", Error(Eperm)),

    evt(event::BIND_INTERDOMAIN, "bind_interdomain", Partly("with the caller itself")),
    evt(event::BIND_VIRQ, "bind_virq", Done),
    evt(event::BIND_PIRQ, "bind_pirq", Error(Eopnotsupp)),
    evt(event::CLOSE, "close", Done),
    evt(event::SEND, "send", Done),
    evt(event::STATUS, "status", Done),
    evt(event::ALLOC_UNBOUND, "alloc_unbound", Done),
    evt(event::BIND_IPI, "bind_ipi", Done),
    evt(event::BIND_VCPU, "bind_vcpu", Done),
    evt(event::UNMASK, "unmask", Done),
    evt(event::RESET, "reset", Done),
    evt(event::INIT_CONTROL, "init_control", Later(Enosys)),
    evt(event::EXPAND_ARRAY, "expand_array", Later(Eopnotsupp)),
    evt(event::SET_PRIORITY, "set_priority", Later(Enosys)),
    evt(event::RESET_CONT, "reset_cont", Error(Ebusy)),

    whole(number::PHYSDEV_OP, "physdev_op", Error(Enosys)),

    row(number::HVM_OP, "hvm_op", hvm::SET_PARAM, "set_param", Done),
    row(number::HVM_OP, "hvm_op", hvm::GET_PARAM, "get_param", Done),
    row(number::HVM_OP, "hvm_op", hvm::GUEST_REQUEST_VM_EVENT, "guest_request_vm_event", Done),

    whole(number::SYSCTL, "sysctl", Error(Eperm)),
    whole(number::DOMCTL, "domctl", Error(Eperm)),
    whole(number::ARGO_OP, "argo_op", Error(Enosys)),
    whole(number::DM_OP, "dm_op", Error(Enosys)),
    whole(number::HYPFS_OP, "hypfs_op", Error(Eperm)),
];
