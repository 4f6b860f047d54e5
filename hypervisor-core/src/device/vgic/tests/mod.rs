//! What a guest and its devices see of the virtual GIC.

mod against_model;
mod registers;

use hv_types::VcpuId;

use super::{EVENT_UPCALL, VGic, VTIMER};
use crate::host::Interrupts;

/// A virtual CPU interface with four list registers.
#[derive(Default, Debug, Clone)]
pub(super) struct Interface {
    /// INTID, priority, active.
    pub(super) lr: [Option<(u16, u8, bool)>; 4],
    /// Every injection in order.
    pub(super) injected: Vec<u16>,
    /// What has not been acknowledged can be taken back.
    pub(super) recalls: bool,
    /// What was taken back, each with the number of injections before it.
    pub(super) recalled: Vec<(usize, u16)>,
}

impl Interrupts for Interface {
    const LIST_REGISTERS: usize = 4;
    fn inject(&mut self, lr: u8, intid: u16, priority: u8) -> bool {
        let slot = &mut self.lr[usize::from(lr)];
        assert!(slot.is_none(), "list register {lr} is in use: {slot:?}");
        *slot = Some((intid, priority, false));
        assert_eq!(
            self.lr
                .iter()
                .flatten()
                .filter(|held| held.0 == intid)
                .count(),
            1,
            "INTID {intid} is held twice"
        );
        self.injected.push(intid);
        true
    }
    fn can_recall(&mut self) -> bool {
        self.recalls
    }
    fn recall(&mut self, lr: u8) -> bool {
        assert!(self.recalls);
        let slot = &mut self.lr[usize::from(lr)];
        let Some((intid, _, false)) = *slot else {
            return false;
        };
        *slot = None;
        self.recalled.push((self.injected.len(), intid));
        true
    }
    fn ack_vtimer(&mut self) {}
}

impl Interface {
    /// The guest reads `GICC_IAR`: the most urgent pending interrupt becomes active.
    pub(super) fn acknowledge(&mut self) -> Option<u16> {
        let best = self
            .lr
            .iter_mut()
            .flatten()
            .filter(|held| !held.2)
            .min_by_key(|held| (held.1, held.0))?;
        best.2 = true;
        Some(best.0)
    }
    /// The guest ends interrupt `intid`; the maintenance interrupt names the list register.
    pub(super) fn end(&mut self, intid: u16) -> Option<u8> {
        let at = self
            .lr
            .iter()
            .position(|lr| matches!(lr, Some((id, _, true)) if *id == intid))?;
        self.lr[at] = None;
        u8::try_from(at).ok()
    }
}

const BOOT: VcpuId = VcpuId::BOOT;
const ISENABLER: u32 = 0x100;
const ICENABLER: u32 = 0x180;
const ISPENDR: u32 = 0x200;
const ICPENDR: u32 = 0x280;
const ISACTIVER: u32 = 0x300;
const ICACTIVER: u32 = 0x380;

/// A distributor that forwards, with every interrupt of the first three words enabled.
fn running() -> (VGic, Interface) {
    let mut gic = VGic::new(64, 1);
    assert!(gic.mmio_write(BOOT, 0, 4, 1));
    for n in 0..3 {
        assert!(gic.mmio_write(BOOT, ISENABLER + 4 * n, 4, u32::MAX));
    }
    (gic, Interface::default())
}

/// Acknowledges and ends one interrupt.
fn serve(gic: &mut VGic, interface: &mut Interface) -> Option<u16> {
    let intid = interface.acknowledge()?;
    let lr = interface.end(intid).unwrap();
    assert_eq!(gic.on_maintenance(BOOT, Some(lr)), Some(intid));
    Some(intid)
}

#[test]
fn an_edge_while_disabled_is_not_lost() {
    let (mut gic, mut interface) = running();
    assert!(
        gic.mmio_write(BOOT, 0xc00 + 8, 4, 2 << 2),
        "SPI 33 edge-triggered"
    );
    assert!(gic.mmio_write(BOOT, ICENABLER + 4, 4, 1 << 1));
    gic.set_level(BOOT, 33, true);
    gic.set_level(BOOT, 33, false);
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, []);
    assert!(!gic.deliverable(BOOT));
    assert_eq!(gic.mmio_read(BOOT, ISPENDR + 4, 4), Some(1 << 1));

    assert!(gic.mmio_write(BOOT, ISENABLER + 4, 4, 1 << 1));
    assert!(gic.deliverable(BOOT));
    gic.flush(BOOT, &mut interface);
    assert_eq!(serve(&mut gic, &mut interface), Some(33));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [33], "one edge, one interrupt");
    assert!(!gic.deliverable(BOOT));
}

