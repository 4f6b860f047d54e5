//! Three Linux guests, two of them in one network: `domains/net.dts`.

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell::{ask, focus, says};
use crate::suite::Suite;

type Step = fn(&mut Scene) -> Result<(), Failure>;

/// The steps behind the first, each a test.
const STEPS: [(&str, Step); 11] = [
    ("guests-of-one-network-hear-each-other", Scene::pings),
    ("large-and-odd-packets-come-whole", Scene::sizes),
    ("a-flood-of-pings-comes-back-whole", |scene| {
        scene.flood(500)
    }),
    ("groups-are-heard-by-who-joined", Scene::groups),
    ("streams-go-both-ways-at-once", |scene| scene.streams(4, 1)),
    ("another-network-hears-nothing", Scene::other),
    ("forged-addresses-go-nowhere-and-are-counted", Scene::forged),
    ("the-monitor-says-what-went-where", Scene::monitor),
    ("a-link-goes-down-and-up", |scene| scene.link(3)),
    ("an-interface-comes-back-with-its-module", |scene| {
        scene.module(3)
    }),
    ("streams-go-on-as-before", |scene| scene.streams(1, 1)),
];

/// Those that take long: 1 GiB each way, and a hundred times what takes a second.
const LONG: [(&str, Step); 4] = [
    ("floods-of-pings-come-back-whole", |scene| {
        scene.flood(20_000)
    }),
    ("a-gib-goes-both-ways-at-once", |scene| {
        scene.streams(32, 32)
    }),
    ("a-link-goes-down-and-up-often", |scene| scene.link(100)),
    ("an-interface-comes-back-with-its-module-often", |scene| {
        scene.module(100)
    }),
];

/// Runs the scene in configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    steps(suite, lab, config, "net", &STEPS);
}

/// The same with what takes many minutes.
pub fn long(suite: &mut Suite, lab: &Lab, config: &str) {
    steps(suite, lab, config, "net-long", &LONG);
}

