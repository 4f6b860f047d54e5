//! What a toolstack does on other systems: the nodes of each guest, from its birth to its end.
//!
//! The nodes are those that Xen's `init-dom0less` writes. They are the guest's own, readable for
//! domain 0; the directory that they are in is not the guest's, so it can change these and make
//! others below them, but none beside them.

use core::fmt::{self, Write as _};

use heapless::{String, Vec};
use xen_abi::Errno;
use xenstore_server_api::{Device, Devices, Facts};

use crate::cell::Match;
use crate::path::{Path, directory};
use crate::perms::{Perms, Rights};
use crate::store::{Access, Store};
use crate::who::Who;

/// The special node of domains that begin.
const INTRODUCED: &[u8] = b"@introduceDomain";
/// The special node of domains that end.
const RELEASED: &[u8] = b"@releaseDomain";

/// Longest value that the toolstack writes.
const VALUE_MAX: usize = 256;

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

/// Longest path that the toolstack makes.
const PATH_MAX: usize = 128;

/// A path made of parts.
fn path(parts: fmt::Arguments<'_>) -> Path {
    let mut text: String<PATH_MAX> = String::new();
    // The longest has fewer bytes.
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
        let mut text: String<VALUE_MAX> = String::new();
        text.write_fmt(value).map_err(|_| Errno::E2big)?;
        match self.look(Access::TOOLS, path) {
            Ok(at) => self.write(Access::TOOLS, path, at, text.as_bytes())?,
            Err(_) => self.create(Access::TOOLS, path, text.as_bytes())?,
        }
        self.tell(Access::TOOLS, path, Match::Subtree, None);
        Ok(())
    }

    /// Writes a node of `who`'s, `name` below its directory, whatever its permissions are.
    pub(crate) fn tell_guest(
        &mut self,
        who: Who,
        name: &str,
        value: fmt::Arguments<'_>,
    ) -> Result<(), Errno> {
        let path = path(format_args!("/local/domain/{}/{name}", who.domid()));
        self.tool_write(&path, value)
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
        for device in facts.devices.iter() {
            self.add_device(who, &device)?;
        }
        self.credits.begin(who);
        self.fire_special(INTRODUCED, who);
        Ok(())
    }

    /// Makes the two directories of a device of `who`'s, as libxl does: the front end's are the
    /// guest's own, those of the back end domain 0's and readable for the guest.
    fn add_device(&mut self, who: Who, device: &Device<'_>) -> Result<(), Errno> {
        let back_ends = Who::back_of(who).ok_or(Errno::Einval)?;
        let [mut front, mut back] = [const { String::<PATH_MAX>::new() }; 2];
        let domid = who.domid();
        device.front(domid, &mut front).map_err(|_| Errno::E2big)?;
        device.back(domid, &mut back).map_err(|_| Errno::E2big)?;
        let (no, yes) = (format_args!(""), format_args!("1"));
        for (dir, owner, reader, nodes) in [
            (
                &front,
                who,
                Who::TOOLS,
                [
                    ("backend", format_args!("{back}")),
                    ("backend-id", format_args!("0")),
                    ("state", yes),
                ],
            ),
            (
                &back,
                back_ends,
                who,
                [
                    ("frontend", format_args!("{front}")),
                    ("frontend-id", format_args!("{domid}")),
                    ("state", yes),
                ],
            ),
        ] {
            self.tool_write(dir.as_bytes(), no)?;
            let at = self.look(Access::TOOLS, dir.as_bytes())?;
            // Whatever is made below inherits them.
            let perms = Perms::shared(owner, reader, Rights::READ);
            self.set_perms(Access::TOOLS, dir.as_bytes(), at, perms)?;
            for (name, value) in nodes {
                self.tool_write(&path(format_args!("{dir}/{name}")), value)?;
            }
        }
        self.tool_write(&path(format_args!("{back}/online")), yes)?;
        for node in device.nodes() {
            let dir = if node.is_back { &back } else { &front };
            let path = path(format_args!("{dir}/{}", node.name));
            self.tool_write(&path, format_args!("{}", node.value))?;
        }
        Ok(())
    }

    /// A guest's life has ended: takes its nodes away, and what others' nodes say of it.
    pub(crate) fn release(&mut self, who: Who, devices: &Devices) {
        for device in devices.iter() {
            let kind = device.kind;
            let top = path(format_args!(
                "/local/domain/0/backend/{kind}/{}",
                who.domid()
            ));
            // That of another device of this type may have been it.
            let _ = self.remove(Access::TOOLS, &top);
        }
        for top in [
            directory(who.domid()),
            path(format_args!("/vm/{}", Uuid(who))),
            path(format_args!("/libxl/{}", who.domid())),
        ] {
            // What was never made need not go.
            let _ = self.remove(Access::TOOLS, &top);
        }
        // What it and its back ends own elsewhere, with everything below.
        for who in [Some(who), Who::back_of(who)].into_iter().flatten() {
            while let Some(path) = self.owned_by(who) {
                if self.remove(Access::TOOLS, &path).is_err() {
                    break;
                }
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
