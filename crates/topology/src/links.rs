//! Who may call or notify whom, and under which numbers.

use crate::shape::{Counter, Shape, When};
use crate::table::{Member, PDS, Pd, clients};
use crate::{channel, pd};

/// Whose end of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Party {
    /// The row of this name; of each domain if there is one for each.
    Named(&'static str),
    /// The row of this name, which is one for all, once for each domain.
    ForEach(&'static str),
    /// Each client of the console.
    Clients,
}

/// Number of a channel at one end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Number {
    /// This.
    Is(usize),
    /// That of the domain at the other end, from 0.
    Domain,
    /// The same, and this.
    DomainFrom(usize),
    /// At a client of the console what `table::Client::channel` says.
    Own,
    /// In the console the client's number.
    Client,
}

/// A row of channels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// One end.
    pub from: Party,
    /// Its number there.
    pub at: Number,
    /// The other end, by its name.
    pub to: &'static str,
    /// Its number there, which is what the callee or the notified one sees.
    pub number: Number,
    /// Whether `from` may call `to`.
    pub calls: bool,
    /// Whether `from` may notify `to`.
    pub notifies: bool,
    /// Whether `to` may notify `from`.
    pub answers: bool,
    /// In which systems.
    pub when: When,
}

/// A call that is answered and nothing else.
const CALL: Row = Row {
    from: Party::Clients,
    at: Number::Is(0),
    to: "",
    number: Number::Domain,
    calls: true,
    notifies: false,
    answers: false,
    when: When::Always,
};

/// Notifications both ways.
const NOTIFY: Row = Row {
    calls: false,
    notifies: true,
    answers: true,
    ..CALL
};

