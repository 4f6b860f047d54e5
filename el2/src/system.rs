//! Interrupts, notifications, and the guests that have the processors.
//!
//! [`Schedule`] says who runs on a core. Everything that is done for a guest is done while it is
//! that guest's turn and is charged to it: what its core does when time has passed or the console
//! has something for it waits until then.
//!
//! With several cores each has a [`System`] of its own, and what they share is touched by who has
//! the lock ([`cores`]): all but a guest while it runs, and the wait for an interrupt. A vCPU is on
//! its core for ever. What is done for a guest is done by any core that it has vCPUs on; the others
//! are told whom of it to run from then on, or to run no longer.
//!
//! # Soundness
//! [`Common`] points to what `boot.rs` made for ever. Methods of [`System`] are called with the
//! lock, and give it back only where they have no reference to anything common: in
//! [`System::enter`] and [`System::sleep`].
#![expect(unsafe_code, reason = "cores share what they have one at a time")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::{
    AtomicPtr,
    Ordering::{Acquire, Release},
};

use arm_gic::gicv2::GicV2;
use arm_gic::{IntId, InterruptGroup};
use el2_schedule::{Schedule, Turns};
use hv_types::{VcpuId, Vcpus};
use hypervisor_core::exit::Reason;
use hypervisor_core::host::Vcpu as _;
use hypervisor_core::host::on_vcpu::{Boot, Which};
use hypervisor_core::life::driver::Signal;
use hypervisor_core::vcpu::action::VcpuAction;
use topology::pd::time::Time;
use topology::{MAX_DOMAINS, channel, console_client};

use crate::block::{self, Blocks};
use crate::board::{HYP_TIMER, MAINTENANCE, UART_IRQ, VIRTUAL_TIMER};
use crate::cpu::{self, Frame, Stopped};
use crate::gicd::RING;
use crate::guest::Guest;
use crate::log::ServerLog;
use crate::net::{self, Nets};
use crate::serial::Console;
use crate::services::{self, Services};
use crate::store::Store;
use crate::{cores, gicd, gich};

/// The console's number among the clients of the timer.
const CONSOLE_TIMER: usize = channel::TIMER_CLIENT_CONSOLE;

const TIMER: IntId = IntId::ppi(VIRTUAL_TIMER - 16);

/// Who wakes and so stops another guest within this time of its start or of the last such stop, in
/// microseconds, pays for that time. To leave and enter again takes the other half a microsecond,
/// so of what it pays for itself it loses a tenth.
const SHORT_US: u64 = 5;

/// What all cores share.
pub(crate) struct Shared {
    /// The guests.
    pub(crate) guests: Vec<Box<Guest>>,
    /// The servers that are called in place.
    pub(crate) services: &'static Services,
    /// The others.
    pub(crate) console: Console,
    pub(crate) store: Store,
    pub(crate) blocks: Option<Blocks>,
    pub(crate) nets: Option<Nets>,
    /// The log of the host itself.
    pub(crate) log: Option<ServerLog>,
    pub(crate) gic: GicV2<'static>,
    /// What each core has of each guest, by number.
    pub(crate) parts: Vec<Vec<Part>>,
}

/// What a core has of a guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Those of its vCPUs that are on the core.
    pub(crate) vcpus: Vcpus,
    /// The time that they have; none where there are none.
    pub(crate) time: Option<Time>,
}

/// What all cores share, for whoever has the lock.
struct Common<T: ?Sized>(NonNull<T>);

impl<T: ?Sized> Deref for Common<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: made for ever, and only who has the lock is here; see the module.
        unsafe { self.0.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for Common<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { self.0.as_mut() }
    }
}

/// Where further cores find it.
static SHARED: AtomicPtr<Shared> = AtomicPtr::new(core::ptr::null_mut());

/// The first Rust function of a further core, which comes for the lock; never returns.
// SAFETY: the name is used by `start.rs` alone.
#[unsafe(no_mangle)]
extern "C" fn el2_secondary(number: u64) -> ! {
    #[expect(clippy::cast_possible_truncation, reason = "below 8")]
    let number = number as u8;
    cores::lock(number);
    cpu::set_traps();
    let shared = NonNull::new(SHARED.load(Acquire)).expect("it is there before the cores are");
    System::new(shared, number).run()
}

