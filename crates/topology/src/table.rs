//! The table of protection domains: who they are, what they have and who may call whom.
//!
//! `zazen generate` makes the system description of it, `zazen inspect` what it expects to find in
//! an image, the image builder priorities and names, the fault server its words, and `build.sh` the
//! list of programs. A new server is a row of [`PDS`] and what it says in
//! [`CHANNELS`](crate::links::CHANNELS) and [`REGIONS`](crate::region::REGIONS).
//!
//! A row may stand for several protection domains, one for each domain ([`Pd::each`]). [`members`]
//! and [`channels`](crate::links::channels) count them out for a system of a [`Shape`].

use core::fmt;

use crate::map::{Map, Which};
use crate::pd::time::{self, Time};
use crate::pd::{self, priority};
use crate::shape::{Counter, Shape, When};
use crate::{MAX_DOMAINS, channel, child, console_client, map, stack};

/// An interrupt of the board.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Irq {
    /// The console's UART.
    Uart,
    /// The timer server's timer.
    Timer,
    /// The block driver's disk.
    Disk,
    /// The net driver's device.
    Net,
}

/// A client of the console.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client {
    /// Its number there; of a row for each domain that of the first.
    pub number: usize,
    /// Its own channel to the console.
    pub channel: usize,
}

/// A virtual machine. One of a domain has as many vCPUs as the domain, others one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vm {
    /// Its name; `None`: that of the domain.
    pub name: Option<&'static str>,
    /// Priority in the system description and in the image.
    pub priority: u8,
    /// Time of its vCPUs together.
    pub time: Time,
    /// What it reaches from the start, at guest physical addresses.
    pub maps: &'static [Map],
}

/// A protection domain, or one for each domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pd {
    /// Its name; where there is one for each domain, what the domain's name stands behind.
    pub name: &'static str,
    /// Whether there is one for each domain.
    pub each: bool,
    /// In which systems.
    pub when: When,
    /// Its program: package `zazen-NAME`, built as `NAME`, in the image as `NAME.elf`.
    pub program: &'static str,
    /// What it is, for readers of system.xml. `{name}`, `{domid}` and `{ram}` (MiB) are those of
    /// the domain.
    pub about: &'static str,
    /// Priority in the system description, where a call goes to a strictly higher one.
    pub priority: u8,
    /// Priority in the image.
    pub in_image: u8,
    /// Time of its own.
    pub time: Time,
    /// Whether it runs on the time of whoever calls, or whose fault it handles: the fault server
    /// binds its scheduling context to its notification, so that it has `time` to start from alone.
    pub on_callers_time: bool,
    /// Bytes of its stack.
    pub stack: u64,
    /// If it is a client of the console.
    pub client: Option<Client>,
    /// Its number as a child of the fault server ([`crate::child`]), of the first of several;
    /// `None`: Microkit's monitor hears of its faults.
    pub child: Option<usize>,
    /// What it reaches.
    pub maps: &'static [Map],
    /// Its interrupt, on channel [`channel::IRQ`].
    pub irq: Option<Irq>,
    /// Its virtual machine.
    pub vm: Option<Vm>,
    /// What stands still when it stops, for the person at the console.
    pub stops: &'static str,
}

/// What stops without a server, where no better words are known.
pub const STOPS: &str = "VMMs that ask it for something stand still, with their guests";

/// A server that is a client of the console and a child of the fault server under one number.
const SERVER: Pd = Pd {
    name: "",
    each: false,
    when: When::Always,
    program: "",
    about: "",
    priority: 0,
    in_image: priority::SHARED,
    time: time::PASSIVE,
    on_callers_time: false,
    stack: stack::SMALL,
    client: None,
    child: None,
    maps: &[map::RINGS],
    irq: None,
    vm: None,
    stops: STOPS,
};

const fn server_client(number: usize) -> Option<Client> {
    let channel = channel::SERVER_CONSOLE;
    Some(Client { number, channel })
}

const TIMER_SERVER: Pd = Pd {
    name: pd::TIMER_SERVER,
    when: When::With(Counter::Readable),
    program: "timer-server",
    about: "Wakes VMMs whose guests sleep.",
    priority: priority::TIMER_SERVER,
    time: time::TIMER_SERVER,
    client: server_client(console_client::TIMER_SERVER),
    child: Some(console_client::TIMER_SERVER),
    irq: Some(Irq::Timer),
    ..SERVER
};

