//! Addresses of network interfaces.

use core::fmt;
use core::str::FromStr;

/// An Ethernet address (IEEE 802).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Mac(pub [u8; 6]);

/// Text is no Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoMac;

impl Mac {
    /// All stations.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The address of interface `number` of a domain that was given none: Xen's prefix, the domain
    /// and the number.
    #[must_use]
    pub const fn derived(domid: crate::DomId, number: u8) -> Self {
        let [high, low] = domid.0.to_be_bytes();
        Self([0x00, 0x16, 0x3e, high, low, number])
    }

    /// Whether it names several stations, or all.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether one station may have it: it is no group's and not zero.
    #[must_use]
    pub fn is_station(self) -> bool {
        !self.is_group() && self != Self::default()
    }

    /// Whether bridges keep frames to it to themselves (IEEE 802.1Q, table 8-1).
    #[must_use]
    pub fn is_link_local(self) -> bool {
        let [front @ .., last] = self.0;
        front == [0x01, 0x80, 0xc2, 0x00, 0x00] && last < 0x10
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = NoMac;

    fn from_str(text: &str) -> Result<Self, NoMac> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(NoMac)?;
            let is_pair = part.len() == 2 && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            let value = u8::from_str_radix(part, 16).ok().filter(|_| is_pair);
            *byte = value.ok_or(NoMac)?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(NoMac),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DomId;
    use std::string::ToString;

    #[test]
    fn text_is_six_pairs_of_digits() {
        let mac = Mac::derived(DomId(0x102), 3);
        assert_eq!(mac.to_string(), "00:16:3e:01:02:03");
        assert_eq!(mac.to_string().parse(), Ok(mac));
        assert_eq!("FF:ff:Ff:ff:ff:ff".parse(), Ok(Mac::BROADCAST));
        for text in [
            "",
            "00:16:3e:01:02",
            "00:16:3e:01:02:03:04",
            "0:16:3e:1:2:3",
            "+0:16:3e:01:02:03",
            "00-16-3e-01-02-03",
            "00:16:3e:01:02:0g",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(NoMac), "{text}");
        }
    }

    #[test]
    fn a_station_has_an_address_of_its_own() {
        assert!(Mac::derived(DomId(0), 0).is_station());
        for other in [Mac::BROADCAST, Mac::default(), Mac([1, 0, 0x5e, 0, 0, 1])] {
            assert!(!other.is_station(), "{other}");
        }
        assert!(Mac([1, 0x80, 0xc2, 0, 0, 0xf]).is_link_local());
        assert!(!Mac([1, 0x80, 0xc2, 0, 0, 0x10]).is_link_local());
    }
}
