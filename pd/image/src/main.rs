//! `zazen-image`: the command line of the image tool.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use zazen_image::{Error, Heap, Needs, Request, Sdk, build, write_file};
use zazen_tools::board::{BOARDS, Board, Target};
use zazen_tools::generate::system_xml;
use zazen_tools::load::{Loaded, load};

/// Turns a domains file into an image that the board's boot loader or QEMU starts.
///
/// The image is written only after every object of the system was found a place, so an image
/// that is written boots.
#[derive(Parser)]
#[command(name = "zazen-image", version)]
struct Arguments {
    /// Directory of the Microkit SDK (2.3.0)
    #[arg(long, env = "MICROKIT_SDK", value_name = "DIR")]
    sdk: PathBuf,
    /// Board, by Microkit's name
    #[arg(long, default_value = "qemu_virt_aarch64")]
    board: String,
    /// Configuration of the SDK: debug, release, benchmark, smp-debug or smp-release
    #[arg(long, default_value = "debug")]
    config: String,
    /// Domains file: a device tree in Xen's dom0less binding, as source or compiled
    #[arg(long, value_name = "FILE.dts")]
    domains: PathBuf,
    /// Where files that modules name are looked for, after the directory of the domains file
    #[arg(long, value_name = "DIR")]
    files: Vec<PathBuf>,
    /// Directory of the protection domains' programs (memory-server.elf, vmm.elf, ...)
    #[arg(long, alias = "elves", value_name = "DIR")]
    elfs: PathBuf,
    /// A system description instead of the one that follows from the domains file
    #[arg(long, value_name = "FILE.xml")]
    system: Option<PathBuf>,
    /// A kernel ELF instead of the SDK's; it must have the SDK's configuration
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// How much memory becomes heap where the domains file has no xen,static-heap; default: what
    /// its zazen,heap says
    #[arg(long, value_enum)]
    heap: Option<HeapChoice>,
    /// Directory for what is made on the way (domains.dtb, system.xml); default: beside the image
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// Also write a report on what lies where
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Also write the capDL specification as JSON
    #[arg(long, value_name = "FILE")]
    capdl_json: Option<PathBuf>,
    /// Also write the image as an ELF file, for boot loaders that put each segment where it belongs
    #[arg(long, value_name = "FILE")]
    elf: Option<PathBuf>,
    /// The image
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum HeapChoice {
    /// What the domains need, and 2 MiB to spare for each on the heap; little memory is zeroed at
    /// boot
    Needed,
    /// All memory that is left over; all of it is zeroed at boot
    All,
}

impl From<HeapChoice> for Heap {
    fn from(choice: HeapChoice) -> Self {
        match choice {
            HeapChoice::Needed => Self::Needed,
            HeapChoice::All => Self::All,
        }
    }
}

/// The command line's choice, else the domains file's.
fn heap(arguments: &Arguments, all: bool) -> Heap {
    match arguments.heap {
        Some(choice) => choice.into(),
        None if all => Heap::All,
        None => Heap::Needed,
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("zazen-image: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String, Error> {
    let sdk = Sdk::open(&arguments.sdk, &arguments.board, &arguments.config)?;
    let board = board(&arguments.board)?;
    let cores = sdk.kernel.num_cores;
    let target = Target { board, cores };
    let loaded = load(&arguments.domains, &arguments.files, target).map_err(|error| {
        let mistakes = error.to_string();
        Error::new(format!(
            "{} cannot be used\n{}",
            arguments.domains.display(),
            mistakes.trim_end()
        ))
    })?;
    let warnings = zazen_tools::load::describe(&loaded.config.warnings, &loaded.locations);
    eprint!("{warnings}");

    let work = work_directory(arguments)?;
    let tree = loaded
        .boot_dtb()
        .map_err(|error| Error::new(format!("the device tree for the image: {error}")))?;
    write_file(&work.join("domains.dtb"), &tree)?;
    let (path, xml) = system(arguments, &loaded, &work)?;

    let needs = Needs::of(&loaded.config);
    // Files of modules in the order in which the check above looked for them.
    let mut search = vec![work];
    search.extend(arguments.domains.parent().map(Path::to_path_buf));
    search.extend(arguments.files.iter().cloned());
    search.push(arguments.elfs.clone());
    let report = build(&Request {
        sdk: &sdk,
        system: (&path, &xml),
        search,
        needs: &needs,
        heap: heap(arguments, loaded.config.heap_all),
        kernel: arguments.kernel.clone(),
        output: &arguments.output,
        elf: arguments.elf.clone(),
        capdl_json: arguments.capdl_json.clone(),
    })?;
    if let Some(path) = &arguments.report {
        write_file(path, report.to_string().as_bytes())?;
    }
    Ok(format!(
        "{}: {}",
        arguments.output.display(),
        report.summary()
    ))
}

fn board(name: &str) -> Result<&'static Board, Error> {
    Board::by_name(name).ok_or_else(|| {
        let known: Vec<&str> = BOARDS.iter().map(|board| board.name).collect();
        Error::new(format!("Zazen does not know the board '{name}'"))
            .advise(format!("one of: {}", known.join(", ")))
    })
}

fn work_directory(arguments: &Arguments) -> Result<PathBuf, Error> {
    let beside = || arguments.output.with_extension("work");
    let work = arguments.work.clone().unwrap_or_else(beside);
    fs::create_dir_all(&work)
        .map_err(|error| Error::new(format!("cannot create {}: {error}", work.display())))?;
    Ok(work)
}

/// The system description that was given, or the generated one, which is left in the work
/// directory.
fn system(arguments: &Arguments, loaded: &Loaded, work: &Path) -> Result<(PathBuf, String), Error> {
    if let Some(path) = &arguments.system {
        let text = fs::read_to_string(path)
            .map_err(|error| Error::new(format!("cannot read {}: {error}", path.display())))?;
        return Ok((path.clone(), text));
    }
    let xml = system_xml(&loaded.config, loaded.config.board)
        .map_err(|error| Error::new(format!("{}: {error}", arguments.domains.display())))?;
    let path = work.join("system.xml");
    write_file(&path, xml.as_bytes())?;
    Ok((path, xml))
}
