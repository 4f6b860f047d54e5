//! Values that the image builder writes into the program before it packs the image.

use memory_server::manifest::MANIFEST_WORDS;
use sel4_microkit::var;

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
    /// Its vCPUs; 0 where there is no such domain.
    pub vcpus: u64,
    /// KiB of RAM that it starts with.
    pub memory_kib: u64,
    /// KiB of RAM that it may have.
    pub most_kib: u64,
    has_store: u64,
}

impl StoreDomain {
    const NONE: Self = Self {
        name: [0; NAME_BYTES],
        vcpus: 0,
        memory_kib: 0,
        most_kib: 0,
        has_store: 0,
    };

    /// Whether there is such a domain.
    pub const fn is_there(&self) -> bool {
        self.vcpus != 0
    }
    /// Whether it has a store.
    pub const fn has_store(&self) -> bool {
        self.has_store != 0
    }
    /// Its name.
    pub fn name(&self) -> &str {
        let end = self.name.iter().position(|&byte| byte == 0);
        let name = &self.name[..end.unwrap_or(NAME_BYTES)];
        core::str::from_utf8(name).unwrap_or("?")
    }
}

/// The domains by their numbers, symbol `zazen_store_domains` of the xenstore server.
pub fn store_domains() -> &'static [StoreDomain; topology::MAX_DOMAINS] {
    var!(zazen_store_domains: [StoreDomain; topology::MAX_DOMAINS] = [StoreDomain::NONE; topology::MAX_DOMAINS])
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

/// Children of the fault server that keep time of their own, a bit for each. Symbol
/// `zazen_active_children` of the fault server.
pub fn active_children() -> u64 {
    *var!(zazen_active_children: u64 = 0)
}

/// Bytes of a name in [`console_names`].
pub const NAME_BYTES: usize = 16;

/// Names of the console's clients by client number, zero-padded; all zero where there is no such
/// client. Symbol `zazen_client_names` of the console.
pub fn console_names() -> &'static [[u8; NAME_BYTES]; topology::console_client::COUNT] {
    var!(zazen_client_names: [[u8; NAME_BYTES]; topology::console_client::COUNT] = [[0; NAME_BYTES]; topology::console_client::COUNT])
}
