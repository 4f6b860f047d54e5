//! What the store says to back ends: one stream for all of them.

use heapless::Vec;
use xen_abi::store::kind;
use xenstore_server_api::BackendStore as _;

use super::link::number_of;
use super::{DEVICES, Kind};
use crate::host::Host;

/// Longest value that is looked at.
const VALUE: usize = 128;

/// An answer of the store's.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Number of what was asked.
    pub(crate) serial: u32,
    /// What was read; `None`: the store refused.
    pub(crate) value: Option<Vec<u8, VALUE>>,
}

/// What one kind of devices has not looked at.
#[derive(Clone, Debug)]
struct Mail {
    /// Devices whose front end's state may be another one, a bit each.
    changed: u32,
    /// At most one thing is asked at a time, so the last answer is the one that counts.
    answer: Option<Answer>,
}

/// What the store has said, sorted by kinds of devices.
#[derive(Debug)]
pub struct Inbox([Mail; Kind::COUNT]);

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbox {
    /// Nothing.
    pub const fn new() -> Self {
        const NONE: Mail = Mail {
            changed: 0,
            answer: None,
        };
        Self([NONE; Kind::COUNT])
    }

    /// Hears the next message, if there is one; whether there was.
    pub(super) fn hear<H: Host>(&mut self, host: &mut H) -> bool {
        let mut value = [0; VALUE];
        let Some(heard) = host.store().hear(&mut value) else {
            return false;
        };
        let value = value.get(..heard.len).unwrap_or(&[]);
        if heard.header.kind == kind::WATCH_EVENT {
            let token = value.split(|&byte| byte == 0).nth(1).and_then(number_of);
            let device = token.and_then(|token| usize::try_from(token).ok());
            if let Some(device) = device
                && let Some(mail) = self.0.get_mut(device / DEVICES)
            {
                mail.changed |= 1 << (device % DEVICES);
            }
            return true;
        }
        let serial = heard.header.req_id;
        let kind = usize::try_from(serial).map_or(0, |serial| serial % Kind::COUNT);
        if let Some(mail) = self.0.get_mut(kind) {
            let read = heard.header.kind != kind::ERROR;
            let value = read.then(|| value.iter().copied().collect());
            mail.answer = Some(Answer { serial, value });
        }
        true
    }

    /// Whether there is something for devices of `kind`.
    pub const fn has(&self, kind: Kind) -> bool {
        let mail = &self.0[kind as usize];
        mail.changed != 0 || mail.answer.is_some()
    }

    /// The devices of `kind` whose front end's state may be another one, a bit each.
    pub(super) const fn take_changed(&mut self, kind: Kind) -> u32 {
        core::mem::replace(&mut self.0[kind as usize].changed, 0)
    }

    /// The answer to what was asked for devices of `kind`.
    pub(super) const fn take_answer(&mut self, kind: Kind) -> Option<Answer> {
        self.0[kind as usize].answer.take()
    }
}
