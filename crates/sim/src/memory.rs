//! The memory server over the capability model, and clients of it.

use std::cell::RefCell;
use std::rc::Rc;

use console_api::{ConsolePort, Logger};
use hv_types::DomId;
use memory_server::layout::{self, GrantLayout};
use memory_server::{
    BlockRecord, DomainConfig, DomainIndex, Life, Manifest, MemoryServer, Report, SplitRecord,
    Tables, Totals, Untyped, UntypedRecord, manifest,
};
use memory_server_api::{
    Error, LendError, Lending, MAX_WORDS, Message, Relinquished, Reply, Request, Slot, Usage, Words,
};

use crate::caps::{Machine, Shared};

/// A memory server that several VMMs call.
#[derive(Clone)]
pub struct Memory {
    server: Rc<RefCell<MemoryServer<'static>>>,
    machine: Shared,
}

/// A domain with the grant CNode it needs; the name is its domid.
pub fn domain_config(
    domid: u16,
    is_static: bool,
    max_pages: u64,
    table_quota: u32,
) -> DomainConfig {
    DomainConfig {
        domid: DomId(domid),
        name: DomainConfig::pad_name(&format!("d{domid}")),
        max_pages,
        is_static,
        direct: false,
        table_quota,
        grant_radix: 18,
        lenders: 0,
        shares: memory_server::Shares::NONE,
    }
}

impl Memory {
    /// The server of an image with these domains and this memory, and room for `splits` split
    /// blocks.
    ///
    /// # Panics
    /// If the manifest is not valid. The server's tables live as long as the process.
    pub fn new(domains: &[DomainConfig], untypeds: &[Untyped], splits: u16) -> Self {
        let words = manifest::encode(domains, untypeds, splits)
            .unwrap_or_else(|error| panic!("the manifest is not valid: {error}"));
        let manifest = Manifest::decode(&words).expect("what was encoded decodes");
        let windows: usize = domains.iter().map(|d| GrantLayout::of(d).words()).sum();
        let tables = Tables {
            untypeds: vec![UntypedRecord::EMPTY; untypeds.len()].leak(),
            blocks: vec![BlockRecord::EMPTY; layout::blocks(&manifest) as usize].leak(),
            splits: vec![SplitRecord::EMPTY; usize::from(splits)].leak(),
            windows: vec![0; windows].leak(),
        };
        let server = MemoryServer::new(&manifest, tables)
            .unwrap_or_else(|error| panic!("the memory server does not start: {error}"));
        Self {
            server: Rc::new(RefCell::new(server)),
            machine: Machine::shared(&manifest),
        }
    }

