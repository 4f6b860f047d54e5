//! Two Debian guests with four vCPUs each: `domains/smp-linux.dts`.

use regex::Regex;

use crate::machine::{Failure, Machine};
use crate::scenes::balloon;
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell::{ask, focus};
use crate::scenes::vcpus;
use crate::suite::Suite;

/// The names of the domains in `domains/smp-linux.dts`.
const GUESTS: [&str; 2] = ["linux1", "linux2"];
/// vCPUs of each.
const VCPUS: usize = 4;
/// KiB that a guest gives up and takes back while all its vCPUs work.
const BALLOON: u64 = 128 << 10;

/// How long the scene is.
struct Extent {
    /// What the tests are called for.
    name: &'static str,
    /// How often twenty rounds of vCPUs that go off and on again.
    hotplugs: u32,
    /// How often one guest reboots.
    reboots: u32,
    /// Whether four threads add under a spin lock.
    locks: bool,
    /// Whether it has what takes minutes.
    full: bool,
}

const SHORT: Extent = Extent {
    name: "smp-linux",
    hotplugs: 1,
    reboots: 5,
    locks: false,
    full: false,
};
const LONG: Extent = Extent {
    name: "smp-linux-long",
    hotplugs: 10,
    reboots: 20,
    locks: true,
    full: true,
};
/// On several cores a boot takes QEMU longer than the whole scene on one.
const CORES: Extent = Extent {
    name: "smp-linux",
    hotplugs: 0,
    reboots: 1,
    locks: false,
    full: false,
};
/// On several cores of the EL2 host, which are less busy with each other than a kernel's.
const EL2_CORES: Extent = Extent {
    name: "smp-linux",
    hotplugs: 1,
    reboots: 2,
    locks: true,
    full: false,
};
/// Rounds of vCPUs that go off and on again which the shell does at a time.
const ROUNDS: usize = 20;

