//! Consoles named on a guest's command line that the guest does not have. Such a guest runs without
//! visible output.

use alloc::format;
use alloc::string::String;

use dt_server_api::PvFeatures;

use crate::diag::{Diagnostics, Edit, Hint, Place, Rule, Severity};
use crate::node::At;

/// Linux's name of the PV console, and of the first PL011.
const HVC: &str = "hvc0";
const UART: &str = "ttyAMA0";

/// What a domain has to say something on.
pub(super) struct Consoles {
    /// `xen,enhanced`; `None` if it is wrong, which was reported already.
    pub(super) pv: Option<PvFeatures>,
    pub(super) vpl011: bool,
}

/// Warns where the domain has no console at all, and of each console in the kernel's command line
/// that it has not. `kernel` is the path of the kernel's node.
pub(super) fn check(
    at: &At<'_>,
    consoles: &Consoles,
    bootargs: &str,
    kernel: Option<&str>,
    d: &mut Diagnostics,
) {
    let Some(pv) = consoles.pv else { return };
    let has_pv = pv != PvFeatures::None;
    let related = kernel.filter(|_| !bootargs.is_empty()).map(|path| Place {
        path: String::from(path),
        property: Some("bootargs"),
        note: String::from("the command line"),
    });
    let mut told = false;
    for name in named(bootargs) {
        let (property, what, hint) = match name {
            HVC if !has_pv => (
                "xen,enhanced",
                format!("the command line has console={HVC}, which comes with xen,enhanced alone"),
                enhanced(at),
            ),
            UART if !consoles.vpl011 => (
                "vpl011",
                format!("the command line has console={UART}, which comes with vpl011 alone"),
                uart(),
            ),
            _ if is_no_console(name) => (
                "vpl011",
                format!("the command line has console={name:.16}, which no domain has"),
                Hint::from(match (has_pv, consoles.vpl011) {
                    (true, _) => "write console=hvc0",
                    (false, true) => "write console=ttyAMA0",
                    (false, false) => "give it vpl011, and write console=ttyAMA0",
                }),
            ),
            _ => continue,
        };
        told = true;
        let severity = Severity::Warning;
        let mut found = at.diagnostic(severity, Rule::Console, Some(property), what, hint);
        found.related.clone_from(&related);
        d.push(found);
    }
    if !told && !has_pv && !consoles.vpl011 {
        let what = "the domain has no console: neither xen,enhanced nor vpl011";
        let hint = Hint::Do(
            String::from(
                "add vpl011 for a PL011, or xen,enhanced = \"no-xenstore\" for Xen's console; without both it is heard by console_io alone",
            ),
            Edit::Set {
                property: "vpl011",
                value: String::new(),
            },
        );
        at.warn(d, Rule::Console, Some("vpl011"), what, hint);
    }
}

/// Names behind `console=` in a command line, without their options.
fn named(bootargs: &str) -> impl Iterator<Item = &str> {
    let words = bootargs.split_ascii_whitespace();
    // What stands behind -- is for the first program.
    let words = words.take_while(|word| *word != "--");
    words
        .filter_map(|word| word.strip_prefix("console="))
        .filter_map(|name| name.split(',').next())
}

/// Whether `name` is a serial line that no guest has; terminals such as tty0 are the guest's own
/// matter.
fn is_no_console(name: &str) -> bool {
    const SERIAL: [&str; 6] = ["ttyAMA", "ttyS", "ttyPS", "ttymxc", "ttyLP", "hvc"];
    let is_serial = SERIAL.iter().any(|prefix| {
        let number = name.strip_prefix(prefix);
        number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
    });
    is_serial && name != HVC && name != UART
}

fn enhanced(at: &At<'_>) -> Hint {
    // "disabled" was written on purpose; then the command line is wrong.
    if at.has("xen,enhanced") {
        return Hint::from("switch xen,enhanced on, or name another console");
    }
    let value = String::from("\"no-xenstore\"");
    Hint::Do(
        format!("write xen,enhanced = {value}, or name another console"),
        Edit::Set {
            property: "xen,enhanced",
            value,
        },
    )
}

fn uart() -> Hint {
    Hint::Do(
        String::from("add vpl011;, or name another console"),
        Edit::Set {
            property: "vpl011",
            value: String::new(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn consoles_of_a_command_line() {
        let line = "console=tty0 console=ttyAMA0,115200n8 quiet console=hvc0 -- console=ttyS0";
        let all: Vec<&str> = named(line).collect();
        assert_eq!(all, ["tty0", "ttyAMA0", "hvc0"]);
        for name in ["ttyS0", "ttyAMA1", "hvc1", "ttyPS0"] {
            assert!(is_no_console(name), "{name}");
        }
        for name in ["tty0", "ttyAMA0", "hvc0", "ttyGS0", "ttyS", "null", ""] {
            assert!(!is_no_console(name), "{name}");
        }
    }
}
