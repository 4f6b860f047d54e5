//! A Debian on a partition: what its boot costs, how it ends, what is there after its machine was
//! killed, and what the console's monitor asks of it. It takes many minutes.

use std::fs;
use std::path::{Path, PathBuf};

use std::time::Duration;

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, tool};
use crate::scenes::shell::focus;
use crate::suite::Suite;
use crate::write_log::Random;

/// Time for a boot to its login prompt, on a host that does other things too.
const PATIENCE: Duration = Duration::from_secs(900);
/// What a boot may cost, in hundredths of what the bare machine takes.
const MOST: u64 = 125;
/// Where the partition is on the disk, in bytes (`tools/sh/debian.sh`).
const PARTITION: u64 = 1 << 20;

/// How many errors the file system has told.
const ERRORS: &str = "dmesg | grep -c 'EXT4-fs error'";

/// How often the machine is killed in the middle of writing, and how many files are fsynced before,
/// at least and at most.
const KILLS: u64 = 10;
const FSYNCED: (usize, usize) = (10, 120);
/// Lines of a file that is written then.
const LINES: u64 = 2000;
/// MiB that the monitor takes from the guest and gives back.
const BALLOON_MIB: u64 = 64;

/// What Xen's tools are asked, and what the shell makes of their answer: values, children, names
/// that are none, what a guest may not see, and a watch that begins with an event and has another.
const STORE: [(&str, &str); 7] = [
    (
        "xenstore-write data/a 'two words'; xenstore-read data/a",
        "two words",
    ),
    (
        "xenstore-write data/b/c 1; xenstore-list data | sort | tr '\\n' ' '",
        "a b",
    ),
    (
        "xenstore-ls data | tr -s '\\n ' ' '",
        "a = \"two words\" b = \"\" c = \"1\"",
    ),
    (
        "xenstore-rm data/b; xenstore-exists data/b/c || echo none",
        "none",
    ),
    (
        "xenstore-read no/such 2>&1",
        "xenstore-read: couldn't read path no/such",
    ),
    (
        "xenstore-list / 2>&1 | tr -d '\\n'",
        "xenstore-list: could not list path /",
    ),
    (
        "(xenstore-watch -n 2 data/w & sleep 1; xenstore-write data/w 1; wait) | tr '\\n' ' '",
        "data/w data/w",
    ),
];

/// Runs the scene in configuration `config`.
pub fn long(suite: &mut Suite, lab: &Lab, config: &str) {
    run(suite, lab, config, "debian-long", &STEPS);
}

/// Only whether it boots, in configuration `config`.
pub fn boots(suite: &mut Suite, lab: &Lab, config: &str) {
    run(suite, lab, config, "debian-long", &STEPS[..1]);
}

/// The same where no test takes long.
pub fn short(suite: &mut Suite, lab: &Lab, config: &str) {
    run(suite, lab, config, "debian", &STEPS[..1]);
}

/// Each is for itself.
const STEPS: [(&str, Step); 6] = [
    ("boots-to-a-login", Debian::make),
    ("costs-a-quarter-more-at-most", Debian::cost),
    ("is-clean-after-poweroff-and-reboot", Debian::end),
    ("does-what-the-monitor-asks", Debian::asked),
    ("has-its-store-by-xens-tools", Debian::store),
    ("is-whole-after-ten-kills", Debian::killed),
];

fn run(suite: &mut Suite, lab: &Lab, config: &str, scene: &str, steps: &[(&str, Step)]) {
    // Time is instructions: systemd waits for nothing longer because the host is busy.
    let debian = Debian {
        lab: lab.clone().counting(),
        config: config.to_owned(),
    };
    for (test, step) in steps {
        let name = format!("{config}/{scene}/{test}");
        if suite.wants(std::slice::from_ref(&name)) {
            suite.run(&name, || step(&debian));
        }
    }
}

type Step = fn(&Debian) -> Result<(), Failure>;

struct Debian {
    lab: Lab,
    config: String,
}

impl Debian {
    /// Makes the disk, the first time, and boots.
    fn make(&self) -> Result<(), Failure> {
        self.lab
            .until(&self.config, "debian.dts", "login:", PATIENCE)
    }

    fn disk(&self) -> PathBuf {
        self.lab.built("debian/disk.img")
    }

