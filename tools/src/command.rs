//! The command line: one module for each subcommand, with its arguments and a `run`.

pub mod check;
pub mod explain;
pub mod generate;
pub mod inspect;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::board::{BOARDS, Board, DEFAULT};

/// Checks domains files, generates the Microkit system description for them, and explains what Zazen says.
#[derive(Parser, Debug)]
#[command(name = "zazen", version)]
pub struct Zazen {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Check(check::Arguments),
    Explain(explain::Arguments),
    Generate(generate::Arguments),
    Inspect(inspect::Arguments),
}

/// How a command ended; scripts see it as the exit status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Status 0: done, nothing wrong.
    Good,
    /// Status 1: done, and what was looked at has mistakes.
    Bad,
    /// Status 2: not done, because of a file or a tool that cannot be used (clap ends with 2 for wrong arguments, too).
    Failed,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Good => 0,
            Outcome::Bad => 1,
            Outcome::Failed => 2,
        })
    }
}

impl Zazen {
    /// Does what the arguments say.
    pub fn run(self) -> Outcome {
        match self.command {
            Command::Check(arguments) => check::run(&arguments),
            Command::Explain(arguments) => explain::run(&arguments),
            Command::Generate(arguments) => generate::run(&arguments),
            Command::Inspect(arguments) => inspect::run(&arguments),
        }
    }
}

/// Arguments of every command that reads a domains file.
#[derive(Args, Debug)]
pub struct DomainsFile {
    /// The domains file, .dts or .dtb
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where to look for kernels and RAM disks that are not next to the domains file; may be given several times
    #[arg(long = "files", value_name = "DIR")]
    pub files: Vec<PathBuf>,
    /// The board that it is for
    #[arg(long, default_value = DEFAULT.name, value_parser = board)]
    pub board: &'static Board,
}

fn board(name: &str) -> Result<&'static Board, String> {
    let known: Vec<&str> = BOARDS.iter().map(|board| board.name).collect();
    Board::by_name(name).ok_or_else(|| format!("no such board; known are: {}", known.join(", ")))
}
