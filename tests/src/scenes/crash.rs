//! VMMs that crash while their guests run: `domains/crash.dts`. The machine counts instructions, so
//! that who shares the processor with whom shows in the time that a piece of work takes.

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::{balloon, shell};
use crate::suite::Suite;

/// The guest that stays.
const LINUX: &str = "linux1";
/// KiB by which it grows: all that fragile had.
const GROWTH: u64 = 128 << 10;
/// Percent of the time before, that work takes at most when two guests that compute without end
/// have stopped: it should be a third.
const FALLS_TO: u64 = 50;

/// A domain whose VMM crashes.
struct Crashing {
    name: &'static str,
    domid: u32,
    /// Pages of RAM that it has, a page less than it was given because it gave one back.
    pages: u64,
    /// Its line in the dump, afterwards.
    memory: &'static str,
}

const FRAGILE: Crashing = Crashing {
    name: "fragile",
    domid: 2,
    pages: 0x8000 - 1,
    memory: "ram 0 static, 0 heap, of 32768 pages; reserve 0, returned 0",
};
const BRITTLE: Crashing = Crashing {
    name: "brittle",
    domid: 3,
    pages: 0x2000 - 1,
    memory: "ram 0 static, 0 heap, of 8192 pages; reserve 8192, returned 0",
};

/// The machine, and the hundredths of a second that work took while all guests ran.
struct Scene {
    machine: Machine,
    before: u64,
}

/// A test of the scene, with its name.
type Step = (&'static str, fn(&mut Scene) -> Result<(), Failure>);

/// The steps, each a test.
const STEPS: [Step; 6] = [
    ("guests-run-beside-linux", started),
    ("a-crash-is-told-and-the-heap-has-its-memory", |scene| {
        crashes(&mut scene.machine, &FRAGILE)
    }),
    ("static-memory-stays-with-its-domain", |scene| {
        crashes(&mut scene.machine, &BRITTLE)
    }),
    ("the-guests-of-the-crashed-have-stopped", stopped),
    ("linux-grows-by-what-the-crashed-had", grows),
    ("linux-has-not-noticed", unharmed),
];

/// The scene on Microkit in `config`; on the EL2 host a VMM that crashes takes everything with it.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let tests = STEPS.map(|(step, _)| format!("{config}/crash/{step}"));
    if !suite.wants(&tests) {
        return;
    }
    let replaced = [FRAGILE, BRITTLE].map(|domain| format!("{}=hostile", domain.name));
    let lab = lab.clone().with_vmms(&replaced.join(" ")).counting();
    let mut scene = lab
        .boot(config, "crash.dts", &format!("crash-{config}"))
        .map(|mut machine| {
            machine.expect_faults();
            Scene { machine, before: 0 }
        });
    for (test, (_, act)) in tests.iter().zip(STEPS) {
        suite.run(test, || match &mut scene {
            Ok(scene) => act(scene),
            Err(failure) => Err(failure.clone()),
        });
    }
}

fn started(scene: &mut Scene) -> Result<(), Failure> {
    let Scene { machine, before } = scene;
    machine.expect("zazen-guest: user space on linux1 ", PATIENCE)?;
    for domain in [FRAGILE, BRITTLE] {
        machine.expect(&format!("^{}: probe: spins$", domain.name), PATIENCE)?;
    }
    *before = work(machine)?;
    Ok(())
}

/// Hundredths of a second of the guest's time that a piece of work takes.
fn work(machine: &mut Machine) -> Result<u64, Failure> {
    let answer = shell::ask(
        machine,
        LINUX,
        "now() { cut -d' ' -f1 /proc/uptime | tr -d .; }; begin=$(now); i=0; \
         while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo \"took $(($(now) - begin))\"",
    )?;
    // The echo of the command has no number there.
    let took = answer.lines().find_map(|line| {
        let (_, number) = line.split_once("took ")?;
        number.parse().ok()
    });
    took.filter(|took| *took > 0).ok_or(Failure(answer))
}

/// LU-7: types what makes the VMM of `domain` crash while its guest runs; it is told, and
/// everything that the domain had is taken back.
fn crashes(machine: &mut Machine, domain: &Crashing) -> Result<(), Failure> {
    let Crashing {
        name,
        domid,
        pages,
        memory,
    } = domain;
    shell::focus(machine, name)?;
    machine.mark();
    machine.send("!")?;
    let who = format!(r"vmm_{name} \(VMM of domain {domid}, {name}\)");
    for words in [
        String::from("as was typed, while the guest ran$"),
        format!(r"^fault_server: {who} stopped: it gave up \(a panic\)"),
        format!(
            r"^fault_server: {who}: {pages} pages of RAM, [1-9]\d* extra pages and [1-9]\d* page tables are back$"
        ),
    ] {
        machine.expect(&words, PATIENCE)?;
    }
    let seen = balloon::dump(machine)?;
    let told = format!("d{domid} {name} (crashed, ");
    let after = seen.split_once(&told).map_or("", |(_, after)| after);
    let mut lines = after.lines().skip(1).take(3);
    let lines_are = [*memory, "page tables 0 of ", "extra pages 0"];
    if lines_are
        .iter()
        .all(|words| lines.next().is_some_and(|line| line.contains(words)))
    {
        Ok(())
    } else {
        Err(Failure(seen))
    }
}

/// Nobody computes any more but Linux.
fn stopped(scene: &mut Scene) -> Result<(), Failure> {
    let now = work(&mut scene.machine)?;
    if now * 100 <= scene.before * FALLS_TO {
        return Ok(());
    }
    Err(Failure(format!(
        "work that took {} hundredths of a second beside two guests takes {now}",
        scene.before
    )))
}

fn grows(scene: &mut Scene) -> Result<(), Failure> {
    let machine = &mut scene.machine;
    let had = balloon::mem_total(machine, LINUX)?;
    let target = balloon::target(machine, LINUX)?;
    let has = balloon::set(machine, LINUX, target + GROWTH)?;
    if has == had + GROWTH {
        Ok(())
    } else {
        Err(Failure(format!("{LINUX} had {had} kB and has {has} kB")))
    }
}

/// What it got is memory like any other, and its kernel complains of nothing.
fn unharmed(scene: &mut Scene) -> Result<(), Failure> {
    let answer = shell::ask(
        &mut scene.machine,
        LINUX,
        "mkdir -p /m; mount -t tmpfs -o size=150m m /m; dd if=/dev/urandom of=/m/0 bs=1M count=1; \
         for i in $(seq 130); do cp /m/0 /m/$i; done; \
         echo \"$(ls /m | wc -l) files, $(md5sum /m/* | cut -c 1-32 | sort -u | wc -l) content\"; umount /m; \
         echo \"$(dmesg | grep -ciE 'stall|lockup|blocked for|hung|oops|BUG') complaints\"",
    )?;
    if answer.contains("131 files, 1 content") && answer.contains("linux1: 0 complaints") {
        Ok(())
    } else {
        Err(Failure(answer))
    }
}
