//! Requests and replies in message registers.

use hv_types::Gpa;

/// Words of a message at most: seL4's 120 registers less headroom.
pub const MAX_WORDS: usize = 112;
/// Most bytes of an encoded record, and of one piece of a tree.
pub const RECORD_MAX: usize = (MAX_WORDS - 1) * 8;

/// A message: label and words in use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Operation of a request; 0 or an [`Error`] number in a reply.
    pub label: u64,
    /// Words.
    pub words: heapless::Vec<u64, MAX_WORDS>,
}

impl Message {
    /// A message without words.
    pub const fn empty(label: u64) -> Self {
        Self {
            label,
            words: heapless::Vec::new(),
        }
    }
}

/// What a VMM asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// The domain record. Reply: word 0 the number of bytes, then the postcard encoding.
    Record,
    /// Write the tree. Reply: word 0 its size.
    WriteTree {
        /// Start and end of the initrd.
        initrd: Option<(Gpa, Gpa)>,
    },
    /// Read the tree from `offset`. Reply: word 0 the number of bytes, then the bytes.
    ReadTree {
        /// First byte wanted.
        offset: u32,
    },
}

const OP_RECORD: u64 = 1;
const OP_WRITE_TREE: u64 = 2;
const OP_READ_TREE: u64 = 3;

impl Request {
    /// The request as a message. All requests may be repeated without harm.
    pub fn encode(self) -> Message {
        let mut message = Message::empty(0);
        let words: &[u64] = match self {
            Self::Record => {
                message.label = OP_RECORD;
                &[]
            }
            Self::WriteTree { initrd: None } => {
                message.label = OP_WRITE_TREE;
                &[]
            }
            Self::WriteTree {
                initrd: Some((start, end)),
            } => {
                message.label = OP_WRITE_TREE;
                &[start.raw(), end.raw()]
            }
            Self::ReadTree { offset } => {
                message.label = OP_READ_TREE;
                &[offset as u64]
            }
        };
        for word in words {
            // At most two words: there is always room.
            let _ = message.words.push(*word);
        }
        message
    }

    /// Reads a message that anybody may have sent.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an unknown label, a wrong number of words, an offset above 32 bits, or an
    /// initrd that ends before it starts.
    pub fn decode(message: &Message) -> Result<Self, Error> {
        match (message.label, message.words.as_slice()) {
            (OP_RECORD, []) => Ok(Self::Record),
            (OP_WRITE_TREE, []) => Ok(Self::WriteTree { initrd: None }),
            (OP_WRITE_TREE, [start, end]) if start <= end => Ok(Self::WriteTree {
                initrd: Some((Gpa::new(*start), Gpa::new(*end))),
            }),
            (OP_READ_TREE, [offset]) => {
                let offset = u32::try_from(*offset).map_err(|_| Error::Malformed)?;
                Ok(Self::ReadTree { offset })
            }
            _ => Err(Error::Malformed),
        }
    }
}

/// Why the server refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Error {
    /// The request does not decode, or asks for a piece that is not there.
    Malformed = 1,
    /// No valid domain belongs to the caller; the server's log says why.
    NoDomain = 2,
    /// The tree does not fit its buffer.
    TooLarge = 3,
}

impl Error {
    /// The error with wire number `raw`.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        Some(match raw {
            1 => Self::Malformed,
            2 => Self::NoDomain,
            3 => Self::TooLarge,
            _ => return None,
        })
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "dt-server: the request or the reply does not decode",
            Self::NoDomain => "dt-server: the domains file has no valid domain for this VMM; run `zazen check` on it",
            Self::TooLarge => "dt-server: the guest's device tree or the domain record is too large; shorten bootargs",
        })
    }
}