#[test]
fn nothing_is_forwarded_while_the_distributor_is_off() {
    let (mut gic, mut interface) = running();
    assert!(gic.mmio_write(BOOT, 0, 4, 0));
    gic.pulse(BOOT, 40);
    gic.flush(BOOT, &mut interface);
    assert_eq!(
        (interface.injected.len(), gic.deliverable(BOOT)),
        (0, false)
    );
    assert!(gic.mmio_write(BOOT, 0, 4, 1));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [40]);
}

#[test]
fn a_level_that_stays_high_comes_again_after_its_end() {
    let (mut gic, mut interface) = running();
    gic.set_level(BOOT, EVENT_UPCALL, true);
    gic.flush(BOOT, &mut interface);
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [31]);
    assert_eq!(serve(&mut gic, &mut interface), Some(31));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [31, 31]);
    gic.set_level(BOOT, EVENT_UPCALL, false);
    assert_eq!(serve(&mut gic, &mut interface), Some(31));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [31, 31]);
}

#[test]
fn a_level_that_falls_before_it_is_forwarded_is_gone() {
    let (mut gic, mut interface) = running();
    gic.set_level(BOOT, VTIMER, true);
    assert_eq!(gic.mmio_read(BOOT, ISPENDR, 4), Some(1 << 27));
    gic.set_level(BOOT, VTIMER, false);
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, []);
}

#[test]
fn disabled_in_a_list_register_it_does_not_come_again() {
    let (mut gic, mut interface) = running();
    gic.set_level(BOOT, 32, true);
    gic.flush(BOOT, &mut interface);
    assert!(gic.mmio_write(BOOT, ICENABLER + 4, 4, 1));
    assert!(gic.deliverable(BOOT), "it cannot be recalled");
    assert_eq!(serve(&mut gic, &mut interface), Some(32));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [32]);
    assert!(!gic.deliverable(BOOT));
    assert!(gic.mmio_write(BOOT, ISENABLER + 4, 4, 1));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [32, 32], "its line is still high");
}

#[test]
fn the_most_urgent_four_go_first() {
    let (mut gic, mut interface) = running();
    for (spi, priority) in [
        (32, 0xa0),
        (33, 0x20),
        (34, 0xa0),
        (35, 0x00),
        (36, 0x80),
        (37, 0xa0),
    ] {
        assert!(gic.mmio_write(BOOT, 0x400 + spi, 1, priority));
        gic.pulse(BOOT, u16::try_from(spi).unwrap());
    }
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [35, 33, 36], "the last one is kept");
    let order: Vec<_> = core::iter::from_fn(|| {
        let served = serve(&mut gic, &mut interface);
        gic.flush(BOOT, &mut interface);
        served
    })
    .take(10)
    .collect();
    assert_eq!(order, [35, 33, 36, 32, 34, 37]);
}

#[test]
fn a_freed_list_register_takes_the_next_interrupt() {
    let (mut gic, mut interface) = running();
    for intid in 32..40 {
        gic.pulse(BOOT, intid);
    }
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected.len(), 3);
    assert_eq!(interface.acknowledge(), Some(32));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected.len(), 3, "acknowledged is not ended");
    let lr = interface.end(32);
    assert_eq!(gic.on_maintenance(BOOT, lr), Some(32));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [32, 33, 34, 35]);
}

/// Gives INTID `intid` a priority and makes it pending.
fn request(gic: &mut VGic, intid: u16, priority: u32) {
    assert!(gic.mmio_write(BOOT, 0x400 + u32::from(intid), 1, priority));
    gic.pulse(BOOT, intid);
}

