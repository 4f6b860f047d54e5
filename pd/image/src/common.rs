//! Pages of their program that all VMMs have together.
//!
//! Microkit's library gives each protection domain a copy of its program. VMMs run the same one, so
//! what none of them can write, and is the same in all, is here one frame that is mapped for each.
//! The initialiser makes a copy of the frame's capability for each mapping, as it does for memory
//! regions that several have. Nobody gets a capability to such a frame into its CSpace, and pages
//! that differ, because a value was written into one VMM's program, stay apart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use microkit_tool::capdl::spec::{ElfContent, FillContent};
use microkit_tool::capdl::{CapDLSpecContainer, FrameFill};
use microkit_tool::elf::{ElfFile, ElfSegmentData};
use microkit_tool::sdf::SystemDescription;
use microkit_tool::sel4::PageSize;
use sel4_capdl_initializer_types::{Cap, FillEntryContent, Object, ObjectId, Rights, Spec};
use topology::pd;

use crate::needs::Needs;

/// What the names of such frames start with; the page's number in the program follows in nine
/// digits, as in the names that Microkit gives. `zazen inspect` reads it.
const PREFIX: &str = "frame_zazen_vmms_";

/// Bytes that each of some protection domains, by their names, has together with others.
pub(crate) type Common = BTreeMap<String, u64>;

/// What must be the same so that two pages can be one.
#[derive(PartialEq, Eq, Hash)]
struct Page<'a> {
    /// Its number in the program.
    number: &'a str,
    /// Where in the frame the contents begin.
    at: u64,
    bytes: &'a [u8],
    execute: bool,
    cached: bool,
}

/// Lets VMMs of `system` that run the same program have its equal read-only pages together.
/// `elfs` must be as they will be packed. Returns who has how much of it.
pub(crate) fn join(
    container: &mut CapDLSpecContainer,
    system: &SystemDescription,
    elfs: &[ElfFile],
    needs: &Needs,
) -> Common {
    let name = |vmm: usize| system.protection_domains[vmm].name.clone();
    let bytes = join_pages(&mut container.spec, elfs, &vmms(system, needs));
    bytes.into_iter().map(|(vmm, b)| (name(vmm), b)).collect()
}

/// The same for `vmms`, the positions of their programs among `elfs`.
fn join_pages(
    spec: &mut Spec<FrameFill>,
    elfs: &[ElfFile],
    vmms: &HashSet<usize>,
) -> BTreeMap<usize, u64> {
    let frames = candidates(spec, elfs, vmms);
    // The first of those that are one, and the others by their positions.
    let mut first: HashMap<&Page<'_>, usize> = HashMap::new();
    let mut instead: HashMap<usize, usize> = HashMap::new();
    let mut whose: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (&position, (vmm, page)) in &frames {
        let kept = *first.entry(page).or_insert(position);
        whose.entry(kept).or_default().push(*vmm);
        if kept != position {
            instead.insert(position, kept);
        }
    }
    let mut common = BTreeMap::new();
    let mut names = Vec::new();
    for (&kept, vmms) in whose.iter().filter(|(_, vmms)| vmms.len() > 1) {
        names.extend(frames.get(&kept).map(|(_, page)| {
            let name = format!("{PREFIX}{}", page.number);
            (kept, name)
        }));
        for &vmm in vmms {
            *common.entry(vmm).or_default() += PageSize::Small as u64;
        }
    }
    for (kept, name) in names {
        spec.objects[kept].name = Some(name);
    }
    replace(spec, &instead);
    common
}

/// Positions of the VMMs that run the program that most of them run.
fn vmms(system: &SystemDescription, needs: &Needs) -> HashSet<usize> {
    let mut programs: BTreeMap<&Path, HashSet<usize>> = BTreeMap::new();
    for (position, found) in system.protection_domains.iter().enumerate() {
        let domain = found.name.strip_prefix(pd::VMM_PREFIX);
        if domain.is_some_and(|name| needs.domains.iter().any(|domain| domain.name == name)) {
            let same = programs.entry(&found.program_image).or_default();
            same.insert(position);
        }
    }
    let most = programs.into_values().max_by_key(HashSet::len);
    most.unwrap_or_default()
}

