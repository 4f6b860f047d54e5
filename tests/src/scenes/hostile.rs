//! VMMs that were taken over: `domains/hostile.dts` with `pd/hostile` in the place of all VMMs but
//! Linux's.

use std::time::Duration;

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::replaced::Replaced;
use crate::scenes::{balloon, shell};
use crate::suite::Suite;

/// Domains whose VMM faults, and what the fault server must say about it.
const FAULTS: [(&str, &str); 4] = [
    (
        "window",
        r"vmm_window \(VMM of domain 2, window\) stopped: read of address 0x4041000008 \(its window onto guest memory, guest address 0x41000008\), where nothing is mapped",
    ),
    (
        "module",
        r"vmm_module \(VMM of domain 3, module\) stopped: write to address 0x2000000000 \(the file of the guest's kernel\), which it may not; pc 0x2",
    ),
    (
        "overflow",
        r"vmm_overflow \(VMM of domain 4, overflow\) stopped: write to address 0xff[0-9a-f]+ \(below its stack, which has overflowed\)",
    ),
    (
        "panic",
        r"vmm_panic \(VMM of domain 5, panic\) stopped: it gave up \(a panic\)",
    ),
];

/// Messages that each server gets, and must have answered.
const FLOODS: [(&str, u32); 3] = [
    ("memory_server", 1_000_000),
    ("dt_server", 50_000),
    ("timer_server", 50_000),
];

/// A million messages take a while.
const FLOOD: Duration = Duration::from_secs(300);

/// The scene on Microkit in `config`; on the EL2 host there is nothing between VMMs and servers
/// that could hold.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let name = |test: &str| format!("{config}/hostile/{test}");
    let mut tests: Vec<String> = FAULTS
        .iter()
        .map(|(domain, _)| name(&format!("{domain}-fault-is-told-in-words")))
        .collect();
    let rest = [
        "a-panic-is-told-by-its-own-words",
        "linux-boots-during-the-flood",
        "a-million-messages-are-answered",
        "false-faults-are-counted",
        "linux-works-afterwards",
        "all-memory-is-accounted-for",
    ]
    .map(name);
    tests.extend(rest.clone());
    if !suite.wants(&tests) {
        return;
    }
    let replaced = FAULTS.iter().map(|(domain, _)| *domain).chain(["garbage"]);
    let mut scene = Replaced::boot(suite, lab, config, "hostile", replaced);
    for (test, (_, words)) in tests.iter().zip(FAULTS) {
        scene.step(test, |machine| {
            machine
                .expect(&format!("^fault_server: {words}"), PATIENCE)
                .map(drop)
        });
    }
    let [panic, boots, flood, false_faults, afterwards, memory] = &rest;
    scene.step(panic, |machine| {
        machine
            .expect(r"^panic: vmm_panic: panicked at ", PATIENCE)
            .and_then(|_| machine.expect("^panic: panic panics, as asked$", PATIENCE))
            .map(drop)
    });
    scene.step(boots, |machine| {
        machine.expect("zazen-guest: user space on linux1 ", FLOOD)?;
        if machine.seen().contains("[hostile] memory_server: ") {
            return Err(Failure("the flood was over before Linux was up".into()));
        }
        Ok(())
    });
    scene.step(flood, |machine| {
        FLOODS
            .iter()
            .try_for_each(|&(server, sent)| answered(machine, server, sent))
    });
    scene.step(false_faults, |machine| {
        machine
            .expect(
                r"fault_server: vmm_garbage \(VMM of domain 6, garbage\) has sent 8192 fault messages",
                FLOOD,
            )
            .map(drop)
    });
    scene.step(afterwards, |machine| {
        machine.expect("^garbage: \\[hostile\\] in the middle of a split$", FLOOD)?;
        machine.expect(
            "^garbage: \\[hostile\\] taken for dead: every request is refused$",
            FLOOD,
        )?;
        let answer = shell::ask(machine, "linux1", "echo $((6 * 7)) > /tmp/x; cat /tmp/x")?;
        if answer.contains("42\n") {
            Ok(())
        } else {
            Err(Failure(answer))
        }
    });
    scene.step(memory, accounted);
}

/// Every message was answered, most of them with a refusal and some not.
fn answered(machine: &Machine, server: &str, sent: u32) -> Result<(), Failure> {
    let found = machine.expect(
        &format!(r"^garbage: \[hostile\] {server}: (\d+) messages, (\d+) refused, (\d+) accepted$"),
        FLOOD,
    )?;
    let count = |n: usize| -> u32 { found.get(n).and_then(|text| text.parse().ok()).unwrap_or(0) };
    if count(1) == sent && count(2) + count(3) == sent && count(2) > sent / 2 && count(3) > 0 {
        return Ok(());
    }
    Err(Failure(format!("{server}: {found:?}")))
}

/// The memory server's own sum, and that nothing is left of what those who stopped had or began.
fn accounted(machine: &mut Machine) -> Result<(), Failure> {
    let seen = balloon::dump(machine)?;
    let crashed = [
        "d2 window",
        "d3 module",
        "d4 overflow",
        "d5 panic",
        "d6 garbage",
    ];
    let wanted = crashed.map(|domain| format!("{domain} (crashed, "));
    for wanted in wanted
        .iter()
        .map(String::as_str)
        .chain(["d1 linux1 (alive"])
    {
        if !seen.contains(wanted) {
            return Err(Failure(format!("no \"{wanted}\" in:\n{seen}")));
        }
    }
    if seen.contains("  copying ") {
        return Err(Failure(format!("a split is still in the middle:\n{seen}")));
    }
    Ok(())
}
