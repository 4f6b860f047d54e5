//! What stands before a frame (Virtio 1.2, 5.1.6).

/// Bytes of it: flags, kind of segmentation, its lengths, where a checksum goes, number of buffers.
pub(crate) const HEADER: usize = 12;

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM` (5.1.6.1).
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_F_DATA_VALID`.
const DATA_VALID: u8 = 2;
/// Where the two words are that say what is to be summed: from which byte on, and where behind that
/// the sum goes.
const START: usize = 6;

/// What the device knows of the checksum of TCP or UDP in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checksum {
    /// Nothing.
    Unknown,
    /// It is right.
    Valid,
    /// Only that of the pseudo header is there: the frame never was on a wire.
    Blank,
}

/// What `header` says of a frame of `len` bytes.
pub(crate) fn checksum(header: &[u8], len: usize) -> Checksum {
    let flags = header.first().copied().unwrap_or(0);
    if flags & NEEDS_CHECKSUM != 0 {
        let word = |at: usize| match header.get(at..) {
            Some([low, high, ..]) => usize::from(u16::from_le_bytes([*low, *high])),
            _ => usize::MAX,
        };
        let end = word(START)
            .saturating_add(word(START + 2))
            .saturating_add(2);
        // What lies outside of the frame nobody can put in.
        return if end <= len {
            Checksum::Blank
        } else {
            Checksum::Unknown
        };
    }
    if flags & DATA_VALID != 0 {
        Checksum::Valid
    } else {
        Checksum::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u8, start: u16, offset: u16) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[0] = flags;
        header[6..8].copy_from_slice(&start.to_le_bytes());
        header[8..10].copy_from_slice(&offset.to_le_bytes());
        header
    }

    #[test]
    fn a_checksum_that_is_to_come_lies_in_the_frame() {
        let known = |flags, start, offset| checksum(&header(flags, start, offset), 60);
        assert_eq!(known(0, 34, 16), Checksum::Unknown);
        assert_eq!(known(DATA_VALID, 0, 0), Checksum::Valid);
        assert_eq!(known(NEEDS_CHECKSUM, 34, 16), Checksum::Blank);
        assert_eq!(known(NEEDS_CHECKSUM | DATA_VALID, 42, 16), Checksum::Blank);
        assert_eq!(known(NEEDS_CHECKSUM, 43, 16), Checksum::Unknown);
        assert_eq!(known(NEEDS_CHECKSUM, u16::MAX, u16::MAX), Checksum::Unknown);
        assert_eq!(checksum(&[], 60), Checksum::Unknown);
    }
}
