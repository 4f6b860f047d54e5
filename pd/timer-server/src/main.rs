//! The timer server's protection domain: the board's timer and its interrupt.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use timer_server::Deadlines;
use topology::channel;
use zazen_rt::clock::{self, Timer};
use zazen_rt::event::notify_each;
use zazen_rt::log::ServerLog;
use zazen_rt::{
    Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain, with_msg_regs,
};

protection_domain!(init);

struct TimerServer {
    deadlines: Deadlines,
    timer: Timer,
    /// The pulse was asked to wake us, and has not yet.
    asked: bool,
    log: ServerLog,
}

fn init() -> TimerServer {
    TimerServer {
        deadlines: Deadlines::new(),
        timer: Timer::take(),
        asked: false,
        log: ServerLog::take(),
    }
}

const PULSE: Channel = Channel::new(channel::TIMER_PULSE);

impl TimerServer {
    /// Sets the hardware to the next deadline, and has the pulse look after it where guests can put
    /// the timer off.
    fn set(&mut self) {
        let next = self.deadlines.next();
        self.timer.set(next);
        let reached = self.timer.kind().is_within_reach_of_guests();
        if next.is_some() && !self.asked && reached {
            self.asked = true;
            PULSE.notify();
        }
    }

    /// Notifies whose time has come and sets the hardware to the next deadline.
    fn serve(&mut self) {
        notify_each(self.deadlines.take_expired(clock::now()));
        self.set();
    }
}

impl Handler for TimerServer {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        let irq = Channel::new(channel::IRQ);
        if channels.contains(PULSE) {
            self.asked = false;
        }
        if channels.contains(irq) {
            self.timer.on_interrupt();
        }
        self.serve();
        if channels.contains(irq) {
            // The timer is set to the future or off by now; where a deadline came in between, it
            // fires again.
            let _ = irq.irq_ack();
        }
        Ok(())
    }

    fn protected(
        &mut self,
        client: Channel,
        message: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        let label = with_msg_regs(|mrs| {
            let words = &mrs[..message.count().min(mrs.len())];
            self.deadlines
                .on_request(client.index(), message.label(), words)
        });
        // A deadline that has passed already comes by way of the interrupt all the same: the caller
        // has not put its guest to sleep yet.
        self.set();
        Ok(MessageInfo::new(label, 0))
    }
    fn fault(
        &mut self,
        _vcpu: Child,
        info: MessageInfo,
    ) -> Result<Option<MessageInfo>, Infallible> {
        Ok(self.timer.on_vcpu(&info).unwrap_or_else(|error| {
            self.log.line(format_args!("{error}"));
            None
        }))
    }
}
