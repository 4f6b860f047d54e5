//! The servers' APIs as protected procedure calls.

use memory_server_api::{
    Crash, Error, LendError, Lending, MemoryServer, Message, Relinquished, Reply, Request, Words,
};
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

/// The message in the message registers, for `f` to decode.
fn received<T>(info: &MessageInfo, f: impl FnOnce(Message<'_>) -> T) -> T {
    with_msg_regs(|mrs| {
        let words = &mrs[..info.count().min(mrs.len())];
        let label = info.label();
        f(Message { label, words })
    })
}

/// Writes a message to the message registers; its tag.
fn put(write: impl FnOnce(&mut Words) -> Message<'_>) -> MessageInfo {
    put_any(|mrs| match mrs.first_chunk_mut() {
        Some(words) => write(words),
        // There are 120 of them.
        None => Message {
            label: Error::Malformed as u64,
            words: &[],
        },
    })
}

/// The same for a server that has another number of words.
fn put_any(write: impl FnOnce(&mut [u64]) -> Message<'_>) -> MessageInfo {
    with_msg_regs_mut(|mrs| {
        let message = write(mrs);
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

/// Asks the peer server; for VMMs.
///
/// # Errors
/// The server's refusal.
pub fn ask_peer(request: peer_server_api::Request) -> Result<(), peer_server_api::Error> {
    let info = put_any(|words| request.write(words));
    let info = Channel::new(channel::PEER).pp_call(info);
    peer_server_api::read_reply(info.label())
}

/// Tells the peer server that the VMM of domain `domain` has stopped; for the fault server.
pub fn crash_peer(domain: u8) {
    for _ in 0..peer_server_api::MOST_ENDS {
        let info = put_any(|words| peer_server_api::crash(domain, words));
        let info = Channel::new(channel::FAULTS_PEER).pp_call(info);
        if peer_server_api::read_reply(info.label()) != Err(peer_server_api::Error::Again) {
            break;
        }
    }
}

/// What the peer server asks the memory server.
///
/// # Errors
/// The server's refusal, or [`LendError::Malformed`] if its reply does not decode.
pub fn lending(lending: Lending) -> Result<u64, LendError> {
    let info = put(|words| lending.write(words));
    let info = Channel::new(channel::PEER_MEMORY).pp_call(info);
    received(&info, Lending::read_answer)
}

/// Answers the peer server, whose message, with tag `info`, is in the message registers.
pub fn answer_lending(
    info: &MessageInfo,
    serve: impl FnOnce(Lending) -> Result<u64, LendError>,
) -> MessageInfo {
    // The message registers are free again before the server asks the kernel for anything.
    let lending = received(info, Lending::read);
    let answer = lending.ok_or(LendError::Malformed).and_then(serve);
    put(|words| Lending::answer(answer, words))
}

/// Answers the peer server's client whose message, with tag `info`, is in the message registers.
pub fn answer_peer(
    info: &MessageInfo,
    serve: impl FnOnce(peer_server_api::Request) -> Result<(), peer_server_api::Error>,
) -> MessageInfo {
    // The message registers are free again before the server asks another one.
    let request = received(info, peer_server_api::Request::read);
    let answer = request
        .ok_or(peer_server_api::Error::Malformed)
        .and_then(serve);
    MessageInfo::new(peer_server_api::reply(answer), 0)
}

/// Answers the fault server, whose message, with tag `info`, is in the message registers.
pub fn answer_peer_crash(
    info: &MessageInfo,
    crash: impl FnOnce(u8) -> Result<(), peer_server_api::Error>,
) -> MessageInfo {
    let read = received(info, peer_server_api::read_crash);
    MessageInfo::new(peer_server_api::reply(read.and_then(crash)), 0)
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
    let info = put_any(|mrs| timer_server_api::Request::Arm { deadline }.write(mrs));
    server.pp_call(info);
}
