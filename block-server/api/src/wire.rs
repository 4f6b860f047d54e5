//! What the server is told of the domains file, in bytes: the image builder writes them into its
//! program.

use heapless::Vec;

use crate::MAX_DISKS;
use crate::volume::{LABEL_MAX, Part, VolumeSpec};

/// Bytes of one disk: kind, device, whether it is read-only, length of the label; the partition's
/// number; the label.
const DISK: usize = 8 + LABEL_MAX;
/// Bytes of a domain's disks.
pub const DISKS_BYTES: usize = MAX_DISKS * DISK;

/// Disks of a domain, in their order.
pub type Disks = Vec<VolumeSpec, MAX_DISKS>;

const WHOLE: u8 = 1;
const NUMBER: u8 = 2;
const LABEL: u8 = 3;

/// `disks` in bytes; no more than [`MAX_DISKS`] count.
#[must_use]
pub fn encode(disks: &[VolumeSpec]) -> [u8; DISKS_BYTES] {
    let mut bytes = [0; DISKS_BYTES];
    for (to, disk) in bytes.chunks_exact_mut(DISK).zip(disks) {
        let (kind, number, label) = match &disk.part {
            Part::Whole => (WHOLE, 0, ""),
            Part::Number(number) => (NUMBER, *number, ""),
            Part::Label(label) => (LABEL, 0, label.as_str()),
        };
        let length = u8::try_from(label.len()).unwrap_or(0);
        let device = u8::try_from(disk.device).unwrap_or(u8::MAX);
        let head = [kind, device, disk.read_only.into(), length];
        let rest = number.to_le_bytes().into_iter().chain(label.bytes());
        for (to, from) in to.iter_mut().zip(head.into_iter().chain(rest)) {
            *to = from;
        }
    }
    bytes
}

/// The disks that [`encode`] wrote; the first that makes no sense ends them.
#[must_use]
pub fn decode(bytes: &[u8; DISKS_BYTES]) -> Disks {
    let disks = bytes.chunks_exact(DISK).map_while(|bytes| {
        let ([kind, device, read_only, length], rest) = bytes.split_first_chunk()?;
        let (number, label) = rest.split_first_chunk()?;
        let label = label.get(..usize::from(*length))?;
        let part = match *kind {
            WHOLE => Part::Whole,
            NUMBER => Part::Number(u32::from_le_bytes(*number)),
            LABEL => Part::Label(core::str::from_utf8(label).ok()?.try_into().ok()?),
            _ => return None,
        };
        Some(VolumeSpec {
            device: usize::from(*device),
            part,
            read_only: *read_only != 0,
        })
    });
    disks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec() -> impl Strategy<Value = VolumeSpec> {
        let part = prop_oneof![
            Just(Part::Whole),
            any::<u32>().prop_map(Part::Number),
            "[a-zäß€ ]{1,36}".prop_map(|label| Part::Label(label.as_str().try_into().unwrap())),
        ];
        (0..16_usize, part, any::<bool>()).prop_map(|(device, part, read_only)| VolumeSpec {
            device,
            part,
            read_only,
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(disks in proptest::collection::vec(spec(), 0..=MAX_DISKS)) {
            let read = decode(&encode(&disks));
            prop_assert_eq!(read.as_slice(), disks.as_slice());
        }
    }

    #[test]
    fn nothing_is_no_disk() {
        assert!(decode(&[0; DISKS_BYTES]).is_empty());
        assert!(decode(&[0xff; DISKS_BYTES]).is_empty());
    }
}
