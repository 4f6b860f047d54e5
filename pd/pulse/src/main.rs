//! The pulse: wakes the timer server once in each period while a client waits for a deadline.
//!
//! On qemu_virt guests can program the timer that the timer server has, and put it off for good.
//! What they cannot reach is the kernel's own timer, by which it measures budgets: a thread whose
//! budget is used up runs again when its period is over. So this one gives its budget up, is back a
//! period later, and notifies the timer server, which looks at the counter.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

zazen_rt::pulse!();
