//! What a guest gets of the processor beside guests that attack it: `domains/storm.dts` and
//! `domains/storms.dts`.
//!
//! The machine counts instructions, so the figures repeat exactly however busy the host is. VMMs
//! that attack are `pd/hostile` in the place of the attackers' own. `./build.sh bench --fairness`
//! does the same with every attack, for a table.

use regex::Regex;

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::suite::Suite;

/// Attacks of `guests/probe/src/storm.rs`, one of each kind: a hypercall, output, exits that end in
/// the guest, work that the memory server does, interrupts, and short and long sleeps.
const ATTACKS: [&str; 7] = [
    "hypercalls",
    "console",
    "faults",
    "balloon",
    "timer",
    "wakes",
    "ticks",
];
/// What the EL2 host's own scheduler has to stand too: who sleeps so shortly that the others' time
/// between is hardly more than what it takes to leave them and enter again.
const EL2_ATTACKS: [&str; 1] = ["polls"];
/// On whose time a VMM attacks.
enum Time {
    /// On the slice that it has for notifications, beside its guest.
    Own,
    /// On its guest's, which it never gives back.
    Guests,
}
/// Attacks of `pd/hostile/src/greedy.rs`, one of each kind: it keeps its guest's time, it has the
/// memory server work on its guest's time, it floods a server that has time of its own, and it
/// tries to put its guest before all others.
const VMM_ATTACKS: [(&str, Time); 4] = [
    ("spin", Time::Guests),
    ("grab", Time::Guests),
    ("wake", Time::Own),
    ("jump", Time::Own),
];

/// A domains file with guests that measure and others that attack.
struct Scene {
    file: &'static str,
    domains: u64,
    /// How many of them measure.
    measuring: usize,
    /// What stands behind the names of those that attack.
    attackers: &'static [&'static str],
}

impl Scene {
    fn dts(&self) -> String {
        format!("{}.dts", self.file)
    }

    fn attackers(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.attackers.iter().copied()
    }
}

const TWO: Scene = Scene {
    file: "storm",
    domains: 2,
    measuring: 1,
    attackers: &[""],
};
const EIGHT: Scene = Scene {
    file: "storms",
    domains: 8,
    measuring: 2,
    attackers: &["1", "2", "3", "4", "5", "6"],
};
/// Percent of a fair share that a guest gets at least, in each 100 ms.
const LEAST: u64 = 80;
/// Microseconds for which each other domain may keep it waiting, and what comes on top.
const EACH: u64 = 2000;
const MORE: u64 = 1000;

/// Guests that attack, with two domains and with eight.
pub const GUESTS: [fn(&mut Suite, &Lab, &str); 2] = [
    |suite, lab, config| guests(suite, lab, config, &TWO),
    |suite, lab, config| guests(suite, lab, config, &EIGHT),
];

/// Attacks on each of four vCPUs of one guest.
const SMP_ATTACKS: [&str; 3] = ["computes", "hypercalls", "wakes"];

/// A guest that attacks on four vCPUs beside one with a single one.
pub fn vcpus(suite: &mut Suite, lab: &Lab, config: &str) {
    let lab = lab.clone().counting();
    for attack in SMP_ATTACKS {
        let begins = format!("storm: {attack} begins");
        held(suite, config, &format!("smp-{attack}"), &TWO, || {
            let name = format!("storm-smp-{attack}-{config}");
            let head = |cpus| {
                format!(
                    "attacker {{\n\t\t\tcompatible = \"xen,domain\";\n\
                     \t\t\tmemory = <0x0 0x4000>; /* 16 MiB */\n\t\t\tcpus = <{cpus}>;"
                )
            };
            let (one, four) = (head(1), head(4));
            let change = format!("attack={attack} vcpus=4");
            let changes = [(&*one, &*four), ("attack=hypercalls", &*change)];
            let file = lab.changed(config, &TWO.dts(), &name, &changes)?;
            let machine = lab.boot_file(config, &file, &name)?;
            Ok((machine, begins))
        });
    }
}

