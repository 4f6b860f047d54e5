//! The servers' APIs as protected procedure calls.

use memory_server_api::{Error, MAX_WORDS, MemoryServer, Message, Reply, Request};
use sel4_microkit::{Channel, MessageInfo, with_msg_regs, with_msg_regs_mut};
use timer_server_api::{NEVER, OP_ARM};
use topology::channel;

/// The memory server, called over channel [`channel::MEMORY`].
#[derive(Debug)]
pub struct MemoryClient(());

impl MemoryClient {
    /// The client; a VMM takes it once.
    pub fn take() -> Self {
        Self(())
    }
}

impl MemoryServer for MemoryClient {
    fn call(&mut self, request: Request) -> Result<Reply, Error> {
        let message = request.encode();
        with_msg_regs_mut(|mrs| mrs[..message.len].copy_from_slice(&message.words[..message.len]));
        let info =
            Channel::new(channel::MEMORY).pp_call(MessageInfo::new(message.label, message.len));
        request.decode_reply(&received(info.label(), info.count()))
    }
}

/// The message in the message registers; more words than the protocol knows make it malformed, not long.
pub fn received(label: u64, count: usize) -> Message {
    with_msg_regs(|mrs| {
        let mut message = Message::new(label, &mrs[..count.min(MAX_WORDS)]);
        message.len = count;
        message
    })
}

/// Puts `message` into the message registers for a reply.
pub fn reply(message: &Message) -> MessageInfo {
    with_msg_regs_mut(|mrs| mrs[..message.len].copy_from_slice(&message.words[..message.len]));
    MessageInfo::new(message.label, message.len)
}

/// A call to the dt-server, for `dt_server_api::Client`.
pub fn dt_call(request: &dt_server_api::Message) -> dt_server_api::Message {
    let info = dt_send(request, |info| Channel::new(channel::DT).pp_call(info));
    dt_received(info.label(), info.count())
}

/// The dt-server's message in the message registers, cut at what its protocol allows.
pub fn dt_received(label: u64, count: usize) -> dt_server_api::Message {
    with_msg_regs(|mrs| {
        let words = &mrs[..count.min(dt_server_api::MAX_WORDS)];
        dt_server_api::Message {
            label,
            words: words.iter().copied().collect(),
        }
    })
}

/// Puts a dt-server message into the message registers and hands its tag to `send`.
pub fn dt_send<T>(message: &dt_server_api::Message, send: impl FnOnce(MessageInfo) -> T) -> T {
    with_msg_regs_mut(|mrs| mrs[..message.words.len()].copy_from_slice(&message.words));
    send(MessageInfo::new(message.label, message.words.len()))
}

/// Asks the timer server for a notification at tick `deadline`, or for none; for VMMs.
pub fn arm_timer(deadline: Option<u64>) {
    arm_timer_over(Channel::new(channel::TIMER), deadline);
}

/// The same over a channel of the caller's.
pub fn arm_timer_over(server: Channel, deadline: Option<u64>) {
    with_msg_regs_mut(|mrs| mrs[0] = deadline.unwrap_or(NEVER));
    server.pp_call(MessageInfo::new(OP_ARM, 1));
}
