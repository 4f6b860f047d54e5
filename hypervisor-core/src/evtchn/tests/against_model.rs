//! Random life of event channels: no event is lost, none is invented.

use std::collections::BTreeMap;

use hv_types::{DomId, Port};
use proptest::collection::vec;
use proptest::prelude::*;
use xen_abi::Errno;

use super::super::{Sent, Service};
use super::{FRAME, Guest, ME};

/// Ports that steps pick from: two words' worth, the last ones and some that do not exist.
fn port() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..12, 2 => 60u32..70, 1 => 1020u32..1026, 1 => any::<u32>()]
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Unbound,
    Ipi,
    Virq(u32),
    Connect(u32),
    Close(u32),
    Reset,
    Raise(u32),
    Send(u32),
    Mask(u32),
    Unmask(u32),
    Register(u64, u32),
    Handle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Unbound),
        3 => Just(Step::Ipi),
        1 => (0u32..26).prop_map(Step::Virq),
        3 => port().prop_map(Step::Connect),
        2 => port().prop_map(Step::Close),
        1 => prop::bool::weighted(0.1).prop_map(|reset| if reset { Step::Reset } else { Step::Handle }),
        6 => port().prop_map(Step::Raise),
        6 => port().prop_map(Step::Send),
        4 => port().prop_map(Step::Mask),
        4 => port().prop_map(Step::Unmask),
        1 => (FRAME..FRAME + 20, 0u32..0x1100).prop_map(|(gfn, offset)| Step::Register(gfn, offset & !7)),
        4 => Just(Step::Handle),
    ]
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Unbound,
    Ipi,
    Virq(u32),
    Peer(u32),
    Console,
}

/// What ought to be: bindings, and of each bound port whether it is pending or masked.
#[derive(Default)]
struct Model {
    ports: BTreeMap<u32, Kind>,
    pending: BTreeMap<u32, ()>,
    masked: BTreeMap<u32, ()>,
    registered: bool,
    /// Highest port that was ever bound.
    highest: u32,
}

impl Model {
    fn alloc(&mut self, kind: Kind) -> u32 {
        let port = (1..).find(|port| !self.ports.contains_key(port)).unwrap();
        self.ports.insert(port, kind);
        self.highest = self.highest.max(port);
        port
    }
    fn set(&mut self, port: u32) {
        if self.ports.contains_key(&port) {
            self.pending.insert(port, ());
        }
    }
    fn close(&mut self, port: u32) -> Result<(), Errno> {
        match self.ports.get(&port).copied().ok_or(Errno::Einval)? {
            Kind::Console => {}
            kind => {
                if let Kind::Peer(peer) = kind {
                    self.ports.insert(peer, Kind::Unbound);
                }
                self.ports.remove(&port);
            }
        }
        self.pending.remove(&port);
        Ok(())
    }
    /// Ports whose event the guest ought to be told of.
    fn ready(&self) -> Vec<u32> {
        self.pending
            .keys()
            .copied()
            .filter(|port| !self.masked.contains_key(port))
            .collect()
    }
}

struct Both {
    guest: Guest,
    model: Model,
}

