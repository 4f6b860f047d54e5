//! Boots images and tests them: `boot-tests [--list] [--host el2|microkit] [--build-sh PATH] [FILTER]`.
//!
//! One line per test; the last line is `N passed, N failed, N skipped`.

use std::path::PathBuf;
use std::process::ExitCode;

use zazen_tests::scenes::lab::Lab;
use zazen_tests::scenes::{
    compare, crash, fairness, hostile, memory, probe, processors, reboot, refused, registers,
    system_calls, two_linux,
};
use zazen_tests::suite::Suite;

fn main() -> ExitCode {
    let (mut list, mut build_sh, mut filter) = (false, PathBuf::from("./build.sh"), String::new());
    let mut host = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => list = true,
            "--host" => host = arguments.next(),
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
    let (el2, microkit) = match host.as_deref() {
        None => (true, true),
        Some("el2") => (true, false),
        Some("microkit") => (false, true),
        Some(host) => {
            eprintln!("boot-tests: --host takes el2 or microkit, not {host}");
            return ExitCode::from(2);
        }
    };
    let configs = [(el2, "el2"), (microkit, "debug"), (microkit, "release")];
    for (_, config) in configs.iter().filter(|(wanted, _)| *wanted) {
        two_linux::run(&mut suite, &lab, config);
        probe::bad_guest(&mut suite, &lab, config);
        probe::abi(&mut suite, &lab, config);
        memory::direct(&mut suite, &lab, config);
        memory::of_static(&mut suite, &lab, config);
        memory::growth(&mut suite, &lab, config);
        reboot::run(&mut suite, &lab, config);
        registers::run(&mut suite, &lab, config);
        processors::seeds(&mut suite, &lab, config);
    }
    if el2 {
        processors::run(&mut suite, &lab);
        fairness::run(&mut suite, &lab, "el2");
    }
    if microkit {
        fairness::run(&mut suite, &lab, "release");
        fairness::wake_ups(&mut suite, &lab, "release");
        // A debug kernel can be halted by any VMM (SECURITY.md).
        system_calls::run(&mut suite, &lab, "release");
    }
    for (_, config) in configs.iter().filter(|(wanted, _)| *wanted).take(2) {
        fairness::short_lives(&mut suite, &lab, config);
    }
    for (_, config) in configs.iter().filter(|(wanted, _)| *wanted).take(1) {
        refused::run(&mut suite, &lab, config);
    }
    let on_zcu102 = [
        (el2, "zcu102-el2"),
        (microkit, "zcu102-debug"),
        (microkit, "zcu102-release"),
    ];
    for (_, config) in on_zcu102.iter().filter(|(wanted, _)| *wanted) {
        two_linux::run(&mut suite, &lab, config);
        probe::bad_guest(&mut suite, &lab, config);
        memory::direct(&mut suite, &lab, config);
        registers::run(&mut suite, &lab, config);
    }
    if microkit {
        for board in ["", "zcu102-"] {
            registers::every_core(&mut suite, &lab, &format!("{board}release"));
        }
        for config in ["debug", "release"] {
            hostile::run(&mut suite, &lab, config);
            crash::run(&mut suite, &lab, config);
        }
        compare::run(&mut suite, &lab);
    }
    if suite.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
