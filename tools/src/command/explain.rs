//! `zazen explain`.

use std::io::{Read, stdin};
use std::path::PathBuf;

use clap::Args;

use super::{Outcome, board};
use crate::board::{Board, DEFAULT};
use crate::explain::{explain, explain_log, overview};
use crate::load::{Missing, load_with};

/// Say in words what a hypercall, an error code, a rule or a line of the log means
#[derive(Args, Debug)]
pub struct Arguments {
    /// What to explain; `-` reads a log from standard input and explains its lines about faults. Nothing: what can be explained
    #[arg(value_name = "WHAT", allow_negative_numbers = true)]
    what: Vec<String>,
    /// The domains file of the system that said it: names its guests and their memory
    #[arg(long, value_name = "FILE")]
    domains: Option<PathBuf>,
    /// The board that it ran on
    #[arg(long, default_value = DEFAULT.name, value_parser = board)]
    board: &'static Board,
}

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
    match what.as_str() {
        "" => {
            print!("{}", overview());
            return Outcome::Good;
        }
        "-" => {
            let mut log = Vec::new();
            if let Err(error) = stdin().read_to_end(&mut log) {
                eprintln!("error: standard input cannot be read: {error}");
                return Outcome::Failed;
            }
            let text = explain_log(&String::from_utf8_lossy(&log), config);
            print!("{text}");
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
            print!("{text}");
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
