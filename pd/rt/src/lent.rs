//! The loop of a VMM, which runs on the time of its guest.
//!
//! A VMM has a scheduling context for what comes by notification, bound to its notification object,
//! and none of its own beside it. When its guest faults, the kernel lends it the vCPU's scheduling
//! context until it replies. So whatever a guest makes its VMM do, and whatever the servers do that
//! the VMM calls then, is taken from the guest's own time slice.
//!
//! Two rules follow. The guest continues by a reply and in no other way: a thread that is resumed
//! while its time is lent has none to run on. And the reply comes last, together with the next
//! receive, because the VMM has no time left behind it. While the guest waits for its reply, maybe
//! for long (it sleeps in WFI), the VMM receives with a second reply object: the kernel would take
//! the first one from the waiting guest.

use sel4::cap;
use sel4_microkit::{Handler, MessageInfo, Never};
use topology::caps;

use crate::Infallible;
use crate::event::{Event, Signals};

/// Receives the next event.
///
/// `reply` is the guest's reply, if it is to continue now. `waits` says that it waits for its
/// reply, and goes on waiting.
pub(crate) fn next(reply: Option<MessageInfo>, waits: bool) -> Event {
    let input = cap::Endpoint::from_bits(caps::INPUT);
    let first = cap::Reply::from_bits(caps::REPLY);
    Event::new(match (reply, waits) {
        (Some(info), _) => input.reply_recv(info.into_inner(), first),
        (None, false) => input.recv(first),
        (None, true) => input.recv(cap::Reply::from_bits(caps::VMM_SECOND_REPLY)),
    })
}

/// A VMM, as its loop sees it.
pub trait Vmm {
    /// Notifications came. Returns the guest's reply, if it waits for one and is to continue.
    fn notified(&mut self, signals: Signals) -> Option<MessageInfo>;

    /// The guest faulted. Returns its reply, if it is to continue.
    fn fault(&mut self, info: MessageInfo) -> Option<MessageInfo>;

    /// Whether the guest still waits for a reply.
    fn guest_waits(&self) -> bool;

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
            reply = match next(reply.take(), vmm.guest_waits()) {
                Event::Signals(signals) => vmm.notified(signals.with(core::mem::take(&mut missed))),
                Event::Fault(info) => vmm.fault(info),
            };
        }
    }
}