/// Who may call or notify whom, in the order of system.xml; rows of each domain come first, and
/// behind them the channels between VMMs.
pub const CHANNELS: &[Row] = &[
    // The memory server and the dt-server only answer.
    Row {
        from: Party::Named(pd::VMM_PREFIX),
        at: Number::Is(channel::MEMORY),
        to: pd::GATE_PREFIX,
        number: Number::Is(channel::MEMORY),
        ..CALL
    },
    Row {
        from: Party::Named(pd::GATE_PREFIX),
        at: Number::Is(channel::GATE_MEMORY),
        to: pd::MEMORY_SERVER,
        ..CALL
    },
    Row {
        from: Party::Named(pd::VMM_PREFIX),
        at: Number::Is(channel::DT),
        to: pd::GATE_PREFIX,
        number: Number::Is(channel::DT),
        ..CALL
    },
    Row {
        from: Party::Named(pd::GATE_PREFIX),
        at: Number::Is(channel::GATE_DT),
        to: pd::DT_SERVER,
        ..CALL
    },
    Row {
        from: Party::Named(pd::VMM_PREFIX),
        at: Number::Is(channel::PEER),
        to: pd::GATE_PREFIX,
        number: Number::Is(channel::PEER),
        when: When::Met,
        ..CALL
    },
    Row {
        from: Party::Named(pd::GATE_PREFIX),
        at: Number::Is(channel::GATE_PEER),
        to: pd::PEER_SERVER,
        when: When::Met,
        ..CALL
    },
    // The timer server has time of its own, so that no client can stop it; it also tells that time
    // is up.
    Row {
        from: Party::Named(pd::VMM_PREFIX),
        at: Number::Is(channel::TIMER),
        to: pd::TIMER_SERVER,
        answers: true,
        ..CALL
    },
    Row {
        from: Party::Named(pd::VMM_PREFIX),
        at: Number::Is(channel::STORE),
        to: pd::XENSTORE_SERVER,
        ..NOTIFY
    },
    Row {
        from: Party::Named(pd::VMM_PREFIX),
        at: Number::Is(channel::DISKS),
        to: pd::BLOCK_SERVER,
        when: When::Disks,
        ..NOTIFY
    },
    Row {
        from: Party::Named(pd::VMM_PREFIX),
        at: Number::Is(channel::NETS),
        to: pd::NET_SERVER,
        when: When::Nets,
        ..NOTIFY
    },
    // Whoever waits for one that has stopped is told of it.
    Row {
        from: Party::ForEach(pd::FAULT_SERVER),
        at: Number::DomainFrom(channel::FAULTS_NETS),
        to: pd::VMM_PREFIX,
        number: Number::Is(channel::NETS_LOST),
        answers: false,
        when: When::Nets,
        ..NOTIFY
    },
    Row {
        from: Party::ForEach(pd::FAULT_SERVER),
        at: Number::DomainFrom(channel::FAULTS_DISKS),
        to: pd::VMM_PREFIX,
        number: Number::Is(channel::DISKS_LOST),
        answers: false,
        when: When::Disks,
        ..NOTIFY
    },
    Row {
        from: Party::Named(pd::FAULT_SERVER),
        at: Number::Is(channel::FAULTS_BLOCK),
        to: pd::BLOCK_SERVER,
        number: Number::Is(channel::BLOCK_DRIVER_LOST),
        answers: false,
        when: When::DiskDevices,
        ..NOTIFY
    },
    Row {
        from: Party::Named(pd::BLOCK_SERVER),
        at: Number::Is(channel::BLOCK_DRIVER),
        to: pd::BLOCK_DRIVER,
        number: Number::Is(channel::DRIVER_BLOCK),
        when: When::DiskDevices,
        ..NOTIFY
    },
    Row {
        from: Party::Named(pd::FAULT_SERVER),
        at: Number::Is(channel::FAULTS_NET),
        to: pd::NET_SERVER,
        number: Number::Is(channel::NET_DRIVER_LOST),
        answers: false,
        when: When::Uplink,
        ..NOTIFY
    },
    Row {
        from: Party::Named(pd::NET_SERVER),
        at: Number::Is(channel::NET_DRIVER),
        to: pd::NET_DRIVER,
        number: Number::Is(channel::DRIVER_NET),
        when: When::Uplink,
        ..NOTIFY
    },
    Row {
        from: Party::Named(pd::FAULT_SERVER),
        at: Number::Is(channel::FAULTS_MEMORY),
        to: pd::MEMORY_SERVER,
        number: Number::Is(channel::MEMORY_FAULTS),
        ..CALL
    },
    Row {
        from: Party::ForEach(pd::FAULT_SERVER),
        at: Number::DomainFrom(channel::FAULTS_STORE),
        to: pd::XENSTORE_SERVER,
        number: Number::DomainFrom(channel::STORE_FAULTS),
        answers: false,
        ..NOTIFY
    },
    Row {
        from: Party::Named(pd::FAULT_SERVER),
        at: Number::Is(channel::FAULTS_PEER),
        to: pd::PEER_SERVER,
        number: Number::Is(channel::PEER_FAULTS),
        when: When::Met,
        ..CALL
    },
    Row {
        from: Party::Named(pd::PEER_SERVER),
        at: Number::Is(channel::PEER_MEMORY),
        to: pd::MEMORY_SERVER,
        number: Number::Is(channel::MEMORY_PEER),
        when: When::Met,
        ..CALL
    },
    Row {
        from: Party::Clients,
        at: Number::Own,
        to: pd::CONSOLE,
        number: Number::Client,
        ..NOTIFY
    },
    Row {
        from: Party::Named(pd::CONSOLE),
        at: Number::Is(channel::CONSOLE_TIMER),
        to: pd::TIMER_SERVER,
        number: Number::Is(channel::TIMER_CLIENT_CONSOLE),
        answers: true,
        ..CALL
    },
    Row {
        from: Party::Named(pd::XENSTORE_SERVER),
        at: Number::Is(channel::STORE_TIMER),
        to: pd::TIMER_SERVER,
        number: Number::Is(channel::TIMER_CLIENT_STORE),
        answers: true,
        ..CALL
    },
    Row {
        from: Party::Named(pd::PULSE),
        at: Number::Is(channel::PULSE_TIMER),
        to: pd::TIMER_SERVER,
        number: Number::Is(channel::TIMER_PULSE),
        when: When::With(Counter::Readable),
        ..NOTIFY
    },
    Row {
        from: Party::Named(pd::WIPER),
        at: Number::Is(channel::WIPER_MEMORY),
        to: pd::MEMORY_SERVER,
        number: Number::Is(channel::MEMORY_WIPER),
        when: When::Heap,
        ..NOTIFY
    },
];

