//! What the server is told of the domains file, in bytes: the image builder writes them into its
//! program.

use heapless::Vec;
use hv_types::Mac;
use net_server_api::MAX_NICS;

use crate::port::PortSpec;

/// Bytes of one interface: whether there is one, its network, its address.
const NIC: usize = 8;
/// Bytes of a domain's interfaces.
pub const NICS_BYTES: usize = MAX_NICS * NIC;

/// Interfaces of a domain, in their order.
pub type Nics = Vec<PortSpec, MAX_NICS>;

/// `nics` in bytes; no more than [`MAX_NICS`] count.
#[must_use]
pub fn encode(nics: &[PortSpec]) -> [u8; NICS_BYTES] {
    let mut bytes = [0; NICS_BYTES];
    for (to, nic) in bytes.chunks_exact_mut(NIC).zip(nics) {
        let all = [1, nic.network].into_iter().chain(nic.mac.0);
        for (to, from) in to.iter_mut().zip(all) {
            *to = from;
        }
    }
    bytes
}

/// The interfaces that [`encode`] wrote; the first that is not there ends them.
#[must_use]
pub fn decode(bytes: &[u8; NICS_BYTES]) -> Nics {
    let nics = bytes.chunks_exact(NIC).map_while(|bytes| match *bytes {
        [1, network, a, b, c, d, e, f] => Some(PortSpec {
            network,
            mac: Mac([a, b, c, d, e, f]),
        }),
        _ => None,
    });
    nics.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(
            nics in proptest::collection::vec((any::<u8>(), any::<[u8; 6]>()), 0..=MAX_NICS),
        ) {
            let nics: std::vec::Vec<_> = nics
                .into_iter()
                .map(|(network, mac)| PortSpec { network, mac: Mac(mac) })
                .collect();
            let read = decode(&encode(&nics));
            prop_assert_eq!(read.as_slice(), nics.as_slice());
        }
    }

    #[test]
    fn nothing_is_no_interface() {
        assert!(decode(&[0; NICS_BYTES]).is_empty());
        assert!(decode(&[0xff; NICS_BYTES]).is_empty());
    }
}
