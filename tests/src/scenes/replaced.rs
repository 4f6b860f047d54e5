//! Scenes with test programs in the place of some VMMs: one machine, and steps that are a test
//! each.

use crate::machine::{Failure, Machine};
use crate::scenes::lab::Lab;
use crate::suite::Suite;

/// A scene whose machine has been started.
pub struct Replaced<'a> {
    suite: &'a mut Suite,
    /// The machine, or why there is none.
    machine: Result<Machine, Failure>,
}

impl<'a> Replaced<'a> {
    /// Boots `domains/SCENE.dts` in `config` with `pd/hostile` as the VMM of each of `domains`.
    /// Protection domains may fault.
    pub fn boot<'b>(
        suite: &'a mut Suite,
        lab: &Lab,
        config: &str,
        scene: &str,
        domains: impl IntoIterator<Item = &'b str>,
    ) -> Self {
        let vmms: Vec<String> = domains
            .into_iter()
            .map(|domain| format!("{domain}=hostile"))
            .collect();
        let lab = lab.clone().with_vmms(&vmms.join(" "));
        let machine = lab
            .boot(
                config,
                &format!("{scene}.dts"),
                &format!("{scene}-{config}"),
            )
            .map(|mut machine| {
                machine.expect_faults();
                machine
            });
        Self { suite, machine }
    }

    /// Runs `act` as test `test`, which fails where the machine could not be started.
    pub fn step(&mut self, test: &str, act: impl FnOnce(&mut Machine) -> Result<(), Failure>) {
        let machine = &mut self.machine;
        self.suite.run(test, || match machine {
            Ok(machine) => act(machine),
            Err(failure) => Err(failure.clone()),
        });
    }
}
