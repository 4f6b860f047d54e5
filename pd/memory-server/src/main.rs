//! The memory server's protection domain: passive, sole holder of untyped memory.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

use memory_server::{
    BlockRecord, DomainIndex, Manifest, MemoryServer, Report, SplitRecord, Tables, UntypedRecord,
    layout,
};
use topology::{MAX_DOMAINS, channel};
use zazen_rt::clients::{answer, answer_crash, answer_lending};
use zazen_rt::kernel::Sel4Kernel;
use zazen_rt::log::ServerLog;
use zazen_rt::region::Records;
use zazen_rt::{Channel, ChannelSet, Handler, Infallible, MessageInfo, patched, protection_domain};

protection_domain!(init);

struct Pd {
    kernel: Sel4Kernel,
    server: MemoryServer<'static>,
    report: Report,
}

fn init() -> Pd {
    let mut log = ServerLog::take();
    let manifest = Manifest::decode(patched::manifest()).unwrap_or_else(|error| {
        panic!("the image builder's manifest: {error}; build the image again with the matching zazen-image")
    });
    let mut grant_radix = [0; MAX_DOMAINS];
    for (index, domain) in manifest.domains() {
        grant_radix[usize::from(index.0)] = u32::from(domain.grant_radix);
    }
    let tables = tables(&manifest).unwrap_or_else(|| {
        panic!(
            "the records region ({} bytes) is too small for the memory handed over",
            patched::records_bytes()
        )
    });
    let server = MemoryServer::new(&manifest, tables).unwrap_or_else(|error| panic!("{error}"));
    let totals = server.totals();
    log.line(format_args!(
        "{} MiB in {} untypeds for {} domains",
        totals.all >> 20,
        manifest.untypeds().count(),
        manifest.domains().count()
    ));
    let own_radix = u32::from(layout::own_radix(&manifest));
    Pd {
        kernel: Sel4Kernel::take(own_radix, grant_radix, log),
        server,
        report: Report::default(),
    }
}

fn tables(manifest: &Manifest<'_>) -> Option<Tables<'static>> {
    let mut records = Records::take(patched::records_bytes());
    let untypeds = records.slice(memory_server::manifest::MAX_UNTYPEDS, || {
        UntypedRecord::EMPTY
    })?;
    let blocks = records.slice(layout::blocks(manifest) as usize, || BlockRecord::EMPTY)?;
    let windows = manifest
        .domains()
        .map(|(_, domain)| layout::GrantLayout::of(&domain).words())
        .sum();
    let windows = records.slice(windows, || 0_u32)?;
    let splits = records
        .room_for::<SplitRecord>()
        .min(usize::from(manifest.splits()));
    let splits = records.slice(splits, || SplitRecord::EMPTY)?;
    Some(Tables {
        untypeds,
        blocks,
        splits,
        windows,
    })
}

impl Handler for Pd {
    type Error = Infallible;

    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        if channels.contains(Channel::new(channel::MEMORY_WIPER)) {
            self.server.on_wiped(&mut self.kernel);
        }
        // The console: a key typed at its monitor, or room in a ring that was full.
        self.report
            .on_console(&self.server, self.kernel.log.logger());
        Ok(())
    }

    fn protected(
        &mut self,
        client: Channel,
        message: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        if client.index() == channel::MEMORY_FAULTS {
            return Ok(answer_crash(&message, |crash| {
                self.server.on_crash(&mut self.kernel, crash)
            }));
        }
        if client.index() == channel::MEMORY_PEER {
            return Ok(answer_lending(&message, |lending| {
                self.server.on_lending(&mut self.kernel, lending)
            }));
        }
        // Channel i is the VMM of domain i; the server refuses an index that the manifest does not
        // have.
        let domain = DomainIndex(u8::try_from(client.index()).unwrap_or(u8::MAX));
        Ok(answer(&message, |label, request| {
            self.server.answer(&mut self.kernel, domain, label, request)
        }))
    }
}
