//! What is mapped where in an address space.

use crate::memory::What;
use crate::spec::{Id, Kind, Rights, Spec};

/// log2 of a page's bytes, and of a table's entries below the root.
const PAGE_BITS: u32 = 12;
const TABLE_BITS: u32 = 9;
/// Level of the tables that hold 4 KiB pages (Arm ARM, VMSAv8-64 with a 4 KiB granule).
const LAST_LEVEL: u8 = 3;

/// A frame in an address space.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Virtual address; in a guest's VSpace the guest-physical one.
    pub vaddr: u64,
    /// The frame.
    pub frame: Id,
    /// Bytes.
    pub bytes: u64,
    /// Bytes that an entry of its page table stands for.
    pub room: u64,
    /// Rights.
    pub rights: Rights,
    /// Mapped as normal memory, not as a device.
    pub cached: bool,
    /// Whether code may be executed there.
    pub executable: bool,
    /// The page table and slot that hold it.
    pub place: (Id, u32),
}

/// Adjacent mappings of the same memory with the same rights.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// First address.
    pub vaddr: u64,
    /// Bytes.
    pub bytes: u64,
    /// What is mapped.
    pub what: What,
    /// Rights.
    pub rights: Rights,
    /// Mapped as normal memory, not as a device.
    pub cached: bool,
    /// Whether code may be executed there.
    pub executable: bool,
    /// Frames.
    pub frames: usize,
}

/// The page tables of the address space whose root is `root`, that one included.
pub(crate) fn tables(spec: &Spec, root: Id) -> Vec<Id> {
    let mut tables = Vec::new();
    visit(spec, root, 0, None, &mut tables, &mut Vec::new());
    tables
}

/// All mappings below `root`, ascending.
pub(crate) fn mappings(spec: &Spec, root: Id) -> Vec<Mapping> {
    let mut mappings = Vec::new();
    visit(spec, root, 0, None, &mut Vec::new(), &mut mappings);
    mappings.sort_by_key(|mapping| mapping.vaddr);
    mappings
}

fn visit(
    spec: &Spec,
    table: Id,
    base: u64,
    above: Option<u8>,
    tables: &mut Vec<Id>,
    mappings: &mut Vec<Mapping>,
) {
    let Some(object) = spec.get(table).filter(|o| o.kind == Kind::PageTable) else {
        return;
    };
    // A level rises with each step, which bounds the depth whatever the specification says.
    let level = object.level.unwrap_or(above.map_or(0, |level| level + 1));
    if level > LAST_LEVEL || above.is_some_and(|above| level <= above) {
        return;
    }
    tables.push(table);
    let shift = PAGE_BITS + TABLE_BITS * u32::from(LAST_LEVEL - level);
    for (slot, cap) in &object.slots {
        let vaddr = base | u64::from(*slot).checked_shl(shift).unwrap_or(0);
        match (&cap.kind, cap.object) {
            (Kind::PageTable, Some(below)) => {
                visit(spec, below, vaddr, Some(level), tables, mappings);
            }
            (Kind::Frame, Some(frame)) => mappings.push(Mapping {
                vaddr,
                frame,
                bytes: spec.get(frame).map_or(0, crate::spec::Object::bytes),
                room: 1u64.checked_shl(shift).unwrap_or(0),
                rights: cap.rights.unwrap_or_default(),
                cached: cap.cached,
                executable: cap.executable,
                place: (table, *slot),
            }),
            _ => {}
        }
    }
}

/// `mappings` (ascending) with adjacent ones of the same memory and rights joined.
pub(crate) fn runs(spec: &Spec, mappings: &[Mapping]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for mapping in mappings {
        let Some(what) = spec.get(mapping.frame).and_then(What::of) else {
            continue;
        };
        if let Some(last) = runs.last_mut() {
            let same = last.what == what
                && last.vaddr.checked_add(last.bytes) == Some(mapping.vaddr)
                && (last.rights, last.cached, last.executable)
                    == (mapping.rights, mapping.cached, mapping.executable);
            if same {
                last.bytes = last.bytes.saturating_add(mapping.bytes);
                last.frames += 1;
                continue;
            }
        }
        runs.push(Run {
            vaddr: mapping.vaddr,
            bytes: mapping.bytes,
            what,
            rights: mapping.rights,
            cached: mapping.cached,
            executable: mapping.executable,
            frames: 1,
        });
    }
    runs
}