/// All protection domains, in the order of system.xml.
pub const PDS: &[Pd] = &[
    Pd {
        name: pd::FAULT_SERVER,
        program: "fault-server",
        about: "Says which of its children stopped, and why, and has the memory server take a VMM's memory back.\n\
                It gets their faults; the image builder takes away the capabilities to their threads that\n\
                Microkit gives a parent.",
        priority: priority::FAULT_SERVER,
        time: time::FAULT_SERVER,
        client: server_client(console_client::FAULT_SERVER),
        ..SERVER
    },
    Pd {
        name: pd::MEMORY_SERVER,
        program: "memory-server",
        about: "Owns all guest memory. Runs on the time of whoever calls.",
        priority: priority::MEMORY_SERVER,
        on_callers_time: true,
        stack: stack::MEDIUM,
        client: server_client(console_client::MEMORY_SERVER),
        child: Some(console_client::MEMORY_SERVER),
        maps: &[map::RINGS, map::RECORDS],
        stops: "no VMM gets or gives back memory any more; one that tries stands still",
        ..SERVER
    },
    Pd {
        name: pd::DT_SERVER,
        program: "dt-server",
        about: "Reads the domains file, writes the guests' device trees. Runs on the time of whoever calls.",
        priority: priority::DT_SERVER,
        stack: stack::MEDIUM,
        on_callers_time: true,
        client: server_client(console_client::DT_SERVER),
        child: Some(console_client::DT_SERVER),
        maps: &[map::RINGS, map::BOOT_DTB],
        stops: "no guest can be started any more; those that run go on",
        ..SERVER
    },
    TIMER_SERVER,
    // Where it tells the time it must have told it before anybody asks.
    Pd {
        when: When::With(Counter::Told),
        in_image: priority::TIMER_SERVER,
        time: time::TIMER_SERVER_WITH_CLOCK,
        maps: &[
            map::RINGS,
            map::CLOCK_PAGE_WRITTEN,
            map::CLOCK_COUNTER_WRITTEN,
            map::TIMER,
            map::CLOCK_CODE,
        ],
        vm: Some(Vm {
            name: Some(pd::CLOCK_VM),
            priority: priority::CLOCK_VM,
            time: time::CLOCK_VM,
            maps: &[map::CLOCK_VM_CODE, map::CLOCK_VM_COUNTER],
        }),
        ..TIMER_SERVER
    },
    Pd {
        name: pd::CONSOLE,
        program: "console",
        about: "Owns the UART and shares it among guests and servers.",
        priority: priority::CONSOLE,
        time: time::CONSOLE,
        maps: &[
            map::ALL_RINGS,
            map::UART,
            map::CLOCK_PAGE,
            map::CLOCK_COUNTER,
        ],
        irq: Some(Irq::Uart),
        ..SERVER
    },
    Pd {
        name: pd::XENSTORE_SERVER,
        program: "xenstore-server",
        about: "Xenstore, and the toolstack of all guests in it.",
        priority: priority::XENSTORE_SERVER,
        time: time::XENSTORE_SERVER,
        stack: stack::LARGE,
        client: server_client(console_client::XENSTORE_SERVER),
        child: Some(console_client::XENSTORE_SERVER),
        maps: &[
            map::RINGS,
            map::ALL_STORES,
            map::STORE_MEMORY,
            map::CLOCK_PAGE,
            map::CLOCK_COUNTER,
        ],
        stops: "what guests ask of the store is not answered any more; they go on",
        ..SERVER
    },
    // Where nobody meets there is none.
    Pd {
        name: pd::PEER_SERVER,
        when: When::Met,
        program: "peer-server",
        about: "Which event channel of one domain ends at which of another, and which grant is in use by whom. Runs on the time of whoever calls.",
        priority: priority::PEER_SERVER,
        on_callers_time: true,
        child: Some(child::PEER_SERVER),
        maps: &[map::ALL_ENDS],
        stops: "no guest gets or loses event channels to another domain any more, nor maps its grants; one that tries stands still",
        ..SERVER
    },
    Pd {
        name: pd::BLOCK_SERVER,
        when: When::Disks,
        program: "block-server",
        about: "Disks: who has which part of which, and whose turn it is.",
        priority: priority::BLOCK_SERVER,
        time: time::BLOCK_SERVER,
        stack: stack::LARGE,
        client: server_client(console_client::BLOCK_SERVER),
        child: Some(child::BLOCK_SERVER),
        maps: &[
            map::RINGS,
            map::ALL_DISKS,
            map::ALL_DISK_DATA,
            map::DISK_BUFFER,
            map::DISK_QUEUE,
            map::RAM_DISKS,
        ],
        stops: "guests get errors from their disks, for good; they go on",
        ..SERVER
    },
    // Who drives a device without an SMMU can reach all memory through it: so it does that alone.
    Pd {
        name: pd::BLOCK_DRIVER,
        when: When::DiskDevices,
        program: "block-driver",
        about: "Drives the board's disk for the block server, and knows nothing else.",
        priority: priority::BLOCK_DRIVER,
        stack: stack::MEDIUM,
        time: time::BLOCK_DRIVER,
        child: Some(child::BLOCK_DRIVER),
        maps: &[map::DISK_QUEUE, map::DISK_DMA, map::DISK_REGISTERS],
        irq: Some(Irq::Disk),
        stops: "guests get errors from the disk and its partitions, for good; RAM disks and guests go on",
        ..SERVER
    },
    Pd {
        name: pd::NET_SERVER,
        when: When::Nets,
        program: "net-server",
        about: "Networks: brings frames from interface to interface, and knows who hears whom.",
        priority: priority::NET_SERVER,
        time: time::NET_SERVER,
        stack: stack::LARGE,
        client: server_client(console_client::NET_SERVER),
        child: Some(child::NET_SERVER),
        maps: &[
            map::RINGS,
            map::ALL_NETS,
            map::ALL_NET_DATA,
            map::UPLINK_QUEUE,
            map::UPLINK_DATA,
            map::CLOCK_PAGE,
            map::CLOCK_COUNTER,
        ],
        stops: "guests lose their network interfaces, for good; they go on",
        ..SERVER
    },
    // As the block driver.
    Pd {
        name: pd::NET_DRIVER,
        when: When::Uplink,
        program: "net-driver",
        about: "Drives the board's network device for the net server, and knows nothing else.",
        priority: priority::NET_DRIVER,
        time: time::NET_DRIVER,
        stack: stack::LARGE,
        child: Some(child::NET_DRIVER),
        maps: &[
            map::UPLINK_QUEUE,
            map::UPLINK_DATA,
            map::NET_DMA,
            map::NET_REGISTERS,
        ],
        irq: Some(Irq::Net),
        stops: "nothing leaves by the uplink any more, nor comes in, for good; guests go on and reach each other",
        ..SERVER
    },
    // Guests can put the timer server's timer off.
    Pd {
        name: pd::PULSE,
        when: When::With(Counter::Readable),
        program: "pulse",
        about: "Wakes timer_server now and then while guests sleep: they can put its timer off.",
        priority: priority::PULSE,
        in_image: priority::PULSE,
        time: time::PULSE,
        stack: stack::GATE,
        child: Some(child::PULSE),
        maps: &[],
        stops: "guests that sleep are woken late when another one puts the timer off; all go on",
        ..SERVER
    },
    // Where no guest's RAM comes from the heap nothing has to be zeroed a second time.
    Pd {
        name: pd::WIPER,
        when: When::Heap,
        program: "wiper",
        about: "Has the kernel zero memory that was in use, on time of its own.",
        priority: priority::WIPER,
        time: time::WIPER,
        stack: stack::GATE,
        child: Some(child::WIPER),
        maps: &[],
        stops: "a guest may stand still for a millisecond when it gives up a page; all go on",
        ..SERVER
    },
    // What stands between a VMM and the servers: only what the gate sends reaches them, and it only
    // calls.
    Pd {
        name: pd::GATE_PREFIX,
        each: true,
        program: "gate",
        about: "Passes the calls of vmm_{name} on to the servers.",
        priority: priority::GATE,
        on_callers_time: true,
        stack: stack::GATE,
        child: Some(child::GATE),
        maps: &[],
        stops: "its VMM reaches no server any more and stands still, with its guest; the other guests go on",
        ..SERVER
    },
    Pd {
        name: pd::VMM_PREFIX,
        each: true,
        program: "vmm",
        about: "Domain {domid}: {name}, {ram} MiB.",
        priority: priority::VMM,
        time: time::VMM,
        on_callers_time: true,
        stack: stack::VMM,
        client: Some(Client {
            number: 0,
            channel: channel::CONSOLE,
        }),
        child: Some(0),
        maps: &[
            map::RINGS,
            map::STORE,
            map::ENDS,
            map::PAIRS,
            map::DISKS,
            map::DISK_DATA,
            map::NETS,
            map::NET_DATA,
            map::P2M,
            map::MODULES,
            map::CLOCK_PAGE,
            map::CLOCK_COUNTER,
        ],
        vm: Some(Vm {
            name: None,
            priority: priority::VM,
            time: time::VCPU,
            maps: &[map::GUEST_CPU_INTERFACE],
        }),
        stops: "its guest has ended with it and its memory goes back; the other guests go on",
        ..SERVER
    },
];

