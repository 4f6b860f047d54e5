//! A guest with a budget in each period beside one that measures: `domains/budget.dts`.
//!
//! The machine counts instructions, so the figures repeat. `./build.sh bench --budgets` makes a
//! table of the same.

use crate::machine::Failure;
use crate::scenes::fairness::{latest, measured};
use crate::scenes::lab::Lab;
use crate::suite::Suite;

const FILE: &str = "budget.dts";
/// Attacks of `guests/probe/src/storm.rs`: it spins, it floods its VMM, it faults, and it has the
/// memory server work without end.
const ATTACKS: [&str; 4] = ["computes", "hypercalls", "faults", "balloon"];
/// Permille of the processor that the other guest gets at least, in each 100 ms: all but the
/// budget, a tenth of that for the VMM, and what it costs to go from one to the other.
const LEFT: u64 = 765;
/// And at most, where the budget is used up: it comes whole.
const USED: u64 = 815;
/// Microseconds for which it waits at most when it wakes: one turn of the other and of the servers.
const LATEST: u64 = 1000;

/// Everything about budgets in configuration `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    let lab = lab.clone().counting();
    for attack in ATTACKS {
        shares(suite, &lab, config, attack);
        wakes(suite, &lab, config, attack);
    }
}

fn shares(suite: &mut Suite, lab: &Lab, config: &str, attack: &str) {
    let test = format!("{config}/budget/{attack}-leaves-the-others-the-rest");
    if !suite.wants(std::slice::from_ref(&test)) {
        return;
    }
    suite.run(&test, || {
        let name = format!("budget-{attack}-{config}");
        let change = ("attack=hypercalls", &*format!("attack={attack}"));
        let machine = lab.boot_changed(config, FILE, &name, change)?;
        let begins = format!("storm: {attack} begins");
        for (least, longest) in measured(&machine, &begins, 1)? {
            let most = if attack == "computes" { USED } else { 1000 };
            if !(LEFT..=most).contains(&least) {
                return Err(Failure(format!(
                    "the other guest got {least} permille, not {LEFT} to {most}; its longest gap was {longest} us"
                )));
            }
        }
        Ok(())
    });
}

fn wakes(suite: &mut Suite, lab: &Lab, config: &str, attack: &str) {
    let test = format!("{config}/budget/a-sleeper-wakes-beside-{attack}");
    if !suite.wants(std::slice::from_ref(&test)) {
        return;
    }
    suite.run(&test, || {
        let name = format!("budget-late-{attack}-{config}");
        let changes = [
            ("probe=share windows=4 warm-up=200", "probe=late"),
            ("attack=hypercalls", &*format!("attack={attack}")),
        ];
        let file = lab.changed(config, FILE, &name, &changes)?;
        let machine = lab.boot_file(config, &file, &name)?;
        let late = latest(&machine, attack)?;
        if late <= LATEST {
            return Ok(());
        }
        Err(Failure(format!("{late} us late (at most {LATEST})")))
    });
}
