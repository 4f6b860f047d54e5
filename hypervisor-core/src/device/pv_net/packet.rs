//! A packet that a front end sends, from the bytes of its slots.

use core::fmt;

use heapless::Vec;
use hv_types::Mac;
use net_server_api::{Checksum, Gso, GsoKind, MAX_FRAME, MIN_FRAME, Offload};
use xen_abi::netif::{Extra, SLOTS_MIN, TX_SLOT, TxRequest, extra, tx};
use zerocopy::FromBytes;

/// Bytes of a page.
const PAGE: u32 = 4096;
/// Most parts of a packet.
const PARTS: usize = SLOTS_MIN as usize;
/// Most extra information with a packet: one of each type.
const EXTRAS: usize = extra::MAX as usize;
/// Most slots of a packet that is refused as a whole; one with more breaks the ring.
const SLOTS: usize = 32;

/// A part of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Grant of its page.
    pub gref: u32,
    /// First byte in the page; the part ends in the page.
    pub offset: u16,
    /// Bytes, at least 1.
    pub len: u16,
}

/// What the front end wants to be told of packets to groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Group {
    /// It wants those to this one.
    Add(Mac),
    /// It does not want them any more.
    Remove(Mac),
}

/// No packet, so that nobody knows where the next one begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsound {
    /// Slots go on behind the last that is there.
    Short,
    /// It has more slots than any packet may have.
    Long,
    /// Extra information of a type that there is not.
    Extra(u8),
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => write!(f, "a packet goes on behind the last request"),
            Self::Long => write!(f, "a packet has more than {SLOTS} requests"),
            Self::Extra(kind) => write!(f, "extra information of type {kind}, which there is not"),
        }
    }
}

/// What is in the next slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expects {
    First,
    Extra,
    Part,
    Nothing,
}

/// A packet, slot by slot.
#[derive(Clone, Debug)]
pub struct Packet {
    expects: Expects,
    first: TxRequest,
    /// The front end's number of each slot; `None` for extra information.
    slots: Vec<Option<u16>, SLOTS>,
    parts: Vec<Part, PARTS>,
    extras: usize,
    gso: Option<Gso>,
    group: Option<Group>,
    is_wrong: bool,
}

/// What a packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work<'a> {
    /// A frame of `len` bytes in these parts.
    Frame(u32, &'a [Part], Offload),
    /// No frame: what is wanted.
    Group(Group),
    /// It makes no sense.
    Wrong,
}

impl Default for Packet {
    fn default() -> Self {
        Self::new()
    }
}

impl Packet {
    /// One of which no slot was seen.
    pub const fn new() -> Self {
        Self {
            expects: Expects::First,
            first: TxRequest {
                gref: 0,
                offset: 0,
                flags: 0,
                id: 0,
                size: 0,
            },
            slots: Vec::new(),
            parts: Vec::new(),
            extras: 0,
            gso: None,
            group: None,
            is_wrong: false,
        }
    }

    /// Looks at the next slot; whether there is more of the packet behind it.
    ///
    /// # Errors
    /// [`Unsound`].
    pub fn push(&mut self, bytes: &[u8; TX_SLOT]) -> Result<bool, Unsound> {
        let request = TxRequest::read_from_bytes(bytes).unwrap_or_default();
        let number = match self.expects {
            Expects::First => {
                self.first = request;
                self.add(&request);
                self.expects = match request.flags & tx::EXTRA_INFO {
                    0 => self.after(request.flags),
                    _ => Expects::Extra,
                };
                Some(request.id)
            }
            Expects::Extra => {
                let (front, _) = bytes.split_at(size_of::<Extra>());
                let info = Extra::read_from_bytes(front).unwrap_or_default();
                self.extra(&info)?;
                self.expects = match info.flags & extra::MORE {
                    0 => self.after(self.first.flags),
                    _ => Expects::Extra,
                };
                None
            }
            Expects::Part => {
                self.add(&request);
                self.expects = self.after(request.flags);
                Some(request.id)
            }
            Expects::Nothing => return Ok(false),
        };
        self.slots.push(number).map_err(|_| Unsound::Long)?;
        Ok(self.expects != Expects::Nothing)
    }

