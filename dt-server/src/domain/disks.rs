//! Disks of a domain.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use block_server_api::{MAX_DISKS, Part};
use board::Board;
use dt_server_api::PvFeatures;
use dtoolkit::Node;
use xenstore_server_api::Devices;

use crate::chosen::Found;
use crate::config::{DiskConfig, DiskSource, Files};
use crate::diag::{Diagnostics, Edit, Hint, Place, Rule, Severity};
use crate::module;
use crate::node::At;

/// Most disks of a domain, and most RAM disks of a system.
const MOST: usize = MAX_DISKS;
/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Most characters of a label, in units of UTF-16 (UEFI Specification 2.10, 5.3.3).
const LABEL_MAX: usize = 36;
/// Bytes of what xenstore says of a disk for people.
const PARAMS_MAX: usize = 64;
const DEVICE: &str = "zazen,device";
const FILE: &str = "zazen,file";
const PARTITION: &str = "zazen,partition";

/// A disk and its node.
#[derive(Clone)]
pub(crate) struct Disk<'a> {
    at: At<'a>,
    pub(crate) config: DiskConfig,
}

/// Whether the child `at` of a domain is a disk.
pub(super) fn is_disk(at: &At<'_>) -> bool {
    at.is_compatible(&["zazen,disk"])
}

/// The disks of `domain`, as far as they could be read.
pub(super) fn read<'a>(
    domain: &At<'a>,
    pv: Option<PvFeatures>,
    board: &Board,
    files: &dyn Files,
    d: &mut Diagnostics,
) -> Vec<Disk<'a>> {
    let nodes = domain.node.children().map(|node| domain.leaf(node));
    let nodes: Vec<At<'a>> = nodes.filter(is_disk).collect();
    if let Some(first) = nodes.first()
        && pv.is_some_and(|pv| !pv.has_store())
    {
        let hint = "give the domain xen,enhanced = \"enabled\"";
        let what = "the domain has no xenstore, in which guests find their disks";
        first.node_error(d, Rule::DiskStore, what, hint);
    }
    if let Some(surplus) = nodes.get(MOST) {
        let what = format!("is one disk too many: a domain has at most {MOST}");
        surplus.node_error(d, Rule::DiskCount, what, "partition a larger one");
    }
    let disk = |at: At<'a>| {
        let source = source(&at, board, files, d)?;
        let read_only = at.flag("read-only", Rule::DiskShared, d);
        let config = DiskConfig { source, read_only };
        Some(Disk { at, config })
    };
    nodes.into_iter().take(MOST).filter_map(disk).collect()
}

fn source(
    at: &At<'_>,
    board: &Board,
    files: &dyn Files,
    d: &mut Diagnostics,
) -> Option<DiskSource> {
    match (at.has(DEVICE), at.has(FILE)) {
        (true, false) => device(at, board, d),
        (false, true) => file(at, files, d),
        (true, true) => {
            let what = "names a device and a file, but a disk is one of them";
            at.node_error(d, Rule::DiskSource, what, "make two disks of it");
            None
        }
        (false, false) => {
            let hint = "write zazen,device = \"…\" or zazen,file = \"…\"";
            at.node_error(d, Rule::DiskSource, "does not say what the disk is", hint);
            None
        }
    }
}

fn device(at: &At<'_>, board: &Board, d: &mut Diagnostics) -> Option<DiskSource> {
    let name = at.str(DEVICE, Rule::DiskSource, d)?;
    let part = part(at, d);
    let Some(device) = board.disks.iter().position(|disk| disk.name == name) else {
        let names: Vec<&str> = board.disks.iter().map(|disk| disk.name).collect();
        let (what, hint) = match names.as_slice() {
            [] => (
                format!("the board {} has no disk that Zazen drives", board.name),
                Hint::from("use a file of the image: zazen,file"),
            ),
            [only] => (
                format!("the board {} has no disk \"{name}\"", board.name),
                Hint::set(format!("\"{only}\"")),
            ),
            _ => (
                format!("the board {} has no disk \"{name}\"", board.name),
                Hint::from(format!("it has {}", names.join(", "))),
            ),
        };
        at.error(d, Rule::DiskSource, DEVICE, what, hint);
        return None;
    };
    let part = part?;
    Some(DiskSource::Device { device, part })
}

