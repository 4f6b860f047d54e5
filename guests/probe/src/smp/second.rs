//! The other vCPUs: they do what the boot CPU asks of them.
//!
//! Each has a mailbox. With the MMU off there are no exclusive accesses to rely on, so each word
//! has one writer: the boot CPU writes what is asked, the vCPU what has become of it.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;

use crate::gic::{self, gicd};
use crate::{cpu, storm, xen};

/// vCPUs that the set expects.
pub const VCPUS: usize = 4;
/// `PSCI` functions.
pub const CPU_ON: u64 = 0xc400_0003;
const CPU_OFF: u64 = 0x8400_0002;
/// Words of a vCPU's stack.
const STACK: usize = 2048;
/// What no interrupt reads as.
pub const NONE: u64 = 1023;
/// An SGI with which a vCPU wakes the boot CPU.
pub const BACK: u32 = 1;

/// What a vCPU is asked to do, with an argument.
#[derive(Clone, Copy)]
#[repr(u64)]
pub enum Ask {
    /// Its `MPIDR_EL1`.
    Who = 1,
    /// Lets interrupts come: its interface, SGIs, the timer and the upcall.
    Listen,
    /// The interrupt that it has, taken and ended; [`NONE`] for none.
    Take,
    /// Sleeps until it has one.
    Sleep,
    /// [`Ask::Sleep`]; then wakes the boot CPU. The counter when it had read the interrupt's
    /// number is in its mailbox.
    Answer,
    /// The same without sleeping.
    Spin,
    /// Writes to `GICD_SGIR`: 0, or the syndrome of the exception that it took.
    Send,
    /// Reads that register of the distributor.
    Read,
    /// Sleeps until a timer of so many ticks has fired: how late that was, or all ones.
    Timer,
    /// Turns the vCPU of that number on at nowhere in particular.
    TurnOn,
    /// A hypercall `vcpu_op(10)` for itself with the structure at the argument.
    Register,
    /// `evtchn_op(send)` of that port.
    Event,
    /// `sched_op(poll)` for that port, without a timeout.
    Poll,
    /// Waits until the boot CPU is off, and has it go on in [`off_until_revived`].
    Revive,
    /// An SMC with that function and the second argument.
    Smc,
    /// The attack of `storm.rs` of that number, for ever.
    Attack,
    /// So many operations under a lock, and how it waits: see `lock.rs`.
    Lock,
    /// Turns itself off.
    Off,
}

#[repr(C, align(64))]
struct Mail {
    /// Where its stack ends; `start` loads it.
    stack: u64,
    /// The counter at its first instruction, which `start` stores.
    began: u64,
    /// Number of what is asked, what and with what.
    asked: u64,
    what: u64,
    argument: u64,
    second: u64,
    /// Number of what has been done, and the result.
    done: u64,
    result: u64,
    awake: u64,
    context: u64,
}

struct Shared([UnsafeCell<Mail>; VCPUS], UnsafeCell<[[u64; STACK]; VCPUS]>);

// SAFETY: every access is a single volatile read or write, and each word has one writer.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(
    [const {
        UnsafeCell::new(Mail {
            stack: 0,
            began: 0,
            asked: 0,
            what: 0,
            argument: 0,
            second: 0,
            done: 0,
            result: 0,
            awake: 0,
            context: 0,
        })
    }; VCPUS],
    UnsafeCell::new([[0; STACK]; VCPUS]),
);

