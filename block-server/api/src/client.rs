//! The VMM's end.

use guest_mem::Window;
use ring::sync::AtomicU32;
use ring::{Consumer, Producer};

use crate::disk::{DiskInfo, Presence};
use crate::region::Region;
use crate::request::{ANSWER_WORDS, Answer, REQUEST_WORDS, Request};

/// Disks as the hypervisor core uses them; never blocks.
pub trait DiskPort {
    /// The data area: window address 0 is its first byte, and it is [`crate::DATA_SIZE`] long.
    type Data: Window;

    /// The data area; `None` where there are no disks.
    fn data(&self) -> Option<&Self::Data>;
    /// Whether disk `disk` is there.
    fn presence(&self, disk: u8) -> Presence;
    /// What disk `disk` is, while it is there and makes sense.
    fn info(&self, disk: u8) -> Option<DiskInfo>;
    /// Counts the disks that `disk` has named; another one than before is another disk.
    fn generation(&self, disk: u8) -> u32;
    /// Queues a request; false where there is no room now. The caller has at most
    /// [`crate::QUEUE_LEN`] under way, counted until it has taken their answers. The bytes in the
    /// data area are the server's until then.
    fn submit(&mut self, request: &Request) -> bool;
    /// Has the server look at what was queued, where it may sleep.
    fn kick(&mut self);
    /// The next answer. Its number may be anything.
    fn take(&mut self) -> Option<Answer>;
    /// Requests queued whose answers were not taken. Those of an earlier life of the guest count:
    /// until they are answered, the data area is not the VMM's to use.
    fn under_way(&self) -> usize;
    /// Whether there is no server any more: what is under way will not be answered.
    fn is_lost(&self) -> bool;
}

/// A VMM's disks: a [`DiskPort`] over a [`Region`].
#[derive(Debug)]
pub struct Client<'a, D, F: FnMut()> {
    region: Region<'a>,
    requests: Producer<'a, AtomicU32>,
    answers: Consumer<'a, AtomicU32>,
    data: D,
    notify: F,
    under_way: usize,
    lost: bool,
}

impl<'a, D, F: FnMut()> Client<'a, D, F> {
    pub(crate) fn new(
        region: Region<'a>,
        requests: Producer<'a, AtomicU32>,
        answers: Consumer<'a, AtomicU32>,
        data: D,
        notify: F,
    ) -> Self {
        Self {
            region,
            requests,
            answers,
            data,
            notify,
            under_way: 0,
            lost: false,
        }
    }

    /// Somebody who knows says that there is no server any more.
    pub fn lose(&mut self) {
        self.lost = true;
    }
}

impl<D: Window, F: FnMut()> DiskPort for Client<'_, D, F> {
    type Data = D;

    fn data(&self) -> Option<&D> {
        Some(&self.data)
    }

    fn presence(&self, disk: u8) -> Presence {
        if self.is_lost() {
            return Presence::Gone;
        }
        self.region
            .disk(disk)
            .map_or(Presence::Absent, |words| words.presence())
    }

    fn info(&self, disk: u8) -> Option<DiskInfo> {
        if self.is_lost() {
            return None;
        }
        self.region.disk(disk)?.info()
    }

    fn generation(&self, disk: u8) -> u32 {
        self.region.disk(disk).map_or(0, |words| words.generation())
    }

    fn submit(&mut self, request: &Request) -> bool {
        let room = !self.is_lost() && self.requests.room() >= REQUEST_WORDS;
        let done = room && self.requests.write(&request.to_words()) == REQUEST_WORDS;
        self.under_way += usize::from(done);
        done
    }

    fn kick(&mut self) {
        // While the server has yet to fetch earlier requests it will see these too.
        if self.requests.take_notify() {
            (self.notify)();
        }
    }

    fn take(&mut self) -> Option<Answer> {
        if self.is_lost() || self.answers.len() < ANSWER_WORDS {
            return None;
        }
        let mut words = [0; ANSWER_WORDS];
        let got = self.answers.read(&mut words);
        self.under_way = self.under_way.saturating_sub(1);
        (got == ANSWER_WORDS).then(|| Answer::from_words(words))
    }

    fn under_way(&self) -> usize {
        self.under_way
    }

    fn is_lost(&self) -> bool {
        self.lost || self.region.is_lost()
    }
}

/// A guest may have no disks.
impl<P: DiskPort> DiskPort for Option<P> {
    type Data = P::Data;

    fn data(&self) -> Option<&P::Data> {
        self.as_ref()?.data()
    }
    fn presence(&self, disk: u8) -> Presence {
        let port = self.as_ref();
        port.map_or(Presence::Absent, |port| port.presence(disk))
    }
    fn info(&self, disk: u8) -> Option<DiskInfo> {
        self.as_ref()?.info(disk)
    }
    fn generation(&self, disk: u8) -> u32 {
        self.as_ref().map_or(0, |port| port.generation(disk))
    }
    fn submit(&mut self, request: &Request) -> bool {
        self.as_mut().is_some_and(|port| port.submit(request))
    }
    fn kick(&mut self) {
        if let Some(port) = self {
            port.kick();
        }
    }
    fn take(&mut self) -> Option<Answer> {
        self.as_mut()?.take()
    }
    fn under_way(&self) -> usize {
        self.as_ref().map_or(0, P::under_way)
    }
    fn is_lost(&self) -> bool {
        self.as_ref().is_some_and(P::is_lost)
    }
}
