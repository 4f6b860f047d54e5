//! Nobody sleeps while there is something to do: the server in one thread and a guest's end in
//! another, each of which works only when it is notified.

mod common;

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use common::{FREQUENCY, region};
use xen_abi::store::{HEADER, Header, kind};
use xenstore_server::{Cell, Facts, Server, cells};
use xenstore_server_api::{Devices, Region, StorePort as _, Wish};
use zerocopy::IntoBytes as _;

/// Requests that are made.
const REQUESTS: u32 = 3000;
/// Bytes of a path that is longer than a ring, so that it arrives in parts.
const LONG: u32 = 3000;
/// How long a lost notification is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves until nobody notifies any more.
fn serve(region: Region<'static>, bell: &Receiver<()>, answer: &Sender<()>) {
    let memory = vec![Cell::EMPTY; cells(1)].leak();
    let mut server = Box::new(Server::new());
    server.begin(memory, FREQUENCY, 1);
    let facts = Facts {
        name: "linux1".try_into().unwrap(),
        vcpus: 1,
        memory_kib: 131_072,
        most_kib: 131_072,
        devices: Devices::new(),
    };
    server.add(0, facts, region.server().unwrap());
    while bell.recv().is_ok() {
        server.on_guest(0);
        loop {
            let turn = server.turn(0);
            if turn.notify != 0 {
                // Whoever has enough does not listen any more.
                let _ = answer.send(());
            }
            if !turn.more {
                break;
            }
        }
    }
}

#[test]
fn parts_of_a_request_that_come_while_the_server_reads_are_not_forgotten() {
    let region = region();
    let (bell, bells) = channel();
    let (answer, answers) = channel();
    let server = thread::spawn(move || serve(region, &bells, &answer));
    let ring = bell.clone();
    let mut guest = region.client(move || ring.send(()).unwrap()).unwrap();
    let (port, gfn) = (1, 0x39001);
    guest.wish(Wish::Connect { life: 1, port, gfn });

    let mut unsent: Vec<u8> = Vec::new();
    let mut received = 0;
    let mut sent = 0;
    // Each answer is a header and `EINVAL` with its NUL.
    let wanted = REQUESTS as usize * (HEADER + b"EINVAL\0".len());
    while received < wanted {
        if guest.is_ready() {
            if unsent.is_empty() && sent < REQUESTS {
                sent += 1;
                let header = Header {
                    kind: kind::READ,
                    req_id: sent,
                    tx_id: 0,
                    len: LONG,
                };
                unsent.extend(header.as_bytes());
                unsent.extend([b'a'; LONG as usize - 1]);
                unsent.push(0);
            }
            // A VMM moves bytes as its guest writes them.
            let part = unsent.len().min(256);
            let taken = guest.send(&unsent[..part]);
            unsent.drain(..taken);
            let mut buffer = [0; 512];
            let got = guest.receive(&mut buffer);
            received += got;
            if taken > 0 || got > 0 {
                continue;
            }
        }
        match answers.recv_timeout(PATIENCE) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => {
                panic!("nobody is notified after {received} of {wanted} bytes of answers")
            }
            Err(RecvTimeoutError::Disconnected) => panic!("the server has stopped"),
        }
    }
    drop(guest);
    drop(bell);
    server.join().unwrap();
}
