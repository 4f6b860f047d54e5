//! The fault server's protection domain: gets its children's faults, says what they are, and tells
//! the memory server, and the peer server if there is one, of those of VMMs.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use fault_server::{Fault, Server, Spent, Users, passive_children, waiting};
use topology::channel;
use zazen_rt::clients::{crash, crash_peer};
use zazen_rt::fault::{Fault as Message, Faulted};
use zazen_rt::invoke::sched_yield;
use zazen_rt::log::ServerLog;
use zazen_rt::passive::make_passive;
use zazen_rt::spent::since_last;
use zazen_rt::{
    Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, patched, protection_domain,
    region,
};

protection_domain!(init);

struct Pd {
    server: Server<'static>,
    log: ServerLog,
    /// There is a peer server, and it has not stopped.
    peers: bool,
    spent: Spent,
}

fn init() -> Pd {
    let names = patched::console_names();
    let mut log = ServerLog::take();
    let peers = patched::has_peers();
    for child in passive_children(names, patched::active_children(), peers) {
        if !make_passive(child) {
            log.line(format_args!(
                "child {child} keeps time of its own: the image is not as it should be"
            ));
        }
    }
    Pd {
        server: Server::new(names, region::LAST_ADDRESS),
        log,
        peers,
        spent: Spent::new(*patched::vcpus()),
    }
}

fn fault(info: &MessageInfo) -> Fault {
    match Message::decode(info) {
        Message::Vm(Faulted {
            pc,
            address,
            iss,
            fetch,
        }) => Fault::memory(pc, address, iss, fetch),
        Message::User { pc } => Fault::Instruction { pc: Some(pc) },
        Message::Vcpu { hsr } => Fault::trap(hsr),
        Message::Debug { .. } => Fault::GaveUp,
        Message::Cap { pc } => Fault::Capability { pc },
        Message::UnknownSyscall => Fault::SystemCall,
        Message::Maintenance { .. } | Message::Vppi { .. } | Message::Other => Fault::Other {
            label: info.label(),
        },
    }
}

impl Handler for Pd {
    type Error = Infallible;

    fn notified(&mut self, _channels: ChannelSet) -> Result<(), Infallible> {
        // Only the console notifies: of room in a ring that was full, for which nothing waits here,
        // or because somebody wants to know who has used how much time.
        let spent = &mut self.spent;
        let us = |domain, vcpu| spent.total(domain, vcpu, || since_last(domain, vcpu));
        self.log.logger().port().answer_times(us);
        Ok(())
    }

    fn fault(
        &mut self,
        child: Child,
        info: MessageInfo,
    ) -> Result<Option<MessageInfo>, Infallible> {
        let log = &mut self.log;
        if let Some(domain) = self.server.vmm(child.index()) {
            // Before the lines about it, with which the console looks.
            log.logger().port().add_stopped(1 << domain);
        }
        let first = self
            .server
            .on_fault(child.index(), fault(&info), |line| log.line(line), crash);
        self.peers &= child.index() != topology::child::PEER_SERVER;
        if let Some(domain) = self.server.vmm(child.index()).filter(|_| first) {
            // Its guest has no memory any more; what the store has of it may go.
            Channel::new(channel::FAULTS_STORE + usize::from(domain)).notify();
            if self.peers {
                crash_peer(domain);
            }
        }
        if first {
            let users = Users {
                disks: patched::disk_users(),
                nets: patched::net_users(),
            };
            for id in waiting(child.index(), users) {
                Channel::new(id).notify();
            }
        }
        if !first {
            // It only pretends, and may do so for ever: each of its messages ends our slice, so the
            // others come first.
            sched_yield();
        }
        // Without a reply it stays stopped. The next fault takes the reply object over; a debug
        // kernel then prints "Reply object already has unexecuted reply", which is as it should be.
        Ok(None)
    }
}
