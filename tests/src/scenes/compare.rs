//! The two hosts against each other: the same guest must see the same on both, but for time.

use regex::Regex;

use crate::machine::{Failure, WITHDRAWN};
use crate::scenes::lab::{EL2, Lab, PATIENCE};
use crate::suite::Suite;

/// The configuration of Microkit that is compared.
const MICROKIT: &str = "release";

/// Runs the comparisons; they need both hosts.
pub fn run(suite: &mut Suite, lab: &Lab) {
    let probes = ["static", "heap"].map(|domain| {
        let end = format!(r"^{domain}: probe: done .*$");
        (
            format!("compare/probe-{domain}-memory"),
            "abi.dts",
            domain,
            end,
        )
    });
    let linux = ["linux1", "linux2"].map(|domain| {
        let end = format!(r"^{domain}: zazen-guest: user space .*$");
        (
            format!("compare/{domain}-boots-the-same"),
            "two-linux.dts",
            domain,
            end,
        )
    });
    for (name, domains, guest, end) in probes.into_iter().chain(linux) {
        if !suite.wants(std::slice::from_ref(&name)) {
            continue;
        }
        suite.run(&name, || {
            let [here, there] =
                [EL2, MICROKIT].map(|config| seen(lab, config, domains, guest, &end));
            same(&here?, &there?)
        });
    }
}

/// The lines of `guest` on `domains` until `end`, without what differs from run to run.
fn seen(
    lab: &Lab,
    config: &str,
    domains: &str,
    guest: &str,
    end: &str,
) -> Result<Vec<String>, Failure> {
    let machine = lab.boot(config, domains, &format!("compare-{guest}-{config}"))?;
    // The whole line, not what has come of it so far.
    machine.expect(&format!("{end}\n"), PATIENCE)?;
    let all = machine.seen();
    let prefix = format!("{guest}: ");
    let last = Regex::new(&format!("(?m){end}")).map_err(|error| Failure(error.to_string()))?;
    let own: Vec<&str> = all
        .lines()
        .filter(|line| line.starts_with(&prefix))
        .collect();
    let mut lines = Vec::new();
    for line in whole(&own) {
        lines.extend(timeless(line));
        if last.is_match(line) {
            break;
        }
    }
    Ok(lines)
}

/// The lines of a guest without those that came again: where the guest paused within one, the
/// console may have put another's line there and shown it anew (docs/console.md). When a guest
/// pauses is chance.
fn whole<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let next = lines.iter().skip(1).map(Some).chain([None]);
    let pairs = lines.iter().zip(next);
    let begins = |line: &&str, next: Option<&&str>| {
        let withdrawn = line.strip_suffix(WITHDRAWN.trim_end());
        let shown = withdrawn.unwrap_or(line);
        // One that was withdrawn may have been whole but for its end.
        let longer = |next: &str| withdrawn.is_some() || next.len() > shown.len();
        next.is_some_and(|next| longer(next) && next.starts_with(shown))
    };
    let kept = pairs.filter(|(line, next)| !begins(line, *next));
    kept.map(|(line, _)| *line).collect()
}

/// `line` without what time and chance put into it; nothing where it is all of that.
fn timeless(line: &str) -> Option<String> {
    // When there are enough random numbers is chance, and whether the guest got a seed to move its
    // kernel by; /init prints the counter.
    const CHANCE: [&str; 4] = ["random: ", "zazen-boot: ", "KASLR", "page table isolation"];
    // What Linux reads from identification registers, which seL4 does not let a VMM answer:
    // SUPPORT.md has the row.
    const IDENTIFICATION: [&str; 2] = ["hw-breakpoint: found", "detected: 32-bit EL1 Support"];
    if CHANCE
        .iter()
        .chain(&IDENTIFICATION)
        .any(|text| line.contains(text))
    {
        return None;
    }
    // Time stamps, durations, addresses of the kernel's own that are chosen at random.
    let patterns = [
        (r"\[ *\d+\.\d+\] ", ""),
        (r"audit\(\d+\.\d+:", "audit(T:"),
        (r"\d+ ?(usecs|ms|ns)\b", "N $1"),
        (r"0x[0-9a-f]{16}|\b[0-9a-f]{16}\b", "A"),
    ];
    let mut line = line.to_owned();
    for (pattern, with) in patterns {
        // The patterns are constants.
        line = Regex::new(pattern)
            .ok()?
            .replace_all(&line, with)
            .into_owned();
    }
    Some(line)
}

/// Whether both saw the same lines, each as often; the failure shows the first differences. Their
/// order is left out, because what a kernel starts in parallel ends when it does.
fn same(here: &[String], there: &[String]) -> Result<(), Failure> {
    if here.is_empty() {
        return Err(Failure("the guest said nothing".into()));
    }
    let lonely = |these: &[String], others: &[String], host: &str| -> Vec<String> {
        let missing = these.iter().filter(|line| !others.contains(line));
        missing
            .take(5)
            .map(|line| format!("only on {host}: {line}"))
            .collect()
    };
    let sorted = |these: &[String]| {
        let mut these = these.to_vec();
        these.sort_unstable();
        these
    };
    if sorted(here) == sorted(there) {
        return Ok(());
    }
    let mut differences = lonely(here, there, EL2);
    differences.extend(lonely(there, here, "microkit"));
    differences.push(format!(
        "{} lines on {EL2}, {} on microkit",
        here.len(),
        there.len()
    ));
    Err(Failure(format!(
        "the hosts differ:\n      {}",
        differences.join("\n      ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().filter_map(|line| timeless(line)).collect()
    }

    #[test]
    fn a_line_that_came_again_is_one() {
        let seen = [
            "a: ha",
            "a: hal\x1b[K",
            "a: half",
            "a: half",
            "a: all\x1b[K",
            "a: all",
            "a: other\x1b[K",
        ];
        assert_eq!(
            whole(&seen),
            ["a: half", "a: half", "a: all", "a: other\x1b[K"]
        );
        assert_eq!(whole(&[]), [""; 0]);
    }

    #[test]
    fn time_is_no_difference_and_all_else_is() {
        let here = lines(&[
            "a: [    0.100000] Xen 4.22 found",
            "a: random: crng init done",
            "a: took 12 usecs",
        ]);
        let there = lines(&["a: [   10.123456] Xen 4.22 found", "a: took 7 usecs"]);
        assert_eq!(here, ["a: Xen 4.22 found", "a: took N usecs"]);
        assert!(same(&here, &there).is_ok());
        let other = lines(&["a: [    0.1] Xen 4.21 found", "a: took 7 usecs"]);
        let failure = same(&here, &other).unwrap_err().0;
        assert!(
            failure.contains("only on el2: a: Xen 4.22")
                && failure.contains("only on microkit: a: Xen 4.21"),
            "{failure}"
        );
        assert!(same(&here, &there[..1]).is_err() && same(&[], &[]).is_err());
        let twice = lines(&["a: b", "a: b", "a: c"]);
        let once = lines(&["a: b", "a: c", "a: c"]);
        assert!(same(&twice, &once).is_err(), "how often counts too");
    }
}
