//! What leaves, beside an account of its own of what should.
#![expect(
    clippy::cast_possible_truncation,
    reason = "numbers and sequences wrap"
)]

use super::*;
use proptest::prelude::*;

/// A packet to be sent.
#[derive(Clone, Debug)]
struct Packet {
    tags: usize,
    v6: bool,
    /// Options of IPv4, or extension headers of IPv6 with these types.
    extra: Vec<u8>,
    tcp: bool,
    options: usize,
    data: Vec<u8>,
    flags: u8,
    padding: usize,
}

fn packet() -> impl Strategy<Value = Packet> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..4000);
    let extra = proptest::collection::vec(proptest::sample::select(&[0_u8, 43, 60][..]), 0..3);
    let one = (any::<bool>(), extra, any::<bool>(), 0..=10_usize, bytes());
    (0..=2_usize, one, any::<u8>(), 0..10_usize).prop_map(
        |(tags, (v6, extra, tcp, options, data), flags, padding)| Packet {
            tags,
            v6,
            extra,
            tcp,
            options: if tcp { options * 4 } else { 0 },
            data,
            flags,
            padding,
        },
    )
}

impl Packet {
    fn transport_len(&self) -> usize {
        self.data.len() + if self.tcp { 20 + self.options } else { 8 }
    }

    /// Where the headers of IP and of the transport begin.
    fn places(&self) -> (usize, usize) {
        let ip = 14 + 4 * self.tags;
        let header = if self.v6 { 40 } else { 20 };
        let each = if self.v6 { 16 } else { 4 };
        (ip, ip + header + each * self.extra.len())
    }

    /// With anything where a checksum goes.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for tag in 0..self.tags {
            bytes.extend(VLAN[1 - tag % 2].to_be_bytes());
            bytes.extend([0, 7]);
        }
        bytes.extend(if self.v6 { IPV6 } else { IPV4 }.to_be_bytes());
        let protocol = if self.tcp { TCP } else { UDP };
        let (ip, transport) = self.places();
        let end = transport + self.transport_len();
        if self.v6 {
            bytes.extend([0x60, 0, 0, 0]);
            bytes.extend(u16::try_from(end - ip - 40).unwrap().to_be_bytes());
            let mut chain = self.extra.iter().copied().chain([protocol]);
            bytes.extend([chain.next().unwrap(), 64]);
            bytes.extend((0..32).map(|at| at * 7 + 1));
            for next in chain {
                // Of 16 bytes; no segments are left of a routing header.
                bytes.extend([next, 1, 0, 0]);
                bytes.extend([0; 12]);
            }
        } else {
            bytes.push(0x45 + u8::try_from(self.extra.len()).unwrap());
            bytes.push(0);
            bytes.extend(u16::try_from(end - ip).unwrap().to_be_bytes());
            bytes.extend([0xff, 0xfe, 0x40, 0, 64, protocol, 0x12, 0x34]);
            bytes.extend([10, 0, 2, 15, 10, 0, 2, 2]);
            bytes.extend(self.extra.iter().flat_map(|_| [1; 4]));
        }
        assert_eq!(bytes.len(), transport);
        bytes.extend([0x12, 0x34, 0, 80]);
        if self.tcp {
            bytes.extend([0xff, 0xff, 0xff, 0, 1, 2, 3, 4]);
            let header = u8::try_from((20 + self.options) / 4).unwrap();
            bytes.extend([header << 4, self.flags, 1, 0, 0x56, 0x78, 0, 0]);
            bytes.extend(vec![1; self.options]);
        } else {
            let len = u16::try_from(self.transport_len()).unwrap();
            bytes.extend(len.to_be_bytes());
            bytes.extend([0x56, 0x78]);
        }
        bytes.extend(&self.data);
        bytes.extend(vec![0xee; self.padding]);
        bytes
    }
}

/// The sum of words, folded, as RFC 1071 has it: 0xffff where a checksum is right.
fn folded(parts: &[&[u8]]) -> u16 {
    let bytes: Vec<u8> = parts.concat();
    let words = bytes.chunks(2).map(|word| {
        let low = word.get(1).copied().unwrap_or(0);
        u32::from(word[0]) << 8 | u32::from(low)
    });
    let sum = words.fold(0, |sum: u32, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    });
    u16::try_from(sum).unwrap()
}

