//! Which properties each kind of node may have. What is not listed is ignored with a warning.

use alloc::format;

use dtoolkit::{Node, Property};

use crate::diag::{Diagnostics, Rule};
use crate::node::At;

/// Properties that any node may have.
const COMMON: [&str; 7] = [
    "#address-cells",
    "#size-cells",
    "compatible",
    "linux,phandle",
    "name",
    "phandle",
    "status",
];

/// Of `/chosen`; also what firmware and other systems leave there.
pub(crate) const CHOSEN: &[&str] = &[
    "bootargs",
    "kaslr-seed",
    "linux,initrd-end",
    "linux,initrd-start",
    "ranges",
    "rng-seed",
    "stdout-path",
    "xen,dom0-bootargs",
    "xen,static-heap",
    "xen,uefi-cfg-load",
    "xen,xen-bootargs",
    board::PROPERTY,
    "zazen,heap",
];

/// Of a domain; those that are not supported are refused by name elsewhere.
pub(crate) const DOMAIN: &[&str] = &[
    "bootargs",
    "capabilities",
    "cpus",
    "direct-map",
    "domain-cpupool",
    "llc-colors",
    "max_grant_frames",
    "max_grant_version",
    "max_maptrack_frames",
    "memory",
    "nr_spis",
    "passthrough",
    "sve",
    "trap-unmapped-accesses",
    "v8r_el1_msa",
    "vpl011",
    "xen,domain-p2m-mem-mb",
    "xen,enhanced",
    "xen,sci_type",
    "xen,static-mem",
    "zazen,memory-max",
];

/// Of a module.
pub(crate) const MODULE: &[&str] = &[
    "bootargs",
    "reg",
    "xen,uefi-binary",
    "zazen,file",
    "zazen,size",
];

/// Of a vCPU.
pub(crate) const VCPU: &[&str] = &["hard-affinity", "id"];

/// Warns of each property of `at` that is in neither `known` nor common to all nodes.
pub(crate) fn check(at: &At<'_>, known: &[&str], d: &mut Diagnostics) {
    for property in at.node.properties() {
        let name = property.name();
        if !COMMON.contains(&name) && !known.contains(&name) {
            let what = format!("the property `{name}` is not known here and is ignored");
            at.warn(d, Rule::Unknown, None, what, "check its spelling");
        }
    }
}
