//! `zazen check`.

use std::io::{IsTerminal, stderr};

use clap::Args;

use super::{DomainsFile, Outcome, say};
use crate::check::{Report, Severity, Style, check};

/// Columns where the width of the terminal is not known.
const WIDTH: usize = 100;

/// Tell every mistake in a domains file
///
/// Every mistake at once, each with its place in the source, what it collides with by name, the
/// rule with its code, and where there is one the change that mends it. The file is checked against
/// Xen's dom0less binding, against what Zazen supports of it, and against the board: its RAM, its
/// devices, the RAM that seL4 keeps. Errors are what keeps a system from starting, warnings what a
/// guest may not have meant; notes are worth knowing.
///
/// Without errors, standard output lists the domains.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER)]
pub struct Arguments {
    #[command(flatten)]
    domains: DomainsFile,
    /// Write one JSON object to standard output, for editors and scripts
    ///
    /// Its fields are in docs/check.md. Nothing else is written there.
    #[arg(long)]
    json: bool,
    /// End with status 1 if there are warnings, too
    #[arg(long)]
    deny_warnings: bool,
    /// Write the file with all proposed changes made to standard output
    ///
    /// The file itself stays as it is. Read the difference before you use it: a proposal mends the
    /// mistake, but only you know what you meant.
    #[arg(long, conflicts_with = "json")]
    mend: bool,
    /// Write the files that the system is made of to standard output, one a line
    ///
    /// The file itself, those that it includes, and those of its modules where they were found:
    /// what a build has to look at.
    #[arg(long, conflicts_with_all = ["json", "mend"])]
    list_files: bool,
}

const AFTER: &str = "\
Exit status:
  0  no errors (warnings and notes are no reason to stop)
  1  errors, or with --deny-warnings warnings
  2  wrong arguments, or the file cannot be read, or dtc is missing

Examples:
  zazen check domains/two-linux.dts --files build/guest/files
  zazen check my.dts --json | jq -r '.diagnostics[].message'
  zazen check my.dts --mend > mended.dts
  cpp -nostdinc -undef -P -x assembler-with-cpp my.dts | zazen check -
  zazen explain zazen::static::overlap

Files:
  docs/domains.md  every property and every rule
  docs/check.md    the JSON, field by field

See also:
  zazen-explain(1), zazen-generate(1), dtc(1)";

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let DomainsFile { file, files, .. } = &arguments.domains;
    let mut report = check(file, files, arguments.domains.target());
    if arguments.json {
        match report.json() {
            Ok(text) => say(&text),
            Err(error) => {
                eprintln!("error: {error}");
                return Outcome::Failed;
            }
        }
    } else {
        eprint!("{}", report.show(style()));
        if arguments.mend {
            let elsewhere = report.elsewhere();
            if elsewhere > 0 {
                eprintln!(
                    "note: {elsewhere} of the changes are of included files, which --mend leaves alone"
                );
            }
            match report.mended_whole(files) {
                Some((text, after)) => {
                    say(&text);
                    let left = after.count(Severity::Error);
                    if left > 0 {
                        eprintln!(
                            "note: what --mend writes has {left} error{} that only you can mend",
                            if left == 1 { "" } else { "s" }
                        );
                    }
                }
                None => {
                    eprintln!("error: {} has no source to mend", file.display());
                    return Outcome::Failed;
                }
            }
        } else if arguments.list_files {
            let names = report
                .inputs
                .iter()
                .map(|file| format!("{}\n", file.display()));
            say(&names.collect::<String>());
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
        say(&format!(
            "domain {}: {}, {} MiB from {source}\n",
            record.domid,
            record.name,
            domain.ram() >> 20
        ));
    }
}