#[test]
fn an_urgent_interrupt_gets_in_however_many_wait() {
    for recalls in [false, true] {
        for waiting in 0..20 {
            let (mut gic, mut interface) = running();
            interface.recalls = recalls;
            for n in 0..waiting {
                request(&mut gic, 40 + n, 0xa0);
                gic.flush(BOOT, &mut interface);
            }
            request(&mut gic, 33, 0x20);
            gic.flush(BOOT, &mut interface);
            assert_eq!(serve(&mut gic, &mut interface), Some(33), "{waiting}");
            gic.flush(BOOT, &mut interface);
            // And those that waited come all, in order.
            for n in 0..waiting {
                assert_eq!(serve(&mut gic, &mut interface), Some(40 + n));
                gic.flush(BOOT, &mut interface);
            }
            assert!(!gic.deliverable(BOOT));
        }
    }
}

#[test]
fn a_ladder_of_urgent_ones_gets_in_where_they_can_be_taken_back() {
    let (mut gic, mut interface) = running();
    interface.recalls = true;
    for n in 0..20 {
        request(&mut gic, 60 - n, 0xf0 - 8 * u32::from(n));
        gic.flush(BOOT, &mut interface);
    }
    for n in (0..20).rev() {
        assert_eq!(serve(&mut gic, &mut interface), Some(60 - n));
        gic.flush(BOOT, &mut interface);
    }
    assert!(!gic.deliverable(BOOT));
}

#[test]
fn what_was_acknowledged_is_not_taken_back() {
    let (mut gic, mut interface) = running();
    interface.recalls = true;
    for n in 0..4 {
        request(&mut gic, 40 + n, 0xa0);
    }
    gic.flush(BOOT, &mut interface);
    for n in 0..4 {
        assert_eq!(interface.acknowledge(), Some(40 + n));
    }
    request(&mut gic, 33, 0x20);
    gic.flush(BOOT, &mut interface);
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [40, 41, 42, 43]);
    let lr = interface.end(42);
    assert_eq!(gic.on_maintenance(BOOT, lr), Some(42));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.acknowledge(), Some(33));
}

#[test]
fn equally_urgent_ones_do_not_push_each_other_out() {
    let (mut gic, mut interface) = running();
    interface.recalls = true;
    for n in 0..6 {
        request(&mut gic, 40 + n, 0xa0);
        gic.flush(BOOT, &mut interface);
    }
    request(&mut gic, 33, 0xa0);
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [40, 41, 42, 43]);
}

#[test]
fn taken_back_it_is_pending_as_it_was() {
    let (mut gic, mut interface) = running();
    interface.recalls = true;
    // By its line, by software, and an SGI.
    for intid in [36u16, 37, 5] {
        assert!(gic.mmio_write(BOOT, 0x400 + u32::from(intid), 1, 0xa0));
    }
    gic.set_level(BOOT, 36, true);
    gic.pulse(BOOT, 37);
    gic.pulse(BOOT, 5);
    request(&mut gic, 38, 0x80);
    gic.flush(BOOT, &mut interface);
    for n in 0..4 {
        request(&mut gic, 40 + n, 0x20);
    }
    gic.flush(BOOT, &mut interface);
    assert!(
        !gic.in_list_register(BOOT, 36)
            && !gic.in_list_register(BOOT, 37)
            && !gic.in_list_register(BOOT, 5)
    );
    assert_eq!(
        gic.mmio_read(BOOT, ISPENDR + 4, 4),
        Some(1 << 4 | 1 << 5 | 1 << 6)
    );
    assert_eq!(
        gic.mmio_read(BOOT, 0xf20 + 4, 4),
        Some(1 << 8),
        "SGI 5 of CPU 0"
    );
    // The line falls: nothing is left of that interrupt.
    gic.set_level(BOOT, 36, false);
    let order: Vec<_> = core::iter::from_fn(|| {
        let served = serve(&mut gic, &mut interface);
        gic.flush(BOOT, &mut interface);
        served
    })
    .take(20)
    .collect();
    assert_eq!(order, [40, 41, 42, 43, 38, 5, 37]);
    assert!(!gic.deliverable(BOOT));
}

