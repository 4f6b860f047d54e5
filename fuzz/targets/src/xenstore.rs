//! The store: a VMM that writes anything into the region that it shares with it, and one whose
//! guest asks for anything.

use std::cell::Cell as Flags;
use std::rc::Rc;

use ring::sync::{AtomicU8, AtomicU32, Ordering};
use xen_abi::store::{HEADER, Header, PAYLOAD_MAX, kind};
use xenstore_server::{Cell, Facts, Server, cells};
use xenstore_server_api::{
    BackendStore as _, Client, Devices, Disk, HEADER_SIZE, REGION_SIZE, Region, Request,
    StorePort as _, Wish, quota,
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::input::Input;

/// Ticks in a second.
const FREQUENCY: u64 = 1_000_000;
/// Words of the region's header that mean something: the indices and flags of the rings, and what
/// is beside them.
const WORDS: [usize; 20] = [
    0, 16, 32, 64, 80, 96, 128, 129, 130, 131, 132, 133, 134, 135, 192, 208, 224, 256, 272, 288,
];
/// Turns after which the store has to be done with what does not change.
const MOST_TURNS: usize = 10_000;

/// The memory of a VMM's region.
struct Memory(Vec<AtomicU32>, Vec<AtomicU8>);

impl Memory {
    fn new() -> Self {
        Self(
            (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0)).collect(),
            (0..REGION_SIZE - HEADER_SIZE)
                .map(|_| AtomicU8::new(0))
                .collect(),
        )
    }
    fn region(&self) -> Region<'_> {
        Region::new(&self.0, &self.1).expect("the region has its size")
    }
}

/// A VMM's end.
struct Guest<'a> {
    client: Client<'a, Box<dyn FnMut()>>,
    received: Vec<u8>,
}

impl Guest<'_> {
    fn receive(&mut self) {
        let mut buffer = [0; 512];
        loop {
            let got = self.client.receive(&mut buffer);
            if got == 0 {
                return;
            }
            self.received.extend(&buffer[..got]);
        }
    }

    /// The next message that has come whole.
    fn message(&mut self) -> Option<(Header, Vec<u8>)> {
        let header = Header::read_from_bytes(self.received.get(..HEADER)?).ok()?;
        assert!(header.len as usize <= PAYLOAD_MAX, "a payload of the store");
        let payload = self.received.get(HEADER..HEADER + header.len as usize)?;
        let payload = payload.to_vec();
        self.received.drain(..HEADER + payload.len());
        Some((header, payload))
    }
}

struct Rig<'a> {
    server: Box<Server<'a>>,
    guests: [Guest<'a>; 2],
    bells: Rc<Flags<u32>>,
    now: u64,
}

impl Rig<'_> {
    fn settle(&mut self) {
        for _ in 0..MOST_TURNS {
            let bells = self.bells.replace(0);
            (0..2)
                .filter(|n| bells & 1 << n != 0)
                .for_each(|n| self.server.on_guest(n));
            if !self.server.turn(self.now).more && self.bells.get() == 0 {
                for guest in 0..2 {
                    assert!(self.server.used(guest) <= quota::MEMORY as usize);
                    let back = self.server.used_by_back_ends(guest);
                    assert!(back <= quota::BACK_MEMORY as usize);
                }
                return;
            }
        }
        panic!("the store does not come to rest");
    }

    /// The honest guest makes a request and hears what becomes of it.
    fn ask(&mut self, kind: u32, tx_id: u32, payload: &[u8]) -> (Header, Vec<u8>) {
        let len = u32::try_from(payload.len()).expect("a short payload");
        let req_id = 7;
        let header = Header {
            kind,
            req_id,
            tx_id,
            len,
        };
        let bytes = [header.as_bytes(), payload].concat();
        let mut rest = &bytes[..];
        for _ in 0..MOST_TURNS {
            let sent = self.guests[1].client.send(rest);
            rest = &rest[sent..];
            // Writers may have to wait for their turn.
            self.now += FREQUENCY;
            self.settle();
            self.guests[1].receive();
            while let Some((answer, payload)) = self.guests[1].message() {
                if answer.kind != kind::WATCH_EVENT {
                    assert_eq!((answer.req_id, answer.tx_id), (req_id, tx_id));
                    assert!(answer.kind == kind || answer.kind == kind::ERROR);
                    return (answer, payload);
                }
            }
        }
        panic!("an honest guest gets no answer");
    }
}

