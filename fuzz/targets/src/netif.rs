//! Packets of a front end.

use hypervisor_core::device::pv_net::packet::{Packet, Work};
use xen_abi::netif::TX_SLOT;

/// The bytes of slots, packet after packet. What is not refused is a frame whose parts lie in pages
/// and are together as long as it says.
pub fn netif(data: &[u8]) {
    let mut packet = Packet::new();
    for bytes in data.chunks_exact(TX_SLOT) {
        let mut slot = [0; TX_SLOT];
        slot.copy_from_slice(bytes);
        match packet.push(&slot) {
            Ok(true) => continue,
            Ok(false) => check(&mut packet),
            Err(_) => {}
        }
        packet = Packet::new();
    }
}

fn check(packet: &mut Packet) {
    assert!((1..=32).contains(&packet.slots().len()) && packet.slots()[0].is_some());
    if let Work::Frame(len, parts, offload) = packet.work() {
        assert!((14..=65_535).contains(&len) && (1..=18).contains(&parts.len()));
        let lens = parts.iter().map(|part| u32::from(part.len));
        assert_eq!(lens.sum::<u32>(), len);
        for part in parts {
            assert!(part.len > 0 && u32::from(part.offset) + u32::from(part.len) <= 4096);
        }
        assert!(offload.gso.is_none_or(|gso| gso.size > 0));
    }
}
