//! `GNTTABOP_copy` between frames and grants of the caller.

use guest_mem::Window;
use hv_types::{DomId, Gfn, PAGE_SIZE, WindowAddr};
use xen_abi::grant::{Copy, CopyPtr, copy_flags, status};

use super::array::Failure;
use super::entry::{self, Use};
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;

/// One element of a copy request.
pub(super) fn copy<H: VcpuHost>(
    domain: &mut Domain<'_>,
    host: &mut H,
    op: &mut Copy,
) -> Result<(), Failure> {
    op.status = if op.len == 0 {
        status::OKAY
    } else {
        match places(domain, host, op) {
            Ok((from, to)) => {
                move_bytes(host, from, to, op.len);
                status::OKAY
            }
            Err(status) => status,
        }
    };
    Ok(())
}

/// Where the bytes come from and go to. Errors come in the order in which Xen looks.
fn places<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    op: &Copy,
) -> Result<(WindowAddr, WindowAddr), i16> {
    let by_ref = |flag| op.flags & flag != 0;
    let (source_ref, dest_ref) = (
        by_ref(copy_flags::SOURCE_GREF),
        by_ref(copy_flags::DEST_GREF),
    );
    known(domain, &op.source, source_ref)?;
    known(domain, &op.dest, dest_ref)?;
    let own = |ptr: &CopyPtr| domain.peers.own(DomId(ptr.domid)).is_ok();
    if !own(&op.source) || !own(&op.dest) {
        return Err(status::PERMISSION_DENIED);
    }
    let from = page(domain, host, &op.source, source_ref.then_some(Use::Read))?;
    let to = page(domain, host, &op.dest, dest_ref.then_some(Use::Write))?;
    let fits = |ptr: &CopyPtr| u64::from(ptr.offset) + u64::from(op.len) <= PAGE_SIZE;
    if !fits(&op.source) || !fits(&op.dest) {
        return Err(status::BAD_COPY_ARG);
    }
    let byte = |page: WindowAddr, ptr: &CopyPtr| {
        page.checked_add(u64::from(ptr.offset))
            .ok_or(status::BAD_COPY_ARG)
    };
    Ok((byte(from, &op.source)?, byte(to, &op.dest)?))
}

/// Frames by number are one's own, and one says so; a reference's domain must exist.
fn known(domain: &Domain<'_>, ptr: &CopyPtr, by_ref: bool) -> Result<(), i16> {
    let dom = DomId(ptr.domid);
    if !by_ref && dom != DomId::SELF {
        Err(status::PERMISSION_DENIED)
    } else if !domain.peers.exists(dom) {
        Err(status::BAD_DOMAIN)
    } else {
        Ok(())
    }
}

/// The page of one side: by reference for a use, or by number.
fn page<H: VcpuHost>(
    domain: &Domain<'_>,
    host: &mut H,
    ptr: &CopyPtr,
    by_ref: Option<Use>,
) -> Result<WindowAddr, i16> {
    match by_ref {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a reference is 32 bits of the union"
        )]
        Some(usage) => entry::acquire(domain, host, ptr.gref_or_gfn as u32, usage),
        None => entry::page(domain, host, Gfn::new(ptr.gref_or_gfn)).ok_or(status::BAD_PAGE),
    }
}

/// Copies within the window; the ranges may overlap.
fn move_bytes<H: VcpuHost>(host: &mut H, from: WindowAddr, to: WindowAddr, len: u16) {
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
