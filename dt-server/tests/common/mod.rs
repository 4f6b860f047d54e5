//! Device trees for tests: a valid one, and ways to change it.
#![allow(dead_code, reason = "not every test file uses everything")]

use dt_server::{FileInfo, Files};
use dtoolkit::ToPropertyValue;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};

/// The files that the valid tree names, and one of each kind of kernel that is refused.
pub(crate) struct TestFiles;

pub(crate) const KERNEL_SIZE: u64 = 0x20_1234;
pub(crate) const INITRD_SIZE: u64 = 0x12_3456;

pub(crate) fn image_header(image_size: u64) -> [u8; 64] {
    let mut head = [0; 64];
    head[16..24].copy_from_slice(&image_size.to_le_bytes());
    head[56..60].copy_from_slice(b"ARM\x64");
    head
}

impl Files for TestFiles {
    fn probe(&self, name: &str) -> Option<FileInfo> {
        let start = |bytes: &[u8]| {
            let mut head = [0; 64];
            head[..bytes.len()].copy_from_slice(bytes);
            Some(head)
        };
        let (size, head) = match name {
            "Image" => (KERNEL_SIZE, Some(image_header(0x30_0000))),
            "initrd.cpio.gz" => (INITRD_SIZE, start(&[0x1f, 0x8b])),
            "huge-initrd" => (300 << 20, start(&[0x1f, 0x8b])),
            "Image.gz" => (KERNEL_SIZE, start(&[0x1f, 0x8b, 8])),
            "zboot" => (KERNEL_SIZE, start(b"MZ\0\0zimg")),
            "uImage" => (KERNEL_SIZE, start(&[0x27, 0x05, 0x19, 0x56])),
            "Image-be" => {
                let mut head = image_header(0x30_0000);
                head[24] = 0x0b;
                (KERNEL_SIZE, Some(head))
            }
            _ if name.starts_with("disk") => (0x1_0000, start(b"")),
            "text" => (10, start(b"hello")),
            "empty" => (0, start(b"")),
            _ => return None,
        };
        Some(FileInfo { size, head })
    }
}

pub(crate) struct Tree(pub(crate) DeviceTree);

pub(crate) const L1: &str = "/chosen/linux1";
pub(crate) const L2: &str = "/chosen/linux2";
pub(crate) const L1_KERNEL: &str = "/chosen/linux1/kernel";
pub(crate) const L1_RAMDISK: &str = "/chosen/linux1/ramdisk";

impl Tree {
    /// Two domains of 256 MiB in static memory, on a host with 2 GiB.
    pub(crate) fn two() -> Self {
        let mut tree = Self(DeviceTree::new());
        tree.set("/", "#address-cells", 2u32)
            .set("/", "#size-cells", 2u32);
        tree.add("/", "memory@40000000")
            .set("/memory@40000000", "device_type", "memory");
        tree.set(
            "/memory@40000000",
            "reg",
            [0u32, 0x4000_0000, 0, 0x8000_0000],
        );
        tree.add("/", "chosen");
        tree.domain("linux1", 0x4000_0000);
        tree.domain("linux2", 0x5000_0000);
        tree
    }

    /// Two domains of 128 MiB each from the heap.
    pub(crate) fn heap() -> Self {
        let mut tree = Self::two();
        for path in [L1, L2] {
            tree.remove(path, "xen,static-mem")
                .set(path, "memory", [0u32, 0x2_0000]);
        }
        tree
    }

    pub(crate) fn domain(&mut self, name: &str, static_mem: u32) -> &mut Self {
        let path = format!("/chosen/{name}");
        self.add("/chosen", name)
            .set(&path, "compatible", "xen,domain")
            .set(&path, "memory", [0u32, 0x4_0000])
            .set(&path, "cpus", 1u32)
            .set(&path, "xen,static-mem", [0u32, static_mem, 0, 0x1000_0000])
            .set(&path, "xen,enhanced", "no-xenstore");
        self.module(&path, "kernel", "multiboot,kernel", "Image");
        self.set(&format!("{path}/kernel"), "bootargs", "console=hvc0");
        self.module(&path, "ramdisk", "multiboot,ramdisk", "initrd.cpio.gz")
    }

    pub(crate) fn module(&mut self, domain: &str, name: &str, kind: &str, file: &str) -> &mut Self {
        let path = format!("{domain}/{name}");
        let compatible = [kind, "multiboot,module"];
        self.add(domain, name)
            .set(&path, "compatible", compatible.as_slice())
            .set(&path, "zazen,file", file)
    }

    pub(crate) fn add(&mut self, parent: &str, name: &str) -> &mut Self {
        self.node(parent)
            .add_child(DeviceTreeNode::new_unchecked(name));
        self
    }

    pub(crate) fn set<T: ToPropertyValue>(
        &mut self,
        path: &str,
        property: &str,
        value: T,
    ) -> &mut Self {
        self.node(path)
            .add_property(DeviceTreeProperty::new_unchecked(property, value));
        self
    }

    pub(crate) fn flag(&mut self, path: &str, property: &str) -> &mut Self {
        self.set(path, property, [0u8; 0])
    }

    pub(crate) fn remove(&mut self, path: &str, property: &str) -> &mut Self {
        assert!(
            self.node(path).remove_property(property).is_some(),
            "{path}: no {property}"
        );
        self
    }

    pub(crate) fn remove_node(&mut self, parent: &str, name: &str) -> &mut Self {
        assert!(
            self.node(parent).remove_child(name).is_some(),
            "{parent}: no {name}"
        );
        self
    }

    pub(crate) fn node(&mut self, path: &str) -> &mut DeviceTreeNode {
        self.0
            .find_node_mut(path)
            .unwrap_or_else(|| panic!("no node {path}"))
    }

    pub(crate) fn dtb(&self) -> Vec<u8> {
        self.0.to_dtb()
    }
}
