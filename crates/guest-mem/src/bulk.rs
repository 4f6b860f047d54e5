//! Bulk copies in volatile words.
//!
//! `memcpy` may not be used: the compiler may assume that nobody else writes to what it reads.
//! Volatile words of 16 bytes become one `ldp` and one `stp` on AArch64, so a long copy costs
//! about 0.2 instructions a byte where both sides are aligned alike. Copies whose sides differ
//! in alignment use the widest word that suits both, down to single bytes.
#![expect(
    unsafe_code,
    reason = "volatile word accesses to memory that a guest changes meanwhile need raw pointers"
)]

/// Copies of at least this many bytes are worth the alignment to 16 bytes.
const LONG: usize = 128;

/// Copies `len` bytes from `from` to `to` in volatile accesses. No access is atomic as a whole
/// beyond the word it uses.
///
/// # Safety
/// `len` bytes from `from` must be readable and `len` bytes from `to` writable for the duration of
/// the call, both outside of every object that Rust code holds a conflicting reference to. The
/// ranges do not overlap.
pub(crate) unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    let differ = to.addr() ^ from.addr();
    // SAFETY: the ranges are the caller's; each arm needs the sides to be aligned alike for its
    // word, which `differ` tells.
    unsafe {
        if differ & 15 == 0 && len >= LONG {
            let head = by_vectors(to, from, len);
            copy_words::<u128>(to.add(head), from.add(head), len - head);
        } else if differ & 7 == 0 {
            copy_words::<u64>(to, from, len);
        } else if differ & 3 == 0 {
            copy_words::<u32>(to, from, len);
        } else {
            copy_words::<u8>(to, from, len);
        }
    }
}

/// Bytes from `address` up to the next multiple of `T`'s size, at most `len`.
fn to_boundary<T>(address: usize, len: usize) -> usize {
    (address.wrapping_neg() & (size_of::<T>() - 1)).min(len)
}

/// Copies in words of `T`.
///
/// # Safety
/// As [`copy`], and `to` and `from` are equal modulo the size of `T`, an unsigned integer.
unsafe fn copy_words<T: Copy>(mut to: *mut u8, mut from: *const u8, len: usize) {
    let word = size_of::<T>();
    let head = to_boundary::<T>(to.addr(), len);
    let body = (len - head) / word;
    let tail = len - head - body * word;
    // SAFETY: head + body * word + tail == len, so both pointers stay within the caller's ranges
    // (one past the end at last); after the head both are aligned for `T`.
    unsafe {
        for _ in 0..head {
            to.write_volatile(from.read_volatile());
            (to, from) = (to.add(1), from.add(1));
        }
        for _ in 0..body / 4 {
            let (t, f) = (to.cast::<T>(), from.cast::<T>());
            let (a, b) = (f.read_volatile(), f.add(1).read_volatile());
            let (c, d) = (f.add(2).read_volatile(), f.add(3).read_volatile());
            t.write_volatile(a);
            t.add(1).write_volatile(b);
            t.add(2).write_volatile(c);
            t.add(3).write_volatile(d);
            (to, from) = (to.add(4 * word), from.add(4 * word));
        }
        for _ in 0..body % 4 {
            to.cast::<T>()
                .write_volatile(from.cast::<T>().read_volatile());
            (to, from) = (to.add(word), from.add(word));
        }
        for _ in 0..tail {
            to.write_volatile(from.read_volatile());
            (to, from) = (to.add(1), from.add(1));
        }
    }
}

/// Zeroing or copying at least this many bytes is worth the vector registers, which the kernel may
/// have to fetch for this thread.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
const LONG_FOR_VECTORS: usize = 64 << 10;

/// Copies what a long copy has in whole 512 bytes, 18 instructions for each, and returns how many
/// bytes that were: none where there are no vector registers, or where it is not worth them.
///
/// # Safety
/// As [`copy`].
unsafe fn by_vectors(to: *mut u8, from: *const u8, len: usize) -> usize {
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    if is_long(len) {
        let body = len & !511;
        // SAFETY: accesses to the caller's ranges alone, at least once; the registers are named.
        // To the compiler assembly is as good as volatile accesses.
        unsafe {
            core::arch::asm!(
                "2:",
                ".rept 8",
                "ld1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{from}], #64",
                "st1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{to}], #64",
                ".endr",
                "subs {len}, {len}, #512",
                "b.ne 2b",
                to = inout(reg) to => _,
                from = inout(reg) from => _,
                len = inout(reg) body => _,
                out("v0") _,
                out("v1") _,
                out("v2") _,
                out("v3") _,
                options(nostack)
            );
        }
        return body;
    }
    let _ = (to, from, len);
    0
}

