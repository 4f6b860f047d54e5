//! Which domain ids exist, and what a domain without privilege may do to another.

use hv_types::DomId;
use xen_abi::Errno;

/// The domain ids of the system as one guest meets them: its own, and those of its neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Domains {
    me: DomId,
    count: u8,
}

impl Domains {
    /// Domain `me` of a system with the domains 1 to `count` (dom0less: there is no domain 0).
    pub const fn new(me: DomId, count: u8) -> Self {
        Self { me, count }
    }

    /// The domain itself.
    pub const fn me(&self) -> DomId {
        self.me
    }

    /// Whether `dom` exists, by number or as `DOMID_SELF`.
    pub fn exists(&self, dom: DomId) -> bool {
        dom.is_self(self.me) || (1..=u16::from(self.count)).contains(&dom.0)
    }

    /// Whether a domain has this real id, its own included; `DOMID_SELF` is none.
    pub fn has_id(&self, dom: DomId) -> bool {
        dom != DomId::SELF && self.exists(dom)
    }

    /// Why the domain may not do something to `dom` that only a toolstack does, and to others only.
    /// Real ids alone are looked up: `DOMID_SELF` is nobody.
    pub fn remote(&self, dom: DomId) -> Errno {
        if self.has_id(dom) {
            Errno::Eperm
        } else {
            Errno::Esrch
        }
    }

    /// Accepts the domain itself.
    ///
    /// # Errors
    /// As Xen for a caller without privilege: [`Errno::Esrch`] where there is no such domain,
    /// [`Errno::Eperm`] for another.
    pub fn own(&self, dom: DomId) -> Result<(), Errno> {
        if dom.is_self(self.me) {
            Ok(())
        } else if self.exists(dom) {
            Err(Errno::Eperm)
        } else {
            Err(Errno::Esrch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn self_neighbours_and_nobody() {
        let domains = Domains::new(DomId(2), 3);
        for dom in [DomId::SELF, DomId(2)] {
            assert_eq!(domains.own(dom), Ok(()));
        }
        for dom in [DomId(1), DomId(3)] {
            assert_eq!(domains.own(dom), Err(Errno::Eperm));
        }
        for dom in [
            DomId(0),
            DomId(4),
            DomId::IO,
            DomId::XEN,
            DomId::INVALID,
            DomId(0xffff),
        ] {
            assert_eq!(domains.own(dom), Err(Errno::Esrch), "{dom:?}");
        }
    }
}
