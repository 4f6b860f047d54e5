//! Which devices a guest has: what the store's server makes pairs of directories of.
//!
//! The description is text, so that it can be put into an image and says nothing of what kinds of
//! devices there are: strings with a NUL each. `+vbd/51712` begins a device, `fNAME=VALUE` is a
//! node of its front end's directory and `bNAME=VALUE` one of its back end's. What all devices have
//! (`backend`, `frontend`, `state` and so on) is not said.

use core::fmt::{self, Write as _};

use heapless::Vec;

/// Bytes of a description.
pub const DEVICES_BYTES: usize = 2560;

/// A device does not fit into a description, or a name or a value is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unfit;

/// The devices of a guest.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Devices(Vec<u8, DEVICES_BYTES>);

/// A device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Device<'a> {
    /// Its type, `vbd` or `vif`.
    pub kind: &'a str,
    /// Its number.
    pub id: u32,
    nodes: &'a [u8],
}

/// A node of a device's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node<'a> {
    /// It is in the back end's directory, else in the front end's.
    pub is_back: bool,
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
}

/// A disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disk<'a> {
    /// Its number with the guest, 0 (xvda) to 15 (xvdp).
    pub number: u8,
    /// What it is, for people.
    pub params: &'a str,
    /// The guest cannot write to it.
    pub is_read_only: bool,
    /// The guest may say what it does not need any more.
    pub can_discard: bool,
}

impl Disk<'_> {
    /// The number of its device: major 202 and 16 minors each (`public/io/blkif.h`).
    pub const fn id(&self) -> u32 {
        202 << 8 | (self.number as u32) << 4
    }
}

/// A network interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nic<'a> {
    /// Its number with the guest, from 0.
    pub number: u8,
    /// Its address, in words.
    pub mac: &'a str,
    /// Its network, for people.
    pub network: &'a str,
}

/// Longest type, name and value of a node in bytes.
const MOST: [usize; 3] = [16, 48, 192];

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

impl Devices {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// A description as [`Devices::bytes`] gave it; what is behind the last NUL that counts is
    /// left out.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut end = 0;
        for (at, pair) in bytes.windows(2).enumerate().take(DEVICES_BYTES - 1) {
            match pair {
                [0, 0] => break,
                [_, 0] => end = at + 2,
                _ => {}
            }
        }
        let bytes = bytes.get(..end).unwrap_or(&[]);
        Self(bytes.iter().copied().collect())
    }

    /// The description.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds a device with the nodes of its own. Of names and the type each byte is a letter, a
    /// digit, `-` or `_`.
    ///
    /// # Errors
    /// [`Unfit`]; nothing is added.
    pub fn add(&mut self, kind: &str, id: u32, nodes: &[Node<'_>]) -> Result<(), Unfit> {
        let before = self.0.len();
        let done = self.put(kind, id, nodes);
        if done.is_err() {
            self.0.truncate(before);
        }
        done
    }

    fn put(&mut self, kind: &str, id: u32, nodes: &[Node<'_>]) -> Result<(), Unfit> {
        let is_word =
            |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(is_name);
        if !is_word(kind, MOST[0]) {
            return Err(Unfit);
        }
        write!(self.0, "+{kind}/{id}\0").map_err(|_| Unfit)?;
        for node in nodes {
            let is_value = node.value.len() <= MOST[2] && !node.value.contains('\0');
            if !is_word(node.name, MOST[1]) || !is_value {
                return Err(Unfit);
            }
            let end = if node.is_back { 'b' } else { 'f' };
            write!(self.0, "{end}{}={}\0", node.name, node.value).map_err(|_| Unfit)?;
        }
        Ok(())
    }

    /// Adds a disk, with the nodes that libxl gives one.
    ///
    /// # Errors
    /// [`Unfit`], also for a number above 15.
    pub fn add_disk(&mut self, disk: &Disk<'_>) -> Result<(), Unfit> {
        if disk.number > 15 {
            return Err(Unfit);
        }
        let mut id: heapless::String<8> = heapless::String::new();
        write!(id, "{}", disk.id()).map_err(|_| Unfit)?;
        let mut dev: heapless::String<4> = heapless::String::new();
        write!(dev, "xvd{}", char::from(b'a' + disk.number)).map_err(|_| Unfit)?;
        let flag = |set| if set { "1" } else { "0" };
        let node = |is_back, name, value| Node {
            is_back,
            name,
            value,
        };
        self.add(
            "vbd",
            disk.id(),
            &[
                node(false, "virtual-device", &id),
                node(false, "device-type", "disk"),
                node(true, "dev", &dev),
                node(true, "type", "phy"),
                node(true, "params", disk.params),
                node(true, "mode", if disk.is_read_only { "r" } else { "w" }),
                node(true, "device-type", "disk"),
                node(true, "removable", "0"),
                node(true, "bootable", "1"),
                node(true, "discard-enable", flag(disk.can_discard)),
            ],
        )
    }

    /// Adds a network interface, with the nodes that libxl gives one.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn add_nic(&mut self, nic: &Nic<'_>) -> Result<(), Unfit> {
        let mut handle: heapless::String<4> = heapless::String::new();
        write!(handle, "{}", nic.number).map_err(|_| Unfit)?;
        let node = |is_back, name, value| Node {
            is_back,
            name,
            value,
        };
        self.add(
            "vif",
            nic.number.into(),
            &[
                node(false, "handle", &handle),
                node(false, "mac", nic.mac),
                node(true, "handle", &handle),
                node(true, "mac", nic.mac),
                node(true, "bridge", nic.network),
                node(true, "hotplug-status", "connected"),
            ],
        )
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Device<'_>> {
        let mut rest = self.bytes();
        core::iter::from_fn(move || {
            let (name, behind) = split(rest)?;
            let end = behind.iter().zip(0..).scan(0, |before, (&byte, at)| {
                let starts = *before == 0 && byte == b'+';
                *before = byte;
                Some((starts, at))
            });
            let end = end.filter(|(starts, _)| *starts).map(|(_, at)| at).next();
            let (nodes, next) = behind.split_at_checked(end.unwrap_or(behind.len()))?;
            rest = next;
            let (kind, id) = name.strip_prefix('+')?.split_once('/')?;
            let id = id.parse().ok()?;
            Some(Device { kind, id, nodes })
        })
    }
}

