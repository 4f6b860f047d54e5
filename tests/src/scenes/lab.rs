//! Building images and starting machines through `build.sh`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use board::{BOARDS, Board, DEFAULT};
use regex::Regex;

use crate::machine::{Failure, Machine};

/// Time in which anything that a machine does must have happened. A boot takes a few seconds and no
/// step more than half a minute where the host has nothing else to do; it may be ten times as busy.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The configuration that stands for the EL2 host; the others are seL4's on Microkit.
pub const EL2: &str = "el2";

/// The same on four cores.
pub const SMP_EL2: &str = "smp-el2";

/// What the configurations on the ZCU102 start with.
pub const ZCU102: &str = "zcu102-";

/// The board that configuration `config` is on, and what is left of it: configurations on other
/// boards than the default one start with the board's name.
fn on_board(config: &str) -> (&'static Board, &str) {
    let others = BOARDS.iter().copied().filter(|board| *board != DEFAULT);
    others
        .filter_map(|board| {
            let rest = config.strip_prefix(board.name)?;
            Some((board, rest.strip_prefix('-')?))
        })
        .next()
        .unwrap_or((DEFAULT, config))
}

/// One scene at a time builds: scenes that run beside each other share build/, and cargo uses every
/// core by itself.
static BUILDING: Mutex<()> = Mutex::new(());

/// How often a count is read that is just being written.
const TRIES: usize = 100;

/// How long a machine may take to read its image, which is the time to its first output.
const START: Duration = Duration::from_secs(20);

/// Where images are built and started.
#[derive(Clone)]
pub struct Lab {
    build_sh: PathBuf,
    /// What `build.sh` gets as `ZAZEN_TEST_VMMS`.
    test_vmms: String,
    /// How the machine's time passes, as options of `build.sh run`.
    time: Option<&'static str>,
}

impl Lab {
    /// A laboratory around `build_sh`, the path of `build.sh`.
    #[must_use]
    pub fn new(build_sh: &Path) -> Self {
        Self {
            build_sh: build_sh.to_path_buf(),
            test_vmms: String::new(),
            time: None,
        }
    }

    /// The same with the VMMs of some domains replaced by test programs: `NAME=PROGRAM` each,
    /// separated by spaces.
    #[must_use]
    pub fn with_vmms(self, vmms: &str) -> Self {
        Self {
            test_vmms: vmms.to_owned(),
            ..self
        }
    }

    /// The same with machines whose time is the instructions that they have executed, however busy
    /// the host is.
    #[must_use]
    pub fn counting(self) -> Self {
        Self {
            time: Some("--icount"),
            ..self
        }
    }

    /// The same with machines whose time is the host's, even where few of its processors make them
    /// slow.
    #[must_use]
    pub fn never_counting(self) -> Self {
        Self {
            time: Some("--no-icount"),
            ..self
        }
    }

    /// The path of domains file `name`, of the default board.
    #[must_use]
    pub fn domains_path(&self, name: &str) -> PathBuf {
        self.domains_file("", name)
    }

