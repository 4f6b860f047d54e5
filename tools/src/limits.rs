//! Microkit's limits (2.3: manual, chapter "System Description File", and `sdf.rs`), checked before
//! Microkit does, and all at once.

use std::collections::BTreeMap;

use crate::system::{Channel, End, System};

/// Most protection domains of a system.
pub const MAX_PDS: usize = 63;
/// Most channels and interrupts of one protection domain; ids are 0..=61.
pub const MAX_CHANNELS: usize = 62;
/// First address that no protection domain has (40 bits).
pub const VADDR_END: u64 = 1 << 40;
/// The highest priority.
pub const MAX_PRIORITY: u8 = 254;

/// Everything in `system` that Microkit would refuse, in words; empty if there is nothing.
pub fn check(system: &System) -> Vec<String> {
    let mut wrong = Vec::new();
    if system.pds.len() > MAX_PDS {
        wrong.push(format!(
            "{} protection domains, but Microkit has at most {MAX_PDS}: use fewer domains",
            system.pds.len()
        ));
    }
    names(system, &mut wrong);
    channel_ids(system, &mut wrong);
    for channel in &system.channels {
        calls(system, channel, &mut wrong);
    }
    for pd in &system.pds {
        if pd.priority > MAX_PRIORITY {
            wrong.push(format!(
                "{}: priority {} is above {MAX_PRIORITY}",
                pd.name, pd.priority
            ));
        }
        maps(system, &pd.name, &pd.maps, &mut wrong);
        if let Some(vm) = &pd.vm {
            maps(system, &vm.name, &vm.maps, &mut wrong);
        }
    }
    wrong
}

fn names(system: &System, wrong: &mut Vec<String>) {
    let pds = system
        .pds
        .iter()
        .map(|pd| ("protection domain", pd.name.as_str()));
    let vms = system
        .pds
        .iter()
        .filter_map(|pd| pd.vm.as_ref())
        .map(|vm| ("virtual machine", vm.name.as_str()));
    let regions = system
        .regions
        .iter()
        .map(|region| ("memory region", region.name.as_str()));
    let mut seen = BTreeMap::new();
    for name in pds.chain(vms).chain(regions) {
        let count = seen.entry(name).or_insert(0);
        *count += 1;
        if *count == 2 {
            wrong.push(format!(
                "two of the kind {} have the name {}",
                name.0, name.1
            ));
        }
    }
}

fn channel_ids(system: &System, wrong: &mut Vec<String>) {
    let ends = system
        .channels
        .iter()
        .flat_map(|channel| [&channel.a, &channel.b])
        .map(|end| (end.pd.as_str(), end.id));
    // Children and their parents' channels share the numbers.
    let children = system
        .pds
        .iter()
        .filter_map(|pd| pd.parent.as_ref())
        .map(|(parent, id)| (parent.as_str(), *id));
    let irqs = system
        .pds
        .iter()
        .flat_map(|pd| pd.irqs.iter().map(|(_, id)| (pd.name.as_str(), *id)));
    let mut seen = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for (pd, id) in ends.chain(irqs).chain(children) {
        *counts.entry(pd).or_insert(0usize) += 1;
        if seen.insert((pd, id), ()).is_some() {
            wrong.push(format!("{pd}: channel id {id} is used twice"));
        }
        if id >= MAX_CHANNELS {
            wrong.push(format!(
                "{pd}: channel id {id}, but Microkit has ids 0 to {}",
                MAX_CHANNELS - 1
            ));
        }
    }
    for (pd, count) in counts {
        if count > MAX_CHANNELS {
            wrong.push(format!(
                "{pd}: {count} channels and interrupts, but Microkit has at most {MAX_CHANNELS}: use fewer domains"
            ));
        }
    }
}

fn calls(system: &System, channel: &Channel, wrong: &mut Vec<String>) {
    let Channel { a, b } = channel;
    if a.pp && b.pp {
        wrong.push(format!("{} and {} would call each other", a.pd, b.pd));
    }
    let priority = |end: &End| {
        system
            .pds
            .iter()
            .find(|pd| pd.name == end.pd)
            .map(|pd| pd.priority)
    };
    for (caller, callee) in [(a, b), (b, a)] {
        let (Some(from), Some(to)) = (priority(caller), priority(callee)) else {
            if priority(caller).is_none() {
                wrong.push(format!(
                    "a channel names {}, which is no protection domain",
                    caller.pd
                ));
            }
            continue;
        };
        if caller.pp && from >= to {
            wrong.push(format!(
                "{} (priority {from}) calls {} (priority {to}); a call goes to a strictly higher priority, so that no two wait for each other and who answers is not held up by who asks: give {} a priority above {from}",
                caller.pd, callee.pd, callee.pd
            ));
        }
    }
}

