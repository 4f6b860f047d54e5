//! Random life of a distributor, held against a model that keeps every interrupt on its own.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{BOOT, ICACTIVER, ICENABLER, ICPENDR, ISACTIVER, ISENABLER, ISPENDR, Interface, VGic};

/// Interrupts of the distributor under test.
const COUNT: u16 = 96;

#[derive(Clone, Copy, Debug)]
enum Step {
    Level(u16, bool),
    Pulse(u16),
    /// Register base of a bitmap, word, value.
    Bitmap(u32, u32, u32),
    Priority(u16, u8),
    Configure(u32, u32),
    Control(bool),
    Sgi(u8),
    ClearSgi(u8),
    Flush,
    Acknowledge,
    /// Ends one of the active interrupts.
    End(u8),
    Spurious(Option<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let intid = prop_oneof![0..COUNT + 40, Just(27), Just(31), 30u16..40];
    let value = prop_oneof![
        any::<u32>(),
        (0u32..32).prop_map(|bit| 1 << bit),
        Just(u32::MAX)
    ];
    let bitmap = prop::sample::select(vec![
        ISENABLER, ISENABLER, ICENABLER, ISPENDR, ICPENDR, ISACTIVER, ICACTIVER, ICACTIVER,
    ]);
    prop_oneof![
        4 => (intid.clone(), any::<bool>()).prop_map(|(intid, high)| Step::Level(intid, high)),
        3 => intid.clone().prop_map(Step::Pulse),
        3 => (bitmap, 0u32..5, value.clone()).prop_map(|(base, n, value)| Step::Bitmap(base, n, value)),
        1 => (intid, any::<u8>()).prop_map(|(intid, priority)| Step::Priority(intid, priority)),
        1 => (0u32..9, value).prop_map(|(n, value)| Step::Configure(n, value)),
        1 => prop::bool::weighted(0.8).prop_map(Step::Control),
        1 => (0u8..16).prop_map(Step::Sgi),
        1 => (0u8..16).prop_map(Step::ClearSgi),
        5 => Just(Step::Flush),
        4 => Just(Step::Acknowledge),
        4 => any::<u8>().prop_map(Step::End),
        1 => any::<Option<u8>>().prop_map(Step::Spurious),
    ]
}

/// One interrupt of the model.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    enabled: bool,
    high: bool,
    latch: bool,
    edge: bool,
    held: bool,
    /// Its latch went into the list register with it.
    by_latch: bool,
    active: bool,
    priority: u8,
    /// Edges and software requests, and how often it was injected because of a latch.
    edges: u32,
    taken: u32,
}

impl Line {
    fn pending(&self) -> bool {
        self.latch || (self.high && !self.edge)
    }
    fn request(&mut self) {
        self.latch = true;
        self.edges += 1;
    }
}

struct Model {
    on: bool,
    lines: Vec<Line>,
}

impl Model {
    fn new() -> Self {
        let mut lines = vec![Line::default(); COUNT.into()];
        for sgi in &mut lines[..16] {
            (sgi.enabled, sgi.edge) = (true, true);
        }
        Self { on: false, lines }
    }
    fn get(&mut self, intid: u16) -> Option<&mut Line> {
        self.lines.get_mut(usize::from(intid))
    }
    /// What may go into a list register, the most urgent first.
    fn ready(&self) -> Vec<u16> {
        let mut ready: Vec<u16> = (0..COUNT)
            .filter(|intid| {
                let line = &self.lines[usize::from(*intid)];
                self.on && line.enabled && line.pending() && !line.held && !line.active
            })
            .collect();
        ready.sort_by_key(|intid| (self.lines[usize::from(*intid)].priority, *intid));
        ready
    }
    fn bitmap(&mut self, base: u32, n: u32, value: u32) {
        for bit in (0..32).filter(|bit| value & (1 << bit) != 0) {
            let intid = u16::try_from(32 * n + bit).unwrap();
            let sgi = intid < 16;
            let Some(line) = self.get(intid) else {
                continue;
            };
            match base {
                ISENABLER => line.enabled = true,
                ICENABLER if !sgi => line.enabled = false,
                ISPENDR if !sgi => line.request(),
                ICPENDR if !sgi => line.latch = false,
                ISACTIVER if !line.held => line.active = true,
                ICACTIVER => line.active = false,
                _ => {}
            }
        }
    }
    fn word(&self, n: usize, field: impl Fn(&Line) -> bool) -> u32 {
        (0..32).fold(0, |word, bit| {
            word | u32::from(self.lines.get(32 * n + bit).is_some_and(&field)) << bit
        })
    }
}

