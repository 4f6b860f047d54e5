//! Aborts of a guest that touches RAM which its address space does not have yet.
//!
//! After a split the pages of a block come when the guest touches them, a chunk at a time. The
//! instruction is then executed again, and so is one that looked while another vCPU had the VMM
//! change the map: to split a block takes the whole block away for a while. Where it was the
//! guest's own table walk that came upon an absent page, the stock seL4 kernel does not tell which:
//! the kernel asks the processor to walk the same tables once more, which fails at the same place.
//! So the tables are walked in software for the address that the instruction names, and what the
//! walk reads comes on the way.

use hv_types::Gpa;

use super::disposition::Disposition;
use super::syndrome::{Abort, FaultStatus};
use crate::domain::Domain;
use crate::domain::shutdown::StopReason;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::p2m::{Error, Page};
use crate::vcpu::inject::far;
use crate::vcpu::walk::Regime;
use crate::vcpu::walk::fault::{Access, FaultKind};

/// What becomes of an abort at `gpa` if it was for memory that is absent, or was away a moment ago
/// for one of several vCPUs (`others`); `None` if it was not.
#[cold]
#[inline(never)]
pub(super) fn on_abort<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    gpa: Gpa,
    abort: Abort,
    fetch: bool,
    others: bool,
) -> Option<Disposition> {
    let lazy = domain.p2m.is_lazy();
    let translation = abort.status() == FaultStatus::Translation;
    let replaced = translation && domain.p2m.replace_foreign(host, gpa.gfn()).unwrap_or(false);
    let brought = if replaced {
        Ok(true)
    } else if lazy && domain.p2m.is_absent(gpa.gfn()) {
        domain.p2m.touch(host, gpa.gfn())
    } else if lazy && abort.table_walk() {
        on_table_walk(domain, host, fetch)
    } else {
        Ok((lazy || others) && translation && domain.p2m.lookup(gpa.gfn()) != Page::Hole)
    };
    match brought {
        Ok(true) => Some(Disposition::Run),
        Ok(false) => None,
        Err(error) => {
            host.log(format_args!(
                "RAM at {:#x} cannot be brought back after a split: {error}; the guest cannot go on",
                gpa.raw()
            ));
            Some(Disposition::Stop(StopReason::Fatal))
        }
    }
}

/// The guest's table walk for the instruction at the PC met a page that it could not read.
fn on_table_walk<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    fetch: bool,
) -> Result<bool, Error> {
    let p2m = &domain.p2m;
    let absent = p2m.absent();
    let mut regime = Regime::new();
    let reached = if fetch {
        let pc = host.pc();
        Some([pc, pc])
    } else {
        far::accessed(host, p2m).map(|(first, last)| [first, last])
    };
    if p2m.absent() != absent {
        // The instruction itself could not be read without.
        return Ok(true);
    }
    let mut complete = reached.is_some();
    for gva in reached.into_iter().flatten() {
        let walk = regime.translate(host, p2m, gva, Access::Read);
        complete &= walk.map_or_else(|fault| fault.kind != FaultKind::NoTable, |_| true);
        if p2m.absent() != absent {
            return Ok(true);
        }
    }
    // Tables that can all be read now were brought by another vCPU. Where the address cannot be
    // told one chunk after the other comes, until it was the right one; if none is left, it is the
    // guest's mistake.
    Ok(complete || p2m.touch_any(host)?)
}