/// What leaves of `frame`.
fn leave(frame: &[u8], offload: Offload) -> Result<Vec<Vec<u8>>, Refused> {
    let head = &frame[..frame.len().min(HEAD)];
    let leaving = Leaving::new(head, frame.len(), offload)?;
    let frames = (0..leaving.frames()).map(|number| {
        let mut out = vec![0xaa; LONGEST];
        let len = leaving.write(number, head, &mut out, |at, to| {
            to.copy_from_slice(&frame[at..at + to.len()]);
        });
        assert_eq!(len, Some(leaving.len(number)));
        out.truncate(len.unwrap());
        out
    });
    let frames = frames.collect();
    assert_eq!(
        leaving.write(leaving.frames(), head, &mut [0; LONGEST], |_, _| ()),
        None
    );
    Ok(frames)
}

const BLANK: Offload = Offload {
    checksum: Checksum::Blank,
    gso: None,
};

fn cut(kind: GsoKind, size: u16) -> Offload {
    Offload {
        checksum: Checksum::Blank,
        gso: Some(Gso { kind, size }),
    }
}

/// That the checksums of a frame which `packet` became are right.
fn assert_sums(packet: &Packet, frame: &[u8]) {
    let (ip, transport) = packet.places();
    let pseudo = u32::try_from(frame.len() - transport)
        .unwrap()
        .to_be_bytes();
    let protocol = [0, if packet.tcp { TCP } else { UDP }];
    let addresses = if packet.v6 {
        &frame[ip + 8..ip + 40]
    } else {
        &frame[ip + 12..ip + 20]
    };
    let parts = [addresses, &pseudo, &protocol, &frame[transport..]];
    assert_eq!(folded(&parts), 0xffff);
    if !packet.tcp {
        assert_ne!(frame[transport + 6..transport + 8], [0, 0]);
    }
}

proptest! {
    #[test]
    fn a_blank_checksum_is_put_in_and_nothing_else_changes(packet in packet()) {
        let frame = packet.bytes();
        let (_, transport) = packet.places();
        let end = frame.len() - packet.padding;
        match leave(&frame, BLANK) {
            Ok(left) => {
                prop_assert_eq!(left.len(), 1);
                assert_sums(&packet, &left[0]);
                let at = transport + if packet.tcp { 16 } else { 6 };
                prop_assert_eq!(&left[0][..at], &frame[..at]);
                prop_assert_eq!(&left[0][at + 2..], &frame[at + 2..end]);
            }
            Err(why) => {
                prop_assert_eq!(why, Refused::Long);
                prop_assert!(frame.len() > LONGEST);
            }
        }
    }

    #[test]
    fn segments_are_the_stream_again(packet in packet(), size in 1..1400_u16) {
        let packet = Packet { tcp: true, ..packet };
        let frame = packet.bytes();
        let kind = if packet.v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 };
        let (ip, transport) = packet.places();
        let headers = transport + 20 + packet.options;
        let left = match leave(&frame, cut(kind, size)) {
            Ok(left) => left,
            Err(why) => {
                prop_assert_eq!(why, Refused::Long);
                prop_assert!(headers + usize::from(size).min(packet.data.len()) > LONGEST);
                return Ok(());
            }
        };
        prop_assert_eq!(left.len(), packet.data.len().div_ceil(size.into()).max(1));
        let mut data: Vec<u8> = Vec::new();
        for (number, segment) in left.iter().enumerate() {
            assert_sums(&packet, segment);
            let at = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
            let length = segment.len() - ip;
            if packet.v6 {
                prop_assert_eq!(usize::from(at(ip + 4)), length - 40);
            } else {
                prop_assert_eq!(usize::from(at(ip + 2)), length);
                prop_assert_eq!(at(ip + 4), 0xfffe_u16.wrapping_add(number as u16));
                prop_assert_eq!(folded(&[&segment[ip..transport]]), 0xffff);
            }
            let sequence: [u8; 4] = segment[transport + 4..transport + 8].try_into().unwrap();
            let expected = 0xffff_ff00_u32.wrapping_add(data.len() as u32);
            prop_assert_eq!(u32::from_be_bytes(sequence), expected);
            let mut flags = packet.flags;
            if number > 0 {
                flags &= 0x7f;
            }
            if number + 1 < left.len() {
                flags &= !0x09;
            }
            prop_assert_eq!(segment[transport + 13], flags);
            data.extend(&segment[headers..]);
        }
        prop_assert_eq!(data, packet.data);
    }

    #[test]
    fn whatever_the_headers_say_nothing_longer_than_a_frame_leaves(
        packet in packet(),
        changes in proptest::collection::vec((0..160_usize, any::<u8>()), 1..6),
        shorter in 0..200_usize,
        blank in any::<bool>(),
        gso in proptest::option::of((any::<bool>(), 0..=u16::MAX)),
    ) {
        let mut frame = packet.bytes();
        for (at, byte) in changes {
            if let Some(to) = frame.get_mut(at) {
                *to = byte;
            }
        }
        frame.truncate(frame.len().saturating_sub(shorter).max(14));
        let gso = gso.map(|(v6, size)| Gso {
            kind: if v6 { GsoKind::Tcp6 } else { GsoKind::Tcp4 },
            size,
        });
        let checksum = if blank { Checksum::Blank } else { Checksum::Valid };
        if let Ok(left) = leave(&frame, Offload { checksum, gso }) {
            prop_assert!(left.iter().all(|frame| frame.len() <= LONGEST));
            let most = frame.len() * left.len();
            prop_assert!(left.iter().map(Vec::len).sum::<usize>() <= most);
        }
    }
}

