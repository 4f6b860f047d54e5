//! Three Linux guests, two of them in a network with an uplink: `domains/uplink.dts`, with QEMU's
//! user network outside. The machine that runs the tests is 10.0.2.2 there.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell::{ask, says};
use crate::suite::Suite;

const NAMES: [&str; 6] = [
    "all-reach-user-space",
    "the-outside-answers",
    "a-file-comes-and-goes-whole",
    "guests-of-the-network-still-hear-each-other",
    "another-network-does-not-get-out",
    "a-file-comes-in-with-the-interface-reloaded",
];

/// Bytes that go to a guest and back: more than any queue on the way holds.
const BYTES: usize = 2 << 20;

type Step = fn(&mut Scene) -> Result<(), Failure>;

/// Runs the scene in configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let names = NAMES.map(|name| format!("{config}/uplink/{name}"));
    if !suite.wants(&names) {
        return;
    }
    let all: [Step; 5] = [
        Scene::outside,
        Scene::file,
        Scene::inside,
        Scene::other,
        Scene::reloaded,
    ];
    let mut scene = None;
    suite.run(&names[0], || {
        scene = Some(Scene::boot(lab, config)?);
        Ok(())
    });
    for (name, step) in names[1..].iter().zip(all) {
        // They need the machine of the first.
        suite.run(name, || match &mut scene {
            Some(scene) => step(scene),
            None => Err(Failure("the guests did not boot".into())),
        });
    }
}

struct Scene {
    machine: Machine,
}

/// Gives the interface of `guest` the address with this last number, and the way out.
pub(super) fn up(machine: &mut Machine, guest: &str, number: u32) -> Result<(), Failure> {
    let command = format!(
        "sleep 1; ip addr add 10.0.2.{number}/24 dev eth0; ip link set eth0 up; \
         ip route add default via 10.0.2.2; sleep 2"
    );
    ask(machine, guest, &command)?;
    Ok(())
}

impl Scene {
    fn boot(lab: &Lab, config: &str) -> Result<Self, Failure> {
        let name = format!("uplink-{config}");
        let mut machine = lab.boot(config, "uplink.dts", &name)?;
        for guest in 1..=3 {
            let reached = format!("zazen-guest: user space on linux{guest} ");
            machine.expect(&reached, PATIENCE)?;
        }
        for (guest, number) in [("linux1", 15), ("linux2", 16), ("linux3", 17)] {
            up(&mut machine, guest, number)?;
        }
        Ok(Self { machine })
    }

    fn check(&mut self, guest: &str, command: &str, wanted: &str) -> Result<(), Failure> {
        let said = says(&mut self.machine, guest, command)?;
        if said.contains(wanted) {
            return Ok(());
        }
        Err(Failure(format!(
            "{guest}: {command}\n      {said}\n      without {wanted}"
        )))
    }

    fn outside(&mut self) -> Result<(), Failure> {
        for guest in ["linux1", "linux2"] {
            self.check(guest, "ping -c 3 10.0.2.2", " 0% packet loss")?;
        }
        Ok(())
    }

    /// What a guest fetches from this machine by HTTP it sends back, and it is the same.
    fn file(&mut self) -> Result<(), Failure> {
        self.fetches("linux1", 1)?;
        self.fetches("linux2", 2)
    }

    fn fetches(&mut self, guest: &str, seed: u64) -> Result<(), Failure> {
        let bytes = noise(seed);
        let outside = Outside::new(bytes.clone())?;
        let (get, take) = (outside.gives, outside.takes);
        let command = format!(
            "busybox wget -q -O /tmp/got http://10.0.2.2:{get}/file && \
             busybox nc 10.0.2.2 {take} < /tmp/got; wc -c < /tmp/got"
        );
        let seen = ask(&mut self.machine, guest, &command)?;
        let back = outside.back.recv_timeout(Duration::from_secs(5));
        match back {
            Ok(back) if back == bytes => Ok(()),
            Ok(back) => Err(Failure(format!(
                "{guest} sent back {} bytes, which are not the {} that it was given:\n{seen}",
                back.len(),
                bytes.len()
            ))),
            Err(_) => Err(Failure(format!("{guest} sent nothing back:\n{seen}"))),
        }
    }

    fn inside(&mut self) -> Result<(), Failure> {
        self.check("linux1", "ping -c 3 10.0.2.16", " 0% packet loss")?;
        self.check("linux2", "ping -c 3 10.0.2.15", " 0% packet loss")
    }

    fn other(&mut self) -> Result<(), Failure> {
        for number in [2, 15] {
            let ping = format!("ping -c 2 -W 1 10.0.2.{number}");
            self.check("linux3", &ping, "100% packet loss")?;
        }
        let heard = "cat /sys/class/net/eth0/statistics/rx_packets";
        let said = says(&mut self.machine, "linux3", heard)?;
        match said.as_str() {
            "0" => Ok(()),
            _ => Err(Failure(format!("linux3 heard {said} packets"))),
        }
    }

    fn reloaded(&mut self) -> Result<(), Failure> {
        let again = "busybox rmmod xen-netfront; insmod /modules/xen-netfront.ko; sleep 1";
        ask(&mut self.machine, "linux1", again)?;
        up(&mut self.machine, "linux1", 15)?;
        self.fetches("linux1", 3)
    }
}

/// Bytes without a pattern.
fn noise(seed: u64) -> Vec<u8> {
    // Marsaglia's xorshift.
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ seed;
    let word = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(word)
        .take(BYTES / 8)
        .flatten()
        .collect()
}

/// What is outside: one port gives a file by HTTP, one takes what it is sent.
struct Outside {
    gives: u16,
    takes: u16,
    back: mpsc::Receiver<Vec<u8>>,
}

impl Outside {
    fn new(file: Vec<u8>) -> Result<Self, Failure> {
        let (giver, taker) = (
            TcpListener::bind("127.0.0.1:0")?,
            TcpListener::bind("127.0.0.1:0")?,
        );
        let (gives, takes) = (giver.local_addr()?.port(), taker.local_addr()?.port());
        let (send, back) = mpsc::channel();
        // They end with the first caller; one that nobody calls ends with the tests.
        thread::spawn(move || {
            if let Ok((stream, _)) = giver.accept() {
                // What is wrong with it the guest says.
                let _ = give(stream, &file);
            }
        });
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Ok((mut stream, _)) = taker.accept()
                && stream.read_to_end(&mut bytes).is_ok()
            {
                let _ = send.send(bytes);
            }
        });
        Ok(Self { gives, takes, back })
    }
}

/// Answers a request with `file`.
fn give(mut stream: TcpStream, file: &[u8]) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        request.extend(byte);
    }
    let head = format!(
        "HTTP/1.0 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        file.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(file)
}
