//! Instructions of a guest whose access the syndrome does not describe.

use hv_types::{Gpa, Gva};
use hypervisor_core::exit::mmio::instruction::WriteBack;
use hypervisor_core::exit::syndrome::Abort;

use crate::input::Input;

/// Any instruction word, syndrome, address and base: what is decoded is within its ranges and
/// agrees with the syndrome.
pub fn instruction(data: &[u8]) {
    let mut input = Input::new(data);
    let (word, iss): (u32, u32) = (input.get(), input.get());
    let (gpa, base): (u64, u64) = (input.get(), input.get());
    let Some(form) = WriteBack::decode(word) else {
        return;
    };
    assert!(matches!(form.size, 1 | 2 | 4 | 8) && form.reg < 32 && form.base < 32);
    assert!((-256..256).contains(&form.offset));
    assert!(form.reg != form.base || form.reg == 31);
    assert!(!form.write || !form.sign_extend);
    assert!(form.size != 8 || form.wide);
    let (abort, base) = (Abort::new(iss), Gva::new(base));
    let moved = form.moved(base).raw();
    assert_eq!(
        moved.wrapping_sub(base.raw()),
        i64::from(form.offset).cast_unsigned()
    );
    let Some(access) = form.access(Gpa::new(gpa), abort, base) else {
        return;
    };
    assert_eq!(access.write, abort.write());
    assert!(!abort.table_walk());
    let first = if form.pre { moved } else { base.raw() };
    assert_eq!(access.gpa.raw(), gpa);
    assert_eq!(first & 0xfff, gpa & 0xfff);
    assert_eq!(
        (access.size, access.reg, access.wide),
        (form.size, form.reg, form.wide)
    );
}
