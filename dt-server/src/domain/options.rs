//! CPUs, interrupts, grants and PV features of a domain.

use alloc::format;

use dt_server_api::PvFeatures;

use crate::diag::{Diagnostics, Hint, Rule};
use crate::node::At;

/// Most CPUs that a GICv2 knows.
const GICV2_CPUS: u32 = 8;
/// Shared peripheral interrupts that Xen allows, and the most that the virtual GIC has.
const XEN_SPIS: u32 = 988;
const MAX_SPIS: u32 = 960;
const DEFAULT_SPIS: u16 = 32;
const MAX_GRANT_FRAMES: u32 = 64;

/// `cpus`.
pub(super) fn vcpus(at: &At<'_>, d: &mut Diagnostics) -> Option<u8> {
    if !at.has("cpus") {
        at.error(d, Rule::Cpus, "cpus", "missing", Hint::set("<1>"));
        return None;
    }
    match at.u32("cpus", Rule::Cpus, d)? {
        0 => at.error(
            d,
            Rule::Cpus,
            "cpus",
            "a domain needs a CPU",
            Hint::set("<1>"),
        ),
        n if n > GICV2_CPUS => {
            let what = format!("a GICv2 has at most {GICV2_CPUS} CPUs");
            let hint = Hint::set(format!("<{GICV2_CPUS}>"));
            at.error(d, Rule::Cpus, "cpus", what, hint);
        }
        n => return u8::try_from(n).ok(),
    }
    None
}

/// `xen,enhanced`.
pub(super) fn pv_features(at: &At<'_>, d: &mut Diagnostics) -> Option<PvFeatures> {
    const NAME: &str = "xen,enhanced";
    let Some(value) = at.bytes(NAME) else {
        return Some(PvFeatures::None);
    };
    let text = if value.is_empty() {
        "enabled"
    } else {
        at.str(NAME, Rule::Enhanced, d)?
    };
    match text {
        "disabled" => Some(PvFeatures::None),
        "no-xenstore" => Some(PvFeatures::NoXenstore),
        "enabled" => Some(PvFeatures::Enabled),
        "legacy" => Some(PvFeatures::Legacy),
        _ => {
            let what = "must be \"enabled\", \"legacy\", \"no-xenstore\" or \"disabled\"";
            at.error(d, Rule::Enhanced, NAME, what, Hint::set(meant(text)));
            None
        }
    }
}

/// What `text` most likely meant. Xen takes it for "disabled", and a guess must not enable what was
/// meant to be off.
fn meant(text: &str) -> &'static str {
    const OFF: [&str; 6] = ["disable", "off", "no", "none", "false", "0"];
    let lower = text.to_ascii_lowercase();
    if lower.is_empty() || OFF.iter().any(|word| lower == *word) || lower == "disabled" {
        "\"disabled\""
    } else {
        "\"no-xenstore\""
    }
}

/// `vpl011`, whose interrupt is `intid`, and `nr_spis`.
pub(super) fn interrupts(at: &At<'_>, intid: u16, d: &mut Diagnostics) -> (bool, Option<u16>) {
    let vpl011 = at.flag("vpl011", Rule::Vpl011, d);
    // SPIs up to that of the UART, which is the host's for a direct-mapped guest.
    let needed = if vpl011 { intid.saturating_sub(31) } else { 0 };
    if !at.has("nr_spis") {
        return (vpl011, Some(needed.next_multiple_of(32).max(DEFAULT_SPIS)));
    }
    let Some(spis) = at.u32("nr_spis", Rule::NrSpis, d) else {
        return (vpl011, None);
    };
    let (rule, what) = match spis {
        n if n.next_multiple_of(32) < u32::from(needed) => (
            Rule::Vpl011,
            format!("vpl011 needs {needed} interrupts, but the domain has {n}"),
        ),
        0..=MAX_SPIS => return (vpl011, u16::try_from(spis.next_multiple_of(32)).ok()),
        _ if spis <= XEN_SPIS => (Rule::NrSpis, format!("the virtual GIC has {MAX_SPIS}")),
        _ => (
            Rule::NrSpis,
            format!("a GICv2 has at most {XEN_SPIS}, the virtual GIC {MAX_SPIS}"),
        ),
    };
    let hint = match rule {
        Rule::Vpl011 => format!("<{}>", needed.next_multiple_of(32)),
        _ => format!("<{MAX_SPIS}>"),
    };
    at.error(d, rule, "nr_spis", what, Hint::set(hint));
    (vpl011, None)
}

/// `max_grant_frames`.
pub(super) fn grant_frames(at: &At<'_>, d: &mut Diagnostics) -> Option<u8> {
    if !at.has("max_grant_frames") {
        return u8::try_from(MAX_GRANT_FRAMES).ok();
    }
    let frames = at.u32("max_grant_frames", Rule::GrantFrames, d)?;
    if !(1..=MAX_GRANT_FRAMES).contains(&frames) {
        let what = format!("must be 1 to {MAX_GRANT_FRAMES}");
        at.error(
            d,
            Rule::GrantFrames,
            "max_grant_frames",
            what,
            Hint::set("<64>"),
        );
        return None;
    }
    u8::try_from(frames).ok()
}

/// `trap-unmapped-accesses`.
pub(super) fn trap_unmapped(at: &At<'_>, d: &mut Diagnostics) -> Option<bool> {
    const NAME: &str = "trap-unmapped-accesses";
    if !at.has(NAME) {
        return Some(true);
    }
    match at.u32(NAME, Rule::TrapUnmapped, d)? {
        0 => Some(false),
        1 => Some(true),
        _ => {
            at.error(
                d,
                Rule::TrapUnmapped,
                NAME,
                "must be 0 or 1",
                Hint::set("<1>"),
            );
            None
        }
    }
}
