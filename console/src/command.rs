//! The commands of the monitor: their keys, and what they are for.

use console_api::Order;
use topology::{console_key, pd};

/// A command of the monitor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// The key.
    pub key: u8,
    /// What it does, for `h`; at most 80 characters.
    pub help: &'static str,
    /// What happens.
    pub action: Action,
}

/// What a command does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Lists the commands.
    Help,
    /// Lists the clients.
    Clients,
    /// Prints the backlog of the guest that had the focus last.
    Backlog,
    /// Moves the focus to the guest of this number.
    Guest,
    /// Lists the guests.
    Domains,
    /// Lists their vCPUs.
    Vcpus,
    /// Takes the name or number of a guest, or other words, up to Enter.
    Which(Purpose),
    /// Types the key for the client of this name, a server that answers by lines of its log.
    Ask(&'static str),
    /// Something the protection domain does, see [`crate::mux::Mux::take_request`].
    Request(u16),
}

/// The commands that servers of Zazen answer, for [`crate::mux::Mux::set_commands`].
pub const SERVER_COMMANDS: &[Command] = &[
    Command {
        key: console_key::MEMORY,
        help: "memory: what each domain holds, and where all memory is",
        action: Action::Ask(pd::MEMORY_SERVER),
    },
    Command {
        key: console_key::NETS,
        help: "networks: what each interface sent and received, and what was dropped",
        action: Action::Ask(pd::NET_SERVER),
    },
    Command {
        key: console_key::STORE,
        help: "store: shutdown GUEST, reboot GUEST, mem-set GUEST MIB, ls PATH, and Enter",
        action: Action::Which(Purpose::Tell(pd::XENSTORE_SERVER)),
    },
];

/// What an answer is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The focus moves there.
    Focus,
    /// Its VMM gets an order.
    Order(Order),
    /// No guest but a line of words, which the client of this name gets.
    Tell(&'static str),
}

/// The multiplexer's own commands; they come before those of [`crate::mux::Mux::set_commands`].
pub(crate) const OWN: [Command; 10] = [
    Command {
        key: b'h',
        help: "list the keys",
        action: Action::Help,
    },
    Command {
        key: b'c',
        help: "list the clients: bytes out and in, output waiting, input dropped",
        action: Action::Clients,
    },
    Command {
        key: b'b',
        help: "show the last output of the guest that had the input last",
        action: Action::Backlog,
    },
    Command {
        key: FIRST_GUEST,
        help: "to 9: move the input to that guest, as c numbers them",
        action: Action::Guest,
    },
    Command {
        key: b'/',
        help: "and a name, or how it begins, or a number, and Enter: move the input there",
        action: Action::Which(Purpose::Focus),
    },
    Command {
        key: b'd',
        help: "list the domains: what each does, for how long, and how often it restarted",
        action: Action::Domains,
    },
    Command {
        key: b'v',
        help: "list the vCPUs: what each does, on which core, and its processor time",
        action: Action::Vcpus,
    },
    Command {
        key: b's',
        help: "start a guest that is down; asks which, as / does",
        action: Action::Which(Purpose::Order(Order::Start)),
    },
    Command {
        key: b'x',
        help: "stop a guest at once, as if its power was cut; asks which",
        action: Action::Which(Purpose::Order(Order::Stop)),
    },
    Command {
        key: b'r',
        help: "stop a guest at once and start it again; asks which",
        action: Action::Which(Purpose::Order(Order::Restart)),
    },
];

/// The key of the first guest; the next digits are those of the others.
pub(crate) const FIRST_GUEST: u8 = b'1';
