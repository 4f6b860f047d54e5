//! Return codes: xen_version, hvm_op, vcpu_op, sched_op, console_io, vm_assist, PSCI and the rest.

use crate::cpu::{hvc0, smc};
use crate::page::{self, Use};
use crate::report::Report;
use crate::xen::{NOBODY, SELF, call_with, call2, call3, errno, nr};

/// A pointer outside any RAM.
const WILD: u64 = 0x0100_0000;

/// `xen_hvm_param`.
#[repr(C)]
struct HvmParam {
    domain: u16,
    pad: u16,
    index: u32,
    value: u64,
}

/// `vcpu_register_vcpu_info`.
#[repr(C)]
struct VcpuInfo {
    frame: u64,
    offset: u32,
    pad: u32,
}

/// Runs the set.
pub fn run(report: &mut Report) {
    version(report);
    hvm(report);
    vcpu(report);
    small_ones(report);
    others(report);
    psci(report);
    registers(report);
}

fn version(report: &mut Report) {
    let version = call2(nr::VERSION, 0, 0);
    report.check(
        "abi",
        "version",
        version >> 16 == 4,
        format_args!("got {}.{}", version >> 16, version & 0xffff),
    );
    let mut extra = [0xffu8; 16];
    report.equal(
        "abi",
        "extraversion",
        call_with(nr::VERSION, 1, &mut extra),
        0,
    );
    report.check(
        "abi",
        "extraversion-ends",
        extra.contains(&0),
        format_args!("{} bytes", extra.len()),
    );
    let mut capabilities = [0xffu8; 1024];
    report.equal(
        "abi",
        "capabilities",
        call_with(nr::VERSION, 3, &mut capabilities),
        0,
    );
    let text = capabilities
        .split(|&byte| byte == 0)
        .next()
        .unwrap_or_default();
    let text = core::str::from_utf8(text).unwrap_or("not UTF-8");
    report.check(
        "abi",
        "capabilities-text",
        text.contains("xen-3.0-aarch64"),
        format_args!("got {text}"),
    );
    let mut features = [0u32, 0];
    report.equal(
        "abi",
        "get-features",
        call_with(nr::VERSION, 6, &mut features),
        0,
    );
    // Bit 18 says that VCPUOP 14 works: either way is allowed. Not direct-mapped.
    report.check(
        "abi",
        "features",
        features[1] & !(1 << 18) == 0x0001_6005,
        format_args!("got {:#x}", features[1]),
    );
    let mut next = [1u32, 0];
    report.equal(
        "abi",
        "get-features-index-1",
        call_with(nr::VERSION, 6, &mut next),
        errno::INVAL,
    );
    report.equal("abi", "pagesize", call2(nr::VERSION, 7, 0), 4096);
    report.equal(
        "abi",
        "pagesize-argument",
        call2(nr::VERSION, 7, WILD),
        errno::INVAL,
    );
    report.equal(
        "abi",
        "version-unknown",
        call2(nr::VERSION, 99, 0),
        errno::NOSYS,
    );
}

fn hvm(report: &mut Report) {
    let get = |report: &mut Report, name: &str, domain: u16, index: u32, want: i64| {
        let mut param = HvmParam {
            domain,
            pad: 0,
            index,
            value: 0,
        };
        report.equal("abi", name, call_with(nr::HVM, 1, &mut param), want);
        param.value
    };
    get(report, "hvm-get-callback", SELF, 0, 0);
    let store = get(report, "hvm-get-store-pfn", SELF, 1, 0);
    get(report, "hvm-get-store-evtchn", SELF, 2, 0);
    let ring = get(report, "hvm-get-console-pfn", SELF, 17, 0);
    let port = get(report, "hvm-get-console-evtchn", SELF, 18, 0);
    report.check(
        "abi",
        "console-is-there",
        ring != 0 && port != 0,
        format_args!("gfn {ring:#x} port {port}, xenstore gfn {store:#x}"),
    );
    get(report, "hvm-get-monitor", SELF, 28, errno::PERM);
    get(report, "hvm-get-5", SELF, 5, errno::INVAL);
    get(report, "hvm-get-4000", SELF, 4000, errno::INVAL);
    get(report, "hvm-get-nobody", NOBODY, 0, errno::SRCH);
    for (name, index, want) in [
        ("hvm-set-0", 0, errno::PERM),
        ("hvm-set-17", 17, errno::PERM),
        ("hvm-set-5", 5, errno::INVAL),
    ] {
        let mut param = HvmParam {
            domain: SELF,
            pad: 0,
            index,
            value: 1,
        };
        report.equal("abi", name, call_with(nr::HVM, 0, &mut param), want);
    }
    report.equal("abi", "hvm-unknown", call2(nr::HVM, 99, WILD), errno::NOSYS);
}