    /// Counts the instructions of a boot, and of one on the bare machine. Neither has a seed for
    /// random numbers from QEMU, as no guest of Xen's has one; Linux computes for want of it.
    fn cost(&self) -> Result<(), Failure> {
        let bare = format!(
            "qemu-system-aarch64 -machine virt,gic-version=2,dtb-randomness=off -cpu cortex-a53 -m {mib}M -nic none \
             -display none -serial stdio -monitor none -icount shift=0,sleep=off -kernel '{image}' -initrd '{initrd}' \
             -append 'console=ttyAMA0 root=/dev/vda1' -drive file='{disk}',format=raw,if=none,id=disk0 \
             -device virtio-blk-device,drive=disk0",
            mib = self.lab.memory_of("debian.dts")?,
            image = self.lab.built("guest/files/Image").display(),
            initrd = self.lab.built("debian/initrd.cpio").display(),
            disk = self.disk().display(),
        );
        let counting = |name: &str, start: &dyn Fn(&str) -> Result<Machine, Failure>| {
            let (options, counted) = self.lab.counted(name)?;
            let machine = start(&format!("-snapshot {options}"))?;
            machine.expect("debian login: ", PATIENCE)?;
            counted.so_far().map(|(all, _)| all)
        };
        let bare = counting("debian-bare", &|options| {
            self.lab.start(&format!("{bare} {options}"), "debian-bare")
        })?;
        let name = format!("debian-{}", self.config);
        let here = counting(&name, &|options| {
            self.lab
                .boot_disk(&self.config, "debian.dts", &name, &self.disk(), options)
        })?;
        let (whole, bare_whole) = (here / 1_000_000, bare / 1_000_000);
        println!("        {whole} million instructions, {bare_whole} on the bare machine");
        if here <= bare / 100 * MOST {
            return Ok(());
        }
        Err(Failure(format!(
            "{whole} million instructions, on the bare machine {bare_whole}"
        )))
    }

    /// A copy of the disk of this name.
    fn copy(&self, name: &str) -> Result<PathBuf, Failure> {
        let copy = self.lab.built(&format!("{name}-{}.img", self.config));
        let (from, to) = (self.disk(), copy.display());
        tool(&format!("cp --sparse=always '{}' '{to}'", from.display()))?;
        Ok(copy)
    }

    fn boot(&self, what: &str, disk: &Path) -> Result<Machine, Failure> {
        let name = format!("debian-{what}-{}", self.config);
        self.lab
            .boot_disk(&self.config, "debian.dts", &name, disk, "")
    }

    /// Boots with the disk as it was made; what is written to it is forgotten.
    fn aside(&self, what: &str) -> Result<Machine, Failure> {
        let name = format!("debian-{what}-{}", self.config);
        let disk = self.disk();
        self.lab
            .boot_disk(&self.config, "debian.dts", &name, &disk, "-snapshot")
    }

    /// `reboot -f` writes what is there and asks nobody: what was written before is kept. After
    /// poweroff there is no journal to be recovered.
    fn end(&self) -> Result<(), Failure> {
        let disk = self.copy("debian-ended")?;
        let mut machine = self.boot("ended", &disk)?;
        log_in(&mut machine)?;
        machine.send("echo kept > ~/kept; reboot -f\n")?;
        machine.mark();
        machine.expect("Welcome to", PATIENCE)?;
        log_in(&mut machine)?;
        answers(&mut machine, ERRORS, "0")?;
        answers(&mut machine, "cat ~/kept", "kept")?;
        machine.send("poweroff\n")?;
        machine.expect("reboot: Power down", PATIENCE)?;
        drop(machine);
        not_to_be_recovered(&disk)?;
        Ok(fs::remove_file(disk)?)
    }

    /// The words of `t` at the console's monitor, with Debian's own services behind them.
    fn asked(&self) -> Result<(), Failure> {
        let disk = self.copy("debian-asked")?;
        let mut machine = self.boot("asked", &disk)?;
        log_in(&mut machine)?;
        let all = memory(&mut machine)?;
        let mib = self.lab.memory_of("debian.dts")?;
        for less in [BALLOON_MIB, 0] {
            monitor(&mut machine, &format!("mem-set debian {}", mib - less))?;
            becomes(&mut machine, all - less * 1024)?;
        }
        monitor(&mut machine, "reboot debian")?;
        machine.expect("reboot: Restarting system", PATIENCE)?;
        focus(&mut machine, "debian")?;
        log_in(&mut machine)?;
        answers(&mut machine, ERRORS, "0")?;
        monitor(&mut machine, "shutdown debian")?;
        machine.expect("reboot: Power down", PATIENCE)?;
        drop(machine);
        not_to_be_recovered(&disk)?;
        Ok(fs::remove_file(disk)?)
    }

    /// Xen's own tools, of Debian's package, read and write the store.
    fn store(&self) -> Result<(), Failure> {
        let mut machine = self.aside("store")?;
        log_in(&mut machine)?;
        for (command, wanted) in STORE {
            answers(&mut machine, command, wanted)?;
        }
        Ok(())
    }

