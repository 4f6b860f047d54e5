//! The block driver and the block server crash while guests use their disks: `domains/disk.dts`.
//! Both are the product's own until they have been notified so often (`pd/hostile`).

use crate::machine::{Failure, Machine};
use crate::scenes::disk;
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell::ask;
use crate::suite::Suite;

/// A test of the scene, with its name.
type Step = (&'static str, fn(&mut Machine) -> Result<(), Failure>);

/// The steps, each a test.
const STEPS: [Step; 4] = [
    ("both-reach-user-space", started),
    ("a-driver-that-crashes-is-an-error-on-its-disk", driver),
    ("a-server-that-crashes-is-an-error-on-all", server),
    ("the-guests-go-on", unharmed),
];

/// The scene on Microkit in `config`; on the EL2 host what crashes takes everything with it.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let tests = STEPS.map(|(step, _)| format!("{config}/disk-crash/{step}"));
    if !suite.wants(&tests) {
        return;
    }
    let replaced = "block_driver=fragile-driver block_server=fragile-server";
    let lab = lab.clone().with_vmms(replaced);
    let name = format!("disk-crash-{config}");
    let medium = lab.built(&format!("{name}.img"));
    let mut machine = disk::options(&medium)
        .and_then(|options| lab.boot_with(config, "disk.dts", &name, &options))
        .map(|mut machine| {
            machine.expect_faults();
            machine
        });
    for (test, (_, act)) in tests.iter().zip(STEPS) {
        suite.run(test, || match &mut machine {
            Ok(machine) => act(machine),
            Err(failure) => Err(failure.clone()),
        });
    }
}

fn started(machine: &mut Machine) -> Result<(), Failure> {
    for guest in ["linux1", "linux2"] {
        machine.expect(&format!("zazen-guest: user space on {guest} "), PATIENCE)?;
    }
    Ok(())
}

/// `guest` reads `disk`, past its cache, until it gets an error, which is not a hang; meanwhile
/// `server` stops, and that is told.
fn reads_until_error(
    machine: &mut Machine,
    guest: &str,
    disk: &str,
    server: &str,
) -> Result<(), Failure> {
    let read = format!(
        "sleep 1; while dd if=/dev/{disk} of=/dev/null bs=4k iflag=direct count=400 2>/tmp/said; \
         do :; done; echo \"it says\": $(tail -n 1 /tmp/said)"
    );
    let seen = ask(machine, guest, &read)?;
    for wanted in [
        "it says: dd: ",
        &format!("{server} stopped: it gave up (a panic)"),
    ] {
        if !seen.contains(wanted) {
            return Err(Failure(format!("no \"{wanted}\" in:\n{seen}")));
        }
    }
    Ok(())
}

/// Whether `guest` can read `disk`.
fn reads(machine: &mut Machine, guest: &str, disk: &str) -> Result<bool, Failure> {
    let seen = ask(
        machine,
        guest,
        &format!(
            "dd if=/dev/{disk} of=/dev/null bs=4k iflag=direct count=1 2>/dev/null && echo \"it\" reads || echo \"it\" fails"
        ),
    )?;
    match (seen.contains("it reads"), seen.contains("it fails")) {
        (true, false) => Ok(true),
        (false, true) => Ok(false),
        _ => Err(Failure(format!("no answer in:\n{seen}"))),
    }
}

/// The driver stops: its disk fails, RAM disks do not.
fn driver(machine: &mut Machine) -> Result<(), Failure> {
    reads_until_error(machine, "linux1", "xvda", "block_driver")?;
    let ram = [("linux1", "xvdb"), ("linux2", "xvda")];
    for (guest, disk) in ram {
        if !reads(machine, guest, disk)? {
            return Err(Failure(format!("{guest} cannot read {disk}, a RAM disk")));
        }
    }
    Ok(())
}

/// Then the server: all fail.
fn server(machine: &mut Machine) -> Result<(), Failure> {
    reads_until_error(machine, "linux2", "xvda", "block_server")?;
    match reads(machine, "linux1", "xvdb")? {
        true => Err(Failure("linux1 reads what nobody serves".into())),
        false => Ok(()),
    }
}

fn unharmed(machine: &mut Machine) -> Result<(), Failure> {
    for guest in ["linux1", "linux2"] {
        let seen = ask(machine, guest, "echo $((6 * 7)) \"still\" here")?;
        if !seen.contains("42 still here") {
            return Err(Failure(format!("no answer in:\n{seen}")));
        }
    }
    Ok(())
}
