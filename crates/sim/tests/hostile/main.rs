//! What a guest can do wrong, by mistake or on purpose: it gets the answer of the architecture or
//! of Xen, its VMM lives, and the other guest notices nothing.

#[path = "../common/mod.rs"]
mod common;
use common::{
    EFAULT, ENOSYS, SELF, assert_untouched, decrease, in_every_way, populate, remove, reservation,
    reserve, wild,
};
use hv_types::Gva;
use hypervisor_core::host::SysReg;
use sim::caps::Side;
use sim::guest::insn::{self, Width};
use sim::guest::{ARGS, CONSOLE_PAGE, FREE, GICD, RAM, SHARED_INFO, TEXT, UART, UPCALL, VTIMER};
use sim::{Domain, FREQUENCY, Guest, Ran, System, Way};
use xen_abi::GuestHandle;
use xen_abi::console::ring;
use xen_abi::event::{PortArg, SEND};
use xen_abi::memory::{AddToPhysmapBatch, Reservation, space};
use xen_abi::number::{
    CONSOLE_IO, EVENT_CHANNEL_OP, MEMORY_OP, MULTICALL, SCHED_OP, VCPU_OP, XEN_VERSION,
};
use xen_abi::vcpu::{
    REGISTER_RUNSTATE_MEMORY_AREA, REGISTER_VCPU_INFO, RegisterRunstate, RegisterVcpuInfo,
};
use xen_abi::{memory, sched, version};

mod accesses;
mod arguments;
mod ballooning;
mod console;
mod translation;

/// What of the second guest must not change, whatever the first one does.
struct Witness {
    page: Vec<u8>,
    shared: Vec<u8>,
    ram: i64,
}

impl Witness {
    /// Lets the second guest set itself up.
    fn call(sys: &mut System) -> Self {
        let mut guest = sys.guest(1);
        guest.map_shared_info();
        guest.enable_gic();
        guest.enable_interrupt(UPCALL);
        guest.put(FREE, b"the other guest's secret");
        let (page, shared) = (guest.bytes(FREE, 4096), guest.bytes(SHARED_INFO, 4096));
        let ram = reservation(&mut guest);
        sys.seen();
        Self { page, shared, ram }
    }

    /// Asserts that it is as it was, that no line of it appeared, and that everything works.
    fn check(&self, sys: &mut System) {
        let seen = sys.seen();
        assert!(!seen.contains("linux2: "), "{seen}");
        let mut guest = sys.guest(1);
        assert!(!guest.irq());
        assert_eq!(guest.bytes(FREE, 4096), self.page);
        assert_eq!(guest.bytes(SHARED_INFO, 4096), self.shared);
        assert_eq!(reservation(&mut guest), self.ram);
        assert_untouched(&mut guest, "linux2");
        guest.console_io(b"still here\n");
        sys.advance(FREQUENCY);
        assert!(sys.seen().contains("linux2: still here\r\n"));
        let now = sys.now();
        let mut guest = sys.guest(1);
        guest.enable_interrupt(VTIMER);
        guest.set_timer(now + 100);
        assert_eq!(guest.wfi(), Ran::Waiting);
        sys.advance(100);
        assert_eq!(sys.guest(1).take_interrupts(), [VTIMER]);
    }
}

/// Runs `attack` on the first guest with the second one watching; the first one's VMM must live.
fn attack(attack: impl Fn(&mut Guest<'_>)) {
    for mmu in [false, true] {
        let mut sys = System::two();
        let witness = Witness::call(&mut sys);
        let mut guest = sys.guest(0);
        if mmu {
            guest.mmu_on();
        }
        attack(&mut guest);
        assert!(sys.is_alive(0), "{:?}", sys.vmm_log(0));
        witness.check(&mut sys);
    }
}
