//! Which domain ids exist, and what a domain without privilege may do to another.

use hv_types::DomId;
use xen_abi::Errno;

/// The domain ids of the system as one guest meets them: its own, and those of its neighbours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Domains {
    me: DomId,
    count: u8,
    /// Whom it meets, a bit for each from domain 1 on.
    meets: u8,
}

impl Domains {
    /// Domain `me` of a system with the domains 1 to `count` (dom0less: there is no domain 0).
    pub const fn new(me: DomId, count: u8) -> Self {
        let meets = 0;
        Self { me, count, meets }
    }

    /// The same for a domain that meets those of these bits, of which the lowest is domain 1.
    #[must_use]
    pub const fn meeting(self, meets: u8) -> Self {
        Self { meets, ..self }
    }

    /// The number of `dom` from 0, if it is another domain that this one meets.
    pub fn met(&self, dom: DomId) -> Option<u8> {
        let number = u8::try_from(dom.0.checked_sub(1)?).ok()?;
        let bit = 1_u8.checked_shl(number.into())?;
        (self.meets & bit != 0 && !dom.is_self(self.me)).then_some(number)
    }

    /// Whether it meets anybody.
    pub const fn meets_any(&self) -> bool {
        self.meets != 0
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
