//! `zazen check`.

use std::io::{IsTerminal, stderr};

use clap::Args;

use super::{DomainsFile, Outcome};
use crate::check::{Report, Severity, Style, check};

/// Columns where the width of the terminal is not known.
const WIDTH: usize = 100;

/// Tell every mistake in a domains file
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    domains: DomainsFile,
    /// Write one JSON object to standard output, for editors and scripts
    #[arg(long)]
    json: bool,
    /// End with status 1 if there are warnings, too
    #[arg(long)]
    deny_warnings: bool,
    /// Write the file with all proposed changes made to standard output, and change nothing
    #[arg(long, conflicts_with = "json")]
    mend: bool,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let DomainsFile { file, files, board } = &arguments.domains;
    let mut report = check(file, files, board);
    if arguments.json {
        match report.json() {
            Ok(text) => print!("{text}"),
            Err(error) => {
                eprintln!("error: {error}");
                return Outcome::Failed;
            }
        }
    } else {
        eprint!("{}", report.show(style()));
        if arguments.mend {
            match report.mended() {
                Some(text) => print!("{text}"),
                None => {
                    eprintln!("error: {} has no source to mend", file.display());
                    return Outcome::Failed;
                }
            }
        } else {
            domains(&report);
        }
    }
    let denied = arguments.deny_warnings && report.count(Severity::Warning) > 0;
    if !report.readable {
        Outcome::Failed
    } else if report.count(Severity::Error) > 0 || denied {
        Outcome::Bad
    } else {
        Outcome::Good
    }
}

/// Colours and width of the terminal, if standard error is one.
fn style() -> Style {
    let terminal = stderr().is_terminal();
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    Style {
        colour: terminal && !plain,
        width: WIDTH,
    }
}

fn domains(report: &Report) {
    for domain in report.config.iter().flat_map(|config| &config.domains) {
        let record = &domain.record;
        let source = if record.is_static {
            "static memory"
        } else {
            "heap"
        };
        println!(
            "domain {}: {}, {} MiB from {source}",
            record.domid,
            record.name,
            domain.ram() >> 20
        );
    }
}
