//! The xenstore server's protection domain.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use static_cell::ConstStaticCell;
use topology::{MAX_DOMAINS, channel};
use xenstore_server::{Cell, Server};
use zazen_rt::clients::arm_timer_over;
use zazen_rt::clock;
use zazen_rt::event::{notify_each, poll};
use zazen_rt::log::ServerLog;
use zazen_rt::patched;
use zazen_rt::{Channel, ChannelSet, Handler, Infallible, protection_domain, region};

protection_domain!(init);

/// Some 130 KiB, so it lives here and not on the stack.
static SERVER: ConstStaticCell<Server<'static>> = ConstStaticCell::new(Server::new());

const TIMER: Channel = Channel::new(channel::STORE_TIMER);

struct Pd {
    server: &'static mut Server<'static>,
    log: ServerLog,
}

fn init() -> Pd {
    let server = SERVER.take();
    let mut records = region::Records::of_store(patched::store_bytes());
    let count = records.room_for::<Cell>();
    let memory = records.slice(count, || Cell::EMPTY).unwrap_or_default();
    let domains = patched::store_domains();
    let there = domains.iter().filter(|domain| domain.is_there()).count();
    server.begin(memory, clock::frequency(), there);
    let mut log = ServerLog::take();
    let mut guests = 0;
    for (guest, domain) in domains.iter().enumerate() {
        if domain.has_store()
            && let Some(end) = region::store_region(guest).server()
        {
            server.add(guest, domain.facts(), end);
            guests += 1;
        }
    }
    if guests > 0 {
        log.line(format_args!(
            "{guests} of {there} domains have a store; {} KiB for them",
            patched::store_bytes() >> 10
        ));
    }
    let mut pd = Pd { server, log };
    pd.work();
    pd
}

impl Pd {
    fn take(&mut self, id: usize) {
        const GONE: usize = channel::STORE_FAULTS;
        match id {
            // A turn looks at the time.
            channel::STORE_TIMER => {}
            channel::SERVER_CONSOLE => self.server.on_console(self.log.logger()),
            id if (GONE..GONE + MAX_DOMAINS).contains(&id) => self.server.on_crash(id - GONE),
            id => self.server.on_guest(id),
        }
    }

    /// Works until there is nothing to do. Each turn also takes new notifications, so a guest that
    /// always has more delays no other.
    fn work(&mut self) {
        loop {
            let turn = self.server.turn(clock::now());
            // VMM `i` is channel `i`.
            notify_each(turn.notify.into());
            if !turn.more {
                if turn.wake_at.is_some() {
                    arm_timer_over(TIMER, turn.wake_at);
                }
                return;
            }
            poll().iter().for_each(|id| self.take(id));
        }
    }
}

impl Handler for Pd {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        channels
            .iter()
            .for_each(|channel| self.take(channel.index()));
        self.work();
        Ok(())
    }
}
