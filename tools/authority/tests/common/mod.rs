//! The default system's specification, and changes to it.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use authority::{Authority, Cap, Id, Kind, Rights, Spec};
use serde_json::Value;
use untyped_plan::{Paddr, Span};

/// Read and write.
pub(crate) const RW: Rights = Rights {
    read: true,
    write: true,
    grant: false,
    grant_reply: false,
};

/// Set to anything, it makes tests write their snapshots instead of comparing.
const UPDATE: &str = "ZAZEN_UPDATE_SNAPSHOTS";
/// A sample, and the variable that names a whole specification from which it is made anew.
struct Sample {
    name: &'static str,
    spec: &'static str,
}

/// The default system: domains/two-linux.dts.
const DEFAULT: Sample = Sample {
    name: "two-linux",
    spec: "ZAZEN_SPEC",
};
/// One with all servers that there are for guests: domains/servers.dts.
const SERVERS: Sample = Sample {
    name: "servers",
    spec: "ZAZEN_SPEC_SERVERS",
};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Sample {
    fn path(&self) -> PathBuf {
        here().join(format!("tests/data/{}.capdl.json", self.name))
    }

    fn read(&self) -> String {
        if let Some(path) = std::env::var_os(self.spec) {
            let whole = fs::read_to_string(path).expect("the specification that is named");
            fs::write(self.path(), reduced(&whole)).expect("tests/data can be written");
        }
        fs::read_to_string(self.path()).expect("the sample is committed")
    }
}

/// The committed specification of domains/two-linux.dts.
pub(crate) fn sample() -> String {
    DEFAULT.read()
}

/// `whole` without the contents of frames and what says nothing about authority, one object a line.
fn reduced(whole: &str) -> String {
    let spec: Value = serde_json::from_str(whole).expect("JSON");
    let line = |object: &Value| {
        let mut object = object.clone();
        if let Some(frame) = object
            .pointer_mut("/object/Frame")
            .and_then(Value::as_object_mut)
        {
            frame.remove("init");
        }
        if let Some(extra) = object
            .pointer_mut("/object/Tcb/extra")
            .and_then(Value::as_object_mut)
        {
            extra.retain(|key, value| {
                matches!(key.as_str(), "prio" | "max_prio" | "domain") && !value.is_null()
            });
        }
        let mut object = object.to_string();
        // What is false when it is not there.
        for key in [
            "read",
            "write",
            "grant",
            "grant_reply",
            "executable",
            "x86_ept",
        ] {
            for field in [format!(",\"{key}\":false"), format!("\"{key}\":false,")] {
                object = object.replace(&field, "");
            }
        }
        object
    };
    let objects = spec["objects"].as_array().expect("objects").iter();
    let objects: Vec<String> = objects.map(line).collect();
    format!(
        "{{\"irqs\":{},\"objects\":[\n{}\n]}}\n",
        spec["irqs"],
        objects.join(",\n")
    )
}

/// The sample as a specification that can be changed.
pub(crate) struct System {
    /// It.
    pub(crate) spec: Spec,
}

impl System {
    /// The sample.
    pub(crate) fn new() -> Self {
        static SAMPLE: OnceLock<Spec> = OnceLock::new();
        let sample = || Spec::parse(&sample()).expect("the sample is a specification");
        Self {
            spec: SAMPLE.get_or_init(sample).clone(),
        }
    }

    /// That of domains/servers.dts.
    pub(crate) fn with_servers() -> Self {
        static SAMPLE: OnceLock<Spec> = OnceLock::new();
        let sample = || Spec::parse(&SERVERS.read()).expect("the sample is a specification");
        Self {
            spec: SAMPLE.get_or_init(sample).clone(),
        }
    }

    /// Position of the object called `name`.
    pub(crate) fn id(&self, name: &str) -> Id {
        self.spec
            .find(name)
            .unwrap_or_else(|| panic!("the sample has no object '{name}'"))
    }

    /// A capability of full authority to the object called `name`.
    pub(crate) fn cap(&self, name: &str) -> Cap {
        self.cap_to(self.id(name))
    }

