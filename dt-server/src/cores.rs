//! Which vCPU is on which core.

use alloc::vec;
use alloc::vec::Vec;

use topology::cores::SERVERS;
use topology::pd::time;

use crate::chosen::Found;
use crate::domain::Draft;

/// A set of cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cores(u64);

impl Cores {
    /// Any.
    pub(crate) const ANY: Self = Self(u64::MAX);
    /// None.
    pub(crate) const NONE: Self = Self(0);

    /// These and `core`.
    pub(crate) const fn with(self, core: u8) -> Self {
        Self(self.0 | 1 << (core & 63))
    }
    /// Whether `core` is among them.
    pub(crate) const fn contains(self, core: u8) -> bool {
        self.0 & (1 << (core & 63)) != 0
    }
}

/// What is on a core, so far: twice the vCPUs, and one for a VMM or the servers.
type Load = u64;
const VCPU: Load = 2;
const VMM: Load = 1;

/// Puts the vCPUs of all domains on cores, of which the kernel uses `count`: first those that may
/// be on one alone, then the others in the order of the file. Each goes where its domain has the
/// fewest so far, and of these cores to the one with the least load. The slice of those that name
/// no budget is shared by as many of their domain as are on one core.
pub(crate) fn place(found: &mut [Found<'_>], count: u8) {
    let count = count.max(1);
    let mut loads = vec![0; usize::from(count)];
    if let Some(load) = loads.get_mut(usize::from(SERVERS)) {
        *load = VMM;
    }
    for domain in &mut *found {
        let draft = &mut domain.draft;
        draft.cores = vec![SERVERS; draft.times.len()];
        // A file with mistakes may have said how many there are in two ways.
        draft.affinities.resize(draft.times.len(), Cores::ANY);
    }
    let mut placed: Vec<Vec<bool>> = found
        .iter()
        .map(|domain| vec![false; domain.draft.times.len()])
        .collect();
    for pinned in [true, false] {
        for (domain, placed) in found.iter_mut().zip(&mut placed) {
            let draft = &mut domain.draft;
            for vcpu in 0..draft.times.len() {
                let may = |core: &u8| draft.affinities[vcpu].contains(*core);
                let choices = (0..count).filter(may).count();
                if placed[vcpu] || pinned != (choices == 1) {
                    continue;
                }
                let own = |core: u8| {
                    let on = draft.cores.iter().zip(&*placed);
                    on.filter(|(at, there)| **there && **at == core).count()
                };
                let load = |core: u8| loads.get(usize::from(core)).copied().unwrap_or(Load::MAX);
                // Where none of them is a core of this kernel, all are on the servers'.
                let core = (0..count)
                    .filter(may)
                    .min_by_key(|core| (own(*core), load(*core)))
                    .unwrap_or(SERVERS);
                draft.cores[vcpu] = core;
                placed[vcpu] = true;
                if let Some(load) = loads.get_mut(usize::from(core)) {
                    *load += VCPU + if vcpu == 0 { VMM } else { 0 };
                }
            }
        }
    }
    for domain in found {
        share(&mut domain.draft, count);
        if let Some(config) = &mut domain.draft.config {
            config.vcpu_cores.clone_from(&domain.draft.cores);
            config.vcpu_times.clone_from(&domain.draft.times);
        }
    }
}

/// On one core a slice is shared by all vCPUs of a domain, which [`crate::domain`] has done.
fn share(draft: &mut Draft, count: u8) {
    if count == 1 {
        return;
    }
    let cores = &draft.cores;
    let of_core = |core: u8| cores.iter().filter(|at| **at == core).count();
    for ((time, unnamed), core) in draft.times.iter_mut().zip(&draft.unnamed).zip(cores) {
        if *unnamed {
            let there = u8::try_from(of_core(*core)).unwrap_or(u8::MAX);
            *time = time::VCPU.shared_by(there);
        }
    }
}
