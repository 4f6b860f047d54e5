//! System calls that no VMM makes, on every capability that one holds.
//!
//! A call that blocks ends what its domain can try, so each of those has a domain of its own. What
//! is to be seen is the neighbours: nothing here may stop a server, or leave one on this VMM's
//! time.

use core::fmt::Write;

use topology::{caps, channel};
use zazen_rt::clients::arm_timer;
use zazen_rt::{clock, invoke};

use crate::Log;
use crate::random::Random;

/// Slots of a VMM's CNode; all are tried.
const SLOTS: u64 = caps::MICROKIT_SLOTS;
/// Most words of an seL4 message.
const WORDS: u64 = 120;
/// System calls of the sweep over all capabilities. A debug kernel prints a line for most of them.
const SWEEPS: u64 = 8000;
/// Messages of a flood.
const FLOOD: u64 = 1000;

/// Makes the system calls of the domain `name`; false if it is none of these.
pub(crate) fn run(name: &str, log: &mut Log) -> bool {
    let memory = caps::CALL + channel::MEMORY as u64;
    let dt = caps::CALL + channel::DT as u64;
    let timer = caps::CALL + channel::TIMER as u64;
    match name {
        // A passive server that gets a message without time would never run again.
        "send" => {
            say(log, "sends to what it calls for memory");
            invoke::send(memory, 1, 0);
            say(log, "has sent");
            invoke::send(memory, 1, 4);
        }
        "senddt" => {
            say(log, "sends to what it calls for device trees");
            // The gate stops at the first, and the second finds nobody.
            invoke::nb_send(dt, 1, 0);
            invoke::send(dt, 1, 0);
        }
        // One that gets a message with time and owes no reply would keep that time.
        "lend" => {
            say(log, "lends its time to what it calls");
            wake_soon();
            invoke::nb_send_recv(memory, 1, 0);
            say(log, "has its time again");
            invoke::nb_send_recv(dt, 1, 0);
        }
        "lendwait" => {
            say(log, "lends its time without a reply");
            wake_soon();
            invoke::nb_send_wait(memory, 1, 0);
            say(log, "has its time again");
            invoke::nb_send_wait(dt, 1, 0);
        }
        // Servers with time of their own get messages that want no reply.
        "sendall" => {
            say(log, "sends without end to who has time");
            for words in 0..FLOOD {
                invoke::send(timer, words % 8, words % (WORDS + 1));
                invoke::nb_send(timer, 0, words % 4);
            }
            say(log, "has sent to all");
        }
        "sweep" => {
            say(
                log,
                "makes every call that does not block, on every capability",
            );
            sweep();
            say(log, "has made them all");
        }
        "callfault" => {
            say(log, "calls its fault handler");
            invoke::call_slot(invoke::FAULT_ENDPOINT, 0, 0);
            say(log, "got an answer");
        }
        _ => return false,
    }
    true
}

fn say(log: &mut Log, what: &str) {
    let _ = writeln!(log, "[hostile] {what}");
}

/// Has the timer server wake this VMM, which may be about to wait for good.
fn wake_soon() {
    arm_timer(Some(clock::now() + clock::frequency() / 20));
}

/// Calls that never block, with anything, on any capability.
fn sweep() {
    let mut random = Random::new(0x5ca1_ab1e_0000_0001);
    for n in 0..SWEEPS {
        let slot = match random.below(4) {
            // What there is, mostly.
            0 => random.below(SLOTS),
            1 => caps::cptr(caps::VMM_GRANT_ROOT, random.below_small(512)),
            2 => caps::CALL + random.below(4),
            _ => *random.one_of(&[
                caps::INPUT,
                invoke::FAULT_ENDPOINT,
                caps::OWN_VSPACE,
                caps::REPLY,
                caps::VMM_SECOND_REPLY,
                caps::VMM_VCPU_TCB,
                caps::VMM_VCPU,
                caps::VMM_GUEST_VSPACE,
                BASE_NOTIFICATION + channel::CONSOLE as u64,
            ]),
        };
        let words = random.below(WORDS + 1);
        invoke::fill_message(words, |_| random.argument());
        let label = random.below(80);
        match n % 4 {
            0 | 1 => invoke::nb_send(slot, label, words),
            // A receive on what is none is a fault.
            2 => invoke::poll(caps::INPUT),
            _ => invoke::sched_yield(),
        }
    }
}

/// First capability for notifications in a protection domain's CSpace (libmicrokit,
/// `BASE_OUTPUT_NOTIFICATION_CAP`).
const BASE_NOTIFICATION: u64 = 10;
