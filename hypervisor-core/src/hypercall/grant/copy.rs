//! `GNTTABOP_copy` between frames of the caller.

use guest_mem::Window;
use hv_types::{DomId, Gfn, PAGE_SIZE, WindowAddr};
use xen_abi::Errno;
use xen_abi::grant::{Copy, CopyPtr, copy_flags, status};

use crate::host::Host;
use crate::pages::Pages;
use crate::vm::Vm;

/// One element of a copy request. Grant references of other domains wait for a broker between VMMs.
pub(super) fn copy<H: Host>(vm: &mut Vm<'_>, host: &mut H, op: &mut Copy) -> Result<(), Errno> {
    op.status = match places(vm, op) {
        Ok((from, to)) => {
            move_bytes(host, from, to, op.len);
            status::OKAY
        }
        Err(status) => status,
    };
    Ok(())
}

fn places(vm: &Vm<'_>, op: &Copy) -> Result<(WindowAddr, WindowAddr), i16> {
    let ptrs = [
        (&op.source, copy_flags::SOURCE_GREF),
        (&op.dest, copy_flags::DEST_GREF),
    ];
    for (ptr, is_gref) in ptrs {
        let own = DomId(ptr.domid).is_self(DomId(vm.record.domid));
        if op.flags & is_gref == 0 {
            // Frames by number are one's own, and one says so.
            if DomId(ptr.domid) != DomId::SELF {
                return Err(status::PERMISSION_DENIED);
            }
        } else if own {
            return Err(status::BAD_GNTREF);
        } else {
            return Err(status::BAD_DOMAIN);
        }
    }
    let fits = |ptr: &CopyPtr| u64::from(ptr.offset) + u64::from(op.len) <= PAGE_SIZE;
    if !fits(&op.source) || !fits(&op.dest) {
        return Err(status::BAD_COPY_ARG);
    }
    let gpa = |ptr: &CopyPtr| {
        Gfn::new(ptr.gref_or_gfn)
            .gpa()?
            .checked_add(u64::from(ptr.offset))
    };
    let len = u64::from(op.len);
    let from = gpa(&op.source)
        .and_then(|gpa| vm.p2m.writable(gpa, len))
        .ok_or(status::BAD_PAGE)?;
    let to = gpa(&op.dest)
        .and_then(|gpa| vm.p2m.writable(gpa, len))
        .ok_or(status::BAD_PAGE)?;
    Ok((from, to))
}

/// Copies within the window; the ranges may overlap.
fn move_bytes<H: Host>(host: &mut H, from: WindowAddr, to: WindowAddr, len: u16) {
    let apart = from.raw().abs_diff(to.raw()) >= u64::from(len);
    let window = host.window();
    if apart {
        window.copy(from, to, u64::from(len));
    } else if from != to {
        let mut bytes = [0; 64];
        let (mut left, mut done) = (u64::from(len), 0u64);
        // Towards lower addresses from the front, towards higher ones from the back.
        while left > 0 {
            let n = left.min(64);
            let offset = if to < from { done } else { left - n };
            let (Some(source), Some(dest)) = (from.checked_add(offset), to.checked_add(offset))
            else {
                return;
            };
            let piece = usize::try_from(n)
                .ok()
                .and_then(|n| bytes.get_mut(..n))
                .unwrap_or_default();
            window.read(source, piece);
            window.write(dest, piece);
            left -= n;
            done += n;
        }
    }
}
