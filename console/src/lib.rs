//! Line-atomic console multiplexer: one UART, many guests and servers.
//!
//! # What a person at the terminal sees
//! Every line starts with the name of its client: `linux1: text`. Lines of different clients never
//! mix. The guest with the input focus has its characters shown at once, so prompts and echo work.
//! While it writes a line, the others' lines wait until it ends or pauses for 20 ms, 100 ms at
//! most. One that comes after a pause takes the unfinished line off the screen, which comes back,
//! with its name, below: when its guest writes more, or 20 ms after the last of the others' lines.
//! Other clients' unfinished lines wait for their newline, for 512 bytes, or for the focus. Ctrl-a
//! three times moves the focus to the next guest, then to the monitor `zazen`, whose key `h` lists
//! the keys, and around. Lines that begin with `***` are the console's own.
//!
//! # What passes
//! The terminal is taken to be a UTF-8 one. For every client: printable ASCII, UTF-8, TAB, and
//! backspace as far as the line's own start. LF, vertical tab and form feed end the line (CR LF on
//! the wire). A CR alone goes back to the start of the line, where the name is printed again.
//! Colours (`ESC [ .. m`) pass and end with the line. NUL and other control characters, C1
//! controls, character-set switches and control strings (window titles) are dropped.
//!
//! Other escape sequences (cursor, erase, modes, queries) and BEL pass for the client with the
//! focus alone, so a full-screen program can be used there; such a program can draw anywhere, as in
//! any terminal, and the focus is the person's choice. From everybody else they are dropped: no
//! client without the focus can write over, or in the name of, another.
//!
//! # What is never lost
//! Bytes leave a client's ring only when there is room for them on the way to the UART. Where that
//! is slow, the ring fills, the client's writes fall short, and it is told when there is room.
//! Input has no such way back: typed bytes wait in the client's ring and in a short queue; beyond
//! that they are dropped, counted, and the bell rings.
//!
//! # Key types
//! [`Mux`], [`Role`], [`Pumped`], [`ClientSet`], [`Command`].
#![no_std]
#![forbid(unsafe_code)]

mod backlog;
mod client;
mod command;
mod filter;
mod input;
mod job;
mod line;
mod monitor;
mod mux;
mod pace;
mod power;
mod screen;
mod serve;
mod set;
mod vcpus;
mod which;
mod wire;

pub use client::{AddError, Role};
pub use command::{Action, Command, Purpose, SERVER_COMMANDS};
pub use line::LINE_MAX;
pub use mux::{Mux, Pumped};
pub use set::ClientSet;

/// Name of the monitor; no client may have it.
pub const MONITOR: &str = topology::pd::CONSOLE_MONITOR;
