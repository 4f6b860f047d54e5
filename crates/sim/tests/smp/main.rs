//! Guests with several vCPUs.

#[path = "../common/mod.rs"]
mod common;
mod events;
mod interrupts;
mod lives;
mod meddle;
mod power;

use sim::guest::TEXT;
use sim::{Domain, Guest, System};

/// `linux1` with four vCPUs, `linux2` with two.
fn smp() -> System {
    System::new(&[
        Domain::new("linux1").with_cpus(4),
        Domain::new("linux2").heap().with_cpus(2),
    ])
}

/// Turns vCPUs 1 to 3 on.
fn all_on(guest: &mut Guest<'_>) {
    for number in 1..4 {
        assert_eq!(guest.cpu_on(number, TEXT, 0), 0);
    }
}
