//! hvm_op (public/hvm/hvm_op.h): parameters that tell a guest where its rings are.

use hv_types::Gva;
use xen_abi::Errno::{self, Enosys};
use xen_abi::hvm::{self, HvmParam, param};

use super::row::Status::Done;
use super::row::family;

use crate::device::table::Devices;
use crate::device::xenstore::Xenstore;
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr::{self, Copier};

family! {
    /// hvm_op(op, arg). `-EFAULT`, `-ESRCH`, and for a parameter `-EPERM` where only a toolstack
    /// may and `-EINVAL` where it does not exist.
    HVM_OP "hvm_op"
    fn hvm_op<H: VcpuHost>(domain: &Domain<'_>, devices: &Devices, host: &mut H, op: u64, arg: u64);
    before { let at = Gva::new(arg); }
    match op, else Enosys;
    hvm::SET_PARAM { "set_param", Done, "Sets a parameter of the guest, such as its console's ring.",
        set_param(domain, host, at) }
    hvm::GET_PARAM { "get_param", Done, "Reads a parameter of the guest: the console's and the xenstore's page and port, the callback.",
        get_param(domain, devices, host, at) }
    hvm::GUEST_REQUEST_VM_EVENT { "guest_request_vm_event", Done, "Tells a monitor of the guest something; there is none.",
        monitor_request(at) }
}

fn get_param<H: VcpuHost>(
    domain: &Domain<'_>,
    devices: &Devices,
    host: &mut H,
    gva: Gva,
) -> Result<i64, Errno> {
    let mut guest = Copier::new();
    let mut request: HvmParam = guest.copy_in(host, &domain.p2m, gva)?;
    domain.require_self(request.domid)?;
    request.value = get(devices, request.index)?;
    guest.copy_out(host, &domain.p2m, gva, &request)?;
    Ok(0)
}

fn set_param<H: VcpuHost>(domain: &Domain<'_>, host: &mut H, gva: Gva) -> Result<i64, Errno> {
    let request: HvmParam = guest_ptr::copy_in(host, &domain.p2m, gva)?;
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

/// Accepted and without effect: nobody monitors this guest.
fn monitor_request(arg: Gva) -> Result<i64, Errno> {
    if arg.raw() == 0 {
        Ok(0)
    } else {
        Err(Errno::Einval)
    }
}

fn get(devices: &Devices, index: u32) -> Result<u64, Errno> {
    let console = devices.pv_console.as_ref();
    let store = devices.xenstore.as_ref();
    match index {
        // The guest's device tree tells the event interrupt.
        param::CALLBACK_IRQ => Ok(0),
        param::STORE_PFN => Ok(store.map_or(0, Xenstore::pfn_param)),
        param::STORE_EVTCHN => Ok(store.map_or(0, |store| store.port().0.into())),
        param::CONSOLE_PFN => Ok(console.map_or(0, |console| console.gfn().raw())),
        param::CONSOLE_EVTCHN => Ok(console.map_or(0, |console| console.port().0.into())),
        param::MONITOR_RING_PFN => Err(Errno::Eperm),
        _ => Err(Errno::Einval),
    }
}
