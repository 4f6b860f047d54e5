//! The kinds of changes.

use authority::{Cap, Id, Kind, Object, Rights, Spec, Time};
use untyped_plan::Paddr;

/// A generator of numbers that look random (Steele, Lea and Flood's SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or(0)
    }

    fn one_of<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        (!all.is_empty()).then(|| &all[self.below(all.len())])
    }

    fn bit(&mut self) -> bool {
        self.next() & 1 == 1
    }

    fn rights(&mut self) -> Rights {
        Rights {
            read: self.bit(),
            write: self.bit(),
            grant: self.bit(),
            grant_reply: self.bit(),
        }
    }

    /// A badge such as Microkit makes: a call, a fault, a notification, a number, none.
    fn badge(&mut self) -> u64 {
        let number = self.next() % 64;
        match self.below(5) {
            0 => (1 << 63) | number,
            1 => (1 << 62) | number,
            2 => 1 << number,
            3 => number,
            _ => 0,
        }
    }
}

type Change = fn(&mut Spec, &mut Random) -> Option<String>;

/// All kinds with their names.
pub(crate) const KINDS: &[(&str, Change)] = &[
    ("capability added", added),
    ("capability copied", copied),
    ("capability moved", moved),
    ("capability removed", removed),
    ("capability for another object", retargeted),
    ("capability: badge", badge),
    ("capability: rights", rights),
    ("capability: guard", guard),
    ("CNode: size", cnode_size),
    ("thread: bound to something", bound),
    ("thread: bound to nothing", unbound),
    ("thread: bound to another's", bound_to_anothers),
    ("thread: fault badge", fault_badge),
    ("thread: timeout handler", timeout),
    ("thread: priority", priority),
    ("thread: maximum controlled priority", max_priority),
    ("thread: scheduling domain", sched_domain),
    ("time: budget or period", time),
    ("time: badge", time_badge),
    ("page added", page_added),
    ("page copied", page_copied),
    ("page moved", page_moved),
    ("page removed", page_removed),
    ("page: another frame", page_retargeted),
    ("page: rights", page_rights),
    ("page: executable", page_executable),
    ("page: cached", page_cached),
    ("page table in a second place", table_shared),
    ("page table moved or removed", table_moved),
    ("physical address of a device", device_address),
    ("physical address of memory", memory_address),
    ("physical address given or taken", address_given),
    ("size of memory", memory_size),
    ("interrupt: INTID", intid),
    ("interrupt: edge", edge),
    ("interrupt: wakes another", wakes),
    ("names exchanged", names),
    ("object renamed", renamed),
];

/// Objects that `test` accepts.
fn those(spec: &Spec, test: impl Fn(&Object) -> bool) -> Vec<Id> {
    let all = spec.objects().filter(|(_, object)| test(object));
    all.map(|(id, _)| id).collect()
}

fn of_kind(spec: &Spec, kind: &Kind) -> Vec<Id> {
    those(spec, |object| object.kind == *kind)
}

/// A filled slot of an object of one of `kinds` whose capability `test` accepts.
fn filled(
    spec: &Spec,
    random: &mut Random,
    kinds: &[Kind],
    test: impl Fn(u32, &Cap) -> bool,
) -> Option<(Id, u32, Cap)> {
    let all: Vec<(Id, u32, Cap)> = spec
        .objects()
        .filter(|(_, object)| kinds.contains(&object.kind))
        .flat_map(|(id, object)| {
            object
                .slots
                .iter()
                .map(move |(slot, cap)| (id, *slot, cap.clone()))
        })
        .filter(|(_, slot, cap)| test(*slot, cap))
        .collect();
    random.one_of(&all).cloned()
}

const HOLDERS: [Kind; 2] = [Kind::CNode, Kind::Irq];

fn any_slot(_: u32, _: &Cap) -> bool {
    true
}

