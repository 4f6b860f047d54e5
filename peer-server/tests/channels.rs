//! What VMMs can ask for, and what becomes of both ends.

use std::sync::atomic::AtomicU32;

use peer_server::Server;
use peer_server_api::{ENDS_WORDS, End, Ends, Error, MAX_PORT, Message, Request, StaticChannel};
use proptest::prelude::*;
use topology::MAX_DOMAINS;
use topology::meets::Meets;

/// Domains 0 and 1 may have channels, 1 and 2 too; 3 has a page and may have none.
fn meets() -> Meets {
    Meets::NONE.with(0, 1).with(1, 2)
}

fn pages() -> [Option<Ends<'static>>; MAX_DOMAINS] {
    std::array::from_fn(|domain| {
        let words: Vec<AtomicU32> = (0..ENDS_WORDS).map(|_| AtomicU32::new(0)).collect();
        (domain < 4).then(|| Ends::new(words.leak()).unwrap())
    })
}

fn server(channels: &'static [StaticChannel]) -> (Server<'static>, Vec<Ends<'static>>) {
    let pages = pages();
    let ends = pages.iter().copied().flatten().collect();
    (Server::new(pages, meets(), channels), ends)
}

fn bound(domain: u8, port: u16) -> End {
    let woken = false;
    End::Bound {
        domain,
        port,
        woken,
    }
}

#[test]
fn a_channel_has_two_ends_and_both_change_at_once() {
    let (mut server, ends) = server(&[]);
    let alloc = Request::Alloc { port: 5, domain: 1 };
    assert_eq!(server.answer(0, alloc), Ok(()));
    assert_eq!(server.answer(0, alloc), Err(Error::Taken));
    assert_eq!(ends[0].get(5), End::Unbound { domain: 1 });
    let bind = |port, domain, remote| Request::Bind {
        port,
        domain,
        remote,
    };
    // Nobody but the one that it is set aside for, and no other port.
    assert_eq!(server.answer(2, bind(1, 0, 5)), Err(Error::NotThere));
    assert_eq!(server.answer(1, bind(1, 0, 6)), Err(Error::NotThere));
    assert_eq!(server.answer(1, bind(1, 0, 0)), Err(Error::NotThere));
    assert_eq!(server.answer(1, bind(1, 0, u32::MAX)), Err(Error::NotThere));
    assert_eq!(server.answer(1, bind(1, 9, 5)), Err(Error::NotThere));
    assert_eq!(server.answer(1, bind(1, 0, 5)), Ok(()));
    assert_eq!((ends[0].get(5), ends[1].get(1)), (bound(1, 1), bound(0, 5)));
    assert_eq!(
        server.answer(1, bind(2, 0, 5)),
        Err(Error::NotThere),
        "it is taken"
    );
    // Whoever closes may come back, nobody else.
    assert_eq!(server.answer(1, Request::Close { port: 1 }), Ok(()));
    assert_eq!(
        (ends[0].get(5), ends[1].get(1)),
        (End::Unbound { domain: 1 }, End::None)
    );
    assert_eq!(
        server.answer(1, Request::Close { port: 1 }),
        Err(Error::NotThere)
    );
    assert_eq!(server.answer(1, bind(7, 0, 5)), Ok(()));
    assert_eq!(server.answer(0, Request::Close { port: 5 }), Ok(()));
    assert_eq!(ends[1].get(7), End::Unbound { domain: 0 });
}

#[test]
fn who_is_not_named_has_nothing() {
    let (mut server, ends) = server(&[]);
    for (client, domain) in [(0, 2), (0, 3), (3, 0), (0, 0), (0, 200)] {
        let alloc = Request::Alloc { port: 1, domain };
        assert_eq!(server.answer(client, alloc), Err(Error::Denied));
    }
    for client in [4, 63, usize::MAX] {
        assert_eq!(server.answer(client, Request::Reset), Err(Error::Malformed));
    }
    let words = &[];
    assert_eq!(
        server.on_message(0, Message { label: 9, words }),
        Err(Error::Malformed)
    );
    assert!((0..=MAX_PORT).all(|port| ends.iter().all(|ends| ends.get(port) == End::None)));
}

