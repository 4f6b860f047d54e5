//! Everything a guest can observe: traps, hypercalls, events, grants, virtual GIC, virtual timer,
//! PSCI and the image loader.
//!
//! The crate knows no kernel. What it needs from outside is in [`host`]; what a guest is, is a
//! [`vm::Vm`]; its lives, one after the other, are a [`life::Life`]. A host hands every exit of the vCPU to
//! [`life::Life::handle`] and does what the returned [`vm::Next`] says.
//!
//! Guests are hostile: no value from a guest is used before it is checked, nothing here panics or
//! loops on one, and no reference into guest memory exists (see the `guest-mem` crate).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod boot;
pub mod console_ring;
pub mod domains;
pub mod esr;
pub mod events;
pub mod exit;
#[cfg(test)]
pub(crate) mod fake;
pub mod fault;
pub mod guest_ptr;
pub mod host;
pub mod hypercall;
pub mod idregs;
pub mod inject;
pub mod life;
pub mod line_rate;
pub mod loader;
pub mod mmio;
pub mod p2m;
pub mod pages;
pub mod place;
pub mod psci;
pub mod ptimer;
mod run;
mod sysreg;
pub mod teardown;
pub mod vgic;
pub mod vm;
pub mod vpl011;
pub mod vtimer;
pub mod walk;