/// A core, and everything that runs there.
pub(crate) struct System {
    /// What it shares with others.
    all: Common<Shared>,
    guests: Common<[Box<Guest>]>,
    services: &'static Services,
    /// Its number.
    number: u8,
    /// There are others.
    several: bool,
    /// Those of the guests' vCPUs that are on it.
    own: [Vcpus; MAX_DOMAINS],
    /// Which of a guest's vCPUs runs when it is its turn.
    turns: [Turns; MAX_DOMAINS],
    /// Which of them had the processor last.
    last: [VcpuId; MAX_DOMAINS],
    /// The virtual timer's interrupt is masked in the distributor.
    timer_masked: bool,
    /// Whose registers are in the processor: guest and vCPU.
    loaded: Option<(usize, VcpuId)>,
    schedule: Schedule,
    /// When the guest that runs has to make way: its slice ends, or one that was held may run.
    slice_end: Option<u64>,
    /// The guest that runs has to make way.
    yields: bool,
    /// Who runs is to be looked at again: the guest has to make way, or its vCPU has.
    looks: bool,
    /// The tick up to which time has been charged.
    charged: u64,
    /// Who ran before and went to sleep: it pays for the switch to the next.
    left: Option<usize>,
    /// [`SHORT_US`] in ticks.
    short: u64,
}

impl System {
    /// The core that boots, with what all share; what others need is ready.
    pub(crate) fn first(shared: &'static mut Shared) -> Self {
        let shared = NonNull::from(shared);
        SHARED.store(shared.as_ptr(), Release);
        Self::new(shared, 0)
    }

    /// Core `number`, which this is executed on, with its interrupts; nothing runs yet. The caller
    /// has the lock.
    fn new(shared: NonNull<Shared>, number: u8) -> Self {
        let mut all = Common(shared);
        let guests = Common(NonNull::from(&mut *all.guests));
        let services = all.services;
        let has_disk = all.blocks.is_some();
        let has_nets = all.nets.is_some();
        let gic = &mut all.gic;
        gic.setup();
        // EL2 is non-secure, and where the GIC has security extensions a non-secure GICD_CTLR has
        // the enable of group 1, the only one that it can have, in bit 0 (IHI 0048B 4.3.1); setup()
        // takes the bit that a secure one has.
        gic.enable_group0(true);
        gich::start();
        cpu::set_timer(None);
        // Interrupts of the board are exceptions of the first core.
        let devices = [
            Some(UART_IRQ),
            block::IRQ.filter(|_| has_disk),
            net::IRQ.filter(|_| has_nets),
        ];
        for intid in devices.into_iter().flatten().filter(|_| number == 0) {
            gicd::route_here(intid);
            // A GIC without the UART's SPI leaves the console without input.
            let _ = gic.enable_interrupt(IntId::spi(intid - 32), true);
        }
        let several = cores::several();
        if several {
            cores::listen(number);
            // Who rang before had nobody to ring; what for is looked at below.
            cores::take_mail(number);
            let _ = gic.enable_interrupt(IntId::sgi(RING), true);
        }
        for intid in [MAINTENANCE, HYP_TIMER] {
            // PPIs of this board exist.
            let _ = gic.enable_interrupt(IntId::ppi(intid - 16), true);
        }
        let now = cpu::now();
        let empty = Vec::new();
        let parts = all.parts.get(usize::from(number)).unwrap_or(&empty);
        let times: Vec<_> = parts.iter().map(|part| part.time).collect();
        let mut own = [Vcpus::NONE; MAX_DOMAINS];
        for (slot, part) in own.iter_mut().zip(parts) {
            *slot = part.vcpus;
        }
        let mut system = Self {
            services,
            guests,
            number,
            several,
            own,
            turns: [Turns::new(cpu::frequency()); MAX_DOMAINS],
            last: own.map(|own| own.lowest().unwrap_or(VcpuId::BOOT)),
            timer_masked: true,
            loaded: None,
            schedule: Schedule::of_core(&times, cpu::frequency()),
            slice_end: None,
            yields: false,
            looks: false,
            charged: now,
            left: None,
            short: cpu::frequency().saturating_mul(SHORT_US) / 1_000_000,
            all,
        };
        for index in 0..system.guests.len() {
            if system.wants_to_run(index) {
                system.schedule.wake(index, now);
            }
        }
        system
    }

