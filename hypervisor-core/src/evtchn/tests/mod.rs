//! Event channels as a guest sees them.

mod against_model;
mod binding;

use guest_mem::{VecWindow, Window};
use hv_types::{DomId, Gfn, Gpa, PAGE_SIZE, Port, VcpuId, WindowAddr};
use xen_abi::Errno;

use super::{Events, Sent, Service};
use crate::domain::peers::Domains;
use crate::fake::{FakePages, RAM};

const BOOT: VcpuId = VcpuId::BOOT;
const ME: DomId = DomId(3);
const DOMAINS: Domains = Domains::new(ME, 8);

/// A guest with its shared_info page and 64 KiB of RAM.
pub(super) struct Guest {
    pub(super) events: Events,
    pub(super) window: VecWindow,
    pub(super) pages: FakePages,
    /// Where the guest believes its vcpu_info to be.
    pub(super) info: WindowAddr,
}

impl Guest {
    pub(super) fn new() -> Self {
        Self {
            events: Events::new(DOMAINS, 1023, 1),
            window: VecWindow::new()
                .with(WindowAddr::extra(0, 0), PAGE_SIZE)
                .with(WindowAddr::new(RAM), 16 * PAGE_SIZE),
            pages: FakePages::new(16 * PAGE_SIZE),
            info: WindowAddr::extra(0, 0),
        }
    }
    pub(super) fn pending_word(&self, word: u16) -> u64 {
        self.window.load_u64(WindowAddr::extra(0, 48 + 8 * word))
    }
    pub(super) fn set_mask(&self, port: u32, masked: bool) {
        let at = WindowAddr::extra(0, 560 + 8 * u16::try_from(port / 64).unwrap());
        let bit = 1 << (port % 64);
        if masked {
            self.window.fetch_or_u64(at, bit)
        } else {
            self.window.fetch_and_u64(at, !bit)
        };
    }
    pub(super) fn upcall(&self) -> u8 {
        self.window.load_u8(self.info)
    }
    pub(super) fn selector(&self) -> u64 {
        self.window.load_u64(WindowAddr::new(self.info.raw() + 8))
    }
    pub(super) fn raise(&mut self, port: u32) -> bool {
        let raised = self.events.raise(&self.window, &self.pages, Port(port));
        raised.is_some()
    }
    pub(super) fn send(&mut self, port: u32) -> Result<Sent, Errno> {
        self.events.send(&self.window, &self.pages, Port(port))
    }
    pub(super) fn unmask(&mut self, port: u32) -> Result<bool, Errno> {
        let raised = self.events.unmask(&self.window, &self.pages, Port(port));
        raised.map(|raised| raised.is_some())
    }
    pub(super) fn level(&self) -> bool {
        self.events.upcall_pending(&self.window, &self.pages, BOOT)
    }
    pub(super) fn register(&mut self, gfn: u64, offset: u32) -> Result<(), Errno> {
        self.events
            .register_vcpu_info(&self.window, &self.pages, BOOT, (Gfn::new(gfn), offset))
    }
    /// The guest's upcall handler: flag, selector, pending, in that order. Returns the ports it
    /// serves.
    pub(super) fn handle(&mut self) -> Vec<u32> {
        self.window.swap_u8(self.info, 0);
        let at = WindowAddr::new(self.info.raw() + 8);
        let words = self.window.fetch_and_u64(at, 0);
        let mut served = Vec::new();
        for word in (0..64u16).filter(|word| words & (1 << word) != 0) {
            let mask = self.window.load_u64(WindowAddr::extra(0, 560 + 8 * word));
            let ready = self.pending_word(word) & !mask;
            self.window
                .fetch_and_u64(WindowAddr::extra(0, 48 + 8 * word), !ready);
            served.extend(
                (0..64)
                    .filter(|bit| ready & (1 << bit) != 0)
                    .map(|bit| 64 * u32::from(word) + bit),
            );
        }
        served
    }
}

const FRAME: u64 = RAM / PAGE_SIZE;

/// EV-1: in this order, and once.
#[test]
fn an_event_sets_pending_selector_and_flag_once() {
    let mut guest = Guest::new();
    for _ in 0..70 {
        guest.events.alloc_unbound(DomId::SELF, ME).unwrap();
    }
    assert!(guest.raise(70));
    assert_eq!(
        (guest.pending_word(1), guest.selector(), guest.upcall()),
        (1 << 6, 1 << 1, 1)
    );
    assert!(guest.level());
    assert!(!guest.raise(70), "pending already");
    assert!(!guest.raise(69), "its word is selected already");
    assert!(!guest.raise(5), "the upcall is up already");
    assert_eq!((guest.pending_word(0), guest.selector()), (1 << 5, 0b11));
    assert_eq!(guest.handle(), [5, 69, 70]);
    assert!(!guest.level());
    assert!(guest.raise(5), "and again");
}

