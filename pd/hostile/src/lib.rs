//! Servers as they should be, until they crash.
#![no_std]
#![forbid(unsafe_code)]

use zazen_rt::{ChannelSet, Handler};

/// A protection domain that panics when it has been notified so often.
pub struct Counted<H> {
    inner: H,
    left: u32,
}

impl<H> Counted<H> {
    /// `inner`, for `left` notifications.
    pub const fn new(inner: H, left: u32) -> Self {
        Self { inner, left }
    }
}

impl<H: Handler> Handler for Counted<H> {
    type Error = H::Error;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), H::Error> {
        self.left = self
            .left
            .checked_sub(1)
            .expect("as many notifications as it bears");
        self.inner.notified(channels)
    }
}
