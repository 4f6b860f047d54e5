//! Who has the processor: interrupts, notifications and the round robin of vCPUs.

use alloc::boxed::Box;
use alloc::vec::Vec;

use arm_gic::gicv2::GicV2;
use arm_gic::{IntId, InterruptGroup};
use hypervisor_core::exit::Exit;
use hypervisor_core::vm::Next;
use topology::{MAX_DOMAINS, channel, console_client};

use crate::board::{HYP_TIMER, MAINTENANCE, UART_IRQ, VIRTUAL_TIMER};
use crate::cpu::{self, Stopped};
use crate::guest::{Guest, State, decode};
use crate::serial::Console;
use crate::services::{self, Services};
use crate::{gicd, gich};

/// Slices a second that a vCPU gets while another one wants the processor too.
const SLICES_PER_SECOND: u64 = 125;
/// The console's number among the clients of the timer.
const CONSOLE_TIMER: usize = channel::TIMER_CLIENT_CONSOLE;

const TIMER: IntId = IntId::ppi(VIRTUAL_TIMER - 16);

/// Everything that runs.
pub(crate) struct System {
    guests: Vec<Box<Guest>>,
    services: &'static Services,
    console: Console,
    gic: GicV2<'static>,
    /// The virtual timer's interrupt is masked in the distributor.
    timer_masked: bool,
    /// Whose registers are in the processor.
    loaded: Option<usize>,
    /// Who runs next, because it has just been woken.
    woken: Option<usize>,
    /// The vCPU that runs has to make way.
    yields: bool,
    slice: u64,
}

impl System {
    /// The system with these guests; nothing runs yet.
    pub(crate) fn new(
        guests: Vec<Box<Guest>>,
        services: &'static Services,
        console: Console,
        mut gic: GicV2<'static>,
    ) -> Self {
        gic.setup();
        // EL2 is non-secure, and where the GIC has security extensions a non-secure GICD_CTLR has the enable of group 1, the only one that
        // it can have, in bit 0 (IHI 0048B 4.3.1); setup() takes the bit that a secure one has.
        gic.enable_group0(true);
        gich::start();
        gicd::route_here(UART_IRQ);
        for intid in [
            IntId::ppi(MAINTENANCE - 16),
            IntId::ppi(HYP_TIMER - 16),
            IntId::spi(UART_IRQ - 32),
        ] {
            // PPIs of this board exist; a GIC without the UART's SPI leaves the console without input.
            let _ = gic.enable_interrupt(intid, true);
        }
        Self {
            guests,
            services,
            console,
            gic,
            timer_masked: true,
            loaded: None,
            woken: None,
            yields: false,
            slice: cpu::frequency() / SLICES_PER_SECOND,
        }
    }

    /// Runs for ever.
    pub(crate) fn run(&mut self) -> ! {
        self.pump();
        loop {
            match self.choose() {
                Some(index) => self.run_guest(index),
                None => {
                    self.mask_timer(true);
                    cpu::wait_for_interrupt();
                    self.interrupt(None);
                }
            }
            while services::bells() {
                self.pump();
            }
        }
    }

    fn is_ready(&self, index: usize) -> bool {
        self.guests
            .get(index)
            .is_some_and(|guest| guest.state == State::Ready)
    }

    /// Who runs next: one that was just woken, else the next in turn.
    fn choose(&mut self) -> Option<usize> {
        let count = self.guests.len();
        let after = self.loaded.map_or(0, |index| index + 1);
        let woken = self.woken.take().filter(|index| self.is_ready(*index));
        woken.or_else(|| {
            (after..after + count)
                .map(|n| n % count)
                .find(|index| self.is_ready(*index))
        })
    }

    /// Masks or unmasks the virtual timer's interrupt in the distributor.
    fn mask_timer(&mut self, mask: bool) {
        if self.timer_masked != mask {
            self.timer_masked = mask;
            // It can be enabled: it is a PPI of the architecture.
            let _ = self.gic.enable_interrupt(TIMER, !mask);
        }
    }

    /// Gives the processor to guest `index`.
    fn load(&mut self, index: usize) {
        if self.loaded != Some(index) {
            if let Some(old) = self.loaded.and_then(|old| self.guests.get_mut(old)) {
                old.host.vcpu.unload();
            }
            // The timer's registers are about to become another's.
            self.mask_timer(true);
            if let Some(new) = self.guests.get_mut(index) {
                new.host.vcpu.load();
            }
            self.loaded = Some(index);
        }
        let others = (0..self.guests.len()).any(|other| other != index && self.is_ready(other));
        let end = others.then(|| cpu::now() + self.slice);
        self.services.timer.borrow_mut().set_slice(end);
    }

