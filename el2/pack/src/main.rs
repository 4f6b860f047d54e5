//! `zazen-el2-pack`: the EL2 program, a domains file and the guests' files as one arm64 Image.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use zazen_el2_pack::{Packed, pack};
use zazen_tools::board::{Board, DEFAULT, Target};

/// Packs the EL2 program, a domains file and the guests' files into one arm64 Image.
#[derive(Parser)]
#[command(name = "zazen-el2-pack")]
struct Options {
    /// The program, as `cargo build` in el2/ links it.
    #[arg(long)]
    program: PathBuf,
    /// Domains file (.dts or .dtb).
    #[arg(long)]
    domains: PathBuf,
    /// Directory in which files that modules name are looked for; may be given more than once.
    #[arg(long)]
    files: Vec<PathBuf>,
    /// Board, by Microkit's name.
    #[arg(long, default_value = DEFAULT.name)]
    board: String,
    /// Cores that are used; the machine must have as many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    cores: u8,
    /// Image to write.
    #[arg(short)]
    output: PathBuf,
}

fn run(options: &Options) -> Result<(), String> {
    let board = Board::by_name(&options.board)
        .ok_or_else(|| format!("there is no board \"{}\"", options.board))?;
    let cores = options.cores;
    if cores > board.cores {
        return Err(format!("{} has {} cores", board.name, board.cores));
    }
    let Packed {
        image,
        program,
        base,
        own,
    } = pack(
        &options.program,
        &options.domains,
        &options.files,
        Target { board, cores },
    )?;
    std::fs::write(&options.output, &image)
        .map_err(|error| format!("{} cannot be written: {error}", options.output.display()))?;
    eprintln!(
        "{}: {} bytes, {program} of them without the guests' files; loaded at {base:#x}, {} KiB behind it are the host's",
        options.output.display(),
        image.len(),
        own >> 10
    );
    Ok(())
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zazen-el2-pack: {error}");
            ExitCode::FAILURE
        }
    }
}
