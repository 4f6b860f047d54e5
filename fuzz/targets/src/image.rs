//! Kernel files and where the loader puts them.

use hv_types::Gpa;
use hypervisor_core::life::loader::{DTB_MAX, Reserved, plan, probe};

use crate::input::Input;

/// Any file, bank, RAM disk and reserved ranges: what is planned lies in the bank and collides with
/// nothing.
pub fn image(data: &[u8]) {
    let mut input = Input::new(data);
    let bank = (Gpa::new(input.number()), input.number());
    let dtb_max = input.number();
    let initrd = match input.get::<u8>() {
        0 => None,
        _ => Some(input.number()),
    };
    let count = input.get::<u8>() % 4;
    let reserved: Vec<Reserved<'_>> = (0..count)
        .map(|_| Reserved {
            name: "reserved",
            start: Gpa::new(input.number()),
            size: input.number(),
        })
        .collect();
    let file = input.rest();
    let image = match probe(file) {
        Ok(image) => image,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(image.size >= file.len() as u64);
    let plan = match plan(bank, &image, dtb_max, initrd, &reserved) {
        Ok(plan) => plan,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(dtb_max <= DTB_MAX && plan.dtb.is_aligned(1 << 21));
    let mut ranges = vec![
        (plan.kernel.raw(), plan.kernel_size),
        (plan.dtb.raw(), dtb_max),
    ];
    assert_eq!(plan.initrd.is_some(), initrd.is_some_and(|size| size != 0));
    if let Some((start, end)) = plan.initrd {
        assert_eq!(Some(end.raw() - start.raw()), initrd);
        ranges.push((start.raw(), end.raw() - start.raw()));
    }
    let bank_end = bank
        .0
        .raw()
        .checked_add(bank.1)
        .expect("the plan is within 64 bits");
    for (n, (start, size)) in ranges.iter().enumerate() {
        let end = start
            .checked_add(*size)
            .expect("the plan is within 64 bits");
        assert!(
            bank.0.raw() <= *start && end <= bank_end,
            "outside of the bank: {plan:?}"
        );
        let reserved = reserved.iter().map(|r| (r.start.raw(), r.size));
        for (other, size) in reserved.chain(ranges[..n].iter().copied()) {
            let apart = end <= other || other.saturating_add(size) <= *start;
            assert!(
                apart || end == *start,
                "collision with {other:#x}: {plan:?}"
            );
        }
    }
}
