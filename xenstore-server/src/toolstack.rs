//! What a toolstack does on other systems: the nodes of each guest, from its birth to its end.
//!
//! The nodes are those that Xen's `init-dom0less` writes. They are the guest's own, readable for
//! domain 0; the directory that they are in is not the guest's, so it can change these and make
//! others below them, but none beside them.

use core::fmt::{self, Write as _};

use heapless::{String, Vec};
use xen_abi::Errno;

use crate::cell::Match;
use crate::path::{Path, directory};
use crate::perms::{Perms, Rights};
use crate::store::{Access, Store};
use crate::who::Who;

/// The special node of domains that begin.
const INTRODUCED: &[u8] = b"@introduceDomain";
/// The special node of domains that end.
const RELEASED: &[u8] = b"@releaseDomain";

/// Longest name of a domain in bytes.
pub const NAME_MAX: usize = 16;

/// What the domains file says of a domain.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Its name.
    pub name: String<NAME_MAX>,
    /// Its vCPUs.
    pub vcpus: u8,
    /// KiB of RAM that it starts with.
    pub memory_kib: u64,
    /// KiB of RAM that it may have.
    pub most_kib: u64,
}

impl Facts {
    /// A domain of which nothing is said.
    pub const fn new() -> Self {
        Self {
            name: String::new(),
            vcpus: 0,
            memory_kib: 0,
            most_kib: 0,
        }
    }
}

/// What is known when the guest begins to live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Birth {
    /// Its event channel to the store.
    pub(crate) port: u32,
    /// The frame of its page.
    pub(crate) gfn: u64,
    /// Hundredths of a second since the system started.
    pub(crate) at: u64,
}

/// The domain's id as all systems like to have it: with zeroes in front.
struct Uuid(Who);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00000000-0000-0000-0000-{:012x}", self.0.domid())
    }
}

/// A path made of parts.
fn path(parts: fmt::Arguments<'_>) -> Path {
    let mut text: String<128> = String::new();
    // The longest has fewer than 128 bytes.
    let _ = text.write_fmt(parts);
    text.as_bytes().iter().copied().collect()
}