fn tcp(v6: bool, data: usize) -> Packet {
    Packet {
        tags: 0,
        v6,
        extra: Vec::new(),
        tcp: true,
        options: 0,
        data: vec![7; data],
        flags: 0x18,
        padding: 0,
    }
}

#[test]
fn what_asks_for_nothing_is_not_looked_into() {
    let plain = Offload::default();
    for len in [14, HEAD - 1, HEAD, HEAD + 1, LONGEST] {
        let frame = vec![0xff; len];
        assert_eq!(leave(&frame, plain), Ok(vec![frame]));
    }
    assert_eq!(leave(&[0; LONGEST + 1], plain), Err(Refused::Long));
}

#[test]
fn headers_that_do_not_fit_together_are_refused() {
    let refused = |frame: &[u8], offload| {
        assert_eq!(leave(frame, offload), Err(Refused::Headers), "{frame:02x?}");
    };
    let with = |v6: bool, at: usize, byte: u8| {
        let mut frame = tcp(v6, 100).bytes();
        frame[at] = byte;
        frame
    };
    // A segment size of nothing; one of the other kind; a piece of something that is no stream.
    refused(&tcp(false, 100).bytes(), cut(GsoKind::Tcp4, 0));
    refused(&tcp(false, 100).bytes(), cut(GsoKind::Tcp6, 1000));
    refused(&tcp(true, 100).bytes(), cut(GsoKind::Tcp4, 1000));
    let udp = Packet {
        tcp: false,
        ..tcp(false, 100)
    };
    refused(&udp.bytes(), cut(GsoKind::Tcp4, 10));
    // No IP at all, three tags, the wrong version.
    refused(&with(false, 13, 6), BLANK);
    refused(
        &Packet {
            tags: 3,
            ..tcp(false, 100)
        }
        .bytes(),
        BLANK,
    );
    refused(&with(false, 14, 0x65), BLANK);
    refused(&with(true, 14, 0x45), BLANK);
    // Header and packet shorter or longer than they can be.
    refused(&with(false, 14, 0x44), BLANK);
    refused(&with(false, 16, 0xff), BLANK);
    refused(&with(false, 17, 19), BLANK);
    refused(&with(true, 18, 0xff), BLANK);
    refused(&with(false, 46, 0x40), BLANK);
    let mut short = tcp(false, 30).bytes();
    short[46] = 0xf0;
    refused(&short, BLANK);
    // Fragments: more to come, or not the first.
    refused(&with(false, 20, 0x20), BLANK);
    refused(&with(false, 21, 1), BLANK);
    // A fragment header, an authentication header, ICMP.
    refused(&with(true, 20, 44), BLANK);
    refused(&with(true, 20, 51), BLANK);
    refused(&with(false, 23, 1), BLANK);
    // A packet that is still on its way to others.
    let mut routed = Packet {
        extra: vec![43],
        ..tcp(true, 100)
    }
    .bytes();
    assert!(leave(&routed, BLANK).is_ok());
    routed[14 + 40 + 3] = 1;
    refused(&routed, BLANK);
    // Extension headers without end.
    let mut long = Packet {
        extra: vec![0],
        ..tcp(true, 900)
    }
    .bytes();
    long[14 + 40 + 1] = 40;
    refused(&long, BLANK);
    // UDP that is longer or shorter than its packet.
    for byte in [0, 107, 109] {
        let mut frame = udp.bytes();
        frame[14 + 20 + 5] = byte;
        refused(&frame, BLANK);
    }
    refused(&[0; 14], BLANK);
}

#[test]
fn sums_are_those_of_the_rfc() {
    // RFC 1071, 3: the example's words sum up to ddf2.
    let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(Sum::new().add(&bytes).finish(), !0xddf2);
    assert_eq!(
        Sum::new().add(&bytes[..2]).add(&bytes[2..]).finish(),
        !0xddf2
    );
    assert_eq!(Sum::new().add(&[]).finish(), 0xffff);
}
