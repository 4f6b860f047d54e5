//! Power that is lost: what a guest has fsynced is there again.
//!
//! A Linux writes files and says behind each, in a sector of its own, that it has been fsynced
//! (`guests/disk/src/files.rs`). QEMU keeps a log of what the disk was told. For moments of the log
//! the disk is made as it may be if power goes then ([`crate::write_log`]); the file system must be
//! whole and the files there.

use std::fs;
use std::path::PathBuf;

use crate::machine::Failure;
use crate::scenes::lab::{Lab, PATIENCE, tool};
use crate::suite::Suite;
use crate::write_log::{Random, WriteLog};

/// MiB of the disk, and of the file system on it.
const DISK_MIB: u64 = 64;
const FILES_MIB: u64 = 56;
/// As in `guests/disk/src/files.rs`: where the mark is, how many files before the last are there,
/// and the most bytes of one.
const MARK: usize = 60 << 20;
const KEPT: u64 = 64;
const MOST: u64 = 24_000;

/// How long the scene is.
struct Extent {
    name: &'static str,
    /// Files that the guest writes.
    files: u64,
    /// Moments at which power is lost.
    moments: usize,
}

/// Runs the scene in configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let extent = Extent {
        name: "power",
        files: 150,
        moments: 12,
    };
    scene(suite, lab, config, &extent);
}

/// The same, with what takes minutes.
pub fn long(suite: &mut Suite, lab: &Lab, config: &str) {
    let extent = Extent {
        name: "power-long",
        files: 2000,
        moments: 200,
    };
    scene(suite, lab, config, &extent);
}

fn scene(suite: &mut Suite, lab: &Lab, config: &str, extent: &Extent) {
    let names = [
        "files-are-written",
        "what-was-fsynced-is-there",
        "without-flushes-it-is-not",
    ];
    let names = names.map(|name| format!("{config}/{}/{name}", extent.name));
    if !suite.wants(&names) {
        return;
    }
    let mut written = None;
    let [write, there, lost] = &names;
    suite.run(write, || {
        written = Some(Written::new(lab, config, extent)?);
        Ok(())
    });
    let none = || Failure("nothing was written".into());
    suite.run(there, || {
        let written = written.as_ref().ok_or_else(none)?;
        let mut most = 0;
        for _ in 0..extent.moments {
            most = most.max(written.lose_power()?);
        }
        let flushes = written.log.flushes() as u64;
        if most > 0 && flushes >= extent.files {
            return Ok(());
        }
        Err(Failure(format!(
            "{most} files were fsynced at most, with {flushes} flushes in all"
        )))
    });
    // The test would see it if flushes went nowhere.
    suite.run(lost, || {
        let mut written = written.take().ok_or_else(none)?;
        written.log = written.log.without_flushes();
        let seen = (0..extent.moments).any(|_| written.lose_power().is_err());
        if seen {
            return Ok(());
        }
        Err(Failure("nothing is lost without flushes".into()))
    });
}

/// A disk that files were written to.
struct Written {
    /// Where what is made is put.
    place: PathBuf,
    before: Vec<u8>,
    log: WriteLog,
    random: std::cell::Cell<Random>,
}

impl Written {
    fn new(lab: &Lab, config: &str, extent: &Extent) -> Result<Self, Failure> {
        let name = format!("{}-{config}", extent.name);
        let place = lab.built(&name);
        fs::create_dir_all(&place)?;
        let (disk, log) = (place.join("disk.img"), place.join("log.img"));
        for file in [&disk, &log] {
            let _ = fs::remove_file(file);
        }
        fs::File::create(&log)?;
        fs::File::create(&disk)?.set_len(DISK_MIB << 20)?;
        tool(&format!(
            "mke2fs -q -F -t ext4 '{}' {FILES_MIB}M",
            disk.display()
        ))?;
        let before = fs::read(&disk)?;
        let what = format!("disk=files:{}", extent.files);
        let domains = lab.changed(config, "bench-disk.dts", &name, &[("disk=rows", &what)])?;
        let file = |node: &str, path: &PathBuf| {
            let path = path.display();
            format!("-blockdev driver=file,node-name={node},filename='{path}',cache.no-flush=on ")
        };
        let options = format!(
            "-global virtio-mmio.force-legacy=false {}{}-blockdev driver=blklogwrites,node-name=disk0,file=medium,\
             log=log,log-sector-size=512,log-super-update-interval=1 \
             -device virtio-blk-device,drive=disk0,bus=virtio-mmio-bus.0",
            file("medium", &disk),
            file("log", &log),
        );
        let machine = lab.boot_file_with(config, &domains, &name, &options)?;
        machine.expect(
            &format!("disk: {} files are written", extent.files),
            PATIENCE,
        )?;
        drop(machine);
        let log = WriteLog::read(fs::read(&log)?)?;
        let now = std::time::SystemTime::now();
        let seed = now.duration_since(std::time::UNIX_EPOCH);
        let seed = seed.map_or(1, |time| u64::from(time.subsec_nanos()) << 8);
        Ok(Self {
            place,
            before,
            log,
            random: std::cell::Cell::new(Random::new(seed)),
        })
    }

    /// Power goes at some moment; how many files had been fsynced.
    fn lose_power(&self) -> Result<u64, Failure> {
        let mut random = self.random.get();
        let seed = random;
        let moment = random.below(self.log.len() + 1);
        let disk = self.log.after(&self.before, moment, &mut random);
        self.random.set(random);
        self.look(&disk)
            .map_err(|Failure(why)| Failure(format!("moment {moment}, {seed:?}: {why}")))
    }

    fn look(&self, disk: &[u8]) -> Result<u64, Failure> {
        let image = self.place.join("lost.img");
        fs::write(&image, disk)?;
        let image = image.display();
        // The journal, as a mount would; then nothing may be wrong.
        tool(&format!("e2fsck -p '{image}' || test $? = 1"))?;
        tool(&format!("e2fsck -fn '{image}'"))?;
        let files = self.place.join("files");
        let _ = fs::remove_dir_all(&files);
        fs::create_dir_all(&files)?;
        tool(&format!(
            "debugfs -R 'rdump / \"{}\"' '{image}'",
            files.display()
        ))?;
        let mark = disk.get(MARK..MARK + 20).unwrap_or_default();
        let text = String::from_utf8_lossy(mark);
        let last = text.lines().next().unwrap_or_default();
        let last: u64 = last.trim_matches('\0').parse().unwrap_or(0);
        for number in last.saturating_sub(KEPT - 1).max(1)..=last {
            let name = format!("f{number}");
            let bytes = fs::read(files.join(&name));
            match bytes {
                Ok(bytes) if bytes == content(number) => {}
                Ok(_) => {
                    return Err(Failure(format!("{name} of {last} has other bytes")));
                }
                Err(error) => return Err(Failure(format!("{name} of {last}: {error}"))),
            }
        }
        Ok(last)
    }
}

/// What file `number` has in it.
fn content(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = 1 + next() % MOST;
    (0..length)
        .map(|_| u8::try_from(next() >> 32 & 0xff).unwrap_or(0))
        .collect()
}
