//! A system in which nobody has anything to do: `domains/idle.dts`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::machine::Failure;
use crate::scenes::disk::options;
use crate::scenes::lab::{EL2, Lab, PATIENCE};
use crate::suite::Suite;

/// How long nobody must be woken, and how long it has to be quiet before.
const WATCHED: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(1);

/// Two guests with disks and a network wait for nothing: for ten seconds nobody executes an
/// instruction but seL4's own thread that waits, in which the kernel's slices end. The EL2 host has
/// no such thread.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let test = format!("{config}/idle/nobody-is-woken-where-guests-have-disks-and-a-network");
    if !suite.wants(std::slice::from_ref(&test)) {
        return;
    }
    suite.run(&test, || {
        let name = format!("idle-{config}");
        let disk = options(&lab.built(&format!("{name}.img")))?;
        let (counting, counted) = lab.counted(&name)?;
        let options = format!("{disk} {counting}");
        let mut machine = lab.boot_with(config, "idle.dts", &name, &options)?;
        for guest in ["first", "second"] {
            machine.expect(&format!("^{guest}: idle: sleeps"), PATIENCE)?;
        }
        let executed = || {
            let (all, outside) = counted.so_far()?;
            Ok(if config == EL2 { all } else { outside })
        };
        let before = quiet(&executed)?;
        sleep(WATCHED);
        let woken = executed()? - before;
        // It is counted: whoever types wakes the console.
        machine.send("\u{1}\u{1}\u{1}")?;
        machine.expect("Input goes to second ", PATIENCE)?;
        let typed = until_more(&executed, before + woken)?;
        println!("        {woken} instructions in ten seconds, {typed} for three keys");
        if woken == 0 {
            return Ok(());
        }
        Err(Failure(format!(
            "{woken} instructions were executed while nobody had anything to do"
        )))
    });
}

type Count<'a> = &'a dyn Fn() -> Result<u64, Failure>;

/// The count when it has not changed for a while.
fn quiet(executed: Count<'_>) -> Result<u64, Failure> {
    let deadline = Instant::now() + PATIENCE;
    let mut last = executed()?;
    while Instant::now() < deadline {
        sleep(QUIET);
        let now = executed()?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
    Err(Failure("it is never quiet".into()))
}

/// By how much the count grows beyond `before`.
fn until_more(executed: Count<'_>, before: u64) -> Result<u64, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let more = executed()?.saturating_sub(before);
        if more > 0 {
            return Ok(more);
        }
        if Instant::now() > deadline {
            return Err(Failure("what is typed is not counted".into()));
        }
        sleep(Duration::from_millis(100));
    }
}
