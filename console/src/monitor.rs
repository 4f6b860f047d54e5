//! The monitor: single-key commands at the console itself.

use core::fmt::{self, Write};

use heapless::String;
use topology::pd::CONSOLE_MONITOR as MONITOR;

use crate::command::{Action, FIRST_GUEST, OWN};
use crate::filter::{Filter, Item};
use crate::job::{Job, Replay, VcpuRow};
use crate::line::Line;
use crate::mux::Mux;

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
            Some(Action::Vcpus) => self.ask_vcpus(),
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
    pub(crate) fn ask(&mut self, name: &str, key: u8) {
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
            Job::None if self.vcpus_known() => self.job = Job::Vcpus(VcpuRow::Head),
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
            Job::Vcpus(row) => self.vcpus_step(row),
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
