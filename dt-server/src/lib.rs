//! Reads the dom0less device tree and writes each guest its own.
//!
//! [`parse()`] validates a whole boot device tree in Xen's dom0less binding and either returns a
//! [`Config`] with every domain, or [`Diagnostics`] with every mistake: nothing starts from a file
//! that has one. The same code runs on the host (`zazen check`, the image builder) and in the
//! dt-server's protection domain, where [`DtServer`] answers each VMM by the channel it calls on.
//!
//! Some properties are Zazen's own. A module node names its file with `zazen,file = "name"` in
//! place of Xen's `reg`, because the image builder embeds modules; the builder adds `zazen,size =
//! <u64>`, the file's exact bytes, to the tree that goes into the image, and to `/chosen` the name
//! of the board that the image is for (`zazen,board`).
//!
//! The crate allocates (dtoolkit's writer does, and so do texts); everything it keeps is bounded,
//! see [`HEAP`]. It never panics on a device tree, whatever is in it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod binding;
mod budget;
mod chosen;
mod config;
mod cores;
mod cpu_time;
mod diag;
mod direct;
mod domain;
mod features;
mod guest_tree;
mod host_memory;
mod kernel_image;
mod known;
mod layout;
mod module;
mod names;
mod node;
mod pair;
mod parse;
mod range;
mod rules;
mod seeds;
mod server;
mod shared_memory;
mod static_evtchn;
mod text;
mod units;

pub use binding::{NODES, NodeKind, Property};
pub use config::{
    Config, DiskConfig, DiskSource, DomainConfig, FileInfo, Files, NicConfig, NoFiles,
    SharedRegion, View, heap_bytes,
};
pub use diag::{Diagnostic, Diagnostics, Edit, MAX_DIAGNOSTICS, Place, Rule, Severity};
pub use guest_tree::guest_tree;
pub use host_memory::{Claim, ClaimKind};
pub use module::FILE_MAX;
pub use pair::Pair;
pub use parse::{DTB_MAX, Survey, parse, parse_for, survey};
pub use range::Range;
pub use rules::RuleInfo;
pub use seeds::{Entropy, Jitter, LifeSeeds, Quality, Seeds};
pub use server::{DtServer, HEAP, TREE_MAX, TREE_ROOM};
pub use units::{amount, too_many};
