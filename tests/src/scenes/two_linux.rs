//! Two Debian guests on one machine: `domains/two-linux.dts`.

use crate::machine::{Failure, Machine};
use crate::scenes::balloon;
use crate::scenes::lab::{Lab, PATIENCE, ZCU102};
use crate::scenes::shell::{ask, focus};
use crate::suite::Suite;

/// The names of the domains in `domains/two-linux.dts`.
const GUESTS: [&str; 2] = ["linux1", "linux2"];
/// What a guest may lack of a native machine's MemTotal, in KiB.
const LESS_MEMORY: u64 = 1024;

/// How often one guest reboots.
const REBOOTS: u32 = 3;
/// KiB that the balloon test moves.
const BALLOON: u64 = 32 << 10;

/// What every guest's kernel log must show; Linux prints these where it finds Xen usable. The
/// expressions are for the guest's `grep -E` too.
const KERNEL_LOG: [(&str, &str); 3] = [
    ("finds-xen", r"Xen [0-9]+\.[0-9]+ support found"),
    ("maps-grant-table", "Grant tables using version 1 layout"),
    (
        "uses-event-channels",
        "xen:events: Using (2-level|FIFO-based) ABI",
    ),
];

/// Runs the scene in the seL4 configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let scene = Scene { lab, config };
    let names: Vec<String> = scene.steps().iter().map(|step| scene.name(step)).collect();
    if !suite.wants(&names) {
        return;
    }
    let mut machine = None;
    for step in scene.steps() {
        // Later steps need the machine of the first; their failures then say so.
        suite.run(&scene.name(&step), || scene.step(&step, &mut machine));
    }
}

struct Scene<'a> {
    lab: &'a Lab,
    config: &'a str,
}