/// EV-2: one upcall.
#[test]
fn a_masked_event_waits_for_unmask_which_delivers_it_once() {
    let mut guest = Guest::new();
    guest.events.bind_ipi(0).unwrap();
    guest.set_mask(1, true);
    assert!(!guest.raise(1));
    assert_eq!(
        (guest.pending_word(0), guest.selector(), guest.upcall()),
        (2, 0, 0)
    );
    assert_eq!(guest.unmask(1), Ok(true));
    assert_eq!((guest.selector(), guest.upcall()), (1, 1));
    assert_eq!(guest.unmask(1), Ok(false), "not masked any more");
    assert_eq!(guest.handle(), [1]);
    guest.set_mask(1, true);
    assert_eq!(guest.unmask(1), Ok(false), "nothing pending");
    assert_eq!(guest.upcall(), 0);
}

/// EV-4: whatever the number.
#[test]
fn ports_that_cannot_exist_are_masked_and_never_touched() {
    let mut guest = Guest::new();
    for port in [0, 1024, 4095, 4096, u32::MAX] {
        assert!(!guest.events.is_valid(Port(port)));
        assert!(!guest.raise(port));
        assert_eq!(guest.send(port), Err(Errno::Einval));
        // Port 0 is there, and is nothing.
        let unmasked = if port == 0 {
            Ok(false)
        } else {
            Err(Errno::Einval)
        };
        assert_eq!(guest.unmask(port), unmasked);
        assert!(guest.events.is_masked(&guest.window, Port(port)));
        assert!(!guest.events.is_pending(&guest.window, Port(port)));
    }
    // A free port: nothing in shared_info changes.
    guest.set_mask(7, true);
    assert!(!guest.raise(7));
    assert_eq!(guest.send(7), Err(Errno::Einval));
    assert_eq!(guest.unmask(7), Ok(false));
    assert!(guest.events.is_masked(&guest.window, Port(7)));
    assert_eq!((guest.pending_word(0), guest.upcall()), (0, 0));
}

#[test]
fn sends_go_where_the_port_leads() {
    let mut guest = Guest::new();
    let console = guest
        .events
        .alloc_hypervisor_port(Service::Console)
        .unwrap();
    assert_eq!(console, Port(1));
    assert_eq!(
        guest.events.alloc_hypervisor_port(Service::Console),
        Err(Errno::Eexist)
    );
    let unbound = guest.events.alloc_unbound(ME, ME).unwrap();
    let ipi = guest.events.bind_ipi(0).unwrap();
    let virq = guest.events.bind_virq(0, 0).unwrap();
    assert_eq!(guest.send(console.0), Ok(Sent::Service(Service::Console)));
    assert_eq!(guest.send(unbound.0), Ok(Sent::Nobody));
    assert_eq!(guest.send(virq.0), Err(Errno::Einval));
    assert_eq!(guest.pending_word(0), 0);
    assert_eq!(guest.send(ipi.0), Ok(Sent::Port { upcall: Some(BOOT) }));
    assert_eq!(guest.handle(), [ipi.0]);

    let raised = guest
        .events
        .raise_service(&guest.window, &guest.pages, Service::Console);
    assert_eq!(raised, Some(BOOT));
    assert_eq!(guest.handle(), [1]);
    let raised = guest.events.raise_virq(&guest.window, &guest.pages, 0);
    assert_eq!(raised, Some(BOOT));
    assert!(
        guest
            .events
            .raise_virq(&guest.window, &guest.pages, 1)
            .is_none(),
        "not bound"
    );
    assert_eq!(
        guest.events.raise_virq(&guest.window, &guest.pages, 24),
        None
    );
    assert_eq!(guest.handle(), [virq.0]);
}

#[test]
fn a_service_without_a_port_is_silent() {
    let mut guest = Guest::new();
    let raised = guest
        .events
        .raise_service(&guest.window, &guest.pages, Service::Console);
    assert_eq!(raised, None);
    assert_eq!((guest.pending_word(0), guest.upcall()), (0, 0));
}

#[test]
fn registering_vcpu_info_moves_it_and_raises_a_spurious_upcall() {
    let mut guest = Guest::new();
    guest.events.bind_ipi(0).unwrap();
    guest.window.write(WindowAddr::extra(0, 16), &[7; 32]);
    assert_eq!(guest.register(FRAME + 2, 0xfd0), Ok(()));
    guest.info = WindowAddr::new(RAM + 2 * PAGE_SIZE + 0xfd0);
    assert_eq!((guest.upcall(), guest.selector()), (1, u64::MAX));
    let mut rest = [0; 32];
    guest
        .window
        .read(WindowAddr::new(guest.info.raw() + 16), &mut rest);
    assert_eq!(rest, [7; 32]);
    assert!(guest.level());
    assert_eq!(guest.handle(), []);
    assert!(guest.raise(1));
    assert_eq!(
        guest.window.load_u8(WindowAddr::extra(0, 0)),
        0,
        "the old place is not used any more"
    );
    assert_eq!(guest.handle(), [1]);
}

