//! Values written into programs before they are packed.

use block_server_api::driver;
use memory_server::manifest::MANIFEST_WORDS;
use microkit_tool::elf::ElfFile;
use microkit_tool::sdf::SystemDescription;
use topology::shape::{Counter, Shape};
use topology::share::is_bounded;
use topology::table;
use topology::{child, console_client, pd};
use xenstore_server_api::DEVICES_BYTES;

use crate::Error;
use crate::modules::Preload;
use crate::needs::{self, Needs};

/// The memory server's manifest: `[u64; MANIFEST_WORDS]`.
pub(crate) const MANIFEST: &str = "zazen_manifest";
/// Names of the console's clients, for the console and the fault server: `[[u8; NAME_BYTES];
/// console_client::COUNT]`, padded with zeroes.
const CLIENT_NAMES: &str = "zazen_client_names";
/// What the xenstore server knows of each domain: `[StoreDomain; MAX_DOMAINS]` of zazen-rt.
const STORE_DOMAINS: &str = "zazen_store_domains";
/// What the peer server knows: `[u64; FACTS_WORDS]`.
const PEER_FACTS: &str = "zazen_peer_facts";
/// Of the fault server: `u64`, 1 if there is a peer server.
const HAS_PEERS: &str = "zazen_has_peers";
const HAS_WIPER: &str = "zazen_has_wiper";
/// What the block server knows of each domain's disks: `[DiskDomain; MAX_DOMAINS]` of zazen-rt.
const DISK_DOMAINS: &str = "zazen_disk_domains";
/// Of the fault server: `u64`, a bit for each domain with disks.
const DISK_USERS: &str = "zazen_disk_users";
/// What the net server knows of each domain's interfaces: `[NetDomain; MAX_DOMAINS]` of zazen-rt.
const NET_DOMAINS: &str = "zazen_net_domains";
/// Of the net server: `u64`, the network with the uplink and 1, or 0.
const NET_UPLINK: &str = "zazen_net_uplink";
/// Of the net driver: `u64`, physical address of its own memory.
const NET_DMA: &str = "zazen_net_dma";
/// Of the fault server: `u64`, a bit for each domain with network interfaces.
const NET_USERS: &str = "zazen_net_users";
/// Of the block server: `[u64; 1 + RAM_DISKS]`, devices with a driver and bytes of RAM disks.
const DISK_DEVICES: &str = "zazen_disk_devices";
/// Of the block driver: `[u64; AREAS + 1]`, physical addresses of areas and of its own memory.
const DISK_AREAS: &str = "zazen_disk_areas";
/// The console's UART: `[u64; 2]`, kind and clock.
const UART: &str = "zazen_uart";
/// Of a gate: `u64`, 1 if it has time of its own.
const GATE_PAYS: &str = "zazen_gate_pays";
/// Of the fault server: `u64`, a bit for each child that keeps its time.
const ACTIVE_CHILDREN: &str = "zazen_active_children";
/// Of the fault server: `[u64; MAX_DOMAINS]`, vCPUs of each domain.
const VCPUS: &str = "zazen_vcpus";
/// Of a VMM: `[u64; 2 + MAX_VCPUS]`, 1 on a multicore kernel, its core, those of its vCPUs.
const CORES: &str = "zazen_cores";
/// Of the memory server: `u64`, 1 on a multicore kernel.
const SEVERAL_CORES: &str = "zazen_several_cores";
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
    if let Some(facts) = &needs.peers {
        let server = position(system, pd::PEER_SERVER)?;
        let words = facts.words().map(u64::to_le_bytes);
        write(&mut elfs[server], PEER_FACTS, words.as_flattened())?;
        let server = position(system, pd::FAULT_SERVER)?;
        write(&mut elfs[server], HAS_PEERS, &1_u64.to_le_bytes())?;
    }
    if needs.shape.heap.has(None) {
        let server = position(system, pd::MEMORY_SERVER)?;
        write(&mut elfs[server], HAS_WIPER, &1_u64.to_le_bytes())?;
    }
    if let Ok(server) = position(system, pd::BLOCK_SERVER) {
        write(&mut elfs[server], DISK_DOMAINS, &disk_domains(needs))?;
        let mut words = [0; 1 + topology::RAM_DISKS];
        words[0] = needs.hardware() as u64;
        for (to, bytes) in words[1..].iter_mut().zip(&needs.ram_disks) {
            *to = *bytes;
        }
        let bytes = words.map(u64::to_le_bytes);
        write(&mut elfs[server], DISK_DEVICES, bytes.as_flattened())?;
    }
    if let Ok(server) = position(system, pd::FAULT_SERVER) {
        let mut words = [0; topology::MAX_DOMAINS];
        for (word, domain) in words.iter_mut().zip(&needs.domains) {
            *word = domain.vcpu_times.len() as u64;
        }
        let bytes = words.map(u64::to_le_bytes);
        write(&mut elfs[server], VCPUS, bytes.as_flattened())?;
    }
    if let Ok(server) = position(system, pd::NET_SERVER) {
        write(&mut elfs[server], NET_DOMAINS, &net_domains(needs))?;
        let uplink = needs.uplink.map_or(0, |network| u64::from(network) + 1);
        write(&mut elfs[server], NET_UPLINK, &uplink.to_le_bytes())?;
    }
    for (symbol, has) in [
        (DISK_USERS, needs.shape.disks),
        (NET_USERS, needs.shape.nets),
    ] {
        let users = (0..topology::MAX_DOMAINS).filter(|domain| has.has(Some(*domain)));
        let users = users.fold(0_u64, |users, domain| users | 1 << domain);
        if let Ok(server) = position(system, pd::FAULT_SERVER)
            && users != 0
        {
            write(&mut elfs[server], symbol, &users.to_le_bytes())?;
        }
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
        let facts = &domain.facts;
        bytes.extend(padded(&facts.name));
        let (vcpus, has) = (facts.vcpus.into(), domain.has_store.into());
        for word in [vcpus, facts.memory_kib, facts.most_kib, has] {
            bytes.extend(u64::to_le_bytes(word));
        }
        let mut devices = facts.devices.bytes().to_vec();
        devices.resize(DEVICES_BYTES, 0);
        bytes.extend(devices);
    }
    bytes.resize((NAME_BYTES + 32 + DEVICES_BYTES) * topology::MAX_DOMAINS, 0);
    bytes
}