/// The first string, and what is behind it.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    let text = core::str::from_utf8(bytes.get(..end)?).ok()?;
    Some((text, bytes.get(end + 1..)?))
}

impl<'a> Device<'a> {
    /// The nodes of its own.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let mut rest = self.nodes;
        core::iter::from_fn(move || {
            let (text, behind) = split(rest)?;
            rest = behind;
            let (name, value) = text.split_once('=')?;
            let (is_back, name) = match name.strip_prefix('b') {
                Some(name) => (true, name),
                None => (false, name.strip_prefix('f')?),
            };
            Some(Node {
                is_back,
                name,
                value,
            })
        })
    }

    /// Puts the directory of its front end, of domain `domid`, out.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn front(&self, domid: u16, out: &mut impl fmt::Write) -> fmt::Result {
        write!(
            out,
            "/local/domain/{domid}/device/{}/{}",
            self.kind, self.id
        )
    }

    /// Puts the directory of its back end out.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn back(&self, domid: u16, out: &mut impl fmt::Write) -> fmt::Result {
        write!(
            out,
            "/local/domain/0/backend/{}/{domid}/{}",
            self.kind, self.id
        )
    }
}

impl fmt::Debug for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn disk(number: u8) -> Disk<'static> {
        Disk {
            number,
            params: "disk.img, partition 1",
            is_read_only: number > 0,
            can_discard: false,
        }
    }

    #[test]
    fn a_description_says_what_was_added() {
        let mut devices = Devices::new();
        devices.add_disk(&disk(0)).unwrap();
        let mac = Node {
            is_back: false,
            name: "mac",
            value: "00:16:3e:00:00:01",
        };
        devices.add("vif", 0, &[mac]).unwrap();
        devices.add_disk(&disk(1)).unwrap();
        let mut padded = devices.bytes().to_vec();
        padded.resize(DEVICES_BYTES, 0);
        let devices = Devices::from_bytes(&padded);
        let all: Vec<_> = devices.iter().collect();
        let names: Vec<_> = all.iter().map(|device| (device.kind, device.id)).collect();
        assert_eq!(names, [("vbd", 51712), ("vif", 0), ("vbd", 51728)]);
        assert_eq!(all[1].nodes().collect::<Vec<_>>(), [mac]);
        let back = |device: &Device<'_>, name| {
            let found = device
                .nodes()
                .find(|node| node.is_back && node.name == name);
            String::from(found.unwrap().value)
        };
        assert_eq!(back(&all[0], "mode"), "w");
        assert_eq!(back(&all[2], "mode"), "r");
        assert_eq!(back(&all[2], "dev"), "xvdb");
        assert_eq!(back(&all[0], "params"), "disk.img, partition 1");
        let mut path = String::new();
        all[0].back(3, &mut path).unwrap();
        assert_eq!(path, "/local/domain/0/backend/vbd/3/51712");
    }

    #[test]
    fn eight_disks_and_four_interfaces_fit() {
        let mut devices = Devices::new();
        let params = "x".repeat(64);
        for number in 0..8 {
            let params = &params;
            devices
                .add_disk(&Disk {
                    params,
                    ..disk(number)
                })
                .unwrap();
        }
        for number in 0..4 {
            let nic = Nic {
                number,
                mac: "00:16:3e:ff:ff:ff",
                network: "fifteen-letters",
            };
            devices.add_nic(&nic).unwrap();
        }
    }

    #[test]
    fn what_does_not_fit_is_not_added() {
        let mut devices = Devices::new();
        let count = (0..).take_while(|n| devices.add_disk(&disk(n % 16)).is_ok());
        assert!(count.count() >= 8);
        let before = devices.clone();
        assert_eq!(devices.add_disk(&disk(16)), Err(Unfit));
        let node = |name, value| Node {
            is_back: true,
            name,
            value,
        };
        assert_eq!(devices.add("a/b", 0, &[]), Err(Unfit));
        assert_eq!(devices.add("", 0, &[]), Err(Unfit));
        assert_eq!(devices.add("v", 0, &[node("a/b", "")]), Err(Unfit));
        assert_eq!(devices.add("v", 0, &[node("a", "\0")]), Err(Unfit));
        assert_eq!(devices, before);
        assert_eq!(Devices::from_bytes(&[]).iter().count(), 0);
        assert_eq!(Devices::from_bytes(&[b'x'; 5000]).iter().count(), 0);
    }
}
