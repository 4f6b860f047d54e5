//! The command line: one module for each subcommand, with its arguments and a `run`.

pub mod check;
pub mod completions;
pub mod explain;
pub mod generate;
pub mod inspect;
pub mod man;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::board::{BOARDS, Board, DEFAULT, Target};

/// Checks domains files, generates the Microkit system description for them, and explains what
/// Zazen says.
///
/// Zazen is a hypervisor with Xen's interfaces for AArch64 guests, on the seL4 Microkit. A domains
/// file says which guests a system has: a device tree in Xen's dom0less binding, as source (.dts)
/// or compiled (.dtb). This program reads it on the host; what it knows of the binding is the code
/// that the system runs at boot.
#[derive(Parser, Debug)]
#[command(name = "zazen", version, max_term_width = 100, after_long_help = AFTER)]
pub struct Zazen {
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Exit status:
  0  done, and nothing is wrong
  1  done, and what was looked at has mistakes, or is not known
  2  not done: wrong arguments, or a file or tool that cannot be used

Environment:
  NO_COLOR  if set and not empty, no colours

Files:
  docs/domains.md  every property of a domains file, every rule with its code
  docs/check.md    the JSON that `zazen check --json` writes
  domains/         domains files to start from

See also:
  ./build.sh --help (images and runs), dtc(1),
  https://docs.sel4.systems/projects/microkit/";

#[derive(Subcommand, Debug)]
enum Command {
    Check(check::Arguments),
    Explain(explain::Arguments),
    Generate(generate::Arguments),
    Inspect(inspect::Arguments),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// Writes `text` to standard output. A reader that closes the pipe is no failure.
fn say(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        eprintln!("error: standard output cannot be written: {error}");
    }
}

/// How a command ended; scripts see it as the exit status.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Status 0: done, nothing wrong.
    Good,
    /// Status 1: done, and what was looked at has mistakes.
    Bad,
    /// Status 2: not done, because of a file or a tool that cannot be used (clap ends with 2 for
    /// wrong arguments, too).
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
            Command::Completions(arguments) => completions::run(&arguments),
            Command::Man(arguments) => man::run(&arguments),
        }
    }
}

/// Arguments of every command that reads a domains file.
#[derive(Args, Debug)]
pub struct DomainsFile {
    /// The domains file, .dts or .dtb; check reads standard input where it is -
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where to look for kernels and RAM disks that are not next to the domains file; may be given
    /// several times
    #[arg(long = "files", value_name = "DIR")]
    pub files: Vec<PathBuf>,
    /// The board that it is for
    #[arg(long, default_value = DEFAULT.name, value_parser = boards())]
    pub board: &'static Board,
    /// Cores that the kernel uses: 4 for the smp-debug and smp-release configurations
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    pub cores: u8,
}

impl DomainsFile {
    /// What it is for.
    fn target(&self) -> Target {
        let (board, cores) = (self.board, self.cores);
        Target { board, cores }
    }
}

/// Takes the name of a board; shells complete it.
fn boards() -> impl TypedValueParser<Value = &'static Board> {
    let names = PossibleValuesParser::new(BOARDS.iter().map(|board| board.name));
    names.try_map(|name| Board::by_name(&name).ok_or("no such board"))
}
