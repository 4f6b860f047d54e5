//! VMMs that take as much of the processor as they can, each in its own way, while their guests
//! compute without end.
//!
//! A greedy VMM is one like any other until its guest has run for a moment. Then it never returns
//! to its loop: what it has left beside its guest's time slice is the small one for notifications.
//! Those whose name ends with `-lent` strike while they have their guest's. A domain is named for
//! its attack, with a number behind it where there are several.

use core::fmt::Write;

use console_api::Logger;
use dt_server_api::DtServer as _;
use hv_types::{Gfn, VcpuId};
use memory_server_api::{MemoryServer as _, Request};
use topology::{caps, channel};
use zazen_rt::clients::{MemoryClient, arm_timer, dt_call};
use zazen_rt::event::Signals;
use zazen_rt::lent::Vmm as _;
use zazen_rt::log::vmm_console;
use zazen_rt::{Channel, MessageInfo, clock, invoke, with_msg_regs, with_msg_regs_mut};
use zazen_vmm::Vmm;

/// Words of the longest reply to a fault.
const REPLY_WORDS: usize = 9;

/// What a greedy VMM does in a loop.
type Round = fn();

/// The attacks, by the names of their domains.
const ATTACKS: [(&str, Round); 11] = [
    ("spin", || core::hint::spin_loop()),
    ("grab", grab),
    ("extra", tables),
    ("usage", usage),
    ("askdt", ask_dt),
    ("badcall", bad_call),
    ("wake", || arm_timer(Some(clock::now()))),
    ("ring", || Channel::new(channel::CONSOLE).notify()),
    ("pretend", || invoke::pretend_fault(1, 4)),
    ("giveup", invoke::sched_yield),
    ("jump", jump),
];

/// A greedy VMM.
pub(crate) struct Greedy {
    pub(crate) vmm: &'static mut Vmm,
    name: &'static str,
    round: Round,
    lent: bool,
    /// When it begins; `None` before its guest runs.
    begin: Option<u64>,
}

impl Greedy {
    /// The greedy VMM of domain `name`; `None` if it is none of these.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let lent = name.ends_with("-lent");
        let base = name.strip_suffix("-lent").unwrap_or(name);
        let base = base.trim_end_matches(|c: char| c.is_ascii_digit());
        let (name, round) = ATTACKS.into_iter().find(|(known, _)| *known == base)?;
        Some(Self {
            vmm: crate::vmm(),
            name,
            round,
            lent,
            begin: None,
        })
    }

    pub(crate) fn notified(&mut self, signals: Signals) -> Option<MessageInfo> {
        if !self.lent {
            self.strike_when_due();
        }
        let reply = self.vmm.notified(signals);
        self.ask_again(reply)
    }

    pub(crate) fn fault(&mut self, info: MessageInfo) -> Option<MessageInfo> {
        // The guest runs. Its first exits go well, so that it comes to where it computes.
        self.begin
            .get_or_insert_with(|| clock::now() + clock::frequency() / 20);
        if self.lent {
            self.strike_when_due();
        }
        let reply = self.vmm.fault(info);
        self.ask_again(reply)
    }

    /// Asks the timer server for the notification with which the attack begins, where the guest
    /// goes on with `reply`: what the VMM asked for in between has taken its place. Guests that
    /// sleep keep what they asked for.
    fn ask_again(&self, reply: Option<MessageInfo>) -> Option<MessageInfo> {
        if let (Some(begin), Some(_), false) = (self.begin, &reply, self.lent) {
            // The reply lies in the message registers, which the call to the timer server uses too.
            let mut words = [0; REPLY_WORDS];
            with_msg_regs(|mrs| words.copy_from_slice(&mrs[..REPLY_WORDS]));
            arm_timer(Some(begin));
            with_msg_regs_mut(|mrs| mrs[..REPLY_WORDS].copy_from_slice(&words));
        }
        reply
    }

    fn strike_when_due(&mut self) {
        if self.begin.is_none_or(|begin| clock::now() < begin) {
            return;
        }
        // A second end over the VMM's ring goes on where that one stopped, which is never used
        // again.
        let _ = writeln!(
            Logger::new(vmm_console()),
            "\n[hostile] {} begins",
            self.name
        );
        loop {
            (self.round)();
        }
    }
}

/// Takes memory, and gives back all that the domain has.
fn grab() {
    let mut server = MemoryClient::take();
    let gfn = Gfn::new(0x40000);
    for _ in 0..8 {
        let _ = server.call(Request::PopulateBlocks { gfn, blocks: 64 });
    }
    let _ = server.call(Request::Relinquish { again: true });
}

/// Takes page tables and vCPUs.
fn tables() {
    let mut server = MemoryClient::take();
    let _ = server.call(Request::Tables {
        count: Request::MAX_TABLES,
    });
    let _ = server.call(Request::Vcpu { vcpu: VcpuId::BOOT });
    let _ = server.call(Request::Relinquish { again: true });
}

fn usage() {
    let _ = MemoryClient::take().call(Request::Usage);
}

/// Asks for the record, which the dt-server puts together from the tree.
fn ask_dt() {
    let _ = dt_server_api::Client::new(dt_call).record();
}

/// Calls the dt-server with nothing that it knows.
fn bad_call() {
    invoke::call_with(channel::DT, 1 << 20, 0, None);
}

/// Tries to put its guest before all others, whenever that has used its slice: by its priority, and
/// by stopping and resuming it.
fn jump() {
    let guest = caps::VMM_VCPU_TCB;
    invoke::set_priority(guest, guest, topology::pd::priority::SHARED);
    invoke::suspend_and_resume(guest);
}
