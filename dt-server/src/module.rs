//! Kernel and RAM disk of a domain.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dt_server_api::Module;
use dtoolkit::Node;

use crate::config::{FileInfo, Files};
use crate::diag::{Diagnostics, Edit, Hint, Place, Rule, Severity};
use crate::node::At;
use crate::range::Range;
use crate::{binding, kernel_image, known, units};

/// Most bytes of a command line (Xen's module table). (GM-18)
pub(crate) const BOOTARGS_MAX: usize = 1024;
/// Longest name of a module's file (`zazen,file`) in bytes.
pub const FILE_MAX: usize = 255;
/// The guest's device tree gets a whole block.
const DTB_ROOM: u64 = 2 << 20;
const BLOCK: u64 = 2 << 20;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Kernel,
    Ramdisk,
}

impl Kind {
    const fn region(self) -> u8 {
        match self {
            Self::Kernel => 0,
            Self::Ramdisk => 1,
        }
    }
    const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Ramdisk => "RAM disk",
        }
    }
}

/// Modules of one domain as far as they were read.
#[derive(Default)]
pub(crate) struct Modules {
    kernel: Slot,
    ramdisk: Slot,
    /// A module that does not say what it is was seen: it may be the one that is missed.
    unknown: bool,
    pub(crate) bootargs: String,
    /// Ranges of `reg`, with the paths of their nodes.
    pub(crate) placed: Vec<(Range, String)>,
}

#[derive(Default)]
struct Slot {
    seen: bool,
    file: Option<File>,
}

/// A module's file.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) module: Module,
    /// Path of the node.
    path: String,
    /// Bytes of guest memory it takes.
    memory: u64,
}

impl Modules {
    pub(crate) fn kernel(&self) -> Option<&File> {
        self.kernel.file.as_ref()
    }
    /// Path of the kernel's node.
    pub(crate) fn kernel_path(&self) -> Option<&str> {
        self.kernel().map(|file| file.path.as_str())
    }
    pub(crate) fn ramdisk(&self) -> Option<&File> {
        self.ramdisk.file.as_ref()
    }

    /// Reads the child `at` of a domain if it is a module; `false` if it is none.
    pub(crate) fn read(&mut self, at: &At<'_>, files: &dyn Files, d: &mut Diagnostics) -> bool {
        if at.is_compatible(&["multiboot,device-tree"]) {
            let hint = Hint::Do(
                String::from("remove the node; the domain runs without host devices"),
                Edit::RemoveNode,
            );
            at.node_error(
                d,
                Rule::Passthrough,
                "partial device trees (device pass-through) are not supported yet",
                hint,
            );
            return true;
        }
        let kind = if at.is_compatible(&["multiboot,kernel", "xen,linux-zimage"]) {
            Kind::Kernel
        } else if at.is_compatible(&["multiboot,ramdisk", "xen,linux-initrd"]) {
            Kind::Ramdisk
        } else if at.is_compatible(&["multiboot,module", "xen,multiboot-module"]) {
            // What it is called says what it is to be.
            let name = at.node.name();
            let kind = match () {
                () if self.kernel.seen || !name.contains("kernel") => None,
                () => Some("\"multiboot,kernel\", \"multiboot,module\""),
            };
            let kind = kind.or_else(|| {
                let is_ramdisk = name.contains("ramdisk") || name.contains("initrd");
                let missing = is_ramdisk && !self.ramdisk.seen;
                missing.then_some("\"multiboot,ramdisk\", \"multiboot,module\"")
            });
            let hint = match kind {
                Some(kind) => Hint::set(kind),
                None => "add \"multiboot,kernel\" or \"multiboot,ramdisk\" to compatible".into(),
            };
            at.error(
                d,
                Rule::ModuleKind,
                "compatible",
                "does not say what the module is",
                hint,
            );
            self.unknown = true;
            return true;
        } else {
            return false;
        };
        known::check(at, binding::MODULE, d);
        let slot = match kind {
            Kind::Kernel => &mut self.kernel,
            Kind::Ramdisk => &mut self.ramdisk,
        };
        if slot.seen {
            let what = format!("is the second {} of this domain", kind.name());
            at.node_error(
                d,
                Rule::ModuleTwice,
                what,
                Hint::Do(String::from("keep one of them"), Edit::RemoveNode),
            );
            return true;
        }
        slot.seen = true;
        slot.file = file(at, kind, files, d);
        if at.has("reg") && !at.has("xen,uefi-binary") {
            self.placed(at, d);
        }
        if kind == Kind::Kernel
            && let Some(text) = at.str("bootargs", Rule::Bootargs, d)
        {
            if text.len() > BOOTARGS_MAX {
                let what = format!(
                    "has {} characters, at most {BOOTARGS_MAX} are possible",
                    text.len()
                );
                at.error(d, Rule::Bootargs, "bootargs", what, "shorten it");
            } else {
                self.bootargs = String::from(text);
            }
        } else if kind == Kind::Ramdisk && at.has("bootargs") {
            at.warn(
                d,
                Rule::Bootargs,
                Some("bootargs"),
                "has no effect on a RAM disk",
                "move it to the kernel's node",
            );
        }
        true
    }

