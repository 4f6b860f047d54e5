//! VMMs that make system calls which no VMM makes: `domains/system-calls.dts` with `pd/hostile` in
//! the place of all VMMs but Linux's. Each is a domain of its own, because most of them end what it
//! can do.
//!
//! What counts is Linux beside them, and what it needs the servers for: it restarts, so the
//! dt-server writes its tree and the memory server takes back and gives; it sleeps, so the timer
//! server wakes it.

use crate::machine::Failure;
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::replaced::Replaced;
use crate::scenes::{balloon, shell};
use crate::suite::Suite;

/// Domains, and what each of them says of what it does.
const CALLS: [(&str, &[&str]); 7] = [
    ("send", &["sends to what it calls for memory", "has sent"]),
    ("senddt", &["sends to what it calls for device trees"]),
    ("lend", &["lends its time to what it calls"]),
    ("lendwait", &["lends its time without a reply"]),
    (
        "sendall",
        &["sends without end to who has time", "has sent to all"],
    ),
    (
        "sweep",
        &[
            "makes every call that does not block, on every capability",
            "has made them all",
        ],
    ),
    ("callfault", &["calls its fault handler"]),
];

/// The scene on Microkit in `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let name = |test: &str| format!("{config}/system-calls/{test}");
    let mut tests: Vec<String> = CALLS
        .iter()
        .map(|(domain, _)| name(&format!("{domain}-has-made-its-calls")))
        .collect();
    let rest = [
        "linux-boots-beside-them",
        "the-memory-server-answers-afterwards",
        "linux-restarts-afterwards",
        "linux-sleeps-and-wakes-afterwards",
        "nobody-else-has-stopped",
    ]
    .map(name);
    tests.extend(rest.clone());
    if !suite.wants(&tests) {
        return;
    }
    let replaced = CALLS.map(|(domain, _)| domain);
    let mut scene = Replaced::boot(suite, lab, config, "system-calls", replaced);
    for (test, (domain, lines)) in tests.iter().zip(CALLS) {
        scene.step(test, |machine| {
            lines.iter().try_for_each(|line| {
                machine
                    .expect(&format!(r"{domain}: \[hostile\] {line}"), PATIENCE)
                    .map(drop)
            })
        });
    }
    let [boots, memory, restarts, sleeps, others] = &rest;
    scene.step(boots, |machine| {
        machine
            .expect("zazen-guest: user space on linux1 ", PATIENCE)
            .map(drop)
    });
    scene.step(memory, |machine| {
        let seen = balloon::dump(machine)?;
        if seen.contains("d1 linux1 (alive") {
            return Ok(());
        }
        Err(Failure(format!("linux1 is not alive:\n{seen}")))
    });
    scene.step(restarts, |machine| {
        shell::focus(machine, "linux1")?;
        machine.mark();
        machine.send("reboot -f\n")?;
        machine
            .expect("zazen-guest: user space on linux1 ", PATIENCE)
            .map(drop)
    });
    scene.step(sleeps, |machine| {
        let answer = shell::ask(machine, "linux1", "sleep 1; echo awake $((6 * 7))")?;
        if answer.contains("awake 42\n") {
            return Ok(());
        }
        Err(Failure(answer))
    });
    scene.step(others, |machine| {
        let seen = machine.seen();
        let stopped = [
            "memory_server",
            "dt_server",
            "timer_server",
            "gate_linux1",
            "vmm_linux1",
        ]
        .map(|pd| format!("fault_server: {pd} "));
        match seen
            .lines()
            .find(|line| stopped.iter().any(|pd| line.contains(pd.as_str())))
        {
            None => Ok(()),
            Some(line) => Err(Failure(line.to_owned())),
        }
    });
}