    /// Runs for ever.
    pub(crate) fn run(&mut self) -> ! {
        if self.number == 0 {
            self.pump();
            self.pump_store();
            self.pump_blocks();
            self.pump_nets();
        }
        loop {
            match self.schedule.start(cpu::now()) {
                Some(index) => {
                    self.run_guest(index);
                    let wants = self.wants_to_run(index);
                    self.schedule.stop(wants);
                    self.left = (!wants).then_some(index);
                }
                // Of a server's own there is more to do, and nobody else wants to run.
                None if services::rung() => {}
                None => {
                    let payer = self.left.take();
                    self.charge(payer);
                    self.mask_timer(true);
                    self.set_slice(None);
                    self.sleep();
                    self.charge(None);
                    self.interrupt(None);
                }
            }
            self.serve();
        }
    }

    /// The vCPUs of guest `index` on this core that would like to run.
    #[inline]
    fn ready(&self, index: usize) -> Vcpus {
        let guest = self.guests.get(index);
        let running = guest.map_or(Vcpus::NONE, |guest| guest.driver.running());
        if self.several {
            running.and(self.own[index % MAX_DOMAINS])
        } else {
            running
        }
    }

    /// Whether there is something to do for guest `index` on this core.
    fn wants_to_run(&self, index: usize) -> bool {
        let guest = self.guests.get(index);
        !self.ready(index).is_empty() || guest.is_some_and(|guest| guest.driver.is_behind())
    }

    /// Waits for an interrupt, without the lock.
    fn sleep(&mut self) {
        if self.several {
            cores::unlock();
        }
        cpu::wait_for_interrupt();
        if self.several {
            self.lock();
        }
    }

    /// Runs the vCPU with this frame, which has the processor, until it stops; without the lock.
    #[inline(always)]
    fn enter<const SEVERAL: bool>(&mut self, frame: *mut Frame) -> Stopped {
        if SEVERAL {
            cores::unlock();
        }
        // SAFETY: the vCPU is this core's, and other cores look at its frame when it is stopped.
        let stopped = unsafe { cpu::enter(frame) };
        if SEVERAL {
            self.lock();
        }
        stopped
    }

    /// Comes for the lock. Where another core has had registers put back, who runs is to be looked
    /// at again.
    fn lock(&mut self) {
        if cores::lock(self.number) {
            self.looks = true;
            let lost = self.loaded.take();
            if let Some((index, id)) = lost
                && let Some(guest) = self.guests.get(index)
                && guest.host.vcpus[id.index()].has_ended()
            {
                // It may wait for what follows that end, of which the hardware tells this core.
                self.load(index, id);
            }
        }
    }

    /// Tells the other cores which of the vCPUs of guest `index` are to run, or to run no longer,
    /// and have not been told. Those that are not to run have stopped when this returns.
    #[inline]
    fn spread(&mut self, index: usize) {
        if let Some(guest) = self.guests.get(index)
            && self.several
            && guest.driver.running() != guest.told
        {
            self.tell_cores(index);
        }
    }

    /// [`System::spread`] where there is something.
    #[inline(never)]
    fn tell_cores(&mut self, index: usize) {
        let own = self.own[index % MAX_DOMAINS];
        let Some(guest) = self.guests.get_mut(index) else {
            return;
        };
        let running = guest.driver.running();
        let told = core::mem::replace(&mut guest.told, running);
        for id in told.without(running).without(own) {
            guest.host.vcpus[id.index()].stop();
        }
        for id in running.without(told).without(own) {
            cores::tell(guest.host.vcpus[id.index()].core(), index);
        }
    }

    /// Charges the time since this was called last to a guest, or to nobody.
    fn charge(&mut self, payer: Option<usize>) {
        let now = cpu::now();
        let ticks = now.saturating_sub(self.charged);
        self.charged = now;
        if let Some(index) = payer {
            self.schedule.charge(index, ticks, now);
            if let Some(guest) = self.guests.get_mut(index) {
                let of = &mut guest.ticks[self.last[index % MAX_DOMAINS].index()];
                *of = of.saturating_add(ticks);
            }
        }
    }

