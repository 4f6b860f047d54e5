//! What the multiplexer keeps about each client.

use console_api::{NAME_MAX, ServerEnd, State};
use heapless::{Deque, String};

use topology::pd::CONSOLE_MONITOR as MONITOR;

use crate::backlog::Backlog;
use crate::filter::Filter;
use crate::line::Line;

/// Typed bytes that wait here when a client's ring is full.
pub(crate) const INPUT_QUEUE: usize = 64;

/// What a client is to the person at the terminal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// May have the input focus.
    Guest,
    /// Prints lines.
    Server,
}

/// Why a client cannot be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddError {
    /// The multiplexer was built for fewer clients.
    TooMany {
        /// How many it was built for.
        most: usize,
    },
    /// The name is empty, longer than [`NAME_MAX`] bytes, or not of printable ASCII without spaces
    /// and colons.
    BadName,
    /// Another client, or the monitor, has that name.
    NameTaken,
}

impl core::fmt::Display for AddError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooMany { most } => {
                write!(f, "the console is built for {most} clients; raise N of Mux")
            }
            Self::BadName => write!(
                f,
                "a console name is 1 to {NAME_MAX} printable ASCII characters without space or colon"
            ),
            Self::NameTaken => write!(
                f,
                "another console client has that name, or it is \"{MONITOR}\", the monitor's"
            ),
        }
    }
}

/// A client.
#[derive(Debug)]
pub(crate) struct Client<'a> {
    pub(crate) name: String<NAME_MAX>,
    pub(crate) role: Role,
    pub(crate) end: ServerEnd<'a>,
    pub(crate) filter: Filter,
    pub(crate) line: Line,
    pub(crate) backlog: Backlog,
    pub(crate) waiting: Deque<u8, INPUT_QUEUE>,
    /// Bytes taken from its ring.
    pub(crate) output: u64,
    /// Typed bytes accepted for it.
    pub(crate) input: u64,
    /// Typed bytes dropped.
    pub(crate) dropped: u64,
    /// What its guest did when it notified last.
    pub(crate) state: State,
    /// The user who types for it has been told that it is down.
    pub(crate) told_down: bool,
    /// Its output ring is corrupt and that has been said; the same for its input ring.
    pub(crate) damaged: [bool; 2],
}

impl<'a> Client<'a> {
    /// A client that has said nothing yet.
    pub(crate) const fn new(name: String<NAME_MAX>, role: Role, end: ServerEnd<'a>) -> Self {
        Self {
            name,
            role,
            end,
            filter: Filter::new(),
            line: Line::new(),
            backlog: Backlog::new(),
            waiting: Deque::new(),
            output: 0,
            input: 0,
            dropped: 0,
            state: State::Unknown,
            told_down: false,
            damaged: [false; 2],
        }
    }

    /// Moves typed bytes that wait into the ring; returns whether the client must be notified.
    pub(crate) fn flush_input(&mut self) -> bool {
        let end = &mut self.end;
        while let Some(&byte) = self.waiting.front() {
            if end.input.write(&[byte]) == 0 {
                break;
            }
            self.waiting.pop_front();
        }
        end.input.take_notify()
    }

    /// Takes a typed byte; `Err` when it had to be dropped, else whether the client must be
    /// notified.
    pub(crate) fn accept(&mut self, byte: u8) -> Result<bool, ()> {
        let mut notify = self.flush_input();
        let end = &mut self.end;
        let direct = self.waiting.is_empty() && end.input.write(&[byte]) == 1;
        notify |= end.input.take_notify();
        if direct || self.waiting.push_back(byte).is_ok() {
            self.input += 1;
            Ok(notify)
        } else {
            self.dropped += 1;
            Err(())
        }
    }

    /// Output that has not been put on a line yet, in bytes.
    pub(crate) fn pending(&self) -> usize {
        let ring = self.end.output.len();
        ring + self.line.bytes().len()
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}