fn disk_domains(needs: &Needs) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (domain, disks) in needs.domains.iter().zip(&needs.disks) {
        bytes.extend(padded(&domain.name));
        bytes.extend(block_server_api::wire::encode(disks));
    }
    bytes.resize(
        (NAME_BYTES + block_server_api::wire::DISKS_BYTES) * topology::MAX_DOMAINS,
        0,
    );
    bytes
}

fn net_domains(needs: &Needs) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (domain, nics) in needs.domains.iter().zip(&needs.nics) {
        bytes.extend(padded(&domain.name));
        bytes.extend(net_server::wire::encode(nics));
    }
    bytes.resize(
        (NAME_BYTES + net_server::wire::NICS_BYTES) * topology::MAX_DOMAINS,
        0,
    );
    bytes
}

/// Tells drivers, if the system has any, where `placed` regions are that their devices may read and
/// write; of others they know nothing.
///
/// # Errors
/// As [`write`].
pub(crate) fn device_areas(
    system: &SystemDescription,
    elfs: &mut [ElfFile],
    needs: &Needs,
    placed: &[Preload],
) -> Result<(), Error> {
    let at = |name: &str| {
        let region = placed.iter().find(|placed| placed.region == name);
        region.map_or(0, |region| region.paddr.0)
    };
    if let Ok(driver) = position(system, pd::NET_DRIVER) {
        let own = at(needs::NET_DMA);
        write(&mut elfs[driver], NET_DMA, &own.to_le_bytes())?;
    }
    let Ok(driver) = position(system, pd::BLOCK_DRIVER) else {
        return Ok(());
    };
    let mut words = [0; driver::AREAS + 1];
    for (word, domain) in words.iter_mut().zip(&needs.domains) {
        *word = at(&format!("{}{}", needs::DATA, domain.name));
    }
    words[driver::OWN] = at(needs::BUFFER);
    words[driver::AREAS] = at(needs::DMA);
    let bytes = words.map(u64::to_le_bytes);
    write(&mut elfs[driver], DISK_AREAS, bytes.as_flattened())
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
    several_cores: bool,
) -> Result<(), Error> {
    let mut active = 0_u64;
    for (index, domain) in needs.domains.iter().enumerate() {
        if is_bounded(&domain.vcpu_times) {
            let gate = position(system, &format!("{}{}", pd::GATE_PREFIX, domain.name))?;
            write(&mut elfs[gate], GATE_PAYS, &1_u64.to_le_bytes())?;
            active |= 1 << (child::GATE + index);
        }
        if several_cores {
            active |= 1 << (child::GATE + index) | 1 << index;
        }
    }
    match position(system, pd::FAULT_SERVER) {
        Ok(server) if active != 0 => {
            write(&mut elfs[server], ACTIVE_CHILDREN, &active.to_le_bytes())
        }
        _ => Ok(()),
    }
}

/// As much of `name` as there is room for.
fn padded(name: &str) -> [u8; NAME_BYTES] {
    let mut padded = [0; NAME_BYTES];
    for (to, from) in padded.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    padded
}

/// Tells VMMs on a multicore kernel on which cores they and their vCPUs are, and the memory server
/// that it is on one.
///
/// # Errors
/// As [`write`].
pub(crate) fn cores(
    system: &SystemDescription,
    elfs: &mut [ElfFile],
    needs: &Needs,
) -> Result<(), Error> {
    let server = position(system, pd::MEMORY_SERVER)?;
    write(&mut elfs[server], SEVERAL_CORES, &1_u64.to_le_bytes())?;
    for domain in &needs.domains {
        let vmm = position(system, &format!("{}{}", pd::VMM_PREFIX, domain.name))?;
        let pd = &system.protection_domains[vmm];
        let own = pd.cpu.0;
        let mut words = [0; 2 + hv_types::MAX_VCPUS];
        words[0] = 1;
        words[1] = u64::from(own);
        let vcpus = pd.virtual_machine.iter().flat_map(|vm| &vm.vcpus);
        for vcpu in vcpus {
            let number = usize::try_from(vcpu.id).unwrap_or(usize::MAX);
            if let Some(word) = words[2..].get_mut(number) {
                *word = vcpu.cpu.map_or(own, |cpu| cpu.0).into();
            }
        }
        let bytes = words.map(u64::to_le_bytes);
        write(&mut elfs[vmm], CORES, bytes.as_flattened())?;
    }
    Ok(())
}

fn client_names(needs: &Needs) -> Vec<u8> {
    let mut names = [[0; NAME_BYTES]; console_client::COUNT];
    // Clients have the same names on all boards.
    let shape = Shape {
        counter: Counter::Readable,
        domains: needs.domains.len().min(topology::MAX_DOMAINS),
        ..needs.shape
    };
    for (client, member) in table::clients(shape) {
        let domain = member.domain.and_then(|index| needs.domains.get(index));
        names[client] = padded(member.label(domain.map_or("", |domain| &domain.name)));
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