/// A slot of `holder` that exists; it may be filled.
fn some_slot(spec: &Spec, random: &mut Random, holder: Id) -> Option<u32> {
    let object = spec.get(holder)?;
    let slots = match object.kind {
        Kind::CNode => 1usize.checked_shl(object.size_bits.into())?,
        Kind::PageTable if object.level == Some(1) => 1024,
        Kind::PageTable => 512,
        _ => return None,
    };
    // Those in use are the ones that programs name.
    let near = random
        .bit()
        .then(|| random.one_of(&object.slots).map(|(slot, _)| *slot));
    match near.flatten() {
        Some(slot) => Some(slot),
        None => u32::try_from(random.below(slots)).ok(),
    }
}

/// A capability to `object` with whatever such a capability can have.
fn cap_to(spec: &Spec, random: &mut Random, object: Id) -> Option<Cap> {
    let kind = spec.get(object)?.kind.clone();
    let sends = matches!(kind, Kind::Endpoint | Kind::Notification);
    let cnode = kind == Kind::CNode;
    let has_rights = sends || kind == Kind::Frame;
    Some(Cap {
        object: Some(object),
        rights: has_rights.then(|| random.rights()),
        badge: if sends { random.badge() } else { 0 },
        guard: 0,
        guard_bits: if cnode && random.bit() { 49 } else { 0 },
        cached: kind == Kind::Frame && random.bit(),
        executable: kind == Kind::Frame && random.bit(),
        kind,
    })
}

/// An object; frames, the most frequent kind, are chosen less often.
fn some_object(spec: &Spec, random: &mut Random) -> Option<Id> {
    let frames = random.below(4) == 0;
    let all = those(spec, |object| (object.kind == Kind::Frame) == frames);
    random.one_of(&all).copied()
}

fn tell(spec: &Spec, id: Id, slot: u32, cap: &Cap) -> String {
    let object = cap.object.map_or("", |object| spec.name(object));
    format!("slot {slot} of {}: {object} {cap:?}", spec.name(id))
}

fn put(spec: &mut Spec, id: Id, slot: u32, cap: Cap) -> Option<String> {
    let told = tell(spec, id, slot, &cap);
    spec.insert(id, slot, cap);
    Some(told)
}

/// Changes the capability in a slot, and leaves it in its place among the others.
fn alter(
    spec: &mut Spec,
    (id, slot, _): (Id, u32, Cap),
    change: impl FnOnce(&mut Cap),
) -> Option<String> {
    let slots = &mut spec.edit(id)?.slots;
    let (_, cap) = slots.iter_mut().find(|(at, _)| *at == slot)?;
    change(cap);
    let cap = cap.clone();
    Some(tell(spec, id, slot, &cap))
}

fn take(spec: &mut Spec, id: Id, slot: u32) -> Option<String> {
    spec.edit(id)?.slots.retain(|(at, _)| *at != slot);
    Some(format!("slot {slot} of {} is emptied", spec.name(id)))
}

fn added(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let holder = *random.one_of(&of_kind(spec, &Kind::CNode))?;
    let slot = some_slot(spec, random, holder)?;
    let object = some_object(spec, random)?;
    let cap = cap_to(spec, random, object)?;
    put(spec, holder, slot, cap)
}

fn copied(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let (_, _, cap) = filled(spec, random, &HOLDERS, any_slot)?;
    let holder = *random.one_of(&of_kind(spec, &Kind::CNode))?;
    let slot = some_slot(spec, random, holder)?;
    put(spec, holder, slot, cap)
}

fn moved(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let (id, slot, cap) = filled(spec, random, &[Kind::CNode], any_slot)?;
    let holder = match random.bit() {
        true => id,
        false => *random.one_of(&of_kind(spec, &Kind::CNode))?,
    };
    let to = some_slot(spec, random, holder)?;
    take(spec, id, slot)?;
    put(spec, holder, to, cap)
}

fn removed(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let (id, slot, _) = filled(spec, random, &HOLDERS, any_slot)?;
    take(spec, id, slot)
}