/// VMMs that attack on Microkit, with two domains and with eight.
pub const VMMS: [fn(&mut Suite, &Lab, &str); 2] = [
    |suite, lab, config| vmms(suite, lab, config, &TWO),
    |suite, lab, config| vmms(suite, lab, config, &EIGHT),
];

fn guests(suite: &mut Suite, lab: &Lab, config: &str, scene: &Scene) {
    let lab = lab.clone().counting();
    let more: &[_] = if config == "el2" { &EL2_ATTACKS } else { &[] };
    for attack in ATTACKS.iter().chain(more) {
        let name = format!("{}-{attack}-{config}", scene.file);
        let change = ("attack=hypercalls", &*format!("attack={attack}"));
        let begins = format!("storm: {attack} begins");
        held(suite, config, attack, scene, || {
            lab.boot_changed(config, &scene.dts(), &name, change)
                .map(|machine| (machine, begins))
        });
    }
}

fn vmms(suite: &mut Suite, lab: &Lab, config: &str, scene: &Scene) {
    let lab = lab.clone().counting();
    for (attack, time) in VMM_ATTACKS {
        let (suffix, guest) = match time {
            Time::Own => ("", "computes"),
            Time::Guests => ("-lent", "hypercalls"),
        };
        held(
            suite,
            config,
            &format!("vmm-{attack}{suffix}"),
            scene,
            || {
                let name = format!("{}-vmm-{attack}{suffix}-{config}", scene.file);
                let domains = scene.attackers().map(|n| format!("{attack}{n}{suffix}"));
                let names: Vec<(String, String)> = scene
                    .attackers()
                    .zip(domains.clone())
                    .map(|(n, domain)| (format!("attacker{n} {{"), format!("{domain} {{")))
                    .chain([("attack=hypercalls".into(), format!("attack={guest}"))])
                    .collect();
                let changes: Vec<(&str, &str)> =
                    names.iter().map(|(old, new)| (&**old, &**new)).collect();
                let file = lab.changed(config, &scene.dts(), &name, &changes)?;
                let vmms: Vec<String> = domains.map(|domain| format!("{domain}=hostile")).collect();
                let machine = lab
                    .clone()
                    .with_vmms(&vmms.join(" "))
                    .boot_file(config, &file, &name)?;
                Ok((machine, format!("[hostile] {attack} begins")))
            },
        );
    }
}

/// The rule beside `attack` in `scene`, whose machine `boot` starts; it returns a part of the line
/// with which the attack begins, too.
fn held(
    suite: &mut Suite,
    config: &str,
    attack: &str,
    scene: &Scene,
    boot: impl FnOnce() -> Result<(Machine, String), Failure>,
) {
    let test = format!("{config}/fairness/{attack}-with-{}-domains", scene.domains);
    if !suite.wants(std::slice::from_ref(&test)) {
        return;
    }
    suite.run(&test, || {
        let (machine, begins) = boot()?;
        measured(&machine, &begins, scene.measuring)?
            .into_iter()
            .try_for_each(|figures| check(figures, scene.domains))
    });
}

/// Least share in permille and longest gap in microseconds.
pub(super) type Figures = (u64, u64);

/// What each of the `count` guests that measure has seen beside the attack that begins with a line
/// that contains `begins`.
pub(super) fn measured(
    machine: &Machine,
    begins: &str,
    count: usize,
) -> Result<Vec<Figures>, Failure> {
    let line = r"share: done \d+ windows, permille \d+, least (\d+), longest gap (\d+) us$";
    // One after the other: each expectation looks for one more of the same lines.
    let lines = vec![line; count].join(r"(?s:.*)");
    machine.expect(&lines, PATIENCE)?;
    let seen = machine.seen();
    if !seen.contains(begins) {
        return Err(Failure(format!("no attack: \"{begins}\" is missing")));
    }
    let line = Regex::new(&format!("(?m){line}")).map_err(|error| Failure(error.to_string()))?;
    let figures = line.captures_iter(&seen).map(|found| {
        let number = |n: usize| {
            let text = found.get(n).map_or("", |group| group.as_str());
            text.parse()
                .map_err(|_| Failure(format!("'{text}' is no figure")))
        };
        Ok((number(1)?, number(2)?))
    });
    figures.collect()
}

