//! Values that the image builder writes into the program before it packs the image.

use block_server_api::driver::AREAS;
use block_server_api::wire::{self, DISKS_BYTES, Disks};
use memory_server::manifest::MANIFEST_WORDS;
use net_server::wire::{NICS_BYTES, Nics};
use sel4_immutable_cell::ImmutableCell;
use xenstore_server_api::{DEVICES_BYTES, Devices, Facts};

/// Declares a symbol for the image builder and gives what is there.
///
/// As `sel4_microkit::var`, with a section for each symbol: a program that has no use for one does
/// not carry it about.
macro_rules! var {
    ($symbol:ident: $type:ty = $default:expr) => {{
        #[expect(
            unsafe_code,
            reason = "a symbol and a section of its own, of plain data"
        )]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = concat!(".data.", stringify!($symbol)))]
        static $symbol: ImmutableCell<$type> = ImmutableCell::new($default);

        $symbol.get()
    }};
}

/// The memory server's manifest, symbol `zazen_manifest`.
pub fn manifest() -> &'static [u64] {
    var!(zazen_manifest: [u64; MANIFEST_WORDS] = [0; MANIFEST_WORDS])
}

/// Bytes of the memory server's `records` region, symbol `zazen_records_bytes`.
pub fn records_bytes() -> u64 {
    *var!(zazen_records_bytes: u64 = 0)
}

/// Bytes of the xenstore server's memory, symbol `zazen_store_bytes`.
pub fn store_bytes() -> u64 {
    *var!(zazen_store_bytes: u64 = 0)
}

/// What the xenstore server knows of a domain; all zero where there is none.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct StoreDomain {
    name: [u8; NAME_BYTES],
    /// 0 where there is no such domain.
    vcpus: u64,
    memory_kib: u64,
    most_kib: u64,
    has_store: u64,
    devices: [u8; DEVICES_BYTES],
}

impl StoreDomain {
    const NONE: Self = Self {
        name: [0; NAME_BYTES],
        vcpus: 0,
        memory_kib: 0,
        most_kib: 0,
        has_store: 0,
        devices: [0; DEVICES_BYTES],
    };

    /// Whether there is such a domain.
    pub const fn is_there(&self) -> bool {
        self.vcpus != 0
    }
    /// Whether it has a store.
    pub const fn has_store(&self) -> bool {
        self.has_store != 0
    }
    /// What the domains file says of it.
    pub fn facts(&self) -> Facts {
        Facts {
            name: self.name().try_into().unwrap_or_default(),
            vcpus: u8::try_from(self.vcpus).unwrap_or(u8::MAX),
            memory_kib: self.memory_kib,
            most_kib: self.most_kib,
            devices: Devices::from_bytes(&self.devices),
        }
    }
    fn name(&self) -> &str {
        text(&self.name)
    }
}

/// A name without the zeroes behind it.
fn text(name: &[u8; NAME_BYTES]) -> &str {
    let end = name.iter().position(|&byte| byte == 0);
    let name = &name[..end.unwrap_or(NAME_BYTES)];
    core::str::from_utf8(name).unwrap_or("?")
}

/// The domains by their numbers, symbol `zazen_store_domains` of the xenstore server.
pub fn store_domains() -> &'static [StoreDomain; topology::MAX_DOMAINS] {
    var!(zazen_store_domains: [StoreDomain; topology::MAX_DOMAINS] = [StoreDomain::NONE; topology::MAX_DOMAINS])
}

/// Whether this VMM's guest has disks: the address of the region with their queues, else 0. Symbol
/// `zazen_disks` of VMMs.
pub fn has_disks() -> bool {
    *var!(zazen_disks: u64 = 0) != 0
}

/// What the block server knows of a domain; all zero where there is none.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct DiskDomain {
    name: [u8; NAME_BYTES],
    disks: [u8; DISKS_BYTES],
}

impl DiskDomain {
    const NONE: Self = Self {
        name: [0; NAME_BYTES],
        disks: [0; DISKS_BYTES],
    };

    /// Its name.
    pub fn name(&self) -> &str {
        text(&self.name)
    }
    /// Its disks, in the order of the guest's numbers.
    pub fn disks(&self) -> Disks {
        wire::decode(&self.disks)
    }
}

/// The domains by their numbers, symbol `zazen_disk_domains` of the block server.
pub fn disk_domains() -> &'static [DiskDomain; topology::MAX_DOMAINS] {
    var!(zazen_disk_domains: [DiskDomain; topology::MAX_DOMAINS] = [DiskDomain::NONE; topology::MAX_DOMAINS])
}

/// Whether this VMM's guest has network interfaces: the address of the region with their queues,
/// else 0. Symbol `zazen_nets` of VMMs.
pub fn has_nets() -> bool {
    *var!(zazen_nets: u64 = 0) != 0
}

/// What the net server knows of a domain; all zero where there is none.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct NetDomain {
    name: [u8; NAME_BYTES],
    nics: [u8; NICS_BYTES],
}

impl NetDomain {
    const NONE: Self = Self {
        name: [0; NAME_BYTES],
        nics: [0; NICS_BYTES],
    };

    /// Its name.
    pub fn name(&self) -> &str {
        text(&self.name)
    }
    /// Its network interfaces, in the order of the guest's numbers.
    pub fn nics(&self) -> Nics {
        net_server::wire::decode(&self.nics)
    }
}

/// The domains by their numbers, symbol `zazen_net_domains` of the net server.
pub fn net_domains() -> &'static [NetDomain; topology::MAX_DOMAINS] {
    var!(zazen_net_domains: [NetDomain; topology::MAX_DOMAINS] = [NetDomain::NONE; topology::MAX_DOMAINS])
}

