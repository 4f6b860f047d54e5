//! Hypercalls as a guest makes them: through [`dispatch`], with memory of its own.

mod calls;
mod coverage;
mod event;
mod hostile;
mod hvm;
mod sched;
mod vcpu;
mod version;

use guest_mem::Window;
use hv_types::{FrameSize, Gfn, WindowAddr};
use memory_server_api::{Error, Extra, Granted, Reply, Slot};
use xen_abi::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::dispatch;
use super::outcome::Outcome;
use crate::device::pv_console::PvConsole;
use crate::device::table;
use crate::evtchn::Service;
use crate::fake::{FakeHost, record};
use crate::memory::p2m::P2m;
use crate::vcpu::runstate::RunState;
use crate::vm::Vm;

/// First byte of the guest's RAM; the MMU is off, so guest virtual and physical addresses are the
/// same.
const RAM: u64 = crate::fake::RAM;
/// A page for arguments.
const BUF: u64 = RAM + 0x1000;
/// The last page of RAM.
const LAST_PAGE: u64 = RAM + RAM_SIZE - 0x1000;
const RAM_SIZE: u64 = crate::fake::RAM_SIZE;
/// An address without memory.
const HOLE: u64 = 0x3000_0000;
const DOMID: u16 = crate::fake::DOMID;
const SELF: u16 = 0x7ff0;

const EPERM: i64 = Errno::Eperm.as_i64();
const ENOENT: i64 = Errno::Enoent.as_i64();
const ESRCH: i64 = Errno::Esrch.as_i64();
const ENXIO: i64 = Errno::Enxio.as_i64();
const EACCES: i64 = Errno::Eacces.as_i64();
const EFAULT: i64 = Errno::Efault.as_i64();
const EBUSY: i64 = Errno::Ebusy.as_i64();
const EINVAL: i64 = Errno::Einval.as_i64();
const ENOSYS: i64 = Errno::Enosys.as_i64();
const ENOBUFS: i64 = Errno::Enobufs.as_i64();

/// A guest with 2 MiB of RAM on a fake host.
struct Guest {
    vm: Vm<'static>,
    host: FakeHost,
}

impl Guest {
    fn new() -> Self {
        let mut host = FakeHost::new(RAM_SIZE);
        let record = record();
        let table = vec![0; P2m::table_words(&record.max_banks)].leak();
        let mut p2m = P2m::new(&record.max_banks, table).expect("a good bank");
        host.memory.replies.push_back(granted(2, FrameSize::Block));
        p2m.build(&mut host, &record.banks).expect("RAM");
        for (kind, slot) in [(Extra::SharedInfo, 1026), (Extra::GrantFrame(0), 1028)] {
            host.memory
                .replies
                .push_back(granted(slot, FrameSize::Page));
            p2m.create_extra(&mut host, kind).expect("an extra page");
        }
        let bus = table::bus(&record).expect("Xen's layout");
        let mut vm = Vm::new(record, p2m, bus);
        vm.devices.pv_console = None;
        Self { vm, host }
    }

    /// Makes hypercall `nr`; missing arguments are 0.
    fn call(&mut self, nr: u64, args: &[u64]) -> Outcome {
        let mut registers = [0; 5];
        registers[..args.len()].copy_from_slice(args);
        dispatch(&mut self.vm, &mut self.host, nr, registers)
    }

    /// A hypercall that returns.
    fn result(&mut self, nr: u64, args: &[u64]) -> i64 {
        match self.call(nr, args) {
            Outcome::Return(result) => result,
            other => panic!("hypercall {nr} {args:x?} gives {other:?}"),
        }
    }

    /// When a watchdog or a poll has something to say.
    fn next_deadline(&self) -> Option<u64> {
        self.vm.next_deadline()
    }

    /// Whether a vCPU in SCHEDOP_poll may go on.
    fn poll_is_over(&self) -> bool {
        let poll = self.vm.vcpus[0].poll.as_ref();
        poll.is_some_and(|poll| poll.is_over(&self.vm.domain.events, &self.host))
    }

    fn set_runstate(&mut self, state: RunState) {
        let Vm { domain, vcpus, .. } = &mut self.vm;
        vcpus[0]
            .runstate
            .set(&mut self.host, &domain.p2m, domain.assists, state);
    }

    fn put_bytes(&self, at: u64, bytes: &[u8]) {
        self.host.window.write(WindowAddr::new(at), bytes);
    }

    fn put<T: IntoBytes + Immutable>(&self, at: u64, value: &T) {
        self.host
            .window
            .write(WindowAddr::new(at), value.as_bytes());
    }

    fn get<T: FromBytes + IntoBytes + Immutable>(&self, at: u64) -> T {
        self.host.window.read_obj(WindowAddr::new(at))
    }

    fn fill(&self, at: u64, len: usize, byte: u8) {
        self.host
            .window
            .write(WindowAddr::new(at), &vec![byte; len]);
    }

    fn bytes(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.host.window.read(WindowAddr::new(at), &mut bytes);
        bytes
    }

    /// Gives the guest a console port and returns it.
    fn console_port(&mut self) -> u32 {
        let port = self
            .vm
            .domain
            .events
            .alloc_hypervisor_port(Service::Console)
            .expect("a free port");
        self.vm.devices.pv_console = Some(PvConsole::new(Gfn::new(0x39000), port));
        port.0
    }

    /// Sets a port's bit in `evtchn_pending` or `evtchn_mask` of the shared_info page, at byte
    /// `offset` of it.
    fn set_shared_bit(&self, offset: u16, port: u32) {
        let word = WindowAddr::extra(0, offset + u16::try_from(port / 64 * 8).unwrap());
        self.host.window.fetch_or_u64(word, 1 << (port % 64));
    }
}

fn granted(slot: u32, size: FrameSize) -> Result<Reply, Error> {
    Ok(Reply::Granted(Granted {
        first: Slot(slot),
        count: 1,
        size,
    }))
}