    /// `build/domains/NAME.dts`, with `text`.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn written(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let directory = self.built("domains");
        fs::create_dir_all(&directory)?;
        let path = directory.join(format!("{name}.dts"));
        fs::write(&path, text)?;
        Ok(path)
    }

    fn root(&self) -> &Path {
        self.build_sh.parent().unwrap_or(Path::new("."))
    }

    /// Standard output of `build.sh` with `arguments`.
    fn build(&self, arguments: &[&str]) -> Result<String, Failure> {
        let output = Command::new(&self.build_sh)
            .args(arguments)
            .env("ZAZEN_TEST_VMMS", &self.test_vmms)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            let last: Vec<_> = error.lines().rev().take(24).collect();
            let shown: Vec<_> = last.into_iter().rev().collect();
            return Err(Failure(format!(
                "build.sh {}:\n      {}",
                arguments.join(" "),
                shown.join("\n      ")
            )));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Builds the image of `domains` in `config` and boots it; the serial output also goes to
    /// `build/log/boot-NAME.log`.
    ///
    /// # Errors
    /// The image cannot be built or QEMU not be started.
    pub fn boot(&self, config: &str, domains: &str, name: &str) -> Result<Machine, Failure> {
        self.boot_file(config, &self.domains_file(config, domains), name)
    }

    /// The same with the first text of `change` replaced by the second in the domains file.
    ///
    /// # Errors
    /// As [`Lab::boot`]; the domains file does not contain the text.
    pub fn boot_changed(
        &self,
        config: &str,
        domains: &str,
        name: &str,
        change: (&str, &str),
    ) -> Result<Machine, Failure> {
        let quoted = |word: &str| format!(" {word}\"");
        let (old, new) = (quoted(change.0), quoted(change.1));
        let changed = self.changed(config, domains, name, &[(&old, &new)])?;
        self.boot_file(config, &changed, name)
    }

    /// `build/domains/NAME.dts`: `domains` with the first text of each of `changes` replaced by the
    /// second.
    ///
    /// # Errors
    /// The domains file cannot be read or does not contain a text; its copy cannot be written.
    pub fn changed(
        &self,
        config: &str,
        domains: &str,
        name: &str,
        changes: &[(&str, &str)],
    ) -> Result<PathBuf, Failure> {
        let mut text = fs::read_to_string(self.domains_file(config, domains))?;
        for (old, new) in changes {
            if !text.contains(old) {
                return Err(Failure(format!("domains/{domains} has no {old}")));
            }
            text = text.replace(old, new);
        }
        self.written(name, &text)
    }

    /// MiB of RAM of the first domain in `domains`.
    ///
    /// # Errors
    /// The file cannot be read or has no such property.
    pub fn memory_of(&self, domains: &str) -> Result<u64, Failure> {
        let text = fs::read_to_string(self.domains_file("", domains))?;
        let property = Regex::new(r"memory = <0x0 0x([0-9a-f]+)>")
            .map_err(|error| Failure(error.to_string()))?;
        let kib = property
            .captures(&text)
            .and_then(|found| u64::from_str_radix(&found[1], 16).ok());
        kib.map(|kib| kib / 1024)
            .ok_or_else(|| Failure(format!("domains/{domains} has no memory property")))
    }

    /// Domains file `name`, or the one of the same scene for the board of `config`.
    fn domains_file(&self, config: &str, name: &str) -> PathBuf {
        let name = match on_board(config).0 {
            board if board == DEFAULT => name.to_owned(),
            board => format!("{}-{name}", board.name),
        };
        self.root().join("domains").join(name)
    }

    /// Builds the image of the domains file `domains` and returns its path.
    ///
    /// # Errors
    /// It cannot be built; the failure has the last of what `build.sh` says.
    pub fn image(&self, config: &str, domains: &Path) -> Result<PathBuf, Failure> {
        let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        self.build_image(config, domains)
    }

    fn build_image(&self, config: &str, domains: &Path) -> Result<PathBuf, Failure> {
        let path = self.on(config, &["image"], domains)?;
        Ok(PathBuf::from(path))
    }

    /// Builds the image of the domains file `domains` in `config` and boots it, as [`Lab::boot`]
    /// does.
    ///
    /// # Errors
    /// As [`Lab::boot`].
    pub fn boot_file(&self, config: &str, domains: &Path, name: &str) -> Result<Machine, Failure> {
        self.boot_file_with(config, domains, name, "")
    }

    /// The same as [`Lab::boot`] with `options` for QEMU, as the shell takes them.
    ///
    /// # Errors
    /// As [`Lab::boot`].
    pub fn boot_with(
        &self,
        config: &str,
        domains: &str,
        name: &str,
        options: &str,
    ) -> Result<Machine, Failure> {
        self.boot_file_with(config, &self.domains_file(config, domains), name, options)
    }

    /// The same as [`Lab::boot_file`] with `options` for QEMU, as the shell takes them.
    ///
    /// # Errors
    /// As [`Lab::boot`].
    pub fn boot_file_with(
        &self,
        config: &str,
        domains: &Path,
        name: &str,
        options: &str,
    ) -> Result<Machine, Failure> {
        self.boot_as(config, domains, name, &[], options)
    }

    /// The same with options for `build.sh run`.
    fn boot_as(
        &self,
        config: &str,
        domains: &Path,
        name: &str,
        run_options: &[&str],
        options: &str,
    ) -> Result<Machine, Failure> {
        // Another scene may have other VMMs in the image of the same name: QEMU has read it when
        // something is printed.
        let building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        self.build_image(config, domains)?;
        let mut run = vec!["run", "--dry-run"];
        run.extend(self.time);
        run.extend(run_options);
        let command = self.on(config, &run, domains)?;
        let machine = Machine::start(&format!("{command} {options}"), &self.log(name))?;
        machine.wait_for_output(START);
        drop(building);
        Ok(machine)
    }

    /// The same as [`Lab::boot_with`] with the file `disk` as the board's disk.
    ///
    /// # Errors
    /// As [`Lab::boot`].
    pub fn boot_disk(
        &self,
        config: &str,
        domains: &str,
        name: &str,
        disk: &Path,
        options: &str,
    ) -> Result<Machine, Failure> {
        let disk = disk.display().to_string();
        let file = self.domains_file(config, domains);
        self.boot_as(config, &file, name, &["--disk", &disk], options)
    }

    /// Boots `domains` by `build.sh run`, which makes what is missing, until a line matches
    /// `pattern`.
    ///
    /// # Errors
    /// It does not within that time.
    pub fn until(
        &self,
        config: &str,
        domains: &str,
        pattern: &str,
        within: Duration,
    ) -> Result<(), Failure> {
        let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = within.as_secs().to_string();
        let mut run = vec!["run", "--until", pattern, "--timeout", &seconds];
        run.extend(self.time);
        self.on(config, &run, &self.domains_file(config, domains))?;
        Ok(())
    }

    /// QEMU's options for a machine whose instructions are counted under `name`.
    ///
    /// # Errors
    /// The plugin cannot be built.
    pub fn counted(&self, name: &str) -> Result<(String, Counted), Failure> {
        let counted = Counted(self.built(&format!("log/{name}.count")));
        // What another machine left there is no count of this one.
        let _ = fs::remove_file(&counted.0);
        let plugin = self.plugin()?;
        let options = format!(
            "-plugin '{}',into='{}'",
            plugin.display(),
            counted.0.display()
        );
        Ok((options, counted))
    }

    /// Builds the plugin that counts instructions and returns its path.
    fn plugin(&self) -> Result<PathBuf, Failure> {
        let root = self.root().canonicalize()?;
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
        tool(&format!(
            "cd '{}' && cargo build -q --locked -p zazen-instructions",
            root.display()
        ))?;
        Ok(target.join("debug/libzazen_instructions.so"))
    }

    /// Starts `command`, which becomes QEMU.
    ///
    /// # Errors
    /// QEMU cannot be started.
    pub fn start(&self, command: &str, name: &str) -> Result<Machine, Failure> {
        Machine::start(command, &self.log(name))
    }

    /// Standard output of `build.sh` with `command` for `config` and `domains`.
    fn on(&self, config: &str, command: &[&str], domains: &Path) -> Result<String, Failure> {
        let domains = domains.to_string_lossy();
        let (board, config) = on_board(config);
        let mut options = command.to_vec();
        match config {
            EL2 => options.extend(["--host", "el2"]),
            SMP_EL2 => options.extend(["--host", "el2", "--cores", "4"]),
            config => options.extend(["--host", "microkit", "--config", config]),
        }
        options.extend(["--board", board.name, "--domains", &domains]);
        self.build(&options)
    }

    /// Boots the default guest on the bare machine, without hypervisor, with `mib` MiB of RAM.
    ///
    /// # Errors
    /// QEMU or dtc cannot be started. The guest's files are those of the image built last.
    pub fn boot_native(&self, mib: u64) -> Result<Machine, Failure> {
        let files = self.built("guest/files");
        let machine = format!(
            "qemu-system-aarch64 -cpu cortex-a53 -m {mib}M -nic none -display none -machine virt,gic-version=2"
        );
        // QEMU pads the device tree that it makes to 1 MiB, which the guest would miss; dtc takes
        // the padding off.
        let tree = self.built("domains/native.dtb");
        fs::create_dir_all(self.built("domains"))?;
        let shell = |line: String| {
            Command::new("sh")
                .args(["-c", &line])
                .stdin(Stdio::null())
                .output()
        };
        let made = shell(format!(
            "{machine},dumpdtb='{0}' && dtc -q -I dtb -O dtb -o '{0}' '{0}'",
            tree.display()
        ))?;
        if !made.status.success() {
            return Err(Failure(format!(
                "no device tree for the bare machine: {}",
                String::from_utf8_lossy(&made.stderr)
            )));
        }
        let command = format!(
            "{machine} -serial stdio -monitor none -dtb '{1}' -kernel '{0}/Image' -initrd '{0}/initrd.cpio' \
             -append 'console=ttyAMA0 quiet hostname=native'",
            files.display(),
            tree.display()
        );
        Machine::start(&command, &self.log("native"))
    }

    /// The file of that name in the directory of what is built.
    #[must_use]
    pub fn built(&self, name: &str) -> PathBuf {
        self.root().join("build").join(name)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.built("log").join(format!("boot-{name}.log"))
    }
}

/// Where the instructions of a machine are counted (`tests/instructions`).
pub struct Counted(PathBuf);

impl Counted {
    /// How many there were so far, and how many of them outside seL4.
    ///
    /// # Errors
    /// The machine does not count.
    pub fn so_far(&self) -> Result<(u64, u64), Failure> {
        // The file may just be written.
        for _ in 0..TRIES {
            let text = fs::read_to_string(&self.0).unwrap_or_default();
            let numbers: Vec<u64> = text
                .split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect();
            if let ([all, outside], true) = (&*numbers, text.ends_with('\n')) {
                return Ok((*all, *outside));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(Failure("the plugin has not counted".into()))
    }
}

/// Runs a line of the shell, which has to succeed.
///
/// # Errors
/// It does not; the failure has the last of what it says.
pub fn tool(line: &str) -> Result<(), Failure> {
    let output = Command::new("sh")
        // File system tools may be in directories of root's.
        .args(["-c", &format!("PATH=$PATH:/usr/sbin:/sbin; {line}")])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let (out, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let said: Vec<&str> = out.lines().chain(error.lines()).collect();
    let last = said.get(said.len().saturating_sub(8)..).unwrap_or(&said);
    Err(Failure(format!("{line}\n      {}", last.join("\n      "))))
}