    /// Masks or unmasks the virtual timer's interrupt in the distributor.
    fn mask_timer(&mut self, mask: bool) {
        if self.timer_masked != mask {
            self.timer_masked = mask;
            // It can be enabled: it is a PPI of the architecture.
            let _ = self.all.gic.enable_interrupt(TIMER, !mask);
        }
    }

    /// Gives the processor to vCPU `id` of guest `index`.
    fn load(&mut self, index: usize, id: VcpuId) {
        if self.loaded == Some((index, id)) {
            return;
        }
        if let Some((old, id)) = self.loaded
            && let Some(old) = self.guests.get_mut(old)
        {
            old.host.vcpus[id.index()].unload();
        }
        if self.loaded.is_some_and(|(old, _)| old == index) {
            // The one before has had the time until now.
            self.charge(Some(index));
        }
        // The timer's registers are about to become another's.
        self.mask_timer(true);
        if let Some(new) = self.guests.get_mut(index) {
            let last = core::mem::replace(&mut self.last[index % MAX_DOMAINS], id);
            new.host.vcpus[id.index()].load(last != id);
        }
        self.loaded = Some((index, id));
    }

    /// Sets the timer to the end of the slice of the guest that runs, up to now charged, to that of
    /// the turn of its vCPU, or to when one that has used its budget may run again.
    fn set_slice(&mut self, runs: Option<usize>) {
        let slice = self.schedule.left();
        let slice = slice.map(|left| self.charged.saturating_add(left));
        let release = self.schedule.release(self.charged);
        self.slice_end = slice.into_iter().chain(release).min();
        let turn = runs.and_then(|index| self.turns[index % MAX_DOMAINS].end());
        let end = self.slice_end.into_iter().chain(turn).min();
        self.services.timer.borrow_mut().here().set_slice(end);
    }

    /// Whose turn it is in guest `index`: the one of its vCPUs that runs now gets the processor;
    /// none where none would like to run.
    #[inline]
    fn pick(&mut self, index: usize) -> Option<VcpuId> {
        let ready = self.ready(index);
        let id = self.turns[index % MAX_DOMAINS].take(ready, cpu::now)?;
        self.load(index, id);
        Some(id)
    }

    /// Runs guest `index` until it waits, stops or has to make way.
    fn run_guest(&mut self, index: usize) {
        self.yields = false;
        let mut payer = self.left.unwrap_or(index);
        if self.ready(index).is_empty() {
            self.catch_up(index);
            payer = index;
        }
        let mut next = self.pick(index);
        self.charge(Some(payer));
        if self.catch_up(index) {
            next = self.pick(index);
        }
        while !self.yields
            && let Some(id) = next
        {
            self.set_slice(Some(index));
            self.looks = false;
            match (id == VcpuId::BOOT, self.several) {
                (true, false) => self.run_vcpu::<_, false>(index, Boot),
                (true, true) => self.run_vcpu::<_, true>(index, Boot),
                (false, false) => self.run_vcpu::<_, false>(index, id),
                (false, true) => self.run_vcpu::<_, true>(index, id),
            }
            next = self.pick(index);
        }
        self.charge(Some(index));
    }

    /// Runs a vCPU of guest `index`, which has the processor, until who runs is to be looked at
    /// again. What is done for the boot CPU is compiled for it, and what is done where there is
    /// one core.
    fn run_vcpu<W: Which, const SEVERAL: bool>(&mut self, index: usize, which: W) {
        let id = which.id();
        let Some(guest) = self.guests.get_mut(index) else {
            return;
        };
        let guest: *mut Guest = &raw mut **guest;
        while !self.looks {
            // SAFETY: guests are for ever, and nobody has a reference to one between exits.
            let vcpu = unsafe { &mut (&mut (*guest).host.vcpus)[id.index()] };
            if self.timer_masked != vcpu.timer_masked {
                self.follow_mask(index, vcpu.timer_masked);
                continue;
            }
            if SEVERAL {
                vcpu.take_late();
            }
            let life = vcpu.life();
            let frame = vcpu.frame();
            let stopped = self.enter::<SEVERAL>(frame);
            // SAFETY: guests are for ever, and the lock is there again.
            let guest = unsafe { &mut *guest };
            let vcpu = &mut guest.host.vcpus[id.index()];
            // Another core has started it again.
            let is_old = SEVERAL && vcpu.life() != life;
            let next = match stopped {
                Stopped::Interrupt => self.interrupt(Some(index)),
                _ if is_old => VcpuAction::Resume,
                Stopped::Synchronous => guest.stopped(id),
                Stopped::Other => {
                    let pc = vcpu.pc();
                    guest.handle(id, Reason::Unknown { pc })
                }
            };
            self.settle::<SEVERAL>(index, next);
        }
    }

