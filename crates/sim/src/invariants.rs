//! What must hold of the whole system at any time between two events.

use std::collections::{BTreeMap, HashMap};

use dt_server_api::Bank;
use hv_types::{Gfn, PAGE_SHIFT, WindowAddr};
use hypervisor_core::memory::p2m::Page;
use memory_server::DomainIndex;

use crate::caps::Side;
use crate::system::System;

impl System {
    /// Asserts that memory is where everybody believes it to be.
    ///
    /// - The memory server's parts sum to all of its memory and nothing is lost.
    /// - No byte of memory is in the hands of two domains.
    /// - No domain has more RAM than its share.
    /// - Nothing is mapped of a domain whose VMM crashed.
    /// - What any other guest reaches is what its VMM's p2m says: RAM the same memory as in the
    ///   window at its address if it is there, or nothing if it is absent; extra pages the same as
    ///   in their places in the window, holes nothing.
    ///
    /// # Panics
    /// If one of these does not hold.
    pub fn assert_consistent(&self) {
        let totals = self.memory.totals();
        assert_eq!(totals.sum(), totals.all, "{totals:?}");
        assert_eq!(totals.lost, 0);
        self.assert_disjoint();
        for index in 0..self.vmms.len() {
            let usage = self.memory.usage(Self::domain(index));
            assert!(
                usage.ram <= usage.max && usage.tables <= usage.tables_max,
                "domain {index}: {usage:?}"
            );
            if self.memory.has_crashed(Self::domain(index)) {
                // What its VMM believes is of no account.
                self.assert_nothing_mapped(index);
            } else {
                self.assert_maps_agree(index);
            }
        }
    }

    fn assert_disjoint(&self) {
        let machine = self.memory.machine().look();
        let mut owner: BTreeMap<u64, (u64, DomainIndex)> = BTreeMap::new();
        for frame in machine.held_frames() {
            owner.insert(frame.paddr, (frame.paddr + frame.bytes, frame.domain));
        }
        for frame in machine.held_frames() {
            let before = owner.range(..frame.paddr + frame.bytes).next_back();
            let (_, (end, domain)) = before.expect("the frame itself is among them");
            assert!(
                *end <= frame.paddr || *domain == frame.domain,
                "{:#x} is held by {domain:?} and {:?}",
                frame.paddr,
                frame.domain
            );
        }
    }

    fn assert_nothing_mapped(&self, index: usize) {
        for side in [Side::Guest, Side::Window] {
            let pages = self.pages(index, side);
            assert!(pages.is_empty(), "domain {index}, {side:?}: {pages:x?}");
        }
    }

    fn assert_maps_agree(&self, index: usize) {
        let Some(vm) = self.vmms[index].vm() else {
            return;
        };
        let [guest, window] = [Side::Guest, Side::Window].map(|side| self.pages(index, side));
        let agree = |gfn: u64| {
            let expected = match vm.domain.p2m.lookup(Gfn::new(gfn)) {
                Page::Hole => None,
                // Its owner may have taken it back. Whose it may be the tests of grants look at.
                Page::Foreign => return,
                // Whose it may be the tests of shared memory look at.
                Page::Shared => {
                    assert!(guest.contains_key(&gfn), "frame {gfn:#x} is shared");
                    return;
                }
                Page::Ram => {
                    let p2m = &vm.domain.p2m;
                    let absent = p2m.is_absent(Gfn::new(gfn));
                    assert_eq!(guest.contains_key(&gfn), !absent, "frame {gfn:#x}");
                    match p2m.in_sight(Gfn::new(gfn)) {
                        Some(at) => Some(
                            window
                                .get(&(at.raw() >> PAGE_SHIFT))
                                .expect("what is in sight is in the window"),
                        ),
                        None => guest.get(&gfn),
                    }
                }
                Page::Alias(at) => Some(
                    window
                        .get(&(at.raw() >> PAGE_SHIFT))
                        .expect("an alias's page is in the window"),
                ),
                Page::Extra(kind) => {
                    let at = WindowAddr::extra(kind.index(), 0).raw();
                    Some(
                        window
                            .get(&(at >> PAGE_SHIFT))
                            .expect("extra pages are in the window"),
                    )
                }
            };
            assert_eq!(guest.get(&gfn), expected, "domain {index}, frame {gfn:#x}");
        };
        for bank in &vm.domain.record.max_banks {
            frames(bank).for_each(agree);
        }
        // And nothing anywhere else but extra pages.
        guest.keys().copied().for_each(agree);
    }

    /// Physical addresses by page number of an address space.
    fn pages(&self, index: usize, side: Side) -> HashMap<u64, u64> {
        let mapped = self
            .memory
            .machine()
            .look()
            .mapped(Self::domain(index), side);
        let pages = mapped.into_iter().flat_map(|(at, paddr, bytes)| {
            (0..bytes >> PAGE_SHIFT)
                .map(move |n| ((at >> PAGE_SHIFT) + n, paddr + (n << PAGE_SHIFT)))
        });
        pages.collect()
    }
}

fn frames(bank: &Bank) -> impl Iterator<Item = u64> + use<> {
    let first = bank.start().gfn().raw();
    first..first + (bank.size() >> PAGE_SHIFT)
}
