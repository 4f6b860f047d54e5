//! Hypercalls, by the convention of Xen's public/arch-arm.h.

use core::arch::asm;

/// Hypercall numbers.
pub mod nr {
    /// `memory_op`.
    pub const MEMORY: u64 = 12;
    /// `multicall`.
    pub const MULTICALL: u64 = 13;
    /// `xen_version`.
    pub const VERSION: u64 = 17;
    /// `console_io`.
    pub const CONSOLE: u64 = 18;
    /// `grant_table_op`.
    pub const GRANT: u64 = 20;
    /// `vm_assist`.
    pub const VM_ASSIST: u64 = 21;
    /// `vcpu_op`.
    pub const VCPU: u64 = 24;
    /// `sched_op`.
    pub const SCHED: u64 = 29;
    /// `event_channel_op`.
    pub const EVTCHN: u64 = 32;
    /// `hvm_op`.
    pub const HVM: u64 = 34;
}

/// `DOMID_SELF`.
pub const SELF: u16 = 0x7ff0;
/// A domain that no domains file of ours makes.
pub const NOBODY: u16 = 77;

/// Error numbers as results.
pub mod errno {
    /// `-EPERM`.
    pub const PERM: i64 = -1;
    /// `-ENOENT`.
    pub const NOENT: i64 = -2;
    /// `-ESRCH`.
    pub const SRCH: i64 = -3;
    /// `-ENXIO`.
    pub const NXIO: i64 = -6;
    /// `-EACCES`.
    pub const ACCES: i64 = -13;
    /// `-EFAULT`.
    pub const FAULT: i64 = -14;
    /// `-EBUSY`.
    pub const BUSY: i64 = -16;
    /// `-EINVAL`.
    pub const INVAL: i64 = -22;
    /// `-EDOM`.
    pub const DOM: i64 = -33;
    /// `-ENOSYS`.
    pub const NOSYS: i64 = -38;
    /// `-EOPNOTSUPP`.
    pub const OPNOTSUPP: i64 = -95;
}

/// Hypercall `number` with `x7`, which seL4's stock kernel looks at. Pointers among the arguments
/// must be to memory that the call may write, or wild on purpose.
pub fn call_x7(number: u64, arguments: [u64; 5], x7: u64) -> i64 {
    let [a, b, c, d, e] = arguments;
    let result: i64;
    // SAFETY: the hypervisor writes at most to what the arguments point to; argument registers and
    // x16 may change.
    unsafe {
        asm!("hvc #0xea1", inlateout("x16") number => _, inlateout("x0") a => result, inlateout("x1") b => _, inlateout("x2") c => _,
             inlateout("x3") d => _, inlateout("x4") e => _, inlateout("x7") x7 => _, options(nostack));
    }
    result
}

core::arch::global_asm!(
    // What every hypercall of Linux looks like (its stubs set x16 right before the HVC).
    ".global probe_xen_version",
    "probe_xen_version:",
    "bti c",
    "movz x16, #17",
    "hvc #0xea1",
    "ret",
);

unsafe extern "C" {
    fn probe_xen_version(
        command: u64,
        argument: u64,
        c: u64,
        d: u64,
        e: u64,
        f: u64,
        g: u64,
        x7: u64,
    ) -> i64;
}

/// Whether this runs on Zazen: `xen_version(extraversion)` says it.
pub fn is_zazen() -> bool {
    let mut extra = [0u8; 16];
    call2(nr::VERSION, 1, extra.as_mut_ptr() as u64);
    extra.windows(5).any(|name| name == b"zazen")
}

/// `xen_version(version)` by a stub of the shape that Linux has, with x7 = 0.
pub fn version_by_stub() -> i64 {
    // SAFETY: the command takes no pointer; the stub keeps to the procedure call standard.
    unsafe { probe_xen_version(0, 0, 0, 0, 0, 0, 0, 0) }
}

/// Hypercall `number` with up to two arguments and x7 = 0.
pub fn call2(number: u64, a: u64, b: u64) -> i64 {
    call_x7(number, [a, b, 0, 0, 0], 0)
}

/// Hypercall `number` with three arguments and x7 = 0.
pub fn call3(number: u64, a: u64, b: u64, c: u64) -> i64 {
    call_x7(number, [a, b, c, 0, 0], 0)
}

/// Hypercall whose second argument points to `argument`, which it may change.
pub fn call_with<T>(number: u64, command: u64, argument: &mut T) -> i64 {
    call2(number, command, core::ptr::from_mut(argument) as u64)
}
