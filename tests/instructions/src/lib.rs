//! A plugin for QEMU that counts the instructions of all processors: time in which a machine waits
//! has none.
//!
//! `-plugin libzazen_instructions.so,into=FILE`: the count so far is in FILE, in decimal, and
//! behind a blank how many of them were below 2^39; renewed ten times a second. seL4 for
//! hypervisors lies above, with the thread that waits where nobody wants to run; so do kernels of
//! guests that have translation on.
//!
//! # Soundness
//! The names and types are those of QEMU's include/qemu/qemu-plugin.h, version 1. QEMU calls
//! [`qemu_plugin_install`] once, with words that end with NUL; it adds to the counters by itself,
//! and this crate only reads them.
#![expect(unsafe_code, reason = "this crate's purpose is to be called by QEMU")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Instructions so far. Blocks that end in their middle, by an exception, count as whole ones.
static COUNT: AtomicU64 = AtomicU64::new(0);
/// Those below [`KERNEL`].
static BELOW: AtomicU64 = AtomicU64::new(0);

/// The first address of seL4 (`PPTR_BASE` of AArch64 with hypervisor support).
const KERNEL: u64 = 1 << 39;

/// `QEMU_PLUGIN_INLINE_ADD_U64`.
const ADD: c_int = 0;

type OnBlock = extern "C" fn(u64, *mut c_void);

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, then: OnBlock);
    fn qemu_plugin_tb_n_insns(block: *const c_void) -> usize;
    fn qemu_plugin_tb_vaddr(block: *const c_void) -> u64;
    fn qemu_plugin_register_vcpu_tb_exec_inline(
        block: *mut c_void,
        operation: c_int,
        to: *mut c_void,
        value: u64,
    );
}

/// The version of the interface.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 1;

extern "C" fn on_block(_: u64, block: *mut c_void) {
    // SAFETY: a block of QEMU's, for the time of this call; the counters live as long as QEMU.
    unsafe {
        let count = qemu_plugin_tb_n_insns(block) as u64;
        qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, COUNT.as_ptr().cast(), count);
        if qemu_plugin_tb_vaddr(block) < KERNEL {
            qemu_plugin_register_vcpu_tb_exec_inline(block, ADD, BELOW.as_ptr().cast(), count);
        }
    }
}

/// QEMU's first call; 0 where the plugin can work.
///
/// # Safety
/// `words` are `count` pointers to words that end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _: *const c_void,
    count: c_int,
    words: *const *const c_char,
) -> c_int {
    let first = if count > 0 {
        // SAFETY: promised by the caller.
        unsafe { CStr::from_ptr(*words) }.to_str().ok()
    } else {
        None
    };
    let Some(path) = first.and_then(|word| word.strip_prefix("into=")) else {
        return 1;
    };
    let path = path.to_owned();
    std::thread::spawn(move || {
        loop {
            // Whoever reads a file that is being written reads it again.
            let [all, below] = [&COUNT, &BELOW].map(|count| count.load(Ordering::Relaxed));
            let _ = std::fs::write(&path, format!("{all} {below}\n"));
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    // SAFETY: the id is QEMU's.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, on_block) };
    0
}
