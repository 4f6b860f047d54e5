//! `zazen inspect`.

use std::fs;
use std::path::PathBuf;

use authority::report::{breaches, dot, json, svg, table};
use authority::{Authority, Check, Disks, Domain, Shared, System};
use board::{Board, Target};
use clap::{Args, ValueEnum};
use dt_server::Config;
use untyped_plan::{Paddr, Span};

use super::{Outcome, boards, say};
use crate::generate::{module_regions, ram_disk_regions, shape};
use crate::load::{LoadError, Missing, load_with};

/// Say who holds which capability in an image, and check that it is as it should be
///
/// Reads the capDL specification that the image builder writes beside each image (`zazen-image
/// --capdl-json`): every kernel object, and every capability that exists when the system has
/// started. Reports each protection domain's and guest's capabilities and mappings, who may call or
/// notify whom, who can touch which guest's RAM now and at run time, and applies the rules that
/// docs/inspect.md explains.
///
/// With the domains file, sizes, files and static memory are compared with what it says; without
/// it, domains, files and board are taken from the specification.
///
/// A broken rule is reported with the chain of capabilities that breaks it.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER)]
pub struct Arguments {
    /// The specification as JSON
    #[arg(value_name = "SPEC.json")]
    spec: PathBuf,
    /// The domains file that the image was made of
    #[arg(long, value_name = "FILE")]
    domains: Option<PathBuf>,
    /// Where to look for kernels and RAM disks that are not next to the domains file; may be given
    /// several times
    #[arg(long = "files", value_name = "DIR")]
    files: Vec<PathBuf>,
    /// The board that the image is for; the one whose devices the specification has if not given
    #[arg(long, value_parser = boards())]
    board: Option<&'static Board>,
    /// Cores that the kernel uses; as many as the threads of the specification if not given
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    cores: Option<u8>,
    /// What to write
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Where to write it; standard output if not given
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

const AFTER: &str = "\
Exit status:
  0  all rules hold
  1  a rule is broken
  2  wrong arguments, or the file cannot be used

Examples:
  ./build.sh inspect                 builds the image and inspects it
  zazen inspect build/image/default/capdl.json
  zazen inspect SPEC.json --domains my.dts --board zcu102
  zazen inspect SPEC.json --format svg -o authority.svg

Files:
  docs/inspect.md  the rules, the JSON, how to read the picture

See also:
  zazen-generate(1), ./build.sh inspect --help, dot(1)";

/// Forms of the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// Text, 100 columns wide
    Table,
    /// JSON; docs/inspect.md describes the fields
    Json,
    /// A graph for Graphviz
    Dot,
    /// A picture for one screen
    Svg,
}

impl Format {
    fn write(self, authority: &Authority, checks: &[Check]) -> String {
        match self {
            Self::Table => table(authority, checks),
            Self::Json => json(authority, checks),
            Self::Dot => dot(authority),
            Self::Svg => svg(authority, checks),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let path = arguments.spec.display();
    let text = match fs::read_to_string(&arguments.spec) {
        Ok(text) => text,
        Err(error) => {
            eprintln!(
                "error: {path} cannot be read: {error}\n  try: ./build.sh inspect, which builds the image and its specification"
            );
            return Outcome::Failed;
        }
    };
    let authority = match Authority::read(&text) {
        Ok(authority) => authority,
        Err(error) => {
            eprintln!("error: {path}: {error}");
            return Outcome::Failed;
        }
    };
    let system = match described(arguments, authority.system()) {
        Ok(system) => system,
        Err(error) => {
            eprint!("{error}");
            return Outcome::Failed;
        }
    };
    let checks = authority.check_as(&system);
    let report = arguments.format.write(&authority, &checks);
    match &arguments.output {
        None => say(&report),
        Some(output) => {
            if let Err(error) = fs::write(output, report) {
                eprintln!("error: {} cannot be written: {error}", output.display());
                return Outcome::Failed;
            }
        }
    }
    // The table ends with them.
    if arguments.format != Format::Table || arguments.output.is_some() {
        eprint!("{}", breaches(&checks));
    }
    match checks.iter().all(Check::holds) {
        true => Outcome::Good,
        false => Outcome::Bad,
    }
}

/// The system that the arguments describe: `seems` is what the specification seems to be of.
fn described(arguments: &Arguments, seems: System) -> Result<System, LoadError> {
    let board = arguments.board.unwrap_or(seems.board);
    let cores = arguments.cores.unwrap_or(seems.cores);
    let (domains, meets, heap, ram_disks, shared) = match &arguments.domains {
        None => (
            seems.domains,
            seems.meets,
            seems.heap,
            seems.ram_disks,
            seems.shared,
        ),
        Some(file) => {
            let target = Target { board, cores };
            // What is in the files says nothing about authority.
            let loaded = load_with(file, &arguments.files, target, Missing::Assume)?;
            let config = &loaded.config;
            let heap = shape(config, board).heap.has(None);
            let disks = ram_disk_regions(config);
            let shared = Some(shared(config));
            (domains(config), config.meets(), heap, disks, shared)
        }
    };
    Ok(System {
        board,
        cores,
        domains,
        meets,
        heap,
        ram_disks,
        shared,
        ..seems
    })
}

fn shared(config: &Config) -> Vec<Shared> {
    let name = |number: usize| config.domains.get(number);
    let shared = config.shared.iter().enumerate().map(|(number, region)| {
        let has = |domain: &usize| config.shares(*domain) >> number & 1 != 0;
        let domains = (0..config.domains.len()).filter(has).filter_map(name);
        Shared {
            id: region.id.clone(),
            domains: domains
                .map(|domain| domain.record.name.as_str().to_owned())
                .collect(),
            span: region
                .range()
                .and_then(|range| Span::new(Paddr(range.start), Paddr(range.end()))),
            bytes: region.size,
        }
    });
    shared.collect()
}

fn domains(config: &Config) -> Vec<Domain> {
    let regions = module_regions(config);
    let spans = |domain: &dt_server::DomainConfig| {
        let ranges = domain.static_mem.iter();
        ranges
            .filter_map(|range| Span::new(Paddr(range.start), Paddr(range.end())))
            .collect()
    };
    config
        .domains
        .iter()
        .map(|domain| Domain {
            name: domain.record.name.as_str().to_owned(),
            vcpus: domain.record.vcpus,
            gicc: domain.record.layout.gicc.raw(),
            modules: domain
                .modules()
                .map(|(number, file)| (number, regions(file)))
                .collect(),
            p2m: Some(topology::p2m_bytes(domain.max_ram())),
            static_mem: Some(spans(domain)),
            vcpu_times: domain.vcpu_times.clone(),
            nets: !domain.nics.is_empty(),
            disks: match domain.has_device_disks() {
                true => Disks::Devices,
                false if domain.disks.is_empty() => Disks::None,
                false => Disks::Files,
            },
            vcpu_cores: domain.vcpu_cores.clone(),
        })
        .collect()
}
