//! Guests that ask for as much work as they can: each attack is a row of [`ATTACKS`], chosen by
//! `attack=NAME`.
//!
//! With `vcpus=N` the others up to that number do the same, without a word.
//!
//! An attack says that it begins, then repeats its round for ever and says now and then how many
//! rounds it has had, so whoever reads its lines knows that there was one.

use core::arch::asm;
use core::cell::UnsafeCell;

use crate::gic::{self, gicd};
use crate::page::{self, Use};
use crate::smp::second::{self, Ask};
use crate::xen::{call_with, call2, call3, nr};
use crate::{abi_events, abi_memory, attempt, bench_memory, cpu, println};

/// A hole in Xen's guest layout, below all devices.
const HOLE: u64 = 0x0100_0000;
/// Entries of a multicall.
const ENTRIES: usize = 128;
/// Pages of one ballooning call.
const PAGES: usize = 512;
/// Guests at most, and ports of another one that are tried.
pub const DOMAINS: u16 = 8;
const PORTS: u32 = 16;
/// Reports a second.
const REPORTS: u64 = 4;
/// `sched_op(yield)` and `sched_op(poll)`.
const YIELD: u64 = 0;
const POLL: u64 = 3;
/// SMCCC function of PSCI `PSCI_VERSION`.
const PSCI_VERSION: u64 = 0x8400_0000;

/// What an attack keeps from round to round.
struct Storm {
    frequency: u64,
    rounds: u64,
    /// A port of this guest's own.
    port: u32,
    frames: [u64; PAGES],
}