    /// The machine is killed while the guest writes files and says behind each that it is fsynced.
    /// Then the file system's check finds nothing wrong, and the next boot all that was said.
    fn killed(&self) -> Result<(), Failure> {
        let disk = self.copy("debian-killed")?;
        let mut random = Random::new(KILLS);
        let (least, most) = FSYNCED;
        let mut machine = self.boot("killed", &disk)?;
        log_in(&mut machine)?;
        for kill in 1..=KILLS {
            let some = least + random.below(most - least);
            let there = write_until(&mut machine, some)?;
            drop(machine);
            let checked = format!("debian-checked-{}.img", self.config);
            check_copy(&disk, &self.lab.built(&checked))
                .map_err(|Failure(why)| Failure(format!("kill {kill}: {why}")))?;
            machine = self.boot("killed", &disk)?;
            log_in(&mut machine)?;
            answers(&mut machine, ERRORS, "0")?;
            // Each file has lines from its own number on.
            let wrong = format!(
                "for n in $(seq 1 {there}); do seq $n $((n + {LINES})) | cmp -s - ~/written/$n || echo $n; done | wc -l"
            );
            answers(&mut machine, &wrong, "0")
                .map_err(|Failure(why)| Failure(format!("kill {kill}: {why}")))?;
            println!("        kill {kill}: the check finds nothing, {there} files are there");
        }
        drop(machine);
        Ok(fs::remove_file(disk)?)
    }
}

/// Has the guest write files and fsync them, until it has said so of `some`; how many it has said
/// it of when nothing more is heard.
fn write_until(machine: &mut Machine, some: usize) -> Result<usize, Failure> {
    machine.mark();
    machine.send(&format!(
        "rm -rf ~/written; mkdir ~/written; n=0; while true; do n=$((n + 1)); \
         seq $n $((n + {LINES})) > ~/written/$n; sync ~/written/$n ~/written; echo \"fsynced\"\" $n of them\"; done\n"
    ))?;
    machine.expect(&format!("fsynced {some} of them$"), PATIENCE)?;
    let seen = machine.seen();
    let numbers = seen.split("fsynced ").filter_map(|rest| {
        let (number, _) = rest.split_once(" of them")?;
        number.parse().ok()
    });
    Ok(numbers.max().unwrap_or(some))
}

/// The file system of the disk at `disk` is whole, with its journal; looked at in a copy, so that
/// the guest meets it as it was left. The copy is of the partition alone: e2fsck, which opens a
/// file system once more when it has recovered its journal, forgets an offset.
fn check_copy(disk: &Path, copy: &Path) -> Result<(), Failure> {
    let (from, to) = (disk.display(), copy.display());
    let skip = PARTITION >> 20;
    tool(&format!(
        "dd if='{from}' of='{to}' bs=1M skip={skip} conv=sparse status=none"
    ))?;
    tool(&format!("e2fsck -p '{to}' || test $? = 1"))?;
    tool(&format!("e2fsck -fn '{to}'"))?;
    Ok(fs::remove_file(copy)?)
}

/// The file system of the disk at `disk` was unmounted, and nothing is wrong with it.
fn not_to_be_recovered(disk: &Path) -> Result<(), Failure> {
    let partition = format!("'{}?offset={PARTITION}'", disk.display());
    tool(&format!(
        "! dumpe2fs -h {partition} 2>/dev/null | grep -q needs_recovery"
    ))?;
    tool(&format!("e2fsck -fn {partition}"))
}

/// Types `words` behind the monitor's `t`.
fn monitor(machine: &mut Machine, words: &str) -> Result<(), Failure> {
    focus(machine, "zazen")?;
    machine.mark();
    machine.send(&format!("t{words}\r"))
}

/// KiB of RAM that the guest's Linux has.
fn memory(machine: &mut Machine) -> Result<u64, Failure> {
    let said = ask(machine, "grep MemTotal /proc/meminfo | tr -dc 0-9")?;
    said.parse().map_err(|_| Failure(said))
}

/// Waits until Linux has that many KiB of RAM.
fn becomes(machine: &mut Machine, kib: u64) -> Result<(), Failure> {
    focus(machine, "debian")?;
    let command = format!(
        "for n in $(seq 1 100); do grep -q 'MemTotal: *{kib} kB' /proc/meminfo && break; sleep 0.2; done; \
         grep MemTotal /proc/meminfo | tr -dc 0-9"
    );
    answers(machine, &command, &kib.to_string())
}

/// Waits for the prompt, and is root.
fn log_in(machine: &mut Machine) -> Result<(), Failure> {
    machine.expect("debian login: ", PATIENCE)?;
    machine.mark();
    machine.send("root\n")?;
    machine.expect("root@debian:~#", PATIENCE)?;
    Ok(())
}

/// What the shell answers to `command`.
fn ask(machine: &mut Machine, command: &str) -> Result<String, Failure> {
    machine.mark();
    machine.send(&format!("echo \"it says\"\": $({command})\"\n"))?;
    // The whole line: part of it may have come so far.
    let said = machine.expect("it says: (.*)\\n", PATIENCE)?;
    Ok(said
        .get(1)
        .map(|said| said.trim().to_owned())
        .unwrap_or_default())
}

/// The shell's answer to `command` must be `wanted`.
fn answers(machine: &mut Machine, command: &str, wanted: &str) -> Result<(), Failure> {
    let said = ask(machine, command)?;
    if said == wanted {
        return Ok(());
    }
    Err(Failure(format!("{command}: {said:?} instead of {wanted}")))
}
