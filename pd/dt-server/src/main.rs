//! The dt-server's protection domain: passive, reads the boot device tree that the image carries.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use board::TimerKind;
use dt_server::{Config, DtServer, Entropy, Jitter, NoFiles, Seeds};
use zazen_rt::clients::{dt_received, dt_send};
use zazen_rt::log::ServerLog;
use zazen_rt::{
    Channel, ChannelSet, Handler, Infallible, MessageInfo, boot_dtb, clock, protection_domain,
};

// The parsed configuration and the trees written from it; a tree is at most 2 MiB by Xen's rule but
// a few KiB in practice, and what does not fit is refused.
protection_domain!(init, heap = dt_server::HEAP);

struct Pd {
    server: DtServer,
}

fn init() -> Pd {
    let mut log = ServerLog::take();
    let config = match dt_server::parse(boot_dtb(), &NoFiles) {
        Ok(config) => config,
        Err(diagnostics) => {
            for diagnostic in diagnostics.iter() {
                log.line(format_args!("{diagnostic}"));
            }
            log.line(format_args!(
                "no domain is started; correct the domains file and build the image again"
            ));
            Config::default()
        }
    };
    for warning in config.warnings.iter() {
        log.line(format_args!("{warning}"));
    }
    let seeds = seeds(config.board.timer.kind());
    log.line(format_args!("{seeds}"));
    Pd {
        server: DtServer::new(config, seeds),
    }
}

/// Seeds from what a protection domain can know: the image is the same at every start and nobody
/// passes the machine's device tree on, so time is the only source. Where time comes from a page of
/// the timer server, this PD has not even that.
fn seeds(timer: TimerKind) -> Seeds {
    if timer != TimerKind::System {
        return Seeds::none();
    }
    let mut entropy = Entropy::new();
    entropy.mix(&clock::now().to_le_bytes());
    entropy.add(&Jitter::measure(clock::now));
    Seeds::new(entropy)
}

impl Handler for Pd {
    type Error = Infallible;

    fn notified(&mut self, _channels: ChannelSet) -> Result<(), Infallible> {
        // The console signals room in a ring that was full; nothing waits for it here.
        Ok(())
    }

    fn protected(
        &mut self,
        client: Channel,
        message: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        let request = dt_received(message.label(), message.count());
        let reply = self.server.on_ppc(client.index(), &request);
        Ok(dt_send(&reply, |info| info))
    }
}
