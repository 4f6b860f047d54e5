//! Stage-2 aborts: accesses to devices, and accesses to nothing.

use dt_server_api::DomainRecord;
use hv_types::{Gpa, Gva, Vcpus};

use super::absent;
use super::disposition::Disposition;
use super::hvc::INSTRUCTION;
use super::mmio::{self, Mmio, instruction};
use super::syndrome::Abort;
use super::trap::AARCH32;
use crate::device::table::{Devices, Id, Set};
use crate::device::vgic;
use crate::diag::fault::Aborted;
use crate::diag::guest_map::GuestMap;
use crate::domain::Domain;
use crate::host::on_vcpu::VcpuHost;
use crate::vcpu::walk::{Regime, stub};
use crate::vcpu::{Vcpu, inject};

/// An abort at `gpa` with `iss`, of an instruction fetch or not: the instruction is carried out, or
/// executed again because its memory has come, or the guest gets an exception.
#[inline]
pub(super) fn on_abort<H: VcpuHost>(
    domain: &Domain<'_>,
    vcpu: &mut Vcpu,
    devices: &mut Devices,
    host: &mut H,
    (gpa, iss, fetch): (Gpa, u32, bool),
) -> Disposition {
    let others = devices.gic.online() != Vcpus::only(host.id());
    // Devices come first, because most aborts are for them. Where silence answers in place of a
    // device, RAM must not be taken for a hole.
    if !domain.record.trap_unmapped
        && let Some(next) = absent::on_abort(domain, host, gpa, Abort::new(iss), fetch, others)
    {
        return next;
    }
    if !fetch
        && let Some(access) = Mmio::from_abort(gpa, iss)
        && access_device(domain, vcpu, devices, host, access)
    {
        skip(host);
        return Disposition::Run;
    }
    if let Some(next) = absent::on_abort(domain, host, gpa, Abort::new(iss), fetch, others) {
        return next;
    }
    on_other_abort(domain, vcpu, devices, host, (gpa, iss, fetch));
    Disposition::Run
}

/// The instruction at the PC is done.
fn skip<H: VcpuHost>(host: &mut H) {
    let pc = host.pc();
    host.set_pc(Gva::new(pc.raw().wrapping_add(INSTRUCTION)));
}

/// An abort that is no access which the syndrome describes and a device takes.
#[cold]
#[inline(never)]
fn on_other_abort<H: VcpuHost>(
    domain: &Domain<'_>,
    vcpu: &mut Vcpu,
    devices: &mut Devices,
    host: &mut H,
    (gpa, iss, fetch): (Gpa, u32, bool),
) {
    let abort = Abort::new(iss);
    if !fetch && !abort.has_syndrome() && undescribed(domain, vcpu, devices, host, (gpa, abort)) {
        skip(host);
        return;
    }
    let pc = host.pc();
    let aborted = Aborted {
        map: &map(&domain.record),
        gpa,
        pc,
        abort,
        fetch,
    };
    host.log(format_args!("{aborted}"));
    inject::abort(host, &domain.p2m, gpa, abort, fetch);
}

/// The guest's physical map, for words about addresses.
fn map(record: &DomainRecord) -> GuestMap {
    let extended = record.extended.iter();
    let extended = extended.map(|region| (region.start(), region.size()));
    GuestMap::new(&record.layout, &record.max_banks, extended, Set::of(record))
}

/// Carries out what the syndrome does not describe, where something answers at `gpa`: maintenance
/// of caches has nothing to do there, and a load or store with write-back is read from the guest's
/// text. False where that cannot be told.
///
/// The word is read once: another vCPU may write it meanwhile.
fn undescribed<H: VcpuHost>(
    domain: &Domain<'_>,
    vcpu: &mut Vcpu,
    devices: &mut Devices,
    host: &mut H,
    (gpa, abort): (Gpa, Abort),
) -> bool {
    // An emulated device, or the silence that the domain asked for where nothing is.
    if devices.find(gpa).is_none() && domain.record.trap_unmapped {
        return false;
    }
    if abort.cache_maintenance() {
        return mmio::is_maintenance(abort.iss());
    }
    if host.pstate() & AARCH32 != 0 {
        return false;
    }
    let Ok(word) = stub::fetch_word(host, &domain.p2m, &mut Regime::new()) else {
        return false;
    };
    let Some(form) = instruction::WriteBack::decode(word) else {
        return false;
    };
    let base = instruction::base(host, form.base);
    let Some(access) = form.access(gpa, abort, base) else {
        return false;
    };
    let done = access_device_again(domain, vcpu, devices, host, access);
    if done {
        instruction::set_base(host, form.base, form.moved(base));
    }
    done
}

/// [`access_device`], out of line for what is rare.
#[cold]
#[inline(never)]
fn access_device_again<H: VcpuHost>(
    domain: &Domain<'_>,
    vcpu: &mut Vcpu,
    devices: &mut Devices,
    host: &mut H,
    access: Mmio,
) -> bool {
    access_device(domain, vcpu, devices, host, access)
}

/// Carries out an access to a device, of an abort with `iss`; false where there is none, or none of
/// that size. With most aborts, so it is in line there.
#[inline(always)]
fn access_device<H: VcpuHost>(
    domain: &Domain<'_>,
    vcpu: &mut Vcpu,
    devices: &mut Devices,
    host: &mut H,
    access: Mmio,
) -> bool {
    let record = &domain.record;
    let Some((id, offset)) = devices.find(access.gpa) else {
        // A domain may ask for reads of all ones and ignored writes where nothing is.
        if !record.trap_unmapped && !access.write {
            access.finish_load(host, u64::MAX);
        }
        return !record.trap_unmapped;
    };
    if access.write {
        let Ok(value) = u32::try_from(access.value(host)) else {
            return false;
        };
        let done = devices.write(id, host, (offset, access.size), value);
        if id == Id::Gic {
            vcpu.timer.recheck(&mut devices.gic, host);
        }
        return done;
    }
    if id == Id::Gic && vgic::shows_pending(offset) {
        show_pending(vcpu, &mut devices.gic, host);
    }
    let value = devices.read(id, host, offset, access.size);
    if let Some(value) = value {
        access.finish_load(host, u64::from(value));
    }
    value.is_some()
}

/// Brings the levels of the timers up to date, for a guest that looks.
#[cold]
#[inline(never)]
fn show_pending<H: VcpuHost>(vcpu: &mut Vcpu, gic: &mut vgic::VGic, host: &mut H) {
    vcpu.timer.show(gic, host);
    vcpu.ptimer.look(gic, host.now());
}
