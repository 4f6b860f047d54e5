//! `zazen explain`.

use std::io::{Read, stdin};
use std::path::PathBuf;

use clap::Args;

use super::{Outcome, boards, say};
use crate::board::{Board, DEFAULT};
use crate::explain::{explain, explain_log, overview};
use crate::load::{Missing, load_with};

/// Say in words what a hypercall, an error code, a rule or a line of the log means
///
/// Everything comes from the tables that the code itself uses. A line of the log is read for who it
/// was (a protection domain such as vmm_linux1), for an address, and for a syndrome (esr, fsr); the
/// address is looked up in the address space of the protection domain, or in the guest's physical
/// memory map.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER)]
pub struct Arguments {
    /// What to explain; `-` reads a log from standard input and explains its lines about faults.
    /// Nothing: what can be explained
    #[arg(value_name = "WHAT", allow_negative_numbers = true)]
    what: Vec<String>,
    /// The domains file of the system that said it: names its guests and their memory
    #[arg(long, value_name = "FILE")]
    domains: Option<PathBuf>,
    /// The board that it ran on
    #[arg(long, default_value = DEFAULT.name, value_parser = boards())]
    board: &'static Board,
}

const AFTER: &str = "\
Exit status:
  0  explained
  1  nothing is known about it; names like it are proposed
  2  wrong arguments, or the domains file cannot be used

Examples:
  zazen explain memory_op            a hypercall with all its operations
  zazen explain memory_op 6          one operation; also: populate_physmap
  zazen explain -22                  an error; also: EINVAL, GNTST_bad_domain
  zazen explain zazen::static::overlap
  zazen explain xen,enhanced         a property of a domains file
  zazen explain 'vmm_linux1 stopped: read of address 0x4041000008'
  zazen explain --domains domains/two-linux.dts - < run.log

See also:
  zazen-check(1), docs/domains.md, SUPPORT.md";

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let loaded = match &arguments.domains {
        None => None,
        Some(file) => match load_with(file, &[], arguments.board, Missing::Assume) {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                eprint!("{error}");
                return Outcome::Failed;
            }
        },
    };
    let config = loaded.as_ref().map(|loaded| &loaded.config);
    let what = arguments.what.join(" ");
    match what.trim() {
        "" => {
            say(&overview());
            return Outcome::Good;
        }
        "-" => {
            let mut log = Vec::new();
            if let Err(error) = stdin().read_to_end(&mut log) {
                eprintln!("error: standard input cannot be read: {error}");
                return Outcome::Failed;
            }
            let text = explain_log(&String::from_utf8_lossy(&log), config);
            say(&text);
            if text.is_empty() {
                eprintln!("no line of the log is about a fault");
                return Outcome::Bad;
            }
            return Outcome::Good;
        }
        _ => {}
    }
    match explain(&what, config) {
        Ok(text) => {
            say(&text);
            Outcome::Good
        }
        Err(proposals) => {
            eprintln!("error: nothing is known about \"{what}\"");
            match proposals.as_slice() {
                [] => eprintln!("`zazen explain` alone says what can be explained"),
                names => eprintln!("did you mean: {}?", names.join(", ")),
            }
            Outcome::Bad
        }
    }
}
