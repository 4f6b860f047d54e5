//! Where a guest's RAM lies in its own address space.

use dt_server_api::{Bank, XEN_LAYOUT};
use hv_types::WindowAddr;

/// Most bytes of RAM one guest can have: bank 0 and what the VMM's window has room for in bank 1.
pub(crate) const RAM_MAX: u64 =
    XEN_LAYOUT.bank0.1 + (WindowAddr::EXTRA_BASE - XEN_LAYOUT.bank1.0.raw());

/// The banks of a guest with `ram` bytes: bank 0 is filled first, the rest goes to bank 1 (SM-25). `None`
/// above [`RAM_MAX`].
pub(crate) fn banks(ram: u64) -> Option<(Bank, Option<Bank>)> {
    let (start0, most0) = XEN_LAYOUT.bank0;
    if ram > RAM_MAX {
        return None;
    }
    let in0 = ram.min(most0);
    let rest = ram - in0;
    let bank1 = (rest > 0).then(|| Bank::new(XEN_LAYOUT.bank1.0, rest));
    Some((Bank::new(start0, in0), bank1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bank_0_first() {
        let (bank0, bank1) = banks(256 << 20).unwrap();
        assert_eq!(
            (bank0.start().raw(), bank0.size(), bank1),
            (0x4000_0000, 256 << 20, None)
        );
        let (bank0, bank1) = banks(4 << 30).unwrap();
        assert_eq!(bank0.size(), 3 << 30);
        assert_eq!(
            bank1.map(|b| (b.start().raw(), b.size())),
            Some((0x2_0000_0000, 1 << 30))
        );
        assert_eq!(banks(RAM_MAX + 4096), None);
        assert!(banks(RAM_MAX).is_some());
    }
}
