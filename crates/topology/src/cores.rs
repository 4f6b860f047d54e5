//! Cores of a multicore kernel, and what is where.
//!
//! The servers and the gates are on the first core. A VMM and each of its vCPUs are where the
//! domains file says, or where they are spread to. docs/design/cores.md has the reasons.
//!
//! The kernel leaves the registers of a vCPU in its core when its thread stops, and reads and
//! writes them there only for a VMM on the same core. So a domain with vCPUs on other cores than
//! its VMM's has an *unloader* on each of those: one more vCPU, which never executes an
//! instruction. When it is started the core saves what it had loaded.

/// The core of the servers and the gates.
pub const SERVERS: u8 = 0;
/// Most cores that a system may use.
pub const MAX: u8 = 8;

/// The number, among the vCPUs of a Microkit virtual machine, of the unloader of core `core`.
pub const fn unloader(core: u8) -> u64 {
    VCPUS as u64 + core as u64
}

/// vCPUs of a guest at most (`hv_types::MAX_VCPUS`).
const VCPUS: usize = 8;

/// Cores that need an unloader: those that vCPUs are on, but for `vmm`, their VMM's. In rising
/// order.
pub fn with_unloader(vmm: u8, vcpus: &[u8]) -> impl Iterator<Item = u8> {
    (0..MAX).filter(move |core| *core != vmm && vcpus.contains(core))
}

const _: () = assert!(crate::caps::vmm_reply(VCPUS) < crate::caps::VMM_UNLOADED);
const _: () = assert!(crate::caps::vmm_unload_reply(MAX) < crate::caps::MICROKIT_SLOTS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_of_vcpus_have_an_unloader_but_for_the_vmms_own() {
        let are = |vmm, vcpus: &[u8], wanted: &[u8]| {
            assert!(with_unloader(vmm, vcpus).eq(wanted.iter().copied()));
        };
        are(1, &[1, 2, 3, 0], &[0, 2, 3]);
        are(1, &[2, 2], &[2]);
        are(2, &[2, 2], &[]);
    }
}
