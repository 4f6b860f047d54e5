//! The VMM's side.

use topology::MAX_DOMAINS;

use crate::ends::{End, Ends};
use crate::pair_page::PairPage;
use crate::wire::{Error, Request};

/// A domain's event channels to others as the hypervisor core uses them; never blocks.
pub trait PeerPort {
    /// Where `port` ends.
    fn end(&self, port: u16) -> End;
    /// Has the server change something.
    ///
    /// # Errors
    /// The server's refusal.
    fn ask(&mut self, request: Request) -> Result<(), Error>;
    /// Sends an event over `port`: nobody gets it unless that is connected.
    fn send(&mut self, port: u16);
    /// Tells the VMM of domain `domain` that a grant of its guest's is wanted.
    fn want(&mut self, domain: u8, gref: u32);
    /// Tells the VMM of domain `domain` that what it wants may have come.
    fn tell(&mut self, domain: u8);
    /// Takes what others want: `each` gets who, and the reference in this domain's table. A bounded
    /// number of them.
    fn wanted(&mut self, each: impl FnMut(u8, u32));
    /// Takes the events that have come: `each` gets the domain's port, which is connected. At most
    /// once for each port and peer.
    fn take(&mut self, each: impl FnMut(u16));
}

/// The side of one VMM: a [`PeerPort`] over its page of ends and the pages that it shares with
/// others. `call` sends a request to the server and returns the answer; `notify` signals the VMM of
/// a domain, by its number.
#[derive(Debug)]
pub struct Client<'a, C, N> {
    ends: Option<Ends<'a>>,
    pairs: [Option<PairPage<'a>>; MAX_DOMAINS],
    call: C,
    notify: N,
}

impl<'a, C, N> Client<'a, C, N>
where
    C: FnMut(Request) -> Result<(), Error>,
    N: FnMut(usize),
{
    /// The side of a VMM with these pages: its own of ends, and by their numbers those that it
    /// shares with others. One that meets nobody has none.
    pub fn new(
        ends: Option<Ends<'a>>,
        pairs: [Option<PairPage<'a>>; MAX_DOMAINS],
        call: C,
        notify: N,
    ) -> Self {
        Self {
            ends,
            pairs,
            call,
            notify,
        }
    }
}

impl<C, N> PeerPort for Client<'_, C, N>
where
    C: FnMut(Request) -> Result<(), Error>,
    N: FnMut(usize),
{
    #[inline]
    fn end(&self, port: u16) -> End {
        self.ends.map_or(End::None, |ends| ends.get(port))
    }

    fn ask(&mut self, request: Request) -> Result<(), Error> {
        (self.call)(request)
    }

    #[inline]
    fn send(&mut self, port: u16) {
        let End::Bound { domain, port, .. } = self.end(port) else {
            return;
        };
        let domain = usize::from(domain);
        if let Some(Some(pair)) = self.pairs.get(domain)
            && pair.send(port)
        {
            (self.notify)(domain);
        }
    }

    fn want(&mut self, domain: u8, gref: u32) {
        let domain = usize::from(domain);
        if let Some(Some(pair)) = self.pairs.get(domain) {
            pair.want(gref);
            (self.notify)(domain);
        }
    }

    fn tell(&mut self, domain: u8) {
        let domain = usize::from(domain);
        if self.pairs.get(domain).is_some_and(Option::is_some) {
            (self.notify)(domain);
        }
    }

    fn wanted(&mut self, mut each: impl FnMut(u8, u32)) {
        for (from, pair) in (0..).zip(&self.pairs) {
            if let Some(pair) = pair {
                pair.wanted(|gref| each(from, gref));
            }
        }
    }

    fn take(&mut self, mut each: impl FnMut(u16)) {
        let Some(ends) = self.ends else {
            return;
        };
        for (from, pair) in self.pairs.iter().enumerate() {
            let Some(pair) = pair else {
                continue;
            };
            pair.take(|port| match ends.get(port) {
                End::Bound { domain, .. } if usize::from(domain) == from => each(port),
                _ => {}
            });
        }
    }
}

/// The side of a domain that meets nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPeers;

impl PeerPort for NoPeers {
    fn end(&self, _: u16) -> End {
        End::None
    }
    fn ask(&mut self, _: Request) -> Result<(), Error> {
        Err(Error::Denied)
    }
    fn send(&mut self, _: u16) {}
    fn want(&mut self, _: u8, _: u32) {}
    fn tell(&mut self, _: u8) {}
    fn wanted(&mut self, _: impl FnMut(u8, u32)) {}
    fn take(&mut self, _: impl FnMut(u16)) {}
}
