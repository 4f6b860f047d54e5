//! Guests that talk to a store of their own, over regions as VMMs share them.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::cell::Cell as StdCell;
use std::rc::Rc;

use ring::sync::{AtomicU8, AtomicU32};
use xen_abi::store::{HEADER, Header, kind};
use xenstore_server::{Cell, Facts, Server, Turn, cells};
use xenstore_server_api::{
    BackendStore as _, Client, Devices, HEADER_SIZE, REGION_SIZE, Region, Request, StorePort as _,
    Wish,
};
use zerocopy::{FromBytes as _, IntoBytes as _};

/// Ticks in a second.
pub(crate) const FREQUENCY: u64 = 1_000_000;

/// A message from the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
}

impl Message {
    /// The payload as text, where NULs are `|`.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).replace('\0', "|")
    }
}

/// A guest's end.
pub(crate) struct Guest {
    pub(crate) client: Client<'static, Box<dyn FnMut()>>,
    /// Bytes received that make no message yet.
    pending: Vec<u8>,
    /// Bytes that found no room.
    unsent: Vec<u8>,
    next_id: u32,
    pub(crate) life: u32,
}

/// A store with guests.
pub(crate) struct Rig {
    pub(crate) server: Box<Server<'static>>,
    pub(crate) guests: Vec<Guest>,
    /// Guests that have notified the server.
    bells: Rc<StdCell<u32>>,
    pub(crate) now: u64,
    /// What the last turn said.
    pub(crate) last: Turn,
    /// Turns in which the server did something.
    pub(crate) turns: usize,
}

pub(crate) fn region() -> Region<'static> {
    let header = (0..HEADER_SIZE / 4).map(|_| AtomicU32::new(0));
    let data = (0..REGION_SIZE - HEADER_SIZE).map(|_| AtomicU8::new(0));
    let (header, data): (Vec<_>, Vec<_>) = (header.collect(), data.collect());
    Region::new(header.leak(), data.leak()).expect("the region has its size")
}

impl Rig {
    /// A store whose `count` guests have begun to live.
    pub(crate) fn new(count: usize) -> Self {
        Self::with_devices(count, &Devices::new())
    }

    /// A store whose `count` guests have begun to live, each with these devices.
    pub(crate) fn with_devices(count: usize, devices: &Devices) -> Self {
        let memory = vec![Cell::EMPTY; cells(count)].leak();
        let mut server = Box::new(Server::new());
        server.begin(memory, FREQUENCY, count);
        let bells = Rc::new(StdCell::new(0));
        let guests = (0..count).map(|guest| {
            let region = region();
            let facts = Facts {
                name: format!("linux{}", guest + 1).as_str().try_into().unwrap(),
                vcpus: 1,
                memory_kib: 131_072,
                most_kib: 131_072,
                devices: devices.clone(),
            };
            server.add(guest, facts, region.server().unwrap());
            let bells = bells.clone();
            let ring: Box<dyn FnMut()> = Box::new(move || bells.set(bells.get() | 1 << guest));
            Guest {
                client: region.client(ring).unwrap(),
                pending: Vec::new(),
                unsent: Vec::new(),
                next_id: 0,
                life: 1,
            }
        });
        let guests = guests.collect();
        let mut rig = Self {
            server,
            guests,
            bells,
            now: 0,
            last: Turn {
                notify: 0,
                more: false,
                wake_at: None,
            },
            turns: 0,
        };
        for guest in 0..count {
            rig.connect(guest);
        }
        rig
    }

    /// Guest `guest` wants a fresh connection.
    pub(crate) fn connect(&mut self, guest: usize) {
        let life = self.guests[guest].life;
        let (port, gfn) = (1, 0x39001);
        self.wish(guest, Wish::Connect { life, port, gfn });
        assert!(self.guests[guest].client.is_ready());
    }

    /// The life of guest `guest` ends.
    pub(crate) fn end(&mut self, guest: usize) {
        self.guests[guest].life += 1;
        self.wish(guest, Wish::Down);
    }

    pub(crate) fn wish(&mut self, guest: usize, wish: Wish) {
        let end = &mut self.guests[guest];
        end.pending.clear();
        end.unsent.clear();
        end.client.wish(wish);
        self.settle();
    }