#[test]
fn the_end_of_a_domain_leaves_its_peers_waiting() {
    for crash in [false, true] {
        let (mut server, ends) = server(&[]);
        let domain = 1;
        for port in 1..=20 {
            server.answer(0, Request::Alloc { port, domain }).unwrap();
            let (domain, remote) = (0, port.into());
            let bind = Request::Bind {
                port,
                domain,
                remote,
            };
            server.answer(1, bind).unwrap();
        }
        server
            .answer(
                1,
                Request::Alloc {
                    port: 99,
                    domain: 2,
                },
            )
            .unwrap();
        if crash {
            server.crash(1);
        } else {
            server.answer(1, Request::Reset).unwrap();
        }
        assert!((1..=20).all(|port| ends[0].get(port) == End::Unbound { domain }));
        assert!((0..=MAX_PORT).all(|port| ends[1].get(port) == End::None));
        // A VMM that only pretended to have stopped gets no channel any more.
        let again = Request::Bind {
            port: 1,
            domain: 0,
            remote: 1,
        };
        let expected = if crash { Err(Error::Malformed) } else { Ok(()) };
        assert_eq!(server.answer(1, again), expected);
        assert_eq!(server.answer(1, Request::Start), expected);
    }
}

#[test]
fn static_channels_come_back_with_their_guests() {
    const CHANNELS: &[StaticChannel] = &[
        StaticChannel {
            ends: [(0, 10), (3, 20)],
        },
        StaticChannel {
            ends: [(3, 21), (0, 11)],
        },
    ];
    let (mut server, ends) = server(CHANNELS);
    let woken = |domain, port| End::Bound {
        domain,
        port,
        woken: true,
    };
    assert_eq!(
        (ends[0].get(10), ends[3].get(20)),
        (bound(3, 20), woken(0, 10))
    );
    assert_eq!(
        (ends[0].get(11), ends[3].get(21)),
        (woken(3, 21), bound(0, 11))
    );
    // It starts, and nothing changes; it ends, and the other one waits.
    server.answer(3, Request::Start).unwrap();
    assert_eq!(ends[3].get(20), woken(0, 10));
    server.answer(3, Request::Reset).unwrap();
    assert_eq!(ends[0].get(10), End::Unbound { domain: 3 });
    server.answer(0, Request::Close { port: 11 }).unwrap();
    // One end waits for it, the other one is gone.
    server.answer(3, Request::Start).unwrap();
    assert_eq!(
        (ends[0].get(10), ends[3].get(20)),
        (bound(3, 20), woken(0, 10))
    );
    assert_eq!(
        (ends[0].get(11), ends[3].get(21)),
        (End::None, End::Unbound { domain: 0 })
    );
    // They may not bind channels of their own: not even that one again.
    let bind = Request::Bind {
        port: 11,
        domain: 3,
        remote: 21,
    };
    assert_eq!(server.answer(0, bind), Err(Error::Denied));
    server.answer(0, Request::Reset).unwrap();
    server.answer(0, Request::Start).unwrap();
    assert_eq!(ends[3].get(21), bound(0, 11));
}

proptest! {
    /// Whatever is asked by whomever: a connected port is one at both ends, between domains that
    /// may.
    #[test]
    fn ends_agree(asked in prop::collection::vec((0..5usize, 0..6u64, prop::collection::vec(0..12u64, 0..4)), 0..200)) {
        let (mut server, ends) = server(&[]);
        for (client, label, words) in asked {
            let _ = server.on_message(client, Message { label, words: &words });
        }
        for (me, own) in ends.iter().enumerate() {
            for port in 0..=MAX_PORT {
                match own.get(port) {
                    End::None => {}
                    End::Unbound { domain } => prop_assert!(meets().contains(me, domain.into())),
                    End::Bound { domain, port: remote, .. } => {
                        prop_assert!(meets().contains(me, domain.into()));
                        let me = u8::try_from(me).unwrap();
                        prop_assert_eq!(ends[usize::from(domain)].get(remote), bound(me, port));
                    }
                }
            }
        }
    }
}
