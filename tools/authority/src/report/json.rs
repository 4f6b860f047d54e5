//! The report as JSON; docs/inspect.md describes the fields.
//!
//! Addresses, capability pointers, guards and badges are strings in hexadecimal: they have up to
//! 64 bits, which a JSON number need not.

use serde::Serialize;
use untyped_plan::Span;

use super::{run_time_text, time, who};
use crate::{Authority, Check, Held, Run, Subject, Way};

/// Names the schema; a change that readers must know of changes the number.
const SCHEMA: &str = "zazen-inspect/1";

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    objects: usize,
    subjects: Vec<JsonSubject<'a>>,
    memory: Vec<JsonMemory>,
    run_time: JsonRunTime,
    checks: Vec<JsonCheck<'a>>,
    all_hold: bool,
}

#[derive(Serialize)]
struct JsonSubject<'a> {
    name: &'a str,
    role: String,
    priority: u8,
    time: Vec<JsonTime<'a>>,
    capabilities: Vec<JsonCap<'a>>,
    mappings: Vec<JsonMapping>,
    calls: Vec<JsonEdge<'a>>,
    notifies: Vec<JsonEdge<'a>>,
    reports_faults_to: Vec<JsonEdge<'a>>,
}

#[derive(Serialize)]
struct JsonTime<'a> {
    name: &'a str,
    budget: u64,
    period: u64,
    for_notifications: bool,
}

#[derive(Serialize)]
struct JsonCap<'a> {
    pointer: Option<String>,
    cnode: &'a str,
    slot: u32,
    kind: &'a str,
    object: Option<&'a str>,
    rights: Option<String>,
    badge: String,
    guard: String,
    guard_bits: u8,
    invocable: bool,
}

#[derive(Serialize)]
struct JsonMapping {
    start: String,
    bytes: u64,
    memory: String,
    rights: String,
    executable: bool,
    cached: bool,
    frames: usize,
}

#[derive(Serialize)]
struct JsonEdge<'a> {
    to: &'a str,
    badge: String,
    through: &'a str,
}

#[derive(Serialize)]
struct JsonMemory {
    name: String,
    untyped: bool,
    bytes: u64,
    ranges: Vec<[String; 2]>,
    reached_by: Vec<String>,
    granted_to: Vec<String>,
}

#[derive(Serialize)]
struct JsonRunTime {
    untyped_bytes: u64,
    makers: Vec<String>,
    grants: Vec<JsonGrant>,
    text: Vec<String>,
}

#[derive(Serialize)]
struct JsonGrant {
    domain: String,
    cnode: String,
    radix: u8,
    filled_by: Vec<String>,
    used_by: Vec<String>,
    mapped_into: Vec<String>,
    can_touch_ram: Vec<String>,
}

#[derive(Serialize)]
struct JsonCheck<'a> {
    name: &'a str,
    rule: &'a str,
    holds: bool,
    looked_at: usize,
    things: &'a str,
    allowed: &'a [String],
    breaches: Vec<JsonBreach<'a>>,
}

#[derive(Serialize)]
struct JsonBreach<'a> {
    message: &'a str,
    chains: &'a [Vec<String>],
}

/// The report as JSON.
pub fn json(authority: &Authority, checks: &[Check]) -> String {
    let run_time = authority.run_time();
    let names = |who: &[usize]| -> Vec<String> {
        who.iter()
            .map(|&index| authority.who(index).to_owned())
            .collect()
    };
    let memory = authority.memory.iter().map(|memory| {
        let who = who(authority, &run_time, memory);
        JsonMemory {
            name: memory.what.to_string(),
            untyped: memory.what.is_untyped(),
            bytes: memory.bytes,
            ranges: memory.spans.iter().map(|&span| range(span)).collect(),
            reached_by: who.now,
            granted_to: who.later,
        }
    });
    let grants = run_time.grants.iter().map(|grant| JsonGrant {
        domain: grant.domain.clone(),
        cnode: authority.spec.name(grant.cnode).to_owned(),
        radix: grant.radix,
        filled_by: names(&grant.filled_by),
        used_by: names(&grant.used_by),
        mapped_into: names(&grant.mapped_into),
        can_touch_ram: names(&run_time.touching(&grant.domain)),
    });
    let subjects = authority.subjects.iter().enumerate();
    let report = Report {
        schema: SCHEMA,
        objects: authority.spec.objects().count(),
        subjects: subjects
            .map(|(index, subject)| json_subject(authority, index, subject))
            .collect(),
        memory: memory.collect(),
        run_time: JsonRunTime {
            untyped_bytes: run_time.untyped_bytes,
            makers: names(&run_time.makers),
            grants: grants.collect(),
            text: run_time_text(authority, &run_time),
        },
        checks: checks.iter().map(json_check).collect(),
        all_hold: checks.iter().all(Check::holds),
    };
    // Nothing in it can fail to be encoded: keys are strings and there are no floats.
    let mut text = serde_json::to_string_pretty(&report).unwrap_or_default();
    text.push('\n');
    text
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}

fn range(span: Span) -> [String; 2] {
    [span.start().to_string(), span.end().to_string()]
}

fn json_subject<'a>(
    authority: &'a Authority,
    index: usize,
    subject: &'a Subject,
) -> JsonSubject<'a> {
    let edges = |way: Way| {
        let edges = authority.edges.iter();
        let edges = edges.filter(|edge| edge.from == index && edge.way == way);
        edges
            .map(|edge| JsonEdge {
                to: authority.who(edge.to),
                badge: hex(edge.badge),
                through: authority.spec.name(edge.through),
            })
            .collect()
    };
    JsonSubject {
        name: &subject.name,
        role: subject.role.to_string(),
        priority: subject.priority,
        time: time::shares(authority, subject)
            .into_iter()
            .map(|share| JsonTime {
                name: share.name,
                budget: share.budget,
                period: share.period,
                for_notifications: share.bound,
            })
            .collect(),
        capabilities: subject
            .held
            .iter()
            .map(|h| json_cap(authority, h))
            .collect(),
        mappings: subject.runs.iter().map(json_mapping).collect(),
        calls: edges(Way::Call),
        notifies: edges(Way::Notify),
        reports_faults_to: edges(Way::Fault),
    }
}

fn json_cap<'a>(authority: &'a Authority, held: &'a Held) -> JsonCap<'a> {
    JsonCap {
        pointer: held.cptr.map(hex),
        cnode: authority.spec.name(held.cnode),
        slot: held.slot,
        kind: held.cap.kind.name(),
        object: held.cap.object.map(|id| authority.spec.name(id)),
        rights: held.cap.rights.map(|rights| rights.to_string()),
        badge: hex(held.cap.badge),
        guard: hex(held.cap.guard),
        guard_bits: held.cap.guard_bits,
        invocable: held.invocable,
    }
}

fn json_mapping(run: &Run) -> JsonMapping {
    JsonMapping {
        start: hex(run.vaddr),
        bytes: run.bytes,
        memory: run.what.to_string(),
        rights: run.rights.to_string(),
        executable: run.executable,
        cached: run.cached,
        frames: run.frames,
    }
}

fn json_check(check: &Check) -> JsonCheck<'_> {
    JsonCheck {
        name: check.name,
        rule: check.rule,
        holds: check.holds(),
        looked_at: check.looked_at,
        things: check.things,
        allowed: &check.allowed,
        breaches: check
            .breaches
            .iter()
            .map(|breach| JsonBreach {
                message: &breach.message,
                chains: &breach.chains,
            })
            .collect(),
    }
}
