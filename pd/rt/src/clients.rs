//! The servers' APIs as protected procedure calls.

use memory_server_api::{Crash, Error, MemoryServer, Message, Relinquished, Reply, Request, Words};
use sel4_microkit::{Channel, MessageInfo, with_msg_regs, with_msg_regs_mut};
use timer_server_api::NEVER;
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
    fn send(&mut self, request: Request) -> Result<Reply, Error> {
        let info = put(|words| request.encode(words));
        let info = Channel::new(channel::MEMORY).pp_call(info);
        received(&info, |message| request.decode_reply(message))
    }
}

/// The memory server's message in the message registers, for `f` to decode.
fn received<T>(info: &MessageInfo, f: impl FnOnce(Message<'_>) -> T) -> T {
    with_msg_regs(|mrs| {
        let words = &mrs[..info.count().min(mrs.len())];
        let label = info.label();
        f(Message { label, words })
    })
}

/// Writes a message to the message registers; its tag.
fn put(write: impl FnOnce(&mut Words) -> Message<'_>) -> MessageInfo {
    with_msg_regs_mut(|mrs| {
        let Some(words) = mrs.first_chunk_mut() else {
            // There are 120 of them.
            return MessageInfo::new(Error::Malformed as u64, 0);
        };
        let message = write(words);
        MessageInfo::new(message.label, message.words.len())
    })
}

/// Answers the memory server's client whose message, with tag `info`, is in the message registers.
pub fn answer(
    info: &MessageInfo,
    serve: impl FnOnce(u64, Result<&Request, Error>) -> Result<Reply, Error>,
) -> MessageInfo {
    let request = received(info, Request::decode);
    let reply = serve(info.label(), request.as_ref().map_err(|error| *error));
    put(|words| Reply::encode(&reply, words))
}

/// Tells the memory server that the VMM of domain `domain` has stopped; for the fault server.
///
/// # Errors
/// The server's refusal, or [`Error::Malformed`] if its reply does not decode.
pub fn crash(domain: u8) -> Result<(bool, Relinquished), Error> {
    let info = put(|words| Crash { domain }.encode(words));
    let info = Channel::new(channel::FAULTS_MEMORY).pp_call(info);
    received(&info, Crash::decode_reply)
}

/// Answers the fault server, whose message, with tag `info`, is in the message registers.
pub fn answer_crash(
    info: &MessageInfo,
    serve: impl FnOnce(Crash) -> Result<Reply, Error>,
) -> MessageInfo {
    // The message registers are free again before the server asks the kernel for anything.
    let crash = received(info, Crash::decode);
    let reply = crash.and_then(serve);
    put(|words| Reply::encode(&reply, words))
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
    let deadline = deadline.unwrap_or(NEVER);
    let info = with_msg_regs_mut(|mrs| {
        let message = timer_server_api::Request::Arm { deadline }.write(mrs);
        MessageInfo::new(message.label, message.words.len())
    });
    server.pp_call(info);
}
