//! Values written into programs before they are packed.

use memory_server::manifest::MANIFEST_WORDS;
use microkit_tool::elf::ElfFile;
use microkit_tool::sdf::SystemDescription;
use topology::share::is_bounded;
use topology::table::{self, Counter};
use topology::{child, console_client, pd};

use crate::Error;
use crate::needs::Needs;

/// The memory server's manifest: `[u64; MANIFEST_WORDS]`.
pub(crate) const MANIFEST: &str = "zazen_manifest";
/// Names of the console's clients, for the console and the fault server: `[[u8; NAME_BYTES];
/// console_client::COUNT]`, padded with zeroes.
const CLIENT_NAMES: &str = "zazen_client_names";
/// What the xenstore server knows of each domain: `[StoreDomain; MAX_DOMAINS]` of zazen-rt.
const STORE_DOMAINS: &str = "zazen_store_domains";
/// The console's UART: `[u64; 2]`, kind and clock.
const UART: &str = "zazen_uart";
/// Of a gate: `u64`, 1 if it has time of its own.
const GATE_PAYS: &str = "zazen_gate_pays";
/// Of the fault server: `u64`, a bit for each child that keeps its time.
const ACTIVE_CHILDREN: &str = "zazen_active_children";
const NAME_BYTES: usize = console_api::NAME_MAX;

/// Position of PD `name` among the programs.
///
/// # Errors
/// That there is none.
pub(crate) fn position(system: &SystemDescription, name: &str) -> Result<usize, Error> {
    let found = system
        .protection_domains
        .iter()
        .position(|pd| pd.name == name);
    found.ok_or_else(|| {
        Error::new(format!(
            "the system description has no protection domain '{name}'"
        ))
        .advise("let it be generated from the domains file (leave --system out)")
    })
}

/// Checks that `elf` has `symbol` with `size` bytes.
///
/// # Errors
/// That it has not.
pub(crate) fn check(elf: &ElfFile, symbol: &str, size: usize) -> Result<(), Error> {
    let path = elf.path.display();
    match elf.find_symbol(symbol) {
        Ok((_, found)) if found == size as u64 => Ok(()),
        Ok((_, found)) => Err(Error::new(format!(
            "symbol {symbol} of {path} has {found} bytes instead of {size}"
        ))
        .advise("build the protection domains and this tool from the same sources")),
        Err(error) => Err(Error::new(format!("{path}: {error}"))
            .advise("check that the directory given with --elfs holds this program")),
    }
}

/// Writes `bytes` to `symbol`.
///
/// # Errors
/// That there is no such symbol of that size.
pub(crate) fn write(elf: &mut ElfFile, symbol: &str, bytes: &[u8]) -> Result<(), Error> {
    check(elf, symbol, bytes.len())?;
    elf.write_symbol(symbol, bytes).map_err(Error::new)
}

/// Writes the manifest.
///
/// # Errors
/// As [`write`].
pub(crate) fn manifest(elf: &mut ElfFile, words: &[u64; MANIFEST_WORDS]) -> Result<(), Error> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    write(elf, MANIFEST, &bytes)
}

/// Writes the names of clients into the console and the fault server, if the system has them, the
/// domains into the xenstore server, and the kind of UART into the console.
///
/// # Errors
/// As [`write`].
pub(crate) fn names(
    system: &SystemDescription,
    elfs: &mut [ElfFile],
    needs: &Needs,
) -> Result<(), Error> {
    let named = [pd::CONSOLE, pd::FAULT_SERVER];
    for server in named.iter().filter_map(|name| position(system, name).ok()) {
        write(&mut elfs[server], CLIENT_NAMES, &client_names(needs))?;
    }
    if let Ok(store) = position(system, pd::XENSTORE_SERVER) {
        write(&mut elfs[store], STORE_DOMAINS, &store_domains(needs))?;
    }
    let Ok(console) = position(system, pd::CONSOLE) else {
        return Ok(());
    };
    let uart = &needs.board.uart;
    let words = [uart.kind as u64, u64::from(uart.clock_hz)];
    write(
        &mut elfs[console],
        UART,
        words.map(u64::to_le_bytes).as_flattened(),
    )
}

fn store_domains(needs: &Needs) -> Vec<u8> {
    let mut bytes = Vec::new();
    for domain in needs.store.iter().take(topology::MAX_DOMAINS) {
        let mut name = [0; NAME_BYTES];
        for (to, from) in name.iter_mut().zip(domain.name.bytes()) {
            *to = from;
        }
        bytes.extend(name);
        let (vcpus, has) = (domain.vcpus.into(), domain.has_store.into());
        for word in [vcpus, domain.memory_kib, domain.most_kib, has] {
            bytes.extend(u64::to_le_bytes(word));
        }
    }
    bytes.resize((NAME_BYTES + 32) * topology::MAX_DOMAINS, 0);
    bytes
}

/// Tells gates that have time of their own, because their domains are bounded, and the fault server
/// that they keep it.
///
/// # Errors
/// As [`write`].
pub(crate) fn gates(
    system: &SystemDescription,
    elfs: &mut [ElfFile],
    needs: &Needs,
) -> Result<(), Error> {
    let mut active = 0_u64;
    for (index, domain) in needs.domains.iter().enumerate() {
        if is_bounded(&domain.vcpu_times) {
            let gate = position(system, &format!("{}{}", pd::GATE_PREFIX, domain.name))?;
            write(&mut elfs[gate], GATE_PAYS, &1_u64.to_le_bytes())?;
            active |= 1 << (child::GATE + index);
        }
    }
    match position(system, pd::FAULT_SERVER) {
        Ok(server) if active != 0 => {
            write(&mut elfs[server], ACTIVE_CHILDREN, &active.to_le_bytes())
        }
        _ => Ok(()),
    }
}

fn client_names(needs: &Needs) -> Vec<u8> {
    let mut names = [[0; NAME_BYTES]; console_client::COUNT];
    // Clients have the same names on all boards.
    let domains = needs.domains.len().min(topology::MAX_DOMAINS);
    for (client, member) in table::clients(Counter::Readable, domains) {
        let domain = member.domain.and_then(|index| needs.domains.get(index));
        let name = member.label(domain.map_or("", |domain| &domain.name));
        for (to, from) in names[client].iter_mut().zip(name.bytes()) {
            *to = from;
        }
    }
    names.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::needs::DomainNeeds;

    #[test]
    fn clients_are_domains_in_order_then_servers() {
        let domain = |name: &str| DomainNeeds {
            name: name.into(),
            domid: 1,
            ..DomainNeeds::default()
        };
        let needs = Needs {
            domains: vec![domain("linux1"), domain("a-name-of-seventeen")],
            ..Needs::default()
        };
        let names = client_names(&needs);
        assert_eq!(names.len(), console_client::COUNT * NAME_BYTES);
        let name = |client: usize| {
            let bytes = &names[client * NAME_BYTES..][..NAME_BYTES];
            String::from_utf8(bytes.to_vec())
                .unwrap()
                .trim_end_matches('\0')
                .to_owned()
        };
        assert_eq!(name(0), "linux1");
        assert_eq!(name(1), "a-name-of-sevent");
        assert_eq!(name(2), "");
        assert_eq!(name(console_client::MEMORY_SERVER), "memory_server");
        assert_eq!(name(console_client::TIMER_SERVER), "timer_server");
    }
}
