//! What several cores are worth: two Linux guests, the first with two vCPUs, each vCPU on a core of
//! its own (`domains/two-linux.dts`).
//!
//! Cores of a machine that counts instructions run in turn, so this one does not count: what is
//! measured is the time of the host. It has no assertion and is no test. Every figure is the best
//! of a few, and a ratio of figures of one machine.

use std::fs;
use std::time::Duration;

use regex::Regex;

use crate::machine::{Failure, Machine};
use crate::scenes::lab::{Lab, PATIENCE};
use crate::scenes::shell::ask;

/// How often each figure is taken.
pub const ROUNDS: usize = 5;
/// About how long the shortest of them takes.
const AIM: Duration = Duration::from_secs(3);
const GUESTS: [&str; 2] = ["linux1", "linux2"];
/// Rounds of the loop in the first guess at how many there are to be.
const FIRST: u64 = 50_000;

/// Best times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figures {
    /// A job in two parts, one after the other on one vCPU.
    pub one: Duration,
    /// The same, both parts at once.
    pub two: Duration,
    /// A part alone.
    pub alone: Duration,
    /// The same while the other guest computes.
    pub beside: Duration,
}

impl Figures {
    /// What is best of both.
    fn best(self, other: Self) -> Self {
        Self {
            one: self.one.min(other.one),
            two: self.two.min(other.two),
            alone: self.alone.min(other.alone),
            beside: self.beside.min(other.beside),
        }
    }

    /// A row of the table, in Markdown; [`HEAD`] is its head.
    #[must_use]
    pub fn row(&self, config: &str, load: &str) -> String {
        let of = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64().max(0.01);
        let slower = 100.0 * (of(self.beside, self.alone) - 1.0);
        format!(
            "| {config} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {slower:.0} % | {load} |",
            self.one.as_secs_f64(),
            self.two.as_secs_f64(),
            of(self.two, self.one),
            self.alone.as_secs_f64(),
            self.beside.as_secs_f64(),
        )
    }
}

/// The head of the table.
pub const HEAD: &str = "\
| configuration | job on one vCPU, s | on two, s | ratio | part alone, s | beside a busy guest, s | slower by | load of the host |
|---|--:|--:|--:|--:|--:|--:|---|";

/// Boots `config` and takes the figures.
///
/// # Errors
/// The guests do not boot or do not answer.
pub fn figures(lab: &Lab, config: &str) -> Result<Figures, Failure> {
    let name = format!("cores-{config}");
    let two = ("cpus = <1>;", "cpus = <2>;");
    let text = fs::read_to_string(lab.domains_path("two-linux.dts"))?;
    let file = lab.written(&name, &text.replacen(two.0, two.1, 1))?;
    let mut machine = lab.boot_file(config, &file, &name)?;
    for guest in GUESTS {
        machine.expect(&format!("zazen-guest: user space on {guest} "), PATIENCE)?;
    }
    let [first, second] = GUESTS;
    let part = |rounds: u64| format!("(i=0; while [ $i -lt {rounds} ]; do i=$((i + 1)); done)");
    let short = took(&mut machine, first, &part(FIRST))?;
    let rounds = AIM.as_millis() / short.as_millis().max(10) * u128::from(FIRST);
    let part = part(u64::try_from(rounds).unwrap_or(FIRST).max(FIRST));
    let mut best = None::<Figures>;
    for _ in 0..ROUNDS {
        let one = took(&mut machine, first, &format!("{part}; {part}"))?;
        let two = took(&mut machine, first, &format!("{part} & {part} & wait"))?;
        let alone = took(&mut machine, first, &part)?;
        ask(
            &mut machine,
            second,
            "(while :; do :; done) & burner=$!; sleep 1",
        )?;
        let beside = took(&mut machine, first, &part)?;
        ask(&mut machine, second, "kill $burner; wait $burner")?;
        let figures = Figures {
            one,
            two,
            alone,
            beside,
        };
        best = Some(best.map_or(figures, |best| best.best(figures)));
    }
    best.ok_or_else(|| Failure("no rounds".into()))
}

/// How long `guest` works on `command`, by its own clock, in hundredths of a second.
fn took(machine: &mut Machine, guest: &str, command: &str) -> Result<Duration, Failure> {
    let clock = "cut -d ' ' -f 1 /proc/uptime";
    let said = ask(
        machine,
        guest,
        &format!("a=$({clock}); {command}; echo \"to\"\"ok $a $({clock}).\""),
    )?;
    let line = Regex::new(r"took (\d+)\.(\d\d) (\d+)\.(\d\d)\.");
    let line = line.map_err(|error| Failure(error.to_string()))?;
    let found = line.captures(&said).ok_or_else(|| Failure(said.clone()))?;
    let number = |n: usize| found[n].parse::<u64>().map_err(|_| Failure(said.clone()));
    let (from, to) = (100 * number(1)? + number(2)?, 100 * number(3)? + number(4)?);
    Ok(Duration::from_millis(10 * to.saturating_sub(from)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_ratios_of_the_best() {
        let ms = Duration::from_millis;
        let figures = |one, two, alone, beside| Figures {
            one: ms(one),
            two: ms(two),
            alone: ms(alone),
            beside: ms(beside),
        };
        let best = figures(4000, 3000, 2100, 2200).best(figures(5000, 2000, 2000, 2500));
        assert_eq!(best, figures(4000, 2000, 2000, 2200));
        assert_eq!(
            best.row("el2", "0.10"),
            "| el2 | 4.00 | 2.00 | 0.50 | 2.00 | 2.20 | 10 % | 0.10 |"
        );
    }
}