/// Attacks on the timer that the timer server has, where guests can reach it: one sets it off
/// without end, one puts it off.
const TIMER_ATTACKS: [&str; 2] = ["physical", "mute"];

/// A guest that sleeps beside one that has the timer server's timer.
pub fn wake_ups(suite: &mut Suite, lab: &Lab, config: &str) {
    for attack in TIMER_ATTACKS {
        let test = format!("{config}/fairness/sleepers-wake-beside-{attack}");
        if !suite.wants(std::slice::from_ref(&test)) {
            continue;
        }
        suite.run(&test, || {
            let name = format!("late-{attack}-{config}");
            let changes = [
                ("probe=share windows=4 warm-up=200", "probe=late"),
                ("attack=hypercalls", &*format!("attack={attack}")),
            ];
            let file = lab.changed(config, "storm.dts", &name, &changes)?;
            let machine = lab.clone().counting().boot_file(config, &file, &name)?;
            let late = latest(&machine, attack)?;
            if late <= EACH + MORE {
                return Ok(());
            }
            Err(Failure(format!("{late} us late (at most {})", EACH + MORE)))
        });
    }
}

/// Microseconds by which a guest that sleeps (`probe=late`) was woken too late at most, beside
/// `attack`.
pub(super) fn latest(machine: &Machine, attack: &str) -> Result<u64, Failure> {
    machine.expect(&format!("storm: {attack} begins"), PATIENCE)?;
    let found = machine.expect(r"late: done \d+ sleeps, (\d+) us late at most", PATIENCE)?;
    let late = found.get(1).and_then(|text| text.parse().ok());
    late.ok_or_else(|| Failure("the guest says no number of microseconds".into()))
}

/// Whether one of `domains` domains got enough, and soon enough.
fn check((least, longest): Figures, domains: u64) -> Result<(), Failure> {
    let fair = least * domains / 10;
    let bound = EACH * (domains - 1) + MORE;
    if fair >= LEAST && longest <= bound {
        return Ok(());
    }
    Err(Failure(format!(
        "a guest got {fair} % of a fair share (at least {LEAST}) and waited for {longest} us (at most {bound})"
    )))
}

/// A guest that ends within its first second again and again: it stays down, with words.
pub fn short_lives(suite: &mut Suite, lab: &Lab, config: &str) {
    let test = format!("{config}/fairness/a-guest-that-always-ends-at-once-stays-down");
    if !suite.wants(std::slice::from_ref(&test)) {
        return;
    }
    suite.run(&test, || {
        let (lab, name) = (lab.clone().counting(), format!("short-lives-{config}"));
        let change = ("probe=bench,bench-memory", "probe=storm attack=restarts");
        let domains = lab.changed(config, "bench.dts", &name, &[change])?;
        let machine = lab.boot_file(config, &domains, &name)?;
        machine.expect(
            "bench: .*guest stopped: it asked for a restart within a second of its start, 10 times in a row",
            PATIENCE,
        )?;
        let lives = machine.seen().matches("bench: storm: restarts begins").count();
        match lives {
            10 => Ok(()),
            lives => Err(Failure(format!("it had {lives} lives, not 10"))),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_has_both_its_ends() {
        assert!(check((400, 3000), 2).is_ok() && check((100, 15_000), 8).is_ok());
        assert!(check((399, 0), 2).is_err() && check((99, 0), 8).is_err());
        assert!(check((500, 3001), 2).is_err() && check((125, 15_001), 8).is_err());
    }
}