fn another(spec: &Spec, random: &mut Random, cap: &Cap) -> Option<Id> {
    let all = of_kind(spec, &cap.kind);
    random
        .one_of(&all)
        .copied()
        .filter(|id| Some(*id) != cap.object)
}

fn retargeted(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let at = filled(spec, random, &HOLDERS, any_slot)?;
    let other = another(spec, random, &at.2)?;
    alter(spec, at, |cap| cap.object = Some(other))
}

fn badge(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let at = filled(spec, random, &HOLDERS, |_, cap| {
        matches!(cap.kind, Kind::Endpoint | Kind::Notification)
    })?;
    let badge = match random.bit() {
        true => random.badge(),
        // One bit of it.
        false => at.2.badge ^ (1 << random.below(64)),
    };
    alter(spec, at, |cap| cap.badge = badge)
}

fn rights(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let at = filled(spec, random, &HOLDERS, |_, cap| cap.rights.is_some())?;
    let rights = random.rights();
    alter(spec, at, |cap| cap.rights = Some(rights))
}

fn guard(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let kinds = [Kind::CNode, Kind::Tcb];
    let at = filled(spec, random, &kinds, |_, cap| cap.kind == Kind::CNode)?;
    let (bit, bits) = (1 << random.below(64), random.below(65));
    let one = random.bit();
    alter(spec, at, |cap| match one {
        true => cap.guard ^= bit,
        false => cap.guard_bits = u8::try_from(bits).unwrap_or(64),
    })
}

fn cnode_size(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let id = *random.one_of(&of_kind(spec, &Kind::CNode))?;
    let bits = 1 + random.below(20);
    let cnode = spec.edit(id)?;
    cnode.size_bits = u8::try_from(bits).ok()?;
    Some(format!("{} has 2^{bits} slots", cnode.name))
}

fn bound(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let thread = *random.one_of(&of_kind(spec, &Kind::Tcb))?;
    let object = some_object(spec, random)?;
    let cap = cap_to(spec, random, object)?;
    // The slots that objects of its kind are bound to.
    let slots: &[u32] = match cap.kind {
        Kind::CNode => &[0],
        Kind::PageTable => &[1],
        Kind::Frame => &[4],
        Kind::Endpoint => &[5, 7],
        Kind::SchedContext => &[6],
        Kind::Notification => &[8],
        Kind::VCpu => &[9],
        _ => &[2, 3, 10, 11],
    };
    let slot = *random.one_of(slots)?;
    put(spec, thread, slot, cap)
}

fn unbound(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let (id, slot, _) = filled(spec, random, &[Kind::Tcb], any_slot)?;
    take(spec, id, slot)
}

fn bound_to_anothers(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let at = filled(spec, random, &[Kind::Tcb], any_slot)?;
    let other = another(spec, random, &at.2)?;
    alter(spec, at, |cap| cap.object = Some(other))
}

fn fault_badge(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let at = filled(spec, random, &[Kind::Tcb], |slot, _| slot == 5)?;
    let badge = random.badge();
    alter(spec, at, |cap| cap.badge = badge)
}

fn timeout(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let thread = *random.one_of(&of_kind(spec, &Kind::Tcb))?;
    let endpoint = *random.one_of(&of_kind(spec, &Kind::Endpoint))?;
    let cap = cap_to(spec, random, endpoint)?;
    put(spec, thread, 7, cap)
}

fn of_thread(
    spec: &mut Spec,
    random: &mut Random,
    change: impl FnOnce(&mut Object, u8),
) -> Option<String> {
    let id = *random.one_of(&of_kind(spec, &Kind::Tcb))?;
    let number = u8::try_from(random.below(256)).ok()?;
    let thread = spec.edit(id)?;
    change(thread, number);
    Some(format!("{}: {number}", thread.name))
}

fn priority(spec: &mut Spec, random: &mut Random) -> Option<String> {
    of_thread(spec, random, |thread, to| thread.priority = to)
}

