//! What all ports have counted, on the console, at the pace of the console.

use core::fmt::Write as _;

use console_api::{ConsolePort, LOG_LINE_MAX, Logger};
use heapless::String;
use topology::console_key;

use crate::port::{Counters, Dropped};
use crate::server::Server;

/// Typed bytes read in one call. More than that is somebody leaning on the keyboard.
const KEYS_MAX: usize = 64;

/// A line of the log.
type Line = String<LOG_LINE_MAX>;

/// A report in progress, or none.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Report {
    next: Option<Row>,
}

/// The next line of a report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Row {
    Head,
    /// What port of this number sent and received.
    Port(usize),
    /// What was dropped of it.
    Dropped(usize),
}

impl Report {
    /// To be called when the console sends a notification: reads what was typed for the server, and
    /// goes on with the report until the console has no more room or all is said. It never waits,
    /// and the room of the console's ring bounds what it writes. `name` names a guest.
    pub fn on_console<'n, P: ConsolePort, D>(
        &mut self,
        server: &Server<'_, D>,
        name: &dyn Fn(usize) -> &'n str,
        log: &mut Logger<P>,
    ) {
        let mut keys = [0; KEYS_MAX];
        let count = log.port().read(&mut keys);
        let asked = keys.iter().take(count).any(|key| *key == console_key::NETS);
        if asked && self.next.is_none() {
            self.next = Some(Row::Head);
        }
        let mut more = log.resume();
        while more && let Some(row) = self.next {
            let (line, next) = row.line(server, name);
            self.next = next;
            if !line.is_empty() {
                more = log.insist(format_args!("{line}"));
            }
        }
    }
}

impl Row {
    /// The row in words, empty where there is nothing to say, and the one behind it.
    fn line<'n, D>(
        self,
        server: &Server<'_, D>,
        name: &dyn Fn(usize) -> &'n str,
    ) -> (Line, Option<Self>) {
        let mut line = Line::new();
        // A line that has no room for the largest numbers is cut off.
        let (next, _) = match self {
            Self::Head => {
                let [sent, received, bytes] = ["frames out", "frames in", "bytes"];
                let head = write!(
                    line,
                    "{:<18} {sent:>10} {bytes:>11} {received:>10} {bytes:>11}",
                    "interface"
                );
                (Some(Self::Port(0)), head)
            }
            Self::Port(index) => match server.port(index) {
                Some((guest, nic, counters)) => {
                    let said = write!(
                        line,
                        "{:<16} {nic} {:>10} {:>11} {:>10} {:>11}",
                        name(guest),
                        counters.sent,
                        counters.sent_bytes,
                        counters.received,
                        counters.received_bytes
                    );
                    (Some(Self::Dropped(index)), said)
                }
                None => (None, Ok(())),
            },
            Self::Dropped(index) => {
                let counters = server.port(index).map(|(_, _, counters)| counters);
                let said = counters.map_or(Ok(()), |counters| drops(&mut line, &counters));
                (Some(Self::Port(index.saturating_add(1))), said)
            }
        };
        (line, next)
    }
}

/// What was dropped, by its cause; nothing where nothing was.
fn drops(line: &mut Line, counters: &Counters) -> core::fmt::Result {
    let counts = Dropped::ALL.map(|why| (why, counters.dropped(why)));
    let mut before = "  dropped:";
    for (why, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
        write!(line, "{before} {count} {}", why.words())?;
        before = ",";
    }
    Ok(())
}