/// An end of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Whose.
    pub member: Member,
    /// Its number there.
    pub number: usize,
}

/// A channel of a system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Link {
    /// One end.
    pub from: End,
    /// The other.
    pub to: End,
    /// Its row.
    pub row: &'static Row,
}

/// Between the VMMs of two domains that meet. The number at either end is [`channel::PAIR`] and
/// that of the other domain.
const PAIR: Row = Row {
    from: Party::Named(pd::VMM_PREFIX),
    at: Number::Is(channel::PAIR),
    to: pd::VMM_PREFIX,
    number: Number::Is(channel::PAIR),
    calls: false,
    notifies: true,
    answers: true,
    when: When::Met,
};

/// The channels of a system, in the order of system.xml.
pub fn channels(shape: Shape) -> impl Iterator<Item = Link> {
    let rows = move |domain: Option<usize>| {
        let each = domain.is_some();
        let rows = CHANNELS.iter().filter(move |row| row.each() == each);
        rows.filter(move |row| row.when.holds(shape, domain))
    };
    let of_domains = (0..shape.domains).flat_map(move |domain| {
        rows(Some(domain)).filter_map(move |row| {
            let from = row.member(shape, Some(domain))?;
            row.channel(from, Some(domain), shape)
        })
    });
    let others = rows(None).flat_map(move |row| {
        let clients = clients(shape).map(|(_, member)| member);
        let clients = clients.filter(move |_| row.from == Party::Clients);
        let one = row.member(shape, None).into_iter();
        clients
            .chain(one)
            .filter_map(move |from| row.channel(from, from.domain, shape))
    });
    of_domains.chain(pairs(shape)).chain(others)
}

/// The channels between VMMs.
fn pairs(shape: Shape) -> impl Iterator<Item = Link> {
    let pairs = shape.meets.pairs();
    pairs
        .filter(move |(_, b)| *b < shape.domains)
        .filter_map(move |(a, b)| {
            let end = |me, other| {
                Some(End {
                    member: PAIR.member(shape, Some(me))?,
                    number: channel::PAIR + other,
                })
            };
            Some(Link {
                from: end(a, b)?,
                to: end(b, a)?,
                row: &PAIR,
            })
        })
}

/// The row of protection domains with this name, for domain `domain` if there is one for each.
fn named(name: &str, shape: Shape, domain: Option<usize>) -> Option<Member> {
    let member = |pd: &'static Pd| Member {
        pd,
        domain: domain.filter(|_| pd.each),
    };
    let mut all = PDS.iter().filter(|pd| pd.name == name).map(member);
    all.find(|member| member.pd.when.holds(shape, member.domain))
}

impl Row {
    /// Whether there is one for each domain.
    fn each(&self) -> bool {
        match self.from {
            Party::Named(name) => PDS.iter().any(|pd| pd.name == name && pd.each),
            Party::ForEach(_) => true,
            Party::Clients => false,
        }
    }

    /// Who has the first end, if that is the one of a name.
    fn member(&self, shape: Shape, domain: Option<usize>) -> Option<Member> {
        let (Party::Named(name) | Party::ForEach(name)) = self.from else {
            return None;
        };
        named(name, shape, domain)
    }

    /// The channel of `from`, for `of`.
    fn channel(&'static self, from: Member, of: Option<usize>, shape: Shape) -> Option<Link> {
        let to = named(self.to, shape, of)?;
        let number = |number| match number {
            Number::Is(number) => Some(number),
            Number::Domain => of,
            Number::DomainFrom(first) => Some(first + of?),
            Number::Own => Some(from.pd.client?.channel),
            Number::Client => from.client(),
        };
        Some(Link {
            from: End {
                member: from,
                number: number(self.at)?,
            },
            to: End {
                member: to,
                number: number(self.number)?,
            },
            row: self,
        })
    }
}