fn max_priority(spec: &mut Spec, random: &mut Random) -> Option<String> {
    of_thread(spec, random, |thread, to| thread.max_priority = to)
}

fn sched_domain(spec: &mut Spec, random: &mut Random) -> Option<String> {
    // Domain 0 is where everybody is.
    of_thread(spec, random, |thread, to| {
        thread.sched_domain = Some(u64::from(to.max(1)));
    })
}

fn of_time(
    spec: &mut Spec,
    random: &mut Random,
    change: impl FnOnce(&mut Time, &mut Random),
) -> Option<String> {
    let id = *random.one_of(&of_kind(spec, &Kind::SchedContext))?;
    let context = spec.edit(id)?;
    change(context.time.as_mut()?, random);
    Some(format!("{}: {:?}", context.name, context.time))
}

fn time(spec: &mut Spec, random: &mut Random) -> Option<String> {
    of_time(spec, random, |time, random| {
        let to = 1 + random.next() % 100_000;
        match random.bit() {
            true => time.budget = to,
            false => time.period = to,
        }
    })
}

fn time_badge(spec: &mut Spec, random: &mut Random) -> Option<String> {
    of_time(spec, random, |time, random| {
        time.badge = random.next() % 0x200
    })
}

fn frames(spec: &Spec) -> Vec<Id> {
    of_kind(spec, &Kind::Frame)
}

/// A page in an address space.
fn page(spec: &Spec, random: &mut Random) -> Option<(Id, u32, Cap)> {
    let frame = |_, cap: &Cap| cap.kind == Kind::Frame;
    filled(spec, random, &[Kind::PageTable], frame)
}

/// A page table that holds pages.
fn last_table(spec: &Spec, random: &mut Random) -> Option<Id> {
    let last = those(spec, |object| {
        object.kind == Kind::PageTable && object.level == Some(3)
    });
    random.one_of(&last).copied()
}

fn page_added(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let table = last_table(spec, random)?;
    let slot = some_slot(spec, random, table)?;
    let frame = *random.one_of(&frames(spec))?;
    let cap = cap_to(spec, random, frame)?;
    put(spec, table, slot, cap)
}

fn page_copied(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let (_, _, cap) = page(spec, random)?;
    let table = last_table(spec, random)?;
    let slot = some_slot(spec, random, table)?;
    put(spec, table, slot, cap)
}

fn page_moved(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let (id, slot, cap) = page(spec, random)?;
    let to = some_slot(spec, random, id)?;
    take(spec, id, slot)?;
    put(spec, id, to, cap)
}

fn page_removed(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let (id, slot, _) = page(spec, random)?;
    take(spec, id, slot)
}

fn page_retargeted(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let at = page(spec, random)?;
    let frame = *random.one_of(&frames(spec))?;
    alter(spec, at, |cap| cap.object = Some(frame))
}

fn page_rights(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let at = page(spec, random)?;
    let (all, read, write) = (random.rights(), random.bit(), random.bit());
    let few = Rights {
        read,
        write,
        ..Rights::default()
    };
    let rights = if random.bit() { all } else { few };
    alter(spec, at, |cap| cap.rights = Some(rights))
}

fn page_executable(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let at = page(spec, random)?;
    alter(spec, at, |cap| cap.executable = !cap.executable)
}

fn page_cached(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let at = page(spec, random)?;
    alter(spec, at, |cap| cap.cached = !cap.cached)
}

/// A capability to a page table in another one.
fn table(spec: &Spec, random: &mut Random) -> Option<(Id, u32, Cap)> {
    let table = |_, cap: &Cap| cap.kind == Kind::PageTable;
    filled(spec, random, &[Kind::PageTable], table)
}

fn table_shared(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let (_, _, cap) = table(spec, random)?;
    let to = *random.one_of(&of_kind(spec, &Kind::PageTable))?;
    let slot = some_slot(spec, random, to)?;
    put(spec, to, slot, cap)
}

