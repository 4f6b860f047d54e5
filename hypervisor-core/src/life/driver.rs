//! The loop around a guest that every host has: exits and signals in, what its vCPU does next out.
//!
//! A host notes a signal when it comes and lets the driver [catch up](Driver::catch_up) when it is
//! the guest's turn. What is left to the host is to make threads run and stop.

use core::fmt;

use console_api::{Order, Shown};
use dt_server_api::DtServer;

use super::Life;
use crate::domain::shutdown::StopReason;
use crate::exit::Exit;
use crate::host::Host;
use crate::vcpu::action::VcpuAction;
use crate::vm::Vm;

/// A host that is driven.
pub trait Driven: Host {
    /// Writes a line to the VMM's log, however many there have been: a guest cannot cause many of
    /// these.
    fn say(&mut self, line: fmt::Arguments<'_>);

    /// The console has room: hands on lines that wait for it.
    fn flush_log(&mut self) {}

    /// Shows the console what the guest does.
    fn show(&mut self, shown: Shown);

    /// What somebody at the console wants of the guest.
    fn take_order(&mut self) -> Option<Order>;
}

/// What a host may be told at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Time has passed, maybe as much as was asked for.
    Time,
    /// The console has input for the guest or room for its output.
    Console,
    /// The store has something for the guest, or room for its requests.
    Store,
}

/// What the guest's vCPU does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It runs, or would like to.
    Running,
    /// It waits for what the core knows, or is not built yet.
    Waiting,
    /// It has stopped for good, or was not started. The core may still be giving memory back.
    Gone,
}

/// A guest and its loop. As large as a [`Life`]: build it where it stays.
pub struct Driver<'m, D> {
    /// `None` where there is nothing to build a guest from; the log says why.
    life: Option<Life<'m, D>>,
    state: State,
    stopped: Option<StopReason>,
    time: bool,
    console: bool,
    store: bool,
}

impl<'m, D: DtServer> Driver<'m, D> {
    /// The loop of a guest that is built when the first [`Signal::Time`] comes, or by
    /// [`Driver::start`].
    #[inline]
    pub fn new(life: Option<Life<'m, D>>) -> Self {
        Self {
            life,
            state: State::Waiting,
            stopped: None,
            time: false,
            console: false,
            store: false,
        }
    }

    /// Builds the guest now; whether it lives.
    pub fn start<H: Driven>(&mut self, host: &mut H) -> bool {
        let lives = self.life.as_mut().is_some_and(|life| life.start(host));
        self.state = if lives { State::Running } else { State::Gone };
        self.show(host);
        lives
    }

    /// What its vCPU does.
    #[inline]
    pub const fn state(&self) -> State {
        self.state
    }

    /// Why the guest stopped for good.
    pub const fn stopped(&self) -> Option<StopReason> {
        self.stopped
    }

    /// The guest, while it lives.
    pub fn vm(&self) -> Option<&Vm<'m>> {
        self.life.as_ref()?.vm()
    }

    /// How often the guest has begun to live again.
    pub fn restarts(&self) -> u32 {
        self.life.as_ref().map_or(0, Life::restarts)
    }

    /// A vCPU stopped: what the host does with it.
    #[inline]
    pub fn exit<H: Driven>(&mut self, host: &mut H, exit: Exit) -> VcpuAction {
        let action = match &mut self.life {
            Some(life) => life.handle(host, exit),
            None => VcpuAction::Wait,
        };
        if action != VcpuAction::Resume || self.state != State::Running {
            self.follow(host, action);
        }
        action
    }

    /// A signal has come.
    pub const fn note(&mut self, signal: Signal) {
        match signal {
            Signal::Time => self.time = true,
            Signal::Console => self.console = true,
            Signal::Store => self.store = true,
        }
    }

    /// Whether signals have come with which it has not caught up.
    #[inline]
    pub const fn is_behind(&self) -> bool {
        self.time || self.console || self.store
    }

    /// Does what the signals that have come mean. Returns what the host does with the vCPU, unless
    /// that is what it does already. The host does it last: making a vCPU run may end the host's
    /// own time. Where the guest stops it does it first: the driver [is still
    /// behind](Driver::is_behind) then if there was more.
    pub fn catch_up<H: Driven>(&mut self, host: &mut H) -> Option<VcpuAction> {
        let mut last = None;
        if core::mem::take(&mut self.time) {
            let action = self.life.as_mut().map(|life| life.on_wake(host));
            last = self.changed(host, action);
        }
        if !matches!(last, Some(VcpuAction::Stop(_))) && core::mem::take(&mut self.console) {
            host.flush_log();
            let action = self.on_console(host);
            last = self.changed(host, action).or(last);
        }
        if !matches!(last, Some(VcpuAction::Stop(_))) && core::mem::take(&mut self.store) {
            let action = self.life.as_mut().map(|life| life.on_store(host));
            last = self.changed(host, action).or(last);
        }
        self.show(host);
        last
    }

    /// Tells the core that the console has something, or what somebody there wants.
    fn on_console<H: Driven>(&mut self, host: &mut H) -> Option<VcpuAction> {
        let life = self.life.as_mut()?;
        let Some(order) = host.take_order() else {
            return Some(life.on_console(host));
        };
        // A guest that has gone may come back: its core says when.
        if self.state == State::Gone {
            self.state = State::Waiting;
        }
        self.stopped = None;
        Some(life.order(host, order))
    }

    /// Tells the console what the guest does.
    fn show<H: Driven>(&self, host: &mut H) {
        if let Some(life) = &self.life {
            host.show(life.shown());
        }
    }

    /// `action`, if it changes what the vCPU does: one that runs needs no resuming, and one that
    /// has gone no rest.
    fn changed<H: Driven>(
        &mut self,
        host: &mut H,
        action: Option<VcpuAction>,
    ) -> Option<VcpuAction> {
        let action = action?;
        match (self.state, action) {
            (State::Gone, _) | (State::Running, VcpuAction::Resume) => None,
            _ => {
                self.follow(host, action);
                Some(action)
            }
        }
    }

    #[inline(never)]
    fn follow<H: Driven>(&mut self, host: &mut H, action: VcpuAction) {
        self.state = match action {
            VcpuAction::Resume => State::Running,
            VcpuAction::Wait => State::Waiting,
            VcpuAction::Stop(reason) => {
                // Before the line about it, with which the console looks.
                self.show(host);
                host.say(format_args!("guest stopped: {reason}"));
                self.stopped = Some(reason);
                State::Gone
            }
        };
    }
}
