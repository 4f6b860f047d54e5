//! What somebody at the console's monitor wants of the store: that guests shut down by themselves
//! or give memory back, and to see what is in the tree.
#![expect(
    clippy::result_large_err,
    reason = "either is a line of the console, for a person who waits for it"
)]

use core::fmt::{self, Write as _};

use console_api::{ConsolePort, LOG_LINE_MAX, Logger};
use heapless::String;

use crate::path::{Path, base, canonical, parent};
use crate::server::Server;
use crate::store::{Access, Store};
use crate::who::Who;

/// Typed bytes read in one call.
const KEYS_MAX: usize = 64;
/// Longest command.
const LINE_MAX: usize = 120;

/// A line of the log.
type Line = String<LOG_LINE_MAX>;

/// A command that is being typed, and a listing that goes on.
pub(crate) struct Monitor {
    line: String<LINE_MAX>,
    /// Where the listing began.
    top: Path,
    /// The node that it says next; empty: there is none.
    next: Path,
}

impl Monitor {
    pub(crate) const fn new() -> Self {
        Self {
            line: String::new(),
            top: Path::new(),
            next: Path::new(),
        }
    }
}

/// Puts bytes out as they can be shown; what does not fit is cut off.
fn show<'a>(line: &mut Line, bytes: impl Iterator<Item = &'a u8>) {
    let mut shown = bytes.flat_map(|byte| byte.escape_ascii());
    let _ = shown.try_for_each(|byte| line.push(char::from(byte)));
}

impl Store<'_> {
    /// The node behind `path` in a walk through all that is below `top`, parents first; false:
    /// there is none.
    fn walk_on(&self, top: &[u8], path: &mut Path) -> bool {
        if let Some(at) = self.tree.find(path)
            && self.tree.descend(at, path)
        {
            return true;
        }
        while path.len() > top.len() {
            let above = parent(path);
            let found = self.tree.find(above);
            let next = found.and_then(|at| self.tree.child_behind(at, base(path)));
            let above = above.len();
            match next {
                Some(name) => {
                    // A child's path is one that there is, so it fits.
                    path.truncate(above.max(1));
                    if above > 1 {
                        let _ = path.push(b'/');
                    }
                    return path.extend_from_slice(&name).is_ok();
                }
                None => path.truncate(above),
            }
        }
        false
    }
}

impl Server<'_> {
    /// To be called when the console sends a notification: does what was typed, and goes on with a
    /// listing until the console has no more room. A [turn](Server::turn) follows.
    pub fn on_console<P: ConsolePort>(&mut self, log: &mut Logger<P>) {
        let mut keys = [0; KEYS_MAX];
        let count = log.port().read(&mut keys);
        for key in keys.iter().take(count) {
            match key {
                b'\r' | b'\n' => {
                    let line = core::mem::take(&mut self.monitor.line);
                    self.monitor.next.clear();
                    // What the console has no room for, it can be asked again.
                    let _ = match self.obey(&line) {
                        Ok(done) => writeln!(log, "{done}"),
                        Err(why) => writeln!(log, "{why}"),
                    };
                }
                // What is too long means nothing, whatever its end is.
                key => drop(self.monitor.line.push(char::from(*key))),
            }
        }
        let mut more = log.resume();
        while more && !self.monitor.next.is_empty() {
            more = self.list(log);
        }
    }

    /// Says a node of the listing; whether there is room for another.
    fn list<P: ConsolePort>(&mut self, log: &mut Logger<P>) -> bool {
        let Monitor { top, next, .. } = &mut self.monitor;
        let store = &self.store;
        let node = store.tree.find(next);
        let node = node.and_then(|at| store.tree.pool.node(at));
        let mut line = Line::new();
        show(&mut line, next.iter());
        // As above.
        let _ = match node {
            Some(node) => {
                let _ = line.push_str(" = \"");
                show(&mut line, store.tree.pool.pieces(node.data).flatten());
                line.push('"')
            }
            None => line.push_str(" went while it was listed"),
        };
        if !store.walk_on(top, next) {
            next.clear();
        }
        log.insist(format_args!("{line}"))
    }

    /// Does what a line says, and says what it did, or why not.
    fn obey(&mut self, line: &str) -> Result<Line, Line> {
        let mut words = line.split_ascii_whitespace();
        let (order, what, number) = (words.next(), words.next(), words.next());
        match (order, what, number, words.next()) {
            (Some("ls"), what, None, None) => self.begin_list(what.unwrap_or("/")),
            (Some(order @ ("shutdown" | "reboot")), Some(guest), None, None) => {
                let (who, name) = self.guest_called(guest)?;
                let value = if order == "reboot" { order } else { "poweroff" };
                self.order(who, "control/shutdown", format_args!("{value}"))?;
                Ok(say(format_args!("{name} is asked for: {value}")))
            }
            (Some("mem-set"), Some(guest), Some(mib), None) => {
                let (who, name) = self.guest_called(guest)?;
                let most = self.facts(who).map_or(0, |facts| facts.most_kib >> 10);
                let mib = mib.parse::<u64>().ok();
                let mib = mib.filter(|mib| (1..=most).contains(mib));
                let mib = mib.ok_or_else(|| {
                    say(format_args!(
                        "{name} may have 1 to {most} MiB, a whole number"
                    ))
                })?;
                self.order(who, "memory/target", format_args!("{}", mib << 10))?;
                Ok(say(format_args!("{name} is asked to have {mib} MiB")))
            }
            _ => Err(say(format_args!(
                "shutdown GUEST, reboot GUEST, mem-set GUEST MIB, or ls PATH; a guest by its name or id"
            ))),
        }
    }

    fn begin_list(&mut self, name: &str) -> Result<Line, Line> {
        let path = canonical(Who::TOOLS, name.as_bytes(), false)
            .map_err(|_| say(format_args!("{name} is no path")))?;
        if self.store.look(Access::TOOLS, &path).is_err() {
            return Err(say(format_args!("there is no {name}")));
        }
        self.monitor.top.clone_from(&path);
        self.monitor.next = path;
        Ok(say(format_args!("what is in {name}:")))
    }

    /// The guest of this name or id that lives.
    fn guest_called(&self, word: &str) -> Result<(Who, Line), Line> {
        let id = word.parse::<u16>().ok();
        let mut guests = Who::all().filter(|who| who.is_guest());
        let found = guests.find_map(|who| {
            let facts = self.facts(who)?;
            let called = facts.name == word || id == Some(who.domid());
            called.then(|| (who, say(format_args!("{}", facts.name))))
        });
        found.ok_or_else(|| {
            say(format_args!(
                "there is no guest {word} that lives and has a store"
            ))
        })
    }

    /// Writes a node of a guest's, which is told.
    fn order(&mut self, who: Who, node: &str, value: fmt::Arguments<'_>) -> Result<(), Line> {
        self.store.tell_guest(who, node, value).map_err(|error| {
            say(format_args!(
                "{node} of domain {} could not be written: {error:?}",
                who.domid()
            ))
        })
    }
}

fn say(text: fmt::Arguments<'_>) -> Line {
    let mut line = Line::new();
    // What does not fit is cut off.
    let _ = line.write_fmt(text);
    line
}
