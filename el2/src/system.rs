//! Interrupts, notifications, and the guest that has the processor.
//!
//! [`Schedule`] says who runs. Everything that is done for a guest is done while it is that guest's
//! turn and is charged to it: what its core does when time has passed or the console has something
//! for it waits until then.

use alloc::boxed::Box;
use alloc::vec::Vec;

use arm_gic::gicv2::GicV2;
use arm_gic::{IntId, InterruptGroup};
use el2_schedule::Schedule;
use hv_types::VcpuId;
use hypervisor_core::exit::Reason;
use hypervisor_core::host::Vcpu as _;
use hypervisor_core::host::on_vcpu::{Boot, Which};
use hypervisor_core::life::driver::Signal;
use hypervisor_core::vcpu::action::VcpuAction;
use topology::pd::time::Time;
use topology::{MAX_DOMAINS, channel, console_client};

use crate::block::{self, Blocks};
use crate::board::{HYP_TIMER, MAINTENANCE, UART_IRQ, VIRTUAL_TIMER};
use crate::cpu::{self, Stopped};
use crate::guest::Guest;
use crate::log::ServerLog;
use crate::net::{self, Nets};
use crate::serial::Console;
use crate::services::{self, Services};
use crate::store::Store;
use crate::{gicd, gich};

/// The console's number among the clients of the timer.
const CONSOLE_TIMER: usize = channel::TIMER_CLIENT_CONSOLE;

const TIMER: IntId = IntId::ppi(VIRTUAL_TIMER - 16);

/// Who wakes and so stops another guest within this time of its start or of the last such stop, in
/// microseconds, pays for that time. To leave and enter again takes the other half a microsecond,
/// so of what it pays for itself it loses a tenth.
const SHORT_US: u64 = 5;

