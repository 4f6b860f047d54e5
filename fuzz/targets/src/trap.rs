//! Syndromes.

use hv_types::Gpa;
use hypervisor_core::exit::mmio::Mmio;
use hypervisor_core::exit::syndrome::{self, Trap};

use crate::input::Input;

/// Any `ESR_EL2` and any address: decoding is total, and what it gives is within its ranges.
pub fn trap(data: &[u8]) {
    let mut input = Input::new(data);
    let (esr, gpa, value): (u32, u64, u64) = (input.get(), input.get(), input.get());
    match syndrome::decode(esr) {
        Trap::SysReg(access) => {
            let (op0, op1, crn, crm, op2) = access.encoding();
            assert!(op0 < 4 && op1 < 8 && crn < 16 && crm < 16 && op2 < 8 && access.rt < 32);
        }
        Trap::DataAbort(abort) | Trap::InstructionAbort(abort) => {
            assert_eq!(abort.iss(), esr & 0x01ff_ffff);
        }
        Trap::Other { class } => assert_eq!(u32::from(class), esr >> 26),
        _ => {}
    }
    // Hosts hand over the ISS alone or the whole syndrome.
    let access = Mmio::from_abort(Gpa::new(gpa), esr);
    assert_eq!(access, Mmio::from_abort(Gpa::new(gpa), esr & 0x01ff_ffff));
    let Some(access) = access else { return };
    assert!(matches!(access.size, 1 | 2 | 4 | 8) && access.reg < 32);
    assert_eq!(access.is_aligned(), gpa % u64::from(access.size) == 0);
    let loaded = access.extend(value);
    let bits = 8 * u32::from(access.size);
    assert_eq!(
        (loaded ^ value) << (64 - bits.min(if access.wide { 64 } else { 32 })),
        0
    );
    assert!(access.wide || loaded >> 32 == 0);
    assert_eq!(
        access.extend(loaded),
        loaded,
        "extending twice is extending once"
    );
}