/// An attack: its name, what makes it ready, and a round.
type Attack = (&'static str, fn(&mut Storm), fn(&mut Storm));

/// Numbers of two that others use.
pub const COMPUTES: u64 = 0;
pub const HYPERCALLS: u64 = 1;

/// Every attack.
const ATTACKS: [Attack; 23] = [
    // No attack of the guest's: beside it each gets a fair share. Its VMM may have one.
    ("computes", nothing, |_| compute()),
    ("hypercalls", nothing, |_| _ = call2(nr::VERSION, 0, 0)),
    ("unknown", nothing, |_| _ = call2(48, 0, 0)),
    ("multicalls", nothing, multicall),
    ("smc", nothing, |_| _ = cpu::smc(PSCI_VERSION, 0, 0, 0)),
    ("console", nothing, |_| console(&FLOOD)),
    ("characters", nothing, |_| console(b"#")),
    ("faults", nothing, read_hole),
    ("undefined", nothing, undefined),
    ("gic", nothing, |_| _ = gic::read_distributor(gicd::TYPER)),
    ("priorities", nothing, set_priorities),
    ("sgis", interrupts, send_sgi),
    ("timer", interrupts, expired_timer),
    ("physical", nothing, expired_physical_timer),
    ("mute", nothing, |_| _ = attempt!("msr cntp_ctl_el0, xzr")),
    ("wakes", interrupts, |storm| sleep(storm.frequency / 50_000)),
    ("ticks", interrupts, |storm| sleep(storm.frequency / 500)),
    ("polls", nothing, |storm| poll(storm.frequency)),
    ("yields", nothing, |_| _ = call2(nr::SCHED, YIELD, 0)),
    ("events", bind, send_event),
    ("rings", bind_to_another, send_event),
    ("balloon", choose_frames, |storm| balloon(&storm.frames)),
    ("restarts", nothing, |_| cpu::reset()),
];

/// Runs the attack of this name on so many vCPUs.
pub fn run(name: &str, vcpus: usize) -> ! {
    let Some(number) = ATTACKS.iter().position(|(known, ..)| *known == name) else {
        println!("storm: there is no attack {name}");
        cpu::power_off()
    };
    for n in 1..vcpus {
        if second::turn_on(n) != 0 {
            println!("storm: vCPU {n} cannot be turned on");
            cpu::power_off()
        }
        second::ask(n, Ask::Attack, number as u64);
    }
    attack(number, true)
}

/// Runs an attack on the vCPU that calls, which says how far it is if it is `told` to.
pub fn attack(number: usize, told: bool) -> ! {
    let (name, prepare, round) = ATTACKS[number % ATTACKS.len()];
    let mut storm = Storm {
        frequency: cpu::frequency(),
        rounds: 0,
        port: 0,
        frames: [0; PAGES],
    };
    prepare(&mut storm);
    if told {
        println!("storm: {name} begins");
    }
    let mut report = cpu::counter();
    loop {
        round(&mut storm);
        storm.rounds += 1;
        if told && cpu::counter() >= report {
            println!("storm: {name} {} rounds", storm.rounds);
            report = cpu::counter() + storm.frequency / REPORTS;
        }
    }
}

fn nothing(_: &mut Storm) {}

/// Never makes an exit again.
fn compute() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

fn interrupts(_: &mut Storm) {
    gic::start();
}

fn read_hole(_: &mut Storm) {
    _ = attempt!("ldr x0, [{}]", in(reg) HOLE);
}

fn undefined(_: &mut Storm) {
    _ = attempt!("hvc #0x1234", in("x7") 0);
}

fn set_priorities(_: &mut Storm) {
    gic::write_distributor(gicd::IPRIORITYR + 4, 0xa0a0_a0a0);
}

fn send_sgi(_: &mut Storm) {
    gic::write_distributor(gicd::SGIR, 2 << 24);
    open_interrupts();
}

fn send_event(storm: &mut Storm) {
    call_with(nr::EVTCHN, 4, &mut storm.port);
}

/// The virtual timer, expired before it is armed.
fn expired_timer(_: &mut Storm) {
    cpu::set_timer(cpu::counter().wrapping_sub(1));
    cpu::set_timer_control(1);
    open_interrupts();
}

/// Takes what is pending.
fn open_interrupts() {
    // SAFETY: interrupts are open only inside, where everything that the handler may change is
    // declared.
    unsafe {
        asm!(
            "msr daifclr, #2",
            "isb",
            "msr daifset, #2",
            clobber_abi("C")
        )
    }
}

/// Sleeps for `ticks`, and takes the timer's interrupt.
pub fn sleep(ticks: u64) {
    cpu::set_timer(cpu::counter() + ticks);
    cpu::set_timer_control(1);
    // SAFETY: waiting changes nothing.
    unsafe { asm!("wfi", options(nomem, nostack)) };
    open_interrupts();
}

/// The physical timer, expired and enabled; where it is not the guest's the accesses are undefined.
fn expired_physical_timer(_: &mut Storm) {
    _ = attempt!("msr cntp_cval_el0, xzr");
    _ = attempt!("msr cntp_ctl_el0, {}", in(reg) 1_u64);
    _ = attempt!("isb");
}

/// 127 characters and a newline.
static FLOOD: [u8; 128] = {
    let mut line = [b'#'; 128];
    line[127] = b'\n';
    line
};

fn console(bytes: &[u8]) {
    call3(nr::CONSOLE, 0, bytes.len() as u64, bytes.as_ptr() as u64);
}

/// `multicall_entry`s: number, result, six arguments.
struct List(UnsafeCell<[[u64; 8]; ENTRIES]>);

// SAFETY: one CPU, and only the hypervisor writes it, during the call.
unsafe impl Sync for List {}

static LIST: List = List(UnsafeCell::new(
    [[nr::VERSION, 0, 0, 0, 0, 0, 0, 0]; ENTRIES],
));

fn multicall(_: &mut Storm) {
    call2(nr::MULTICALL, LIST.0.get() as u64, ENTRIES as u64);
}

/// Sleeps in the hypervisor for 20 microseconds.
fn poll(frequency: u64) {
    // `struct sched_poll`: no ports, and the time in nanoseconds of the system counter.
    let now = u128::from(cpu::counter()) * 1_000_000_000 / u128::from(frequency);
    let mut poll = [0, 0, now as u64 + 20_000];
    call_with(nr::SCHED, POLL, &mut poll);
}

fn bind(storm: &mut Storm) {
    abi_memory::map_shared_info();
    storm.port = abi_events::alloc_unbound();
}

/// Binds to a port of the first guest that has set one aside for this one, as those do that measure
/// ([`abi_events::set_aside`]).
fn bind_to_another(storm: &mut Storm) {
    abi_memory::map_shared_info();
    loop {
        for domain in 1..=DOMAINS {
            let found = (1..PORTS).find_map(|port| abi_events::bind_to(domain, port));
            if let Some(port) = found {
                storm.port = port;
                return;
            }
        }
    }
}

/// 2 MiB that hold nothing, as in [`bench_memory`].
fn choose_frames(storm: &mut Storm) {
    let first = ((page::address(Use::Balloon) & !0x3fff_ffff) >> 12) + 1024;
    storm.frames = core::array::from_fn(|n| first + n as u64);
}

fn balloon(frames: &[u64]) {
    bench_memory::reservation(abi_memory::DECREASE, frames, 0);
    bench_memory::reservation(abi_memory::POPULATE, frames, 0);
}