    /// The front end's numbers of its slots; `None` for extra information.
    pub fn slots(&self) -> &[Option<u16>] {
        &self.slots
    }

    /// What the packet is, all of whose slots were seen.
    pub fn work(&mut self) -> Work<'_> {
        if let Some(group) = self.group {
            return Work::Group(group);
        }
        let len = u32::from(self.first.size);
        // The first says how long all are; what the others leave is its own.
        let others = self.parts.iter().skip(1).map(|part| u32::from(part.len));
        let own = len.checked_sub(others.sum());
        let own = own.and_then(|own| u16::try_from(own).ok());
        if let (Some(part), Some(own)) = (self.parts.first_mut(), own) {
            part.len = own;
        } else {
            self.is_wrong = true;
        }
        let fits = |part: &Part| {
            let end = u32::from(part.offset) + u32::from(part.len);
            part.len > 0 && end <= PAGE
        };
        let sound = (MIN_FRAME..=MAX_FRAME).contains(&len) && self.parts.iter().all(fits);
        if self.is_wrong || !sound {
            return Work::Wrong;
        }
        let checksum = match self.first.flags {
            flags if flags & tx::CSUM_BLANK != 0 => Checksum::Blank,
            flags if flags & tx::DATA_VALIDATED != 0 => Checksum::Valid,
            _ => Checksum::Unknown,
        };
        let offload = Offload {
            checksum,
            gso: self.gso,
        };
        Work::Frame(len, &self.parts, offload)
    }

    fn add(&mut self, request: &TxRequest) {
        let part = Part {
            gref: request.gref,
            offset: request.offset,
            len: request.size,
        };
        self.is_wrong |= self.parts.push(part).is_err();
    }

    fn extra(&mut self, info: &Extra) -> Result<(), Unsound> {
        self.extras += 1;
        if self.extras > EXTRAS {
            return Err(Unsound::Long);
        }
        match info.kind {
            0 | extra::MAX.. => return Err(Unsound::Extra(info.kind)),
            extra::GSO => {
                let [low, high, kind, ..] = info.data;
                let size = u16::from_le_bytes([low, high]);
                let kind = match kind {
                    extra::GSO_TCPV4 => Some(GsoKind::Tcp4),
                    extra::GSO_TCPV6 => Some(GsoKind::Tcp6),
                    _ => None,
                };
                self.gso = kind.map(|kind| Gso { kind, size }).filter(|_| size > 0);
                self.is_wrong |= self.gso.is_none();
            }
            extra::MCAST_ADD => self.group = Some(Group::Add(Mac(info.data))),
            extra::MCAST_DEL => self.group = Some(Group::Remove(Mac(info.data))),
            // What is known of it changes nothing here.
            _ => {}
        }
        Ok(())
    }

    const fn after(&self, flags: u16) -> Expects {
        if flags & tx::MORE_DATA == 0 {
            Expects::Nothing
        } else {
            Expects::Part
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn slot(offset: u16, size: u16, flags: u16) -> [u8; TX_SLOT] {
        let request = TxRequest {
            gref: 7,
            offset,
            flags,
            id: 9,
            size,
        };
        request.as_bytes().try_into().unwrap()
    }

    fn info(kind: u8, flags: u8, data: [u8; 6]) -> [u8; TX_SLOT] {
        let mut bytes = [0; TX_SLOT];
        let info = Extra { kind, flags, data };
        bytes[..8].copy_from_slice(info.as_bytes());
        bytes
    }

    fn packet(slots: &[[u8; TX_SLOT]]) -> Result<Packet, Unsound> {
        let mut packet = Packet::new();
        for (number, slot) in slots.iter().enumerate() {
            let more = packet.push(slot)?;
            assert_eq!(more, number + 1 < slots.len(), "{number}");
        }
        Ok(packet)
    }

    #[test]
    fn the_first_request_says_how_long_all_are() {
        let more = tx::MORE_DATA;
        let slots = [slot(10, 3000, more), slot(0, 1000, more), slot(96, 1500, 0)];
        let mut packet = packet(&slots).unwrap();
        let Work::Frame(len, parts, offload) = packet.work() else {
            panic!("a frame");
        };
        assert_eq!((len, offload), (3000, Offload::default()));
        let lens: std::vec::Vec<_> = parts.iter().map(|part| part.len).collect();
        assert_eq!(lens, [500, 1000, 1500]);
    }

    #[test]
    fn parts_lie_in_their_pages_and_make_a_frame() {
        let wrong = [
            &[slot(0, 13, 0)][..],
            &[slot(4090, 14, 0)],
            &[slot(u16::MAX, 60, 0)],
            &[slot(0, 4097, 0)],
            &[slot(0, 60, tx::MORE_DATA), slot(0, 60, 0)],
            &[slot(0, 60, tx::MORE_DATA), slot(0, 61, 0)],
            &[slot(0, 60, tx::MORE_DATA), slot(0, 0, 0)],
        ];
        for slots in wrong {
            assert_eq!(packet(slots).unwrap().work(), Work::Wrong, "{slots:?}");
        }
        assert_ne!(packet(&[slot(4082, 14, 0)]).unwrap().work(), Work::Wrong);
        assert_ne!(packet(&[slot(0, 4096, 0)]).unwrap().work(), Work::Wrong);
    }

    #[test]
    fn a_packet_has_eighteen_parts_at_most() {
        for count in 1..=SLOTS {
            let mut slots = std::vec![slot(0, 100, tx::MORE_DATA); count - 1];
            slots.push(slot(0, 100, 0));
            slots[0] = slot(
                0,
                u16::try_from(count).unwrap() * 100,
                if count > 1 { tx::MORE_DATA } else { 0 },
            );
            let mut packet = packet(&slots).unwrap();
            assert_eq!(packet.work() != Work::Wrong, count <= 18, "{count}");
            assert_eq!(packet.slots().len(), count);
        }
        let slots = [slot(0, 100, tx::MORE_DATA); SLOTS + 1];
        assert_eq!(packet(&slots).unwrap_err(), Unsound::Long);
    }

    #[test]
    fn extra_information_is_between_the_first_and_the_others() {
        let gso = info(extra::GSO, 0, [0xa0, 5, extra::GSO_TCPV6, 0, 0, 0]);
        let flags = tx::MORE_DATA | tx::EXTRA_INFO | tx::CSUM_BLANK;
        let slots = [slot(0, 5000, flags), gso, slot(0, 4000, 0)];
        let mut long = packet(&slots).unwrap();
        assert_eq!(long.slots(), [Some(9), None, Some(9)]);
        let Work::Frame(5000, _, offload) = long.work() else {
            panic!("a frame");
        };
        assert_eq!(offload.checksum, Checksum::Blank);
        let kind = GsoKind::Tcp6;
        assert_eq!(offload.gso, Some(Gso { kind, size: 1440 }));
        for bad in [[0, 0, 1, 0, 0, 0], [1, 1, 3, 0, 0, 0], [1, 1, 0, 0, 0, 0]] {
            let slots = [slot(0, 60, tx::EXTRA_INFO), info(extra::GSO, 0, bad)];
            assert_eq!(packet(&slots).unwrap().work(), Work::Wrong);
        }
        for kind in [0, 6, 255] {
            let slots = [slot(0, 60, tx::EXTRA_INFO), info(kind, 0, [0; 6])];
            assert_eq!(packet(&slots).unwrap_err(), Unsound::Extra(kind));
        }
        let mut slots = [info(4, extra::MORE, [0; 6]); 9];
        slots[0] = slot(0, 60, tx::EXTRA_INFO);
        assert_eq!(packet(&slots).unwrap_err(), Unsound::Long);
    }

    #[test]
    fn groups_come_and_go() {
        let mac = [1, 0, 0x5e, 0, 0, 5];
        for (kind, group) in [
            (extra::MCAST_ADD, Group::Add(Mac(mac))),
            (extra::MCAST_DEL, Group::Remove(Mac(mac))),
        ] {
            let slots = [slot(0, 0, tx::EXTRA_INFO), info(kind, 0, mac)];
            assert_eq!(packet(&slots).unwrap().work(), Work::Group(group));
        }
    }
}
