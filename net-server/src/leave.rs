//! What has to be done before a frame can leave by an uplink: a checksum put in, a piece of a TCP
//! stream cut into segments.
//!
//! Everything here was written by a guest. The front of a frame is copied out once ([`HEAD`] bytes)
//! and looked at there; headers that do not end within it, or do not fit together, are refused.
//! Only what a front end asked for is done, so a frame that asks for nothing is never looked into.
//!
//! Formats: IEEE 802.3 and 802.1Q, RFC 791 (IPv4), 8200 (IPv6), 9293 (TCP), 768 (UDP), 1071
//! (checksums).

use net_server_api::{Checksum, Gso, GsoKind, Offload, UPLINK_FRAME};

/// Bytes of a frame in which all its headers end: more than any sender needs, two tags and 60 bytes
/// of TCP behind 150 of IPv6 among them.
pub const HEAD: usize = 256;
/// Bytes of the longest frame that leaves, and of a buffer for one.
pub const LONGEST: usize = UPLINK_FRAME as usize;

const VLAN: [u16; 2] = [0x8100, 0x88a8];
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Flags of TCP that only the first segment has (congestion window reduced) and only the last
/// (end, push).
const CWR: u8 = 0x80;
const FIN_PUSH: u8 = 0x09;

/// Why a frame cannot leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It, or a segment of it, is longer than an uplink carries.
    Long,
    /// Its headers do not say what there is to sum or to cut.
    Headers,
}

/// What a frame becomes on its way out: one frame or several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaving {
    /// Bytes that begin each frame: headers, or all that is not asked about.
    headers: usize,
    /// Bytes behind the headers, in all frames together.
    rest: usize,
    /// Of them in each frame but the last.
    size: usize,
    work: Option<Work>,
}

/// Where the headers are that change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Work {
    ip: usize,
    v6: bool,
    transport: usize,
    protocol: u8,
    /// Behind the last byte of the packet; padding follows.
    end: usize,
    cut: bool,
}

impl Leaving {
    /// What is to be done with a frame of `len` bytes that begins with `head`: its first [`HEAD`]
    /// bytes, or all.
    ///
    /// # Errors
    /// [`Refused`]: it goes nowhere.
    pub fn new(head: &[u8], len: usize, offload: Offload) -> Result<Self, Refused> {
        let head = head.get(..len.min(HEAD)).ok_or(Refused::Headers)?;
        if offload.gso.is_none() && offload.checksum != Checksum::Blank {
            let whole = Self {
                headers: head.len(),
                rest: len - head.len(),
                size: len.max(1),
                work: None,
            };
            return if len <= LONGEST {
                Ok(whole)
            } else {
                Err(Refused::Long)
            };
        }
        let work = headers(head, len).ok_or(Refused::Headers)?;
        let headers = match work.protocol {
            TCP => work.transport + tcp_header(head, work.transport).ok_or(Refused::Headers)?,
            _ => work.transport + udp_header(head, &work).ok_or(Refused::Headers)?,
        };
        if headers > work.end {
            return Err(Refused::Headers);
        }
        let rest = work.end - headers;
        let Some(Gso { kind, size }) = offload.gso else {
            if len > LONGEST {
                return Err(Refused::Long);
            }
            let size = rest.max(1);
            return Ok(Self {
                headers,
                rest,
                size,
                work: Some(work),
            });
        };
        if work.protocol != TCP || work.v6 != (kind == GsoKind::Tcp6) || size == 0 {
            return Err(Refused::Headers);
        }
        let size = usize::from(size);
        if headers + size.min(rest) > LONGEST {
            return Err(Refused::Long);
        }
        let work = Work { cut: true, ..work };
        Ok(Self {
            headers,
            rest,
            size,
            work: Some(work),
        })
    }

    /// How many frames leave, at least one.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.rest.div_ceil(self.size.max(1)).max(1)
    }

    /// Bytes of frame `number`, at most [`LONGEST`].
    #[must_use]
    pub fn len(&self, number: usize) -> usize {
        self.headers + self.part(number).1
    }

    /// First byte of the frame's part of what is behind the headers, and how many it has.
    fn part(&self, number: usize) -> (usize, usize) {
        let from = number.saturating_mul(self.size).min(self.rest);
        (from, self.size.min(self.rest - from))
    }

    /// Writes frame `number` to the beginning of `out`; `head` is what [`Leaving::new`] saw, and
    /// `read` reads what is behind it from that byte of the frame on. How many bytes it has; `None`
    /// where there is no such frame or `out` is too short.
    pub fn write(
        &self,
        number: usize,
        head: &[u8],
        out: &mut [u8],
        read: impl FnOnce(usize, &mut [u8]),
    ) -> Option<usize> {
        if number >= self.frames() {
            return None;
        }
        let (from, bytes) = self.part(number);
        let len = self.headers + bytes;
        let out = out.get_mut(..len)?;
        let (headers, rest) = out.split_at_mut(self.headers);
        headers.copy_from_slice(head.get(..self.headers)?);
        read(self.headers + from, rest);
        if let Some(work) = &self.work {
            work.finish(out, from, number, number + 1 == self.frames())?;
        }
        Some(len)
    }
}

