//! Connecting a device by way of the store (public/io/xenbus.h).
//!
//! One thing is asked of the store at a time for each kind of devices, so that an answer belongs to
//! what was asked last. What a front end has written there may be anything; numbers are read once
//! and checked. A front end that goes through the states again, because its kernel or its module
//! was loaded anew, is followed from every state: its old queues go first, once nothing is under
//! way.

use core::fmt;

use xen_abi::xenbus::state;

use super::link::{Job, Link, Node, Path, Presence, number_of};
use super::{Inbox, Kind};
use crate::evtchn::Events;
use crate::host::Host;
use crate::hypercall::grant::backend::Grants;
use crate::memory::pages::Pages;

/// Most messages of the store that one call looks at.
const MOST_MESSAGES: u32 = 32;

/// What one kind of devices adds to how all are connected.
pub(crate) trait Backend: Sized {
    /// Which kind.
    const KIND: Kind;
    /// Its directory in the store.
    const DIRECTORY: &'static str;
    /// What is read of a front end's directory next, and what was.
    type Gather: Clone;
    /// What is wrong with what a front end gives; for the log.
    type Wrong: fmt::Display;

    /// The connections.
    fn link(&mut self) -> &mut Link<Self::Gather>;
    /// Whether device `device` is there.
    fn presence<H: Host>(host: &mut H, device: u8) -> Presence;
    /// Its number in the store.
    fn id(device: u8) -> u32;
    /// What people call it.
    fn name(device: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    /// The node of number `at` that a front end of a guest with so many vCPUs is offered; the last
    /// one is the state.
    fn offer<H: Host>(host: &mut H, vcpus: u8, at: usize) -> Option<Node>;
    /// The node of number `at` that a front end that has connected is told; the last one is the
    /// state. None at all: the device has gone.
    fn about<H: Host>(host: &mut H, device: u8, at: usize) -> Option<Node>;
    /// What is read first.
    fn first() -> Self::Gather;
    /// Puts out which node that is, in the front end's directory.
    ///
    /// # Errors
    /// Those of `path`.
    fn wanted(gather: &Self::Gather, path: &mut Path) -> fmt::Result;
    /// The front end gave `value` for that, or nothing; what is read next, if there is more.
    ///
    /// # Errors
    /// It is no good.
    fn given<H: Host, P: Pages>(
        &mut self,
        host: &mut H,
        grants: &Grants<'_, P>,
        events: &mut Events,
        at: (u8, Self::Gather),
        value: Option<&[u8]>,
    ) -> Result<Option<Self::Gather>, Self::Wrong>;
    /// The device is connected: its queues may be used.
    fn open<H: Host>(&mut self, host: &mut H, device: u8);
    /// Nothing is taken from the device's queues any more.
    fn shut<H: Host>(&mut self, host: &mut H, device: u8);
}

/// Goes on with what the store says and is to be asked; whether there is more.
pub(crate) fn converse<B: Backend, H: Host, P: Pages>(
    back: &mut B,
    inbox: &mut Inbox,
    host: &mut H,
    grants: &Grants<'_, P>,
    events: &mut Events,
) -> bool {
    let mut left = MOST_MESSAGES;
    loop {
        while left > 0 && inbox.hear(host) {
            left -= 1;
        }
        let link = back.link();
        link.on_changed(inbox.take_changed(B::KIND));
        if let Some(answer) = inbox.take_answer(B::KIND)
            && answer.serial == link.serial
            && let Some(device) = link.asked.take()
        {
            on_answer(back, host, grants, events, device, answer.value.as_deref());
        }
        if left == 0 {
            return true;
        }
        if !back.link().ask::<B, H>(host) {
            return false;
        }
    }
}

/// What a device asked has been answered; `None`: with an error.
fn on_answer<B: Backend, H: Host, P: Pages>(
    back: &mut B,
    host: &mut H,
    grants: &Grants<'_, P>,
    events: &mut Events,
    device: u8,
    value: Option<&[u8]>,
) {
    let vcpus = back.link().vcpus();
    let Some(connection) = back.link().connection(device) else {
        return;
    };
    match core::mem::replace(&mut connection.job, Job::Idle) {
        Job::Idle => {}
        Job::Watch => connection.on_watched(),
        Job::Look => {
            let state = value.and_then(number_of).unwrap_or(0);
            on_front(back, host, device, u8::try_from(state).unwrap_or(0));
        }
        Job::Offer(at) => {
            if B::offer(host, vcpus, at + 1).is_some() {
                connection.job = Job::Offer(at + 1);
            } else {
                connection.state = state::INIT_WAIT;
            }
        }
        Job::Gather(gather) => match back.given(host, grants, events, (device, gather), value) {
            Ok(next) => {
                if let Some(connection) = back.link().connection(device) {
                    connection.job = next.map_or(Job::Tell(0), Job::Gather);
                }
            }
            Err(wrong) => refuse(back, host, device, &wrong),
        },
        Job::Tell(at) => {
            if B::about(host, device, 0).is_none() {
                refuse(back, host, device, &"the device has gone");
            } else if B::about(host, device, at + 1).is_some() {
                connection.job = Job::Tell(at + 1);
            } else {
                connection.state = state::CONNECTED;
                back.open(host, device);
            }
        }
        Job::Say(state) => connection.state = state,
    }
}

/// The front end's state is `front`.
fn on_front<B: Backend, H: Host>(back: &mut B, host: &mut H, device: u8, front: u8) {
    let present = B::presence(host, device) == Presence::Present;
    let Some(connection) = back.link().connection(device) else {
        return;
    };
    let to = match (front, connection.state) {
        (state::INITIALISING, state::INITIALISING | state::CLOSED) => {
            if present {
                connection.job = Job::Offer(0);
            } else {
                connection.changed = true;
            }
            return;
        }
        (state::INITIALISED | state::CONNECTED, state::INIT_WAIT) => {
            connection.job = Job::Gather(B::first());
            return;
        }
        // It begins anew without having ended.
        (state::INITIALISING, state::CONNECTED | state::CLOSING) => state::INIT_WAIT,
        (state::CLOSING, state::INIT_WAIT | state::CONNECTED) => state::CLOSING,
        (state::CLOSED | state::UNKNOWN, state::INIT_WAIT | state::CONNECTED | state::CLOSING) => {
            state::CLOSED
        }
        _ => return,
    };
    back.shut(host, device);
    back.link().close(device, to);
}

/// What the front end gave is no good: the device is closed.
fn refuse<B: Backend, H: Host>(back: &mut B, host: &mut H, device: u8, wrong: &dyn fmt::Display) {
    host.log(format_args!(
        "{}: the guest's front end cannot be connected: {wrong}",
        Name::<B>::of(device)
    ));
    back.shut(host, device);
    back.link().close(device, state::CLOSING);
}

/// A device as people call it.
pub(crate) struct Name<B> {
    device: u8,
    kind: core::marker::PhantomData<B>,
}

impl<B> Name<B> {
    pub(crate) const fn of(device: u8) -> Self {
        Self {
            device,
            kind: core::marker::PhantomData,
        }
    }
}

impl<B: Backend> fmt::Display for Name<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        B::name(self.device, f)
    }
}
