//! Registers that no capability names: what a guest leaves in them, nobody else may see or feel
//! (docs/registers.md).

use crate::debugger::{Debugger, Port};
use crate::machine::{Failure, Machine};
use crate::scenes::lab::{EL2, Lab, PATIENCE, ZCU102};
use crate::suite::Suite;

/// What an attacker can turn against others, by its argument.
const ATTACKS: [&str; 6] = ["watch", "break", "text", "step", "lock", "count"];

/// Beats that the victim makes after the attacker has begun.
const BEATS_LATER: u32 = 5;

/// `MDCR_EL2`: TDRA, TDOSA, TDA, TPM, TPMCR.
const MDCR_TRAPS: u64 = 0xe60;
/// `CPTR_EL2`: TZ, TSM, TTA, TAM; the last two need not exist.
const CPTR_TRAPS: u64 = 0x1100;

/// Cores of a multicore kernel.
const CORES: usize = 4;

/// The registers that two guests share and that nobody can keep from them, with why.
fn shared(config: &str) -> &'static [&'static str] {
    match config {
        EL2 | "zcu102-el2" => &[],
        // The stock kernel keeps neither of them, and gives guests the EL1 physical timer on
        // qemu_virt, because it gives it to the timer server: CNTP_CTL_EL0, CNTP_CVAL_EL0.
        // CSSELR_EL1 is on both boards.
        config if config.starts_with(ZCU102) => &["S3_2_C0_C0_0"],
        _ => &["S3_2_C0_C0_0", "S3_3_C14_C2_1", "S3_3_C14_C2_2"],
    }
}

/// All of it in `config`.
pub fn run(suite: &mut Suite, lab: &Lab, config: &str) {
    patterns(suite, lab, config);
    for attack in ATTACKS {
        attacked(suite, lab, config, attack);
    }
}

/// Two guests look for each other's patterns in every register that there is.
fn patterns(suite: &mut Suite, lab: &Lab, config: &str) {
    let test = format!("{config}/registers/nothing-is-shared-but-what-is-known");
    if !suite.wants(std::slice::from_ref(&test)) {
        return;
    }
    suite.run(&test, || {
        let machine = lab.boot(config, "registers.dts", &format!("registers-{config}"))?;
        for guest in ["zero", "one"] {
            machine.expect(
                &format!(r"^{guest}: probe: done [1-9]\d* passed, 0 failed$"),
                PATIENCE,
            )?;
        }
        let seen = machine.seen();
        let mut found: Vec<&str> = seen
            .lines()
            .filter_map(|line| {
                let (_, after) = line.split_once("probe: registers: shared ")?;
                after.split_once(':').map(|(register, _)| register)
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        if found != shared(config) {
            return Err(Failure(format!(
                "shared are {found:?}, known are {:?}",
                shared(config)
            )));
        }
        Ok(())
    });
}

/// A victim beside an attacker goes on.
fn attacked(suite: &mut Suite, lab: &Lab, config: &str, attack: &str) {
    let test = format!("{config}/registers/{attack}-harms-nobody");
    if !suite.wants(std::slice::from_ref(&test)) {
        return;
    }
    suite.run(&test, || {
        let change = ("attack=watch", format!("attack={attack}"));
        let name = format!("debug-{attack}-{config}");
        let machine =
            lab.boot_changed(config, "debug.dts", &name, (change.0, change.1.as_str()))?;
        // Counted from the attack's line on, not from when it is read: the victim may be quicker
        // than the reader.
        machine.expect(
            &format!(
                r"(?s)^attacker: probe: armed$(.*?^victim: probe: beat \d+$){{{BEATS_LATER}}}"
            ),
            PATIENCE,
        )?;
        machine
            .expect(r"^victim: probe: done [1-9]\d* passed, 0 failed$", PATIENCE)
            .map(drop)
    });
}

/// Every core of `config` has the traps: read back from the processor while guests run.
pub fn every_core(suite: &mut Suite, lab: &Lab, config: &str) {
    let test = format!("{config}/registers/every-core-traps");
    if !suite.wants(std::slice::from_ref(&test)) {
        return;
    }
    let multicore = config.contains("smp-");
    suite.run(&test, || {
        let port = Port::at(
            &std::env::temp_dir().join(format!("zazen-debugger-{}-{config}", std::process::id())),
        );
        let smp = if multicore && !config.starts_with(ZCU102) {
            format!("-smp {CORES}")
        } else {
            String::new()
        };
        let options = format!("{smp} {}", port.options());
        let name = format!("traps-{config}");
        let machine: Machine = lab.boot_with(config, "registers.dts", &name, &options)?;
        for guest in ["zero", "one"] {
            machine.expect(
                &format!("^{guest}: probe: registers: rounds begin$"),
                PATIENCE,
            )?;
        }
        let mut debugger = Debugger::attach(&port)?;
        let cores = debugger.cores()?;
        // The other cores of a board wait in firmware where the kernel has one.
        let used = if multicore { CORES } else { 1 };
        if cores.len() < used {
            return Err(Failure(format!("cores {cores:?} instead of {used}")));
        }
        for core in cores.iter().take(used) {
            for (register, traps) in [("MDCR_EL2", MDCR_TRAPS), ("CPTR_EL2", CPTR_TRAPS)] {
                let value = debugger.register(core, register)?;
                if value & traps != traps {
                    return Err(Failure(format!("{register} of core {core} is {value:#x}")));
                }
            }
        }
        Ok(())
    });
}
