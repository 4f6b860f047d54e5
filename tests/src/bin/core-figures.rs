//! What several cores are worth, as a table: `core-figures [--build-sh PATH] CONFIG...`.
//!
//! It measures time, so it needs a host with as many idle processors as cores compute at once
//! (two), and its figures are worth what the host's load lets them.

use std::path::PathBuf;
use std::process::ExitCode;

use zazen_tests::scenes::cores::{HEAD, figures};
use zazen_tests::scenes::lab::Lab;

/// The load of the last minute, as Linux tells it.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

fn main() -> ExitCode {
    let mut build_sh = PathBuf::from("./build.sh");
    let mut configs = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--build-sh" {
            match arguments.next() {
                Some(path) => build_sh = path.into(),
                None => {
                    eprintln!("core-figures: --build-sh needs the path of build.sh");
                    return ExitCode::from(2);
                }
            }
        } else {
            configs.push(argument);
        }
    }
    let lab = Lab::new(&build_sh).never_counting();
    println!("{HEAD}");
    for config in configs {
        let before = load();
        match figures(&lab, &config) {
            Ok(figures) => {
                let load = format!("{before} before, {} after", load());
                println!("{}", figures.row(&config, &load));
            }
            Err(failure) => {
                eprintln!("core-figures: {config}: {}", failure.0);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
