//! Which event channel of one domain ends at which port of another, which grant is in use by whom,
//! and who may have any.
//!
//! Of each domain that meets others the server keeps a page of [`Ends`], which the domain's VMM
//! reads ([`peer_server_api`] has the protocol). It believes no VMM: a request is checked against
//! the pages and against the pairs of the domains file alone. Each request concerns a bounded
//! number of ports: at most all of one domain's.
#![no_std]
#![forbid(unsafe_code)]

mod facts;
mod grants;

pub use facts::{FACTS_WORDS, Facts};
pub use grants::{Grants, Table, Wanted};

use memory_server_api::{LendError, Lending};
use peer_server_api::{End, Ends, Error, MAX_PORT, Message, Request, StaticChannel};
use topology::MAX_DOMAINS;
use topology::meets::Meets;

/// The server: channels, and grants that are mapped.
///
/// `memory` of its operations asks the memory server.
#[derive(Debug)]
pub struct PeerServer<'a> {
    channels: Server<'a>,
    grants: Grants<'a>,
}

impl<'a> PeerServer<'a> {
    /// A server of both.
    pub const fn new(channels: Server<'a>, grants: Grants<'a>) -> Self {
        Self { channels, grants }
    }

    /// Answers `message` of the VMM of domain `client`, from 0.
    ///
    /// # Errors
    /// [`Error`]; nothing changed.
    pub fn on_message<M>(
        &mut self,
        client: usize,
        message: Message<'_>,
        memory: M,
    ) -> Result<(), Error>
    where
        M: FnMut(Lending) -> Result<u64, LendError>,
    {
        let request = Request::read(message).ok_or(Error::Malformed)?;
        self.answer(client, request, memory)
    }

    /// [`PeerServer::on_message`] for a request that was read.
    ///
    /// # Errors
    /// [`Error`]; nothing changed, but for what [`Error::Again`] says.
    pub fn answer<M>(&mut self, client: usize, request: Request, memory: M) -> Result<(), Error>
    where
        M: FnMut(Lending) -> Result<u64, LendError>,
    {
        // Nobody without a page, one who has stopped among them.
        self.channels.page(client).ok_or(Error::Malformed)?;
        match request {
            Request::Map {
                lend,
                domain,
                gref,
                writable,
            } => {
                let wanted = Wanted {
                    lend,
                    domain,
                    gref,
                    writable,
                };
                self.grants.map(client, wanted, memory)
            }
            Request::Unmap { lend } => self.grants.unmap(client, lend, memory),
            Request::Offer { gfn, slot } => {
                self.grants.on_offer(client, gfn, slot);
                Ok(())
            }
            Request::End if self.grants.end(client, memory) => Err(Error::Again),
            Request::End => Ok(()),
            request => self.channels.answer(client, request),
        }
    }

    /// The VMM of domain `domain`, from 0, has stopped for good.
    ///
    /// # Errors
    /// [`Error::Again`]: something is left, call again.
    pub fn crash<M>(&mut self, domain: u8, memory: M) -> Result<(), Error>
    where
        M: FnMut(Lending) -> Result<u64, LendError>,
    {
        self.channels.crash(domain);
        match self.grants.end(domain.into(), memory) {
            true => Err(Error::Again),
            false => Ok(()),
        }
    }

    /// Grants that are mapped.
    pub const fn grants(&self) -> &Grants<'a> {
        &self.grants
    }
}

/// The channels.
#[derive(Debug)]
pub struct Server<'a> {
    ends: [Option<Ends<'a>>; MAX_DOMAINS],
    events: Meets,
    channels: &'a [StaticChannel],
}

