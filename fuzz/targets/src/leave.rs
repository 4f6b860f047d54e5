//! Frames that leave by an uplink.

use net_server::leave::{HEAD, LONGEST, Leaving};
use net_server_api::{Checksum, Gso, GsoKind, Offload};

/// How many bytes say what is asked for and how long the frame is.
const ASKS: usize = 5;

/// A frame behind a byte that says what the sender has left to others, the bytes of a segment and
/// those of the frame, which goes on with zeros. What is not refused leaves in frames that are not
/// too long, each with the bytes that stand behind its headers, once and in order.
pub fn leave(data: &[u8]) {
    let Some((&[what, a, b, c, d], bytes)) = data.split_first_chunk::<ASKS>() else {
        return;
    };
    let size = u16::from_le_bytes([a, b]);
    let kind = match what & 3 {
        1 => Some(GsoKind::Tcp4),
        2 => Some(GsoKind::Tcp6),
        _ => None,
    };
    let offload = Offload {
        checksum: match what & 4 {
            0 => Checksum::Unknown,
            _ => Checksum::Blank,
        },
        gso: kind.map(|kind| Gso { kind, size }),
    };
    let mut frame = bytes.to_vec();
    frame.resize(usize::from(u16::from_le_bytes([c, d])).max(14), 0);
    let head = &frame[..frame.len().min(HEAD)];
    let Ok(leaving) = Leaving::new(head, frame.len(), offload) else {
        return;
    };
    let mut next = None;
    let mut out = [0; LONGEST];
    for number in 0..leaving.frames() {
        let read = |at: usize, to: &mut [u8]| {
            assert_eq!(at, *next.get_or_insert(at), "nothing is left out");
            next = Some(at + to.len());
            to.copy_from_slice(&frame[at..at + to.len()]);
        };
        let written = leaving.write(number, head, &mut out, read);
        assert_eq!(written, Some(leaving.len(number)));
    }
    assert!(next.is_some_and(|end| end <= frame.len()));
}
