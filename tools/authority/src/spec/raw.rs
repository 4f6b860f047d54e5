//! The JSON as it is written, and what it becomes.

use std::collections::BTreeMap;

use serde::Deserialize;
use untyped_plan::Paddr;

use super::{Cap, Id, Kind, Object, Rights, SpecError, Time};

pub(super) fn object(name: String, raw: RawObject) -> Result<Object, SpecError> {
    let (kind, body) = match raw {
        RawObject::Unit(kind) => (kind, RawBody::default()),
        RawObject::Body(map) => match one(map) {
            Some(entry) => entry,
            None => return Err(SpecError::Object(name)),
        },
    };
    let mut slots = Vec::with_capacity(body.slots.len());
    for entry in body.slots {
        let cap = cap(entry.cap).ok_or_else(|| SpecError::Object(name.clone()))?;
        slots.push((entry.slot, cap));
    }
    let extra = body.extra.unwrap_or_default();
    Ok(Object {
        name,
        kind: Kind::new(&kind),
        slots,
        size_bits: body.size_bits,
        paddr: body.paddr.map(Paddr),
        level: body.level,
        priority: extra.prio,
        core: extra.affinity,
        max_priority: extra.max_prio,
        sched_domain: extra.domain,
        time: extra.budget.zip(extra.period).map(|(budget, period)| Time {
            budget,
            period,
            badge: extra.badge,
        }),
        irq: None,
        edge: extra.trigger != 0,
    })
}

fn cap(raw: RawCap) -> Option<Cap> {
    let (kind, body) = match raw {
        RawCap::Unit(kind) => (kind, RawCapBody::default()),
        RawCap::Body(map) => one(map)?,
    };
    Some(Cap {
        kind: Kind::new(&kind),
        object: body.object,
        rights: body.rights,
        badge: body.badge,
        guard: body.guard,
        guard_bits: body.guard_size,
        cached: body.cached,
        executable: body.executable,
    })
}

fn one<T>(map: BTreeMap<String, T>) -> Option<(String, T)> {
    let mut entries = map.into_iter();
    let first = entries.next()?;
    entries.next().is_none().then_some(first)
}

#[derive(Deserialize)]
pub(super) struct RawSpec {
    pub(super) objects: Vec<RawNamed>,
    #[serde(default)]
    pub(super) irqs: Vec<RawIrq>,
    pub(super) domain_schedule: Option<serde_json::Value>,
}

#[derive(Deserialize)]
pub(super) struct RawNamed {
    pub(super) name: Option<String>,
    pub(super) object: RawObject,
}

#[derive(Deserialize)]
pub(super) struct RawIrq {
    pub(super) irq: u64,
    pub(super) handler: Id,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawObject {
    Unit(String),
    Body(BTreeMap<String, RawBody>),
}

#[derive(Deserialize, Default)]
pub(super) struct RawBody {
    #[serde(default)]
    size_bits: u8,
    paddr: Option<u64>,
    level: Option<u8>,
    #[serde(default)]
    slots: Vec<RawEntry>,
    extra: Option<RawExtra>,
}

#[derive(Deserialize, Default)]
struct RawExtra {
    #[serde(default)]
    affinity: u64,
    #[serde(default)]
    prio: u8,
    #[serde(default)]
    max_prio: u8,
    domain: Option<u64>,
    budget: Option<u64>,
    period: Option<u64>,
    #[serde(default)]
    badge: u64,
    #[serde(default)]
    trigger: u64,
}

#[derive(Deserialize)]
struct RawEntry {
    slot: u32,
    cap: RawCap,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawCap {
    Unit(String),
    Body(BTreeMap<String, RawCapBody>),
}

#[derive(Deserialize, Default)]
struct RawCapBody {
    object: Option<Id>,
    rights: Option<Rights>,
    #[serde(default)]
    badge: u64,
    #[serde(default)]
    guard: u64,
    #[serde(default)]
    guard_size: u8,
    #[serde(default)]
    cached: bool,
    #[serde(default)]
    executable: bool,
}
