use super::*;
use proptest::prelude::*;

fn at(paddr: u64, bits: u8) -> Object {
    Object {
        paddr: Some(Paddr(paddr)),
        bits: Some(bits),
        embedded: false,
    }
}
fn any(bits: u8) -> Object {
    Object {
        paddr: None,
        bits: Some(bits),
        embedded: false,
    }
}
fn place(untyped: usize, paddr: u64) -> Option<Placement> {
    Some(Placement {
        untyped,
        paddr: Paddr(paddr),
    })
}
fn normal(paddr: u64, bits: u8) -> BootUntyped {
    BootUntyped::new(Paddr(paddr), bits, false)
}

#[test]
fn the_lowest_untyped_that_fits_is_taken() {
    let boot = [normal(0x10_0000, 16), normal(0x1000, 12)];
    let result = simulate(&[any(14), any(12)], &boot).unwrap();
    assert_eq!(result.placements, [place(0, 0x10_0000), place(1, 0x1000)]);
    assert_eq!(result.zeroed(&boot), 0x1_1000);
}

#[test]
fn gaps_before_a_fixed_object_are_filled_with_others() {
    let boot = [normal(0x10_0000, 16)];
    let result = simulate(&[at(0x10_4000, 14), any(12), any(12)], &boot).unwrap();
    assert_eq!(
        result.placements,
        [
            place(0, 0x10_4000),
            place(0, 0x10_0000),
            place(0, 0x10_1000)
        ]
    );
}

#[test]
fn embedded_frames_take_no_memory() {
    let boot = [normal(0x1000, 12)];
    let ready = Object {
        embedded: true,
        ..any(12)
    };
    let result = simulate(&[ready, any(12), ready], &boot).unwrap();
    assert_eq!(result.placements, [None, place(0, 0x1000), None]);
    assert_eq!(
        simulate(&[ready, ready], &[]).unwrap().placements,
        [None, None]
    );
}

#[test]
fn device_untypeds_serve_fixed_objects_alone_and_are_not_zeroed() {
    let boot = [BootUntyped::new(Paddr(0x4000_0000), 29, true)];
    let result = simulate(&[at(0x5000_0000, 21)], &boot).unwrap();
    assert_eq!(result.zeroed(&boot), 0);
    assert_eq!(
        simulate(&[any(12)], &boot),
        Err(AllocError::NoRoom {
            first: 0,
            count: 1,
            bits: 12
        })
    );
}

#[test]
fn objects_without_size_need_nothing() {
    let none = Object {
        paddr: None,
        bits: None,
        embedded: false,
    };
    assert_eq!(simulate(&[none], &[]).unwrap().placements, [None]);
}

#[test]
fn refusals_name_the_object() {
    let boot = [normal(0x10_0000, 16)];
    assert_eq!(
        simulate(&[any(12), at(0x10_0000, 12)], &boot),
        Err(AllocError::Unsorted(1))
    );
    assert_eq!(
        simulate(&[any(12), any(13)], &boot),
        Err(AllocError::Unsorted(1))
    );
    assert_eq!(
        simulate(&[at(0x20_0000, 12)], &boot),
        Err(AllocError::Uncovered(0))
    );
    let twice = [at(0x10_0000, 13), at(0x10_1000, 12)];
    assert_eq!(simulate(&twice, &boot), Err(AllocError::Occupied(1)));
    let odd = [at(0x10_1000, 13)];
    assert_eq!(simulate(&odd, &boot), Err(AllocError::Occupied(0)));
    let many = vec![any(15); 4];
    assert_eq!(
        simulate(&many, &boot),
        Err(AllocError::NoRoom {
            first: 2,
            count: 2,
            bits: 15
        })
    );
}

proptest! {
    /// Whatever is placed is aligned, inside its untyped, and disjoint.
    #[test]
    fn placements_are_aligned_inside_and_disjoint(
        mut sizes in proptest::collection::vec(4u8..16, 0..40),
        fixed in proptest::collection::btree_set(0u64..16, 0..6),
    ) {
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let boot = [normal(0x1000, 12), normal(0x2000, 13), normal(0x10_0000, 16), normal(0x20_0000, 18)];
        let mut objects: Vec<Object> =
            fixed.iter().map(|n| at(0x10_0000 + n * 0x1000, 12)).collect();
        objects.extend(sizes.iter().map(|&bits| any(bits)));
        if let Ok(result) = simulate(&objects, &boot) {
            let mut spans = Vec::new();
            for (object, placement) in objects.iter().zip(&result.placements) {
                let placement = placement.unwrap();
                let chunk = Chunk { paddr: placement.paddr, bits: object.bits.unwrap() };
                prop_assert_eq!(chunk.paddr.0 % chunk.size(), 0);
                prop_assert!(boot[placement.untyped].span().contains(chunk.span()));
                prop_assert!(result.touched[placement.untyped]);
                spans.push(chunk.span());
            }
            spans.sort();
            for pair in spans.windows(2) {
                prop_assert!(pair[0].end() <= pair[1].start());
            }
        }
    }
}