fn maps(system: &System, owner: &str, maps: &[crate::system::Map], wrong: &mut Vec<String>) {
    let mut seen: Vec<(&str, u64, u64)> = Vec::new();
    for map in maps {
        let Some(region) = system
            .regions
            .iter()
            .find(|region| region.name == map.region)
        else {
            wrong.push(format!(
                "{owner}: maps {}, which is no memory region",
                map.region
            ));
            continue;
        };
        // The size of a file is not known here: it counts as one page.
        let page = region.page_size.unwrap_or(0x1000);
        let size = region.size.unwrap_or(page);
        if !map.vaddr.is_multiple_of(page) || !size.is_multiple_of(page) {
            wrong.push(format!(
                "{owner}: {} at {:#x} is not aligned to its pages of {page:#x}",
                map.region, map.vaddr
            ));
        }
        let end = map.vaddr.saturating_add(size);
        if end > VADDR_END {
            wrong.push(format!(
                "{owner}: {} ends at {end:#x}, above {VADDR_END:#x}",
                map.region
            ));
        }
        for (other, start, other_end) in &seen {
            if map.vaddr < *other_end && *start < end {
                wrong.push(format!(
                    "{owner}: {} at {:#x} overlaps {other}",
                    map.region, map.vaddr
                ));
            }
        }
        seen.push((&map.region, map.vaddr, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::{Map, Pd, Region, Vm};

    fn pd(name: &str, priority: u8) -> Pd {
        Pd {
            name: name.into(),
            comment: String::new(),
            priority,
            core: None,
            time: topology::pd::time::VMM,
            stack: 0x1000,
            image: "x.elf".into(),
            maps: vec![],
            irqs: vec![],
            vm: None,
            parent: None,
        }
    }

    fn region(name: &str, size: u64) -> Region {
        Region {
            name: name.into(),
            comment: String::new(),
            size: Some(size),
            page_size: None,
            phys_addr: None,
            prefill: None,
        }
    }

    fn end(pd: &str, id: usize, pp: bool) -> End {
        End {
            pd: pd.into(),
            id,
            pp,
            notify: true,
        }
    }

    fn base() -> System {
        System {
            pds: vec![pd("low", 1), pd("high", 2)],
            regions: vec![region("r", 0x2000), region("s", 0x1000)],
            channels: vec![Channel {
                a: end("low", 0, true),
                b: end("high", 0, false),
            }],
        }
    }

    /// Changes a good system and expects one complaint with `says` in it.
    fn refused(edit: impl FnOnce(&mut System), says: &str) {
        let mut system = base();
        assert_eq!(check(&system), Vec::<String>::new());
        edit(&mut system);
        let wrong = check(&system);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].contains(says), "{wrong:?}");
    }

    #[test]
    fn sixty_four_protection_domains() {
        refused(
            |s| s.pds.extend((0..62).map(|i| pd(&format!("p{i}"), 1))),
            "64 protection domains",
        );
        let mut system = base();
        system.pds.extend((0..61).map(|i| pd(&format!("p{i}"), 1)));
        assert!(check(&system).is_empty());
    }

    #[test]
    fn channel_ids_have_a_limit_and_are_used_once() {
        refused(|s| s.channels[0].a.id = 62, "low: channel id 62");
        refused(
            |s| s.pds[1].irqs.push((33, 0)),
            "high: channel id 0 is used twice",
        );
        refused(
            |s| {
                s.channels.push(Channel {
                    a: end("low", 0, false),
                    b: end("high", 1, false),
                })
            },
            "low: channel id 0",
        );
        let mut system = base();
        system.pds[1].irqs = (1..62).map(|id| (id + 32, id as usize)).collect();
        assert!(check(&system).is_empty());
        system.pds[1].irqs.push((99, 62));
        assert!(
            check(&system)
                .iter()
                .any(|w| w.contains("63 channels and interrupts"))
        );
    }

    #[test]
    fn calls_go_up() {
        refused(|s| s.pds[0].priority = 2, "strictly higher");
        refused(|s| s.pds[1].priority = 255, "above 254");
        refused(
            |s| s.channels[0].b.pd = "nobody".into(),
            "nobody, which is no protection domain",
        );
        let mut system = base();
        system.channels[0].b.pp = true;
        assert!(check(&system).iter().any(|w| w.contains("call each other")));
    }

    #[test]
    fn names_are_unique() {
        refused(
            |s| s.regions.push(region("s", 0x1000)),
            "memory region have the name s",
        );
        refused(
            |s| s.pds.push(pd("low", 1)),
            "protection domain have the name low",
        );
        refused(
            |s| {
                for pd in &mut s.pds {
                    pd.vm = Some(Vm {
                        name: "vm".into(),
                        priority: 1,
                        time: topology::pd::time::VCPU,
                        vcpus: vec![(0, None)],
                        maps: vec![],
                    });
                }
            },
            "virtual machine have the name vm",
        );
    }

    #[test]
    fn mappings_fit() {
        refused(
            |s| s.pds[0].maps.push(Map::new("t", 0, "r")),
            "no memory region",
        );
        refused(
            |s| s.pds[0].maps.push(Map::new("r", 0x1800, "r")),
            "not aligned",
        );
        refused(
            |s| s.pds[0].maps.push(Map::new("r", VADDR_END - 0x1000, "r")),
            "above",
        );
        refused(
            |s| {
                s.pds[0]
                    .maps
                    .extend([Map::new("r", 0, "r"), Map::new("s", 0x1000, "r")])
            },
            "overlaps r",
        );
        let mut system = base();
        system.pds[0].maps = vec![Map::new("r", 0, "r"), Map::new("s", 0x2000, "r")];
        assert!(check(&system).is_empty());
    }
}