    /// Lets the server work until it has nothing to do.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            let bells = self.bells.replace(0);
            if bells == 0 && !self.last.more {
                return;
            }
            (0..32)
                .filter(|n| bells & 1 << n != 0)
                .for_each(|n| self.server.on_guest(n));
            self.turn();
        }
        panic!("the store does not come to rest");
    }

    pub(crate) fn turn(&mut self) {
        self.last = self.server.turn(self.now);
        self.turns += 1;
    }

    /// Lets time pass, and the server work when it wants to.
    pub(crate) fn advance(&mut self, ticks: u64) {
        let until = self.now + ticks;
        while let Some(at) = self.last.wake_at.filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.turn();
            self.settle();
        }
        self.now = until;
    }

    /// Sends bytes as they are; what finds no room waits for [`Rig::settle_guest`].
    pub(crate) fn send_raw(&mut self, guest: usize, bytes: &[u8]) {
        let end = &mut self.guests[guest];
        end.unsent.extend(bytes);
        self.push(guest);
    }

    fn push(&mut self, guest: usize) -> usize {
        let end = &mut self.guests[guest];
        let sent = end.client.send(&end.unsent);
        end.unsent.drain(..sent);
        sent
    }

    /// How many bytes of what was sent have found no room yet.
    pub(crate) fn unsent(&self, guest: usize) -> usize {
        self.guests[guest].unsent.len()
    }

    /// Sends a request; its number.
    pub(crate) fn send(&mut self, guest: usize, kind: u32, tx_id: u32, payload: &[u8]) -> u32 {
        let end = &mut self.guests[guest];
        end.next_id += 1;
        let req_id = end.next_id;
        let header = Header {
            kind,
            req_id,
            tx_id,
            len: u32::try_from(payload.len()).unwrap(),
        };
        let bytes = [header.as_bytes(), payload].concat();
        self.send_raw(guest, &bytes);
        req_id
    }

    /// Takes what has arrived.
    pub(crate) fn receive(&mut self, guest: usize) -> Vec<Message> {
        let end = &mut self.guests[guest];
        let mut buffer = [0; 512];
        loop {
            let got = end.client.receive(&mut buffer);
            if got == 0 {
                break;
            }
            end.pending.extend(&buffer[..got]);
        }
        let mut messages = Vec::new();
        while let Some(header) = end.pending.get(..HEADER) {
            let header = Header::read_from_bytes(header).unwrap();
            let end_of = HEADER + header.len as usize;
            let Some(payload) = end.pending.get(HEADER..end_of) else {
                break;
            };
            let payload = payload.to_vec();
            end.pending.drain(..end_of);
            messages.push(Message { header, payload });
        }
        messages
    }

    /// Moves bytes in both directions until nothing moves; everything that came.
    pub(crate) fn settle_guest(&mut self, guest: usize) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            let turns = self.turns;
            let sent = self.push(guest);
            self.settle();
            let got = self.receive(guest);
            if sent == 0 && got.is_empty() && self.turns == turns && self.bells.get() == 0 {
                return all;
            }
            all.extend(got);
        }
    }

    /// Makes a request and returns the answer, and the events that came with it.
    pub(crate) fn exchange(
        &mut self,
        guest: usize,
        kind: u32,
        tx: u32,
        payload: &[u8],
    ) -> (Message, Vec<Message>) {
        let id = self.send(guest, kind, tx, payload);
        let (mut answers, events): (Vec<_>, Vec<_>) = self
            .settle_guest(guest)
            .into_iter()
            .partition(|message| message.header.kind != kind::WATCH_EVENT);
        assert_eq!(answers.len(), 1, "one request, one answer: {answers:?}");
        let answer = answers.remove(0);
        assert_eq!(answer.header.req_id, id);
        assert_eq!(answer.header.tx_id, tx);
        (answer, events)
    }

    /// Makes a request. The answer's text, or the name of its error.
    pub(crate) fn ask(
        &mut self,
        guest: usize,
        kind: u32,
        tx: u32,
        payload: &[u8],
    ) -> Result<String, String> {
        let (answer, _) = self.exchange(guest, kind, tx, payload);
        if answer.header.kind == kind::ERROR {
            let name = answer.payload.strip_suffix(b"\0").expect("a NUL");
            return Err(String::from_utf8(name.to_vec()).unwrap());
        }
        assert_eq!(answer.header.kind, kind);
        Ok(answer.text())
    }

    /// What the back ends of guest `guest` have heard.
    pub(crate) fn hear(&mut self, guest: usize) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            let mut payload = vec![0; 512];
            let Some(heard) = self.guests[guest].client.hear(&mut payload) else {
                let turns = self.turns;
                self.settle();
                if self.turns == turns {
                    return all;
                }
                continue;
            };
            payload.truncate(heard.len);
            all.push(Message {
                header: heard.header,
                payload,
            });
        }
    }

    /// The back ends of guest `guest` make a request. The answer's text, or the name of its error.
    pub(crate) fn back_ask(
        &mut self,
        guest: usize,
        kind: u32,
        tx: u32,
        payload: &str,
    ) -> Result<String, String> {
        let payload = payload.replace('|', "\0");
        let request = Request {
            kind,
            id: 5,
            tx,
            payload: &[payload.as_bytes()],
        };
        assert!(self.guests[guest].client.ask(request));
        let all = self.hear(guest);
        let mut answers = all
            .iter()
            .filter(|heard| heard.header.kind != kind::WATCH_EVENT);
        let answer = answers.next().expect("an answer");
        assert!(answers.next().is_none());
        assert_eq!((answer.header.req_id, answer.header.tx_id), (5, tx));
        match answer.header.kind {
            kind::ERROR => Err(answer.text().replace('|', "")),
            _ => Ok(answer.text()),
        }
    }

    /// The events that have arrived, as `path|token|`.
    pub(crate) fn events(&mut self, guest: usize) -> Vec<String> {
        let all = self.settle_guest(guest).into_iter();
        all.map(|message| {
            assert_eq!(message.header.kind, kind::WATCH_EVENT, "{message:?}");
            assert_eq!((message.header.req_id, message.header.tx_id), (0, 0));
            message.text()
        })
        .collect()
    }

    pub(crate) fn read(&mut self, guest: usize, path: &str) -> Result<String, String> {
        self.ask(guest, kind::READ, 0, &nul(path))
    }

    pub(crate) fn write(
        &mut self,
        guest: usize,
        path: &str,
        value: &str,
    ) -> Result<String, String> {
        self.write_in(guest, 0, path, value)
    }

    pub(crate) fn write_in(
        &mut self,
        guest: usize,
        tx: u32,
        path: &str,
        value: &str,
    ) -> Result<String, String> {
        let payload = [&nul(path), value.as_bytes()].concat();
        self.ask(guest, kind::WRITE, tx, &payload)
    }

    pub(crate) fn directory(&mut self, guest: usize, path: &str) -> Result<String, String> {
        self.ask(guest, kind::DIRECTORY, 0, &nul(path))
    }

    pub(crate) fn rm(&mut self, guest: usize, path: &str) -> Result<String, String> {
        self.ask(guest, kind::RM, 0, &nul(path))
    }

    pub(crate) fn set_perms(
        &mut self,
        guest: usize,
        path: &str,
        perms: &str,
    ) -> Result<String, String> {
        let payload = format!("{path}|{perms}|").replace('|', "\0");
        self.ask(guest, kind::SET_PERMS, 0, payload.as_bytes())
    }

    pub(crate) fn watch(
        &mut self,
        guest: usize,
        path: &str,
        token: &str,
    ) -> Result<String, String> {
        let payload = format!("{path}\0{token}\0");
        self.ask(guest, kind::WATCH, 0, payload.as_bytes())
    }

    /// Opens a transaction.
    pub(crate) fn start(&mut self, guest: usize) -> u32 {
        let id = self.ask(guest, kind::TRANSACTION_START, 0, b"\0").unwrap();
        id.strip_suffix('|')
            .expect("a NUL")
            .parse()
            .expect("a number")
    }

    /// Ends one.
    pub(crate) fn finish(&mut self, guest: usize, tx: u32, commit: bool) -> Result<String, String> {
        let payload = if commit { b"T\0" } else { b"F\0" };
        self.ask(guest, kind::TRANSACTION_END, tx, payload)
    }
}

/// A string with a NUL.
pub(crate) fn nul(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

/// A successful answer without anything to say.
pub(crate) const OK: Result<&str, &str> = Ok("OK|");

/// Compares answers.
#[track_caller]
pub(crate) fn assert_answer(got: Result<String, String>, wanted: Result<&str, &str>) {
    let got = got.as_ref().map(String::as_str).map_err(String::as_str);
    assert_eq!(got, wanted);
}
