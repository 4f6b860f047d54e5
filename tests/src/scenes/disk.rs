//! Two Debian guests with disks: `domains/disk.dts`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell::{focus, says};
use crate::suite::Suite;

/// MiB of the board's disk.
const DISK_MIB: u64 = 64;
/// Sectors of 512 bytes of it.
const SECTORS: u64 = DISK_MIB << 11;
/// What is written: MiB, and from which MiB of the disk on.
const WRITTEN: (usize, usize) = (4, 3);

/// Runs the scene in configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let names = NAMES.map(|name| format!("{config}/disk/{name}"));
    if !suite.wants(&names) {
        return;
    }
    let all: [Step; 5] = [
        Scene::sizes,
        Scene::ram_disk,
        Scene::written,
        Scene::read_only,
        Scene::reboot,
    ];
    steps(suite, &names, || Scene::boot(lab, config), &all);
}

/// The scene of a board without a disk that is driven, in configuration `config`: a guest with a
/// RAM disk.
pub fn of_files(suite: &mut Suite, lab: &Lab, config: &str) {
    let names = FILE_NAMES.map(|name| format!("{config}/disk/{name}"));
    if suite.wants(&names) {
        let all: [Step; 2] = [Scene::holds_its_file, Scene::keeps_what_is_written];
        steps(suite, &names, || Scene::boot_files(lab, config), &all);
    }
}

/// Runs what boots a scene, and then its steps, under `names`.
fn steps(
    suite: &mut Suite,
    names: &[String],
    boot: impl FnOnce() -> Result<Scene, Failure>,
    all: &[Step],
) {
    let mut scene = None;
    let Some((first, names)) = names.split_first() else {
        return;
    };
    suite.run(first, || {
        scene = Some(boot()?);
        Ok(())
    });
    for (name, step) in names.iter().zip(all) {
        // They need the machine of the first.
        suite.run(name, || match &mut scene {
            Some(scene) => step(scene),
            None => Err(Failure("the guests did not boot".into())),
        });
    }
}

const NAMES: [&str; 6] = [
    "both-reach-user-space",
    "disks-have-their-sizes",
    "a-ram-disk-holds-its-file",
    "what-is-written-is-on-the-medium",
    "read-only-is-read-only",
    "disks-come-back-with-a-reboot",
];

const FILE_NAMES: [&str; 3] = [
    "a-guest-reaches-user-space",
    "a-ram-disk-holds-its-file",
    "a-ram-disk-outlives-a-reboot",
];

type Step = fn(&mut Scene) -> Result<(), Failure>;

/// QEMU's options for a board's disk whose medium is the file `medium`, which is empty.
pub(super) fn options(medium: &Path) -> Result<String, Failure> {
    fs::File::create(medium)?.set_len(DISK_MIB << 20)?;
    Ok(format!(
        "-global virtio-mmio.force-legacy=false -drive file='{}',format=raw,if=none,id=disk0 \
         -device virtio-blk-device,drive=disk0,bus=virtio-mmio-bus.0",
        medium.display()
    ))
}

struct Scene {
    machine: Machine,
    /// The medium of the board's disk, and the file of the RAM disk.
    medium: std::path::PathBuf,
    file: std::path::PathBuf,
}

impl Scene {
    fn boot(lab: &Lab, config: &str) -> Result<Self, Failure> {
        let name = format!("disk-{config}");
        let medium = lab.built(&format!("{name}.img"));
        let machine = lab.boot_with(config, "disk.dts", &name, &options(&medium)?)?;
        for guest in ["linux1", "linux2"] {
            machine.expect(&format!("zazen-guest: user space on {guest} "), PATIENCE)?;
        }
        let file = lab.built("guest/files/initrd.cpio");
        Ok(Self {
            machine,
            medium,
            file,
        })
    }

    fn boot_files(lab: &Lab, config: &str) -> Result<Self, Failure> {
        let machine = lab.boot(config, "disk.dts", &format!("disk-{config}"))?;
        machine.expect("zazen-guest: user space on linux1 ", PATIENCE)?;
        Ok(Self {
            machine,
            medium: std::path::PathBuf::new(),
            file: lab.built("guest/files/initrd.cpio"),
        })
    }

    /// What `guest` answers to `command`.
    fn says(&mut self, guest: &str, command: &str) -> Result<String, Failure> {
        // A disk is there a moment after its driver.
        says(&mut self.machine, guest, &format!("sleep 1; {command}"))
    }

