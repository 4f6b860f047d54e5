//! What the fuzzer runs: one function for each decoder of untrusted bytes.
//!
//! A body turns arbitrary bytes into a hostile peer or guest. It panics if the code under test
//! does, or if an invariant is broken. Bodies are deterministic.
//!
//! They run twice: under libFuzzer (`fuzz/`, a wrapper of three lines for each), and as plain tests
//! over the corpus in `fuzz/corpus`, which need no nightly compiler. The first files of each corpus
//! are [`seeds`]: readable sources of inputs that get past the first check of a decoder.
//!
//! | target | untrusted bytes |
//! |---|---|
//! | `memory_request` | requests of two VMMs to the memory server, some refused by the kernel |
//! | `peer_request` | requests of three VMMs to the peer server, entries of their guests' grant tables |
//! | `manifest` | the memory server's boot manifest |
//! | `dt_tree` | a boot device tree |
//! | `dt_wire` | requests to the dt-server, and replies to its client |
//! | `byte_ring` | the peer's words of a byte ring |
//! | `console_mux` | a client's shared region, what it prints, what is typed |
//! | `pv_console` | the guest's page of the PV console |
//! | `trap` | `ESR_EL2` and the addresses with it |
//! | `instruction` | an instruction of a guest that aborted, its syndrome, address and base |
//! | `image` | a kernel file |
//! | `stage1` | a guest's translation tables and registers |
//! | `hypercall` | registers and memory of a hypercall |
//! | `exits` | whatever makes a vCPU stop, with any registers |
//! | `timer_request` | requests to the timer server |
//! | `gpt` | the partition table of a disk |
//! | `block_requests` | a VMM's region of the block server |
//! | `xenstore` | a VMM's region of the store, and a guest's requests |
//! | `blkif` | a front end's requests for its disk |
//! | `netif` | the packets that a front end sends |
//! | `leave` | frames that leave by an uplink |
#![forbid(unsafe_code)]

mod blkif;
mod blocks;
mod console;
mod device_tree;
mod exits;
mod guest;
mod hypercall;
mod image;
mod input;
mod instruction;
mod leave;
mod memory;
mod netif;
mod peers;
mod pv_console;
mod ring;
pub mod seeds;
mod stage1;
mod timer;
mod trap;
mod xenstore;

pub use blkif::blkif;
pub use blocks::{block_requests, gpt};
pub use console::console_mux;
pub use device_tree::{dt_tree, dt_wire};
pub use exits::exits;
pub use hypercall::hypercall;
pub use image::image;
pub use instruction::instruction;
pub use leave::leave;
pub use memory::{manifest, memory_request};
pub use netif::netif;
pub use peers::peer_request;
pub use pv_console::pv_console;
pub use ring::byte_ring;
pub use stage1::stage1;
pub use timer::timer_request;
pub use trap::trap;
pub use xenstore::xenstore;

/// A target's body.
pub type Body = fn(&[u8]);

/// Every target by name; the name is also that of its wrapper and of its corpus.
pub const TARGETS: &[(&str, Body)] = &[
    ("memory_request", memory_request),
    ("peer_request", peer_request),
    ("manifest", manifest),
    ("dt_tree", dt_tree),
    ("dt_wire", dt_wire),
    ("byte_ring", byte_ring),
    ("console_mux", console_mux),
    ("pv_console", pv_console),
    ("trap", trap),
    ("instruction", instruction),
    ("image", image),
    ("stage1", stage1),
    ("hypercall", hypercall),
    ("exits", exits),
    ("timer_request", timer_request),
    ("xenstore", xenstore),
    ("blkif", blkif),
    ("netif", netif),
    ("leave", leave),
    ("gpt", gpt),
    ("block_requests", block_requests),
];
