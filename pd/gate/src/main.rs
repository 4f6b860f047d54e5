//! A gate: passes the calls of one VMM on to the servers, and nothing else.
//!
//! The servers have no processor time of their own; they run on that of their caller. seL4 lets
//! whoever may *call* such a server *send* to it as well, and a message that was sent brings no
//! time along: the server would leave its receive and never run again. No right of a capability
//! tells the two apart. So a VMM, which its guest may have taken over, has no capability to a
//! server but to its gate, and what it can stop is the gate that it alone uses. The gate makes
//! calls and no others.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

zazen_rt::gate!();
