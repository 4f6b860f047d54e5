//! The virtual CPU interface: four list registers, and what the guest does with them without an
//! exit (GICv2 spec IHI 0048B.b, chapter 5).

/// List registers of a GIC-400 as seL4 uses it.
pub(crate) const LIST_REGISTERS: usize = 4;
/// What an acknowledge reads when nothing is pending.
pub(crate) const SPURIOUS: u16 = 1023;
/// Running priority of an idle interface, below every priority.
const IDLE: u8 = 0xff;

/// An interrupt in a list register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Held {
    intid: u16,
    priority: u8,
    active: bool,
}

/// The interface. A guest enables it before it sees interrupts, as it would the hardware.
#[derive(Clone, Debug)]
pub(crate) struct Gicv {
    lr: [Option<Held>; LIST_REGISTERS],
    /// `GICV_CTLR.Enable`.
    pub(crate) enabled: bool,
    /// `GICV_PMR`: only more urgent (lower) priorities pass.
    pub(crate) mask: u8,
}

impl Gicv {
    /// The interface after reset.
    pub(crate) const fn new() -> Self {
        Self {
            lr: [None; LIST_REGISTERS],
            enabled: false,
            mask: 0,
        }
    }

    /// What the VMM puts into list register `lr`.
    ///
    /// # Panics
    /// If the register is in use (seL4 refuses: "VGIC List reg in use"), or the interrupt is in
    /// another one, which a GIC leaves unpredictable.
    pub(crate) fn inject(&mut self, lr: u8, intid: u16, priority: u8) {
        let twin = self.lr.iter().flatten().find(|held| held.intid == intid);
        assert_eq!(twin, None, "interrupt {intid} in two list registers");
        let slot = &mut self.lr[usize::from(lr)];
        assert_eq!(
            *slot, None,
            "list register {lr} is in use, yet {intid} goes in"
        );
        *slot = Some(Held {
            intid,
            priority: priority & 0xf8,
            active: false,
        });
    }

    fn running(&self) -> u8 {
        self.lr
            .iter()
            .flatten()
            .filter(|held| held.active)
            .map(|held| held.priority)
            .min()
            .unwrap_or(IDLE)
    }

    fn best(&self) -> Option<usize> {
        let pending = self
            .lr
            .iter()
            .enumerate()
            .filter_map(|(n, held)| Some((n, (*held)?)));
        let (n, held) = pending
            .filter(|(_, held)| !held.active)
            .min_by_key(|(_, held)| (held.priority, held.intid))?;
        (self.enabled && held.priority < self.mask && held.priority < self.running()).then_some(n)
    }

    /// Whether the virtual IRQ line is up.
    pub(crate) fn irq(&self) -> bool {
        self.best().is_some()
    }

    /// `GICV_IAR` is read: the interrupt becomes active.
    pub(crate) fn acknowledge(&mut self) -> u16 {
        let Some(held) = self.best().and_then(|n| self.lr[n].as_mut()) else {
            return SPURIOUS;
        };
        held.active = true;
        held.intid
    }

    /// `GICV_EOIR` is written; the list register that became free, which asks for maintenance.
    pub(crate) fn end(&mut self, intid: u16) -> Option<u8> {
        let n = self
            .lr
            .iter()
            .position(|held| held.is_some_and(|held| held.intid == intid && held.active))?;
        self.lr[n] = None;
        u8::try_from(n).ok()
    }
}
