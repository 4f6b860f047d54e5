//! Requests of a front end.

use hypervisor_core::device::pv_block::request::{MAX_SEGMENTS, Segments, Work, decode, sectors};
use xen_abi::blkif::{SEGMENTS, SLOT, op};

/// The bytes of slots. What is not refused has segments within its bounds, each of which lies in a
/// page or is refused.
pub fn blkif(data: &[u8]) {
    for bytes in data.chunks(SLOT as usize) {
        let mut slot = [0; SLOT as usize];
        slot[..bytes.len()].copy_from_slice(bytes);
        let asked = decode(&slot);
        // The response to an indirect request names what is done.
        let told = if slot[0] == op::INDIRECT {
            slot[1]
        } else {
            slot[0]
        };
        assert_eq!(asked.op, told);
        match asked.work {
            Ok(Work::Move { op, segments, .. }) => {
                assert!(op.moves_data());
                let most = match segments {
                    Segments::Here(all, count) => {
                        for segment in &all[..count] {
                            assert!(sectors(segment).is_none_or(|count| (1..=8).contains(&count)));
                        }
                        SEGMENTS
                    }
                    Segments::There(..) => MAX_SEGMENTS,
                };
                assert!((1..=most).contains(&segments.count()));
            }
            Ok(Work::Bare { op, .. }) => assert!(!op.moves_data()),
            Err(status) => assert!(status < 0),
        }
    }
}
