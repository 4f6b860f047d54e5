//! Three Linux guests, two of them in one network: `domains/net.dts`.

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell::{ask, says};
use crate::suite::Suite;

const NAMES: [&str; 7] = [
    "all-reach-user-space",
    "guests-of-one-network-hear-each-other",
    "large-and-odd-packets-come-whole",
    "streams-go-both-ways-at-once",
    "another-network-hears-nothing",
    "forged-addresses-go-nowhere-and-are-counted",
    "an-interface-comes-back-with-its-module",
];

type Step = fn(&mut Scene) -> Result<(), Failure>;

/// Runs the scene in configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let names = NAMES.map(|name| format!("{config}/net/{name}"));
    if !suite.wants(&names) {
        return;
    }
    let all: [Step; 6] = [
        Scene::pings,
        Scene::sizes,
        Scene::streams,
        Scene::other,
        Scene::forged,
        Scene::module,
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

impl Scene {
    fn boot(lab: &Lab, config: &str) -> Result<Self, Failure> {
        let machine = lab.boot(config, "net.dts", &format!("net-{config}"))?;
        for guest in 1..=3 {
            let up = format!("zazen-guest: user space on linux{guest} ");
            machine.expect(&up, PATIENCE)?;
        }
        let mut scene = Self { machine };
        for guest in 1..=3 {
            scene.up(guest)?;
        }
        Ok(scene)
    }

    /// Gives a guest's interface its addresses.
    fn up(&mut self, guest: u32) -> Result<(), Failure> {
        let command = format!(
            "sleep 1; ip addr add 10.0.0.{guest}/24 dev eth0; \
             ip addr add fd00::{guest}/64 dev eth0; ip link set eth0 up; sleep 2"
        );
        ask(&mut self.machine, &format!("linux{guest}"), &command)?;
        Ok(())
    }

    /// What `guest` answers to `command`.
    fn says(&mut self, guest: &str, command: &str) -> Result<String, Failure> {
        says(&mut self.machine, guest, command)
    }

    fn check(&mut self, guest: &str, command: &str, wanted: &str) -> Result<(), Failure> {
        let said = self.says(guest, command)?;
        if said.contains(wanted) {
            return Ok(());
        }
        Err(Failure(format!(
            "{guest}: {command}\n      {said}\n      without {wanted}"
        )))
    }

    fn pings(&mut self) -> Result<(), Failure> {
        let came = " 0% packet loss";
        for (guest, other) in [("linux1", 2), ("linux2", 1)] {
            self.check(guest, &format!("ping -c 3 10.0.0.{other}"), came)?;
            self.check(guest, &format!("ping -c 3 fd00::{other}"), came)?;
        }
        // The one that linux2 was given, and the one that linux1's number makes.
        self.check(
            "linux2",
            "cat /sys/class/net/eth0/address",
            "02:00:00:00:00:02",
        )?;
        self.check(
            "linux1",
            "cat /sys/class/net/eth0/address",
            "00:16:3e:00:01:00",
        )
    }

    fn sizes(&mut self) -> Result<(), Failure> {
        for guest in ["linux1", "linux2"] {
            ask(&mut self.machine, guest, "ip link set eth0 mtu 9000")?;
        }
        for size in [0, 1, 1473, 4055, 8971, 30_001] {
            let command = format!("ping -c 2 -s {size} 10.0.0.2");
            self.check("linux1", &command, " 0% packet loss")?;
        }
        for guest in ["linux1", "linux2"] {
            ask(&mut self.machine, guest, "ip link set eth0 mtu 1500")?;
        }
        Ok(())
    }

    /// Random bytes go from each to the other at the same time; who gets them has the same sum.
    fn streams(&mut self) -> Result<(), Failure> {
        const MIB: u32 = 4;
        let both = [("linux1", 2), ("linux2", 1)];
        for (guest, _) in both {
            let command = format!(
                "mkdir /tmp/www; dd if=/dev/urandom of=/tmp/www/sent bs=1M count={MIB}; \
                 busybox httpd -h /tmp/www"
            );
            ask(&mut self.machine, guest, &command)?;
        }
        for (guest, other) in both {
            let command = format!(
                "(busybox wget -q -O - http://10.0.0.{other}/sent | md5sum > /tmp/got) & sleep 0"
            );
            ask(&mut self.machine, guest, &command)?;
        }
        let got = "for n in $(seq 100); do [ -s /tmp/got ] && break; sleep 1; done; cat /tmp/got";
        for (from, to) in [("linux1", "linux2"), ("linux2", "linux1")] {
            let sum = self.says(from, "md5sum < /tmp/www/sent")?;
            self.check(to, got, &sum)?;
        }
        Ok(())
    }

    fn other(&mut self) -> Result<(), Failure> {
        let nothing = "100% packet loss";
        self.check("linux3", "ping -c 2 -W 1 10.0.0.1", nothing)?;
        self.check("linux1", "ping -c 2 -W 1 10.0.0.3", nothing)?;
        self.check(
            "linux3",
            "cat /sys/class/net/eth0/statistics/rx_packets",
            "0",
        )
    }

    fn forged(&mut self) -> Result<(), Failure> {
        // Both at once: only the first such frame is told when it comes, later ones when there are
        // twice as many.
        let seen = ask(
            &mut self.machine,
            "linux1",
            "ip link set eth0 down; ip link set eth0 address 02:00:00:00:00:99; \
             ip link set eth0 up; sleep 1; ping -c 2 -W 1 10.0.0.2",
        )?;
        if !seen.contains("100% packet loss") {
            return Err(Failure(seen));
        }
        let told = r"net_server: linux1, interface 0: \d+ frames with a source that is not its own dropped, the last from 02:00:00:00:00:99";
        self.machine.expect(told, PATIENCE)?;
        let own = "ip link set eth0 down; ip link set eth0 address 00:16:3e:00:01:00; \
                   ip link set eth0 up; sleep 1";
        ask(&mut self.machine, "linux1", own)?;
        self.check("linux1", "ping -c 3 10.0.0.2", " 0% packet loss")
    }

    fn module(&mut self) -> Result<(), Failure> {
        for _ in 0..3 {
            let again = "busybox rmmod xen-netfront; insmod /modules/xen-netfront.ko; sleep 1";
            ask(&mut self.machine, "linux1", again)?;
            self.up(1)?;
            self.check("linux1", "ping -c 3 10.0.0.2", " 0% packet loss")?;
        }
        Ok(())
    }
}
