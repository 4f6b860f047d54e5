//! What grants of another guest cost: one publishes pages and sleeps, the other maps them.

use super::PATIENCE;
use crate::bench::instructions;
use crate::codes::grants::{TABLE, publish};
use crate::codes::physmap;
use crate::page::{self, Use};
use crate::xen::{SELF, call2, call3, nr};
use crate::{cpu, println};

/// Guest physical addresses of nothing, as in the checks.
const AT: u64 = 0x3_6000_0000;
/// The first reference of the pages.
const FIRST: u32 = 64;
/// How many there are, and most that one call maps.
const PAGES: usize = 32;
const RUNS: usize = 20;

/// `GNTTABOP_map_grant_ref` and `GNTTABOP_unmap_grant_ref`.
const MAP: u64 = 0;
const UNMAP: u64 = 1;

/// `gnttab_map_grant_ref`: host_addr @0, flags @8, ref @12, dom @16, status @18, handle @20.
type Map = [u64; 4];
/// `gnttab_unmap_grant_ref`: host_addr @0, dev_bus_addr @8, handle @16, status @20.
type Unmap = [u64; 3];

/// Runs the set.
pub fn run(role: &str, other: u16) {
    physmap::add(SELF, 1, 0, TABLE >> 12);
    if role == "host" {
        host(other);
    }
    maps(other);
    println!("bench: done 0");
}

/// Publishes its pages and sleeps for ever.
fn host(other: u16) -> ! {
    // 4..10 MiB of RAM, which starts at a multiple of 1 GiB, hold nothing.
    let first = ((page::address(Use::Data) & !0x3fff_ffff) >> 12) + 1024;
    for n in 0..PAGES as u64 {
        publish(u64::from(FIRST) + n, 1, other, first + n);
    }
    loop {
        cpu::sleep();
    }
}

/// Maps the first `count` pages by one call, and unmaps them by another; ticks, unless something is
/// refused.
fn round(other: u16, count: usize) -> Option<u64> {
    let mut maps: [Map; PAGES] = [[0; 4]; PAGES];
    for (n, map) in (0..).zip(&mut maps) {
        let gref = u64::from(FIRST) + n;
        *map = [AT + 0x1000 * n, 2 | gref << 32, u64::from(other), 0];
    }
    let maps = core::hint::black_box(&mut maps);
    let start = cpu::counter();
    call3(nr::GRANT, MAP, maps.as_mut_ptr() as u64, count as u64);
    let mapped = cpu::counter() - start;
    let maps = core::hint::black_box(maps);
    let mut unmaps: [Unmap; PAGES] = [[0; 3]; PAGES];
    let mut granted = 0;
    for (map, unmap) in maps.iter().take(count).zip(&mut unmaps) {
        // Domain, status, handle.
        if map[2] >> 16 & 0xffff == 0 {
            *unmap = [map[0], 0, map[2] >> 32];
            granted += 1;
        }
    }
    let unmaps = core::hint::black_box(&mut unmaps);
    let start = cpu::counter();
    call3(nr::GRANT, UNMAP, unmaps.as_mut_ptr() as u64, granted as u64);
    let unmapped = cpu::counter() - start;
    let unmaps = core::hint::black_box(unmaps);
    let ended = unmaps
        .iter()
        .take(granted)
        .all(|unmap| unmap[2] >> 32 & 0xffff == 0);
    (granted == count && ended).then_some(mapped + unmapped)
}

fn maps(other: u16) {
    let end = cpu::counter() + PATIENCE * cpu::frequency();
    while round(other, PAGES).is_none() {
        if cpu::counter() > end {
            println!("probe: the other guest grants nothing");
            return;
        }
        call2(nr::SCHED, 0, 0);
    }
    for count in [1, 11, 32] {
        let least = (0..RUNS).filter_map(|_| round(other, count)).min();
        if let Some(ticks) = least {
            println!(
                "bench: grant_map_{count} {}",
                instructions(ticks) / count as u64
            );
        }
    }
}
