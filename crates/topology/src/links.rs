//! Who may call or notify whom, and under which numbers.

use crate::table::{Counter, Member, PDS, Pd, When, clients};
use crate::{channel, pd};

/// Whose end of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Party {
    /// The row of this name; of each domain if there is one for each.
    Named(&'static str),
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
    /// On which boards.
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

/// Who may call or notify whom, in the order of system.xml; rows of each domain come first.
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
        calls: false,
        notifies: true,
        answers: true,
        ..CALL
    },
    Row {
        from: Party::Named(pd::FAULT_SERVER),
        at: Number::Is(channel::FAULTS_MEMORY),
        to: pd::MEMORY_SERVER,
        number: Number::Is(channel::MEMORY_FAULTS),
        ..CALL
    },
    Row {
        from: Party::Clients,
        at: Number::Own,
        to: pd::CONSOLE,
        number: Number::Client,
        calls: false,
        notifies: true,
        answers: true,
        ..CALL
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
        calls: false,
        notifies: true,
        answers: true,
        when: When::With(Counter::Readable),
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

/// The channels of a system with `domains` domains, in the order of system.xml.
pub fn channels(counter: Counter, domains: usize) -> impl Iterator<Item = Link> {
    let rows = CHANNELS.iter().filter(move |row| row.when.holds(counter));
    let of_domains = (0..domains).flat_map(move |domain| {
        let own = CHANNELS.iter().filter(move |row| row.each());
        own.filter_map(move |row| row.channel(row.member(counter, Some(domain))?, counter))
    });
    let others = rows.filter(|row| !row.each()).flat_map(move |row| {
        let clients = clients(counter, domains).map(|(_, member)| member);
        let clients = clients.filter(move |_| row.from == Party::Clients);
        let one = row.member(counter, None).into_iter();
        clients
            .chain(one)
            .filter_map(move |from| row.channel(from, counter))
    });
    of_domains.chain(others)
}

/// The row of protection domains with this name.
fn named(name: &str, counter: Counter) -> Option<&'static Pd> {
    PDS.iter()
        .find(|pd| pd.name == name && pd.when.holds(counter))
}

impl Row {
    /// Whether there is one for each domain.
    fn each(&self) -> bool {
        matches!(self.from, Party::Named(name) if PDS.iter().any(|pd| pd.name == name && pd.each))
    }

    /// Who has the first end, if that is the one of a name.
    fn member(&self, counter: Counter, domain: Option<usize>) -> Option<Member> {
        let Party::Named(name) = self.from else {
            return None;
        };
        let pd = named(name, counter)?;
        Some(Member { pd, domain })
    }

    fn channel(&'static self, from: Member, counter: Counter) -> Option<Link> {
        let pd = named(self.to, counter)?;
        let domain = from.domain.filter(|_| pd.each);
        let number = |number| match number {
            Number::Is(number) => Some(number),
            Number::Domain => from.domain,
            Number::Own => Some(from.pd.client?.channel),
            Number::Client => from.client(),
        };
        Some(Link {
            from: End {
                member: from,
                number: number(self.at)?,
            },
            to: End {
                member: Member { pd, domain },
                number: number(self.number)?,
            },
            row: self,
        })
    }
}