    fn check(&mut self, guest: &str, command: &str, wanted: &str) -> Result<(), Failure> {
        let said = self.says(guest, command)?;
        if said == wanted {
            return Ok(());
        }
        Err(Failure(format!(
            "{guest}: {command}\n      {said}\n      instead of {wanted}"
        )))
    }

    fn sizes(&mut self) -> Result<(), Failure> {
        let file = fs::metadata(&self.file)?.len() / 512;
        let sizes = "cat /sys/block/xvd*/size /sys/block/xvd*/ro";
        self.check("linux1", sizes, &format!("{SECTORS} {file} 0 1"))?;
        self.check("linux2", sizes, &format!("{file} 1"))
    }

    /// What `md5sum` says of the RAM disk's file.
    fn sum(&self) -> Result<String, Failure> {
        let output = Command::new("md5sum").arg(&self.file).output()?;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let sum = output.split_whitespace().next().unwrap_or_default();
        Ok(format!("{sum} -"))
    }

    fn holds_its_file(&mut self) -> Result<(), Failure> {
        let wanted = self.sum()?;
        self.check("linux1", "md5sum < /dev/xvda", &wanted)
    }

    /// The block server has the RAM disk, not the guest.
    fn keeps_what_is_written(&mut self) -> Result<(), Failure> {
        let write = "echo written | dd of=/dev/xvda bs=512 seek=1000 conv=fsync 2>/dev/null";
        self.says("linux1", write)?;
        self.restart("linux1")?;
        let read = "dd if=/dev/xvda bs=512 skip=1000 count=1 2>/dev/null | head -n 1";
        self.check("linux1", read, "written")
    }

    fn ram_disk(&mut self) -> Result<(), Failure> {
        let wanted = self.sum()?;
        self.check("linux1", "md5sum < /dev/xvdb", &wanted)?;
        self.check("linux2", "md5sum < /dev/xvda", &wanted)
    }

    /// Random bytes go to the disk; the guest, which has forgotten them, reads the same, and so
    /// does whoever looks at the medium.
    fn written(&mut self) -> Result<(), Failure> {
        let (count, at) = WRITTEN;
        self.says(
            "linux1",
            &format!(
                "dd if=/dev/urandom of=/tmp/bytes bs=1M count={count}; \
                 dd if=/tmp/bytes of=/dev/xvda bs=1M seek={at} conv=fsync"
            ),
        )?;
        self.check(
            "linux1",
            &format!(
                "echo 3 > /proc/sys/vm/drop_caches; \
                 dd if=/dev/xvda bs=1M skip={at} count={count} 2>/dev/null | cmp - /tmp/bytes && echo same"
            ),
            "same",
        )?;
        let sum = self.says("linux1", "md5sum < /tmp/bytes")?;
        let shell = format!(
            "dd if='{}' bs=1M skip={at} count={count} status=none | md5sum",
            self.medium.display()
        );
        let output = Command::new("sh").args(["-c", &shell]).output()?;
        let there = String::from_utf8_lossy(&output.stdout);
        let words = |text: &str| text.split_whitespace().next().map(str::to_owned);
        if words(&there) == words(&sum) && words(&sum).is_some() {
            return Ok(());
        }
        Err(Failure(format!("the medium has {there}, not {sum}")))
    }

    fn read_only(&mut self) -> Result<(), Failure> {
        let command =
            "dd if=/dev/zero of=/dev/xvdb bs=512 count=1 > /dev/null 2>&1 || echo refused";
        self.check("linux1", command, "refused")?;
        self.ram_disk()
    }

    fn reboot(&mut self) -> Result<(), Failure> {
        let (count, at) = WRITTEN;
        let sum = format!("dd if=/dev/xvda bs=1M skip={at} count={count} 2>/dev/null | md5sum");
        let before = self.says("linux1", &sum)?;
        self.restart("linux1")?;
        self.sizes()?;
        self.check("linux1", &sum, &before)
    }

    fn restart(&mut self, guest: &str) -> Result<(), Failure> {
        focus(&mut self.machine, guest)?;
        self.machine.mark();
        self.machine.send("reboot -f\n")?;
        let again = format!("zazen-guest: user space on {guest} ");
        self.machine.expect(&again, PATIENCE)?;
        Ok(())
    }
}
