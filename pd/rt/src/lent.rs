//! The loop of a VMM, which runs on the time of its guest.
//!
//! A VMM has a scheduling context for what comes by notification, bound to its notification object,
//! and none of its own beside it. When a vCPU of its guest faults, the kernel lends it the vCPU's
//! scheduling context until it replies. So whatever a guest makes its VMM do, and whatever the
//! servers do that the VMM calls then, is taken from the guest's own time.
//!
//! Two rules follow. A vCPU continues by a reply and in no other way: a thread that is resumed
//! while its time is lent has none to run on. And the reply to the one whose time it is comes last,
//! together with the next receive, because the VMM has no time left behind it.
//!
//! # Several vCPUs
//!
//! While a vCPU waits for its reply, maybe for long (it sleeps in WFI), the VMM receives with
//! another reply object: the kernel would take the one that is in use from the vCPU that waits. So
//! it has one more than there are vCPUs. It goes on having the time of the vCPU that waits, the
//! *lender*, until it replies to that one; a second vCPU that faults meanwhile keeps its own, and
//! is answered at any moment. Whoever is answered last runs next, others behind those who are
//! ready.
//!
//! # Several cores
//!
//! A thread that takes the time of a thread on another core goes to that core with it, and one that
//! replies and receives at once is not scheduled there (seL4 16.0.0; docs/design/cores.md). So on a
//! multicore kernel a VMM stays on its core with time of its own, and there is no lender.

use hv_types::{MAX_VCPUS, VcpuId, Vcpus};
use sel4::cap;
use sel4_microkit::{Handler, MessageInfo, Never};
use topology::caps;

use crate::Infallible;
use crate::event::{Event, Signals};

/// Who waits with which reply object, and whose time the VMM has.
#[derive(Clone, Copy, Debug)]
pub struct Replies {
    /// The reply object of each vCPU that waits.
    of: [Option<u8>; MAX_VCPUS],
    /// Reply objects that are in use, a bit each.
    used: u16,
    lender: Option<VcpuId>,
    /// The VMM has time of its own, and vCPUs keep theirs.
    keeps_time: bool,
}

impl Replies {
    /// Nobody waits. `keeps_time`: the VMM has time of its own.
    pub const fn new(keeps_time: bool) -> Self {
        Self {
            of: [None; MAX_VCPUS],
            used: 0,
            lender: None,
            keeps_time,
        }
    }

    /// Whether `id` waits for a reply.
    pub const fn waits(&self, id: VcpuId) -> bool {
        self.of[id.index()].is_some()
    }

    /// Of those that are to be answered the one that comes last: whose time the VMM has, or
    /// `preferred`, or any.
    pub fn last(&self, answered: Vcpus, preferred: Option<VcpuId>) -> Option<VcpuId> {
        let among = |id: Option<VcpuId>| id.filter(|id| answered.contains(*id) && self.waits(*id));
        among(self.lender).or(among(preferred)).or_else(|| {
            let mut waiting = answered.into_iter().filter(|id| self.waits(*id));
            waiting.next()
        })
    }

    /// Whether the VMM has the time of `id`.
    pub fn has_time_of(&self, id: VcpuId) -> bool {
        self.lender == Some(id)
    }

    /// Answers `id`, whose time the VMM has not, with the message whose tag is `info`. It runs when
    /// those who are ready have had their turn.
    pub fn answer(&mut self, id: VcpuId, info: MessageInfo) {
        if let Some(number) = self.take(id) {
            // `seL4_Send` is the same for every capability type.
            let reply = cap::Endpoint::from_bits(caps::vmm_reply(number.into()));
            reply.send(info.into_inner());
        }
    }

    /// The reply object of `id`, which does not wait any more.
    #[inline]
    fn take(&mut self, id: VcpuId) -> Option<u8> {
        let number = self.of[id.index()].take()?;
        self.used &= !(1 << number);
        if self.lender == Some(id) {
            self.lender = None;
        }
        Some(number)
    }

    /// `id` has been taken out of its fault in another way; it has its time still, unless that was
    /// lent.
    pub fn forget(&mut self, id: VcpuId) {
        self.take(id);
    }

    /// Receives the next event. `reply` is the answer to a vCPU that is to continue now, the last
    /// of all.
    #[inline]
    pub fn next(&mut self, reply: Option<(VcpuId, MessageInfo)>) -> Event {
        let input = cap::Endpoint::from_bits(caps::INPUT);
        let answered = reply.and_then(|(id, info)| Some((self.take(id)?, info)));
        let (number, received) = match answered {
            Some((number, info)) => {
                let object = cap::Reply::from_bits(caps::vmm_reply(number.into()));
                (number, input.reply_recv(info.into_inner(), object))
            }
            None => {
                // There is one more than vCPUs.
                let number = self.used.trailing_ones() as u8;
                let object = cap::Reply::from_bits(caps::vmm_reply(number.into()));
                (number, input.recv(object))
            }
        };
        let event = Event::new(received);
        if let Event::Fault(vcpu, _) = event
            && let Some(id) = VcpuId::new(vcpu)
        {
            self.of[id.index()] = Some(number);
            self.used |= 1 << number;
            if !self.keeps_time {
                self.lender.get_or_insert(id);
            }
        }
        event
    }
}

/// The answer to a vCPU that is to continue, with the message's tag.
pub type Answer = Option<(VcpuId, MessageInfo)>;

/// A VMM, as its loop sees it.
pub trait Vmm {
    /// Notifications came. Returns the last answer, if a vCPU waits for one and is to continue.
    fn notified(&mut self, signals: Signals) -> Answer;

    /// vCPU `id` faulted. Returns the last answer, if one is to continue.
    fn fault(&mut self, id: VcpuId, info: MessageInfo) -> Answer;

    /// Receives the next event, with [`Replies::next`].
    fn next(&mut self, answer: Answer) -> Event;

    /// Notifications that came while something else was waited for, which are then forgotten.
    fn take_missed(&mut self) -> Signals {
        Signals::default()
    }
}

/// The protection domain of a VMM.
#[derive(Debug)]
pub struct Lent<T>(pub T);

impl<T: Vmm> Handler for Lent<T> {
    type Error = Infallible;

    fn run(&mut self) -> Result<Never, Infallible> {
        let vmm = &mut self.0;
        let mut reply = None;
        let mut missed = Signals::default();
        loop {
            missed = missed.with(vmm.take_missed());
            if reply.is_none() && !missed.is_empty() {
                reply = vmm.notified(core::mem::take(&mut missed));
                continue;
            }
            reply = match vmm.next(reply.take()) {
                Event::Signals(signals) => vmm.notified(signals.with(core::mem::take(&mut missed))),
                // Badges are given by the image builder: there is no other number.
                Event::Fault(vcpu, info) => match VcpuId::new(vcpu) {
                    Some(id) => vmm.fault(id, info),
                    None => None,
                },
            };
        }
    }
}
