//! Parts of the binding that Xen has and Zazen does not (yet): refused by name, or ignored with a
//! warning where the guest gets what it asked for all the same.

use alloc::format;

use crate::diag::{Diagnostics, Hint, Rule};
use crate::node::At;

/// Checks the properties of a domain that are not supported.
pub(crate) fn check(at: &At<'_>, d: &mut Diagnostics) {
    passthrough(at, d);
    capabilities(at, d);
    grants(at, d);
    if at.has("domain-cpupool") {
        at.warn(
            d,
            Rule::CpuPool,
            Some("domain-cpupool"),
            "CPU pools are not supported; the domain runs on CPU 0",
            Hint::Remove,
        );
    }
    if at.has("sve") && at.bytes("sve") != Some(&[0; 4]) {
        at.error(
            d,
            Rule::Sve,
            "sve",
            "SVE is not supported: seL4 does not save its registers",
            Hint::Remove,
        );
    }
    if at.has("llc-colors") {
        at.error(
            d,
            Rule::LlcColors,
            "llc-colors",
            "cache colouring is not supported",
            Hint::Remove,
        );
    }
    if at.has("v8r_el1_msa") {
        at.error(
            d,
            Rule::V8r,
            "v8r_el1_msa",
            "this is for Armv8-R hosts, which Zazen does not run on",
            Hint::Remove,
        );
    }
    match at.str("xen,sci_type", Rule::Sci, d) {
        None | Some("none") => {}
        Some(_) => {
            at.error(
                d,
                Rule::Sci,
                "xen,sci_type",
                "only \"none\" is supported",
                Hint::Remove,
            );
        }
    }
    if at.has("bootargs") {
        let hint = "move it to the node of the kernel (compatible \"multiboot,kernel\")";
        at.warn(
            d,
            Rule::Bootargs,
            Some("bootargs"),
            "has no effect on a domain and is ignored",
            hint,
        );
    }
}

fn passthrough(at: &At<'_>, d: &mut Diagnostics) {
    match at.str("passthrough", Rule::Passthrough, d) {
        None | Some("disabled") => {}
        Some("enabled") => {
            at.error(
                d,
                Rule::Passthrough,
                "passthrough",
                "device pass-through is not supported yet",
                Hint::Remove,
            );
        }
        Some(_) => {
            let hint = Hint::set("\"disabled\"");
            at.error(
                d,
                Rule::Passthrough,
                "passthrough",
                "must be \"enabled\" or \"disabled\"",
                hint,
            );
        }
    }
}

fn capabilities(at: &At<'_>, d: &mut Diagnostics) {
    const BITS: [(u32, &str); 3] = [(1, "control"), (2, "hardware"), (4, "xenstore")];
    let Some(bits) = at.u32("capabilities", Rule::Capabilities, d) else {
        return;
    };
    if bits & !7 != 0 {
        let what = format!("{:#x} are no capabilities", bits & !7);
        at.error(d, Rule::Capabilities, "capabilities", what, Hint::Remove);
    } else if let Some((_, name)) = BITS.iter().find(|(bit, _)| bits & bit != 0) {
        let what = format!("a {name} domain is not supported yet");
        at.error(d, Rule::Capabilities, "capabilities", what, Hint::Remove);
    }
}

fn grants(at: &At<'_>, d: &mut Diagnostics) {
    match at.u32("max_grant_version", Rule::GrantVersion, d) {
        None | Some(1) => {}
        Some(_) => {
            let hint = Hint::set("<1>");
            at.error(
                d,
                Rule::GrantVersion,
                "max_grant_version",
                "only grant tables of version 1 exist",
                hint,
            );
        }
    }
    match at.u32("max_maptrack_frames", Rule::Maptrack, d) {
        None => {}
        Some(frames) if frames > i32::MAX as u32 => {
            at.error(
                d,
                Rule::Maptrack,
                "max_maptrack_frames",
                "is above 2147483647",
                Hint::Remove,
            );
        }
        Some(_) => {
            let what = "is not used: there is room for 2048 pages of others and 256 of one's own";
            at.warn(d, Rule::Maptrack, Some("max_maptrack_frames"), what, "");
        }
    }
}
