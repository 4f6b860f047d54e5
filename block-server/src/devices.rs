//! What the server asks of devices.

use block_server_api::{DiskInfo, Op, Presence, Status};

/// Most devices of a system: disks with drivers and RAM disks together.
pub const MAX_DEVICES: usize = 16;

/// Where a command's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Area {
    /// In the data area that the server shares with the VMM of this domain, from 0.
    Guest(usize),
    /// In the server's own buffer of one piece of a table ([`crate::gpt::PIECE`] sectors).
    Own,
}

/// Something for a device to do; it is within the device, and its bytes are within the area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Command {
    /// What to do.
    pub op: Op,
    /// The first sector of the device; 0 for a flush.
    pub sector: u64,
    /// Sectors; 0 for a flush.
    pub count: u32,
    /// Where the bytes are, for what moves any.
    pub area: Area,
    /// The first byte there.
    pub offset: u32,
}

impl Command {
    /// Bytes that are moved.
    #[must_use]
    pub const fn bytes(&self) -> u32 {
        if self.op.moves_data() {
            self.count.saturating_mul(block_server_api::SECTOR)
        } else {
            0
        }
    }
}

/// Devices by their numbers, below [`MAX_DEVICES`]; nothing here waits.
pub trait Devices {
    /// Whether the device is there: absent means not yet.
    fn presence(&self, device: usize) -> Presence;
    /// What it is, while it is there.
    fn info(&self, device: usize) -> Option<DiskInfo>;
    /// Starts a command; `tag` comes back from [`Devices::take`] once. `false` where there is no
    /// room now.
    fn submit(&mut self, device: usize, tag: u32, command: &Command) -> bool;
    /// Lets devices begin with what was submitted.
    fn kick(&mut self);
    /// A command that has ended, and how. Its tag may be anything.
    fn take(&mut self) -> Option<(u32, Status)>;
    /// Whether [`Devices::take`] has something now of which no interrupt or notification will tell.
    fn has_ended(&self) -> bool;
    /// The first bytes of the server's own buffer.
    fn own(&self, into: &mut [u8]);
}
