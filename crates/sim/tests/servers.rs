//! A VMM that has lost its mind: whatever it sends to the servers, it harms its own guest at most.

mod common;

use common::assert_untouched;
use dt_server_api::{Message as DtMessage, Request as DtRequest};
use memory_server::DomainIndex;
use memory_server_api::{Error, MAX_WORDS, Message, Request, Slot};
use proptest::prelude::*;
use sim::caps::{CNode, Side};
use sim::{FREQUENCY, Ran, System};
use timer_server_api::{MALFORMED, NEVER, OP_ARM};

/// Everything that belongs to a domain: its capabilities, what is mapped, what it holds and what is
/// in it.
fn belongings(sys: &mut System, index: usize) -> impl PartialEq + std::fmt::Debug + use<> {
    let domain = System::domain(index);
    let usage = sys.memory.usage(domain);
    let machine = sys.memory.machine().look();
    let mut caps = machine.capabilities();
    caps.retain(|(place, ..)| place.cnode == CNode::Grant(domain));
    let maps = [Side::Guest, Side::Window].map(|side| machine.mapped(domain, side));
    drop(machine);
    let guest = sys.guest(index);
    let memory: Vec<u8> = (0..64)
        .flat_map(|n| guest.bytes(sim::guest::RAM + n * 0x4_0000, 16))
        .collect();
    (usage, caps, maps, memory)
}

fn all_capabilities(sys: &System) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        sys.memory.machine().look().capabilities(),
        sys.memory.totals(),
    )
}

/// Any message: any label, any number of words, more than any message has included.
fn message() -> impl Strategy<Value = (u64, Vec<u64>)> {
    let word = prop_oneof![
        0_u64..8,
        any::<u64>(),
        (0_u32..64).prop_map(|n| 1 << n),
        0_u64..0x4_0000
    ];
    let label = prop_oneof![0_u64..16, any::<u64>()];
    (label, prop::collection::vec(word, 0..12))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_to_the_memory_server_touch_the_senders_domain_alone(messages in prop::collection::vec(message(), 60)) {
        let mut sys = System::two();
        let before = belongings(&mut sys, 1);
        let mut reply = [0; MAX_WORDS];
        for (label, words) in &messages {
            let message = Message { label: *label, words };
            let caps = all_capabilities(&sys);
            let reply = sys.memory.send(DomainIndex(0), message, &mut reply);
            if Request::decode(message).is_err() {
                prop_assert_eq!(reply.label, Error::Malformed as u64);
                prop_assert_eq!(&all_capabilities(&sys), &caps, "{:?}", message);
            }
        }
        prop_assert_eq!(&belongings(&mut sys, 1), &before);
        prop_assert_eq!(sys.memory.totals().sum(), sys.memory.totals().all);
        prop_assert_eq!(sys.memory.totals().lost, 0);
        assert_untouched(&mut sys.guest(1), "linux2");
    }
}

#[test]
fn malformed_messages_change_nothing() {
    let sys = System::two();
    let caps = all_capabilities(&sys);
    let (mut tried, mut reply) = (0, [0; MAX_WORDS]);
    for label in (0..40).chain([u64::MAX, 1 << 32]) {
        for len in 0..10_usize {
            let words = &[u64::MAX; 10][..len];
            let message = Message { label, words };
            if Request::decode(message).is_err() {
                let reply = sys.memory.send(DomainIndex(0), message, &mut reply);
                assert_eq!(reply.label, Error::Malformed as u64, "{message:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 300, "{tried}");
    assert_eq!(all_capabilities(&sys), caps);
    sys.assert_consistent();
}

#[test]
fn callers_that_do_not_exist_are_refused() {
    let sys = System::two();
    let caps = all_capabilities(&sys);
    for domain in [2, 7, 8, 61, 255] {
        for request in [Request::Usage, Request::Release { slot: Slot(0) }] {
            let (mut words, mut reply) = ([0; MAX_WORDS], [0; MAX_WORDS]);
            let message = request.encode(&mut words);
            let reply = sys.memory.send(DomainIndex(domain), message, &mut reply);
            assert_ne!(reply.label, 0, "domain {domain}: {request:?}");
        }
    }
    assert_eq!(all_capabilities(&sys), caps);
}

#[test]
fn slots_of_nothing_cannot_be_released_or_split() {
    let mut sys = System::two();
    let before = belongings(&mut sys, 0);
    // Odd slots are the window's, those between pages of a whole block are empty, the tail holds
    // extra pages and tables.
    for slot in [
        1,
        2,
        3,
        1023,
        1025,
        9 * 1024,
        (1 << 18) - 1,
        1 << 18,
        u32::MAX,
    ]
    .map(Slot)
    {
        for request in [
            Request::Release { slot },
            Request::split(slot),
            Request::SplitDone { slot },
            Request::SplitAbort { slot },
        ] {
            let answer = sys.memory.call(DomainIndex(0), request);
            assert!(answer.is_err(), "{request:?}: {answer:?}");
        }
    }
    assert_eq!(belongings(&mut sys, 0), before);
    sys.assert_consistent();
}

#[test]
fn nonsense_to_the_dt_server_changes_no_record() {
    let sys = System::two();
    let record = |client| {
        sys.dt
            .borrow_mut()
            .on_ppc(client, &DtRequest::Record.encode())
    };
    let before = [record(0), record(1)];
    for label in (0..16).chain([u64::MAX]) {
        for words in [
            &[][..],
            &[0],
            &[u64::MAX],
            &[5, 4],
            &[0, u64::MAX],
            &[1, 2, 3],
            &[u64::MAX; 112],
        ] {
            for client in [0, 1, 2, 61, usize::MAX] {
                let message = DtMessage {
                    label,
                    words: words.iter().copied().collect(),
                };
                let reply = sys.dt.borrow_mut().on_ppc(client, &message);
                if client > 1 {
                    assert_ne!(reply.label, 0, "no such client: {client}");
                }
            }
        }
    }
    assert_eq!([record(0), record(1)], before);
    let tree = DtRequest::WriteTree { initrd: None }.encode();
    assert_eq!(sys.dt.borrow_mut().on_ppc(1, &tree).label, 0, "it works on");
}

#[test]
fn nonsense_to_the_timer_server_moves_nobodys_deadline() {
    let mut sys = System::two();
    let now = sys.now();
    let mut guest = sys.guest(1);
    guest.enable_gic();
    guest.enable_interrupt(27);
    guest.set_timer(now + FREQUENCY);
    assert_eq!(guest.wfi(), Ran::Waiting);
    for label in [0, 2, 3, u64::MAX] {
        assert_eq!(sys.call_timer(0, label, &[now + 1]), MALFORMED);
    }
    for words in [&[][..], &[1, 2]] {
        assert_eq!(sys.call_timer(0, OP_ARM, words), MALFORMED);
    }
    assert_eq!(sys.call_timer(usize::MAX, OP_ARM, &[5]), MALFORMED);
    // Its own deadline, as often as it likes.
    for at in [0, now, now + 1, NEVER - 1, NEVER] {
        assert_eq!(sys.call_timer(0, OP_ARM, &[at]), 0);
        sys.advance(1);
    }
    sys.advance(FREQUENCY - 10);
    assert!(sys.is_waiting(1));
    sys.advance(10);
    assert!(!sys.is_waiting(1));
    assert!(sys.is_alive(0), "early wake-ups do no harm");
}