impl Store<'_> {
    /// Makes the nodes that there are without any guest.
    pub(crate) fn set_up(&mut self) {
        let hidden = Perms::private(Who::TOOLS);
        let for_all = Perms::for_all(Who::TOOLS, Rights::READ);
        for (name, perms) in [
            (&b"/"[..], hidden),
            (RELEASED, for_all),
            (INTRODUCED, hidden),
        ] {
            if let Ok(at) = self.tree.make(Who::TOOLS, name, perms, (&[], &[])) {
                self.tree.link(at);
                self.tree.count(Who::TOOLS, 1);
            }
        }
        let made = self.tool_write(b"/tool/xenstored", format_args!(""));
        debug_assert_eq!(made, Ok(()), "the toolstack has memory of its own");
    }

    fn tool_write(&mut self, path: &[u8], value: fmt::Arguments<'_>) -> Result<(), Errno> {
        let mut text: String<64> = String::new();
        text.write_fmt(value).map_err(|_| Errno::E2big)?;
        match self.look(Access::TOOLS, path) {
            Ok(at) => self.write(Access::TOOLS, path, at, text.as_bytes())?,
            Err(_) => self.create(Access::TOOLS, path, text.as_bytes())?,
        }
        self.tell(Access::TOOLS, path, Match::Subtree, None);
        Ok(())
    }

    /// Writes a node of `who`'s own, `name` below its directory.
    fn guest_write(
        &mut self,
        who: Who,
        name: &str,
        value: fmt::Arguments<'_>,
    ) -> Result<(), Errno> {
        let path = path(format_args!("/local/domain/{}/{name}", who.domid()));
        self.tool_write(&path, value)?;
        let at = self.look(Access::TOOLS, &path)?;
        let perms = Perms::shared(who, Who::TOOLS, Rights::READ);
        self.set_perms(Access::TOOLS, &path, at, perms)
    }

    /// A guest begins to live: makes its nodes.
    ///
    /// # Errors
    /// There is no memory for them, which is a mistake in the sizes of shares.
    pub(crate) fn introduce(&mut self, who: Who, facts: &Facts, birth: Birth) -> Result<(), Errno> {
        let (name, uuid, domid) = (&facts.name, Uuid(who), who.domid());
        for (node, value) in [
            ("name", format_args!("{name}")),
            ("uuid", format_args!("{uuid}")),
            (
                "start_time",
                format_args!("{}.{:02}", birth.at / 100, birth.at % 100),
            ),
        ] {
            self.tool_write(&path(format_args!("/vm/{uuid}/{node}")), value)?;
        }
        let kib = facts.memory_kib;
        let nothing = format_args!("");
        let (one, memory) = (format_args!("1"), format_args!("{kib}"));
        self.guest_write(who, "vm", format_args!("/vm/{uuid}"))?;
        self.guest_write(who, "name", format_args!("{name}"))?;
        self.guest_write(who, "cpu", nothing)?;
        for vcpu in 0..facts.vcpus {
            let mut node: String<32> = String::new();
            write!(node, "cpu/{vcpu}/availability").map_err(|_| Errno::E2big)?;
            self.guest_write(who, &node, format_args!("online"))?;
        }
        for (node, value) in [
            ("memory", nothing),
            // Linux takes what lies between this and its RAM for memory that it never gets.
            ("memory/static-max", memory),
            ("memory/target", memory),
            ("memory/videoram", format_args!("-1")),
            ("device", nothing),
            ("device/suspend", nothing),
            ("device/suspend/event-channel", nothing),
            ("control", nothing),
            ("control/shutdown", nothing),
            ("control/feature-poweroff", one),
            ("control/feature-reboot", one),
            ("control/feature-suspend", nothing),
            ("control/sysrq", nothing),
            ("control/platform-feature-multiprocessor-suspend", one),
            ("control/platform-feature-xs_reset_watches", one),
            ("domid", format_args!("{domid}")),
            ("data", nothing),
            ("drivers", nothing),
            ("feature", nothing),
            ("attr", nothing),
            ("store/port", format_args!("{}", birth.port)),
            ("store/ring-ref", format_args!("{}", birth.gfn)),
        ] {
            self.guest_write(who, node, value)?;
        }
        for (node, value) in [("type", "pvh"), ("dm-version", "qemu_xen")] {
            self.tool_write(
                &path(format_args!("/libxl/{domid}/{node}")),
                format_args!("{value}"),
            )?;
        }
        self.credits.begin(who);
        self.fire_special(INTRODUCED, who);
        Ok(())
    }

    /// A guest's life has ended: takes its nodes away, and what others' nodes say of it.
    pub(crate) fn release(&mut self, who: Who) {
        for top in [
            directory(who.domid()),
            path(format_args!("/vm/{}", Uuid(who))),
            path(format_args!("/libxl/{}", who.domid())),
        ] {
            // What was never made need not go.
            let _ = self.remove(Access::TOOLS, &top);
        }
        // What it owns elsewhere, with everything below.
        while let Some(path) = self.owned_by(who) {
            if self.remove(Access::TOOLS, &path).is_err() {
                break;
            }
        }
        self.forget(who);
        self.credits.end(who);
        self.fire_special(RELEASED, who);
    }

    /// The path of a node that `who` owns.
    fn owned_by(&self, who: Who) -> Option<Path> {
        if self.tree.owned(who) == 0 {
            return None;
        }
        let mut all = self.tree.all();
        let found = all.find(|(_, node)| node.perms.owner() == who)?;
        Some(self.path(found.1.path))
    }

    /// Takes `who` out of all permissions, so that another guest with its id does not inherit them.
    fn forget(&mut self, who: Who) {
        loop {
            let mut found: Vec<_, 32> = Vec::new();
            for (at, node) in self.tree.all() {
                let mut perms = node.perms;
                if perms.forget(who) && found.push(at).is_err() {
                    break;
                }
            }
            for at in &found {
                if let Some(node) = self.tree.pool.node_mut(*at) {
                    node.perms.forget(who);
                }
            }
            if found.is_empty() {
                return;
            }
        }
    }
}