    /// Checks that there is a kernel and that all fits into bank 0, `bank0` bytes, on a machine
    /// with `most` bytes of RAM.
    pub(crate) fn check(
        &self,
        domain: &At<'_>,
        bank0: Option<u64>,
        most: u64,
        d: &mut Diagnostics,
    ) {
        if !self.kernel.seen && !self.unknown {
            let hint = "add a child node with compatible = \"multiboot,kernel\", \"multiboot,module\" and zazen,file";
            let node = "kernel { compatible = \"multiboot,kernel\", \"multiboot,module\"; zazen,file = \"Image\"; };";
            let hint = match domain.node.child("kernel") {
                // Two nodes of one name are no tree.
                Some(_) => Hint::from(
                    "give the kernel's node compatible = \"multiboot,kernel\", \"multiboot,module\"",
                ),
                None => Hint::Do(String::from(hint), Edit::AddNode(node)),
            };
            domain.node_error(d, Rule::NoKernel, "has no kernel", hint);
        }
        let (Some(bank0), Some(kernel)) = (bank0, self.kernel()) else {
            return;
        };
        let up = |bytes: u64| bytes.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
        let kernel_and_tree = up(kernel.memory).saturating_add(DTB_ROOM);
        let ramdisk = self.ramdisk().map_or(0, |file| up(file.memory));
        let need = kernel_and_tree.saturating_add(ramdisk);
        if need <= bank0 {
            return;
        }
        let (rule, what, culprit) = match self.ramdisk() {
            _ if kernel.memory > bank0 => (
                Rule::KernelTooLarge,
                format!(
                    "the kernel \"{}\" takes {} KiB when it runs, but the first RAM bank has {} KiB",
                    kernel.name,
                    kernel.memory.div_ceil(1024),
                    bank0 / 1024
                ),
                kernel,
            ),
            // The kernel's place is fixed, at the start; the RAM disk goes to the end.
            Some(file) if kernel_and_tree <= bank0 && ramdisk < bank0 => (
                Rule::RamdiskOverlap,
                format!(
                    "the RAM disk \"{}\" ({} KiB) would overlap the kernel \"{}\" and the device tree: they take the first {} KiB of the first RAM bank's {} KiB",
                    file.name,
                    ramdisk / 1024,
                    kernel.name,
                    kernel_and_tree / 1024,
                    bank0 / 1024
                ),
                file,
            ),
            _ => (
                Rule::BankFull,
                format!(
                    "{} need {} KiB of the first RAM bank's {} KiB",
                    match self.ramdisk() {
                        Some(_) => "kernel, RAM disk and device tree",
                        None => "kernel and device tree",
                    },
                    need / 1024,
                    bank0 / 1024
                ),
                self.ramdisk().unwrap_or(kernel),
            ),
        };
        let words = match (rule, self.ramdisk()) {
            (Rule::KernelTooLarge, _) | (_, None) => {
                "give the domain more memory or another kernel"
            }
            _ => "give the domain more memory or a smaller RAM disk",
        };
        let hint = if domain.has("xen,static-mem") {
            // Of a direct-mapped domain each range is a bank.
            let what = match domain.has("direct-map") {
                true => "the first range needs",
                false => "the ranges need",
            };
            let kib = need.div_ceil(1024);
            Hint::from(format!("{words}: {what} {kib} KiB ({kib:#x}) or more"))
        } else {
            enough(need, ramdisk, bank0, most, words)
        };
        let mut found = domain.diagnostic(Severity::Error, rule, Some("memory"), what, hint);
        found.related = Some(Place {
            path: culprit.path.clone(),
            property: Some("zazen,file"),
            note: String::from("this file does not fit"),
        });
        d.push(found);
    }

    /// Notes the `reg` of `at`, which is in the domain's cells; modules in host memory are none of
    /// ours yet.
    fn placed(&mut self, at: &At<'_>, d: &mut Diagnostics) {
        // Its presence is the mistake, so its format does not matter.
        let ranges = at.ranges(
            "reg",
            at.cells,
            Rule::ModuleReg,
            &mut Diagnostics::default(),
        );
        if ranges.len() == 1 {
            let placed = ranges.into_iter().map(|range| (range, at.path.clone()));
            self.placed.extend(placed);
        }
        let hint = "name the file with zazen,file = \"…\" instead; the image builder embeds it";
        let what = "modules that a boot loader has put into memory are not supported yet";
        at.error(d, Rule::ModuleReg, "reg", what, hint);
    }
}

