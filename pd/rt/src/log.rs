//! Logs of protection domains, by way of the console server.

use core::fmt::{self, Write};
use core::panic::PanicInfo;

use console_api::{Client, Logger};
use sel4_microkit::{Channel, panicking, pd_name};
use topology::{channel, pd};

use crate::clients::ask_peer;
use crate::patched;
use crate::region::{
    console_region, disk_data, disks_region, ends, net_data, nets_region, pair_page, store_region,
};

/// A VMM's console stream: its guest's output and input, and the VMM's own lines.
pub type VmmConsole = Client<'static, fn()>;

/// The console stream of this VMM; taken once.
pub fn vmm_console() -> VmmConsole {
    console_region(0)
        .client(notify_from_vmm as fn())
        .expect("the region has the geometry of its API")
}

fn notify_from_vmm() {
    Channel::new(channel::CONSOLE).notify();
}

/// A VMM's end of its guest's connection to the store.
pub type VmmStore = xenstore_server_api::Client<'static, fn()>;

/// The connection of this VMM's guest; taken once.
pub fn vmm_store() -> VmmStore {
    store_region(0)
        .client(notify_store as fn())
        .expect("the region has the geometry of its API")
}

/// A VMM's end of its guest's disks.
pub type VmmDisks = block_server_api::Client<'static, guest_mem::RawWindow, fn()>;

/// That of this VMM, if its guest has disks; taken once.
pub fn vmm_disks() -> Option<VmmDisks> {
    patched::has_disks()
        .then(|| disks_region(0).client(disk_data(0), notify_disks as fn()))
        .flatten()
}

/// A VMM's end of its guest's network interfaces.
pub type VmmNets = net_server_api::Client<'static, guest_mem::RawWindow, fn()>;

/// That of this VMM, if its guest has interfaces; taken once.
pub fn vmm_nets() -> Option<VmmNets> {
    patched::has_nets()
        .then(|| nets_region(0).client(net_data(0), notify_nets as fn()))
        .flatten()
}

fn notify_nets() {
    Channel::new(channel::NETS).notify();
}

fn notify_disks() {
    Channel::new(channel::DISKS).notify();
}

fn notify_store() {
    Channel::new(channel::STORE).notify();
}

/// A VMM's side of its guest's event channels to other domains.
pub type VmmPeers = peer_server_api::Client<
    'static,
    fn(peer_server_api::Request) -> Result<(), peer_server_api::Error>,
    fn(usize),
>;

/// The side of the VMM of domain `me`, from 0, which meets those of these bits, the lowest of which
/// is domain 0. Taken once.
pub fn vmm_peers(me: usize, meets: u8) -> VmmPeers {
    let is_met = |other: usize| other != me && meets & 1 << other != 0;
    let pairs = core::array::from_fn(|other| is_met(other).then(|| pair_page(me, other)));
    let ends = (meets != 0).then(|| ends(0));
    peer_server_api::Client::new(ends, pairs, ask_peer as _, notify_peer as _)
}

fn notify_peer(other: usize) {
    Channel::new(channel::PAIR + other).notify();
}

fn notify_from_server() {
    Channel::new(channel::SERVER_CONSOLE).notify();
}

/// `init`, with panics told on the console from then on; the kernel's own printing exists in debug
/// kernels alone.
pub fn with_panics<T>(init: impl FnOnce() -> T) -> impl FnOnce() -> T {
    move || {
        panicking::set_hook(&tell_panic);
        init()
    }
}

/// Writes the message of a panic to this protection domain's ring; what did not fit before it is
/// lost, it is not.
fn tell_panic(info: &PanicInfo<'_>) {
    let name = pd_name().unwrap_or("?");
    // The console has no ring, and nobody who would print its words; gates, the pulse, drivers
    // and the peer server have none either.
    let without = [
        pd::CONSOLE,
        pd::PULSE,
        pd::WIPER,
        pd::BLOCK_DRIVER,
        pd::NET_DRIVER,
        pd::PEER_SERVER,
    ];
    if without.contains(&name) || name.starts_with(pd::GATE_PREFIX) {
        return;
    }
    let notify = if name.starts_with(pd::VMM_PREFIX) {
        notify_from_vmm
    } else {
        notify_from_server
    };
    // A second end over the same ring goes on where the first stopped, which is never used again.
    if let Some(client) = console_region(0).client(notify as fn()) {
        let mut log = Logger::new(client);
        // A guest may have been in the middle of a line.
        let _ = writeln!(log, "\n{name}: {info}");
    }
}

/// A server's log: whole lines, dropped and counted where the console is behind.
#[derive(Debug)]
pub struct ServerLog {
    logger: Logger<Client<'static, fn()>>,
}

impl ServerLog {
    /// The log of this server; taken once.
    pub fn take() -> Self {
        let client = console_region(0)
            .client(notify_from_server as fn())
            .expect("the region has the geometry of its API");
        Self {
            logger: Logger::new(client),
        }
    }

    /// The logger, for lines that must not be dropped and for input.
    pub fn logger(&mut self) -> &mut Logger<Client<'static, fn()>> {
        &mut self.logger
    }

    /// Writes a line.
    pub fn line(&mut self, line: fmt::Arguments<'_>) {
        // The logger takes everything; what does not fit it counts.
        let _ = writeln!(self.logger, "{line}");
    }
}