global_asm!(
    ".globl second_head",
    "second_head:",
    "isb",
    "mrs x1, cntvct_el0",
    "str x1, [x0, #8]",
    "mov x1, #(3 << 20)",
    "msr cpacr_el1, x1",
    "isb",
    "ldr x1, [x0]",
    "mov sp, x1",
    "adrp x1, vectors",
    "add x1, x1, :lo12:vectors",
    "msr vbar_el1, x1",
    "isb",
    "bl probe_second",
    "2: b 2b",
    // The boot CPU goes off, with what a function must keep on its stack, whose end is told at x0.
    ".globl boot_cpu_off",
    "boot_cpu_off:",
    "sub sp, sp, #160",
    "stp x19, x20, [sp]",
    "stp x21, x22, [sp, #16]",
    "stp x23, x24, [sp, #32]",
    "stp x25, x26, [sp, #48]",
    "stp x27, x28, [sp, #64]",
    "stp x29, x30, [sp, #80]",
    "stp d8, d9, [sp, #96]",
    "stp d10, d11, [sp, #112]",
    "stp d12, d13, [sp, #128]",
    "stp d14, d15, [sp, #144]",
    "mov x1, sp",
    "str x1, [x0]",
    "dsb sy",
    "movz w0, #0x8400, lsl #16",
    "movk w0, #2",
    "smc #0",
    "2: b 2b",
    ".globl boot_cpu_on",
    "boot_cpu_on:",
    "mov sp, x0",
    "mov x1, #(3 << 20)",
    "msr cpacr_el1, x1",
    "adrp x1, vectors",
    "add x1, x1, :lo12:vectors",
    "msr vbar_el1, x1",
    "isb",
    "ldp x19, x20, [sp]",
    "ldp x21, x22, [sp, #16]",
    "ldp x23, x24, [sp, #32]",
    "ldp x25, x26, [sp, #48]",
    "ldp x27, x28, [sp, #64]",
    "ldp x29, x30, [sp, #80]",
    "ldp d8, d9, [sp, #96]",
    "ldp d10, d11, [sp, #112]",
    "ldp d12, d13, [sp, #128]",
    "ldp d14, d15, [sp, #144]",
    "add sp, sp, #160",
    "ret",
);

unsafe extern "C" {
    fn second_head();
    fn boot_cpu_off(stack: *mut u64);
    fn boot_cpu_on();
}

fn mail(number: usize) -> *mut Mail {
    SHARED.0[number % VCPUS].get()
}

/// `CPU_ON` of vCPU `number`, whose first instruction is `second_head`; the result.
pub fn turn_on(number: usize) -> i64 {
    let mail = mail(number);
    // SAFETY: the vCPU is off, or the call fails.
    unsafe {
        let stacks = SHARED.1.get().cast::<u64>();
        let end = stacks.add(STACK * (number % VCPUS + 1));
        (&raw mut (*mail).stack).write_volatile(end as u64);
    }
    cpu::smc(
        CPU_ON,
        number as u64,
        second_head as *const () as usize as u64,
        mail as u64,
    )
}

/// The boot CPU goes off, and returns when one that was asked to [`Ask::Revive`] has done it.
pub fn off_until_revived() {
    // SAFETY: what the compiler needs is kept on the stack, which is nobody else's meanwhile.
    unsafe { boot_cpu_off(&raw mut (*mail(0)).stack) };
}

/// Turns the boot CPU on again once it is off.
fn revive() -> u64 {
    while cpu::smc(super::AFFINITY_INFO, 0, 0, 0) != super::IS_OFF {
        make_way();
    }
    // SAFETY: see `Shared`; the boot CPU has written it before it went off.
    let stack = unsafe { (&raw const (*mail(0)).stack).read_volatile() };
    cpu::smc(CPU_ON, 0, boot_cpu_on as *const () as usize as u64, stack) as u64
}

/// The counter at the first instruction of vCPU `number`.
pub fn began(number: usize) -> u64 {
    // SAFETY: see `Shared`.
    unsafe { (&raw const (*mail(number)).began).read_volatile() }
}

/// The counter when vCPU `number` had read the number of what it was asked to wait for.
pub fn awake(number: usize) -> u64 {
    // SAFETY: see `Shared`.
    unsafe { (&raw const (*mail(number)).awake).read_volatile() }
}

/// Asks vCPU `number` for something and does not wait.
pub fn ask(number: usize, what: Ask, argument: u64) {
    ask_two(number, what, argument, 0);
}

/// The same with two arguments.
pub fn ask_two(number: usize, what: Ask, argument: u64, second: u64) {
    let mail = mail(number);
    // SAFETY: see `Shared`; the number comes last.
    unsafe {
        (&raw mut (*mail).what).write_volatile(what as u64);
        (&raw mut (*mail).argument).write_volatile(argument);
        (&raw mut (*mail).second).write_volatile(second);
        let next = (&raw const (*mail).done).read_volatile() + 1;
        asm!("dsb sy", options(nostack, preserves_flags));
        (&raw mut (*mail).asked).write_volatile(next);
    }
}

/// Whether it has done what it was asked for last.
pub fn is_done(number: usize) -> bool {
    let mail = mail(number);
    // SAFETY: see `Shared`.
    unsafe {
        (&raw const (*mail).done).read_volatile() == (&raw const (*mail).asked).read_volatile()
    }
}

/// Waits for that; the result.
pub fn result(number: usize) -> u64 {
    while !is_done(number) {
        make_way();
    }
    // SAFETY: see `Shared`.
    unsafe { (&raw const (*mail(number)).result).read_volatile() }
}