/// How much memory to give a domain that has `have` bytes and whose files need `need`: what was
/// most likely meant, else an amount in which a guest most likely runs, if the machine has so much.
/// `words` say what to do about it.
fn enough(need: u64, ramdisk: u64, have: u64, most: u64, words: &str) -> Hint {
    let set = |kib: u64| Edit::Set {
        property: "memory",
        value: format!("<{:#x} {:#x}>", kib >> 32, kib & 0xffff_ffff),
    };
    let shown = |kib: u64| format!("<{:#x} {:#x}>", kib >> 32, kib & 0xffff_ffff);
    if let Some((kib, meant)) = units::too_few(have / 1024, need, most) {
        let words = format!(
            "memory is in KiB: did you mean {meant}, memory = {}?",
            shown(kib)
        );
        return Hint::Do(words, set(kib));
    }
    match units::comfortable(need, ramdisk).filter(|bytes| *bytes <= most) {
        Some(bytes) => {
            let kib = bytes / 1024;
            let least = need.div_ceil(1 << 20);
            Hint::Do(
                format!(
                    "{words}: {least} MiB hold the files, memory = {} ({} MiB) leaves room to run",
                    shown(kib),
                    kib / 1024
                ),
                set(kib),
            )
        }
        None => Hint::from(format!(
            "{words}: the files alone need {} MiB",
            need.div_ceil(1 << 20)
        )),
    }
}

fn file(at: &At<'_>, kind: Kind, files: &dyn Files, d: &mut Diagnostics) -> Option<File> {
    if at.has("xen,uefi-binary") {
        let hint = "name the file with zazen,file";
        at.error(
            d,
            Rule::ModuleReg,
            "xen,uefi-binary",
            "Zazen is not started by UEFI",
            hint,
        );
        return None;
    }
    if at.has("reg") {
        // Reported by `placed`.
        return None;
    }
    if !at.has("zazen,file") {
        let what = format!("missing: nothing says where the {} is", kind.name());
        at.error(
            d,
            Rule::ModuleFile,
            "zazen,file",
            what,
            "write zazen,file = \"name\"",
        );
        return None;
    }
    let name = file_name(at, d)?;
    let info = info(at, name, files, d)?;
    let memory = match kind {
        Kind::Kernel => kernel_image::memory(at, &info, d)?,
        Kind::Ramdisk => info.size,
    };
    let module = Module {
        region: kind.region(),
        size: info.size,
    };
    Some(File {
        name: String::from(name),
        module,
        path: at.path.clone(),
        memory,
    })
}

/// `zazen,file`, if it can be a file's name.
pub(crate) fn file_name<'a>(at: &At<'a>, d: &mut Diagnostics) -> Option<&'a str> {
    let name = at.str("zazen,file", Rule::ModuleFile, d)?;
    if name.is_empty() || name.len() > FILE_MAX || name.chars().any(char::is_control) {
        let what =
            format!("must be a file name of 1 to {FILE_MAX} bytes, without control characters");
        at.error(
            d,
            Rule::ModuleFile,
            "zazen,file",
            what,
            "write zazen,file = \"name\"",
        );
        return None;
    }
    Some(name)
}

/// Size and contents: from the file, from `zazen,size`, or both if they agree.
pub(crate) fn info(
    at: &At<'_>,
    name: &str,
    files: &dyn Files,
    d: &mut Diagnostics,
) -> Option<FileInfo> {
    let written = match at.bytes("zazen,size") {
        None => None,
        Some(value) => match value.try_into() {
            Ok(bytes) => Some(u64::from_be_bytes(bytes)),
            Err(_) => {
                let hint = Hint::Do(
                    String::from("the image builder writes it; leave it out"),
                    Edit::Remove("zazen,size"),
                );
                at.error(
                    d,
                    Rule::FileSize,
                    "zazen,size",
                    "must be one number of 64 bits",
                    hint,
                );
                return None;
            }
        },
    };
    let info = match (files.probe(name), written) {
        (Some(found), Some(size)) if found.size != size => {
            let what = format!("the file \"{name}\" has {} bytes", found.size);
            at.error(
                d,
                Rule::FileSize,
                "zazen,size",
                what,
                Hint::Do(
                    String::from("leave zazen,size out, or build the image again"),
                    Edit::Remove("zazen,size"),
                ),
            );
            return None;
        }
        (Some(found), _) => found,
        (None, Some(size)) => FileInfo { size, head: None },
        (None, None) => {
            let hint = "put it next to the domains file, or name its directory with --files";
            at.error(
                d,
                Rule::FileMissing,
                "zazen,file",
                format!("there is no file \"{name}\""),
                hint,
            );
            return None;
        }
    };
    if info.size == 0 {
        at.error(
            d,
            Rule::FileSize,
            "zazen,file",
            "the file is empty",
            "build or fetch it again",
        );
        return None;
    }
    Some(info)
}
