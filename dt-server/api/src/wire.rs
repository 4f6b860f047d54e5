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

/// Initrds that do not end before they start.
struct InOrder;

impl InOrder {
    fn contains(&self, initrd: &Option<(Gpa, Gpa)>) -> bool {
        initrd.is_none_or(|(start, end)| start <= end)
    }
}

ipc::requests! {
    /// What a VMM asks.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Request {
        /// The domain record. Reply: word 0 the number of bytes, then the postcard encoding.
        1 Idempotent Record,
        /// Write the tree. Reply: word 0 its size.
        2 Idempotent WriteTree {
            /// Start and end of the initrd.
            initrd: Option<(Gpa, Gpa)> where InOrder,
        },
        /// Read the tree from `offset`. Reply: word 0 the number of bytes, then the bytes.
        3 Idempotent ReadTree {
            /// First byte wanted.
            offset: u32,
        },
    }
}

/// Most words of a request.
const REQUEST_WORDS: usize = 2;

impl Request {
    /// The request as a message.
    pub fn encode(self) -> Message {
        let mut words = [0; REQUEST_WORDS];
        let sent = self.write(&mut words);
        Message {
            label: sent.label,
            words: sent.words.iter().copied().collect(),
        }
    }

    /// Reads a message that anybody may have sent.
    ///
    /// # Errors
    /// [`Error::Malformed`] for an unknown label, a wrong number of words, an offset above 32 bits,
    /// or an initrd that ends before it starts.
    pub fn decode(message: &Message) -> Result<Self, Error> {
        let Message { label, words } = message;
        let (label, words) = (*label, words.as_slice());
        Self::read(ipc::Message { label, words }).ok_or(Error::Malformed)
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