/// Zeroes `len` bytes from `to`, a multiple of 512, eight instructions for each 512 bytes.
///
/// `DC ZVA` would be for this, but seL4 leaves `SCTLR_EL1.DZE` clear, so it traps at user level.
///
/// # Safety
/// As the `to` side of [`copy`].
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
unsafe fn zero_by_vectors(to: *mut u8, len: usize) {
    if len == 0 {
        return;
    }
    // SAFETY: stores to the caller's range alone; the registers are named. To the compiler assembly
    // is as good as a volatile store.
    unsafe {
        core::arch::asm!(
            "movi v0.16b, #0",
            "movi v1.16b, #0",
            "movi v2.16b, #0",
            "movi v3.16b, #0",
            "2:",
            ".rept 8",
            "st1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{to}], #64",
            ".endr",
            "subs {len}, {len}, #512",
            "b.ne 2b",
            to = inout(reg) to => _,
            len = inout(reg) len => _,
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            options(nostack)
        );
    }
}

/// Whether so many bytes are worth the vector registers.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub(crate) fn is_long(len: usize) -> bool {
    len >= LONG_FOR_VECTORS
}

/// Bytes of a cache line that [`zero_and_clean_lines`] needs.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub(crate) const LINE: u64 = 64;
/// Bytes that it takes at a time.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub(crate) const LINES: usize = 32 * 64;

/// Zeroes `len` bytes from `to`, a multiple of [`LINES`] and not none, line by line, and cleans and
/// invalidates each line to the point of coherency.
///
/// # Safety
/// As the `to` side of [`copy`]; lines have [`LINE`] bytes, and `to` is at the start of one.
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
pub(crate) unsafe fn zero_and_clean_lines(to: *mut u8, len: usize) {
    // SAFETY: stores to the caller's range alone; cleaning changes no value that this program sees
    // (Arm ARM D7.5.9); the registers are named. To the compiler assembly is as good as a volatile
    // store.
    unsafe {
        core::arch::asm!(
            "movi v0.16b, #0",
            "movi v1.16b, #0",
            "movi v2.16b, #0",
            "movi v3.16b, #0",
            "2:",
            ".rept 32",
            "st1 {{v0.16b, v1.16b, v2.16b, v3.16b}}, [{to}]",
            "dc civac, {to}",
            "add {to}, {to}, #64",
            ".endr",
            "subs {len}, {len}, #2048",
            "b.ne 2b",
            "dsb sy",
            to = inout(reg) to => _,
            len = inout(reg) len => _,
            out("v0") _,
            out("v1") _,
            out("v2") _,
            out("v3") _,
            options(nostack)
        );
    }
}

/// Zeroes `len` bytes from `to` in volatile stores.
///
/// # Safety
/// As the `to` side of [`copy`].
pub(crate) unsafe fn zero(to: *mut u8, len: usize) {
    #[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
    if is_long(len) {
        let body = len & !511;
        // SAFETY: body + rest == len.
        unsafe {
            zero_by_vectors(to, body);
            zero_words(to.add(body), len - body);
        }
        return;
    }
    // SAFETY: the caller's range.
    unsafe { zero_words(to, len) }
}

/// The same, in words of 16 bytes.
///
/// # Safety
/// As [`zero`].
unsafe fn zero_words(mut to: *mut u8, len: usize) {
    let head = to_boundary::<u128>(to.addr(), len);
    let lines = (len - head) / 64;
    let tail = len - head - lines * 64;
    // SAFETY: head + lines * 64 + tail == len, so `to` stays within the caller's range; after the
    // head it is aligned to 16 bytes.
    unsafe {
        for _ in 0..head {
            to.write_volatile(0);
            to = to.add(1);
        }
        for _ in 0..lines {
            let words = to.cast::<u128>();
            words.write_volatile(0);
            words.add(1).write_volatile(0);
            words.add(2).write_volatile(0);
            words.add(3).write_volatile(0);
            to = to.add(64);
        }
        for _ in 0..tail {
            to.write_volatile(0);
            to = to.add(1);
        }
    }
}
