//! A domain: a child of `/chosen` compatible with "xen,domain".

mod affinity;
mod console;
mod disks;
mod memory;
mod nics;
mod options;
mod time;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use dt_server_api::{DomainName, DomainRecord, NAME_MAX, XEN_LAYOUT};
use dtoolkit::Node;
use topology::pd;
use topology::pd::time::Time;

use crate::config::{DomainConfig, Files};
use crate::cores::Cores;
use crate::diag::{Diagnostics, Edit, Hint, Rule};
use crate::direct::Host;
use crate::module::Modules;
use crate::node::{At, Cells};
use crate::range::Range;
use crate::{binding, budget, features, known};

pub(crate) use disks::{Disk, check_shared};
pub(crate) use nics::{Nic, check_addresses, check_uplinks};

/// A domain as far as it could be read; `config` only if nothing in it is wrong.
pub(crate) struct Draft<'a> {
    pub(crate) static_mem: Vec<Range>,
    pub(crate) heap: u64,
    /// Time of its vCPUs, by their numbers.
    pub(crate) times: Vec<Time>,
    /// Its disks, with the paths of their nodes.
    pub(crate) disks: Vec<Disk<'a>>,
    /// Its network interfaces, likewise.
    pub(crate) nics: Vec<Nic<'a>>,
    /// vCPUs whose time is what they have without `zazen,budget`, by their numbers.
    pub(crate) unnamed: Vec<bool>,
    /// Some of its budgets are wrong, or do not go together.
    pub(crate) times_are_wrong: bool,
    /// Cores that its vCPUs may be on, by their numbers.
    pub(crate) affinities: Vec<Cores>,
    /// Where they are.
    pub(crate) cores: Vec<u8>,
    /// Modules with addresses in host memory, with the paths of their nodes.
    pub(crate) placed: Vec<(Range, String)>,
    pub(crate) config: Option<DomainConfig>,
}

/// Reads the domain `at`, whose `xen,static-mem` is in `/chosen`'s cells `outer`.
pub(crate) fn read<'a>(
    at: &At<'a>,
    outer: Cells,
    domid: u16,
    host: &Host,
    files: &dyn Files,
    d: &mut Diagnostics,
) -> Draft<'a> {
    known::check(at, binding::DOMAIN, d);
    features::check(at, d);
    let name = name(at, d);
    let ram = memory::ram(at, d);
    let vcpus = options::vcpus(at, d);
    let static_mem = memory::static_mem(at, outer, ram, d);
    let is_static = at.has("xen,static-mem");
    let heap = if is_static { 0 } else { ram.unwrap_or(0) };
    let max = memory::max(at, ram, d);
    let map = memory::map(at, ram, max, &static_mem, host, d);
    let places = map.as_ref().map_or(XEN_LAYOUT, |map| map.layout);
    let pv = options::pv_features(at, d);
    let (vpl011, nr_spis) = options::interrupts(at, places.vpl011_intid, d);
    let max_grant_frames = options::grant_frames(at, d);
    let trap_unmapped = options::trap_unmapped(at, d);
    let tables = memory::tables(at, vcpus.unwrap_or(1), max.unwrap_or(0), d);
    let bank0 = map.as_ref().and_then(|map| map.banks.first()).copied();
    let bank0 = bank0.map(|bank| bank.size());
    let (modules, vcpu_nodes) = children(at, vcpus, (bank0, host), files, d);
    let VcpuNodes {
        times,
        unnamed,
        times_are_wrong,
        affinities,
    } = vcpu_nodes;
    let disks = disks::read(at, pv, host.board, files, d);
    let nics = nics::read(at, pv, domid, host.board, d);
    let placed = modules.placed.clone();
    let consoles = console::Consoles { pv, vpl011 };
    console::check(at, &consoles, &modules.bootargs, modules.kernel_path(), d);

    let config = (|| {
        let map = map?;
        let kernel = modules.kernel()?;
        let max_grant_frames = max_grant_frames?;
        let record = DomainRecord {
            domid,
            // Known when all are.
            domains: 0,
            name: name?,
            vcpus: vcpus?,
            banks: map.banks,
            max_banks: map.max_banks,
            extended: map.extended,
            // Known when all are.
            shared: heapless::Vec::new(),
            layout: map.layout,
            is_static,
            direct_map: at.has("direct-map"),
            pv: pv?,
            vpl011,
            nr_spis: nr_spis?,
            max_grant_frames,
            trap_unmapped: trap_unmapped?,
            kernel: kernel.module,
            ramdisk: modules.ramdisk().map(|file| file.module),
            // Known when all are.
            meets: 0,
        };
        Some(DomainConfig {
            record,
            static_mem: static_mem.clone(),
            heap,
            vcpu_times: times.clone(),
            vcpu_cores: Vec::new(),
            tables: tables?,
            extra: budget::extra(max_grant_frames),
            devices: {
                let mut devices = disks::devices(&disks);
                nics::add(&nics, &mut devices);
                Box::new(devices)
            },
            bootargs: modules.bootargs.clone(),
            kernel_file: kernel.name.clone(),
            ramdisk_file: modules.ramdisk().map(|file| file.name.clone()),
            disks: disks.iter().map(|disk| disk.config.clone()).collect(),
            shared_ids: Vec::new(),
            nics: nics.iter().map(|nic| nic.config.clone()).collect(),
        })
    })();
    Draft {
        static_mem,
        heap,
        times,
        unnamed,
        times_are_wrong,
        affinities,
        cores: Vec::new(),
        placed,
        disks,
        nics,
        config,
    }
}

