//! Where guests' memory lies and how much it becomes: `domains/static-direct.dts` of each board,
//! `domains/balloon.dts`.

use crate::machine::{Failure, Machine};
use crate::scenes::balloon::{self, Count};
use crate::scenes::lab::{Lab, PATIENCE, ZCU102};
use crate::scenes::shell::ask;
use crate::suite::Suite;

const GUESTS: [&str; 2] = ["linux1", "linux2"];
/// KiB that move.
const MOVED: u64 = 128 << 10;

/// What is tested on a machine that has booted.
type Test<'a> = (
    &'static str,
    &'a dyn Fn(&mut Machine) -> Result<(), Failure>,
);

/// What guests that see host addresses see on one board, as Linux writes it.
struct Direct {
    /// RAM of the first guest.
    ram: &'static str,
    /// The pieces of the second guest's.
    pieces: [&'static str; 2],
    /// Interrupt controller and UART.
    devices: [&'static str; 2],
}

/// `domains/static-direct.dts`.
const DIRECT_ON_VIRT: Direct = Direct {
    ram: "40000000-4fffffff : System RAM",
    pieces: [
        "50000000-57ffffff : System RAM",
        "5a000000-5bffffff : System RAM",
    ],
    devices: [
        "interrupt-controller@8000000",
        "09000000-09000fff : 9000000.sbsa-uart",
    ],
};

/// `domains/zcu102-static-direct.dts`.
const DIRECT_ON_ZCU102: Direct = Direct {
    ram: "10000000-1fffffff : System RAM",
    pieces: [
        "870000000-877ffffff : System RAM",
        "87c000000-87dffffff : System RAM",
    ],
    devices: [
        "interrupt-controller@f9010000",
        "ff000000-ff000fff : ff000000.sbsa-uart",
    ],
};

/// Guests that see host addresses.
pub fn direct(suite: &mut Suite, lab: &Lab, config: &str) {
    let board = if config.starts_with(ZCU102) {
        &DIRECT_ON_ZCU102
    } else {
        &DIRECT_ON_VIRT
    };
    let tests: [Test<'_>; 5] = [
        ("ram-is-at-host-addresses", &|machine| {
            ram_is_at_host_addresses(machine, board)
        }),
        ("devices-are-at-host-addresses", &|machine| {
            devices(machine, board)
        }),
        ("typed-lines-arrive-whole", &typed_lines),
        ("linux-bounces-for-devices", &bounce_buffers),
        ("balloon-down-and-up", &|machine| {
            balloon::down_and_up(machine, GUESTS[0], MOVED, Count::Stays)
        }),
    ];
    scene(suite, lab, config, "static-direct", &GUESTS, &tests);
}

/// A guest with static memory gives up half of it and more.
pub fn of_static(suite: &mut Suite, lab: &Lab, config: &str) {
    let tests: [Test<'_>; 1] = [("balloon-down-and-up", &|machine| {
        balloon::down_and_up(machine, GUESTS[0], MOVED, Count::Follows)
    })];
    scene(suite, lab, config, "one-linux", &GUESTS[..1], &tests);
}

/// A guest that grows by what another gives up.
pub fn growth(suite: &mut Suite, lab: &Lab, config: &str) {
    let tests: [Test<'_>; 2] = [
        ("balloon-down-and-up", &|machine| {
            balloon::down_and_up(machine, GUESTS[0], MOVED, Count::Follows)
        }),
        ("one-grows-by-what-the-other-gives-up", &handing_over),
    ];
    scene(suite, lab, config, "balloon", &GUESTS, &tests);
}