fn table_moved(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let (id, slot, cap) = table(spec, random)?;
    let to = some_slot(spec, random, id)?;
    let told = take(spec, id, slot);
    match random.bit() {
        true => put(spec, id, to, cap),
        false => told,
    }
}

/// An address at a multiple of a page, near RAM and devices of the board.
fn address(random: &mut Random) -> Paddr {
    let page = (random.next() % 0x10_0000) << 12;
    Paddr(match random.below(3) {
        0 => 0x0800_0000 + page % 0x200_0000,
        1 => 0x4000_0000 + page % 0x8000_0000,
        _ => page,
    })
}

fn placed(spec: &mut Spec, random: &mut Random, of: impl Fn(&Object) -> bool) -> Option<String> {
    let all = those(spec, |object| object.paddr.is_some() && of(object));
    let id = *random.one_of(&all)?;
    let mut to = address(random);
    let object = spec.edit(id)?;
    // At a multiple of its size more often than not.
    if random.below(4) > 0 {
        to = Paddr(to.0 & !(object.bytes() - 1));
    }
    object.paddr = Some(to);
    Some(format!("{} at {:#x}", object.name, to.0))
}

fn is_device(object: &Object) -> bool {
    object.kind == Kind::Frame && !object.name.starts_with("frame_mr_module_")
}

fn device_address(spec: &mut Spec, random: &mut Random) -> Option<String> {
    placed(spec, random, is_device)
}

fn memory_address(spec: &mut Spec, random: &mut Random) -> Option<String> {
    placed(spec, random, |object| !is_device(object))
}

fn address_given(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let memory = those(spec, |object| {
        matches!(object.kind, Kind::Frame | Kind::Untyped)
    });
    let id = *random.one_of(&memory)?;
    let to = address(random);
    let object = spec.edit(id)?;
    object.paddr = match object.paddr {
        Some(_) => None,
        None => Some(to),
    };
    Some(format!("{} at {:?}", object.name, object.paddr))
}

fn memory_size(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let kind = if random.bit() {
        Kind::Frame
    } else {
        Kind::Untyped
    };
    let id = *random.one_of(&of_kind(spec, &kind))?;
    let bits = 4 + random.below(30);
    let object = spec.edit(id)?;
    object.size_bits = u8::try_from(bits).ok()?;
    Some(format!("{} has 2^{bits} bytes", object.name))
}

fn intid(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let index = random.below(spec.irqs().len().max(1));
    let to = random.next() % 128;
    spec.set_irq(index, to);
    Some(format!("interrupt {index} is {to}"))
}

fn edge(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let id = *random.one_of(&of_kind(spec, &Kind::Irq))?;
    let irq = spec.edit(id)?;
    irq.edge = !irq.edge;
    Some(irq.name.clone())
}

fn wakes(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let id = *random.one_of(&of_kind(spec, &Kind::Irq))?;
    let notification = *random.one_of(&of_kind(spec, &Kind::Notification))?;
    let cap = cap_to(spec, random, notification)?;
    put(spec, id, 0, cap)
}

fn names(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let one = some_object(spec, random)?;
    let kind = spec.get(one)?.kind.clone();
    let other = *random.one_of(&of_kind(spec, &kind))?;
    let (a, b) = (spec.name(one).to_owned(), spec.name(other).to_owned());
    let told = format!("{a} and {b}");
    spec.edit(one)?.name = b;
    spec.edit(other)?.name = a;
    Some(told)
}

fn renamed(spec: &mut Spec, random: &mut Random) -> Option<String> {
    let one = some_object(spec, random)?;
    let other = some_object(spec, random)?;
    let to = match random.bit() {
        true => spec.name(other).to_owned(),
        false => format!("{}_{}", spec.name(one), random.below(10)),
    };
    let object = spec.edit(one)?;
    let told = format!("{} is called {to}", object.name);
    object.name = to;
    Some(told)
}
