//! Network interfaces: the two rings that a front end shares with its back end (public/io/netif.h).
//!
//! A packet that is sent is one request or several in a row; the first says how long it is, the
//! others how long they are. Between the first and the others there may be extra information. A
//! packet that is received fills the pages of as many requests as it needs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a slot of the ring for packets that the guest sends.
pub const TX_SLOT: usize = 12;
/// Bytes of a slot of the ring for packets to it.
pub const RX_SLOT: usize = 8;
/// Most requests of a packet, as any back end takes (`XEN_NETIF_NR_SLOTS_MIN`).
pub const SLOTS_MIN: u32 = 18;

const _: () = assert!(size_of::<TxRequest>() == TX_SLOT && size_of::<RxResponse>() == RX_SLOT);
const _: () = assert!(size_of::<RxRequest>() == RX_SLOT && size_of::<Extra>() == RX_SLOT);
const _: () = assert!(size_of::<TxResponse>() == 4);

/// Flags of a request that sends (`XEN_NETTXF_*`).
pub mod tx {
    /// The checksum of TCP or UDP is only that of the pseudo header.
    pub const CSUM_BLANK: u16 = 1;
    /// The packet's data is known to be right.
    pub const DATA_VALIDATED: u16 = 2;
    /// The packet goes on in the next request.
    pub const MORE_DATA: u16 = 4;
    /// An [`Extra`](super::Extra) is next.
    pub const EXTRA_INFO: u16 = 8;
}

/// Flags of a response with a packet (`XEN_NETRXF_*`).
pub mod rx {
    /// The packet's data is known to be right.
    pub const DATA_VALIDATED: u16 = 1;
    /// The checksum of TCP or UDP is only that of the pseudo header.
    pub const CSUM_BLANK: u16 = 2;
    /// The packet goes on in the next response.
    pub const MORE_DATA: u16 = 4;
    /// An [`Extra`](super::Extra) is next.
    pub const EXTRA_INFO: u16 = 8;
}

/// What became of a request (`XEN_NETIF_RSP_*`).
pub mod status {
    /// The packet went nowhere.
    pub const DROPPED: i16 = -2;
    /// The request made no sense.
    pub const ERROR: i16 = -1;
    /// It is done.
    pub const OKAY: i16 = 0;
    /// For extra information, which has no answer.
    pub const NULL: i16 = 1;
}

/// Types of extra information (`XEN_NETIF_EXTRA_TYPE_*`).
pub mod extra {
    /// The packet is to be cut into segments.
    pub const GSO: u8 = 1;
    /// Packets to this group are wanted.
    pub const MCAST_ADD: u8 = 2;
    /// They are not wanted any more.
    pub const MCAST_DEL: u8 = 3;
    /// One past the last type that has a meaning.
    pub const MAX: u8 = 6;
    /// `XEN_NETIF_EXTRA_FLAG_MORE`: more of them follow.
    pub const MORE: u8 = 1;
    /// Segments of TCP over IPv4.
    pub const GSO_TCPV4: u8 = 1;
    /// Segments of TCP over IPv6.
    pub const GSO_TCPV6: u8 = 2;
}

/// `netif_tx_request`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct TxRequest {
    /// Grant of the page.
    pub gref: u32,
    /// First byte in it.
    pub offset: u16,
    /// [`tx`].
    pub flags: u16,
    /// The front end's number for it.
    pub id: u16,
    /// Bytes: of the whole packet in its first request, else of this part.
    pub size: u16,
}

/// `netif_tx_response`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct TxResponse {
    /// The request's number.
    pub id: u16,
    /// [`status`].
    pub status: i16,
}

/// `netif_extra_info`: of a packet to be cut, or of a group.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct Extra {
    /// [`extra`].
    pub kind: u8,
    /// [`extra::MORE`].
    pub flags: u8,
    /// `gso.size` in two bytes, `gso.type`, a byte that is 0, `gso.features` in two; or the
    /// group's address.
    pub data: [u8; 6],
}

/// `netif_rx_request`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct RxRequest {
    /// The front end's number for it.
    pub id: u16,
    /// Nothing.
    pub pad: u16,
    /// Grant of a page, to be written.
    pub gref: u32,
}

/// `netif_rx_response`.
#[derive(
    Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct RxResponse {
    /// The request's number.
    pub id: u16,
    /// First byte in the page.
    pub offset: u16,
    /// [`rx`].
    pub flags: u16,
    /// Bytes; less than 0 is an error.
    pub status: i16,
}