    /// The machine below.
    pub fn machine(&self) -> &Shared {
        &self.machine
    }
    /// The client of a domain.
    pub fn client(&self, domain: DomainIndex) -> MemoryClient {
        MemoryClient {
            memory: self.clone(),
            domain,
        }
    }
    /// Where all memory is.
    pub fn totals(&self) -> Totals {
        self.server.borrow().totals()
    }
    /// As [`MemoryServer::counts_hold`].
    pub fn counts_hold(&self) -> bool {
        self.server.borrow().counts_hold()
    }
    /// A domain's accounting.
    ///
    /// # Panics
    /// If there is no such domain.
    pub fn usage(&self, domain: DomainIndex) -> Usage {
        match self.call(domain, Request::Usage) {
            Ok(Reply::Usage(usage)) => usage,
            other => panic!("usage of {domain:?}: {other:?}"),
        }
    }
    /// Whether the capability in `slot` is of a frame that the domain gave back and still has.
    pub fn is_returned(&self, domain: DomainIndex, slot: Slot) -> bool {
        self.server.borrow().is_returned(domain, slot)
    }
    /// Where a domain is in its life.
    pub fn life(&self, domain: DomainIndex) -> Option<Life> {
        self.server.borrow().life(domain)
    }
    /// The server's state as text.
    pub fn dump(&self) -> String {
        let mut text = String::new();
        self.server.borrow().dump(&mut text).expect("text grows");
        text
    }
    /// The console has notified the server.
    pub(crate) fn report<P: ConsolePort>(&self, report: &mut Report, log: &mut Logger<P>) {
        report.on_console(&self.server.borrow(), log);
    }
    /// Takes everything back that a domain holds.
    ///
    /// # Errors
    /// As [`MemoryServer::destroy`].
    pub fn destroy(&self, domain: DomainIndex) -> Result<(), Error> {
        self.server
            .borrow_mut()
            .destroy(&mut self.machine.clone(), domain)
    }
    /// What the fault server does when a VMM has stopped; what was taken back.
    ///
    /// # Errors
    /// As [`MemoryServer::crashed`].
    pub fn crash(&self, domain: DomainIndex) -> Result<Relinquished, Error> {
        loop {
            let mut server = self.server.borrow_mut();
            if let (false, taken) = server.crashed(&mut self.machine.clone(), domain)? {
                return Ok(taken);
            }
        }
    }
    /// Whether the VMM of a domain has crashed.
    pub fn has_crashed(&self, domain: DomainIndex) -> bool {
        self.server.borrow().has_crashed(domain)
    }
    /// What the peer server asks, through the words that travel on the machine.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn lending(&self, lending: Lending) -> Result<u64, LendError> {
        let (mut words, mut reply) = ([0; MAX_WORDS], [0; MAX_WORDS]);
        let lending = Lending::read(lending.write(&mut words)).ok_or(LendError::Malformed)?;
        let mut server = self.server.borrow_mut();
        let answer = server.on_lending(&mut self.machine.clone(), lending);
        Lending::read_answer(Lending::answer(answer, &mut reply))
    }
    /// Lets a dead domain live again.
    ///
    /// # Errors
    /// As [`MemoryServer::revive`].
    pub fn revive(&self, domain: DomainIndex) -> Result<(), Error> {
        self.server.borrow_mut().revive(domain)
    }
    /// A message as it arrives, whatever it says; `reply` has room for the answer.
    pub fn send<'w>(
        &self,
        domain: DomainIndex,
        message: Message<'_>,
        reply: &'w mut Words,
    ) -> Message<'w> {
        let mut server = self.server.borrow_mut();
        server.on_ppc(&mut self.machine.clone(), domain, message, reply)
    }
    /// One request in as many messages as it needs, as [`memory_server_api::MemoryServer::call`]
    /// sends it.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn call(&self, domain: DomainIndex, request: Request) -> Result<Reply, Error> {
        let mut answer = self.ask(domain, request);
        for _ in 1..memory_server_api::MOST_MESSAGES {
            if answer != Err(Error::Again) {
                break;
            }
            answer = self.ask(domain, request);
        }
        answer
    }
    /// One request in one message, through the words that travel on the machine.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn ask(&self, domain: DomainIndex, request: Request) -> Result<Reply, Error> {
        let (mut words, mut reply) = ([0; MAX_WORDS], [0; MAX_WORDS]);
        let message = self.send(domain, request.encode(&mut words), &mut reply);
        let answer = request.decode_reply(message);
        // Whoever is to ask again lets the wiper run.
        if answer == Err(Error::Again) && self.machine.change().wiper_goes_on() {
            self.server.borrow_mut().on_wiped(&mut self.machine.clone());
        }
        answer
    }
}

/// The memory server as one VMM sees it.
#[derive(Clone)]
pub struct MemoryClient {
    memory: Memory,
    domain: DomainIndex,
}

impl memory_server_api::MemoryServer for MemoryClient {
    fn send(&mut self, request: Request) -> Result<Reply, Error> {
        let reply = self.memory.ask(self.domain, request)?;
        let mut machine = self.memory.machine.change();
        let mut note = |slot, returned| machine.note_returned(self.domain, slot, returned);
        match (request, &reply) {
            (Request::Release { slot }, _) => note(slot, true),
            (Request::ReleasePages { slots }, Reply::Released(released)) => {
                let slots = slots.items().iter().take(released.done);
                slots.for_each(|slot| note(Slot(*slot), true));
            }
            (_, Reply::Granted(run)) => (0..run.count).for_each(|n| note(run.slot(n), false)),
            (_, Reply::Pages(pages)) => pages.iter().for_each(|page| note(page, false)),
            _ => {}
        }
        Ok(reply)
    }
}
