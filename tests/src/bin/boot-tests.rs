//! Boots images and tests them:
//! `boot-tests [--list] [--long] [--host el2|microkit] [--build-sh PATH] [--jobs N] [FILTER]`.
//!
//! `--long` runs those instead that take many minutes. One line per test; the last line is
//! `N passed, N failed, N skipped`.

use std::path::PathBuf;
use std::process::ExitCode;

use zazen_tests::scenes::lab::{Lab, SMP_EL2};
use zazen_tests::scenes::{
    budget, compare, crash, debian, disk, disk_crash, fairness, hostile, hostile_disk, hostile_net,
    idle, memory, net, net_crash, pause, power, probe, processors, reboot, refused, registers, smp,
    store, system_calls, two_linux, uplink,
};
use zazen_tests::suite::{Scene, Suite};

/// Machines that run at once where nobody says how many; each takes up to 2 GiB of the host's RAM.
const JOBS_MAX: usize = 4;

fn main() -> ExitCode {
    let (mut list, mut long, mut build_sh) = (false, false, PathBuf::from("./build.sh"));
    let mut filter = String::new();
    let mut host = None;
    let mut jobs =
        std::thread::available_parallelism().map_or(1, |cores| cores.get().min(JOBS_MAX));
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--list" => list = true,
            "--long" => long = true,
            "--host" => host = arguments.next(),
            "--build-sh" => match arguments.next() {
                Some(path) => build_sh = path.into(),
                None => {
                    eprintln!("boot-tests: --build-sh needs the path of build.sh");
                    return ExitCode::from(2);
                }
            },
            "--jobs" => match arguments.next().and_then(|number| number.parse().ok()) {
                Some(number) => jobs = number,
                None => {
                    eprintln!("boot-tests: --jobs needs a number: how many machines run at once");
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
    let mut scenes = Vec::new();
    if long {
        let scenes_of: [(bool, &str, &[Run]); 5] = [
            (
                microkit,
                "release",
                &[
                    smp::long,
                    power::long,
                    debian::long,
                    hostile_disk::long,
                    hostile_net::long,
                    net::long,
                ],
            ),
            (
                microkit,
                "debug",
                &[smp::long, debian::boots, net_crash::run],
            ),
            (microkit, "debug", &WHERE_FAST),
            (
                microkit,
                "smp-release",
                &[smp::long, probe::smp, reboot::run],
            ),
            (
                el2,
                "el2",
                &[
                    smp::long,
                    power::long,
                    debian::long,
                    hostile_disk::long,
                    hostile_net::long,
                    net::long,
                ],
            ),
        ];
        for (_, config, runs) in scenes_of.into_iter().filter(|(wanted, ..)| *wanted) {
            for run in runs {
                add(&mut scenes, &lab, config, *run);
            }
        }
        for config in on_other_boards("debug").filter(|_| microkit) {
            for run in ON_OTHER_BOARDS {
                add(&mut scenes, &lab, config, run);
            }
        }
    }
    if microkit && !long {
        on_microkit(&lab, &mut scenes);
    }
    if el2 && !long {
        on_el2(&lab, &mut scenes);
    }
    suite.run_scenes(scenes, jobs);
    if suite.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A function of a scene: it runs those of its tests that are wanted in one configuration.
type Run = fn(&mut Suite, &Lab, &str);

/// Configuration `config` on each board but the default one.
fn on_other_boards(config: &str) -> impl Iterator<Item = &'static str> + use<'_> {
    let others = board::BOARDS
        .iter()
        .filter(|board| **board != board::DEFAULT);
    // A handful of names, which live as long as the program.
    others.map(move |board| &*format!("{}-{config}", board.name).leak())
}

/// Adds `run` in `config`.
fn add<'a>(scenes: &mut Vec<Scene<'a>>, lab: &'a Lab, config: &'static str, run: Run) {
    scenes.push(Box::new(move |suite| run(suite, lab, config)));
}

/// What is tried in every configuration of the board that is tested most.
const EVERYWHERE: [Run; 8] = [
    two_linux::run,
    probe::bad_guest,
    probe::abi,
    pause::run,
    reboot::run,
    store::run,
    disk::run,
    registers::run,
];

/// What is tried in each of them but Microkit's debug kernel, where it takes longest and shows the
/// same: there it is among the long ones.
const WHERE_FAST: [Run; 7] = [
    smp::run,
    memory::direct,
    memory::of_static,
    memory::growth,
    net::run,
    uplink::run,
    processors::seeds,
];

/// What is tried in every configuration of other boards.
const ON_OTHER_BOARDS: [Run; 4] = [
    two_linux::run,
    probe::bad_guest,
    memory::direct,
    registers::run,
];

fn on_el2<'a>(lab: &'a Lab, scenes: &mut Vec<Scene<'a>>) {
    let mut add = |config, run| add(scenes, lab, config, run);
    for run in EVERYWHERE.into_iter().chain(WHERE_FAST) {
        add("el2", run);
    }
    for scene in fairness::GUESTS {
        add("el2", scene);
    }
    add("el2", fairness::vcpus);
    add("el2", budget::run);
    add("el2", fairness::short_lives);
    add("el2", refused::run);
    add("el2", power::run);
    add("el2", hostile_disk::run);
    add("el2", hostile_net::run);
    add("el2", idle::run);
    for run in [smp::on_el2_cores, probe::smp] {
        add(SMP_EL2, run);
    }
    for config in on_other_boards("el2") {
        for run in ON_OTHER_BOARDS {
            add(config, run);
        }
    }
    scenes.push(Box::new(|suite| processors::run(suite, lab)));
}

/// Those that take longest come first, so that no long one is left alone at the end.
fn on_microkit<'a>(lab: &'a Lab, scenes: &mut Vec<Scene<'a>>) {
    let mut add = |config, run| add(scenes, lab, config, run);
    for config in ["debug", "release"] {
        add(config, hostile::run);
        for run in EVERYWHERE {
            add(config, run);
        }
        add(config, crash::run);
    }
    for run in WHERE_FAST {
        add("release", run);
    }
    add("release", net_crash::run);
    // A debug kernel can be halted by any VMM (SECURITY.md).
    add("release", system_calls::run);
    for scene in fairness::GUESTS.into_iter().chain(fairness::VMMS) {
        add("release", scene);
    }
    add("release", fairness::vcpus);
    add("release", budget::run);
    add("release", disk_crash::run);
    add("release", power::run);
    add("release", debian::short);
    add("release", hostile_disk::run);
    add("release", hostile_net::run);
    add("release", idle::run);
    add("release", fairness::wake_ups);
    add("debug", fairness::short_lives);
    add("debug", refused::run);
    for config in on_other_boards("release") {
        for run in ON_OTHER_BOARDS {
            add(config, run);
        }
        add(config, disk::of_files);
        add(config, net::run);
    }
    for config in ["release", "smp-release"]
        .into_iter()
        .chain(on_other_boards("release"))
    {
        add(config, registers::every_core);
    }
    add("smp-release", smp::on_cores);
    scenes.push(Box::new(|suite| compare::run(suite, lab)));
}
