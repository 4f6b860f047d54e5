//! Lines of the log about faults: who it was, what it did, and what lies at the address.

use dt_server::Config;
use dt_server_api::{DomainRecord, GuestLayout, XEN_LAYOUT};
use fault_server::{Place as PdPlace, Who};
use hypervisor_core::esr::{Abort, FaultStatus, Trap, decode};
use topology::pd;

const PAGE: u64 = 0x1000;
/// Last address of a protection domain (seL4's `seL4_UserVSpaceTop` with a stage 2 of 40 bits).
const PD_TOP: u64 = 0xff_ffff_ffff;
/// Where a guest's RAM may be, if it is not direct-mapped (xen/include/public/arch-arm.h, `GUEST_RAM0_BASE` and following).
const RAM: [(u64, u64); 2] = [(0x4000_0000, 0xc000_0000), (0x2_0000_0000, 0xfe_0000_0000)];

/// A guest's name and its physical memory map.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its name; empty where it stands for any guest.
    name: String,
    places: Vec<Place>,
}

/// Something in an address space.
#[derive(Clone, Debug)]
struct Place {
    name: String,
    start: u64,
    size: u64,
}

impl Place {
    fn new(name: impl Into<String>, start: u64, size: u64) -> Self {
        Self {
            name: name.into(),
            start,
            size,
        }
    }
    fn last(&self) -> u64 {
        self.start.saturating_add(self.size.saturating_sub(1))
    }
}

impl Guest {
    /// The guests of `config`, or one with Xen's layout that stands for any.
    pub fn all(config: Option<&Config>) -> Vec<Self> {
        match config {
            Some(config) => config
                .domains
                .iter()
                .map(|domain| Self::of(&domain.record))
                .collect(),
            None => vec![Self::any()],
        }
    }

    fn of(record: &DomainRecord) -> Self {
        let mut places = fixed(&XEN_LAYOUT, record.vpl011);
        for (i, bank) in record.banks.iter().enumerate() {
            places.push(Place::new(
                format!("RAM bank {i}"),
                bank.start().raw(),
                bank.size(),
            ));
        }
        Self {
            name: record.name.as_str().to_owned(),
            places,
        }
    }

    fn any() -> Self {
        let mut places = fixed(&XEN_LAYOUT, true);
        for (i, (start, most)) in RAM.iter().enumerate() {
            let name = format!("where RAM bank {i} may be (--domains FILE says how large it is)");
            places.push(Place::new(name, *start, *most));
        }
        Self {
            name: String::new(),
            places,
        }
    }
}

/// What a guest has besides RAM.
fn fixed(layout: &GuestLayout, vpl011: bool) -> Vec<Place> {
    let mut places = vec![
        Place::new(
            "the interrupt controller's distributor (GICD)",
            layout.gicd.raw(),
            PAGE,
        ),
        Place::new(
            "the interrupt controller's CPU interface (GICC)",
            layout.gicc.raw(),
            2 * PAGE,
        ),
        Place::new(
            "the region for grant frames",
            layout.grant_region.raw(),
            layout.grant_region_size,
        ),
        Place::new(
            "the magic pages (console and xenstore rings)",
            layout.magic.raw(),
            4 * PAGE,
        ),
    ];
    if vpl011 {
        places.push(Place::new(
            "the virtual UART (vpl011)",
            layout.vpl011.raw(),
            PAGE,
        ));
    }
    places
}

/// What a protection domain has at `address`.
fn of_pd(name: &str, address: u64) -> PdPlace {
    let who = match name.strip_prefix(pd::VMM_PREFIX) {
        Some(name) => Who::Vmm { name, domid: 0 },
        None => Who::Server(
            pd::RESERVED
                .into_iter()
                .find(|reserved| *reserved == name)
                .unwrap_or_default(),
        ),
    };
    PdPlace::of(&who, address, PD_TOP)
}

/// The place at `address`, or the nearest one, in words.
fn nearest(places: &[Place], address: u64) -> String {
    if let Some(place) = places
        .iter()
        .find(|place| place.start <= address && address <= place.last())
    {
        let offset = address - place.start;
        return format!("{}, {} from its start", place.name, distance(offset));
    }
    let below = places
        .iter()
        .filter(|place| place.last() < address)
        .max_by_key(|place| place.last());
    let above = places
        .iter()
        .filter(|place| place.start > address)
        .min_by_key(|place| place.start);
    let below = below.map(|place| {
        (
            address - place.last(),
            format!("past the end of {}", place.name),
        )
    });
    let above = above.map(|place| {
        (
            place.start - address,
            format!("before the start of {}", place.name),
        )
    });
    match below.into_iter().chain(above).min_by_key(|(gap, _)| *gap) {
        Some((gap, place)) => format!("nothing; {} {place}", distance(gap)),
        None => String::from("nothing that is known"),
    }
}