    /// What follows an exit of a vCPU of guest `index`, or what was one.
    #[inline(always)]
    fn settle<const SEVERAL: bool>(&mut self, index: usize, next: VcpuAction) {
        if SEVERAL {
            self.spread(index);
        }
        if next != VcpuAction::Resume {
            self.looks = true;
            if next == VcpuAction::Yield {
                self.turns[index % MAX_DOMAINS].give_up();
            }
        }
        if self.serve() {
            self.catch_up(index);
        }
    }

    /// The virtual timer's interrupt of the loaded vCPU, of guest `index`, is to be masked, or is
    /// not to be any longer. One that would come at once, before the vCPU's next instruction, is
    /// taken here, and stays masked.
    #[inline(never)]
    fn follow_mask(&mut self, index: usize, mask: bool) {
        if mask || !cpu::virtual_timer_fires() {
            self.mask_timer(mask);
            return;
        }
        let next = self.virtual_timer();
        self.settle::<true>(index, next);
    }

    /// Takes one physical interrupt; `current` is the guest whose vCPU, which is loaded, it
    /// stopped.
    fn interrupt(&mut self, current: Option<usize>) -> VcpuAction {
        let Some(intid) = self
            .all
            .gic
            .get_and_acknowledge_interrupt(InterruptGroup::Group0)
        else {
            return VcpuAction::Resume;
        };
        let mut next = VcpuAction::Resume;
        // Of a software-generated interrupt the number comes with its sender's.
        match u32::from(intid) & 0x3ff {
            RING => {
                self.before_interrupt(current);
                self.look_at_mail();
                self.after_interrupt(current);
            }
            VIRTUAL_TIMER => {
                self.mask_timer(true);
                if current.is_some() {
                    next = self.virtual_timer();
                }
            }
            MAINTENANCE => next = self.maintenance(current),
            HYP_TIMER => {
                self.before_interrupt(current);
                self.timer();
                self.after_interrupt(current);
            }
            UART_IRQ => {
                self.before_interrupt(current);
                self.all.console.on_interrupt();
                self.pump();
                self.after_interrupt(current);
            }
            intid if block::IRQ == Some(intid) => {
                self.before_interrupt(current);
                if let Some(blocks) = &mut self.all.blocks {
                    blocks.on_interrupt();
                }
                self.pump_blocks();
                self.after_interrupt(current);
            }
            intid if net::IRQ == Some(intid) => {
                self.before_interrupt(current);
                if let Some(nets) = &mut self.all.nets {
                    nets.on_interrupt();
                }
                self.pump_nets();
                self.after_interrupt(current);
            }
            _ => {}
        }
        self.all.gic.end_interrupt(intid, InterruptGroup::Group0);
        next
    }

    /// The virtual timer of the loaded vCPU has fired, and its interrupt is masked: its guest's
    /// core is told, once until the guest has ended it.
    #[inline(never)]
    fn virtual_timer(&mut self) -> VcpuAction {
        let Some((index, id)) = self.loaded else {
            return VcpuAction::Resume;
        };
        let Some(guest) = self.guests.get_mut(index) else {
            return VcpuAction::Resume;
        };
        guest.host.vcpus[id.index()].timer_masked = true;
        guest.handle(id, Reason::VirtualTimer)
    }

    /// An interrupt that is not the guest's own stopped it: what it used before is its own, unless
    /// that was next to nothing. Then whoever wakes pays for it, so that many who wake often leave
    /// nobody a slice of fragments.
    fn before_interrupt(&mut self, current: Option<usize>) {
        if current.is_some() && cpu::now().saturating_sub(self.charged) >= self.short {
            self.charge(current);
        }
    }

