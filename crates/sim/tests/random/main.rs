//! Random guests: whatever one does, nothing panics (a touch of unmapped memory by a VMM would),
//! all memory is where its records say, and the other guest goes on.

#[path = "../common/mod.rs"]
mod common;
mod program;

use std::cell::Cell;

use common::{assert_untouched, reservation};
use hypervisor_core::host::SysReg;
use program::Step;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sim::guest::insn::{self, Width};
use sim::guest::{ARGS, FREE, GICC, SHARED_INFO, TEXT, UPCALL, VTIMER};
use sim::{Domain, FREQUENCY, Guest, Ran, System, Way};
use xen_abi::number::HVC_IMMEDIATE;

/// In an argument structure: the address of what follows the structure.
const LIST: u64 = 0x6c69_7374_0000;
/// As a command: the address of the argument.
const LIST_ARG: u64 = LIST + 0x1000;

/// vCPUs of the random guest.
const VCPUS: u8 = 3;
/// Programs, and the steps of each.
const PROGRAMS: u32 = 105;
const STEPS: usize = 200;

/// Executes one instruction of a hypercall as often as it asks for, within reason: a list in memory
/// that changes under it need not end.
fn execute(guest: &mut Guest<'_>, nr: u64, args: &[u64], way: Way) -> Ran {
    for (n, value) in (0..).zip(args) {
        guest.set_x(n, *value);
    }
    guest.set_x(16, nr);
    for _ in 0..50 {
        if !guest.has_text() {
            break;
        }
        match guest.hvc_imm(HVC_IMMEDIATE, way) {
            Ran::Again => {}
            Ran::WaitingToRetry => {
                if !guest.sys.advance_to_next_event() || !guest.is_running() {
                    return Ran::WaitingToRetry;
                }
            }
            ran => return ran,
        }
    }
    Ran::Again
}

fn call(guest: &mut Guest<'_>, nr: u64, cmd: u64, arg: &[u64], third: u64, way: Way) {
    // Structures have at most 32 bytes before the list.
    let list = guest.ptr(ARGS) + 32;
    let words: Vec<u64> = arg
        .iter()
        .map(|word| {
            if (LIST..LIST + 64).contains(word) {
                list + (word - LIST)
            } else {
                *word
            }
        })
        .collect();
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    guest.try_write(ARGS, &bytes);
    let at = guest.ptr(ARGS);
    let args = if cmd == LIST_ARG {
        [at, third, 0]
    } else if nr == 24 {
        [cmd, 0, at]
    } else {
        [cmd, at, third]
    };
    execute(guest, nr, &args, way);
}

/// Does a step on the vCPU whose turn it is, or another one that runs; false where the guest does
/// not run any more.
fn step(sys: &mut System, step: &Step, way: Way, turn: u8) -> bool {
    match step {
        Step::Pass { ticks } => sys.advance(*ticks),
        Step::Type { keys } => sys.type_in(keys),
        _ => {}
    }
    let mut first = sys.guest(0);
    if !first.is_running() && runner(&mut first, turn).is_none() {
        // Time and a key are what may wake it.
        first.sys.advance_to_next_event();
        first.sys.type_in(b"k");
    }
    let Some(cpu) = runner(&mut first, turn) else {
        return false;
    };
    let mut guest = first.on(cpu);
    if !guest.is_running() {
        return true;
    }
    // Another kernel would start here with sane registers; what a broken one does to itself is a
    // step of its own.
    let kept = [SysReg::Sctlr, SysReg::Ttbr0, SysReg::Ttbr1, SysReg::Tcr]
        .map(|reg| (reg, guest.sysreg(reg)));
    if !guest.has_text() {
        return false;
    }
    match step {
        Step::Call {
            nr,
            cmd,
            arg,
            third,
        } => call(&mut guest, *nr, *cmd, arg, *third, way),
        Step::Wild { nr, args } => {
            execute(&mut guest, *nr, args, way);
        }
        // Except CPU_OFF of PSCI 0.1, the end of all.
        Step::Smc { args } if args[0] & 0xffff_ffff != 1 => {
            guest.smc(args);
        }
        Step::CpuOn { number } => {
            guest.cpu_on(*number, TEXT, 0);
        }
        Step::Hvc { imm, way } => {
            guest.hvc_imm(*imm, *way);
        }
        Step::Store { at, width, value } => {
            if guest.translates(*at, true) {
                guest.try_store(*at, *width, *value);
            }
        }
        Step::Load { at, width } => {
            if guest.translates(*at, false) {
                guest.access(*at, *width, false);
            }
        }
        Step::Poke { at, value } => {
            guest.try_write(*at, &value.to_le_bytes());
        }
        Step::HvcAt { pc } => {
            guest.hvc_at(*pc);
        }
        // An HVC leaves the PC elsewhere; it has steps of its own.
        Step::Trap { esr } if esr >> 26 != 0x16 => {
            guest.trap(insn::NOP, *esr);
        }
        Step::Wfi => {
            // With something to wait for; other tests cover sleeping for good.
            guest.enable_gic();
            guest.enable_interrupt(VTIMER);
            let now = guest.sys.now();
            guest.set_timer(now + 500);
            guest.wfi();
        }
        Step::SysReg { reg, value } => {
            // Broken for one hypercall.
            guest.set_sysreg(*reg, *value);
            guest.set_x(0, 1);
            guest.set_x(1, ARGS);
            guest.set_x(16, 17);
            guest.hvc_imm(HVC_IMMEDIATE, way);
        }
        Step::Pstate { value } => {
            let kept = guest.pstate();
            guest.set_pstate(*value);
            guest.hvc_imm(7, Way::Trap);
            guest.set_pstate(kept);
        }
        Step::Mmu { on: true } => {
            if !guest.mmu_is_on() && guest.tables_are_mapped() {
                guest.mmu_on();
                return true;
            }
        }
        Step::Mmu { on: false } => {
            guest.mmu_off();
            return true;
        }
        Step::Gic => {
            guest.enable_gic();
            guest.enable_interrupt(VTIMER);
            guest.enable_interrupt(UPCALL);
        }
        Step::Acknowledge => {
            guest.access(GICC + 0xc, Width::Word, false);
        }
        Step::End { intid } => {
            guest.try_store(GICC + 0x10, Width::Word, u64::from(*intid));
        }
        Step::Timer { after } => {
            let now = guest.sys.now();
            guest.set_timer(now + after);
        }
        Step::Smc { .. } | Step::Trap { .. } | Step::Pass { .. } | Step::Type { .. } => {}
    }
    for (reg, value) in kept {
        guest.set_sysreg(reg, value);
    }
    guest.sys.is_alive(0)
}

