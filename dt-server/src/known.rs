//! Which properties a node may have. What the binding does not list is ignored with a warning.

use dtoolkit::{Node, Property as _};

use crate::binding::Property;
use crate::diag::Diagnostics;
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

/// Warns of each property of `at` that is in neither `known` nor common to all nodes.
pub(crate) fn check(at: &At<'_>, known: &[Property], d: &mut Diagnostics) {
    for property in at.node.properties() {
        let name = property.name();
        if !COMMON.contains(&name) && !known.iter().any(|known| known.name == name) {
            at.unknown_property(name, d);
        }
    }
}
