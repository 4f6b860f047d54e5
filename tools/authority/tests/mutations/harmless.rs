//! Changes that may pass. There are three kinds; each is recognised by what it changes, not by what
//! the rules say.

use authority::{Id, Kind, Object, Spec};
use untyped_plan::Span;

/// RAM that nobody else has serves as well as other RAM. The heap, a domain's page tables and a
/// file lie where the image builder finds room; whoever holds them holds them wherever they are.
const ELSEWHERE: &str = "memory-elsewhere";
/// How far the sections of a program go is the program's affair: a page at the border of two is
/// read-only, executable or writable, but never both of these. It is that protection domain's own,
/// and stays so.
const BORDER: &str = "program-border";
/// Nobody goes by the name of a page table below the root: neither the initialiser nor a rule. What
/// it is, is where it is.
const NAME: &str = "page-table-name";

/// Which kinds of changes they can come of.
pub(crate) const REASONS: [(&str, &str); 7] = [
    ("physical address of memory", ELSEWHERE),
    ("physical address given or taken", ELSEWHERE),
    ("size of memory", ELSEWHERE),
    ("page: rights", BORDER),
    ("page: executable", BORDER),
    ("names exchanged", NAME),
    ("object renamed", NAME),
];

/// The name of the reason why what `after` changes of `before` does no harm.
pub(crate) fn harmless(before: &Spec, after: &Spec) -> Option<&'static str> {
    let pairs = before.objects().zip(after.objects());
    let changed: Vec<_> = pairs.filter(|((_, old), (_, new))| old != new).collect();
    if before.irqs() != after.irqs() {
        return None;
    }
    let named =
        |((_, old), (_, new)): &((Id, &Object), (Id, &Object))| name_of_a_table(after, old, new);
    if changed.iter().all(named) {
        return Some(NAME);
    }
    let [((id, old), (_, new))] = *changed.as_slice() else {
        return None;
    };
    if old.name != new.name {
        return None;
    }
    if elsewhere(after, id, old, new) {
        return Some(ELSEWHERE);
    }
    border(before, old, new).then_some(BORDER)
}

fn name_of_a_table(after: &Spec, old: &Object, new: &Object) -> bool {
    let only_name = Object {
        name: old.name.clone(),
        ..new.clone()
    } == *old;
    let mut others = after.objects().filter(|(_, other)| other.name == new.name);
    let once = others.next().is_some() && others.next().is_none();
    only_name && once && old.kind == Kind::PageTable && old.level.is_some_and(|level| level > 1)
}

fn elsewhere(after: &Spec, id: Id, old: &Object, new: &Object) -> bool {
    let only_place = Object {
        paddr: old.paddr,
        size_bits: old.size_bits,
        ..new.clone()
    } == *old;
    let free = old.kind == Kind::Untyped && !old.name.contains("_static_");
    // A file in one piece; of several, one that lies apart is noticed.
    let file = old.kind == Kind::Frame
        && old.name.starts_with("frame_mr_module_")
        && old.size_bits == new.size_bits;
    let Some(span) = new.span() else {
        // Then the initialiser finds a place.
        return only_place && file && new.paddr.is_none();
    };
    let aligned = span.start().0 % span.size() == 0;
    let apart = |other: Option<Span>| other.is_none_or(|other| span.intersection(other).is_none());
    let mut others = after.objects().filter(|(other, _)| *other != id);
    let mut ram = board::QEMU_VIRT.ram.iter();
    only_place
        && (free || file)
        && old.paddr.is_some()
        && aligned
        && ram.any(|ram| ram.start <= span.start().0 && span.end().0 <= ram.end())
        && others.all(|(_, other)| apart(other.span()))
}

fn border(spec: &Spec, old: &Object, new: &Object) -> bool {
    if old.kind != Kind::PageTable || old.slots.len() != new.slots.len() {
        return false;
    }
    let pairs = old.slots.iter().zip(&new.slots);
    let changed: Vec<_> = pairs.filter(|(a, b)| a != b).collect();
    let [((slot, was), (new_slot, is))] = changed.as_slice() else {
        return false;
    };
    let name = is.object.map_or("", |id| spec.name(id));
    let program = name.strip_prefix("frame_elf_");
    let own = program.and_then(|rest| rest.rsplit_once('_'));
    let own = own.is_some_and(|(pd, _)| old.name.starts_with(&format!("pt_{pd}_vaddr_")));
    let rights = is.rights.unwrap_or_default();
    slot == new_slot
        && was.object == is.object
        && was.kind == is.kind
        && is.cached
        && own
        && rights.read
        && !(rights.write && is.executable)
        && !rights.grant
        && !rights.grant_reply
}
