//! Which of several names was most likely meant.

/// The first of `names` that is nearest to `wrong`, if it is near enough to be proposed: a quarter
/// of its letters may differ. A vendor's prefix that one has or both have does not count:
/// `static-mem` is near to `xen,static-mem`, and `xen,tee` not to `xen,sci_type`.
pub(super) fn alike<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(bare(wrong), bare(name));
    let near = names
        .map(|name| (distance(name), name))
        .filter(|(distance, name)| *distance <= (bare(name).len() / 4).max(1));
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// A name without its vendor.
fn bare(name: &str) -> &str {
    ["xen,", "zazen,", "xen_", "xen-"]
        .iter()
        .find_map(|vendor| name.strip_prefix(vendor))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_proposed_and_others_not() {
        let names = [
            "cpus",
            "xen,static-mem",
            "xen,sci_type",
            "xen,enhanced",
            "vpl011",
        ];
        let of = |wrong| alike(wrong, names.into_iter());
        for (wrong, right) in [
            ("vcpus", "cpus"),
            ("static-mem", "xen,static-mem"),
            ("xen,static_mem", "xen,static-mem"),
            ("zazen,enhanced", "xen,enhanced"),
            ("vpl01", "vpl011"),
        ] {
            assert_eq!(of(wrong), Some(right), "{wrong}");
        }
        for wrong in ["xen,tee", "xen,legacy", "", "x", "mem", "domain-name"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