/// The network that leads outside. Symbol `zazen_net_uplink` of the net server.
pub fn net_uplink() -> Option<u8> {
    let network = var!(zazen_net_uplink: u64 = 0).checked_sub(1)?;
    u8::try_from(network).ok()
}

/// Physical address of the net driver's own memory. Symbol `zazen_net_dma` of that.
pub fn net_dma() -> u64 {
    *var!(zazen_net_dma: u64 = 0)
}

/// How many devices have a driver, and bytes of RAM disks by their numbers, 0 where there is none.
/// Symbol `zazen_disk_devices` of the block server.
pub fn disk_devices() -> (u64, &'static [u64]) {
    let words =
        var!(zazen_disk_devices: [u64; 1 + topology::RAM_DISKS] = [0; 1 + topology::RAM_DISKS]);
    (words[0], &words[1..])
}

/// Physical addresses of the areas that the driver's requests name, 0 where there is none, and of
/// the driver's own memory. Symbol `zazen_disk_areas` of the block driver.
pub fn disk_areas() -> ([u64; AREAS], u64) {
    let words = var!(zazen_disk_areas: [u64; AREAS + 1] = [0; AREAS + 1]);
    (core::array::from_fn(|area| words[area]), words[AREAS])
}

/// Address of the clock page, if user level cannot read the system counter; else 0. It is the
/// symbol `zazen_clock_page` of programs that need the time.
#[inline]
pub fn clock_page() -> u64 {
    *var!(zazen_clock_page: u64 = 0)
}

/// The console's UART: its kind (`board::UartKind`) and the frequency of its clock in Hz. Symbol
/// `zazen_uart` of the console.
pub fn uart() -> [u64; 2] {
    *var!(zazen_uart: [u64; 2] = [0; 2])
}

/// Whether a gate has time of its own, with which it pays for what servers do for its VMM. Symbol
/// `zazen_gate_pays` of gates.
pub fn gate_pays() -> bool {
    *var!(zazen_gate_pays: u64 = 0) != 0
}

/// What the peer server knows, symbol `zazen_peer_facts` of it.
pub fn peer_facts() -> &'static [u64; peer_server::FACTS_WORDS] {
    var!(zazen_peer_facts: [u64; peer_server::FACTS_WORDS] = [0; peer_server::FACTS_WORDS])
}

/// Whether there is a peer server. Symbol `zazen_has_peers` of the fault server.
pub fn has_peers() -> bool {
    *var!(zazen_has_peers: u64 = 0) != 0
}

/// Whether there is a wiper. Symbol `zazen_has_wiper` of the memory server.
pub fn has_wiper() -> bool {
    *var!(zazen_has_wiper: u64 = 0) != 0
}

/// Children of the fault server that keep time of their own, a bit for each. Symbol
/// `zazen_active_children` of the fault server.
pub fn active_children() -> u64 {
    *var!(zazen_active_children: u64 = 0)
}

/// How many vCPUs domains have, by their numbers. Symbol `zazen_vcpus` of the fault server.
pub fn vcpus() -> &'static [u64; topology::MAX_DOMAINS] {
    var!(zazen_vcpus: [u64; topology::MAX_DOMAINS] = [0; topology::MAX_DOMAINS])
}

/// Domains that have disks, a bit for each. Symbol `zazen_disk_users` of the fault server.
pub fn disk_users() -> u64 {
    *var!(zazen_disk_users: u64 = 0)
}

/// Domains that have network interfaces, a bit for each. Symbol `zazen_net_users` of the fault
/// server.
pub fn net_users() -> u64 {
    *var!(zazen_net_users: u64 = 0)
}

/// Whether the kernel uses several cores. Symbol `zazen_several_cores` of the memory server.
pub fn several_cores() -> bool {
    *var!(zazen_several_cores: u64 = 0) != 0
}

/// Whose core is which, in a VMM's image for several cores.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    own: u64,
    vcpus: [u64; hv_types::MAX_VCPUS],
}

impl Cores {
    /// The core of vCPU `number`, if that is not the VMM's.
    pub fn elsewhere(&self, number: usize) -> Option<u8> {
        let core = self.vcpus.get(number).filter(|core| **core != self.own)?;
        u8::try_from(*core).ok()
    }

    /// The core of vCPU `number`.
    pub fn of(&self, number: usize) -> u8 {
        let core = self.vcpus.get(number).unwrap_or(&self.own);
        u8::try_from(*core).unwrap_or(0)
    }
}

/// Where a VMM and its vCPUs are, on a multicore kernel. Symbol `zazen_cores` of VMMs: 1, the core
/// of the VMM, those of the vCPUs.
pub fn cores() -> Option<Cores> {
    let words = var!(zazen_cores: [u64; 2 + hv_types::MAX_VCPUS] = [0; 2 + hv_types::MAX_VCPUS]);
    let [1, own, vcpus @ ..] = *words else {
        return None;
    };
    Some(Cores { own, vcpus })
}

/// Bytes of a name in [`console_names`].
pub const NAME_BYTES: usize = 16;

/// Names of the console's clients by client number, zero-padded; all zero where there is no such
/// client. Symbol `zazen_client_names` of the console.
pub fn console_names() -> &'static [[u8; NAME_BYTES]; topology::console_client::COUNT] {
    var!(zazen_client_names: [[u8; NAME_BYTES]; topology::console_client::COUNT] = [[0; NAME_BYTES]; topology::console_client::COUNT])
}