impl Both {
    fn step(&mut self, step: Step) {
        let Self { guest, model } = self;
        let up_before = guest.upcall() != 0;
        let mut told = None;
        match step {
            Step::Unbound => {
                let port = guest.events.alloc_unbound(DomId::SELF, ME).unwrap();
                assert_eq!(port.0, model.alloc(Kind::Unbound));
            }
            Step::Ipi => assert_eq!(guest.events.bind_ipi(0).unwrap().0, model.alloc(Kind::Ipi)),
            Step::Virq(virq) => {
                let free = matches!(virq, 0 | 1 | 7 | 11 | 13)
                    && !model.ports.values().any(|kind| *kind == Kind::Virq(virq));
                let port = guest.events.bind_virq(virq, 0);
                assert_eq!(port.is_ok(), free);
                if let Ok(port) = port {
                    assert_eq!(port.0, model.alloc(Kind::Virq(virq)));
                }
            }
            Step::Connect(peer) => {
                let result =
                    guest
                        .events
                        .bind_interdomain(&guest.window, &guest.pages, ME, Port(peer));
                if model.ports.get(&peer) == Some(&Kind::Unbound) {
                    let (port, upcall) = result.unwrap();
                    assert_eq!(port.0, model.alloc(Kind::Peer(peer)));
                    model.ports.insert(peer, Kind::Peer(port.0));
                    model.set(port.0);
                    told = Some(upcall.is_some());
                } else {
                    assert_eq!(result, Err(Errno::Einval));
                }
            }
            Step::Close(port) => assert_eq!(
                guest.events.close(&guest.window, Port(port)),
                model.close(port)
            ),
            Step::Reset => {
                guest.events.reset(&guest.window, ME).unwrap();
                for port in model.ports.keys().copied().collect::<Vec<_>>() {
                    let _ = model.close(port);
                }
            }
            Step::Raise(port) => {
                told = Some(guest.raise(port));
                model.set(port);
            }
            Step::Send(port) => {
                let sent = guest.send(port);
                let expected = match model.ports.get(&port) {
                    None | Some(Kind::Virq(_)) => Err(Errno::Einval),
                    Some(Kind::Unbound) => Ok(Sent::Nobody),
                    Some(Kind::Console) => Ok(Sent::Service(Service::Console)),
                    Some(kind) => {
                        let to = if let Kind::Peer(peer) = kind {
                            *peer
                        } else {
                            port
                        };
                        model.set(to);
                        told = Some(matches!(sent, Ok(Sent::Port { upcall: Some(_) })));
                        sent
                    }
                };
                assert_eq!(sent, expected);
            }
            Step::Mask(port) if port < 1024 => {
                guest.set_mask(port, true);
                model.masked.insert(port, ());
            }
            Step::Mask(_) => {}
            Step::Unmask(port) => {
                let result = guest.unmask(port);
                assert_eq!(result.is_ok(), port / 64 <= model.highest / 64);
                told = result.ok();
                if model.ports.contains_key(&port) {
                    model.masked.remove(&port);
                }
            }
            Step::Register(gfn, offset) => {
                let fits = gfn < FRAME + 16 && offset <= 4096 - 48 && !model.registered;
                assert_eq!(guest.register(gfn, offset).is_ok(), fits);
                if fits {
                    model.registered = true;
                    guest.info = hv_types::WindowAddr::new(gfn * 4096 + u64::from(offset));
                    assert_eq!((guest.upcall(), guest.selector()), (1, u64::MAX));
                    assert_eq!(guest.handle(), model.ready());
                    model
                        .pending
                        .retain(|port, ()| model.masked.contains_key(port));
                    return;
                }
            }
            Step::Handle => {
                let served = guest.handle();
                // Every event that was due is served in one go, each once, and no other.
                assert_eq!(served, model.ready());
                model
                    .pending
                    .retain(|port, ()| model.masked.contains_key(port));
                return;
            }
        }
        // Told of the upcall exactly when the flag went up.
        let up = guest.upcall() != 0;
        let told = told.unwrap_or(false);
        assert_eq!(told, up && !up_before);
        assert!(!told || !model.ready().is_empty(), "an upcall for nothing");
    }

    fn check(&self) {
        let Self { guest, model } = self;
        for word in 0..16u16 {
            let expected = model
                .pending
                .keys()
                .filter(|port| **port / 64 == u32::from(word));
            let expected = expected.fold(0, |bits, port| bits | 1u64 << (port % 64));
            assert_eq!(guest.pending_word(word), expected, "word {word}");
        }
        for port in model.ready() {
            assert!(
                guest.selector() & (1 << (port / 64)) != 0,
                "port {port} is pending and nobody looks"
            );
            assert!(
                guest.level(),
                "port {port} is pending and there is no upcall"
            );
        }
        assert!(guest.selector() == 0 || guest.upcall() == 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// EV-1, EV-2:
    #[test]
    fn no_event_is_lost_or_invented(steps in vec(step(), 1..200)) {
        let mut both = Both { guest: Guest::new(), model: Model::default() };
        both.guest.events.alloc_hypervisor_port(Service::Console).unwrap();
        both.model.ports.insert(1, Kind::Console);
        for step in steps {
            both.step(step);
            both.check();
        }
        both.step(Step::Handle);
        prop_assert_eq!(both.model.ready(), []);
        prop_assert!(!both.guest.level());
    }
}