/// Two guests of a store. The first has a VMM that writes any word and any bytes; the second keeps
/// to the protocol, asks for anything, and is always answered.
pub fn xenstore(data: &[u8]) {
    let mut input = Input::new(data);
    let memory = [Memory::new(), Memory::new()];
    let mut store = vec![Cell::EMPTY; cells(2)];
    let mut server = Box::new(Server::new());
    server.begin(&mut store, FREQUENCY, 2);
    let bells = Rc::new(Flags::new(0));
    let guests = [0, 1].map(|n| {
        let region = memory[n].region();
        let mut devices = Devices::new();
        let disk = Disk {
            number: 0,
            params: "a disk",
            is_read_only: false,
            can_discard: false,
        };
        devices.add_disk(&disk).expect("one disk fits");
        let facts = Facts {
            vcpus: 1,
            devices,
            ..Facts::default()
        };
        server.add(n, facts, region.server().expect("the region has its size"));
        let bells = bells.clone();
        let ring: Box<dyn FnMut()> = Box::new(move || bells.set(bells.get() | 1 << n));
        Guest {
            client: region.client(ring).expect("the region has its size"),
            received: Vec::new(),
        }
    });
    let mut rig = Rig {
        server,
        guests,
        bells,
        now: 0,
    };
    let connect = Wish::Connect {
        life: 1,
        port: 1,
        gfn: 0x39001,
    };
    for guest in &mut rig.guests {
        guest.client.wish(connect);
    }
    rig.settle();
    assert!(rig.guests[1].client.is_ready());
    while let Some(operation) = input.operation() {
        match operation % 10 {
            // A request of either guest, with what a string needs at its end.
            op @ 0..=3 => {
                let (kind, tx) = (u32::from(input.get::<u8>()), u32::from(input.get::<u8>()));
                let count = usize::from(input.get::<u8>());
                let mut payload = input.bytes(count).to_vec();
                if op & 2 == 0 {
                    payload.push(0);
                }
                if op & 1 == 0 {
                    rig.ask(kind, tx, &payload);
                } else {
                    let len = u32::try_from(payload.len()).expect("a short payload");
                    let header = Header {
                        kind,
                        req_id: 0,
                        tx_id: tx,
                        len,
                    };
                    rig.guests[0].client.send(header.as_bytes());
                    rig.guests[0].client.send(&payload);
                }
            }
            4 => {
                let count = usize::from(input.get::<u8>());
                rig.guests[0].client.send(input.bytes(count));
            }
            5 => {
                let word = WORDS[usize::from(input.get::<u8>()) % WORDS.len()];
                let value = u32::try_from(input.number() & 0xffff_ffff).unwrap_or(0);
                memory[0].0[word].store(value, Ordering::Relaxed);
                rig.server.on_guest(0);
            }
            6 => {
                rig.guests[0].receive();
                rig.guests[0].received.clear();
            }
            // A request of the back ends of either, about a device or about anything.
            op @ 8.. => {
                let guest = usize::from(op & 1);
                let kind = u32::from(input.get::<u8>());
                let tx = u32::from(input.get::<u8>());
                let dirs = [
                    format!("backend/vbd/{}/51712/", guest + 1),
                    format!("/local/domain/{}/device/vbd/51712/", guest + 1),
                    String::new(),
                ];
                let dir = &dirs[usize::from(input.get::<u8>()) % dirs.len()];
                let count = usize::from(input.get::<u8>());
                let request = Request {
                    kind,
                    id: 9,
                    tx,
                    payload: &[dir.as_bytes(), input.bytes(count), b"\0"],
                };
                let mut payload = [0; 64];
                let client = &mut rig.guests[guest].client;
                client.is_ready();
                client.ask(request);
                while client.hear(&mut payload).is_some() {}
            }
            _ => {
                let life = u32::from(input.get::<u8>());
                rig.guests[0].client.wish(match life {
                    0 => Wish::Down,
                    life => Wish::Connect {
                        life,
                        port: 1,
                        gfn: input.number(),
                    },
                });
            }
        }
        rig.settle();
    }
    let (answer, id) = rig.ask(kind::READ, 0, b"domid\0");
    // It may have taken its own node away.
    assert!(answer.kind == kind::ERROR || id.len() <= PAYLOAD_MAX);
}
