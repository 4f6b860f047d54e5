//! Zazen as one bare-metal EL2 image: the hypervisor core and the servers of the Microkit system,
//! called in place.
//!
//! It has no isolation between servers and is for development, CI and comparison; the product is
//! the Microkit system in `pd/`. What a guest can observe is in the shared crates.
//!
//! | module | what it is |
//! |---|---|
//! | [`start`] | first instructions, vectors, world switch |
//! | [`cpu`], [`gich`], [`board`] | the processor, the GIC's virtual interface, addresses |
//! | [`cores`] | the lock that all cores share, and what one has another do |
//! | [`firmware`] | what whoever started it left: random numbers |
//! | [`own`], [`paging`], [`machine`] | the host's memory, translation tables, capabilities |
//! | [`services`], [`serial`] | memory server, dt-server, timer, console, behind their messages |
//! | [`vcpu`], [`guest`] | a guest and what its core needs |
//! | [`boot`], [`system`] | building everything, and running it |
#![no_std]
#![no_main]

extern crate alloc;

mod block;
mod board;
mod boot;
mod cores;
mod cpu;
mod firmware;
mod gicd;
mod gich;
mod guest;
mod log;
mod machine;
mod net;
mod own;
mod paging;
mod panic;
mod peers;
mod serial;
mod services;
mod start;
mod store;
mod system;
mod vcpu;
