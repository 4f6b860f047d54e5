//! The walk of a guest's translation tables.

use hv_types::Gva;
use hypervisor_core::host::{SysReg, Vcpu};
use hypervisor_core::vcpu::walk::fault::Access;
use hypervisor_core::vcpu::walk::translate;

use crate::guest::{RAM, RAM_SIZE, value, with_guest};
use crate::input::Input;

/// Where the tables lie: eight pages of 4 KiB, or the first of fewer larger ones.
const TABLES: u64 = RAM + 0x10_0000;
/// Valid, a table or page.
const TABLE: u64 = 3;
/// Access flag.
const ACCESSED: u64 = 1 << 10;

/// Any tables and registers: a walk ends, reads only memory, and answers the same twice.
pub fn stage1(data: &[u8]) {
    let mut input = Input::new(data);
    let sctlr: u8 = input.get();
    let tcr: u64 = input.get();
    with_guest(true, true, |guest| {
        let host = &mut guest.host;
        host.set_sysreg(SysReg::Sctlr, u64::from(sctlr));
        host.set_sysreg(SysReg::Tcr, tcr);
        host.set_sysreg(SysReg::Ttbr0, TABLES);
        host.set_sysreg(SysReg::Ttbr1, TABLES + 0x1000);
        while let Some(operation) = input.operation() {
            let [table, place] = [operation & 7, input.get()].map(u64::from);
            let at = TABLES + 0x1000 * table + 8 * place;
            match operation >> 3 {
                // An entry that leads to another table, with any attributes in the upper half.
                0..4 => {
                    let flags = u64::from(input.get::<u8>());
                    let to = TABLES + 0x1000 * (flags & 7);
                    guest.poke(at, &(to | TABLE | flags >> 3 << 59).to_le_bytes());
                }
                // A page or block.
                4..8 => {
                    let flags = u64::from(input.get::<u16>());
                    let entry = value(&mut input) | ACCESSED ^ flags;
                    guest.poke(at, &entry.to_le_bytes());
                }
                8..10 => {
                    let entry = value(&mut input);
                    guest.poke(at, &entry.to_le_bytes());
                }
                10 => {
                    let base = value(&mut input);
                    let which = if table & 1 == 0 {
                        SysReg::Ttbr0
                    } else {
                        SysReg::Ttbr1
                    };
                    guest.host.set_sysreg(which, base);
                }
                // An address in either half.
                _ => {
                    let low = value(&mut input);
                    let gva = if operation & 1 == 0 {
                        low
                    } else {
                        low | 0xffff << 48
                    };
                    for gva in [gva, gva ^ u64::from(operation & 6) << 60] {
                        look_up(guest, Gva::new(gva));
                    }
                }
            }
        }
    });
}

fn look_up(guest: &mut crate::guest::Guest<'_>, gva: Gva) {
    let (host, pages) = (&mut guest.host, &guest.vm.domain.p2m);
    let read = translate(host, pages, gva, Access::Read);
    let write = translate(host, pages, gva, Access::Write);
    assert_eq!(translate(host, pages, gva, Access::Write), write, "{gva:?}");
    match (read, write) {
        (Ok(read), Ok(write)) => assert_eq!(read, write, "{gva:?}"),
        (Err(_), Ok(_)) => panic!("{gva:?} can be written but not read"),
        _ => {}
    }
    if let Ok(gpa) = read {
        assert!(
            gpa.raw() >> 48 == 0 && gpa.raw() & 0xfff == gva.raw() & 0xfff,
            "{gva:?}: {gpa:?}"
        );
    }
}

const _: () = assert!(TABLES + 0x8000 < RAM + RAM_SIZE);