fn distance(bytes: u64) -> String {
    match bytes {
        0..0x400 => format!("{bytes} bytes"),
        0x400..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
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

/// The protection domain that a line names. "console" is a word like another, unless the line begins with it.
fn protection_domain(line: &str) -> Option<&str> {
    let servers = [
        pd::MEMORY_SERVER,
        pd::DT_SERVER,
        pd::TIMER_SERVER,
        pd::FAULT_SERVER,
    ];
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let mut words = line.split(|c: char| !is_name(c));
    words
        .clone()
        .find(|word| word.starts_with(pd::VMM_PREFIX) || servers.contains(word))
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
    let mut text = String::new();
    if let Some(name) = program {
        text.push_str(&format!("Who: {}.\n", who(name)));
    }
    let mut fetch = false;
    if let Some((what, is_fetch)) = syndrome.and_then(did) {
        fetch = is_fetch;
        text.push_str(&format!("What: {what}.\n"));
    }
    if let Some(address) = address {
        // A VMM speaks of its guest's addresses; only its own faults are about its own.
        let own = program.is_some() && !line.to_lowercase().contains("gpa");
        match program.filter(|_| own) {
            Some(name) => {
                let place = of_pd(name, address);
                text.push_str(&format!("Where: {address:#x} is {place}.\n"));
            }
            None => text.push_str(&of_guest(line, address, guests)),
        }
    }
    text.push_str(&tries(program, pc, fetch));
    Some(text)
}

fn who(name: &str) -> String {
    match (name, name.strip_prefix(pd::VMM_PREFIX)) {
        (_, Some(guest)) => format!("{name}, the VMM of the guest {guest}; the other guests go on"),
        (pd::MEMORY_SERVER, _) => format!(
            "{name}, which owns all guest memory: no guest gets or gives back any without it"
        ),
        (pd::DT_SERVER, _) => format!(
            "{name}, which reads the domains file: no guest starts without it, those that run go on"
        ),
        (pd::FAULT_SERVER, _) => {
            format!("{name}, which says why others have stopped")
        }
        (pd::TIMER_SERVER, _) => format!("{name}, which wakes guests that sleep"),
        _ => format!("{name}, which has the UART: nothing is seen of the guests without it"),
    }
}

/// Where `address` is in the guest that the line names, or in each.
fn of_guest(line: &str, address: u64, guests: &[Guest]) -> String {
    let named: Vec<&Guest> = guests
        .iter()
        .filter(|guest| !guest.name.is_empty() && line.contains(&guest.name))
        .collect();
    let asked: Vec<&Guest> = if named.is_empty() {
        guests.iter().collect()
    } else {
        named
    };
    let mut text = String::new();
    for guest in asked {
        let of = match guest.name.as_str() {
            "" => String::from("of a guest"),
            name => format!("of {name}"),
        };
        text.push_str(&format!(
            "Where: guest physical address {address:#x} {of} is {}.\n",
            nearest(&guest.places, address)
        ));
    }
    text
}

/// What a syndrome says, and whether it was a fetch.
fn did(syndrome: u64) -> Option<(String, bool)> {
    let syndrome = u32::try_from(syndrome).ok()?;
    // A guest's own exceptions have the classes of aborts from the same level (Arm ARM D19.2.37, EC 0x21 and 0x25).
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
                None => name.replace('_', "-"),
            };
            format!(
                "Try: addr2line -fie {elf}.elf {pc:#x} names the source line; please report it with the log.\n"
            )
        }
        (Some(_), _) => String::from(
            "Try: please report it with the log; it is a fault of Zazen's, not of the guest's.\n",
        ),
        (None, Some(pc)) => format!(
            "Try: addr2line -fie vmlinux {pc:#x} in the guest's kernel names the code that did it; where the address should be RAM, compare memory and xen,static-mem with what the guest was built for.\n"
        ),
        (None, None) => String::from(
            "Try: look in the guest's kernel for who uses this address; where it should be RAM, compare memory and xen,static-mem with what the guest was built for.\n",
        ),
    }
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
        assert!(text.contains("Where: guest physical address 0x8"), "{text}");
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
            (0x0300_1008, "(GICD), 8 bytes from its start"),
            (
                0x0300_4000,
                "nothing; 1 bytes past the end of the interrupt controller's CPU interface (GICC)",
            ),
            (0x2200_0000, "(vpl011), 0 bytes"),
            (
                0x21ff_f000,
                "nothing; 4 KiB before the start of the virtual UART",
            ),
            (0x4000_0000, "where RAM bank 0 may be"),
        ] {
            let text = said(&format!("linux1: store of 4 bytes at gpa {address:#x}"));
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