impl Work {
    /// Puts lengths, numbers and sums into frame `number`, whose data begin with byte `from` of the
    /// piece that was cut. `None` where a header is not where [`headers`] found it.
    fn finish(&self, frame: &mut [u8], from: usize, number: usize, last: bool) -> Option<()> {
        let (length, transport) = (frame.len() - self.ip, self.transport);
        if self.cut {
            if self.v6 {
                put16(frame, self.ip + 4, length - 40)?;
            } else {
                put16(frame, self.ip + 2, length)?;
                let id = get16(frame, self.ip + 4)?;
                put16(frame, self.ip + 4, usize::from(id).wrapping_add(number))?;
                put16(frame, self.ip + 10, 0)?;
                let sum = Sum::new().add(frame.get(self.ip..transport)?).finish();
                put16(frame, self.ip + 10, sum.into())?;
            }
            let sequence = frame.get_mut(transport + 4..transport + 8)?;
            let first = u32::from_be_bytes(sequence.try_into().ok()?);
            let next = first.wrapping_add(u32::try_from(from).ok()?);
            sequence.copy_from_slice(&next.to_be_bytes());
            let flags = frame.get_mut(transport + 13)?;
            if number > 0 {
                *flags &= !CWR;
            }
            if !last {
                *flags &= !FIN_PUSH;
            }
        }
        let at = transport + if self.protocol == TCP { 16 } else { 6 };
        put16(frame, at, 0)?;
        let addresses = match self.v6 {
            true => self.ip + 8..self.ip + 40,
            false => self.ip + 12..self.ip + 20,
        };
        let length = u32::try_from(frame.len() - transport).ok()?;
        let sum = Sum::new()
            .add(frame.get(addresses)?)
            .add(&length.to_be_bytes())
            .add(&[0, self.protocol])
            .add(frame.get(transport..)?);
        let sum = match sum.finish() {
            // Of UDP 0 would say that there is none.
            0 if self.protocol == UDP => 0xffff,
            sum => sum,
        };
        put16(frame, at, sum.into())
    }
}

/// Where the headers of a frame of `len` bytes are that TCP or UDP is in, which is no fragment.
fn headers(head: &[u8], len: usize) -> Option<Work> {
    let (mut ip, mut kind) = (14, get16(head, 12)?);
    // One tag of the provider and one of the customer.
    for _ in 0..2 {
        if VLAN.contains(&kind) {
            kind = get16(head, ip + 2)?;
            ip += 4;
        }
    }
    let (v6, transport, protocol, end) = match kind {
        IPV4 => {
            let (protocol, header, total) = v4(head.get(ip..)?)?;
            (false, ip + header, protocol, ip + total)
        }
        IPV6 => {
            let (protocol, header, total) = v6(head.get(ip..)?)?;
            (true, ip + header, protocol, ip + total)
        }
        _ => return None,
    };
    let is_known = protocol == TCP || protocol == UDP;
    (is_known && end <= len && transport <= end).then_some(Work {
        ip,
        v6,
        transport,
        protocol,
        end,
        cut: false,
    })
}

/// The protocol in an IPv4 packet, the bytes of its header and of all of it.
fn v4(packet: &[u8]) -> Option<(u8, usize, usize)> {
    /// All but "do not fragment": more fragments, or not the first one.
    const FRAGMENT: u16 = 0x3fff;
    let first = *packet.first()?;
    let header = usize::from(first & 0xf) * 4;
    let total = usize::from(get16(packet, 2)?);
    let whole = get16(packet, 6)? & FRAGMENT == 0;
    let fits = first >> 4 == 4 && header >= 20 && header <= total;
    (whole && fits).then_some((*packet.get(9)?, header, total))
}

/// The same of an IPv6 packet, whose extension headers count as its header.
fn v6(packet: &[u8]) -> Option<(u8, usize, usize)> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const OPTIONS: u8 = 60;
    if packet.first()? >> 4 != 6 {
        return None;
    }
    let total = 40 + usize::from(get16(packet, 4)?);
    let (mut next, mut at) = (*packet.get(6)?, 40);
    // Each has at least 8 bytes, so they end with the head.
    loop {
        match next {
            // The addressee of a packet that is on its way to others is not the one in front, and
            // is what is summed (RFC 8200, 8.1).
            ROUTING if *packet.get(at + 3)? != 0 => return None,
            HOP_BY_HOP | ROUTING | OPTIONS => {
                next = *packet.get(at)?;
                at += (usize::from(*packet.get(at + 1)?) + 1) * 8;
            }
            protocol => return (at <= total).then_some((protocol, at, total)),
        }
    }
}

/// Bytes of the header of TCP at `at`.
fn tcp_header(head: &[u8], at: usize) -> Option<usize> {
    let header = usize::from(*head.get(at + 12)? >> 4) * 4;
    (header >= 20 && at + header <= head.len()).then_some(header)
}

/// Bytes of the header of UDP, if its length is that of the packet.
fn udp_header(head: &[u8], work: &Work) -> Option<usize> {
    let length = usize::from(get16(head, work.transport + 4)?);
    let is_there = length >= 8 && work.transport + 8 <= head.len();
    (is_there && work.transport + length == work.end).then_some(8)
}

fn get16(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

/// Writes the lower 16 bits of `value`.
fn put16(bytes: &mut [u8], at: usize, value: usize) -> Option<()> {
    let [.., high, low] = value.to_be_bytes();
    let to = bytes.get_mut(at..at.checked_add(2)?)?;
    to.copy_from_slice(&[high, low]);
    Some(())
}

/// The internet checksum (RFC 1071) of bytes that are added one after the other, each time an even
/// number but for the last.
#[derive(Clone, Copy, Debug)]
struct Sum(u64);

impl Sum {
    const fn new() -> Self {
        Self(0)
    }

    fn add(mut self, bytes: &[u8]) -> Self {
        // The order of bytes within words does not matter (RFC 1071, 2), so long ones do.
        let (words, rest) = bytes.as_chunks::<4>();
        for word in words {
            self.0 += u64::from(u32::from_be_bytes(*word));
        }
        let mut last = [0; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        self.0 += u64::from(u32::from_be_bytes(last));
        self
    }

    /// What goes into the header.
    fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        // At most 16 bits are left.
        !u16::try_from(sum).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests;