/// The tests, in the order in which they run on one machine.
#[derive(Clone, Copy)]
enum Step {
    Boot,
    Count(&'static str),
    Interrupts(&'static str),
    Busy(&'static str),
    /// A spin lock between threads.
    Lock(&'static str),
    /// The same while memory goes and comes.
    Balloon(&'static str),
    /// The monitor's list.
    Listed,
    Hotplug,
    Reboot,
    PowerOff,
}

/// Runs the scene in the configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    scene(suite, lab, config, &SHORT);
}

/// The same, with what takes minutes.
pub fn long(suite: &mut Suite, lab: &Lab, config: &str) {
    scene(suite, lab, config, &LONG);
}

/// The scene on a kernel for several cores.
pub fn on_cores(suite: &mut Suite, lab: &Lab, config: &str) {
    scene(suite, &lab.clone().counting(), config, &CORES);
}

/// The scene on several cores of the EL2 host.
pub fn on_el2_cores(suite: &mut Suite, lab: &Lab, config: &str) {
    scene(suite, &lab.clone().counting(), config, &EL2_CORES);
}

fn scene(suite: &mut Suite, lab: &Lab, config: &str, extent: &Extent) {
    let mut steps = vec![Step::Boot];
    for guest in GUESTS {
        steps.extend([Step::Count(guest), Step::Interrupts(guest)]);
        if extent.hotplugs > 0 || guest == GUESTS[0] {
            steps.push(Step::Busy(guest));
        }
        if extent.locks && guest == GUESTS[0] {
            steps.push(Step::Lock(guest));
        }
        if extent.full && guest == GUESTS[0] {
            steps.push(Step::Balloon(guest));
        }
    }
    steps.push(Step::Listed);
    if extent.hotplugs > 0 {
        steps.push(Step::Hotplug);
    }
    steps.extend([Step::Reboot, Step::PowerOff]);
    let name = |step: &Step| {
        let test = match step {
            Step::Boot => "both-reach-user-space".into(),
            Step::Count(guest) => format!("{guest}-has-four-processors"),
            Step::Interrupts(guest) => format!("{guest}-takes-interrupts-on-all"),
            Step::Busy(guest) => format!("{guest}-runs-processes-on-all"),
            Step::Lock(guest) => format!("{guest}-adds-under-a-spin-lock"),
            Step::Balloon(guest) => format!("{guest}-balloons-while-all-work"),
            Step::Listed => "the-monitor-lists-vcpus".into(),
            Step::Hotplug => "processors-go-off-and-on".into(),
            Step::Reboot => "reboots-come-back-with-all-processors".into(),
            Step::PowerOff => "poweroff-leaves-the-other-running".into(),
        };
        format!("{config}/{}/{test}", extent.name)
    };
    let names: Vec<String> = steps.iter().map(name).collect();
    if !suite.wants(&names) {
        return;
    }
    let mut machine = None;
    for (step, name) in steps.iter().zip(&names) {
        // Later steps need the machine of the first; their failures then say so.
        suite.run(name, || match (step, &mut machine) {
            (Step::Boot, machine) => {
                let log = format!("{}-{config}", extent.name);
                let booted = boot(lab, config, &log, extent)?;
                for guest in GUESTS {
                    booted.expect(&user_space(guest), PATIENCE)?;
                }
                *machine = Some(booted);
                Ok(())
            }
            (_, None) => Err(Failure("the guests did not boot".into())),
            (Step::Listed, Some(machine)) => {
                vcpus::told(machine, GUESTS, VCPUS, config.starts_with("smp"))
            }
            (step, Some(machine)) => try_step(*step, machine, extent),
        });
    }
}

fn boot(lab: &Lab, config: &str, log: &str, extent: &Extent) -> Result<Machine, Failure> {
    const FILE: &str = "smp-linux.dts";
    if !extent.full {
        return lab.boot(config, FILE, log);
    }
    // So much memory can go from the first guest only if it has more, and no host is so idle that
    // half an hour is the same each time.
    let lab = lab.clone().counting();
    let memory = |kib| format!("memory = <0x0 {kib}>;\n\n\t\t\t/* Virtual CPUs");
    let (less, more) = (memory("0x30000"), memory("0x40000"));
    let changes = [
        (&*less, &*more),
        (
            "<0x0 0x40000000 0x0 0xc000000>",
            "<0x0 0x40000000 0x0 0x10000000>",
        ),
        (
            "<0x0 0x4c000000 0x0 0xc000000>",
            "<0x0 0x50000000 0x0 0xc000000>",
        ),
    ];
    let file = lab.changed(config, FILE, log, &changes)?;
    lab.boot_file(config, &file, log)
}

fn user_space(guest: &str) -> String {
    format!("zazen-guest: user space on {guest} ")
}

fn try_step(step: Step, machine: &mut Machine, extent: &Extent) -> Result<(), Failure> {
    let [first, second] = GUESTS;
    match step {
        Step::Boot | Step::Listed => Ok(()),
        Step::Count(guest) => processors(machine, guest, VCPUS),
        Step::Interrupts(guest) => interrupts(machine, guest),
        Step::Busy(guest) => busy(machine, guest),
        Step::Lock(guest) => spin_lock(machine, guest).map(drop),
        Step::Balloon(guest) => balloon_meanwhile(machine, guest),
        Step::Hotplug => hotplug(machine, first, extent.hotplugs),
        Step::Reboot => reboot(machine, first, second, extent.reboots),
        Step::PowerOff => {
            focus(machine, first)?;
            machine.mark();
            machine.send("poweroff\n")?;
            machine.expect("reboot: Power down", PATIENCE)?;
            processors(machine, second, VCPUS)
        }
    }
}

/// What `command` prints behind `answer is `, in numbers. The shell puts the words together, so
/// that the echo of the command is not taken for its answer.
fn numbers(machine: &mut Machine, guest: &str, command: &str) -> Result<Vec<u64>, Failure> {
    let said = ask(
        machine,
        guest,
        &format!("echo \"ans\"\"wer is $({command}).\""),
    )?;
    let answer = Regex::new(r"answer is ([0-9 ]*)\.").map_err(|e| Failure(e.to_string()))?;
    let found = answer.captures(&said).ok_or(Failure(said.clone()))?;
    let numbers = found[1].split_whitespace().map(str::parse);
    numbers.collect::<Result<_, _>>().map_err(|_| Failure(said))
}

fn processors(machine: &mut Machine, guest: &str, expected: usize) -> Result<(), Failure> {
    let found = numbers(machine, guest, "nproc")?;
    if found == [expected as u64] {
        return Ok(());
    }
    Err(Failure(format!("{guest} has {found:?} processors")))
}

/// Interrupts of `kind` so far, by processor.
fn counts(machine: &mut Machine, guest: &str, kind: &str) -> Result<Vec<u64>, Failure> {
    let command = format!(
        "grep '{kind}' /proc/interrupts | sed 's/^[^:]*://' | tr -s ' ' | cut -d ' ' -f 2-5"
    );
    let counts = numbers(machine, guest, &command)?;
    match counts.len() {
        VCPUS => Ok(counts),
        _ => Err(Failure(format!("{kind}: {counts:?}"))),
    }
}

/// Timer interrupts come on all processors, and those that one sends the others.
fn interrupts(machine: &mut Machine, guest: &str) -> Result<(), Failure> {
    for kind in ["arch_timer", "Function call interrupts"] {
        let counts = counts(machine, guest, kind)?;
        if counts.contains(&0) {
            return Err(Failure(format!("{kind} on {guest}: {counts:?}")));
        }
    }
    Ok(())
}

/// More processes than processors come and go, and all processors have worked.
fn busy(machine: &mut Machine, guest: &str) -> Result<(), Failure> {
    let user = "grep '^cpu[0-9]' /proc/stat | cut -d ' ' -f 2,4 | tr ' ' '\\n' | tr '\\n' ' '";
    let before = numbers(machine, guest, user)?;
    let storm =
        "for n in $(seq 1 60); do (i=0; while [ $i -lt 300 ]; do i=$((i + 1)); done) & done; wait";
    ask(machine, guest, storm)?;
    let after = numbers(machine, guest, user)?;
    if before.len() != 2 * VCPUS || after.len() != 2 * VCPUS {
        return Err(Failure(format!("{before:?}, {after:?}")));
    }
    let sums =
        |numbers: &[u64]| -> Vec<u64> { numbers.chunks(2).map(|pair| pair.iter().sum()).collect() };
    let (before, after) = (sums(&before), sums(&after));
    if before
        .iter()
        .zip(&after)
        .all(|(before, after)| before < after)
    {
        return Ok(());
    }
    Err(Failure(format!(
        "not all processors of {guest} have worked: {before:?}, then {after:?}"
    )))
}

/// Ten million additions of four threads under one lock; the ticks that they took.
fn spin_lock(machine: &mut Machine, guest: &str) -> Result<u64, Failure> {
    let said = ask(machine, guest, "zazen-spinlock")?;
    added(&said)
}

/// What `zazen-spinlock` says: ticks, where the sum is right.
fn added(said: &str) -> Result<u64, Failure> {
    let line = Regex::new(r"spinlock: sum=10000000 ticks=(\d+)");
    let line = line.map_err(|error| Failure(error.to_string()))?;
    let ticks = line.captures(said).and_then(|found| found[1].parse().ok());
    ticks.ok_or_else(|| Failure(said.to_owned()))
}

/// Memory goes and comes while four threads add under a lock; the sum is right at the end.
fn balloon_meanwhile(machine: &mut Machine, guest: &str) -> Result<(), Failure> {
    // What it says goes to a file: its line may come in the midst of an answer.
    ask(machine, guest, "zazen-spinlock >/tmp/sum & adder=$!")?;
    balloon::down_and_up(machine, guest, BALLOON, balloon::Count::Follows)?;
    added(&ask(machine, guest, "wait $adder; cat /tmp/sum")?).map(drop)
}

/// Each processor but the first goes off and on again, a few times.
fn hotplug(machine: &mut Machine, guest: &str, times: u32) -> Result<(), Failure> {
    let at = |n: &str| format!("/sys/devices/system/cpu/cpu{n}/online");
    let (file, rounds) = (at("$c"), ROUNDS);
    let round = format!(
        "for c in 1 2 3; do echo 0 > {file}; done; for c in 3 1 2; do echo 1 > {file}; done"
    );
    let command = format!("for n in $(seq 1 {rounds}); do {round}; done");
    for _ in 0..times {
        ask(machine, guest, &format!("dmesg -n 1; {command}"))?;
        processors(machine, guest, VCPUS)?;
    }
    ask(machine, guest, &format!("echo 0 > {}", at("2")))?;
    processors(machine, guest, VCPUS - 1)?;
    ask(machine, guest, &format!("echo 1 > {}", at("2")))?;
    processors(machine, guest, VCPUS)?;
    // Those that came back take part.
    busy(machine, guest)
}

/// One guest reboots a few times from whichever processor the program runs on; the other was there
/// all along.
fn reboot(machine: &mut Machine, leaver: &str, stayer: &str, times: u32) -> Result<(), Failure> {
    ask(machine, stayer, "witness=$((41 + 1))")?;
    for n in 1..=times {
        focus(machine, leaver)?;
        machine.mark();
        machine.send("reboot -f\n")?;
        machine.expect(&format!(r"guest restarts \(restart {n}\)"), PATIENCE)?;
        machine.expect(&user_space(leaver), PATIENCE)?;
        processors(machine, leaver, VCPUS)?;
        let answer = ask(machine, stayer, "echo witness is $witness")?;
        if !answer.contains("witness is 42") {
            return Err(Failure(answer));
        }
    }
    interrupts(machine, leaver)
}