    /// Runs guest `index` until it waits, stops or has to make way.
    fn run_guest(&mut self, index: usize) {
        self.load(index);
        self.yields = false;
        loop {
            let Some(guest) = self.guests.get_mut(index) else {
                return;
            };
            let masked = guest.host.vcpu.timer_masked;
            if self.timer_masked != masked {
                self.mask_timer(masked);
                continue;
            }
            let next = match guest.host.vcpu.enter() {
                Stopped::Synchronous => guest.handle(decode(cpu::syndrome())),
                Stopped::Interrupt => self.interrupt(Some(index)),
                Stopped::Other => {
                    let pc = guest.host.vcpu.pc();
                    guest.handle(Exit::Unknown { pc })
                }
            };
            if next != Next::Resume {
                self.apply(index, next);
                return;
            }
            if services::bells() {
                self.pump();
            }
            if self.yields || !self.is_ready(index) {
                return;
            }
        }
    }

    /// Does what a core says about its vCPU.
    fn apply(&mut self, index: usize, next: Next) {
        let Some(guest) = self.guests.get_mut(index) else {
            return;
        };
        match next {
            Next::Resume => {
                if guest.state == State::Waiting {
                    guest.state = State::Ready;
                    self.woken = Some(index);
                    self.yields = true;
                }
            }
            Next::Wait => guest.state = State::Waiting,
            Next::Stop(reason) => {
                guest.host.say(format_args!("guest stopped: {reason}"));
                guest.state = State::Gone;
                self.yields = true;
            }
        }
    }

    /// Takes one physical interrupt; `current` is the guest whose vCPU it stopped.
    fn interrupt(&mut self, current: Option<usize>) -> Next {
        let Some(intid) = self
            .gic
            .get_and_acknowledge_interrupt(InterruptGroup::Group0)
        else {
            return Next::Resume;
        };
        let mut next = Next::Resume;
        match u32::from(intid) {
            VIRTUAL_TIMER => {
                self.mask_timer(true);
                if let Some(guest) = current.and_then(|index| self.guests.get_mut(index)) {
                    guest.host.vcpu.timer_masked = true;
                    next = guest.handle(Exit::VirtualTimer);
                }
            }
            MAINTENANCE => next = self.maintenance(current),
            HYP_TIMER => self.timer(),
            UART_IRQ => {
                self.console.on_interrupt();
                self.pump();
            }
            _ => {}
        }
        self.gic.end_interrupt(intid, InterruptGroup::Group0);
        next
    }

    /// The loaded vCPU, whose list registers these are, has ended interrupts that asked for this. Where it does not run
    /// (`current` is another or none), its core's answer is applied here.
    fn maintenance(&mut self, current: Option<usize>) -> Next {
        let Some(index) = self.loaded else {
            return Next::Resume;
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
            let next = guest.handle(Exit::Maintenance { lr: Some(lr) });
            if current != Some(index) {
                self.apply(index, next);
            } else if next != Next::Resume {
                return next;
            }
        }
        Next::Resume
    }

    /// The timer's interrupt.
    fn timer(&mut self) {
        let (mut clients, over) = self.services.timer.borrow_mut().expired();
        self.yields |= over;
        while clients != 0 {
            let client = clients.trailing_zeros() as usize;
            clients &= clients - 1;
            if client == CONSOLE_TIMER {
                self.pump();
            } else if client < MAX_DOMAINS {
                self.wake(client, false);
            }
        }
    }

    /// Tells the core of guest `index` that time has passed, or that the console has something for it.
    fn wake(&mut self, index: usize, console: bool) {
        let Some(guest) = self.guests.get_mut(index) else {
            return;
        };
        if console {
            guest.host.flush_log();
        }
        let Some(life) = &mut guest.life else { return };
        let next = if console {
            life.on_console(&mut guest.host)
        } else {
            life.on_wake(&mut guest.host)
        };
        // A vCPU that runs needs no resuming, and one that has gone no rest.
        if guest.state == State::Waiting || (guest.state == State::Ready && next != Next::Resume) {
            self.apply(index, next);
        }
    }

    /// Lets the console move bytes and notifies its clients.
    fn pump(&mut self) {
        let mut notify = 0_u32;
        let wake_at = self.console.pump(|client| notify |= 1 << client);
        self.services.timer.borrow_mut().arm(CONSOLE_TIMER, wake_at);
        while notify != 0 {
            match notify.trailing_zeros() as usize {
                console_client::MEMORY_SERVER => self.services.report_memory(),
                client => self.wake(client, true),
            }
            notify &= notify - 1;
        }
    }
}
