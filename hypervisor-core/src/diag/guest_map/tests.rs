use std::string::{String, ToString};

use dt_server_api::{Bank, XEN_LAYOUT};
use hv_types::Gva;
use proptest::prelude::*;

use super::*;
use crate::device::table::Id;
use crate::diag::fault::{Aborted, NoRegister};
use crate::exit::syndrome::{Abort, SysRegAccess};

const MIB: u64 = 1 << 20;

fn map() -> GuestMap {
    let banks = [Bank::new(Gpa::new(0x4000_0000), 192 * MIB)];
    GuestMap::new(
        &XEN_LAYOUT,
        &banks,
        [(Gpa::new(0x4c20_0000), 0xb3e0_0000)],
        Set::NONE.with(Id::Gic),
    )
}

fn words(gpa: u64) -> String {
    map().where_is(Gpa::new(gpa)).expect("a map").to_string()
}

#[test]
fn every_kind_of_place_has_its_words() {
    for (gpa, expected) in [
        (
            0x4c00_0000,
            "right past the end of RAM bank 0 (0x40000000..0x4bffffff)",
        ),
        (
            0x4c01_8000,
            "96 KiB past the end of RAM bank 0 (0x40000000..0x4bffffff)",
        ),
        (
            0x4000_1000,
            "0x1000 into RAM bank 0 (0x40000000..0x4bffffff)",
        ),
        (
            0x4c30_0000,
            "0x100000 into extended region 0 (0x4c200000..0xffffffff)",
        ),
        (
            0x0300_1004,
            "0x4 into the GIC distributor (GICD) (0x3001000..0x3001fff)",
        ),
        (
            0x0300_0ff0,
            "0x10 bytes before the GIC distributor (GICD) (0x3001000..0x3001fff)",
        ),
        (
            0x0300_4000,
            "right past the end of the GIC CPU interface (GICC) (0x3002000..0x3003fff)",
        ),
        (
            0x0900_0000,
            "98288 KiB past the end of the GIC CPU interface (GICC) (0x3002000..0x3003fff)",
        ),
        (
            0x2200_0018,
            "0x18 into the place of a UART (vpl011) (0x22000000..0x22000fff)",
        ),
        (
            0x3800_0000,
            "at the start of the grant region (0x38000000..0x38ffffff)",
        ),
        (
            0x3900_1000,
            "0x1000 into the magic pages (0x39000000..0x39ffffff)",
        ),
        (
            0,
            "49156 KiB before the GIC distributor (GICD) (0x3001000..0x3001fff)",
        ),
        (
            0x1_0000_0000,
            "right past the end of extended region 0 (0x4c200000..0xffffffff)",
        ),
    ] {
        assert_eq!(words(gpa), expected, "{gpa:#x}");
    }
}

#[test]
fn advice_fits_the_place() {
    let advice = |gpa| map().where_is(Gpa::new(gpa)).expect("a map").advice();
    assert!(advice(0x2200_0000).contains("vpl011"));
    assert!(advice(0x4c00_0000).contains("memory"));
    assert!(advice(0x4000_0000).contains("balloon"));
    assert!(advice(0x5000_0000).contains("grant"));
    assert!(advice(0x0900_0000).contains("device"));
}

#[test]
fn a_line_names_what_was_done_where_and_what_to_try() {
    let map = map();
    let line = |iss, gpa, fetch| {
        let abort = Abort::new(iss);
        let (gpa, pc) = (Gpa::new(gpa), Gva::new(0xffff_8000_0801_0000));
        Aborted {
            map: &map,
            gpa,
            pc,
            abort,
            fetch,
        }
        .to_string()
    };
    // ISV, 32 bits, write, translation fault.
    let store = line(1 << 24 | 2 << 22 | 1 << 6 | 6, 0x0900_0000, false);
    assert_eq!(
        store,
        "store to gpa 0x9000000 of 4 bytes, pc 0xffff800008010000: 98288 KiB past the end of the GIC CPU interface \
         (GICC) (0x3002000..0x3003fff)\n  try: the guest has no such device: take its driver away, or give the guest \
         the device tree that it is started with"
    );
    assert_eq!(gpa_of_line(&store), Some(Gpa::new(0x0900_0000)));
    assert!(
        line(6, 0x4c00_0000, false).starts_with("load from gpa 0x4c000000 by an instruction that")
    );
    assert!(line(6, 0x4c00_0000, true).starts_with("jump to gpa 0x4c000000, pc"));
    assert!(line(1 << 8 | 6, 0x4c00_0000, false).starts_with("cache maintenance on gpa"));
    assert!(line(1 << 7 | 6, 0x4c00_0000, false).starts_with("walk of a page table at gpa"));
    assert!(line(1 << 24 | 1 << 6 | 0xf, 0x4000_0000, false).contains("mapped but not for that"));
    let register = NoRegister {
        access: SysRegAccess {
            op0: 3,
            op1: 3,
            crn: 14,
            crm: 2,
            op2: 1,
            rt: 5,
            read: true,
        },
        pc: Gva::new(0x1234),
    };
    assert!(
        register
            .to_string()
            .starts_with("read of system register S3_3_C14_C2_1, pc 0x1234: "),
        "{register}"
    );
    assert_eq!(gpa_of_line("nothing here"), None);
    assert_eq!(gpa_of_line("gpa 0xfffffffffffffffff"), None);
}

proptest! {
    /// Any map and any address: words, and the nearest region.
    #[test]
    fn any_address_has_a_nearest_region(
        gpa: u64,
        banks in prop::collection::vec((0u64..1 << 28, 1u64..1 << 20), 0..8),
        extended in prop::collection::vec((any::<u64>(), any::<u64>()), 0..30),
    ) {
        let banks: std::vec::Vec<Bank> = banks
            .into_iter()
            .map(|(start, pages)| Bank::new(Gpa::new(start << 12), pages << 12))
            .collect();
        let extended = extended.into_iter().map(|(start, size)| (Gpa::new(start), size));
        let map = GuestMap::new(&XEN_LAYOUT, &banks, extended, Set::CONSOLES.with(Id::Gic));
        let place = map.where_is(Gpa::new(gpa)).expect("the devices at least");
        let nearest = map.regions.iter().map(|region| region.distance(Gpa::new(gpa))).min();
        prop_assert_eq!(Some(place.region.distance(Gpa::new(gpa))), nearest);
        prop_assert!(place.to_string().len() < 120);
        prop_assert_eq!(place.is_inside(), nearest == Some(0));
    }
}
