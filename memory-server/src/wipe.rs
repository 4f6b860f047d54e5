//! Memory that is zeroed while guests run.
//!
//! The kernel zeroes memory that was in use when it is made something else, and a guest whose block
//! is to be copied there waits for all 2 MiB of it. So the block that the next copy goes to is
//! handed to somebody who has it zeroed on time of his own, one block at a time: when a copy begins
//! or ends. A guest that comes before it is done asks again; what is zeroed by then stays so, and
//! who cannot wait takes the block as it is and has the rest zeroed at once.

use memory_server_api::Error;

use crate::cost;
use crate::kernel::{Kernel, Wiped};
use crate::records::{Away, BlockState};
use crate::server::MemoryServer;

/// How often somebody is told to ask again for one block: whoever gives its turn up in between has
/// waited for all of it after two dozen. A wiper that has stopped stops nobody.
const MOST_WAITS: u32 = 64;

impl MemoryServer<'_> {
    /// Has the block zeroed that the next copy in the pool `home` goes to, unless the wiper has
    /// another one. What is refused is done when the block is needed.
    pub(crate) fn wipe_next(&mut self, kernel: &mut impl Kernel, home: u8) {
        let Some(b) = self.with_pool(home, |_, pool| pool.blocks.head()) else {
            return;
        };
        let state = self.records.get(b).state;
        let is_dirty = matches!(state, BlockState::Framed | BlockState::Used);
        if self.away.is_some() || !is_dirty || self.untyped_of(b).device {
            return;
        }
        self.spend(cost::REVOKE + cost::DELETE);
        let untyped = self.block_untyped(b);
        if kernel.revoke(untyped).is_err() {
            return;
        }
        self.records.block(b).state = BlockState::Used;
        match kernel.hand_to_wiper(untyped) {
            Ok(Wiped::Later) => {
                let waits = 0;
                self.away = Some(Away { block: b, waits });
            }
            Ok(Wiped::Never) => self.records.block(b).state = BlockState::Bare,
            Ok(Wiped::ByNobody) | Err(_) => {}
        }
    }

    /// Waits until the block is zeroed that the next copy in the pool `home` goes to.
    ///
    /// # Errors
    /// [`Error::Again`]: it is not yet.
    pub(crate) fn wait_for_wiper(
        &mut self,
        kernel: &mut impl Kernel,
        home: u8,
    ) -> Result<(), Error> {
        let head = self.with_pool(home, |_, pool| pool.blocks.head());
        let is_ready = head.is_none_or(|b| self.records.get(b).state == BlockState::Bare);
        if is_ready {
            return Ok(());
        }
        self.wipe_next(kernel, home);
        match &mut self.away {
            Some(away) if away.waits < MOST_WAITS => {
                away.waits += 1;
                Err(Error::Again)
            }
            _ => Ok(()),
        }
    }

    /// The wiper says that the block that it has is zeroed.
    ///
    /// It may mean one that was taken from it before that was heard: then the one that it has now
    /// is zeroed by the kernel when it is used, as any other.
    pub fn on_wiped(&mut self, kernel: &mut impl Kernel) {
        let Some(Away { block, .. }) = self.away else {
            return;
        };
        let untyped = self.block_untyped(block);
        if kernel.take_from_wiper(untyped).is_err() {
            return;
        }
        self.away = None;
        // What the wiper made of it.
        if kernel.revoke(untyped).is_ok() {
            self.records.block(block).state = BlockState::Bare;
        }
    }

    /// Takes a block that is needed now back from the wiper, if it has it. How much of it is zeroed
    /// is not known; the kernel goes on where the wiper was.
    ///
    /// # Errors
    /// [`Error::Kernel`]; the wiper still has it.
    pub(crate) fn take_back_wiped(
        &mut self,
        kernel: &mut impl Kernel,
        b: u32,
    ) -> Result<(), Error> {
        if self.away.is_some_and(|away| away.block == b) {
            kernel
                .take_from_wiper(self.block_untyped(b))
                .map_err(|_| Error::Kernel)?;
            self.away = None;
        }
        Ok(())
    }
}
