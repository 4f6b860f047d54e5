//! Lines of the log about faults: who it was, what it did, and what lies at the address.

use dt_server::Config;
use dt_server_api::{DomainRecord, XEN_LAYOUT};
use fault_server::{Place, Who};
use hv_types::Gpa;
use hypervisor_core::device::table::{Id, Set};
use hypervisor_core::diag::guest_map::GuestMap;
use hypervisor_core::exit::syndrome::{Abort, FaultStatus, Trap, decode};
use topology::pd;
use topology::table::PDS;

/// Last address of a protection domain (seL4's `seL4_UserVSpaceTop` with a stage 2 of 40 bits).
const PD_TOP: u64 = 0xff_ffff_ffff;
/// Where the RAM of a guest that is not direct-mapped begins (xen/include/public/arch-arm.h,
/// `GUEST_RAM0_BASE`).
const RAM: u64 = 0x4000_0000;

/// A guest's name and its physical memory map.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its name; `None` where it stands for any guest.
    name: Option<String>,
    map: GuestMap,
}

impl Guest {
    /// The guests of `config`, or one with Xen's layout that stands for any.
    pub fn all(config: Option<&Config>) -> Vec<Self> {
        let Some(config) = config else {
            return vec![Self {
                name: None,
                map: GuestMap::new(&XEN_LAYOUT, &[], [], Set::NONE.with(Id::Gic)),
            }];
        };
        let records = config.domains.iter().map(|domain| &domain.record);
        let of = |record: &DomainRecord| Self {
            name: Some(record.name.as_str().to_owned()),
            map: GuestMap::new(
                &record.layout,
                &record.banks,
                record
                    .extended
                    .iter()
                    .map(|region| (region.start(), region.size())),
                Set::of(record),
            ),
        };
        records.map(of).collect()
    }

    /// What is at `address`, and what to try.
    fn place(&self, address: u64) -> String {
        if self.name.is_none() && address >= RAM {
            return String::from("where a guest may have RAM; --domains FILE says how much it has");
        }
        match self.map.where_is(Gpa::new(address)) {
            Some(place) => format!("{place}.\nTry: {}", place.advice()),
            None => String::from("nothing that is known"),
        }
    }
}

/// What a protection domain has at `address`.
fn of_pd(name: &str, address: u64) -> Place {
    let who = Who::named(name).unwrap_or(Who::Unknown(0));
    Place::of(&who, address, PD_TOP)
}

/// The number behind one of `keys` in `line`: `address 0x10`, `ip=0x10`, `gpa: 0x10`.
fn number(line: &str, keys: &[&str]) -> Option<u64> {
    let lower = line.to_lowercase();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for key in keys {
        for (at, _) in lower.match_indices(key) {
            let starts = lower[..at].chars().next_back().is_none_or(|c| !is_word(c));
            let rest = lower[at + key.len()..].trim_start_matches([' ', '=', ':', '\t', '(']);
            let digits: &str = rest.strip_prefix("0x").unwrap_or_default();
            let end = digits
                .find(|c: char| !c.is_ascii_hexdigit())
                .unwrap_or(digits.len());
            if starts && let Ok(number) = u64::from_str_radix(&digits[..end], 16) {
                return Some(number);
            }
        }
    }
    None
}

/// The protection domain that a line names. "console" is a word like another, unless the line
/// begins with it.
fn protection_domain(line: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let mut words = line.split(|c: char| !is_name(c));
    words
        .clone()
        .find(|word| {
            PDS.iter().any(|pd| match pd.each {
                true => word.starts_with(pd.name),
                false => *word == pd.name && *word != pd::CONSOLE,
            })
        })
        .or_else(|| {
            words
                .find(|word| !word.is_empty())
                .filter(|word| *word == pd::CONSOLE)
        })
}

/// Explains `line` if it is about a fault: it has an address or a syndrome.
pub(super) fn explain(line: &str, guests: &[Guest]) -> Option<String> {
    let address = number(line, &["fault_addr", "address", "gpa", "addr", "far"]);
    let syndrome = number(line, &["fsr", "esr", "hsr", "syndrome"]);
    let pc = number(line, &["pc", "ip", "elr"]);
    if address.is_none() && syndrome.is_none() {
        return None;
    }
    let program = protection_domain(line);
    // What Microkit's monitor prints; its line before this one names the protection domain.
    let of_monitor = line.contains("fault_addr") && program.is_none();
    let mut text = String::new();
    if let Some(name) = program {
        text.push_str(&format!("Who: {}.\n", who(name)));
    } else if of_monitor {
        text.push_str("Who: a protection domain; the monitor's line before this one names it.\n");
    }
    let mut fetch = false;
    if let Some((what, is_fetch)) = syndrome.and_then(did) {
        fetch = is_fetch;
        text.push_str(&format!("What: {what}.\n"));
    }
    if let Some(address) = address {
        // A VMM speaks of its guest's addresses; only its own faults are about its own.
        let own = !line.to_lowercase().contains("gpa");
        match program.or(of_monitor.then_some("")).filter(|_| own) {
            Some(name) => {
                let place = of_pd(name, address);
                text.push_str(&format!("Where: {address:#x} is {place}.\n"));
            }
            None => text.push_str(&of_guest(line, address, guests)),
        }
    }
    text.push_str(&tries(program.or(of_monitor.then_some("")), pc, fetch));
    Some(text)
}