/// A protection domain of a system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its row.
    pub pd: &'static Pd,
    /// The number of its domain from 0, if there is one for each.
    pub domain: Option<usize>,
}

impl Member {
    /// Its number as a client of the console.
    pub fn client(&self) -> Option<usize> {
        let client = self.pd.client?;
        Some(client.number + self.domain.unwrap_or(0))
    }

    /// Its number as a child of the fault server.
    pub fn child(&self) -> Option<usize> {
        Some(self.pd.child? + self.domain.unwrap_or(0))
    }

    /// Its name; `domain` is that of the domain.
    pub fn name<'a>(&self, domain: &'a str) -> impl fmt::Display + use<'a> {
        Joined(self.pd.name, if self.pd.each { domain } else { "" })
    }

    /// What its own regions and its text are called by: the domain, or itself.
    pub fn label<'a>(&self, domain: &'a str) -> &'a str {
        if self.pd.each { domain } else { self.pd.name }
    }

    /// What it reaches in a system of this shape.
    pub fn maps(&self, shape: Shape) -> impl Iterator<Item = &'static Map> + use<> {
        let (maps, domain) = (self.pd.maps.iter(), self.domain);
        maps.filter(move |map| map.when.holds(shape, domain))
    }
}

struct Joined<'a>(&'static str, &'a str);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0, self.1)
    }
}

