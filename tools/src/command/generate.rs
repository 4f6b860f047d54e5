//! `zazen generate`.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::{DomainsFile, Outcome, say};
use crate::generate::{system, written};
use crate::limits::MAX_PRIORITY;
use crate::load::{LoadError, Missing, describe, load_with};

/// Write the Microkit system description (system.xml) for a domains file
///
/// Protection domains, priorities, channels, memory regions and one virtual machine for each
/// domain, with comments. The description depends on the domains file and the board, and not on
/// what is in the kernels and RAM disks: these need not be at hand. Untyped memory, CNodes and
/// VSpaces are not in it, because Microkit has no words for them; the image builder adds them.
///
/// What Microkit or Zazen's design would refuse is refused here, with the reason: more than 63
/// protection domains, more than 62 channels and interrupts of one, calls that do not go to a
/// strictly higher priority.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER)]
pub struct Arguments {
    #[command(flatten)]
    domains: DomainsFile,
    /// Where to write it; standard output if not given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Give a protection domain another priority, 0 to 254; may be given several times
    ///
    /// Calls go to strictly higher priorities: VMM, console, timer_server, dt_server, memory_server
    /// in this order. A change that breaks this is refused.
    #[arg(long = "priority", value_name = "NAME=NUMBER", value_parser = priority)]
    priorities: Vec<(String, u8)>,
}

const AFTER: &str = "\
Exit status:
  0  written
  1  the domains file has mistakes, or the system would break a limit
  2  wrong arguments, or a file cannot be read or written

Examples:
  zazen generate domains/two-linux.dts -o system.xml
  zazen generate my.dts --priority console=225

Files:
  system.xml  that of domains/two-linux.dts; a test keeps it fresh

See also:
  zazen-check(1), the Microkit manual (system description file)";

fn priority(text: &str) -> Result<(String, u8), String> {
    let (name, number) = text.split_once('=').ok_or("write NAME=NUMBER")?;
    match number.parse() {
        Ok(number) if number <= MAX_PRIORITY => Ok((name.to_owned(), number)),
        _ => Err(format!("a priority is a number from 0 to {MAX_PRIORITY}")),
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let DomainsFile {
        file, files, board, ..
    } = &arguments.domains;
    // The description names the files but does not depend on what is in them.
    let loaded = match load_with(file, files, arguments.domains.target(), Missing::Assume) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprint!("{error}");
            return match error {
                LoadError::Source(_) => Outcome::Failed,
                LoadError::Mistakes { .. } => Outcome::Bad,
            };
        }
    };
    eprint!("{}", describe(&loaded.config.warnings, &loaded.locations));
    for name in &loaded.missing {
        eprintln!("note: the file \"{name}\" is not at hand; the image builder will need it");
    }
    let mut built = system(&loaded.config, board);
    for (name, number) in &arguments.priorities {
        let Some(pd) = built.pds.iter_mut().find(|pd| pd.name == *name) else {
            let names: Vec<&str> = built.pds.iter().map(|pd| pd.name.as_str()).collect();
            eprintln!(
                "error: there is no protection domain {name}; there are {}",
                names.join(", ")
            );
            return Outcome::Failed;
        };
        pd.priority = *number;
    }
    let xml = match written(&built, &loaded.config, board) {
        Ok(xml) => xml,
        Err(error) => {
            eprint!("{error}");
            return Outcome::Bad;
        }
    };
    let Some(path) = &arguments.output else {
        say(&xml);
        return Outcome::Good;
    };
    match fs::write(path, xml) {
        Ok(()) => Outcome::Good,
        Err(error) => {
            eprintln!("error: {} cannot be written: {error}", path.display());
            Outcome::Failed
        }
    }
}