/// A protection domain by its name.
pub(super) fn program(what: &str) -> Option<String> {
    let is_of_guest = [pd::VMM_PREFIX, pd::GATE_PREFIX].iter().any(|prefix| {
        what.strip_prefix(prefix)
            .is_some_and(|guest| !guest.is_empty() && !guest.contains(' '))
    });
    let is_known = is_of_guest || PDS.iter().any(|pd| !pd.each && pd.name == what);
    is_known.then(|| format!("{}.\n", who(what)))
}

/// An address that nothing is said of: a guest's.
pub(super) fn lone_address(what: &str, guests: &[Guest]) -> Option<String> {
    let address = u64::from_str_radix(what.strip_prefix("0x")?, 16).ok()?;
    Some(of_guest("", address, guests))
}

fn who(name: &str) -> String {
    if let Some(guest) = name.strip_prefix(pd::GATE_PREFIX) {
        return format!(
            "{name}, which passes on the calls of the VMM of the guest {guest}; the other guests go on"
        );
    }
    if let Some(guest) = name.strip_prefix(pd::VMM_PREFIX) {
        return format!("{name}, the VMM of the guest {guest}; the other guests go on");
    }
    let Some(pd) = PDS.iter().find(|pd| pd.name == name) else {
        return name.to_owned();
    };
    let about = pd.about.lines().next().unwrap_or_default();
    format!("{name}. {about} Where it stops, {}", pd.stops)
}

/// Where `address` is in the guest that the line names, or in each.
fn of_guest(line: &str, address: u64, guests: &[Guest]) -> String {
    let is_named = |guest: &&Guest| guest.name.as_ref().is_some_and(|name| line.contains(name));
    let named: Vec<&Guest> = guests.iter().filter(is_named).collect();
    let asked = if named.is_empty() {
        guests.iter().collect()
    } else {
        named
    };
    let mut text = String::new();
    for guest in asked {
        let of = guest.name.as_deref().unwrap_or("a guest");
        text.push_str(&format!(
            "Where: guest physical address {address:#x} of {of} is {}.\n",
            guest.place(address)
        ));
    }
    text
}

/// What a syndrome says, and whether it was a fetch.
fn did(syndrome: u64) -> Option<(String, bool)> {
    let syndrome = u32::try_from(syndrome).ok()?;
    // A guest's own exceptions have the classes of aborts from the same level (Arm ARM D19.2.37, EC
    // 0x21 and 0x25).
    let syndrome = match syndrome >> 26 {
        0x21 | 0x25 => syndrome & !(1 << 26),
        _ => syndrome,
    };
    Some(match decode(syndrome) {
        Trap::DataAbort(abort) => (data(abort), false),
        Trap::InstructionAbort(abort) => (format!("it jumped there, and {}", because(abort)), true),
        Trap::Hvc { imm } => (format!("HVC #{imm:#x}"), false),
        Trap::Smc { imm } => (format!("SMC #{imm:#x}"), false),
        Trap::Svc { imm } => (format!("SVC #{imm:#x}"), false),
        Trap::SysReg(access) => {
            let verb = if access.read { "read" } else { "wrote" };
            let (op0, op1, crn, crm, op2) = access.encoding();
            (
                format!("it {verb} the system register S{op0}_{op1}_C{crn}_C{crm}_{op2}"),
                false,
            )
        }
        Trap::Wait(kind) => (format!("it waited ({kind:?})"), false),
        Trap::FpAccess => (
            String::from("it used floating-point registers that it may not use"),
            false,
        ),
        Trap::IllegalState => (String::from("it was in an illegal state"), false),
        Trap::SError => (
            String::from("SError: an error that the memory system reported late"),
            false,
        ),
        Trap::Unknown => (
            String::from("an instruction that does not exist here"),
            false,
        ),
        Trap::Other { class } => (format!("an exception of class {class:#x}"), false),
    })
}

fn data(abort: Abort) -> String {
    let verb = if abort.cache_maintenance() {
        "cleaned a cache line"
    } else if abort.write() {
        "wrote"
    } else {
        "read"
    };
    let size = if abort.has_syndrome() {
        format!(" {} bytes", abort.size())
    } else {
        String::new()
    };
    format!("it {verb}{size} there, and {}", because(abort))
}

fn because(abort: Abort) -> &'static str {
    match abort.status() {
        FaultStatus::Translation => "nothing is mapped",
        FaultStatus::Permission => "it may not",
        FaultStatus::AccessFlag => "the access flag is clear",
        FaultStatus::AddressSize => "the address is larger than there are any",
        FaultStatus::Other => "the memory system refused (alignment, or an external abort)",
    }
}