struct Both {
    gic: VGic,
    interface: Interface,
    model: Model,
    ended: u32,
    /// Requests that were not served one by one, because they were taken back and then were none or
    /// the same as another.
    fewer: u32,
}

impl Both {
    fn new(recalls: bool) -> Self {
        let interface = Interface {
            recalls,
            ..Interface::default()
        };
        Self {
            gic: VGic::new(COUNT - 32, 1),
            interface,
            model: Model::new(),
            ended: 0,
            fewer: 0,
        }
    }

    fn flush(&mut self) {
        if self.interface.recalls {
            return self.flush_with_recalls();
        }
        let free = self.interface.lr.iter().filter(|lr| lr.is_none()).count();
        let mut expected = self.model.ready();
        // The last one is for what is more urgent than all others.
        expected.truncate(free.saturating_sub(1).max(free.min(1)));
        if free == 1 {
            let held = self.interface.lr.iter().flatten();
            let above = held.map(|held| held.1).min().unwrap_or(u8::MAX);
            let lines = &self.model.lines;
            expected.retain(|intid| lines[usize::from(*intid)].priority < above);
        }
        let before = self.interface.injected.len();
        self.gic.flush(BOOT, &mut self.interface);
        assert_eq!(self.interface.injected[before..], expected);
        for intid in expected {
            self.put(intid);
            let priority = self.model.lines[usize::from(intid)].priority;
            assert!(self.interface.lr.contains(&Some((intid, priority, false))));
        }
    }

    /// The model's `intid` goes into a list register.
    fn put(&mut self, intid: u16) {
        let line = &mut self.model.lines[usize::from(intid)];
        line.held = true;
        line.by_latch = line.latch;
        line.taken += u32::from(line.latch);
        line.latch = false;
        assert!(
            line.taken <= line.edges,
            "INTID {intid}: more interrupts than edges"
        );
    }

    /// The model's `intid` is taken back.
    fn take_back(&mut self, intid: u16) {
        let line = &mut self.model.lines[usize::from(intid)];
        line.held = false;
        line.taken -= u32::from(line.by_latch);
        // It is pending by its latch already, or its line has fallen: one less to come.
        let gone = if line.by_latch {
            line.latch
        } else {
            !line.high || line.edge
        };
        self.fewer += u32::from(gone);
        line.latch |= line.by_latch;
    }

    fn flush_with_recalls(&mut self) {
        let before = self.interface.injected.len();
        self.gic.flush(BOOT, &mut self.interface);
        let injected = self.interface.injected.split_off(before);
        let mut recalled = core::mem::take(&mut self.interface.recalled)
            .into_iter()
            .peekable();
        for (n, intid) in (before..).zip(injected) {
            while let Some((_, back)) = recalled.next_if(|(at, _)| *at == n) {
                self.take_back(back);
            }
            self.put(intid);
        }
        assert_eq!(recalled.next(), None, "taken back for nothing");
        // No list register is left, and none that is not active holds less than what waits.
        if let Some(next) = self.model.ready().first() {
            let next = self.model.lines[usize::from(*next)].priority;
            for held in &self.interface.lr {
                let (_, priority, active) = held.expect("something waits and a register is free");
                assert!(active || priority <= next);
            }
        }
    }