/// Boots `domains/FILE.dts` and runs `tests` on it, one after the other.
fn scene(
    suite: &mut Suite,
    lab: &Lab,
    config: &str,
    file: &str,
    guests: &[&str],
    tests: &[Test<'_>],
) {
    let name = |test: &str| format!("{config}/{file}/{test}");
    let boots = name("guests-reach-user-space");
    let names: Vec<String> = core::iter::once(boots.clone())
        .chain(tests.iter().map(|(test, _)| name(test)))
        .collect();
    if !suite.wants(&names) {
        return;
    }
    let mut machine = None;
    suite.run(&boots, || {
        let booted = lab.boot(config, &format!("{file}.dts"), &format!("{file}-{config}"))?;
        for guest in guests {
            booted.expect(&format!("zazen-guest: user space on {guest} "), PATIENCE)?;
        }
        machine = Some(booted);
        Ok(())
    });
    for (test, run) in tests {
        // Later tests need the machine of the first; their failures then say so.
        suite.run(&name(test), || {
            let machine = machine.as_mut();
            run(machine.ok_or_else(|| Failure("the guests did not boot".into()))?)
        });
    }
}

/// Asserts that `guest`'s answer to `command` has each of these texts, which the command has not.
fn answers(
    machine: &mut Machine,
    guest: &str,
    command: &str,
    texts: &[&str],
) -> Result<(), Failure> {
    let answer = ask(machine, guest, command)?;
    match texts.iter().find(|text| !answer.contains(**text)) {
        Some(text) => Err(Failure(format!("{guest}: no \"{text}\" in: {answer}"))),
        None => Ok(()),
    }
}

/// The domains file gives linux1 one range, linux2 two with a gap.
fn ram_is_at_host_addresses(machine: &mut Machine, board: &Direct) -> Result<(), Failure> {
    let [first, second] = GUESTS;
    let tell = "grep RAM /proc/iomem";
    answers(machine, first, tell, &[board.ram])?;
    answers(machine, second, tell, &board.pieces)
}

/// The emulated UART is where the host has one of whatever kind (DM-4), and takes what is written
/// to it.
fn devices(machine: &mut Machine, board: &Direct) -> Result<(), Failure> {
    let tell = "ls /proc/device-tree; grep uart /proc/iomem; echo to the uart > /dev/ttyAMA0; grep -c '' /proc/interrupts";
    answers(machine, GUESTS[0], tell, &board.devices)
}

/// linux1 has a UART beside its PV console, and has just used it; what is typed is for the shell
/// all the same.
fn typed_lines(machine: &mut Machine) -> Result<(), Failure> {
    let guest = GUESTS[0];
    for length in (10..=500).step_by(150) {
        let text: String = ('a'..='z').cycle().take(length).collect();
        let answer = ask(machine, guest, &format!("printf %s {text} | wc -c"))?;
        if !answer.contains(&format!("{guest}: {length}\n")) {
            return Err(Failure(format!("{length} characters became: {answer}")));
        }
    }
    Ok(())
}

/// Linux takes Xen's bounce buffers where it is told that it is direct-mapped, and with this little
/// memory only then.
fn bounce_buffers(machine: &mut Machine) -> Result<(), Failure> {
    let tell = "dmesg | grep -i 'io tlb'";
    answers(machine, GUESTS[0], tell, &["software IO TLB: mapped"])
}

/// The heap has room for what both start with, so linux2 can only grow into what linux1 gave up.
fn handing_over(machine: &mut Machine) -> Result<(), Failure> {
    let [giver, taker] = GUESTS;
    let expect = |what: &str, now: u64, then: u64| {
        (now == then)
            .then_some(())
            .ok_or_else(|| Failure(format!("{what}: {now} kB instead of {then} kB")))
    };
    let (gives, takes) = (
        balloon::target(machine, giver)?,
        balloon::target(machine, taker)?,
    );
    let (giver_has, taker_has) = (
        balloon::mem_total(machine, giver)?,
        balloon::mem_total(machine, taker)?,
    );
    let counted = |machine: &mut Machine| -> Result<(u64, u64), Failure> {
        let gives = balloon::server_ram(machine, giver)?;
        Ok((gives, balloon::server_ram(machine, taker)?))
    };
    let (giver_pages, taker_pages) = counted(machine)?;
    let now = balloon::set(machine, giver, gives - MOVED)?;
    expect(giver, now, giver_has - MOVED)?;
    let now = balloon::set(machine, taker, takes + MOVED)?;
    expect(taker, now, taker_has + MOVED)?;
    let moved = MOVED / 4;
    if counted(machine)? != (giver_pages - moved, taker_pages + moved) {
        return Err(Failure(format!(
            "the memory server counts {:?} pages instead of {moved} less and more than {giver_pages} and {taker_pages}",
            counted(machine)?
        )));
    }
    // More than the taker had before: copies of one file, all of which stay alike.
    answers(
        machine,
        taker,
        "mkdir -p /m; mount -t tmpfs -o size=120m m /m; dd if=/dev/urandom of=/m/0 bs=1M count=1; \
         for i in $(seq 104); do cp /m/0 /m/$i; done; \
         echo \"$(ls /m | wc -l) files, $(md5sum /m/* | cut -c 1-32 | sort -u | wc -l) content\"; umount /m",
        &["105 files, 1 content"],
    )?;
    let now = balloon::set(machine, taker, takes)?;
    expect(taker, now, taker_has)?;
    let now = balloon::set(machine, giver, gives)?;
    expect(giver, now, giver_has)
}