/// Of the vCPUs that run the one whose turn it is, or the next.
fn runner(guest: &mut Guest<'_>, turn: u8) -> Option<u8> {
    let order = (0..VCPUS).map(|n| (turn % VCPUS + n) % VCPUS);
    order.into_iter().find(|n| guest.on(*n).runs())
}

/// The second guest, which does what it does whatever the first one does.
struct Witness {
    page: Vec<u8>,
    shared: Vec<u8>,
    ticks: u32,
}

impl Witness {
    fn call(sys: &mut System) -> Self {
        let mut guest = sys.guest(1);
        guest.map_shared_info();
        guest.enable_gic();
        guest.enable_interrupt(VTIMER);
        guest.put(FREE, b"the other guest's secret");
        Self {
            page: guest.bytes(FREE, 256),
            shared: guest.bytes(SHARED_INFO, 1088),
            ticks: 0,
        }
    }

    fn check(&mut self, sys: &mut System) {
        let now = sys.now();
        let mut guest = sys.guest(1);
        guest.set_timer(now + 1000);
        assert_eq!(guest.wfi(), Ran::Waiting);
        sys.advance(1000);
        let mut guest = sys.guest(1);
        assert_eq!(guest.take_interrupts(), [VTIMER]);
        self.ticks += 1;
        assert_untouched(&mut guest, "linux2");
        assert_eq!(reservation(&mut guest), 4096);
        assert_eq!(guest.bytes(FREE, 256), self.page);
        assert_eq!(guest.bytes(SHARED_INFO, 1088), self.shared);
        let line = format!("tick {} of the other guest", self.ticks);
        guest.sys.seen();
        guest.console_io(line.as_bytes());
        guest.console_io(b"\n");
        sys.advance(FREQUENCY);
        let seen = sys.seen();
        assert!(seen.contains(&format!("linux2: {line}\r\n")), "{seen}");
    }
}

fn run(program: &[Step], way: Way, heap: bool) -> usize {
    let first = Domain::new("linux1").with_vpl011().with_cpus(VCPUS.into());
    let mut sys = System::new(&[
        if heap { first.heap() } else { first },
        Domain::new("linux2").heap(),
    ]);
    let mut witness = Witness::call(&mut sys);
    for number in 1..VCPUS {
        assert_eq!(sys.guest(0).cpu_on(number.into(), TEXT, 0), 0);
    }
    let mut steps = 0;
    for (n, instruction) in program.iter().enumerate() {
        steps += 1;
        if !step(&mut sys, instruction, way, u8::try_from(n % 7).unwrap_or(0)) {
            break;
        }
        if n % 100 == 99 {
            sys.assert_consistent();
            witness.check(&mut sys);
        }
    }
    sys.assert_consistent();
    witness.check(&mut sys);
    steps
}

/// Runs so many random programs; how many steps they had.
fn run_programs(runner: &mut TestRunner) -> usize {
    let total = Cell::new(0);
    let program = prop::collection::vec(program::step(), STEPS);
    let ways = prop::sample::select(Way::ALL.to_vec());
    let result = runner.run(&(program, ways, any::<bool>()), |(program, way, heap)| {
        total.set(total.get() + run(&program, way, heap));
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    total.get()
}

fn programs() -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases: PROGRAMS,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

#[test]
fn random_guests_hurt_themselves_alone() {
    let total = run_programs(&mut programs());
    assert!(total >= 20_000, "only {total} steps");
}

/// The same for as many steps as are asked for: CONTRIBUTING.md has the command.
#[test]
#[ignore = "takes hours"]
fn random_guests_for_long() {
    common::for_long(|| run_programs(&mut programs()));
}
