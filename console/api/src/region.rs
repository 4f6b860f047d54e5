//! The shared region and its two ends.

use ring::sync::{AtomicU8, AtomicU32};
use ring::{Consumer, HEADER_WORDS, Header, Producer, Words};

use crate::client::Client;
use crate::control::{Control, Order, Shown, State};
use crate::times::Times;
use crate::{REGION_SIZE, RX_SIZE, TX_SIZE};

/// Bytes at the start of the region that hold the indices of both rings, as 32-bit words.
pub const HEADER_SIZE: usize = 0x1000;
/// First word of the receive ring's header; the transmit ring's is at word 0.
const RX_HEADER: usize = 64;

const _: () = assert!(REGION_SIZE == HEADER_SIZE + TX_SIZE + RX_SIZE);
const _: () = assert!(TX_SIZE.is_power_of_two() && RX_SIZE.is_power_of_two());
const _: () = assert!(HEADER_WORDS <= RX_HEADER && RX_HEADER + HEADER_WORDS <= Words::FIRST);
const _: () = assert!(4 * (Words::FIRST + Words::COUNT) <= HEADER_SIZE);

/// The region that one client shares with the console server.
///
/// Both make one over the same memory; the client then takes [`Region::client`] and the
/// server [`Region::server`]. Fresh (zeroed) memory is two empty rings.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    tx: (Header<'a>, &'a [AtomicU8]),
    rx: (Header<'a>, &'a [AtomicU8]),
    control: Control<'a>,
    times: Times<'a>,
}

/// The console server's end: it takes from the client's transmit ring and puts into its receive
/// ring.
#[derive(Debug)]
pub struct ServerEnd<'a> {
    /// What the client wrote.
    pub output: Consumer<'a>,
    /// What was typed for the client.
    pub input: Producer<'a>,
    control: Control<'a>,
    times: Times<'a>,
}

impl ServerEnd<'_> {
    /// The state alone of what [`ServerEnd::shown`] says: one word, for who looks often.
    pub fn state(&self) -> State {
        self.control.state()
    }

    /// What the client, a VMM, says of its guest.
    pub fn shown(&self) -> Shown {
        self.control.shown()
    }

    /// Tells the client, a VMM, what is wanted of its guest; a notification must follow.
    pub fn order(&self, order: Order) {
        self.control.order(order);
    }

    /// Clients whose protection domain has stopped, a bit each, as the client, the fault server,
    /// says.
    pub fn stopped(&self) -> u32 {
        self.control.stopped()
    }

    /// Asks the client, the timekeeper, for processor times; a notification must follow.
    pub fn ask_times(&self) {
        self.times.ask();
    }

    /// Whether the client, the timekeeper, has answered what was asked last.
    pub fn has_times(&self) -> bool {
        self.times.is_answered()
    }

    /// Microseconds of the processor that vCPU `vcpu` of the domain of number `domain`, from 0, has
    /// had since the machine started, as the client, the timekeeper, has said last.
    pub fn time(&self, domain: usize, vcpu: usize) -> u64 {
        self.times.get(domain, vcpu)
    }
}

impl<'a> Region<'a> {
    /// The region whose first [`HEADER_SIZE`] bytes are `header` and whose other bytes are `data`.
    ///
    /// `None` where either is shorter than the geometry says.
    pub fn new(header: &'a [AtomicU32], data: &'a [AtomicU8]) -> Option<Self> {
        let header = header.get(..HEADER_SIZE / 4)?;
        let data = data.get(..TX_SIZE + RX_SIZE)?;
        let (tx, rx) = data.split_at_checked(TX_SIZE)?;
        Some(Self {
            tx: (Header::new(header)?, tx),
            rx: (Header::new(header.get(RX_HEADER..)?)?, rx),
            control: Control::new(header)?,
            times: Times::new(header)?,
        })
    }

    /// The client's end; `notify` signals the console server. To be made once.
    pub fn client<F: FnMut()>(self, notify: F) -> Option<Client<'a, F>> {
        Some(Client::new(
            Producer::new(self.tx.0, self.tx.1)?,
            Consumer::new(self.rx.0, self.rx.1)?,
            self.control,
            self.times,
            notify,
        ))
    }

    /// The console server's end. To be made once.
    pub fn server(self) -> Option<ServerEnd<'a>> {
        Some(ServerEnd {
            output: Consumer::new(self.tx.0, self.tx.1)?,
            input: Producer::new(self.rx.0, self.rx.1)?,
            control: self.control,
            times: self.times,
        })
    }
}
