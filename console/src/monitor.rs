//! The monitor: single-key commands at the console itself.

use core::fmt::{self, Write};

use console_api::Order;
use heapless::String;
use topology::{console_key, pd};

use crate::MONITOR;
use crate::filter::{Filter, Item};
use crate::line::Line;
use crate::mux::Mux;

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
    /// Takes the name or number of a guest, up to Enter.
    Which(Purpose),
    /// Types the key for the client of this name, a server that answers by lines of its log.
    Ask(&'static str),
    /// Something the protection domain does, see [`Mux::take_request`].
    Request(u16),
}

/// The commands that servers of Zazen answer, for [`Mux::set_commands`].
pub const SERVER_COMMANDS: &[Command] = &[Command {
    key: console_key::MEMORY,
    help: "memory: what each domain holds, and where all memory is",
    action: Action::Ask(pd::MEMORY_SERVER),
}];

/// What a guest is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// The focus moves there.
    Focus,
    /// Its VMM gets an order.
    Order(Order),
}

/// The multiplexer's own commands; they come before those of [`Mux::set_commands`].
const OWN: [Command; 9] = [
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

/// A report that takes several steps; each step prints one line.
#[derive(Debug)]
pub(crate) enum Job {
    None,
    Help { row: usize },
    Clients { row: usize },
    Domains { row: usize },
    Backlog(Replay),
}

/// Where a replay of a backlog is.
#[derive(Debug)]
pub(crate) struct Replay {
    client: usize,
    /// Next byte; `None` before the first line.
    at: Option<u64>,
    /// Where it stops: what comes later is not backlog.
    end: u64,
}

impl<const N: usize> Mux<'_, N> {
    pub(crate) fn key(&mut self, key: u8) {
        if let Some(question) = self.question.take() {
            return self.answer(question, key);
        }
        if let b'1'..=b'9' = key {
            return self.jump(usize::from(key - FIRST_GUEST));
        }
        let found = OWN.iter().chain(self.commands).find(|c| c.key == key);
        match found.map(|c| c.action) {
            Some(Action::Help) => self.job = Job::Help { row: 0 },
            Some(Action::Clients) => self.job = Job::Clients { row: 0 },
            Some(Action::Backlog) => match self
                .last_guest
                .and_then(|i| Some((i, self.clients.get(i)?)))
            {
                Some((client, guest)) => {
                    let end = guest.backlog.end();
                    self.job = Job::Backlog(Replay {
                        client,
                        at: None,
                        end,
                    });
                }
                None => self.say(format_args!("there is no guest")),
            },
            Some(Action::Guest) => self.jump(0),
            Some(Action::Which(purpose)) => self.ask_which(purpose),
            Some(Action::Domains) => self.job = Job::Domains { row: 0 },
            Some(Action::Ask(name)) => self.ask(name, key),
            Some(Action::Request(number)) => {
                if self.requests.push_back(number).is_err() {
                    self.say(format_args!(
                        "too many requests at once; this one was dropped"
                    ));
                }
            }
            None if matches!(key, b'\r' | b'\n' | b' ') => {}
            None if key.is_ascii_graphic() => {
                self.say(format_args!(
                    "no command '{}'; h lists them",
                    char::from(key)
                ));
            }
            None => self.say(format_args!("no command {key:#04x}; h lists them")),
        }
    }

    /// Hands `key` to the client called `name`.
    fn ask(&mut self, name: &str, key: u8) {
        let mut clients = self.clients.iter_mut().enumerate();
        let found = clients.find(|(_, client)| client.name == name);
        match found.map(|(index, client)| (index, client.accept(key))) {
            Some((index, Ok(notify))) => {
                if notify {
                    self.notify.insert(index);
                }
            }
            Some((_, Err(()))) => self.say(format_args!(
                "{name} does not take what is typed; its input is full"
            )),
            None => self.say(format_args!("there is no {name} in this system")),
        }
    }

    /// Prints the next line of a report; `false` when there is none.
    pub(crate) fn job_step(&mut self) -> bool {
        match core::mem::replace(&mut self.job, Job::None) {
            Job::None => return false,
            Job::Help { row } => {
                if let Some(command) = OWN.iter().chain(self.commands).nth(row) {
                    self.say(format_args!(
                        "{}  {:.80}",
                        char::from(command.key),
                        command.help
                    ));
                    self.job = Job::Help { row: row + 1 };
                }
            }
            Job::Clients { row: 0 } => {
                self.say(format_args!(
                    "    {:<16} {:>12} {:>10} {:>8} {:>8}",
                    "name", "output", "input", "waiting", "dropped"
                ));
                self.job = Job::Clients { row: 1 };
            }
            Job::Clients { row } => {
                let index = row - 1;
                let mut text: String<96> = String::new();
                if let Some(client) = self.clients.get(index) {
                    let (mark, number) = self.mark(index);
                    let _ = write!(
                        text,
                        "{mark} {number} {:<16} {:>12} {:>10} {:>8} {:>8}",
                        client.name,
                        client.output,
                        client.input,
                        client.pending(),
                        client.dropped
                    );
                    self.say(format_args!("{text}"));
                    self.job = Job::Clients { row: row + 1 };
                }
            }
            Job::Domains { row } => self.domains_step(row),
            Job::Backlog(replay) => self.replay_step(replay),
        }
        true
    }

    fn replay_step(&mut self, mut replay: Replay) {
        let Some(client) = self.clients.get(replay.client) else {
            return;
        };
        let backlog = &client.backlog;
        let Some(mut at) = replay.at else {
            let start = backlog.first_line().min(replay.end);
            replay.at = Some(start);
            let mut text: String<96> = String::new();
            let _ = write!(
                text,
                "last {} bytes of {} from here",
                replay.end - start,
                client.name
            );
            self.notice(format_args!("{text}"));
            self.job = Job::Backlog(replay);
            return;
        };
        // The text was filtered when it came in; the filter here finds the lines again.
        let (mut filter, mut line) = (Filter::new(), Line::new());
        let mut ended = false;
        while !ended && at < replay.end {
            let byte = backlog.get(at).unwrap_or(b'?');
            let full = match byte {
                b'\n' => false,
                b'\r' => line.is_full_for_return(),
                _ => line.is_full_for(&[byte]),
            };
            if full {
                break;
            }
            at += 1;
            filter.feed(byte, &mut |item| match item {
                Item::Byte(b) => line.push(b),
                Item::Back => {
                    line.back();
                }
                Item::Return if !line.is_empty() => line.push_return(),
                Item::Newline => ended = true,
                Item::Return | Item::Bell | Item::Sequence(_) => {}
            });
        }
        if replay.at == Some(at) {
            let mut text: String<64> = String::new();
            let _ = write!(text, "end of the last output of {}", client.name);
            self.notice(format_args!("{text}"));
            return;
        }
        self.screen.print(&client.name, &line);
        replay.at = Some(at);
        self.job = Job::Backlog(replay);
    }

    /// Prints a line of the monitor.
    pub(crate) fn say(&mut self, text: fmt::Arguments<'_>) {
        let mut line: String<160> = String::new();
        // What does not fit is cut off.
        let _ = line.write_fmt(text);
        self.screen.print_parts(&[MONITOR, ": ", &line]);
    }

    /// Prints a line of the console's own, which no client can start so; cut at 160 bytes.
    pub fn notice(&mut self, text: fmt::Arguments<'_>) {
        let mut line: String<160> = String::new();
        let _ = line.write_fmt(text);
        self.screen.print_parts(&["*** ", &line, " ***"]);
    }
}
