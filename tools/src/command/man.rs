//! `zazen man`.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::{Outcome, Zazen};

/// Write manual pages, one for each command, into a directory
#[derive(Args, Debug)]
#[command(after_long_help = AFTER)]
pub struct Arguments {
    /// The directory; it is made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

const AFTER: &str = "\
Examples:
  zazen man ~/.local/share/man/man1 && man zazen-check";

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let directory = &arguments.directory;
    let written = fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Zazen::command(), directory));
    match written {
        Ok(()) => Outcome::Good,
        Err(error) => {
            eprintln!(
                "error: manual pages cannot be written to {}: {error}",
                directory.display()
            );
            Outcome::Failed
        }
    }
}