fn steps(suite: &mut Suite, lab: &Lab, config: &str, scene: &str, steps: &[(&str, Step)]) {
    let names = ["all-reach-user-space"].into_iter();
    let names = names.chain(steps.iter().map(|(name, _)| *name));
    let names: Vec<_> = names
        .map(|name| format!("{config}/{scene}/{name}"))
        .collect();
    if !suite.wants(&names) {
        return;
    }
    let log = format!("{scene}-{config}");
    let mut scene = None;
    suite.run(&names[0], || {
        scene = Some(Scene::boot(lab, config, &log)?);
        Ok(())
    });
    for (name, (_, step)) in names[1..].iter().zip(steps) {
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
    fn boot(lab: &Lab, config: &str, log: &str) -> Result<Self, Failure> {
        let machine = lab.boot(config, "net.dts", log)?;
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

    /// As many as there are come back, each sent when the one before is back.
    fn flood(&mut self, count: u32) -> Result<(), Failure> {
        let command = format!("ping -q -A -c {count} 10.0.0.2");
        self.check("linux1", &command, " 0% packet loss")
    }

    /// All hosts are members of ff02::1, one's own too, and nobody is of the other group.
    fn groups(&mut self) -> Result<(), Failure> {
        let all = "ping -c 2 -I eth0 ff02::1 | grep 'from fe80' | cut -d' ' -f4 | sort -u | wc -l";
        for (guest, count) in [("linux1", "2"), ("linux2", "2"), ("linux3", "1")] {
            self.check(guest, all, count)?;
            self.check(
                guest,
                "ping -c 2 -W 1 -I eth0 ff02::1234",
                "100% packet loss",
            )?;
        }
        Ok(())
    }

    /// The other end hears nothing of an interface that is down, and does when it is up again.
    fn link(&mut self, times: u32) -> Result<(), Failure> {
        for _ in 0..times {
            ask(&mut self.machine, "linux2", "ip link set eth0 down")?;
            self.check("linux1", "ping -c 1 -W 1 10.0.0.2", "100% packet loss")?;
            let up = "ip link set eth0 up; ip addr add fd00::2/64 dev eth0";
            ask(&mut self.machine, "linux2", up)?;
            self.check("linux1", "ping -c 3 10.0.0.2", " 0% packet loss")?;
        }
        Ok(())
    }

    /// Random bytes go from each to the other at the same time, so many MiB so many times; who
    /// gets them has the same sum each time.
    fn streams(&mut self, mib: u32, times: u32) -> Result<(), Failure> {
        let both = [("linux1", 2), ("linux2", 1)];
        for (guest, _) in both {
            let command = format!(
                "rm -f /tmp/got; mkdir -p /tmp/www; dd if=/dev/urandom of=/tmp/www/sent bs=1M count={mib}; \
                 busybox httpd -h /tmp/www"
            );
            ask(&mut self.machine, guest, &command)?;
        }
        for (guest, other) in both {
            let command = format!(
                "(for n in $(seq {times}); do busybox wget -q -O - http://10.0.0.{other}/sent | md5sum; done \
                 > /tmp/all; uniq -c /tmp/all > /tmp/got) & sleep 0"
            );
            ask(&mut self.machine, guest, &command)?;
        }
        // One question takes no longer than a guest has patience for.
        let got = "for n in $(seq 100); do [ -s /tmp/got ] && break; sleep 1; done; cat /tmp/got";
        for (from, to) in [("linux1", "linux2"), ("linux2", "linux1")] {
            let sum = self.says(from, "md5sum < /tmp/www/sent")?;
            let mut heard = String::new();
            for _ in 0..=times {
                heard = self.says(to, got)?;
                if !heard.is_empty() {
                    break;
                }
            }
            if heard != format!("{times} {sum}") {
                return Err(Failure(format!(
                    "{to} heard {heard}, and {from} sent {sum}"
                )));
            }
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

    /// The server's counters are those of the guest, as far as both count.
    fn monitor(&mut self) -> Result<(), Failure> {
        let counted = "(cd /sys/class/net/eth0/statistics; cat rx_packets rx_bytes)";
        let counted = self.says("linux3", counted)?;
        focus(&mut self.machine, "zazen")?;
        self.machine.mark();
        self.machine.send("n")?;
        let rows = [
            r"^net_server: interface +frames out +bytes +frames in +bytes$",
            r"^net_server: linux1 +0 +[1-9]\d+ +[1-9]\d+ +[1-9]\d+ +[1-9]\d+$",
            r"^net_server:   dropped: [1-9]\d* forged",
            r"^net_server: linux2 +0 +[1-9]\d+ +[1-9]\d+ +[1-9]\d+ +[1-9]\d+$",
        ];
        for row in rows {
            self.machine.expect(row, PATIENCE)?;
        }
        let last = r"^net_server: linux3 +0 +[1-9]\d* +[1-9]\d* +(\d+) +(\d+)$";
        let found = self.machine.expect(last, PATIENCE)?;
        if found[1..].join(" ") == counted {
            return Ok(());
        }
        Err(Failure(format!(
            "linux3 counts {counted}, the server {found:?}"
        )))
    }

    /// The front end goes and comes again.
    fn module(&mut self, times: u32) -> Result<(), Failure> {
        for _ in 0..times {
            // A module whose device is bound cannot go.
            let without = "echo vif-0 > /sys/bus/xen/drivers/vif/unbind; busybox rmmod xen-netfront; \
                           ls /sys/class/net";
            let said = self.says("linux1", without)?;
            if said != "lo" {
                return Err(Failure(format!("linux1 has more than lo: {said}")));
            }
            let again = "insmod /modules/xen-netfront.ko; sleep 1";
            ask(&mut self.machine, "linux1", again)?;
            self.up(1)?;
            self.check("linux1", "ping -c 3 10.0.0.2", " 0% packet loss")?;
        }
        Ok(())
    }
}