/// The protection domains of a system, in the order of system.xml: servers first, then each
/// domain's.
pub fn members(shape: Shape) -> impl Iterator<Item = Member> {
    let rows = move |domain: Option<usize>| {
        let all = PDS.iter();
        all.filter(move |pd| pd.each == domain.is_some() && pd.when.holds(shape, domain))
    };
    let servers = rows(None).map(|pd| Member { pd, domain: None });
    servers.chain((0..shape.domains).flat_map(move |domain| {
        let domain = Some(domain);
        rows(domain).map(move |pd| Member { pd, domain })
    }))
}

/// Those of domains that have a region of their own with this prefix, by the domain's number.
pub fn of_domains(shape: Shape, prefix: &'static str) -> impl Iterator<Item = (usize, Member)> {
    let has = move |member: &Member| {
        member
            .maps(shape)
            .any(|map| map.which == Which::Own(prefix))
    };
    let all = members(shape).filter(has);
    all.filter_map(|member| Some((member.domain?, member)))
}

/// The console's clients by their numbers.
pub fn clients(shape: Shape) -> impl Iterator<Item = (usize, Member)> {
    (0..console_client::COUNT).filter_map(move |number| {
        let mut all = members(shape);
        let found = all.find(|member| member.client() == Some(number))?;
        Some((number, found))
    })
}

