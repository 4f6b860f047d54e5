//! The last output of a client.

/// Bytes kept of each client's output.
pub(crate) const BACKLOG: usize = 4096;

/// A window over the end of a stream. It holds filtered text (see `filter`) with LF at line ends.
#[derive(Debug)]
pub(crate) struct Backlog {
    bytes: [u8; BACKLOG],
    /// Bytes ever pushed.
    end: u64,
}

impl Backlog {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; BACKLOG],
            end: 0,
        }
    }

    pub(crate) fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(place(self.end)) {
            *slot = byte;
        }
        self.end += 1;
    }

    /// Where the stream ends.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// The byte at place `at` of the stream, if it is still kept.
    pub(crate) fn get(&self, at: u64) -> Option<u8> {
        if at >= self.end || self.end - at > BACKLOG as u64 {
            return None;
        }
        self.bytes.get(place(at)).copied()
    }

    /// Where the first whole line that is kept starts; where none ends, the first byte that is
    /// kept.
    pub(crate) fn first_line(&self) -> u64 {
        let start = self.end.saturating_sub(BACKLOG as u64);
        if start == 0 {
            return 0;
        }
        (start..self.end)
            .find(|&at| self.get(at) == Some(b'\n'))
            .map_or(start, |at| at + 1)
    }
}

fn place(at: u64) -> usize {
    usize::try_from(at % BACKLOG as u64).unwrap_or(0)
}
