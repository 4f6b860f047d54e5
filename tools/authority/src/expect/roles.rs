//! Everybody's part in the system: the table of protection domains ([`topology::table`]) for these
//! domains on this board.

use board::Timer;
use topology::cores;
use topology::links;
use topology::map::{self, Which};
use topology::meets::PageName;
use topology::pd;
use topology::pd::time::Time;
use topology::region::{Holds, REGIONS};
use topology::shape::{Counter, Domains, Shape};
use topology::table::{self, Irq, Member};
use topology::vaddr;

use super::{Disks, Domain, System};
use crate::spec::Rights;

/// The highest priority that a thread may give itself or another: nobody sets any. With one above 0
/// a VMM could set its guest's priority to what it is, for which the kernel puts the thread before
/// all others.
pub(crate) const MAX_PRIORITY: u8 = 0;

/// A protection domain.
pub(crate) struct Pd {
    pub(crate) name: String,
    /// Scheduling priority in the image.
    pub(crate) priority: u8,
    pub(crate) core: u8,
    pub(crate) time: Time,
    /// Whether it runs on its callers' time: the fault server binds its scheduling context to its
    /// notification.
    pub(crate) on_callers_time: bool,
    /// Its fault handler, and its number there; `None`: Microkit's monitor.
    pub(crate) parent: Option<(&'static str, usize)>,
    /// Bytes of its stack.
    pub(crate) stack: u64,
    pub(crate) maps: Vec<Map>,
    /// Its interrupt: a GIC INTID.
    pub(crate) irq: Option<u32>,
    pub(crate) vm: Option<Vm>,
}

/// The virtual machine of a protection domain.
pub(crate) struct Vm {
    pub(crate) name: String,
    pub(crate) priority: u8,
    /// Its vCPUs.
    pub(crate) vcpus: Vec<Vcpu>,
    pub(crate) maps: Vec<Map>,
}

/// A vCPU of a virtual machine.
pub(crate) struct Vcpu {
    pub(crate) number: u64,
    pub(crate) core: u8,
    pub(crate) time: Time,
    /// It never executes an instruction ([`topology::cores`]).
    pub(crate) unloads: bool,
}

/// A memory region in an address space: all of it, from `vaddr`.
#[derive(Clone)]
pub(crate) struct Map {
    pub(crate) region: String,
    pub(crate) vaddr: u64,
    pub(crate) rights: Rights,
    pub(crate) executable: bool,
    pub(crate) cached: bool,
}

/// A memory region.
pub(crate) struct Region {
    pub(crate) name: String,
    /// Physical address of a device; RAM may lie anywhere in RAM.
    pub(crate) device: Option<u64>,
    /// Its size where that is known.
    pub(crate) bytes: Option<u64>,
}

/// A way from one protection domain to another.
pub(crate) struct Link {
    pub(crate) from: String,
    /// Number of the channel there.
    pub(crate) channel: usize,
    pub(crate) to: String,
    /// Number that the receiver sees.
    pub(crate) number: usize,
    pub(crate) way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Call,
    Notify,
}

const PAGE: u64 = 0x1000;

/// What of the tables there is for `system`.
fn shape(system: &System) -> Shape {
    let counter = match system.board.timer {
        Timer::System { .. } => Counter::Readable,
        Timer::Ttc { .. } => Counter::Told,
    };
    let that = |has: fn(&Domain) -> bool| {
        let domains = system.domains.iter().enumerate();
        Domains::of(domains.filter(|(_, domain)| has(domain)).map(|(at, _)| at))
    };
    Shape {
        disks: that(|domain| domain.disks != Disks::None),
        disk_devices: that(|domain| domain.disks == Disks::Devices),
        nets: that(|domain| domain.nets),
        uplink: system.uplink,
        meets: system.meets,
        heap: if system.heap {
            Domains::ALL
        } else {
            Domains::NONE
        },
        ..Shape::plain(counter, system.domains.len())
    }
}

fn of_domain(system: &System, member: Member) -> Option<&Domain> {
    system.domains.get(member.domain?)
}

fn label(system: &System, member: Member) -> String {
    let domain = of_domain(system, member);
    let domain = domain.map_or("", |domain| domain.name.as_str());
    member.label(domain).to_owned()
}

fn name(system: &System, member: Member) -> String {
    let domain = of_domain(system, member);
    let domain = domain.map_or("", |domain| domain.name.as_str());
    member.name(domain).to_string()
}

fn members(system: &System) -> impl Iterator<Item = Member> + use<> {
    table::members(shape(system))
}

fn clients(system: &System) -> impl Iterator<Item = (usize, Member)> + use<> {
    table::clients(shape(system))
}

/// All protection domains, in Microkit's order: children follow their parent.
pub(crate) fn pds(system: &System) -> Vec<Pd> {
    let mut all: Vec<Member> = members(system).collect();
    all.sort_by_key(|member| match member.pd.name {
        pd::FAULT_SERVER => 0,
        _ if member.child().is_some() => 1,
        _ => 2,
    });
    all.into_iter().map(|member| pd(system, member)).collect()
}

fn pd(system: &System, member: Member) -> Pd {
    let row = member.pd;
    let maps = member.maps(shape(system));
    let times = of_domain(system, member).map_or(&[][..], |domain| &domain.vcpu_times);
    let several = system.cores > 1;
    Pd {
        name: name(system, member),
        priority: row.in_image,
        core: match of_domain(system, member) {
            Some(domain) if row.name == pd::VMM_PREFIX && several => domain.vmm_core(),
            _ => cores::SERVERS,
        },
        time: member.time(times, several),
        on_callers_time: member.on_callers_time(times, several),
        parent: member.child().map(|number| (pd::FAULT_SERVER, number)),
        stack: row.stack,
        maps: maps.flat_map(|map| mapped(system, member, map)).collect(),
        irq: row.irq.map(|irq| match irq {
            Irq::Uart => system.board.uart.intid,
            Irq::Timer => system.board.timer.intid(),
            Irq::Disk => system.board.disks.first().map_or(0, |disk| disk.intid),
            Irq::Net => system.board.nics.first().map_or(0, |nic| nic.intid),
        }),
        vm: row.vm.map(|vm| {
            let maps = vm.maps.iter();
            Vm {
                name: vm.name.map_or(label(system, member), str::to_owned),
                priority: vm.priority,
                vcpus: vcpus(system, member, vm.time),
                maps: maps.flat_map(|map| mapped(system, member, map)).collect(),
            }
        }),
    }
}

/// The vCPUs of a member's virtual machine, of which one that is of no domain has `time`. Unloaders
/// come last.
fn vcpus(system: &System, member: Member, time: Time) -> Vec<Vcpu> {
    let Some(domain) = of_domain(system, member) else {
        return vec![Vcpu {
            number: 0,
            core: cores::SERVERS,
            time,
            unloads: false,
        }];
    };
    let several = system.cores > 1;
    let of = |at: u8| {
        let core = domain.vcpu_cores.get(usize::from(at)).copied();
        let own = domain.vcpu_times.get(usize::from(at)).copied();
        Vcpu {
            number: at.into(),
            core: core.filter(|_| several).unwrap_or(cores::SERVERS),
            time: own.unwrap_or(time),
            unloads: false,
        }
    };
    let mut all: Vec<Vcpu> = (0..domain.vcpus).map(of).collect();
    if several {
        let unloaders = cores::with_unloader(domain.vmm_core(), &domain.vcpu_cores);
        all.extend(unloaders.map(|core| Vcpu {
            number: cores::unloader(core),
            core,
            time: topology::share::UNLOADER,
            unloads: true,
        }));
    }
    all
}

/// The mappings that a row stands for.
fn mapped(system: &System, member: Member, map: &map::Map) -> Vec<Map> {
    let domain = of_domain(system, member);
    let one = |region: String, vaddr| Map {
        region,
        vaddr,
        rights: Rights {
            read: map.perms.contains('r'),
            write: map.perms.contains('w'),
            grant: false,
            grant_reply: false,
        },
        executable: map.perms.contains('x'),
        cached: map.cached,
    };
    match map.which {
        Which::One(name) => vec![one(name.to_owned(), map.vaddr)],
        Which::Own(prefix) => vec![one(own(prefix, system, member), map.vaddr)],
        Which::AllRings => clients(system)
            .map(|(number, client)| {
                let region = match map::RINGS.which {
                    Which::Own(prefix) => own(prefix, system, client),
                    _ => String::new(),
                };
                one(region, vaddr::console_client(number))
            })
            .collect(),
        Which::OfVmms(prefix, step) => table::of_domains(shape(system), prefix)
            .map(|(domain, vmm)| {
                let vaddr = map::of_domain(map.vaddr, step, domain);
                one(own(prefix, system, vmm), vaddr)
            })
            .collect(),
        Which::Pairs => {
            let me = member.domain.unwrap_or(usize::MAX);
            let met = system.meets.of(me);
            met.map(|other| one(page(system, me, other), vaddr::pair(other)))
                .collect()
        }
        Which::RamDisks => (0..)
            .zip(&system.ram_disks)
            .map(|(number, region)| one(region.clone(), vaddr::ram_disk(number)))
            .collect(),
        Which::Modules => domain
            .into_iter()
            .flat_map(|domain| &domain.modules)
            .map(|(number, region)| one(region.clone(), vaddr::module(*number)))
            .collect(),
        Which::AtCpuInterface(name) => domain
            .map(|domain| one(name.to_owned(), domain.gicc))
            .into_iter()
            .collect(),
    }
}

/// The region that the VMMs of two domains share.
fn page(system: &System, a: usize, b: usize) -> String {
    let name = |number: usize| system.domains.get(number).map_or("", |d| d.name.as_str());
    PageName(name(a.min(b)), name(a.max(b))).to_string()
}

/// A region of the user's own.
fn own(prefix: &str, system: &System, member: Member) -> String {
    format!("{prefix}{}", label(system, member))
}

/// Who may call or notify whom.
pub(crate) fn links(system: &System) -> Vec<Link> {
    let mut found = Vec::new();
    for link in links::channels(shape(system)) {
        let mut add = |from: &links::End, to: &links::End, way| {
            found.push(Link {
                from: name(system, from.member),
                channel: from.number,
                to: name(system, to.member),
                number: to.number,
                way,
            });
        };
        let (from, to) = (&link.from, &link.to);
        if link.row.calls {
            add(from, to, Way::Call);
        }
        if link.row.notifies {
            add(from, to, Way::Notify);
        }
        if link.row.answers {
            add(to, from, Way::Notify);
        }
    }
    found
}

/// The page with the registers of the board's disks, or of its network devices.
fn registers(devices: &[board::Virtio]) -> Option<board::Area> {
    let first = devices.first()?;
    Some(board::Area::new(first.registers.start / PAGE * PAGE, PAGE))
}

/// All memory regions.
pub(crate) fn regions(system: &System) -> Vec<Region> {
    let board = system.board;
    let (timer, counted) = match board.timer {
        Timer::Ttc { timer, counter, .. } => (Some(timer), Some(counter)),
        Timer::System { .. } => (None, None),
    };
    let mut found: Vec<Region> = Vec::new();
    let rows = REGIONS.iter();
    for row in rows.filter(|row| row.when.holds(shape(system), None)) {
        let device = match row.holds {
            Holds::Uart => Some(board.uart.registers),
            Holds::CpuInterface => Some(board.gic.virtual_cpu),
            Holds::Timer => timer,
            Holds::Counter => counted,
            Holds::DiskRegisters => registers(board.disks),
            Holds::NetRegisters => registers(board.nics),
            _ => None,
        };
        let bytes = match row.holds {
            Holds::Page => Some(PAGE),
            Holds::Rings => Some(topology::CONSOLE_REGION_SIZE),
            Holds::StoreRings => Some(topology::STORE_REGION_SIZE),
            Holds::DiskQueues => Some(topology::DISKS_REGION_SIZE),
            Holds::DiskData => Some(topology::DISK_DATA_SIZE),
            Holds::NetQueues => Some(topology::NETS_REGION_SIZE),
            Holds::NetData => Some(topology::NET_DATA_SIZE),
            Holds::UplinkQueues => Some(topology::UPLINK_REGION_SIZE),
            Holds::UplinkData => Some(topology::UPLINK_DATA_SIZE),
            Holds::NetDma => Some(topology::NET_DMA_SIZE),
            Holds::DiskBuffer => Some(topology::DISK_BUFFER_SIZE),
            Holds::DiskDma => Some(topology::DISK_DMA_SIZE),
            _ => device.map(|device| device.size),
        };
        let mut add = |name: String, bytes| {
            if !found.iter().any(|known| known.name == name) {
                let device = device.map(|device| device.start);
                found.push(Region {
                    name,
                    device,
                    bytes,
                });
            }
        };
        match row.which {
            Which::One(name) => add(name.to_owned(), bytes),
            Which::Own(prefix) => {
                let has = |member: &Member| {
                    let mut maps = member.maps(shape(system));
                    maps.any(|map| map.which == row.which)
                };
                for member in members(system).filter(has) {
                    let p2m = of_domain(system, member).and_then(|domain| domain.p2m);
                    let bytes = if row.holds == Holds::P2m { p2m } else { bytes };
                    add(own(prefix, system, member), bytes);
                }
            }
            Which::Modules => {
                let modules = system.domains.iter().flat_map(|domain| &domain.modules);
                for (_, region) in modules {
                    add(region.clone(), None);
                }
            }
            Which::Pairs => {
                for (a, b) in system.meets.pairs() {
                    add(page(system, a, b), bytes);
                }
            }
            Which::RamDisks => {
                for region in &system.ram_disks {
                    add(region.clone(), None);
                }
            }
            // Mapped, never a region of their own.
            Which::AllRings | Which::OfVmms(..) | Which::AtCpuInterface(_) => {}
        }
    }
    found
}
