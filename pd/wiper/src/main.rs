//! The wiper: has the kernel zero an untyped that was in use, on time of its own.
//!
//! Memory that the kernel owns is zeroed when it is made something else, all of it in one system
//! call, which takes a million instructions for 2 MiB. A guest that waits for that stands still.
//! So the memory server hands the untyped over and goes on; here the call ends with each time
//! slice and goes on where it was in the next one, between which guests run.
//!
//! The memory server moves the capability into the wiper's CNode and out again, whenever it likes:
//! what is zeroed by then stays so. The wiper can make objects of it, which are zeroed first, and
//! has no address space to map them in but its own.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

zazen_rt::wiper!();