/// A label, or a number: one cell, whose first byte is 0 where a text's is not.
fn part(at: &At<'_>, d: &mut Diagnostics) -> Option<Part> {
    let Some(value) = at.bytes(PARTITION) else {
        return Some(Part::Whole);
    };
    if value.len() == 4 && value.first() == Some(&0) {
        return match at.u32(PARTITION, Rule::DiskPart, d)? {
            0 => {
                let what = "partitions are numbered from 1";
                at.error(d, Rule::DiskPart, PARTITION, what, Hint::set("<1>"));
                None
            }
            number => Some(Part::Number(number)),
        };
    }
    let label = at.str(PARTITION, Rule::DiskPart, d)?;
    let units = label.encode_utf16().count();
    if units == 0 || units > LABEL_MAX {
        let what = format!("has {units} characters, labels have 1 to {LABEL_MAX}");
        let hint = "write the label or, in <>, the number; leave it out for the whole device";
        at.error(d, Rule::DiskPart, PARTITION, what, hint);
        return None;
    }
    // As many characters always fit.
    label.try_into().ok().map(Part::Label)
}

fn file(at: &At<'_>, files: &dyn Files, d: &mut Diagnostics) -> Option<DiskSource> {
    let name = module::file_name(at, d)?;
    if at.has(PARTITION) {
        let what = "has no effect on a file, which is a disk as a whole";
        let hint = Hint::Do(String::from("remove it"), Edit::Remove(PARTITION));
        at.warn(d, Rule::DiskPart, Some(PARTITION), what, hint);
    }
    let size = module::info(at, name, files, d)?.size;
    if !size.is_multiple_of(SECTOR) {
        let what = format!("the file \"{name}\" has {size} bytes, which are no whole sectors");
        let whole = size.next_multiple_of(SECTOR);
        let hint = format!("make it longer: truncate -s {whole} {name}");
        at.error(d, Rule::DiskSource, FILE, what, hint);
        return None;
    }
    let name = String::from(name);
    Some(DiskSource::File { name, size })
}

/// The disks as xenstore has them: xvda, xvdb and so on.
pub(super) fn devices(disks: &[Disk<'_>]) -> Devices {
    let mut devices = Devices::new();
    for (number, Disk { config, .. }) in (0..).zip(disks) {
        let params = params(&config.source);
        let (is_read_only, can_discard) = (config.read_only, !config.read_only);
        let disk = xenstore_server_api::Disk {
            number,
            params: &params,
            is_read_only,
            can_discard,
        };
        // Eight of them fit, with names as long as `params` has them.
        let _ = devices.add_disk(&disk);
    }
    devices
}

/// What a disk is, for people: at most 64 bytes of it.
fn params(source: &DiskSource) -> String {
    let mut text = match source {
        DiskSource::Device { device, part } => match part {
            Part::Whole => format!("disk {device}"),
            Part::Number(number) => format!("disk {device}, partition {number}"),
            Part::Label(label) => format!("disk {device}, partition {label}"),
        },
        DiskSource::File { name, .. } => name.clone(),
    };
    while text.len() > PARAMS_MAX {
        text.pop();
    }
    text
}

/// Whether both may be the same sectors, as far as that can be known without the disk: a label and
/// a number may be the same partition, which the block server sees.
fn meet(a: &DiskSource, b: &DiskSource) -> bool {
    match (a, b) {
        (
            DiskSource::Device { device, part },
            DiskSource::Device {
                device: other,
                part: its,
            },
        ) => {
            let whole = *part == Part::Whole || *its == Part::Whole;
            device == other && (whole || part == its)
        }
        (DiskSource::File { name, .. }, DiskSource::File { name: other, .. }) => name == other,
        _ => false,
    }
}

/// Reports disks that two nodes have while one of them may write, and more RAM disks than there
/// can be.
pub(crate) fn check_shared(found: &[Found<'_>], d: &mut Diagnostics) {
    let disks = || found.iter().flat_map(|domain| &domain.draft.disks);
    let mut files: Vec<&str> = Vec::new();
    for (index, disk) in disks().enumerate() {
        if let DiskSource::File { name, .. } = &disk.config.source
            && !files.contains(&name.as_str())
        {
            files.push(name);
            if files.len() == MOST + 1 {
                let what = format!("is one RAM disk too many: a system has at most {MOST}");
                let hint = "let domains share one read-only";
                disk.at.node_error(d, Rule::DiskCount, what, hint);
            }
        }
        let other = disks().take(index).find(|other| {
            let writes = !other.config.read_only || !disk.config.read_only;
            writes && meet(&other.config.source, &disk.config.source)
        });
        if let Some(other) = other {
            shared(&disk.at, &other.at, d);
        }
    }
}

fn shared(at: &At<'_>, other: &At<'_>, d: &mut Diagnostics) {
    let name = |at: &At<'_>| {
        let mut parts = at.path.rsplit('/').skip(1);
        String::from(parts.next().unwrap_or_default())
    };
    let what = format!(
        "{} has the same disk, and one of the two may write to it",
        name(other)
    );
    let hint = "give each a partition of its own, or both nodes read-only";
    let mut found = at.diagnostic(Severity::Error, Rule::DiskShared, None, what, hint.into());
    found.related = Some(Place {
        path: other.path.clone(),
        property: None,
        note: format!("the disk of {}", name(other)),
    });
    d.push(found);
}
