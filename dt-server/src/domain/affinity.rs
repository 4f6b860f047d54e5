//! `hard-affinity` of a vCPU: the cores that it may be on, as Xen writes them ("0-3,5").

use alloc::format;
use alloc::string::String;

use crate::cores::Cores;
use crate::diag::{Diagnostics, Hint, Rule};
use crate::direct::Host;
use crate::node::At;

const NAME: &str = "hard-affinity";

/// Reads it from the node `at`; `None` where it is absent or wrong. Its cores must be the board's.
/// Where the kernel uses none of them the vCPU is on the first core: a file can be for kernels with
/// one core and with several.
pub(super) fn read(at: &At<'_>, host: &Host, d: &mut Diagnostics) -> Option<Cores> {
    if !at.has(NAME) {
        return None;
    }
    let text = at.str(NAME, Rule::Vcpu, d)?;
    let board = host.board;
    let last = board.cores.saturating_sub(1);
    let mut cores = Cores::NONE;
    for part in text.split(',') {
        let (first, end) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let Some((first, end)) = number(first).zip(number(end)).filter(|(a, b)| a <= b) else {
            let what = format!("\"{text}\" is no list of cores");
            let hint = "write numbers and ranges with commas between them, as in \"0-1,3\"";
            at.error(d, Rule::Vcpu, NAME, what, hint);
            return None;
        };
        if end > u32::from(last) {
            let what = format!("{} has no CPU {end}", board.name);
            let hint = Hint::Say(match last {
                0 => String::from("its only CPU is 0"),
                _ => format!("its CPUs are 0 to {last}"),
            });
            at.error(d, Rule::Vcpu, NAME, what, hint);
            return None;
        }
        for core in first..=end {
            cores = cores.with(u8::try_from(core).unwrap_or(u8::MAX));
        }
    }
    if !(0..host.cores).any(|core| cores.contains(core)) {
        let what = match host.cores {
            1 => String::from("the kernel uses one CPU; the vCPU runs on CPU 0"),
            count => format!("the kernel uses {count} CPUs; the vCPU runs on CPU 0"),
        };
        let hint = "choose a configuration for several, smp-debug or smp-release, or remove it";
        at.warn(d, Rule::Vcpu, Some(NAME), what, hint);
    }
    Some(cores)
}
