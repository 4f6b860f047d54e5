//! What a client need not ask twice.

use crate::{Error, MemoryServer, Reply, Request, Usage};

/// RAM of one domain, in 4 KiB pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RamCount {
    /// RAM held now (`XENMEM_current_reservation`).
    pub ram: u64,
    /// Most RAM it may hold (`XENMEM_maximum_reservation`).
    pub max: u64,
}

impl From<Usage> for RamCount {
    fn from(Usage { ram, max, .. }: Usage) -> Self {
        Self { ram, max }
    }
}

/// A domain's only client, which remembers the domain's [`RamCount`].
///
/// As long as the client lives the server changes its RAM on its requests alone (what it takes from
/// others, pages that they returned, was their RAM no longer), so the figure holds until the next
/// request of any kind.
#[derive(Clone, Debug)]
pub struct Remembering<M> {
    server: M,
    ram: Option<RamCount>,
}

impl<M> Remembering<M> {
    /// Remembers what `server` says. There is no other client of the same domain.
    pub const fn new(server: M) -> Self {
        Self { server, ram: None }
    }
}

impl<M: MemoryServer> MemoryServer for Remembering<M> {
    #[inline]
    fn send(&mut self, request: Request) -> Result<Reply, Error> {
        self.ram = None;
        self.server.send(request)
    }

    fn ram_count(&mut self) -> Result<RamCount, Error> {
        if let Some(known) = self.ram {
            return Ok(known);
        }
        let asked = self.server.ram_count()?;
        self.ram = Some(asked);
        Ok(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives up a page with each request but questions, of which it counts the ones it gets.
    struct Shrinking {
        ram: u64,
        asked: u32,
        fails: bool,
    }

    impl MemoryServer for Shrinking {
        fn send(&mut self, request: Request) -> Result<Reply, Error> {
            if self.fails {
                return Err(Error::Kernel);
            }
            if request == Request::Usage {
                self.asked += 1;
                return Ok(Reply::Usage(Usage {
                    ram: self.ram,
                    max: 9,
                    ..Usage::default()
                }));
            }
            self.ram -= 1;
            Ok(Reply::Done)
        }
    }

    fn client() -> Remembering<Shrinking> {
        Remembering::new(Shrinking {
            ram: 7,
            asked: 0,
            fails: false,
        })
    }

    #[test]
    fn it_asks_once_until_it_requests_something() {
        let mut client = client();
        for ram in (4..=7).rev() {
            for _ in 0..3 {
                assert_eq!(client.ram_count(), Ok(RamCount { ram, max: 9 }));
            }
            assert_eq!(client.server.asked, u32::try_from(8 - ram).expect("small"));
            let slot = crate::Slot(0);
            assert_eq!(client.call(Request::Release { slot }), Ok(Reply::Done));
        }
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let mut client = client();
        client.server.fails = true;
        assert_eq!(client.ram_count(), Err(Error::Kernel));
        client.server.fails = false;
        assert_eq!(client.ram_count(), Ok(RamCount { ram: 7, max: 9 }));
    }

    #[test]
    fn a_request_that_is_refused_is_asked_after_too() {
        let mut client = client();
        assert_eq!(client.ram_count(), Ok(RamCount { ram: 7, max: 9 }));
        client.server.fails = true;
        let slot = crate::Slot(0);
        assert_eq!(client.call(Request::Release { slot }), Err(Error::Kernel));
        client.server.fails = false;
        client.server.ram = 5;
        assert_eq!(client.ram_count(), Ok(RamCount { ram: 5, max: 9 }));
    }
}
