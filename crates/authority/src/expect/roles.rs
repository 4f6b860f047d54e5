//! The table: everybody's part in the system. What changes in the system's structure changes here.

use board::{Board, Timer};
use topology::pd::time::{self, Time};
use topology::pd::{self, priority};
use topology::{channel, child, console_client, stack, vaddr};

use super::System;
use crate::spec::Rights;

/// The highest priority that a thread may give itself or another: nobody sets any. With one above 0 a VMM could set its
/// guest's priority to what it is, for which the kernel puts the thread before all others.
pub(crate) const MAX_PRIORITY: u8 = 0;

/// A protection domain.
pub(crate) struct Pd {
    pub(crate) name: String,
    /// Scheduling priority in the image.
    pub(crate) priority: u8,
    pub(crate) time: Time,
    /// Whether it runs on its callers' time: the fault server binds its scheduling context to its notification.
    pub(crate) on_callers_time: bool,
    /// Who is told of its faults, and its number there; nobody: Microkit's monitor.
    pub(crate) parent: Option<(&'static str, usize)>,
    /// Bytes of its stack.
    pub(crate) stack: u64,
    pub(crate) maps: Vec<Map>,
    /// Its interrupt: a GIC INTID.
    pub(crate) irq: Option<u32>,
    pub(crate) vm: Option<Vm>,
}

/// The virtual machine of a protection domain, with one vCPU.
pub(crate) struct Vm {
    pub(crate) name: String,
    pub(crate) priority: u8,
    pub(crate) time: Time,
    pub(crate) maps: Vec<Map>,
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

/// Read only.
const R: Rights = Rights {
    read: true,
    write: false,
    grant: false,
    grant_reply: false,
};
/// Read and write.
const RW: Rights = Rights { write: true, ..R };

fn map(region: impl Into<String>, vaddr: u64, rights: Rights) -> Map {
    Map {
        region: region.into(),
        vaddr,
        rights,
        executable: false,
        cached: true,
    }
}

fn device(region: impl Into<String>, vaddr: u64, rights: Rights) -> Map {
    Map {
        cached: false,
        ..map(region, vaddr, rights)
    }
}

fn vmm_name(domain: &str) -> String {
    format!("{}{domain}", pd::VMM_PREFIX)
}

fn gate_name(domain: &str) -> String {
    format!("{}{domain}", pd::GATE_PREFIX)
}

fn rings(client: &str) -> String {
    format!("console_{client}")
}

/// The servers that are clients of the console, with their numbers.
const SERVERS: [(usize, &str); 4] = [
    (console_client::MEMORY_SERVER, pd::MEMORY_SERVER),
    (console_client::DT_SERVER, pd::DT_SERVER),
    (console_client::TIMER_SERVER, pd::TIMER_SERVER),
    (console_client::FAULT_SERVER, pd::FAULT_SERVER),
];

/// Clients of the console: number, name of the rings, and protection domain.
fn clients(system: &System) -> impl Iterator<Item = (usize, String, String)> {
    let domains = system.domains.iter().enumerate();
    let vmms = domains.map(|(i, domain)| (i, domain.name.clone(), vmm_name(&domain.name)));
    let servers = SERVERS.map(|(number, name)| (number, name.to_owned(), name.to_owned()));
    vmms.chain(servers)
}

/// All protection domains, in Microkit's order: children follow their parent.
pub(crate) fn pds(system: &System) -> Vec<Pd> {
    let board = system.board;
    // A server is a child of the fault server by its number as the console's client.
    let server = |name: &str, time| Pd {
        name: name.to_owned(),
        priority: priority::SHARED,
        time,
        on_callers_time: false,
        parent: SERVERS
            .iter()
            .find(|(_, server)| *server == name && name != pd::FAULT_SERVER)
            .map(|&(number, _)| (pd::FAULT_SERVER, number)),
        stack: stack::SMALL,
        maps: vec![map(rings(name), vaddr::CONSOLE_REGION, RW)],
        irq: None,
        vm: None,
    };
    // Where it tells the time it runs before all others.
    let timer_server = match board.timer {
        Timer::System { .. } => (priority::SHARED, time::TIMER_SERVER),
        Timer::Ttc { .. } => (priority::TIMER_SERVER, time::TIMER_SERVER_WITH_CLOCK),
    };
    let with = |mut pd: Pd, maps: Vec<Map>| {
        pd.maps.extend(maps);
        pd
    };
    let mut pds = vec![
        server(pd::FAULT_SERVER, time::FAULT_SERVER),
        Pd {
            on_callers_time: true,
            stack: stack::LARGE,
            ..with(
                server(pd::MEMORY_SERVER, time::PASSIVE),
                vec![map("records", vaddr::RECORDS, RW)],
            )
        },
        Pd {
            on_callers_time: true,
            ..with(
                server(pd::DT_SERVER, time::PASSIVE),
                vec![map("boot_dtb", vaddr::BOOT_DTB, R)],
            )
        },
        Pd {
            priority: timer_server.0,
            irq: Some(board.timer.intid()),
            vm: clock_vm(board),
            ..with(server(pd::TIMER_SERVER, timer_server.1), timer(board))
        },
    ];
    let pulse = board.timer.kind().is_within_reach_of_guests();
    pds.extend(pulse.then(|| Pd {
        name: pd::PULSE.to_owned(),
        priority: priority::PULSE,
        time: time::PULSE,
        on_callers_time: false,
        parent: Some((pd::FAULT_SERVER, child::PULSE)),
        stack: stack::GATE,
        maps: Vec::new(),
        irq: None,
        vm: None,
    }));
    let domains = system.domains.iter().enumerate();
    pds.extend(domains.flat_map(|(i, domain)| {
        let modules = domain.modules.iter();
        let modules = modules.map(|(number, region)| map(region, vaddr::module(*number), R));
        let mut maps = vec![
            map(rings(&domain.name), vaddr::CONSOLE_REGION, RW),
            map(p2m(&domain.name), vaddr::P2M, RW),
        ];
        maps.extend(modules.chain(time(board, R)));
        let gate = Pd {
            name: gate_name(&domain.name),
            priority: priority::SHARED,
            time: time::PASSIVE,
            on_callers_time: true,
            parent: Some((pd::FAULT_SERVER, child::GATE + i)),
            stack: stack::GATE,
            maps: Vec::new(),
            irq: None,
            vm: None,
        };
        let vmm = Pd {
            name: vmm_name(&domain.name),
            priority: priority::SHARED,
            time: time::VMM,
            on_callers_time: true,
            parent: Some((pd::FAULT_SERVER, i)),
            stack: stack::LARGE,
            maps,
            irq: None,
            vm: Some(Vm {
                name: domain.name.clone(),
                priority: priority::SHARED,
                time: time::VCPU,
                maps: vec![device("gicv", domain.gicc, RW)],
            }),
        };
        [gate, vmm]
    }));
    let mut maps = vec![device("uart", vaddr::UART, RW)];
    maps.extend(time(board, R));
    let rings = clients(system);
    maps.extend(rings.map(|(i, name, _)| map(self::rings(&name), vaddr::console_client(i), RW)));
    pds.push(Pd {
        maps,
        irq: Some(board.uart.intid),
        ..server(pd::CONSOLE, time::CONSOLE)
    });
    pds
}

/// Who may call or notify whom.
pub(crate) fn links(system: &System) -> Vec<Link> {
    let link = |from: &str, channel, to: &str, number, way| Link {
        from: from.to_owned(),
        channel,
        to: to.to_owned(),
        number,
        way,
    };
    let call = |from: &str, channel, to: &str, number| link(from, channel, to, number, Way::Call);
    let notify =
        |from: &str, channel, to: &str, number| link(from, channel, to, number, Way::Notify);
    let mut links = vec![
        call(
            pd::FAULT_SERVER,
            channel::FAULTS_MEMORY,
            pd::MEMORY_SERVER,
            channel::MEMORY_FAULTS,
        ),
        call(
            pd::CONSOLE,
            channel::CONSOLE_TIMER,
            pd::TIMER_SERVER,
            channel::TIMER_CLIENT_CONSOLE,
        ),
        notify(
            pd::TIMER_SERVER,
            channel::TIMER_CLIENT_CONSOLE,
            pd::CONSOLE,
            channel::CONSOLE_TIMER,
        ),
    ];
    if system.board.timer.kind().is_within_reach_of_guests() {
        links.extend([
            notify(
                pd::PULSE,
                channel::PULSE_TIMER,
                pd::TIMER_SERVER,
                channel::TIMER_PULSE,
            ),
            notify(
                pd::TIMER_SERVER,
                channel::TIMER_PULSE,
                pd::PULSE,
                channel::PULSE_TIMER,
            ),
        ]);
    }
    for (i, domain) in system.domains.iter().enumerate() {
        let vmm = vmm_name(&domain.name);
        let gate = gate_name(&domain.name);
        links.push(call(&vmm, channel::MEMORY, &gate, channel::MEMORY));
        links.push(call(&vmm, channel::DT, &gate, channel::DT));
        links.push(call(&gate, channel::GATE_MEMORY, pd::MEMORY_SERVER, i));
        links.push(call(&gate, channel::GATE_DT, pd::DT_SERVER, i));
        links.push(call(&vmm, channel::TIMER, pd::TIMER_SERVER, i));
        links.push(notify(pd::TIMER_SERVER, i, &vmm, channel::TIMER));
        links.push(notify(&vmm, channel::CONSOLE, pd::CONSOLE, i));
        links.push(notify(pd::CONSOLE, i, &vmm, channel::CONSOLE));
    }
    for (number, server) in SERVERS {
        links.push(notify(server, channel::SERVER_CONSOLE, pd::CONSOLE, number));
        links.push(notify(pd::CONSOLE, number, server, channel::SERVER_CONSOLE));
    }
    links
}

/// All memory regions.
pub(crate) fn regions(system: &System) -> Vec<Region> {
    let board = system.board;
    let ram = |name: String, bytes| Region {
        name,
        device: None,
        bytes,
    };
    let device = |name: &str, area: board::Area| Region {
        name: name.to_owned(),
        device: Some(area.start),
        bytes: Some(area.size),
    };
    let mut regions = vec![
        device("uart", board.uart.registers),
        device("gicv", board.gic.virtual_cpu),
        ram("records".into(), None),
        ram("boot_dtb".into(), None),
    ];
    if let Timer::Ttc { timer, counter, .. } = board.timer {
        regions.push(device("timer", timer));
        regions.push(device("clock_counter", counter));
        regions.push(ram("clock_page".into(), Some(PAGE)));
        regions.push(ram("clock_code".into(), Some(PAGE)));
    }
    for (_, name, _) in clients(system) {
        regions.push(ram(rings(&name), Some(topology::CONSOLE_REGION_SIZE)));
    }
    for domain in &system.domains {
        regions.push(ram(p2m(&domain.name), domain.p2m));
        for (_, region) in &domain.modules {
            if !regions.iter().any(|known| known.name == *region) {
                regions.push(ram(region.clone(), None));
            }
        }
    }
    regions
}

const PAGE: u64 = 0x1000;

fn p2m(domain: &str) -> String {
    format!("p2m_{domain}")
}

/// What tells the time on a board where user level cannot read the system counter.
fn time(board: &Board, rights: Rights) -> Vec<Map> {
    match board.timer {
        Timer::System { .. } => Vec::new(),
        Timer::Ttc { .. } => vec![
            map("clock_page", vaddr::CLOCK_PAGE, rights),
            device("clock_counter", vaddr::CLOCK_COUNTER, rights),
        ],
    }
}

/// What the timer server has beside its rings.
fn timer(board: &Board) -> Vec<Map> {
    let mut maps = time(board, RW);
    if let Timer::Ttc { .. } = board.timer {
        maps.push(device("timer", vaddr::TIMER_REGISTERS, RW));
        maps.push(device("clock_code", vaddr::CLOCK_CODE, RW));
    }
    maps
}

/// The virtual machine of the timer server, which reads the system counter for it.
fn clock_vm(board: &Board) -> Option<Vm> {
    let Timer::Ttc { .. } = board.timer else {
        return None;
    };
    Some(Vm {
        name: pd::CLOCK_VM.to_owned(),
        priority: priority::CLOCK_VM,
        time: time::CLOCK_VM,
        maps: vec![
            Map {
                executable: true,
                ..map("clock_code", vaddr::CLOCK_VM_CODE, R)
            },
            device("clock_counter", vaddr::CLOCK_VM_COUNTER, R),
        ],
    })
}