/// The protection domain with this number as a child of the fault server; of the largest system
/// that there can be.
pub fn of_child(number: usize) -> Option<Member> {
    // Who is where does not depend on the board, but for the pulse, which is not everywhere.
    let largest = Shape::full(Counter::Readable, MAX_DOMAINS);
    members(largest).find(|member| member.child() == Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::{self, Link};
    use crate::shape::Domains;

    const BOTH: [Counter; 2] = [Counter::Readable, Counter::Told];

    fn same(a: &Member, b: &Member) -> bool {
        a.pd.name == b.pd.name && a.domain == b.domain
    }

    #[test]
    fn numbers_of_clients_and_children_are_used_once() {
        for shape in BOTH.map(|counter| Shape::full(counter, MAX_DOMAINS)) {
            for member in members(shape) {
                let others = || members(shape).filter(|other| !same(other, &member));
                let name = member.pd.name;
                if let Some(client) = member.client() {
                    assert!(client < console_client::COUNT, "{name}");
                    assert!(others().all(|o| o.client() != Some(client)), "{name}");
                }
                if let Some(number) = member.child() {
                    assert!(number < child::COUNT, "{name}");
                    assert!(others().all(|o| o.child() != Some(number)), "{name}");
                }
            }
            assert_eq!(clients(shape).count(), console_client::COUNT);
        }
    }

    #[test]
    fn whoever_runs_on_callers_time_is_a_child_and_shares_the_priority() {
        for pd in PDS.iter().filter(|pd| pd.on_callers_time) {
            assert!(pd.child.is_some(), "{}", pd.name);
            assert_eq!(pd.in_image, priority::SHARED, "{}", pd.name);
        }
    }

    #[test]
    fn the_table_says_the_same_on_all_boards_but_for_the_clock() {
        for number in 0..child::COUNT {
            let found = of_child(number);
            let largest = Shape::full(Counter::Told, MAX_DOMAINS);
            let told = members(largest).find(|m| m.child() == Some(number));
            let (Some(found), Some(told)) = (found, told) else {
                assert_eq!(number, child::PULSE);
                continue;
            };
            assert!(same(&found, &told), "{number}");
            assert_eq!(found.pd.stack, told.pd.stack);
            assert_eq!(found.pd.on_callers_time, told.pd.on_callers_time);
        }
        assert_eq!(of_child(child::COUNT), None);
    }

    #[test]
    fn calls_go_to_a_strictly_higher_priority_in_the_description() {
        for counter in BOTH {
            let all = || links::channels(Shape::full(counter, 2));
            for Link { from, to, row } in all().filter(|link| link.row.calls) {
                let (from, to) = (from.member.pd, to.member.pd);
                assert!(
                    from.priority < to.priority,
                    "{} calls {}",
                    from.name,
                    row.to
                );
            }
            // Nobody has two channels of one number, nor a channel where its interrupt is.
            let end = |end: links::End| (end.member, end.number);
            let ends = || all().flat_map(|c| [end(c.from), end(c.to)]);
            for (member, number) in ends() {
                let uses = ends().filter(|(m, n)| same(m, &member) && *n == number);
                assert_eq!(uses.count(), 1, "{} {number}", member.pd.name);
                assert!(member.pd.irq.is_none() || number != channel::IRQ);
            }
        }
        // Seven for each domain and one as a client; four servers' rings, the fault server's own
        // and its call, the calls of the console and the xenstore server.
        let count = |counter, domains| links::channels(Shape::plain(counter, domains)).count();
        assert_eq!(count(Counter::Told, 0), 8);
        assert_eq!(count(Counter::Told, 2), 8 + 2 * 8);
        assert_eq!(count(Counter::Readable, 2), 9 + 2 * 8);
        // Who meets has a call more at both ends of the gate, each pair a channel, the fault server
        // a call, and the peer server one.
        let shape = Shape {
            meets: crate::meets::Meets::NONE.with(0, 2),
            ..Shape::plain(Counter::Readable, 3)
        };
        assert_eq!(
            links::channels(shape).count(),
            9 + 3 * 8 + 2 * 2 + 1 + 1 + 1
        );
        // Disks: the block server's ring; two channels for each domain that has one; the driver's
        // channel, and what tells of its end.
        let disks = |devices| Shape {
            disks: Domains::of([1]),
            disk_devices: devices,
            ..Shape::plain(Counter::Told, 2)
        };
        let count = |shape| links::channels(shape).count();
        assert_eq!(count(disks(Domains::NONE)), 8 + 2 * 8 + 3);
        assert_eq!(count(disks(Domains::of([1]))), 8 + 2 * 8 + 5);
        // The same of networks.
        let shape = Shape {
            nets: Domains::of([0, 1]),
            ..Shape::plain(Counter::Told, 2)
        };
        assert_eq!(count(shape), 8 + 2 * 8 + 1 + 2 * 2);
        // An uplink: its driver's channel, and what tells of its end.
        let shape = Shape {
            uplink: true,
            ..shape
        };
        assert_eq!(count(shape), 8 + 2 * 8 + 1 + 2 * 2 + 2);
    }
}
