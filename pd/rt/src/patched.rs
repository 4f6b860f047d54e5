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

/// Bytes of a name in [`console_names`].
pub const NAME_BYTES: usize = 16;

/// Names of the console's clients by client number, zero-padded; all zero where there is no such
/// client. Symbol `zazen_client_names` of the console.
pub fn console_names() -> &'static [[u8; NAME_BYTES]; topology::console_client::COUNT] {
    var!(zazen_client_names: [[u8; NAME_BYTES]; topology::console_client::COUNT] = [[0; NAME_BYTES]; topology::console_client::COUNT])
}
