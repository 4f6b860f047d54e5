//! hvm_op (public/hvm/hvm_op.h): parameters that tell a guest where its rings are.

use hv_types::Gva;
use xen_abi::Errno;
use xen_abi::hvm::{GET_PARAM, GUEST_REQUEST_VM_EVENT, HvmParam, SET_PARAM, param};

use crate::device::table::Devices;
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr::{self, Copier};

/// hvm_op(op, arg).
///
/// # Errors
/// [`Errno::Enosys`] for an unknown operation; [`Errno::Efault`], [`Errno::Esrch`], and for a
/// parameter [`Errno::Eperm`] where only a toolstack may and [`Errno::Einval`] where it does not exist.
pub(super) fn hvm_op<H: VcpuHost>(
    domain: &Domain<'_>,
    devices: &Devices,
    host: &mut H,
    op: u64,
    arg: u64,
) -> Result<i64, Errno> {
    match op {
        GET_PARAM => {
            let gva = Gva::new(arg);
            let mut guest = Copier::new();
            let mut request: HvmParam = guest.copy_in(host, &domain.p2m, gva)?;
            domain.require_self(request.domid)?;
            request.value = get(devices, request.index)?;
            guest.copy_out(host, &domain.p2m, gva, &request)?;
            Ok(0)
        }
        SET_PARAM => {
            let request: HvmParam = guest_ptr::copy_in(host, &domain.p2m, Gva::new(arg))?;
            domain.require_self(request.domid)?;
            Err(match request.index {
                param::CALLBACK_IRQ
                | param::STORE_PFN
                | param::STORE_EVTCHN
                | param::CONSOLE_PFN
                | param::CONSOLE_EVTCHN
                | param::MONITOR_RING_PFN => Errno::Eperm,
                _ => Errno::Einval,
            })
        }
        // Accepted and without effect: nobody monitors this guest.
        GUEST_REQUEST_VM_EVENT if arg == 0 => Ok(0),
        GUEST_REQUEST_VM_EVENT => Err(Errno::Einval),
        _ => Err(Errno::Enosys),
    }
}

fn get(devices: &Devices, index: u32) -> Result<u64, Errno> {
    let console = devices.pv_console.as_ref();
    match index {
        // The guest's device tree tells the event interrupt, and there is no xenstore.
        param::CALLBACK_IRQ | param::STORE_PFN | param::STORE_EVTCHN => Ok(0),
        param::CONSOLE_PFN => Ok(console.map_or(0, |console| console.gfn().raw())),
        param::CONSOLE_EVTCHN => Ok(console.map_or(0, |console| console.port().0.into())),
        param::MONITOR_RING_PFN => Err(Errno::Eperm),
        _ => Err(Errno::Einval),
    }
}