/// [`ask`] and [`result`].
pub fn get(number: usize, what: Ask, argument: u64) -> u64 {
    ask(number, what, argument);
    result(number)
}

/// Lets another vCPU have its turn: `sched_op(yield)`. WFE would do the same, but QEMU takes it for
/// a hint that never traps.
pub fn make_way() {
    xen::call2(xen::nr::SCHED, 0, 0);
}

/// First Rust code of another vCPU.
#[unsafe(no_mangle)]
extern "C" fn probe_second(mail: *mut Mail) -> ! {
    loop {
        // SAFETY: see `Shared`.
        let (asked, what, arguments) = unsafe {
            let asked = (&raw const (*mail).asked).read_volatile();
            if asked == (&raw const (*mail).done).read_volatile() {
                make_way();
                continue;
            }
            (
                asked,
                (&raw const (*mail).what).read_volatile(),
                [
                    (&raw const (*mail).argument).read_volatile(),
                    (&raw const (*mail).second).read_volatile(),
                ],
            )
        };
        if what == Ask::Off as u64 {
            // SAFETY: see `Shared`.
            unsafe { (&raw mut (*mail).done).write_volatile(asked) };
            cpu::smc(CPU_OFF, 0, 0, 0);
        }
        let result = answer(mail, what, arguments);
        // SAFETY: see `Shared`; the number comes last.
        unsafe {
            (&raw mut (*mail).result).write_volatile(result);
            asm!("dsb sy", options(nostack, preserves_flags));
            (&raw mut (*mail).done).write_volatile(asked);
        }
    }
}

fn answer(mail: *mut Mail, what: u64, [argument, more]: [u64; 2]) -> u64 {
    let awake = |wait: fn()| {
        let mut taken = gic::acknowledge();
        while taken == NONE {
            wait();
            taken = gic::acknowledge();
        }
        // SAFETY: see `Shared`.
        unsafe { (&raw mut (*mail).awake).write_volatile(cpu::counter()) };
        gic::end(taken);
        gic::write_distributor(gicd::SGIR, 1 << 16 | BACK);
        taken
    };
    match what {
        w if w == Ask::Who as u64 => cpu::mpidr(),
        w if w == Ask::Listen as u64 => {
            gic::listen();
            0
        }
        w if w == Ask::Take as u64 => gic::take_one(),
        w if w == Ask::Sleep as u64 => loop {
            match gic::take_one() {
                NONE => cpu::sleep(),
                id => break id,
            }
        },
        w if w == Ask::Answer as u64 => awake(cpu::sleep),
        w if w == Ask::Spin as u64 => awake(core::hint::spin_loop),
        w if w == Ask::Send as u64 => gic::send(argument),
        w if w == Ask::Read as u64 => gic::read_distributor(argument).into(),
        w if w == Ask::Smc as u64 => cpu::smc(argument, more, 0, 0) as u64,
        w if w == Ask::Revive as u64 => revive(),
        w if w == Ask::Attack as u64 => storm::attack(argument as usize, false),
        w if w == Ask::Lock as u64 => {
            super::lock::work(argument, more != 0);
            0
        }
        w if w == Ask::Event as u64 => {
            xen::call_with(xen::nr::EVTCHN, 4, &mut { argument as u32 }) as u64
        }
        w if w == Ask::Poll as u64 => poll(argument as u32),
        w if w == Ask::Timer as u64 => {
            let at = cpu::counter() + argument;
            cpu::set_timer(at);
            cpu::set_timer_control(1);
            let mut id = gic::take_one();
            while id == NONE {
                cpu::sleep();
                id = gic::take_one();
            }
            if id == 27 {
                cpu::counter() - at
            } else {
                u64::MAX
            }
        }
        w if w == Ask::TurnOn as u64 => {
            let at = second_head as *const () as usize as u64;
            let other = self::mail(argument as usize) as u64;
            cpu::smc(CPU_ON, argument, at, other) as u64
        }
        w if w == Ask::Register as u64 => {
            let me = cpu::mpidr() & 0xff;
            xen::call3(xen::nr::VCPU, 10, me, argument) as u64
        }
        _ => u64::MAX,
    }
}

/// `sched_op(poll)` for one port.
fn poll(mut port: u32) -> u64 {
    // `struct sched_poll`: where the ports are, how many, and no timeout.
    let mut poll = [&raw mut port as u64, 1, 0];
    xen::call_with(xen::nr::SCHED, 3, &mut poll) as u64
}