#[test]
fn registering_vcpu_info_refuses_in_xens_order() {
    let mut guest = Guest::new();
    assert_eq!(
        guest.register(FRAME, 4096),
        Err(Errno::Einval),
        "another frame"
    );
    assert_eq!(guest.register(u64::MAX, 0), Err(Errno::Einval));
    assert_eq!(guest.register(FRAME, u32::MAX), Err(Errno::Einval));
    assert_eq!(
        guest.register(FRAME, 0xfd8),
        Err(Errno::Enxio),
        "crosses the page"
    );
    assert_eq!(guest.register(FRAME, 4), Err(Errno::Enxio), "not aligned");
    assert_eq!(
        guest.register(0x39000, 1),
        Err(Errno::Enxio),
        "before the frame is looked at"
    );
    assert_eq!(guest.register(0x39000, 0), Err(Errno::Einval), "no RAM");
    assert_eq!(guest.upcall(), 0, "nothing has happened");
    assert_eq!(guest.register(FRAME, 0), Ok(()));
    for (gfn, offset, error) in [
        (FRAME, 0, Errno::Ebusy),
        (FRAME, 4, Errno::Ebusy),
        (FRAME, 4096, Errno::Einval),
    ] {
        assert_eq!(guest.register(gfn, offset), Err(error));
    }
}

#[test]
fn a_vcpu_info_whose_page_is_gone_is_not_written() {
    let mut guest = Guest::new();
    guest.events.bind_ipi(0).unwrap();
    assert_eq!(guest.register(FRAME + 3, 64), Ok(()));
    guest.info = WindowAddr::new(RAM + 3 * PAGE_SIZE + 64);
    assert_eq!(guest.handle(), []);
    // The guest balloons the page out: FakePages knows only the frames before it.
    guest.pages = FakePages::new(3 * PAGE_SIZE);
    assert!(!guest.raise(1));
    assert_eq!((guest.upcall(), guest.selector()), (0, 0));
    assert!(!guest.level());
    assert_eq!(guest.pending_word(0), 2, "the event is not forgotten");
    guest.pages = FakePages::new(16 * PAGE_SIZE);
    assert!(guest.pages_has(RAM + 3 * PAGE_SIZE));
    guest.set_mask(1, true);
    assert_eq!(guest.unmask(1), Ok(true), "and unmask delivers it");
}

impl Guest {
    fn pages_has(&self, gpa: u64) -> bool {
        crate::memory::pages::Pages::writable(&self.pages, Gpa::new(gpa), 8).is_some()
    }
}

/// EV-3, EX-8:
#[test]
fn after_teardown_nothing_is_written() {
    let mut guest = Guest::new();
    let port = guest.events.bind_ipi(0).unwrap();
    let virq = guest.events.bind_virq(1, 0).unwrap();
    guest.raise(virq.0);
    guest.set_mask(port.0, true);
    let mut before = [0; 4096];
    guest.window.read(WindowAddr::extra(0, 0), &mut before);
    guest.events.shut();
    assert!(!guest.raise(port.0));
    assert_eq!(guest.send(port.0), Ok(Sent::Port { upcall: None }));
    assert_eq!(guest.unmask(port.0), Ok(false));
    assert_eq!(guest.events.close(&guest.window, virq), Ok(()));
    assert_eq!(guest.register(FRAME, 0), Ok(()));
    assert_eq!(guest.events.reset(&guest.window, DomId::SELF), Ok(()));
    assert!(!guest.level());
    let mut after = [0; 4096];
    guest.window.read(WindowAddr::extra(0, 0), &mut after);
    assert!(before == after, "shared_info has changed");
    assert_eq!(guest.window.load_u8(WindowAddr::new(RAM)), 0);
}

/// EV-7: whatever the guest leaves in the words that it shares, each operation looks at each of its
/// words once.
#[test]
fn rubbish_in_shared_words_ends_nothing_and_repeats_nothing() {
    for fill in [0, 0x5555_5555_5555_5555, u64::MAX] {
        let mut guest = Guest::new();
        let port = guest
            .events
            .alloc_unbound(ME, ME)
            .expect("a port is free")
            .0;
        for word in 0..512 {
            guest.window.store_u64(WindowAddr::extra(0, 8 * word), fill);
        }
        let before = guest.pending_word(0);
        let raised = guest.raise(port);
        // Pending already, or masked: no upcall. The only word that may have changed is this
        // port's.
        assert_eq!(raised, fill == 0);
        assert_eq!(guest.pending_word(0), before | 1 << port);
        assert_eq!(guest.pending_word(1), fill);
        assert!(guest.unmask(port).is_ok());
        assert_eq!(guest.level(), guest.upcall() != 0);
    }
}

/// EX-10: vCPU 1 has no place in shared_info: the bitmaps begin right behind that of vCPU 0, and
/// registering is refused for a vCPU that does not exist.
#[test]
fn shared_info_has_room_for_one_vcpu_info() {
    use xen_abi::shared::{VcpuInfo, shared_info};
    assert_eq!(
        usize::from(shared_info::EVTCHN_PENDING),
        size_of::<VcpuInfo>()
    );
    let mut guest = Guest::new();
    assert_eq!(guest.events.bind_ipi(1), Err(Errno::Enoent));
}