#[test]
fn a_look_that_found_no_room_is_not_repeated() {
    let (mut gic, mut interface) = running();
    for n in 0..4 {
        request(&mut gic, 40 + n, 0xa0);
        gic.flush(BOOT, &mut interface);
    }
    assert!(gic.cpus[0].stuck);
    // A priority that changes may change the answer.
    assert!(gic.mmio_write(BOOT, 0x400 + 43, 1, 0x20));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [40, 41, 42, 43]);
}

#[test]
fn a_maintenance_interrupt_for_nothing_frees_nothing() {
    let (mut gic, mut interface) = running();
    gic.pulse(BOOT, 32);
    gic.flush(BOOT, &mut interface);
    assert_eq!(gic.on_maintenance(BOOT, None), None);
    for lr in [1, 3, 4, 15, 16, 255] {
        assert_eq!(
            gic.on_maintenance(BOOT, Some(lr)),
            None,
            "list register {lr}"
        );
    }
    assert!(gic.in_list_register(BOOT, 32));
    assert_eq!(gic.on_maintenance(BOOT, Some(0)), Some(32));
    assert_eq!(gic.on_maintenance(BOOT, Some(0)), None);
}

#[test]
fn interrupts_that_do_not_exist_do_nothing() {
    let (mut gic, mut interface) = running();
    for intid in [96, 991, 992, 1019, 1020, 1023, 1024, u16::MAX] {
        gic.set_level(BOOT, intid, true);
        gic.pulse(BOOT, intid);
        assert!(
            !gic.level(BOOT, intid)
                && !gic.is_enabled(BOOT, intid)
                && !gic.in_list_register(BOOT, intid)
        );
    }
    gic.set_level(BOOT, 3, true);
    gic.flush(BOOT, &mut interface);
    assert_eq!(
        (interface.injected.len(), gic.deliverable(BOOT)),
        (0, false),
        "an SGI has no line"
    );
}

#[test]
fn the_last_spi_of_the_largest_distributor_works() {
    let mut gic = VGic::new(u16::MAX, 1);
    let mut interface = Interface::default();
    assert_eq!(gic.mmio_read(BOOT, 4, 4), Some(30));
    assert!(gic.mmio_write(BOOT, 0, 4, 1));
    assert!(gic.mmio_write(BOOT, ISENABLER + 4 * 30, 4, 1 << 31));
    gic.set_level(BOOT, 991, true);
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [991]);
}

#[test]
fn a_distributor_without_spis_has_private_interrupts() {
    let mut gic = VGic::new(0, 1);
    let mut interface = Interface::default();
    assert_eq!(gic.mmio_read(BOOT, 4, 4), Some(0));
    assert!(gic.mmio_write(BOOT, 0, 4, 1) && gic.mmio_write(BOOT, ISENABLER, 4, 1 << 27));
    gic.set_level(BOOT, VTIMER, true);
    gic.set_level(BOOT, 32, true);
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [27]);
}

#[test]
fn made_active_by_software_it_is_not_forwarded() {
    let (mut gic, mut interface) = running();
    assert!(gic.mmio_write(BOOT, ISACTIVER + 4, 4, 1 << 2));
    gic.pulse(BOOT, 34);
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, []);
    assert_eq!(gic.mmio_read(BOOT, ISACTIVER + 4, 4), Some(1 << 2));
    assert!(gic.mmio_write(BOOT, ICACTIVER + 4, 4, 1 << 2));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [34]);
    assert_eq!(
        gic.mmio_read(BOOT, ICACTIVER + 4, 4),
        Some(1 << 2),
        "held counts as active"
    );
    assert!(gic.mmio_write(BOOT, ICACTIVER + 4, 4, 1 << 2));
    assert!(
        gic.in_list_register(BOOT, 34),
        "only its end deactivates it"
    );
}

#[test]
fn pending_set_by_software_is_taken_once_and_can_be_cleared() {
    let (mut gic, mut interface) = running();
    assert!(gic.mmio_write(BOOT, ISPENDR + 4, 4, 0b11));
    assert!(gic.mmio_write(BOOT, ICPENDR + 4, 4, 0b01));
    gic.flush(BOOT, &mut interface);
    assert_eq!(serve(&mut gic, &mut interface), Some(33));
    gic.flush(BOOT, &mut interface);
    assert_eq!(interface.injected, [33]);
}
