//! Boots images and tests them: `boot-tests [--list] [--build-sh PATH] [FILTER]`.
//!
//! One line per test; the last line is `N passed, N failed, N skipped`.

use std::path::PathBuf;
use std::process::ExitCode;

use zazen_tests::scenes::lab::Lab;
use zazen_tests::scenes::{probe, two_linux};
use zazen_tests::suite::Suite;

fn main() -> ExitCode {
    let (mut list, mut build_sh, mut filter) = (false, PathBuf::from("./build.sh"), String::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => list = true,
            "--build-sh" => match arguments.next() {
                Some(path) => build_sh = path.into(),
                None => {
                    eprintln!("boot-tests: --build-sh needs the path of build.sh");
                    return ExitCode::from(2);
                }
            },
            _ => filter = argument,
        }
    }
    let mut suite = Suite::new(&filter, list);
    let lab = Lab::new(&build_sh);
    for config in ["debug", "release"] {
        two_linux::run(&mut suite, &lab, config);
        probe::bad_guest(&mut suite, &lab, config);
        probe::abi(&mut suite, &lab, config);
    }
    if suite.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