/// Everything that runs.
pub(crate) struct System {
    guests: Vec<Box<Guest>>,
    services: &'static Services,
    console: Console,
    store: Store,
    blocks: Option<Blocks>,
    /// The log of the host itself.
    log: Option<ServerLog>,
    nets: Option<Nets>,
    gic: GicV2<'static>,
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
    /// The system with these guests, which have `times` of the processor; nothing runs yet.
    pub(crate) fn new(
        guests: Vec<Box<Guest>>,
        times: &[Time],
        services: &'static Services,
        (console, store, blocks, nets): (Console, Store, Option<Blocks>, Option<Nets>),
        (mut gic, log): (GicV2<'static>, Option<ServerLog>),
    ) -> Self {
        gic.setup();
        // EL2 is non-secure, and where the GIC has security extensions a non-secure GICD_CTLR has
        // the enable of group 1, the only one that it can have, in bit 0 (IHI 0048B 4.3.1); setup()
        // takes the bit that a secure one has.
        gic.enable_group0(true);
        gich::start();
        gicd::route_here(UART_IRQ);
        for intid in [
            IntId::ppi(MAINTENANCE - 16),
            IntId::ppi(HYP_TIMER - 16),
            IntId::spi(UART_IRQ - 32),
        ] {
            // PPIs of this board exist; a GIC without the UART's SPI leaves the console without
            // input.
            let _ = gic.enable_interrupt(intid, true);
        }
        let devices = [
            block::IRQ.filter(|_| blocks.is_some()),
            net::IRQ.filter(|_| nets.is_some()),
        ];
        for intid in devices.into_iter().flatten() {
            gicd::route_here(intid);
            let _ = gic.enable_interrupt(IntId::spi(intid - 32), true);
        }
        let now = cpu::now();
        let mut schedule = Schedule::new(times, cpu::frequency());
        for (index, guest) in guests.iter().enumerate() {
            if guest.wants_to_run() {
                schedule.wake(index, now);
            }
        }
        Self {
            guests,
            services,
            console,
            store,
            blocks,
            log,
            nets,
            gic,
            timer_masked: true,
            loaded: None,
            schedule,
            slice_end: None,
            yields: false,
            looks: false,
            charged: now,
            left: None,
            short: cpu::frequency().saturating_mul(SHORT_US) / 1_000_000,
        }
    }

    /// Runs for ever.
    pub(crate) fn run(&mut self) -> ! {
        self.pump();
        self.pump_store();
        self.pump_blocks();
        self.pump_nets();
        loop {
            match self.schedule.start(cpu::now()) {
                Some(index) => {
                    self.run_guest(index);
                    let wants = self
                        .guests
                        .get(index)
                        .is_some_and(|guest| guest.wants_to_run());
                    self.schedule.stop(wants);
                    self.left = (!wants).then_some(index);
                }
                // Of a server's own there is more to do, and nobody else wants to run.
                None if services::store_bells()
                    || services::block_bells()
                    || services::net_bells()
                    || services::peer_bells() => {}
                None => {
                    let payer = self.left.take();
                    self.charge(payer);
                    self.mask_timer(true);
                    self.set_slice(None);
                    cpu::wait_for_interrupt();
                    self.charge(None);
                    self.interrupt(None);
                }
            }
            while services::bells() {
                self.pump();
            }
            if services::store_bells() {
                self.pump_store();
            }
            if services::block_bells() {
                self.pump_blocks();
            }
            if services::net_bells() {
                self.pump_nets();
            }
            if services::peer_bells() {
                self.tell_peers();
            }
        }
    }

    fn is_ready(&self, index: usize) -> bool {
        self.guests.get(index).is_some_and(|guest| guest.is_ready())
    }

    /// Charges the time since this was called last to a guest, or to nobody.
    fn charge(&mut self, payer: Option<usize>) {
        let now = cpu::now();
        let ticks = now.saturating_sub(self.charged);
        self.charged = now;
        if let Some(index) = payer {
            self.schedule.charge(index, ticks, now);
            if let Some(guest) = self.guests.get_mut(index) {
                let of = &mut guest.ticks[guest.last.index()];
                *of = of.saturating_add(ticks);
            }
        }
    }

    /// Masks or unmasks the virtual timer's interrupt in the distributor.
    fn mask_timer(&mut self, mask: bool) {
        if self.timer_masked != mask {
            self.timer_masked = mask;
            // It can be enabled: it is a PPI of the architecture.
            let _ = self.gic.enable_interrupt(TIMER, !mask);
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
            let last = core::mem::replace(&mut new.last, id);
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
        let guest = runs.and_then(|index| self.guests.get(index));
        let turn = guest.and_then(|guest| guest.turns.end());
        let end = self.slice_end.into_iter().chain(turn).min();
        self.services.timer.borrow_mut().set_slice(end);
    }

    /// Whose turn it is in guest `index`: the one of its vCPUs that runs now gets the processor;
    /// none where none would like to run.
    #[inline]
    fn pick(&mut self, index: usize) -> Option<VcpuId> {
        let guest = self.guests.get_mut(index)?;
        let id = guest.turns.take(guest.driver.running(), cpu::now)?;
        self.load(index, id);
        Some(id)
    }

    /// Runs guest `index` until it waits, stops or has to make way.
    fn run_guest(&mut self, index: usize) {
        self.yields = false;
        let mut payer = self.left.unwrap_or(index);
        if !self.is_ready(index) {
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
            if id == VcpuId::BOOT {
                self.run_vcpu(index, Boot);
            } else {
                self.run_vcpu(index, id);
            }
            next = self.pick(index);
        }
        self.charge(Some(index));
    }

    /// Runs a vCPU of guest `index`, which has the processor, until who runs is to be looked at
    /// again. What is done for the boot CPU is compiled for it.
    fn run_vcpu<W: Which>(&mut self, index: usize, which: W) {
        let id = which.id();
        while !self.looks {
            let Some(guest) = self.guests.get_mut(index) else {
                return;
            };
            let masked = guest.host.vcpus[id.index()].timer_masked;
            if self.timer_masked != masked {
                self.mask_timer(masked);
                continue;
            }
            let next = match guest.host.vcpus[id.index()].enter() {
                Stopped::Synchronous => guest.stopped(id),
                Stopped::Interrupt => self.interrupt(Some(index)),
                Stopped::Other => {
                    let pc = guest.host.vcpus[id.index()].pc();
                    guest.handle(id, Reason::Unknown { pc })
                }
            };
            if next != VcpuAction::Resume {
                self.looks = true;
                if next == VcpuAction::Yield
                    && let Some(guest) = self.guests.get_mut(index)
                {
                    guest.turns.give_up();
                }
            }
            if self.serve() {
                self.catch_up(index);
            }
        }
    }

    /// Takes one physical interrupt; `current` is the guest whose vCPU, which is loaded, it
    /// stopped.
    fn interrupt(&mut self, current: Option<usize>) -> VcpuAction {
        let Some(intid) = self
            .gic
            .get_and_acknowledge_interrupt(InterruptGroup::Group0)
        else {
            return VcpuAction::Resume;
        };
        let mut next = VcpuAction::Resume;
        match u32::from(intid) {
            VIRTUAL_TIMER => {
                self.mask_timer(true);
                if let Some((index, id)) = self.loaded.filter(|_| current.is_some())
                    && let Some(guest) = self.guests.get_mut(index)
                {
                    guest.host.vcpus[id.index()].timer_masked = true;
                    next = guest.handle(id, Reason::VirtualTimer);
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
                self.console.on_interrupt();
                self.pump();
                self.after_interrupt(current);
            }
            intid if block::IRQ == Some(intid) => {
                self.before_interrupt(current);
                if let Some(blocks) = &mut self.blocks {
                    blocks.on_interrupt();
                }
                self.pump_blocks();
                self.after_interrupt(current);
            }
            intid if net::IRQ == Some(intid) => {
                self.before_interrupt(current);
                if let Some(nets) = &mut self.nets {
                    nets.on_interrupt();
                }
                self.pump_nets();
                self.after_interrupt(current);
            }
            _ => {}
        }
        self.gic.end_interrupt(intid, InterruptGroup::Group0);
        next
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
            if current != Some(index) {
                if guest.is_ready() {
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
        let (mut clients, over) = self.services.timer.borrow_mut().expired();
        if over {
            let now = cpu::now();
            self.yields |= self.slice_end.is_some_and(|end| end <= now);
            self.looks = true;
            let runs = self.schedule.current();
            if let Some(guest) = runs.and_then(|index| self.guests.get_mut(index)) {
                guest.turns.look(now);
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

    /// Time has passed for guest `index`, or the console has something for it: its core is told
    /// when it is its turn.
    fn wake(&mut self, index: usize, signal: Signal) {
        let Some(guest) = self.guests.get_mut(index) else {
            return;
        };
        guest.driver.note(signal);
        if self.schedule.current() != Some(index) {
            self.overtake(index);
            // Who wakes pays for that, not who runs.
            if self.schedule.current().is_some() {
                self.charge(Some(index));
            }
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
        let Some(blocks) = &mut self.blocks else {
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
        let Some(nets) = &mut self.nets else {
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
        let turn = self.store.turn();
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
        for guest in &mut self.guests {
            guest.driver.show(&mut guest.host);
        }
        let (guests, frequency) = (&self.guests, u128::from(cpu::frequency().max(1)));
        let us = |domain: usize, vcpu: usize| {
            let guest = guests.get(domain);
            let ticks = guest.and_then(|guest| guest.ticks.get(vcpu));
            let us = u128::from(*ticks.unwrap_or(&0)) * 1_000_000 / frequency;
            u64::try_from(us).unwrap_or(u64::MAX)
        };
        if let Some(log) = &mut self.log {
            log.logger().port().answer_times(us);
        }
    }

    /// Lets the console move bytes and notifies its clients.
    fn pump(&mut self) {
        let mut notify = 0_u32;
        let wake_at = self.console.pump(|client| notify |= 1 << client);
        self.services.timer.borrow_mut().arm(CONSOLE_TIMER, wake_at);
        if notify != 0 {
            self.charge(self.schedule.current());
        }
        while notify != 0 {
            match notify.trailing_zeros() as usize {
                console_client::MEMORY_SERVER => self.services.report_memory(),
                console_client::XENSTORE_SERVER => self.store.on_console(),
                console_client::TIMER_SERVER => self.tell_times(),
                client => self.wake(client, Signal::Console),
            }
            notify &= notify - 1;
        }
    }
}
