//! The loop of a gate: each message becomes a call to the server of its channel, whose answer
//! becomes the reply.
//!
//! The message stays where the kernel put it, in the IPC buffer, from which the next call takes it.
//! Label and length go along unseen; capabilities do not, because the tag of the call names none.
//!
//! A gate runs on the time of its VMM's guest. That of a guest with a budget in each period has
//! time of its own: the guest's could end within a server, where all others would wait for the next
//! period. Its budget is more than any message costs, and it gives up what is left of that before
//! it answers. So a message costs the guest one of the gate's periods, in which it waits.

use sel4::cap;
use sel4_microkit::{Handler, Infallible, Never};
use topology::{caps, channel};

use crate::event::Event;
use crate::patched;

/// A gate; see the module's documentation.
#[derive(Debug)]
pub struct Gate(());

impl Gate {
    /// The gate of this protection domain.
    pub const fn take() -> Self {
        Self(())
    }
}

/// The channel over which a message from channel `id` goes on.
const fn onwards(id: usize) -> Option<usize> {
    match id {
        channel::MEMORY => Some(channel::GATE_MEMORY),
        channel::DT => Some(channel::GATE_DT),
        channel::PEER => Some(channel::GATE_PEER),
        _ => None,
    }
}

/// The tag of a message of `info`'s label and length, without capabilities.
fn plain(info: &sel4::MessageInfo) -> sel4::MessageInfo {
    sel4::MessageInfo::new(info.label(), 0, 0, info.length())
}

impl Handler for Gate {
    type Error = Infallible;

    fn run(&mut self) -> Result<Never, Infallible> {
        let input = cap::Endpoint::from_bits(caps::INPUT);
        let reply = cap::Reply::from_bits(caps::REPLY);
        let pays = patched::gate_pays();
        let mut received = input.recv(reply);
        loop {
            let (info, badge) = &received;
            received = match Event::call(*badge).and_then(onwards) {
                Some(server) => {
                    let server = cap::Endpoint::from_bits(caps::CALL + server as u64);
                    let answer = server.call(plain(info));
                    if pays {
                        // The answer stays in the IPC buffer.
                        sel4::r#yield();
                    }
                    input.reply_recv(plain(&answer), reply)
                }
                // Nobody has a capability for anything else.
                None => input.recv(reply),
            };
        }
    }
}

/// The program of a gate.
#[macro_export]
macro_rules! gate {
    () => {
        $crate::sel4_microkit::declare_protection_domain!(init = $crate::gate::Gate::take);
    };
}
