//! The server's end.

use ring::sync::AtomicU32;
use ring::{Consumer, Producer};

use crate::QUEUE_LEN;
use crate::disk::DiskInfo;
use crate::region::Region;
use crate::request::{ANSWER_WORDS, Answer, REQUEST_WORDS, Refused, Request};

/// One VMM's requests, as the server has them.
#[derive(Debug)]
pub struct ServerEnd<'a> {
    region: Region<'a>,
    requests: Consumer<'a, AtomicU32>,
    answers: Producer<'a, AtomicU32>,
    /// Bytes of the data area.
    data: u32,
    /// Requests taken and not answered.
    open: usize,
}

impl<'a> ServerEnd<'a> {
    pub(crate) fn new(
        region: Region<'a>,
        requests: Consumer<'a, AtomicU32>,
        answers: Producer<'a, AtomicU32>,
        data: u32,
    ) -> Self {
        Self {
            region,
            requests,
            answers,
            data,
            open: 0,
        }
    }

    /// Whether [`ServerEnd::take`] would return a request.
    pub fn has_request(&self) -> bool {
        self.has_room() && self.requests.len() >= REQUEST_WORDS
    }

    /// The next request, which has to be answered, in whatever order.
    ///
    /// `None` where there is none; or where the VMM has not fetched so many answers that there
    /// would be no room for this one's, which no VMM brings about that keeps to [`QUEUE_LEN`]. The
    /// request stays then, and is looked at after the VMM's next notification.
    ///
    /// What is returned as a [`Request`] names a disk below [`crate::MAX_DISKS`], has bytes within
    /// the data area at a multiple of [`crate::SECTOR`], and sectors whose end is a number; whether
    /// the disk exists, has these sectors and may be written is for the server to say.
    pub fn take(&mut self) -> Option<Result<Request, Refused>> {
        if !self.has_request() {
            return None;
        }
        let mut words = [0; REQUEST_WORDS];
        if self.requests.read(&mut words) < REQUEST_WORDS {
            return None;
        }
        self.open += 1;
        Some(Request::from_words(words, self.data))
    }

    /// Answers a request that was taken; the data area holds what was read.
    pub fn answer(&mut self, answer: Answer) {
        self.open = self.open.saturating_sub(1);
        // There is room: `take` saw to it. A VMM that broke its index since gets no answer.
        if self.answers.room() >= ANSWER_WORDS {
            self.answers.write(&answer.to_words());
        }
    }

    /// Requests taken and not answered.
    pub const fn open(&self) -> usize {
        self.open
    }

    /// Whether the VMM may sleep and has to be notified of answers now.
    pub fn take_notify(&mut self) -> bool {
        self.answers.take_notify()
    }

    /// Disk `disk` is there now and is this; the VMM is to be notified. Numbers that are not
    /// [`DiskInfo::is_sound`] count for the VMM as no disk.
    pub fn set_disk(&mut self, disk: u8, info: &DiskInfo) {
        if let Some(words) = self.region.disk(disk) {
            words.set(info);
        }
    }

    /// Disk `disk` has gone: its device failed for good. The VMM is to be notified.
    pub fn remove_disk(&mut self, disk: u8) {
        if let Some(words) = self.region.disk(disk) {
            words.remove();
        }
    }

    /// The server stops for good. The VMM is to be notified.
    pub fn leave(&mut self) {
        self.region.mark_lost();
    }

    /// Whether there would be room for the answers of all open requests and one more.
    fn has_room(&self) -> bool {
        self.open < QUEUE_LEN && self.answers.room() >= (self.open + 1) * ANSWER_WORDS
    }
}