    /// It goes on, or others want to run now.
    fn after_interrupt(&mut self, current: Option<usize>) {
        if let Some(index) = current {
            self.catch_up(index);
            self.set_slice(Some(index));
        }
    }

    /// The loaded vCPU, whose list registers these are, has ended interrupts that asked for this.
    /// Where it does not run (`current` is none), its guest may want to now.
    fn maintenance(&mut self, current: Option<usize>) -> VcpuAction {
        let Some((index, id)) = self.loaded else {
            return VcpuAction::Resume;
        };
        let mut ended = gich::ended();
        while ended != 0 {
            let Some(guest) = self.guests.get_mut(index) else {
                break;
            };
            #[expect(clippy::cast_possible_truncation, reason = "below 32")]
            let lr = ended.trailing_zeros() as u8;
            ended &= ended - 1;
            gich::set(lr, 0);
            let next = guest.handle(id, Reason::Maintenance { lr: Some(lr) });
            self.spread(index);
            if current != Some(index) {
                if !self.ready(index).is_empty() {
                    self.overtake(index);
                }
            } else if next != VcpuAction::Resume {
                return next;
            }
        }
        VcpuAction::Resume
    }

    /// The timer's interrupt.
    fn timer(&mut self) {
        let (mut clients, over) = self.services.timer.borrow_mut().here().expired();
        if over {
            let now = cpu::now();
            self.yields |= self.slice_end.is_some_and(|end| end <= now);
            self.looks = true;
            let runs = self.schedule.current();
            if let Some(turns) = runs.and_then(|index| self.turns.get_mut(index)) {
                turns.look(now);
            }
        }
        while clients != 0 {
            let client = clients.trailing_zeros() as usize;
            clients &= clients - 1;
            if client == CONSOLE_TIMER {
                self.pump();
            } else if client == channel::TIMER_CLIENT_STORE {
                self.pump_store();
            } else if client < MAX_DOMAINS {
                self.wake(client, Signal::Time);
            }
        }
    }

    /// Other cores have something for this one: guests that may want to run, or to stop.
    #[cold]
    fn look_at_mail(&mut self) {
        let mut guests = cores::take_mail(self.number);
        // The vCPU that runs may be one that another core has stopped.
        self.looks = true;
        while guests != 0 {
            let index = guests.trailing_zeros() as usize;
            guests &= guests - 1;
            if self.schedule.current() != Some(index) && self.wants_to_run(index) {
                self.wake_here(index);
            }
        }
    }

    /// Time has passed for guest `index`, or the console has something for it: its core is told
    /// when it is its turn.
    fn wake(&mut self, index: usize, signal: Signal) {
        let Some(guest) = self.guests.get_mut(index) else {
            return;
        };
        guest.driver.note(signal);
        if self.several && self.own[index % MAX_DOMAINS].is_empty() {
            cores::tell(guest.host.vcpus[VcpuId::BOOT.index()].core(), index);
            return;
        }
        if self.schedule.current() != Some(index) {
            self.wake_here(index);
        }
    }

    /// Guest `index`, which does not run, would like to.
    fn wake_here(&mut self, index: usize) {
        self.overtake(index);
        // Who wakes pays for that, not who runs.
        if self.schedule.current().is_some() {
            self.charge(Some(index));
        }
    }

    /// Tells the core of guest `index`, whose turn it is, what it has not been told; whether there
    /// was anything.
    #[inline]
    fn catch_up(&mut self, index: usize) -> bool {
        let guest = self.guests.get(index);
        let behind = guest.is_some_and(|guest| guest.driver.is_behind());
        if behind {
            self.tell(index);
        }
        behind
    }

    /// [`System::catch_up`] where there is something.
    #[inline(never)]
    fn tell(&mut self, index: usize) {
        while let Some(guest) = self.guests.get_mut(index)
            && guest.driver.is_behind()
        {
            guest.driver.catch_up(&mut guest.host);
            self.spread(index);
        }
        self.looks = true;
    }

    /// Guest `index` would like to run, maybe before the one that does.
    fn overtake(&mut self, index: usize) {
        self.yields |= self.schedule.wake(index, cpu::now());
        self.looks |= self.yields;
    }