    fn end(&mut self, pick: u8) {
        let active: Vec<u16> = self
            .interface
            .lr
            .iter()
            .flatten()
            .filter(|lr| lr.2)
            .map(|lr| lr.0)
            .collect();
        let Some(intid) = active.get(usize::from(pick) % active.len().max(1)) else {
            return;
        };
        let lr = self.interface.end(*intid);
        assert_eq!(self.gic.on_maintenance(BOOT, lr), Some(*intid));
        self.model.lines[usize::from(*intid)].held = false;
        self.ended += 1;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Level(intid, high) => {
                self.gic.set_level(BOOT, intid, high);
                if let Some(line) = self.model.get(intid).filter(|_| intid >= 16) {
                    if high && !line.high && line.edge {
                        line.request();
                    }
                    line.high = high;
                }
            }
            Step::Pulse(intid) => {
                self.gic.pulse(BOOT, intid);
                if let Some(line) = self.model.get(intid) {
                    line.request();
                }
            }
            Step::Bitmap(base, n, value) => {
                assert!(self.gic.mmio_write(BOOT, base + 4 * n, 4, value));
                self.model.bitmap(base, n, value);
            }
            Step::Priority(intid, priority) => {
                assert!(
                    self.gic
                        .mmio_write(BOOT, 0x400 + u32::from(intid), 1, priority.into())
                );
                if let Some(line) = self.model.get(intid) {
                    line.priority = priority & 0xf8;
                }
            }
            Step::Configure(n, value) => {
                assert!(self.gic.mmio_write(BOOT, 0xc00 + 4 * n, 4, value));
                for at in 0..16 {
                    let intid = u16::try_from(16 * n + at).unwrap();
                    if let Some(line) = self.model.get(intid).filter(|_| intid >= 32) {
                        line.edge = value & (2 << (2 * at)) != 0;
                    }
                }
            }
            Step::Control(on) => {
                assert!(self.gic.mmio_write(BOOT, 0, 4, on.into()));
                self.model.on = on;
            }
            Step::Sgi(sgi) => {
                assert!(
                    self.gic
                        .mmio_write(BOOT, 0xf00, 4, 2 << 24 | u32::from(sgi))
                );
                self.model.lines[usize::from(sgi)].request();
            }
            Step::ClearSgi(sgi) => {
                assert!(self.gic.mmio_write(BOOT, 0xf10 + u32::from(sgi), 1, 1));
                self.model.lines[usize::from(sgi)].latch = false;
            }
            Step::Flush => self.flush(),
            Step::Acknowledge => {
                self.interface.acknowledge();
            }
            Step::End(pick) => self.end(pick),
            Step::Spurious(lr) => {
                let empty = lr.is_none_or(|lr| {
                    self.interface
                        .lr
                        .get(usize::from(lr))
                        .is_none_or(Option::is_none)
                });
                if empty {
                    assert_eq!(self.gic.on_maintenance(BOOT, lr), None);
                }
            }
        }
    }

    fn compare(&self) {
        for n in 0..5u8 {
            let (at, n) = (4 * u32::from(n), usize::from(n));
            assert_eq!(
                self.gic.mmio_read(BOOT, ISENABLER + at, 4),
                Some(self.model.word(n, |line| line.enabled))
            );
            assert_eq!(
                self.gic.mmio_read(BOOT, ISPENDR + at, 4),
                Some(self.model.word(n, Line::pending))
            );
            assert_eq!(
                self.gic.mmio_read(BOOT, ISACTIVER + at, 4),
                Some(self.model.word(n, |line| line.held || line.active))
            );
        }
        let in_flight = self.interface.lr.iter().flatten().count();
        assert_eq!(
            self.gic.deliverable(BOOT),
            in_flight != 0 || !self.model.ready().is_empty()
        );
    }

    /// Lets the guest serve everything: what was asked for must come, and then nothing more.
    fn drain(&mut self) {
        for intid in 16..COUNT {
            self.step(Step::Level(intid, false));
        }
        self.step(Step::Control(true));
        for n in 0..3 {
            self.step(Step::Bitmap(ISENABLER, n, u32::MAX));
            self.step(Step::Bitmap(ICACTIVER, n, u32::MAX));
        }
        let latched = self.model.lines.iter().filter(|line| line.latch).count();
        let in_flight = self.interface.lr.iter().flatten().count();
        let before = usize::try_from(self.ended + self.fewer).unwrap();
        for _ in 0..2 * COUNT {
            self.flush();
            self.step(Step::Acknowledge);
            self.end(0);
        }
        assert_eq!(
            usize::try_from(self.ended + self.fewer).unwrap() - before,
            latched + in_flight,
            "each request is served once"
        );
        assert!(!self.gic.deliverable(BOOT));
        self.compare();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_interrupt_is_lost_or_invented(recalls in any::<bool>(), steps in vec(step(), 1..250)) {
        let mut both = Both::new(recalls);
        both.step(Step::Control(true));
        both.step(Step::Bitmap(ISENABLER, 0, u32::MAX));
        for step in steps {
            both.step(step);
            both.compare();
        }
        both.drain();
    }

    /// Any access at all: an answer or a refusal, and the state stays one that `flush` accepts.
    #[test]
    fn any_access_is_survived(accesses in vec((0u32..0x1100, 0u8..9, any::<u32>(), any::<bool>()), 1..200)) {
        let mut gic = VGic::new(960, 1);
        let mut interface = Interface::default();
        for (offset, size, value, write) in accesses {
            let reads = gic.mmio_read(BOOT, offset, size).is_some();
            if write {
                prop_assert_eq!(gic.mmio_write(BOOT, offset, size, value), reads);
            }
            gic.flush(BOOT, &mut interface);
            if let Some(intid) = interface.acknowledge() {
                let lr = interface.end(intid);
                prop_assert_eq!(gic.on_maintenance(BOOT, lr), Some(intid));
            }
        }
    }
}
