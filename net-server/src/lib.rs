//! Networks for guests: a switch with a port for each of their interfaces.
//!
//! The domains file says which interface is in which network. A frame goes to the interfaces of its
//! sender's network and to no others. Addresses are known from the start, so the switch learns
//! nothing, and nobody can have it learn wrongly.
//!
//! # Nothing is trusted
//! Frames are checked by `net-server-api`. The addresses at a frame's start are copied once,
//! checked and written to the copy that is delivered, so what a VMM changes meanwhile reaches
//! nobody. A frame whose source is not its port's address goes nowhere and is counted.
//!
//! # Uplinks
//! A network may have an uplink: the driver of a network device, which stands where a VMM does
//! ([`UPLINK`]). What is for nobody in the network goes there, and what is for groups goes there as
//! well; on the way out checksums are put in and pieces of streams cut ([`leave`]). What comes in
//! must not have the address of one of the network's interfaces as its source.
//!
//! # Fairness
//! Ports have turns, by bytes. A turn does a bounded part of what there is to do. A frame for an
//! interface that does not fetch its frames is dropped, as by any switch: a queue that is full is
//! its owner's alone, and nobody waits for it. Frames to groups are bounded in number for each port
//! ([`GROUP_RATE`]).
//!
//! # Modules
//! - [`Server`]: turns; `port`: what a port has and counts; [`leave`]: what is done with frames
//!   that leave; [`Notice`]: what a person should know; [`Report`]: what all ports have counted,
//!   for the console's monitor; [`wire`]: the domains file's words.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod leave;
mod notice;
mod port;
mod report;
mod server;
pub mod wire;

pub use notice::Notice;
pub use port::{Counters, Dropped, GROUP_BURST, GROUP_RATE, PortSpec};
pub use report::Report;
pub use server::{Server, Turn, UPLINK};