    /// The same by position.
    pub(crate) fn cap_to(&self, id: Id) -> Cap {
        let kind = self.spec.get(id).expect("an object").kind.clone();
        let has_rights = matches!(kind, Kind::Frame | Kind::Endpoint | Kind::Notification);
        Cap {
            kind,
            object: Some(id),
            rights: has_rights.then_some(RW),
            badge: 0,
            guard: 0,
            guard_bits: 0,
            cached: true,
            executable: false,
        }
    }

    /// The capability in slot `slot` of `holder`.
    pub(crate) fn at(&self, holder: &str, slot: u32) -> Cap {
        let object = self.spec.get(self.id(holder)).expect("an object");
        object.slot(slot).expect("a filled slot").clone()
    }

    /// Puts `cap` into slot `slot` of `holder`.
    pub(crate) fn put(mut self, holder: &str, slot: u32, cap: Cap) -> Self {
        let id = self.id(holder);
        self.spec.insert(id, slot, cap);
        self
    }

    /// Gives `holder` (a CNode or page table) full authority over `object` in slot `slot`.
    pub(crate) fn give(self, holder: &str, slot: u32, object: &str) -> Self {
        let cap = self.cap(object);
        self.put(holder, slot, cap)
    }

    /// What follows from it.
    pub(crate) fn authority(self) -> Authority {
        Authority::of(self.spec)
    }
}

/// The sample with one field of its JSON changed: that at `pointer` of the object called `name`.
pub(crate) fn with_field(name: &str, pointer: &str, value: Value) -> Authority {
    let mut spec: Value = serde_json::from_str(&sample()).expect("JSON");
    let objects = spec["objects"].as_array_mut().expect("objects");
    let object = objects.iter_mut().find(|o| o["name"] == name);
    let field = object.and_then(|object| object["object"].pointer_mut(pointer));
    *field.unwrap_or_else(|| panic!("'{name}' has no {pointer}")) = value;
    Authority::read(&spec.to_string()).expect("still a specification")
}

/// The sample whose object `name` is called `new`.
pub(crate) fn with_name(name: &str, new: &str) -> Authority {
    let spec = sample().replace(&format!("\"{name}\""), &format!("\"{new}\""));
    Authority::read(&spec).expect("still a specification")
}

/// What domains/two-linux.dts describes.
pub(crate) fn described() -> authority::System {
    let domain = |name: &str, start| authority::Domain {
        vcpus: 1,
        name: name.to_owned(),
        gicc: 0x300_2000,
        modules: vec![
            (0, "module_Image".to_owned()),
            (1, "module_initrd.cpio".to_owned()),
        ],
        p2m: Some(topology::p2m_bytes(192 << 20)),
        static_mem: Span::sized(Paddr(start), 192 << 20).map(|span| vec![span]),
        vcpu_times: vec![topology::pd::time::VCPU],
        disks: authority::Disks::None,
        nets: false,
        vcpu_cores: vec![0],
    };
    authority::System {
        board: &board::QEMU_VIRT,
        domains: vec![domain("linux1", 0x4000_0000), domain("linux2", 0x4c00_0000)],
        meets: topology::meets::Meets::NONE,
        uplink: false,
        heap: false,
        ram_disks: Vec::new(),
        cores: 1,
        benchmark: false,
        shared: Some(Vec::new()),
    }
}

/// What domains/servers.dts describes.
pub(crate) fn described_servers() -> authority::System {
    let mut system = described();
    (system.heap, system.uplink) = (true, true);
    for domain in &mut system.domains {
        domain.nets = true;
    }
    if let Some(second) = system.domains.last_mut() {
        second.static_mem = None;
    }
    let disks = [authority::Disks::Devices, authority::Disks::Files];
    for (domain, disks) in system.domains.iter_mut().zip(disks) {
        domain.disks = disks;
    }
    system.ram_disks = vec!["ramdisk_initrd.cpio".to_owned()];
    system
}

/// Compares `text` with the committed file at `path` below the repository's root.
pub(crate) fn assert_committed(path: &str, text: &str) {
    let path = here().join("../..").join(path);
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, text).expect("the file can be written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{} differs from what comes out now ({UPDATE}=1 writes it):\n{text}",
        path.display()
    );
}
