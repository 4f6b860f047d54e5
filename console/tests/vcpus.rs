//! The list of vCPUs.

mod common;
use common::Rig;
use console_api::{End, Shown, State, VcpuShown, VcpuState};

const SWITCH: &[u8] = b"\x01\x01\x01";
/// The client that answers for processor times.
const KEEPER: usize = 2;

/// A system whose first guest has three vCPUs and whose second is down, at its monitor.
fn monitor() -> Rig {
    let mut rig = Rig::usual();
    rig.mux.set_timekeeper(KEEPER);
    let mut shown = Shown::UNKNOWN;
    shown.state = State::Runs;
    let states = [VcpuState::Runs, VcpuState::Waits, VcpuState::Off];
    for ((vcpu, state), core) in shown.vcpus.iter_mut().zip(states).zip([0, 1, 3]) {
        *vcpu = Some(VcpuShown { state, core });
    }
    rig.clients[0].show(shown);
    shown = Shown::UNKNOWN;
    shown.state = State::Down(End::PowerOff);
    rig.clients[1].show(shown);
    rig.type_in(&SWITCH.repeat(2));
    rig.seen();
    rig
}

/// The timekeeper answers: a second and a half for each vCPU of the first domain, and nothing else.
fn answer(rig: &mut Rig) {
    let us = |domain, vcpu| {
        if domain == 0 {
            1_567_890 * (vcpu as u64 + 1)
        } else {
            0
        }
    };
    rig.clients[KEEPER].answer_times(us);
    rig.pump();
}

#[test]
fn all_are_listed_when_the_times_have_come() {
    let mut rig = monitor();
    let before = rig.notified;
    rig.type_in(b"v");
    let after = rig.notified;
    for client in [0, 1, KEEPER] {
        assert_eq!(
            after[client],
            before[client] + 1,
            "client {client} is asked"
        );
    }
    assert_eq!(rig.seen(), "", "nothing is known yet");
    answer(&mut rig);
    assert_eq!(
        rig.seen(),
        "zazen:     name             vcpu core  state   time (s)\r\n\
         zazen:   1 linux1              0    0  runs         1.5\r\n\
         zazen:   1 linux1              1    1  waits        3.1\r\n\
         zazen:   1 linux1              2    3  off          4.7\r\n\
         zazen: > 2 linux2              -    -  down: switched itself off\r\n"
    );
    // Once.
    rig.write(KEEPER, b"a line\n");
    assert_eq!(rig.seen(), "memory: a line\r\n");
}

#[test]
fn a_timekeeper_that_never_answers_keeps_nothing_else_from_being_done() {
    let mut rig = monitor();
    rig.type_in(b"v");
    rig.type_in(b"h");
    assert!(rig.seen().contains("zazen: v  list the vCPUs"));
    // Another question is answered with it.
    rig.type_in(b"v");
    answer(&mut rig);
    assert_eq!(rig.seen().matches("linux1").count(), 3);
    rig.mux.mark_stopped(KEEPER);
    rig.type_in(b"v");
    assert_eq!(
        rig.seen(),
        "zazen: nobody in this system knows processor times\r\n"
    );
}

#[test]
fn nonsense_of_a_vmm_is_a_list_of_what_makes_sense() {
    let mut rig = monitor();
    // The words of vCPUs, of the block in the header page.
    for word in [128 + 6, 128 + 7] {
        rig.headers[0][word].store(0xff01_f8fa, std::sync::atomic::Ordering::Release);
    }
    rig.type_in(b"v");
    answer(&mut rig);
    let seen = rig.seen();
    assert_eq!(seen.matches("1 linux1").count(), 4, "{seen}");
    assert!(seen.contains("linux1              0   31  waits"), "{seen}");
}
