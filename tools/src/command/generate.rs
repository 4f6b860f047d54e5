//! `zazen generate`.

use std::fs;
use std::path::PathBuf;

use clap::Args;

use super::{DomainsFile, Outcome};
use crate::generate::system_xml;
use crate::load::{LoadError, Missing, describe, load_with};

/// Write the Microkit system description (system.xml) for a domains file
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    domains: DomainsFile,
    /// Where to write it; standard output if not given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let DomainsFile { file, files, board } = &arguments.domains;
    // The description names the files but does not depend on what is in them.
    let loaded = match load_with(file, files, board, Missing::Assume) {
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
    let xml = match system_xml(&loaded.config, board) {
        Ok(xml) => xml,
        Err(error) => {
            eprint!("{error}");
            return Outcome::Bad;
        }
    };
    let Some(path) = &arguments.output else {
        print!("{xml}");
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