impl<'a> Server<'a> {
    /// The server over these pages, which are fresh, by the numbers of their domains. Domains of
    /// `events` may bind channels between them; `channels` are there from the start.
    pub fn new(
        ends: [Option<Ends<'a>>; MAX_DOMAINS],
        events: Meets,
        channels: &'a [StaticChannel],
    ) -> Self {
        let server = Self {
            ends,
            events,
            channels,
        };
        for channel in channels {
            let [first, second] = channel.ends;
            server.connect(second, first);
        }
        server
    }

    /// Answers `message` of the VMM of domain `client`, from 0.
    ///
    /// # Errors
    /// [`Error`]; nothing changed.
    pub fn on_message(&mut self, client: usize, message: Message<'_>) -> Result<(), Error> {
        self.answer(client, Request::read(message).ok_or(Error::Malformed)?)
    }

    /// [`Server::on_message`] for a request that was read.
    ///
    /// # Errors
    /// [`Error`]; nothing changed.
    pub fn answer(&mut self, client: usize, request: Request) -> Result<(), Error> {
        let own = self.page(client).ok_or(Error::Malformed)?;
        // It has a page, so its number is that of a domain.
        let me = u8::try_from(client).map_err(|_| Error::Malformed)?;
        match request {
            Request::Alloc { port, domain } => {
                self.may(client, domain)?;
                is_free(own, port)?;
                own.set(port, End::Unbound { domain });
            }
            Request::Bind {
                port,
                domain,
                remote,
            } => {
                // Xen looks at the other end before it asks whether the two may.
                let remote = u16::try_from(remote).map_err(|_| Error::NotThere)?;
                if self.end(domain, remote) != (End::Unbound { domain: me }) {
                    return Err(Error::NotThere);
                }
                self.may(client, domain)?;
                is_free(own, port)?;
                self.connect((me, port), (domain, remote));
                let woken = false;
                own.set(
                    port,
                    End::Bound {
                        domain,
                        port: remote,
                        woken,
                    },
                );
            }
            Request::Close { port } => {
                if own.get(port) == End::None {
                    return Err(Error::NotThere);
                }
                self.close(me, own, port);
            }
            Request::Reset => self.reset(me, own),
            Request::Start => self.start(me, own),
            Request::Map { .. } | Request::Unmap { .. } | Request::Offer { .. } | Request::End => {
                return Err(Error::Malformed);
            }
        }
        Ok(())
    }

    /// The VMM of domain `domain`, from 0, has stopped for good: its ports are freed, and one that
    /// only pretends to have stopped is nobody from now on.
    pub fn crash(&mut self, domain: u8) {
        let page = self.ends.get_mut(usize::from(domain));
        if let Some(own) = page.and_then(Option::take) {
            self.reset(domain, own);
        }
    }

    fn page(&self, domain: usize) -> Option<Ends<'a>> {
        self.ends.get(domain).copied().flatten()
    }

    fn end(&self, domain: u8, port: u16) -> End {
        let page = self.page(usize::from(domain));
        page.map_or(End::None, |page| page.get(port))
    }

    fn set(&self, (domain, port): (u8, u16), end: End) {
        if let Some(page) = self.page(usize::from(domain)) {
            page.set(port, end);
        }
    }

    fn may(&self, client: usize, domain: u8) -> Result<(), Error> {
        let may = self.events.contains(client, usize::from(domain));
        may.then_some(()).ok_or(Error::Denied)
    }

    /// Connects two ports; the guest of the first finds an event there when it starts.
    fn connect(&self, woken: (u8, u16), other: (u8, u16)) {
        let bound = |(domain, port), woken| End::Bound {
            domain,
            port,
            woken,
        };
        // The one that is told first can be sent to first: by nobody yet.
        self.set(other, bound(woken, false));
        self.set(woken, bound(other, true));
    }

    /// Frees a port of `me`; what it was connected to waits for `me` to bind again, as on Xen.
    fn close(&self, me: u8, own: Ends<'_>, port: u16) {
        let end = own.get(port);
        own.set(port, End::None);
        if let End::Bound { domain, port, .. } = end {
            self.set((domain, port), End::Unbound { domain: me });
        }
    }

    fn reset(&self, me: u8, own: Ends<'_>) {
        for port in 1..=MAX_PORT {
            self.close(me, own, port);
        }
    }

    /// Makes the static channels of `me` that are not there: connected where the other end waits
    /// for it, waiting for the other domain where not.
    fn start(&self, me: u8, own: Ends<'_>) {
        let ends = self.channels.iter().flat_map(|channel| {
            let [a, b] = channel.ends;
            [(a, b), (b, a)]
        });
        for (mine, other) in ends.filter(|((domain, _), _)| *domain == me) {
            let (_, port) = mine;
            if own.get(port) != End::None {
                continue;
            }
            let (domain, remote) = other;
            if self.end(domain, remote) == (End::Unbound { domain: me }) {
                self.connect(mine, other);
            } else {
                own.set(port, End::Unbound { domain });
            }
        }
    }
}

fn is_free(own: Ends<'_>, port: u16) -> Result<(), Error> {
    let free = own.get(port) == End::None;
    free.then_some(()).ok_or(Error::Taken)
}