    /// Looks after servers that were rung; whether there were any.
    #[inline]
    fn serve(&mut self) -> bool {
        services::take_rung() && self.serve_all()
    }

    /// [`System::serve`] where somebody has rung.
    #[cold]
    #[inline(never)]
    fn serve_all(&mut self) -> bool {
        let (console, store) = (services::bells(), services::store_bells());
        let (blocks, peers) = (services::block_bells(), services::peer_bells());
        let nets = services::net_bells();
        if console {
            self.pump();
        }
        if store {
            self.pump_store();
        }
        if blocks {
            self.pump_blocks();
        }
        if nets {
            self.pump_nets();
        }
        if peers {
            self.tell_peers();
        }
        console || store || blocks || nets || peers
    }

    /// Lets the block server work, on the time of whoever runs, and notifies guests.
    #[cold]
    fn pump_blocks(&mut self) {
        let Some(blocks) = &mut self.all.blocks else {
            return;
        };
        let mut notify = blocks.turn().notify;
        self.charge(self.schedule.current());
        while notify != 0 {
            self.wake(notify.trailing_zeros() as usize, Signal::Disks);
            notify &= notify - 1;
        }
    }

    /// Lets the net server work, on the time of whoever runs, and notifies guests.
    #[cold]
    fn pump_nets(&mut self) {
        let Some(nets) = &mut self.all.nets else {
            return;
        };
        let mut notify = nets.turn().notify;
        self.charge(self.schedule.current());
        while notify != 0 {
            self.wake(notify.trailing_zeros() as usize, Signal::Nets);
            notify &= notify - 1;
        }
    }

    /// Wakes guests to whom others have sent events.
    #[cold]
    fn tell_peers(&mut self) {
        let mut guests = services::take_peer_bells();
        while guests != 0 {
            self.wake(guests.trailing_zeros() as usize, Signal::Peers);
            guests &= guests - 1;
        }
    }

    /// Lets the store answer, on the time of whoever runs, and notifies guests.
    #[cold]
    fn pump_store(&mut self) {
        let turn = self.all.store.turn();
        if turn.wake_at.is_some() {
            let client = channel::TIMER_CLIENT_STORE;
            self.services.timer.borrow_mut().arm(client, turn.wake_at);
        }
        self.charge(self.schedule.current());
        let mut notify = turn.notify;
        while notify != 0 {
            self.wake(notify.trailing_zeros() as usize, Signal::Store);
            notify &= notify - 1;
        }
    }

    /// The console wants to know who has had the processor for how long, and what vCPUs do.
    #[cold]
    fn tell_times(&mut self) {
        self.charge(self.schedule.current());
        for guest in &mut *self.guests {
            guest.driver.show(&mut guest.host);
        }
        let (guests, frequency) = (&self.guests, u128::from(cpu::frequency().max(1)));
        let us = |domain: usize, vcpu: usize| {
            let guest = guests.get(domain);
            let ticks = guest.and_then(|guest| guest.ticks.get(vcpu));
            let us = u128::from(*ticks.unwrap_or(&0)) * 1_000_000 / frequency;
            u64::try_from(us).unwrap_or(u64::MAX)
        };
        if let Some(log) = &mut self.all.log {
            log.logger().port().answer_times(us);
        }
    }

    /// Lets the console move bytes and notifies its clients.
    fn pump(&mut self) {
        let mut notify = 0_u32;
        let wake_at = self.all.console.pump(|client| notify |= 1 << client);
        self.services.timer.borrow_mut().arm(CONSOLE_TIMER, wake_at);
        if notify != 0 {
            self.charge(self.schedule.current());
        }
        while notify != 0 {
            match notify.trailing_zeros() as usize {
                console_client::MEMORY_SERVER => self.services.report_memory(),
                console_client::XENSTORE_SERVER => self.all.store.on_console(),
                console_client::TIMER_SERVER => self.tell_times(),
                console_client::NET_SERVER => {
                    if let Some(nets) = &mut self.all.nets {
                        nets.on_console();
                    }
                }
                client => self.wake(client, Signal::Console),
            }
            notify &= notify - 1;
        }
    }
}