fn tries(program: Option<&str>, pc: Option<u64>, fetch: bool) -> String {
    match (program, pc) {
        (Some(name), Some(pc)) if !fetch => {
            let elf = match name.strip_prefix(pd::VMM_PREFIX) {
                Some(_) => String::from("vmm"),
                None if name.starts_with(pd::GATE_PREFIX) => String::from("gate"),
                None if name.is_empty() => String::from("PROGRAM"),
                None => name.replace('_', "-"),
            };
            format!(
                "Try: addr2line -fie {elf}.elf {pc:#x} names the source line; please report it with the log.\n"
            )
        }
        (Some(_), _) => String::from(
            "Try: please report it with the log; it is a fault of Zazen's, not of the guest's.\n",
        ),
        (None, Some(pc)) => in_guest(pc),
        (None, None) => String::new(),
    }
}

fn in_guest(pc: u64) -> String {
    format!(
        "Try: addr2line -fie vmlinux {pc:#x} in the guest's kernel names the code that did it.\n"
    )
}

/// How to find the guest's code whose PC `line` has; empty if it has none.
pub(super) fn guest_code(line: &str) -> String {
    number(line, &["pc"]).map(in_guest).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        explain(line, &Guest::all(None)).unwrap_or_else(|| panic!("{line}"))
    }

    #[test]
    fn a_vmm_that_looks_at_memory_taken_from_its_guest() {
        let text = said(
            "vmm_linux1 (VMM of domain 1, linux1) stopped: read of address 0x4041000008, where nothing is mapped; pc 0x210abc",
        );
        assert!(text.contains("the VMM of the guest linux1"), "{text}");
        assert!(
            text.contains("its window onto guest memory, guest address 0x41000008"),
            "{text}"
        );
        assert!(text.contains("addr2line -fie vmm.elf 0x210abc"), "{text}");
    }

    #[test]
    fn what_microkit_prints() {
        let text = said(
            "MON|ERROR: VMFault: ip=0x0000000000200abc  fault_addr=0x0000000000000008  fsr=0x0000000092000006",
        );
        assert!(
            text.contains("it read there, and nothing is mapped"),
            "{text}"
        );
        assert!(text.contains("Where: 0x8 is no address at all"), "{text}");
        let text = said("MON|ERROR: dt_server: ip=0x200abc fault_addr=0x8 fsr=0x92000046");
        assert!(
            text.contains("it wrote there, and nothing is mapped"),
            "{text}"
        );
        assert!(text.contains("0x8 is no address at all"), "{text}");
        assert!(text.contains("dt-server.elf 0x200abc"), "{text}");
    }

    #[test]
    fn a_guest_beside_its_devices() {
        for (address, place) in [
            (0x0300_1008, "0x8 into the GIC distributor (GICD)"),
            (
                0x0300_4000,
                "right past the end of the GIC CPU interface (GICC)",
            ),
            (0x2200_0000, "at the start of the place of a UART (vpl011)"),
            (0x21ff_f000, "4 KiB before the place of a UART"),
            (0x4000_0000, "where a guest may have RAM"),
        ] {
            let text = said(&format!(
                "linux1: [vmm] store to gpa {address:#x} of 4 bytes, pc 0x40000000"
            ));
            assert!(text.contains(place), "{address:#x}: {text}");
        }
    }

    #[test]
    fn numbers_are_found_behind_words_only() {
        assert_eq!(number("ip=0x10 zip=0x20", &["ip"]), Some(0x10));
        assert_eq!(number("zip=0x20", &["ip"]), None);
        assert_eq!(number("Address: 0x1F,", &["address"]), Some(0x1f));
        assert_eq!(number("address 16", &["address"]), None);
        assert_eq!(number("address 0x", &["address"]), None);
        assert_eq!(number("address 0x11112222333344445", &["address"]), None);
        assert!(explain("Linux version 6.1", &Guest::all(None)).is_none());
    }

    #[test]
    fn protection_domains_are_found() {
        assert_eq!(protection_domain("linux1: console=hvc0 address 0x8"), None);
        assert_eq!(protection_domain("console stopped: read"), Some("console"));
        assert_eq!(
            protection_domain("faulting PD: vmm_a-b, badge"),
            Some("vmm_a-b")
        );
        assert_eq!(
            protection_domain("MON|ERROR: timer_server: x"),
            Some("timer_server")
        );
        assert_eq!(protection_domain(""), None);
    }

    #[test]
    fn syndromes() {
        assert!(did(0x9600_0050).is_some_and(|(text, _)| text.contains("wrote")));
        assert!(did(0x8200_0006).is_some_and(|(text, fetch)| fetch && text.contains("jumped")));
        assert!(did(0x5a00_ea11).is_some_and(|(text, _)| text == "HVC #0xea11"));
        assert_eq!(did(u64::MAX), None);
    }
}
