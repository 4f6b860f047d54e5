//! Answers VMMs.

use alloc::vec::Vec;

use dt_server_api::{DomainRecord, Error, Message, Request, reply};
use hv_types::Gpa;

use crate::config::{Config, DomainConfig};
use crate::guest_tree::guest_tree;
use crate::seeds::{LifeSeeds, Seeds};

/// Bytes of heap that suffice for a server with the most domains, each with the longest command
/// line, and all diagnostics at once (measured by a test, and half as much again in reserve).
pub const HEAP: usize = 120 << 10;
/// Most bytes of a guest's device tree.
pub const TREE_MAX: usize = 16 << 10;

/// `totalsize` of a guest's device tree. A boot loader in the guest, such as U-Boot, adds nodes in
/// the space left over. That space is the guest's own RAM and is not sent.
pub const TREE_ROOM: u32 = 64 << 10;

/// The dt-server: what a VMM gets depends on its channel alone.
pub struct DtServer {
    clients: Vec<Client>,
    seeds: Seeds,
}

struct Client {
    config: DomainConfig,
    /// The tree that was written last; empty before that.
    tree: Vec<u8>,
}

impl DtServer {
    /// A server for the domains of `config`; client `i` is the VMM of the `i`-th domain. With the
    /// default configuration, every request is refused. Each tree that is written has the next of
    /// `seeds`.
    pub fn new(config: Config, seeds: Seeds) -> Self {
        let clients = config
            .domains
            .into_iter()
            .map(|config| Client {
                config,
                tree: Vec::new(),
            })
            .collect();
        Self { clients, seeds }
    }

    /// Answers `message` from client `client`.
    pub fn on_ppc(&mut self, client: usize, message: &Message) -> Message {
        let Some(client) = self.clients.get_mut(client) else {
            return reply::error(Error::NoDomain);
        };
        match Request::decode(message) {
            Ok(Request::Record) => reply::record(client.record()),
            Ok(Request::WriteTree { initrd }) => {
                match client.write_tree(initrd, &self.seeds.next_life()) {
                    Ok(size) => reply::size(size),
                    Err(error) => reply::error(error),
                }
            }
            Ok(Request::ReadTree { offset }) => match client.piece(offset) {
                Some(piece) => reply::bytes(piece),
                None => reply::error(Error::Malformed),
            },
            Err(error) => reply::error(error),
        }
    }
}

impl Client {
    fn record(&self) -> &DomainRecord {
        &self.config.record
    }

    fn write_tree(&mut self, initrd: Option<(Gpa, Gpa)>, seeds: &LifeSeeds) -> Result<u32, Error> {
        // Frees the last one first, so that the heap never holds two for one client.
        self.tree = Vec::new();
        let mut tree = guest_tree(&self.config, initrd, seeds);
        if tree.len() > TREE_MAX {
            return Err(Error::TooLarge);
        }
        claim_room(&mut tree);
        let size = u32::try_from(tree.len()).map_err(|_| Error::TooLarge)?;
        self.tree = tree;
        Ok(size)
    }

    /// The tree from `offset` on; empty at its very end, `None` past it or where no tree was
    /// written.
    fn piece(&self, offset: u32) -> Option<&[u8]> {
        if self.tree.is_empty() {
            return None;
        }
        self.tree.get(usize::try_from(offset).ok()?..)
    }
}

/// Sets the header's `totalsize` (devicetree specification 5.2) to [`TREE_ROOM`], as `dtc -S` does.
fn claim_room(dtb: &mut [u8]) {
    if let Some(total) = dtb.get_mut(4..8) {
        total.copy_from_slice(&TREE_ROOM.to_be_bytes());
    }
}

const _: () = assert!(TREE_MAX < TREE_ROOM as usize);
