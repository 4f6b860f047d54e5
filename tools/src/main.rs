//! `zazen`: checks domains files and generates the Microkit system description.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use zazen_tools::board::{BOARDS, Board};
use zazen_tools::load::{Loaded, Missing, describe, load, load_with};
use zazen_tools::{generate, limits};

/// Checks domains files and generates the Microkit system description for them.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tell every mistake in a domains file
    Check {
        /// The domains file, .dts or .dtb
        file: PathBuf,
        /// Where to look for kernels and RAM disks that are not next to the domains file
        #[arg(long = "files", value_name = "DIR")]
        files: Vec<PathBuf>,
        /// The board that it is for
        #[arg(long, default_value = BOARDS[0].name, value_parser = board)]
        board: &'static Board,
    },
    /// Write the Microkit system description (system.xml) for a domains file
    Generate {
        /// The domains file, .dts or .dtb
        file: PathBuf,
        /// Where to write it; standard output if not given
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Where to look for kernels and RAM disks that are not next to the domains file
        #[arg(long = "files", value_name = "DIR")]
        files: Vec<PathBuf>,
        /// The board that it is for
        #[arg(long, default_value = BOARDS[0].name, value_parser = board)]
        board: &'static Board,
    },
}

fn board(name: &str) -> Result<&'static Board, String> {
    let known = || {
        BOARDS
            .iter()
            .map(|board| board.name)
            .collect::<Vec<_>>()
            .join(", ")
    };
    Board::by_name(name).ok_or_else(|| format!("no such board; known are: {}", known()))
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Check { file, files, board } => check(&file, &files, board),
        Command::Generate {
            file,
            output,
            files,
            board,
        } => write(&file, output.as_deref(), &files, board),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprint!("{text}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &Path, files: &[PathBuf], board: &'static Board) -> Result<(), String> {
    let loaded = load(file, files, board).map_err(|error| error.to_string())?;
    warn(&loaded);
    let broken = limits::check(&generate::system(&loaded.config, board));
    if !broken.is_empty() {
        return Err(generate::GenerateError::Limits(broken).to_string());
    }
    for domain in &loaded.config.domains {
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
    Ok(())
}

fn write(
    file: &Path,
    output: Option<&Path>,
    files: &[PathBuf],
    board: &'static Board,
) -> Result<(), String> {
    // The description names the files but does not depend on what is in them.
    let loaded =
        load_with(file, files, board, Missing::Assume).map_err(|error| error.to_string())?;
    warn(&loaded);
    for name in &loaded.missing {
        eprintln!("note: the file \"{name}\" is not at hand; the image builder will need it");
    }
    let xml = generate::system_xml(&loaded.config, board).map_err(|error| error.to_string())?;
    match output {
        None => print!("{xml}"),
        Some(path) => fs::write(path, xml)
            .map_err(|error| format!("error: {} cannot be written: {error}\n", path.display()))?,
    }
    Ok(())
}

fn warn(loaded: &Loaded) {
    eprint!("{}", describe(&loaded.config.warnings, &loaded.locations));
}
