//! Short programs that a VMM has a vCPU of its guest run.
#![expect(unsafe_code, reason = "a program's text as bytes")]

/// A program, which may run at any address that is a multiple of 4.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its text.
    pub bytes: &'static [u8],
    /// Offset of the instruction, a WFI, that it stops at.
    pub stop: u64,
}

impl Program {
    /// The program from `start` up to `end`, which stops at `stop`.
    ///
    /// # Safety
    /// What lies between belongs to one constant, and `stop` is in it.
    pub(crate) unsafe fn between(start: *const u8, stop: *const u8, end: *const u8) -> Self {
        // SAFETY: the caller's promise.
        let bytes = unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) };
        let stop = (stop.addr() - start.addr()) as u64;
        Self { bytes, stop }
    }
}