fn vcpu(report: &mut Report) {
    let register = |vcpu: u64, frame: u64, offset: u32| {
        let mut info = VcpuInfo {
            frame,
            offset,
            pad: 0,
        };
        call3(nr::VCPU, 10, vcpu, core::ptr::from_mut(&mut info) as u64)
    };
    let frame = page::frame(Use::Vcpu);
    report.equal(
        "abi",
        "vcpu-info-no-vcpu",
        register(9, frame, 0),
        errno::NOENT,
    );
    report.equal(
        "abi",
        "vcpu-info-across-page",
        register(0, frame, 4056),
        errno::NXIO,
    );
    report.equal(
        "abi",
        "vcpu-info-unaligned",
        register(0, frame, 4),
        errno::NXIO,
    );
    report.equal(
        "abi",
        "vcpu-info-no-ram",
        register(0, WILD >> 12, 0),
        errno::INVAL,
    );
    report.equal("abi", "vcpu-info", register(0, frame, 64), 0);
    let (pending, selector) = (page::read_byte(Use::Vcpu, 64), page::read(Use::Vcpu, 72));
    report.check(
        "abi",
        "vcpu-info-upcall",
        pending == 1 && selector == u64::MAX,
        format_args!("pending {pending} selector {selector:#x}"),
    );
    report.equal(
        "abi",
        "vcpu-info-again",
        register(0, frame, 64),
        errno::BUSY,
    );
    report.equal(
        "abi",
        "vcpu-unknown",
        call3(nr::VCPU, 0, 0, 0),
        errno::INVAL,
    );
    report.equal(
        "abi",
        "vcpu-unknown-no-vcpu",
        call3(nr::VCPU, 0, 9, 0),
        errno::NOENT,
    );
    page::write(Use::Vcpu, 1024, u64::MAX);
    let mut area = page::address(Use::Vcpu) + 1024;
    let got = call3(nr::VCPU, 5, 0, core::ptr::from_mut(&mut area) as u64);
    report.equal("abi", "runstate", got, 0);
    let state = page::read(Use::Vcpu, 1024) & 0xffff_ffff;
    report.check(
        "abi",
        "runstate-running",
        state == 0,
        format_args!("state {state}"),
    );
    report.equal(
        "abi",
        "runstate-wild",
        call3(nr::VCPU, 5, 0, WILD),
        errno::FAULT,
    );
}

fn small_ones(report: &mut Report) {
    report.equal("abi", "sched-yield", call2(nr::SCHED, 0, 0), 0);
    report.equal(
        "abi",
        "sched-shutdown-wild",
        call2(nr::SCHED, 2, WILD),
        errno::FAULT,
    );
    report.equal(
        "abi",
        "sched-unknown",
        call2(nr::SCHED, 99, WILD),
        errno::NOSYS,
    );
    report.equal(
        "abi",
        "console-write-nothing",
        call3(nr::CONSOLE, 0, 0, WILD),
        0,
    );
    report.equal(
        "abi",
        "console-unknown",
        call3(nr::CONSOLE, 99, 0, WILD),
        errno::NOSYS,
    );
    report.equal("abi", "vm-assist-enable", call2(nr::VM_ASSIST, 0, 5), 0);
    report.equal("abi", "vm-assist-disable", call2(nr::VM_ASSIST, 1, 5), 0);
    report.equal(
        "abi",
        "vm-assist-type-4",
        call2(nr::VM_ASSIST, 0, 4),
        errno::INVAL,
    );
    report.equal(
        "abi",
        "vm-assist-unknown",
        call2(nr::VM_ASSIST, 9, 5),
        errno::NOSYS,
    );
}

/// Hypercalls that a guest without privilege does not have.
fn others(report: &mut Report) {
    let none = [0u64; 16];
    for number in [7, 35, 36] {
        let got = call2(number, none.as_ptr() as u64, 0);
        let pass = got == errno::PERM || got == errno::ACCES;
        report.check(
            "abi",
            "privileged",
            pass,
            format_args!("{number}: got {got}"),
        );
    }
    for number in [2, 9, 16, 19, 27, 33, 37, 39, 41] {
        let got = call2(number, none.as_ptr() as u64, 0);
        report.check(
            "abi",
            "not-offered",
            got == errno::NOSYS,
            format_args!("{number}: got {got}"),
        );
    }
}

