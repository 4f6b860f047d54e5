//! Which guest the user at the monitor means.

use heapless::String;

use crate::client::Role;
use crate::command::Purpose;
use crate::mux::Mux;

/// A question that waits for Enter.
#[derive(Debug)]
pub(crate) struct Question {
    purpose: Purpose,
    /// What was typed so far.
    answer: String<ANSWER_MAX>,
}

/// Longest answer.
const ANSWER_MAX: usize = 112;

/// Why an answer is no guest.
enum Unclear {
    Nothing,
    NoGuest,
    Several(usize),
}

impl<const N: usize> Mux<'_, N> {
    /// Moves the focus to guest `number`, counted from 0.
    pub(crate) fn jump(&mut self, number: usize) {
        let guest = self.guests().nth(number);
        match guest {
            Some(index) => self.choose(index),
            None => self.say(format_args!(
                "there is no guest {}",
                number.saturating_add(1)
            )),
        }
    }

    /// Asks for a guest.
    pub(crate) fn ask_which(&mut self, purpose: Purpose) {
        self.question = Some(Question {
            purpose,
            answer: String::new(),
        });
        if let Purpose::Tell(name) = purpose {
            return self.say(format_args!("what is {name} to do? Words, and Enter"));
        }
        let last = self.last_guest.filter(|_| purpose != Purpose::Focus);
        match last.and_then(|index| self.clients.get(index)) {
            Some(guest) => {
                let name = guest.name.clone();
                self.say(format_args!(
                    "which guest? Its name, how it begins, or its number, and Enter; Enter alone is {name}"
                ));
            }
            None => self.say(format_args!(
                "which guest? Its name, how it begins, or its number, and Enter"
            )),
        }
    }

    /// Takes a key of the answer.
    pub(crate) fn answer(&mut self, mut question: Question, key: u8) {
        match key {
            b'\r' | b'\n' => return self.answered(&question),
            // Ctrl-c, Ctrl-u and Escape.
            0x03 | 0x15 | 0x1b => {
                let what = match question.purpose {
                    Purpose::Tell(_) => "nothing",
                    Purpose::Focus | Purpose::Order(_) => "no guest",
                };
                return self.say(format_args!("{what} then"));
            }
            0x08 | 0x7f => {
                question.answer.pop();
            }
            key if key.is_ascii_graphic() || key == b' ' => {
                // What is longer is no guest's name; the end is not needed to know it.
                let _ = question.answer.push(char::from(key));
            }
            _ => {}
        }
        self.question = Some(question);
    }

    fn answered(&mut self, Question { purpose, answer }: &Question) {
        let answer = answer.trim();
        if let Purpose::Tell(name) = purpose {
            self.say(format_args!("{name}: {answer}"));
            let words = answer.bytes().chain([b'\n']);
            return words.for_each(|byte| self.ask(name, byte));
        }
        match self.meant(answer, *purpose) {
            Ok(index) => match purpose {
                Purpose::Focus => self.choose(index),
                Purpose::Order(order) => self.order(index, *order),
                Purpose::Tell(_) => {}
            },
            Err(Unclear::Nothing) => self.say(format_args!("no guest then")),
            Err(Unclear::NoGuest) => {
                self.say(format_args!("there is no guest {answer}; d lists them"));
            }
            Err(Unclear::Several(count)) => self.say(format_args!(
                "{count} guests begin with {answer}; d lists them"
            )),
        }
    }

    /// The guest called `answer`, or of this number, or the only one whose name begins so.
    fn meant(&self, answer: &str, purpose: Purpose) -> Result<usize, Unclear> {
        if answer.is_empty() {
            let last = self.last_guest.filter(|_| purpose != Purpose::Focus);
            return last.ok_or(Unclear::Nothing);
        }
        let of = |index: usize| {
            self.clients
                .get(index)
                .map_or("", |guest| guest.name.as_str())
        };
        if let Some(index) = self.guests().find(|index| of(*index) == answer) {
            return Ok(index);
        }
        let mut begin = self.guests().filter(|index| of(*index).starts_with(answer));
        if let Some(first) = begin.next() {
            return match begin.count() {
                0 => Ok(first),
                others => Err(Unclear::Several(others.saturating_add(1))),
            };
        }
        let number = answer.parse::<usize>().ok();
        let at = number.and_then(|number| number.checked_sub(1));
        at.and_then(|at| self.guests().nth(at))
            .ok_or(Unclear::NoGuest)
    }

    /// Indices of the guests, in the order of their numbers.
    pub(crate) fn guests(&self) -> impl Iterator<Item = usize> + '_ {
        let clients = self.clients.iter().enumerate();
        let guests = clients.filter(|(_, client)| client.role == Role::Guest);
        guests.map(|(index, _)| index)
    }

    /// What stands before client `index` in a list: whether it had the focus last, and its key.
    pub(crate) fn mark(&self, index: usize) -> (char, char) {
        let mark = if self.last_guest == Some(index) {
            '>'
        } else {
            ' '
        };
        let number = self.guests().position(|guest| guest == index);
        let digit = number.and_then(|at| char::from_digit(u32::try_from(at + 1).ok()?, 10));
        (mark, digit.unwrap_or(' '))
    }
}