/// What `xen,vcpu` nodes say, by the numbers of vCPUs.
struct VcpuNodes {
    times: Vec<Time>,
    unnamed: Vec<bool>,
    times_are_wrong: bool,
    affinities: Vec<Cores>,
}

fn name(at: &At<'_>, d: &mut Diagnostics) -> Option<DomainName> {
    let text = at.node.name_without_address();
    match wrong_name(text) {
        None => DomainName::try_from(text).ok(),
        Some((what, hint)) => {
            at.node_error(d, Rule::Name, what, hint);
            None
        }
    }
}

/// Why no domain can be called `name`, and what to try. The console, the system description and the
/// names of a VMM's threads all take what passes here.
pub(crate) fn wrong_name(name: &str) -> Option<(String, &'static str)> {
    const OTHER: &str = "name the domain otherwise";
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_-.+".contains(c);
    if name == pd::CONSOLE_MONITOR {
        let what = format!("\"{name}\" is the name of the console's monitor");
        return Some((what, OTHER));
    }
    if pd::is_reserved(name) {
        return Some((format!("\"{name}\" is the name of a server"), OTHER));
    }
    if name.starts_with(pd::VMM_PREFIX) {
        let what = format!(
            "the name \"{name}\" begins with \"{}\", as those of VMMs do",
            pd::VMM_PREFIX
        );
        return Some((what, OTHER));
    }
    if name.len() > NAME_MAX {
        let what = format!("the name \"{name}\" has more than {NAME_MAX} characters");
        let hint = "shorten it; it is shown in front of every console line";
        return Some((what, hint));
    }
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_of_name) {
        let what = format!("\"{name}\" cannot be the name of a domain");
        let hint =
            "a name begins with a letter or a digit and has letters, digits and . _ + - only";
        return Some((what, hint));
    }
    None
}

fn children(
    at: &At<'_>,
    vcpus: Option<u8>,
    (bank0, host): (Option<u64>, &Host),
    files: &dyn Files,
    d: &mut Diagnostics,
) -> (Modules, VcpuNodes) {
    let most = host.ram();
    let mut modules = Modules::default();
    let mut vcpu_ids = Vec::new();
    let mut times = time::Times::new(vcpus);
    let mut affinities = vec![Cores::ANY; usize::from(vcpus.unwrap_or(1))];
    for node in at.node.children() {
        let child = at.leaf(node);
        if modules.read(&child, files, d) {
            continue;
        }
        if disks::is_disk(&child) {
            known::check(&child, binding::DISK, d);
        } else if nics::is_nic(&child) {
            known::check(&child, binding::NET, d);
        } else if child.is_compatible(&["xen,vcpu"]) {
            if let Some(id) = vcpu(&child, vcpus, &mut vcpu_ids, &mut times, d)
                && let Some(cores) = affinity::read(&child, host, d)
                && let Some(slot) = affinities.get_mut(id)
            {
                *slot = cores;
            }
        } else if child.is_compatible(&["xen,domain-shared-memory-v1"]) {
            known::check(&child, binding::SHARED_MEMORY, d);
        } else if child.is_compatible(&["xen,evtchn-v1", "xen,evtchn"]) {
            known::check(&child, binding::EVTCHN, d);
        } else if child.is_compatible(&["xen,domain"]) {
            let what = "a domain within a domain is ignored";
            child.warn(
                d,
                Rule::Unknown,
                None,
                what,
                "move it up: a domain is a child of /chosen",
            );
        } else {
            let hint = "modules need \"multiboot,module\" in compatible";
            child.warn(
                d,
                Rule::Unknown,
                None,
                "this node is not known here and is ignored",
                hint,
            );
        }
    }
    modules.check(at, bank0, most, d);
    let unnamed = times.unnamed();
    let (times, times_are_wrong) = times.check(at, d);
    let nodes = VcpuNodes {
        times,
        unnamed,
        times_are_wrong,
        affinities,
    };
    (modules, nodes)
}

/// Reads a vCPU's node; its number, if that is one.
fn vcpu(
    at: &At<'_>,
    vcpus: Option<u8>,
    seen: &mut Vec<u32>,
    times: &mut time::Times,
    d: &mut Diagnostics,
) -> Option<usize> {
    known::check(at, binding::VCPU, d);
    if !at.has("id") {
        let free = (0..u32::from(vcpus.unwrap_or(1))).find(|id| !seen.contains(id));
        let hint = match free {
            Some(id) => Hint::set(format!("<{id}>")),
            None => Hint::Do(
                String::from("remove the node: the domain has no more CPUs"),
                Edit::RemoveNode,
            ),
        };
        seen.extend(free);
        at.error(d, Rule::Vcpu, "id", "missing", hint);
        return None;
    }
    let id = at.u32("id", Rule::Vcpu, d)?;
    if vcpus.is_some_and(|count| id >= u32::from(count)) {
        at.error(
            d,
            Rule::Vcpu,
            "id",
            "the domain has fewer CPUs (property cpus)",
            Hint::Do(
                String::from("CPUs are numbered from 0; remove the node"),
                Edit::RemoveNode,
            ),
        );
    } else if seen.contains(&id) {
        at.error(
            d,
            Rule::Vcpu,
            "id",
            "another node of this domain has the same id",
            Hint::Do(String::from("remove one of them"), Edit::RemoveNode),
        );
    } else if seen.len() < usize::from(u8::MAX) {
        seen.push(id);
        times.read(at, id, d);
        return usize::try_from(id).ok();
    }
    None
}
