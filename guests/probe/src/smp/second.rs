//! The other vCPUs: they do what the boot CPU asks of them.
//!
//! Each has a mailbox. With the MMU off there are no exclusive accesses to rely on, so each word
//! has one writer: the boot CPU writes what is asked, the vCPU what has become of it.

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;

use crate::gic::{self, gicd};
use crate::{cpu, xen};

/// vCPUs that the set expects.
pub const VCPUS: usize = 4;
/// `PSCI` functions.
pub const CPU_ON: u64 = 0xc400_0003;
const CPU_OFF: u64 = 0x8400_0002;
/// Words of a vCPU's stack.
const STACK: usize = 1024;
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
    /// [`Ask::Sleep`]; then wakes the boot CPU. The counter at which it was awake is in its
    /// mailbox.
    Answer,
    /// The same without sleeping.
    Spin,
    /// Writes to `GICD_SGIR`.
    Send,
    /// Sleeps until a timer of so many ticks has fired: how late that was, or all ones.
    Timer,
    /// Turns the vCPU of that number on at nowhere in particular.
    TurnOn,
    /// A hypercall `vcpu_op(10)` for itself with the structure at the argument.
    Register,
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
);

unsafe extern "C" {
    fn second_head();
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

/// The counter at the first instruction of vCPU `number`.
pub fn began(number: usize) -> u64 {
    // SAFETY: see `Shared`.
    unsafe { (&raw const (*mail(number)).began).read_volatile() }
}

/// The counter when vCPU `number` was awake last.
pub fn awake(number: usize) -> u64 {
    // SAFETY: see `Shared`.
    unsafe { (&raw const (*mail(number)).awake).read_volatile() }
}

/// Asks vCPU `number` for something and does not wait.
pub fn ask(number: usize, what: Ask, argument: u64) {
    let mail = mail(number);
    // SAFETY: see `Shared`; the number comes last.
    unsafe {
        (&raw mut (*mail).what).write_volatile(what as u64);
        (&raw mut (*mail).argument).write_volatile(argument);
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

/// Lets another vCPU have its turn: WFE never waits.
pub fn make_way() {
    // SAFETY: waiting changes nothing.
    unsafe {
        asm!(
            "sevl",
            "wfe",
            "wfe",
            options(nomem, nostack, preserves_flags)
        )
    };
}

/// First Rust code of another vCPU.
#[unsafe(no_mangle)]
extern "C" fn probe_second(mail: *mut Mail) -> ! {
    loop {
        // SAFETY: see `Shared`.
        let (asked, what, argument) = unsafe {
            let asked = (&raw const (*mail).asked).read_volatile();
            if asked == (&raw const (*mail).done).read_volatile() {
                make_way();
                continue;
            }
            (
                asked,
                (&raw const (*mail).what).read_volatile(),
                (&raw const (*mail).argument).read_volatile(),
            )
        };
        if what == Ask::Off as u64 {
            // SAFETY: see `Shared`.
            unsafe { (&raw mut (*mail).done).write_volatile(asked) };
            cpu::smc(CPU_OFF, 0, 0, 0);
        }
        let result = answer(mail, what, argument);
        // SAFETY: see `Shared`; the number comes last.
        unsafe {
            (&raw mut (*mail).result).write_volatile(result);
            asm!("dsb sy", options(nostack, preserves_flags));
            (&raw mut (*mail).done).write_volatile(asked);
        }
    }
}

fn answer(mail: *mut Mail, what: u64, argument: u64) -> u64 {
    let awake = |wait: fn()| {
        let mut id = gic::take_one();
        while id == NONE {
            wait();
            // SAFETY: see `Shared`.
            unsafe { (&raw mut (*mail).awake).write_volatile(cpu::counter()) };
            id = gic::take_one();
        }
        gic::write_distributor(gicd::SGIR, 1 << 16 | BACK);
        id
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
        w if w == Ask::Send as u64 => {
            gic::write_distributor(gicd::SGIR, argument as u32);
            0
        }
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
