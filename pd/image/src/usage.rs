//! How much memory each protection domain takes.

use microkit_tool::capdl::CapDLSpecContainer;
use microkit_tool::sdf::SystemDescription;
use microkit_tool::sel4::Config;

use crate::common::Common;
use crate::order;

/// Memory of a protection domain, in bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Usage {
    /// Its name.
    pub name: String,
    /// Its program without what it shares, stack and IPC buffer, its page tables and other objects
    /// of the kernel's.
    pub own: u64,
    /// Memory regions that it has for itself.
    pub regions: u64,
    /// Memory regions, and pages of its program, that others have too, as a whole.
    pub shared: u64,
}

/// What the names of objects start with that belong to the protection domain whose name follows.
const KINDS: [&str; 11] = [
    "frame_elf_",
    "frame_ipcbuf_",
    "frame_",
    "pt_",
    "pd_",
    "pud_",
    "cnode_",
    "tcb_",
    "sched_context_",
    "ntfn_",
    "reply_",
];

/// That of each protection domain of `system`, of which `container` is the specification and
/// `common` says who shares its program; devices are no memory.
pub(crate) fn of_pds(
    system: &SystemDescription,
    container: &CapDLSpecContainer,
    config: &Config,
    common: &Common,
) -> Vec<Usage> {
    let pds = &system.protection_domains;
    let mut usage: Vec<Usage> = pds
        .iter()
        .map(|pd| Usage {
            name: pd.name.clone(),
            own: 0,
            regions: 0,
            shared: common.get(&pd.name).copied().unwrap_or(0),
        })
        .collect();
    let planned = order::planned(container, config);
    for (named, planned) in container.spec.objects.iter().zip(&planned) {
        let (Some(name), Some(bits)) = (&named.name, planned.bits) else {
            continue;
        };
        if let Some(whose) = owner(name, usage.iter().map(|usage| usage.name.as_str())) {
            usage[whose].own += 1 << bits;
        }
    }
    for region in &system.memory_regions {
        let maps = pds.iter().map(|pd| {
            let mut maps = pd.maps.iter();
            maps.find(|map| map.mr == region.name)
        });
        let maps: Vec<_> = maps.collect();
        if maps.iter().flatten().any(|map| !map.cached) {
            continue;
        }
        let alone = maps.iter().flatten().count() == 1;
        for (usage, _) in usage.iter_mut().zip(&maps).filter(|(_, map)| map.is_some()) {
            if alone {
                usage.regions += region.size;
            } else {
                usage.shared += region.size;
            }
        }
    }
    usage
}

/// Which of `pds` the object called `name` belongs to: of several the one with the longest name.
fn owner<'a>(name: &str, pds: impl Iterator<Item = &'a str>) -> Option<usize> {
    let rest = KINDS.iter().find_map(|kind| name.strip_prefix(kind))?;
    let is = |pd: &str| {
        let behind = rest.strip_prefix(pd);
        behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('_'))
    };
    let found = pds.enumerate().filter(|(_, pd)| is(pd));
    found.max_by_key(|(_, pd)| pd.len()).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_object_belongs_to_the_longest_name_in_its_own() {
        let pds = ["vmm_a", "vmm_a_b", "console"];
        let owner = |name| super::owner(name, pds.into_iter());
        assert_eq!(owner("frame_elf_vmm_a_000000003"), Some(0));
        assert_eq!(owner("frame_vmm_a_b_stack_000000000"), Some(1));
        assert_eq!(owner("cnode_console_root"), Some(2));
        assert_eq!(owner("frame_mr_console_a_000000000"), None);
        assert_eq!(owner("untyped_zazen_000_heap"), None);
    }
}