/// The tests, in the order in which they run on one machine.
enum Step {
    Boot,
    Memory,
    KernelLog {
        guest: &'static str,
        what: &'static str,
        pattern: &'static str,
    },
    HypervisorType(&'static str),
    Answer(&'static str),
    Ticks(&'static str),
    Balloon,
    Reboot,
    PowerOff,
    Orders,
}

impl Scene<'_> {
    fn steps(&self) -> Vec<Step> {
        // What the board cannot change is tried on one board.
        let all = !self.config.starts_with(ZCU102);
        let mut steps = vec![Step::Boot];
        if all {
            steps.push(Step::Memory);
        }
        for guest in GUESTS.iter().copied().filter(|_| all) {
            steps.push(Step::HypervisorType(guest));
            steps.extend(KERNEL_LOG.iter().map(|&(what, pattern)| Step::KernelLog {
                guest,
                what,
                pattern,
            }));
        }
        // Back and forth, so that the focus has wrapped around.
        steps.extend(GUESTS.map(Step::Answer));
        steps.extend(GUESTS.map(Step::Ticks));
        steps.extend([Step::Balloon, Step::Reboot, Step::PowerOff]);
        if all {
            steps.push(Step::Orders);
        }
        steps
    }

    fn name(&self, step: &Step) -> String {
        let test = match step {
            Step::Boot => "both-reach-user-space".into(),
            Step::Memory => "memory-is-as-native".into(),
            Step::KernelLog { guest, what, .. } => format!("{guest}-{what}"),
            Step::HypervisorType(guest) => format!("{guest}-sysfs-says-xen"),
            Step::Answer(guest) => format!("{guest}-shell-answers"),
            Step::Ticks(guest) => format!("{guest}-timer-interrupts-come"),
            Step::Balloon => "balloon-down-and-up".into(),
            Step::Reboot => "reboots-come-back-and-leave-the-other-running".into(),
            Step::PowerOff => "poweroff-leaves-the-other-running".into(),
            Step::Orders => "the-monitor-starts-stops-and-restarts".into(),
        };
        format!("{}/two-linux/{test}", self.config)
    }

    fn step(&self, step: &Step, machine: &mut Option<Machine>) -> Result<(), Failure> {
        if matches!(step, Step::Boot) {
            let booted = self.lab.boot(
                self.config,
                "two-linux.dts",
                &format!("two-linux-{}", self.config),
            )?;
            for guest in GUESTS {
                booted.expect(&format!("zazen-guest: user space on {guest} "), PATIENCE)?;
            }
            *machine = Some(booted);
            return Ok(());
        }
        let machine = machine
            .as_mut()
            .ok_or_else(|| Failure("the guests did not boot".into()))?;
        match *step {
            Step::Boot => Ok(()),
            Step::Memory => self.memory(machine),
            Step::KernelLog { guest, pattern, .. } => {
                // Only the guest's answer has its name and the digit in front: the echo of the
                // command has not.
                let answer = ask(machine, guest, &format!("dmesg | grep -E '{pattern}'"))?;
                let expression =
                    regex::Regex::new(pattern).map_err(|error| Failure(error.to_string()))?;
                let found = answer
                    .lines()
                    .any(|line| !line.contains("grep") && expression.is_match(line));
                found
                    .then_some(())
                    .ok_or_else(|| Failure(format!("{guest}'s kernel log has no /{pattern}/")))
            }
            Step::HypervisorType(guest) => {
                let answer = ask(
                    machine,
                    guest,
                    "echo \"type is $(cat /sys/hypervisor/type)\"",
                )?;
                answer
                    .contains("type is xen")
                    .then_some(())
                    .ok_or(Failure(answer))
            }
            Step::Answer(guest) => ask(machine, guest, "true").map(drop),
            Step::Ticks(guest) => ticks(machine, guest),
            Step::Balloon => balloon(machine),
            Step::Reboot => reboot(machine),
            Step::PowerOff => power_off(machine),
            Step::Orders => orders(machine),
        }
    }

    /// MemTotal of both guests against the same kernel on the bare machine.
    fn memory(&self, machine: &Machine) -> Result<(), Failure> {
        let kib = |groups: Vec<String>| -> Result<u64, Failure> {
            groups
                .get(1)
                .and_then(|n| n.parse().ok())
                .ok_or_else(|| Failure("MemTotal is no number".into()))
        };
        let pattern =
            |host: &str| format!(r"zazen-guest: user space on {host} .*MemTotal=(\d+) kB");
        let native = kib(self
            .lab
            .boot_native(self.lab.memory_of("two-linux.dts")?)?
            .expect(&pattern("native"), PATIENCE)?)?;
        for guest in GUESTS {
            let here = kib(machine.expect(&pattern(guest), PATIENCE)?)?;
            if here + LESS_MEMORY < native || here > native + LESS_MEMORY {
                return Err(Failure(format!(
                    "{guest} has {here} KiB, the bare machine {native} KiB"
                )));
            }
        }
        Ok(())
    }
}

/// A guest's sleep ends, and by its timer's interrupts.
fn ticks(machine: &mut Machine, guest: &str) -> Result<(), Failure> {
    let count = "$(grep arch_timer /proc/interrupts | tr -s ' ' | cut -d ' ' -f 3)";
    let answer = ask(
        machine,
        guest,
        &format!("a={count}; sleep 1; echo \"ticks from $a to {count}.\""),
    )?;
    let numbers = regex::Regex::new(r"ticks from (\d+) to (\d+)\.")
        .map_err(|error| Failure(error.to_string()))?;
    let found = numbers
        .captures(&answer)
        .ok_or_else(|| Failure(answer.clone()))?;
    let number = |group: usize| found[group].parse::<u64>().unwrap_or(0);
    // One for the sleep's end at the least.
    (number(1) < number(2)).then_some(()).ok_or(Failure(answer))
}

/// What a guest's shell computes so that the echo of the command is not taken for the answer.
const TELL_TOTAL: &str = "echo \"total is $(grep -o '[0-9]* kB' /proc/meminfo | head -n 1)\"";

/// MemTotal in KiB, from the answer to [`TELL_TOTAL`].
fn total(answer: String) -> Result<u64, Failure> {
    regex::Regex::new(r"total is (\d+) kB")
        .ok()
        .and_then(|total| total.captures(&answer)?.get(1)?.as_str().parse().ok())
        .ok_or(Failure(answer))
}

/// One guest gives memory away page by page and takes it back; the other notices nothing.
fn balloon(machine: &mut Machine) -> Result<(), Failure> {
    let [guest, other] = GUESTS;
    let others = balloon::mem_total(machine, other)?;
    balloon::down_and_up(machine, guest, BALLOON, balloon::Count::Follows)?;
    let now = balloon::mem_total(machine, other)?;
    if now != others {
        return Err(Failure(format!("{other} had {others} kB and has {now} kB")));
    }
    Ok(())
}

/// KiB by which `MemTotal` of two lives may differ: each life's kernel lies at another place
/// (`kaslr-seed`), and may need up to two page tables more or less for that.
const EARLY_TABLES: u64 = 8;

/// One guest reboots a few times; it comes back to its shell with all of its memory, and the other
/// was there all along.
fn reboot(machine: &mut Machine) -> Result<(), Failure> {
    let [leaver, stayer] = GUESTS;
    let before = total(ask(machine, leaver, TELL_TOTAL)?)?;
    // A variable of the shell's: gone if the shell is not the one of before.
    ask(machine, stayer, "witness=$((41 + 1))")?;
    for n in 1..=REBOOTS {
        focus(machine, leaver)?;
        machine.mark();
        // The guest's first program is asked, and the kernel itself.
        machine.send(if n == 1 { "reboot\n" } else { "reboot -f\n" })?;
        machine.expect(&format!(r"guest restarts \(restart {n}\)"), PATIENCE)?;
        machine.expect(&format!("zazen-guest: user space on {leaver} "), PATIENCE)?;
        let now = total(ask(machine, leaver, TELL_TOTAL)?)?;
        if now.abs_diff(before) > EARLY_TABLES {
            return Err(Failure(format!(
                "{leaver} had {before} KiB and has {now} KiB after restart {n}"
            )));
        }
        let answer = ask(machine, stayer, "echo witness is $witness")?;
        if !answer.contains("witness is 42") {
            return Err(Failure(answer));
        }
    }
    Ok(())
}

fn power_off(machine: &mut Machine) -> Result<(), Failure> {
    let [leaver, stayer] = GUESTS;
    focus(machine, leaver)?;
    machine.mark();
    machine.send("poweroff\n")?;
    machine.expect("reboot: Power down", PATIENCE)?;
    ask(machine, stayer, "true")?;
    // It lives on rather than ends a moment later: its clock runs and its shell still answers.
    ask(machine, stayer, "sleep 1").map(drop)
}

/// Types `keys` at the console's monitor and waits for `answer`.
fn monitor(machine: &mut Machine, keys: &str, answer: &str) -> Result<(), Failure> {
    focus(machine, "zazen")?;
    machine.mark();
    machine.send(keys)?;
    machine.expect(answer, PATIENCE).map(drop)
}

/// The first guest is down: it is marked, started, stopped and restarted from the monitor; the end
/// of the last one is said.
fn orders(machine: &mut Machine) -> Result<(), Failure> {
    let [first, second] = GUESTS;
    focus(machine, first)?;
    machine.expect("which is down: switched itself off", PATIENCE)?;
    monitor(
        machine,
        "d",
        &format!(r"(?s)1 {first} +down: switched itself off .*2 {second} +runs "),
    )?;
    // What was typed at the guest that is down is nobody's.
    focus(machine, first)?;
    machine.send("echo nobody\n")?;
    monitor(
        machine,
        &format!("s{first}\r"),
        &format!("zazen-guest: user space on {first} "),
    )?;
    ask(machine, first, "true")?;
    monitor(
        machine,
        "r2\r",
        &format!("zazen-guest: user space on {second} "),
    )?;
    ask(machine, second, "true")?;
    monitor(
        machine,
        "x2\r",
        "guest stopped: it was stopped from the console",
    )?;
    ask(machine, first, "true")?;
    monitor(machine, "x1\r", r"\*\*\* no guest runs any more")?;
    monitor(
        machine,
        "d",
        &format!("(?s)1 {first} +down: stopped from the console .*2 {second} +down: stopped"),
    )?;
    monitor(
        machine,
        "s2\r",
        &format!("zazen-guest: user space on {second} "),
    )?;
    ask(machine, second, "true").map(drop)
}