/// Frames by their positions that are mapped once, cannot be written there, lie in no CNode and
/// hold a piece of the program of one of `vmms`: whose, and which.
fn candidates<'a>(
    spec: &'a Spec<FrameFill>,
    elfs: &'a [ElfFile],
    vmms: &HashSet<usize>,
) -> BTreeMap<usize, (usize, Page<'a>)> {
    let mut uses: HashMap<ObjectId, Vec<(bool, &Cap)>> = HashMap::new();
    for named in &spec.objects {
        let mapped = matches!(named.object, Object::PageTable(_));
        for entry in named.object.slots().into_iter().flatten() {
            let frame = uses.entry(entry.cap.obj()).or_default();
            frame.push((mapped, &entry.cap));
        }
    }
    let mut found = BTreeMap::new();
    for (position, named) in spec.objects.iter().enumerate() {
        let (Object::Frame(frame), Some(name)) = (&named.object, &named.name) else {
            continue;
        };
        let [(true, Cap::Frame(cap))] = uses
            .get(&ObjectId::from(position))
            .map_or(&[][..], Vec::as_slice)
        else {
            continue;
        };
        let [fill] = frame.init.entries.as_slice() else {
            continue;
        };
        let FillEntryContent::Data(FillContent::ElfContent(content)) = &fill.content else {
            continue;
        };
        let reads = Rights {
            read: true,
            write: false,
            grant: false,
            grant_reply: false,
        };
        let bytes = bytes(elfs, content);
        if let (Some(number), Some(bytes)) = (number(name), bytes)
            && frame.paddr.is_none()
            && 1 << frame.size_bits == PageSize::Small as u64
            && cap.rights == reads
            && vmms.contains(&content.elf_id)
        {
            let page = Page {
                number,
                at: fill.range.start,
                bytes,
                execute: cap.executable,
                cached: cap.cached,
            };
            found.insert(position, (content.elf_id, page));
        }
    }
    found
}

/// What a frame is filled with.
fn bytes<'a>(elfs: &'a [ElfFile], content: &ElfContent) -> Option<&'a [u8]> {
    let segment = elfs
        .get(content.elf_id)?
        .segments
        .get(content.elf_seg_idx)?;
    match &segment.data {
        ElfSegmentData::RealData(data) => data.get(content.elf_seg_data_range.clone()),
        ElfSegmentData::UninitialisedData(_) => None,
    }
}

/// The number of a page at the end of its frame's name.
fn number(name: &str) -> Option<&str> {
    let (_, digits) = name.rsplit_once('_')?;
    let is_number = digits.len() == 9 && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(digits)
}

/// Removes the objects that `instead` names, with another for each, to which its capabilities then
/// lead.
fn replace(spec: &mut Spec<FrameFill>, instead: &HashMap<usize, usize>) {
    let mut new = Vec::with_capacity(spec.objects.len());
    let mut kept = 0;
    for position in 0..spec.objects.len() {
        new.push(kept);
        kept += usize::from(!instead.contains_key(&position));
    }
    let renumbered = |id: ObjectId| {
        let old = usize::from(id);
        ObjectId::from(new[*instead.get(&old).unwrap_or(&old)])
    };
    for named in &mut spec.objects {
        for entry in named.object.slots_mut().into_iter().flatten() {
            let id = renumbered(entry.cap.obj());
            entry.cap.set_obj(id);
        }
    }
    for irq in &mut spec.irqs {
        irq.handler = renumbered(irq.handler);
    }
    for slot in &mut spec.asid_slots {
        *slot = renumbered(*slot);
    }
    let mut position = 0;
    spec.objects.retain(|_| {
        position += 1;
        !instead.contains_key(&(position - 1))
    });
    spec.root_objects = ObjectId::from(0)..ObjectId::from(spec.objects.len());
}

#[cfg(test)]
mod tests;