fn psci(report: &mut Report) {
    report.equal("abi", "psci-version", smc(0x8400_0000, 0, 0, 0), 0x1_0001);
    report.equal(
        "abi",
        "psci-version-hvc",
        hvc0(0x8400_0000, 0, 0, 0),
        0x1_0001,
    );
    report.equal("abi", "psci-migrate-type", smc(0x8400_0006, 0, 0, 0), 2);
    for function in [
        0x8400_0000,
        0x8400_0002,
        0xc400_0003,
        0xc400_0004,
        0x8400_0006,
        0x8400_0008,
        0x8400_0009,
        0x8400_000a,
    ] {
        let got = smc(0x8400_000a, function, 0, 0) as i32;
        report.check(
            "abi",
            "psci-features",
            got == 0,
            format_args!("{function:#x}: got {got}"),
        );
    }
    report.equal(
        "abi",
        "psci-features-unknown",
        i64::from(smc(0x8400_000a, 0x8400_0123, 0, 0) as i32),
        -1,
    );
    report.equal(
        "abi",
        "psci-affinity-on",
        i64::from(smc(0xc400_0004, 0, 0, 0) as i32),
        0,
    );
    // PSCI says invalid parameters; Xen says off.
    let nobody = smc(0xc400_0004, 0xff, 0, 0) as i32;
    report.check(
        "abi",
        "psci-affinity-nobody",
        nobody == 1 || nobody == -2,
        format_args!("got {nobody}"),
    );
    report.equal(
        "abi",
        "psci-affinity-level",
        i64::from(smc(0xc400_0004, 0, 9, 0) as i32),
        -2,
    );
    report.equal(
        "abi",
        "psci-cpu-on-nobody",
        i64::from(smc(0xc400_0003, 0xff, page::address(Use::Vcpu), 0) as i32),
        -2,
    );
    report.equal(
        "abi",
        "psci-cpu-on-self",
        i64::from(smc(0xc400_0003, 0, page::address(Use::Vcpu), 0) as i32),
        -4,
    );
    report.equal(
        "abi",
        "psci-unknown",
        i64::from(smc(0x8400_0123, 0, 0, 0) as i32),
        -1,
    );
}

/// A hypercall changes x0 and nothing else: arguments, x16 and all other registers come back as
/// they were.
fn registers(report: &mut Report) {
    let mut after = [0u64; 31];
    // SAFETY: xen_version(0) writes no memory; every register that is changed is saved or declared.
    unsafe {
        core::arch::asm!(
            "stp x18, x19, [sp, #-32]!",
            "stp x29, x9, [sp, #16]",
            "mov x0, #0", "mov x1, #0x101", "mov x2, #0x102", "mov x3, #0x103", "mov x4, #0x104", "mov x5, #0x105",
            "mov x6, #0x106", "mov x7, #0x107", "mov x8, #0x108", "mov x10, #0x10a", "mov x11, #0x10b",
            "mov x12, #0x10c", "mov x13, #0x10d", "mov x14, #0x10e", "mov x15, #0x10f", "mov x17, #0x111", "mov x18, #0x112",
            "mov x29, #0x11d", "mov x30, #0x11e", "mov x16, #17",
            "cmp x1, #0x101",
            "hvc #0xea1",
            "cset x19, ne",
            "stp x0, x1, [x9]", "stp x2, x3, [x9, #16]", "stp x4, x5, [x9, #32]", "stp x6, x7, [x9, #48]",
            "str x8, [x9, #64]", "str x10, [x9, #80]", "str x11, [x9, #88]", "stp x12, x13, [x9, #96]", "stp x14, x15, [x9, #112]",
            "stp x16, x17, [x9, #128]", "stp x18, x19, [x9, #144]", "str x29, [x9, #232]", "str x30, [x9, #240]",
            "ldp x29, x9, [sp, #16]",
            "ldp x18, x19, [sp], #32",
            in("x9") after.as_mut_ptr(),
            clobber_abi("C"),
        );
    }
    let kept = |n: usize| after.get(n).is_some_and(|&value| value == 0x100 + n as u64);
    for n in [
        1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 17, 18, 29, 30,
    ] {
        if !kept(n) {
            report.check(
                "abi",
                "register-kept",
                false,
                format_args!(
                    "x{n} came back as {:#x}",
                    after.get(n).copied().unwrap_or(0)
                ),
            );
        }
    }
    report.equal("abi", "x16-kept", after[16] as i64, 17);
    report.equal("abi", "flags-kept", after[19] as i64, 0);
    report.check(
        "abi",
        "registers-kept",
        (1..9).chain(10..16).chain([17, 18, 29, 30]).all(kept),
        format_args!("x1-x8, x10-x15, x17, x18, x29, x30"),
    );
}
