//! What goes through the queues.

use crate::{MAX_FRAME, MIN_FRAME};

/// Words of a frame in its queue.
pub(crate) const FRAME_WORDS: usize = 4;

/// A frame: where it lies in the data area, and what is left to do with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame {
    /// First byte in the data area.
    pub offset: u32,
    /// Bytes, from [`MIN_FRAME`] to [`MAX_FRAME`].
    pub len: u32,
    /// What the sender has left to others.
    pub offload: Offload,
}

/// What the sender of a frame has left to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offload {
    /// What is known of the checksum of TCP or UDP.
    pub checksum: Checksum,
    /// The frame is a piece of a TCP stream that is to be cut into segments.
    pub gso: Option<Gso>,
}

/// What is known of the checksum of TCP or UDP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Checksum {
    /// Nothing.
    #[default]
    Unknown = 0,
    /// It is right, somebody has looked.
    Valid = 1,
    /// Only that of the pseudo header is there; the data is right.
    Blank = 2,
}

/// How a piece of a stream is to be cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gso {
    /// What it is a piece of.
    pub kind: GsoKind,
    /// Most bytes of data of a segment; not 0.
    pub size: u16,
}

/// What a piece of a stream is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum GsoKind {
    /// TCP over IPv4.
    Tcp4 = 1,
    /// TCP over IPv6.
    Tcp6 = 2,
}

/// The words of a frame make no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl Frame {
    pub(crate) const fn to_words(self) -> [u32; FRAME_WORDS] {
        let (kind, size) = match self.offload.gso {
            None => (0, 0),
            Some(gso) => (gso.kind as u32, gso.size as u32),
        };
        let how = self.offload.checksum as u32 | kind << 8;
        [self.offset, self.len, how, size]
    }

    /// What the other side wrote, if it lies within the `size` bytes from `base` on.
    pub(crate) fn from_words(
        words: [u32; FRAME_WORDS],
        (base, size): (u32, u32),
    ) -> Result<Self, Malformed> {
        let [offset, len, how, cut] = words;
        let start = offset.checked_sub(base).ok_or(Malformed)?;
        let end = start.checked_add(len).ok_or(Malformed)?;
        if end > size || !(MIN_FRAME..=MAX_FRAME).contains(&len) {
            return Err(Malformed);
        }
        let checksum = match how & 0xff {
            0 => Checksum::Unknown,
            1 => Checksum::Valid,
            2 => Checksum::Blank,
            _ => return Err(Malformed),
        };
        let kind = match how >> 8 {
            0 => None,
            1 => Some(GsoKind::Tcp4),
            2 => Some(GsoKind::Tcp6),
            _ => return Err(Malformed),
        };
        let size = u16::try_from(cut).map_err(|_| Malformed)?;
        let gso = kind.map(|kind| Gso { kind, size });
        if (size == 0) != gso.is_none() {
            return Err(Malformed);
        }
        Ok(Self {
            offset,
            len,
            offload: Offload { checksum, gso },
        })
    }
}
