//! Everything a guest can observe: traps, hypercalls, events, grants, virtual GIC, virtual timer,
//! PSCI and the image loader.
//!
//! The crate knows no kernel. What it needs from outside is in [`host`]; what a guest is, is a
//! [`vm::Vm`]; its lives, one after the other, are a [`life::Life`]. A host hands every exit of the
//! vCPU to [`life::Life::handle`] and does what the returned [`vcpu::action::VcpuAction`] says.
//!
//! # Rooms
//!
//! | module | is about |
//! |---|---|
//! | [`domain`] | the guest as a whole: identity and neighbours |
//! | [`vcpu`] | one virtual CPU: timers, stage-1 walk, exceptions that it takes |
//! | [`device`] | interrupt controller, UART, PV console |
//! | [`memory`] | p2m, guest pointers, the window |
//! | [`evtchn`] | event channels |
//! | [`hypercall`] | from number and arguments to a result |
//! | [`exit`] | from an exit to what the vCPU does next |
//! | [`life`] | build, run, tear down, build again |
//! | [`diag`] | faults in words, the guest's map, line rates |
//!
//! Guests are hostile: no value from a guest is used before it is checked, nothing here panics or
//! loops on one, and no reference into guest memory exists (see the `guest-mem` crate).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod device;
pub mod diag;
pub mod domain;
pub mod evtchn;
pub mod exit;
#[cfg(test)]
pub(crate) mod fake;
pub mod host;
pub mod hypercall;
pub mod life;
pub mod memory;
pub mod vcpu;
pub mod vm;
