//! A virtio network device as a [`Device`].

use net_server_api::Checksum;
use virtio_net::{Hal, MAX_FRAME, Net};

use crate::driver::Device;

const _: () = assert!(MAX_FRAME >= net_server_api::UPLINK_FRAME as usize);

impl<H: Hal> Device for Net<H> {
    fn receive(&mut self, take: impl FnOnce(&[u8], Checksum) -> bool) -> bool {
        Self::receive(self, |frame, checksum| {
            let checksum = match checksum {
                virtio_net::Checksum::Unknown => Checksum::Unknown,
                virtio_net::Checksum::Valid => Checksum::Valid,
                virtio_net::Checksum::Blank => Checksum::Blank,
            };
            take(frame, checksum)
        })
    }

    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        Self::send(self, len, fill)
    }

    fn kick(&mut self) {
        Self::kick(self);
    }

    fn acknowledge(&mut self) {
        Self::acknowledge(self);
    }
}
