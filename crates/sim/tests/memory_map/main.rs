//! Where a guest's memory lies and how much it can come to be: direct map (DM), static heap (SH),
//! memory above the initial size and the guest's map at boot (GM), extended regions (UP).

#[path = "../common/mod.rs"]
mod common;
use common::{
    SELF, assert_untouched, decrease, node, populate, remove, reservation, reserve, tree,
};
use dt_server::Range;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};
use sim::caps::Side;
use sim::guest::insn::Width;
use sim::guest::{CONSOLE_PAGE, FREE, GICD, RAM, UART};
use sim::{Domain, Guest, Ran, System};
use xen_abi::Errno;
use xen_abi::memory::{
    DECREASE_RESERVATION, DomainArg, MAXIMUM_RESERVATION, POPULATE_PHYSMAP, space,
};
use xen_abi::number::{CONSOLE_IO, MEMORY_OP, XEN_VERSION};

mod boot;
mod direct;
mod extended;
mod growth;
mod heap;

const MIB: u64 = 1 << 20;
/// `SYSTEM_RESET`.
const RESET: u64 = 0x8400_0009;

/// First bytes and sizes.
type Ranges = Vec<(u64, u64)>;

/// A `reg` of two-cell addresses and sizes.
fn reg(node: FdtNode<'_>) -> Ranges {
    let bytes = node.property("reg").expect("a reg").value().to_vec();
    let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
    bytes
        .chunks(16)
        .map(|pair| (number(&pair[..8]), number(&pair[8..])))
        .collect()
}

/// The guest's RAM and its extended regions, from its device tree.
fn map_of(guest: &Guest<'_>) -> (Ranges, Ranges) {
    let blob = tree(guest, guest.x(0));
    let fdt = Fdt::new(&blob).expect("a device tree");
    let memory = fdt
        .root()
        .children()
        .find(|child| child.name().starts_with("memory@"))
        .expect("a memory node");
    let regions = reg(node(&fdt, "/hypervisor"));
    (reg(memory), regions[1..].to_vec())
}

/// Where in the machine the guest's page at `gpa` is.
fn paddr(guest: &Guest<'_>, gpa: u64) -> Option<u64> {
    let domain = System::domain(usize::from(guest.domid()) - 1);
    // It comes if it is not there yet.
    guest.is_mapped(gpa);
    let machine = guest.sys.memory.machine().look();
    machine.translate(domain, Side::Guest, gpa)
}

fn maximum(guest: &mut Guest<'_>) -> i64 {
    guest.op_in(MEMORY_OP, MAXIMUM_RESERVATION, DomainArg { domid: SELF })
}

/// Asserts that a load from `gpa` is the guest's own fault.
fn assert_faults(guest: &mut Guest<'_>, gpa: u64) {
    let ran = guest.access(gpa, Width::Word, false);
    assert!(
        matches!(ran, Ran::Exception(e) if e.esr >> 26 == 0x25),
        "{gpa:#x}: {ran:?}"
    );
}

/// Whether all memory is somewhere, and where guests see what their VMMs think they see.
fn assert_accounted(sys: &System) {
    let totals = sys.memory.totals();
    assert_eq!(totals.sum(), totals.all, "{totals:?}");
    sys.assert_consistent();
}
