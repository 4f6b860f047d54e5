//! The assists of vm_assist (public/xen.h) that are in force.

use xen_abi::assist::TYPE_RUNSTATE_UPDATE_FLAG;

/// vm_assist's types in force, a bit each. Only the runstate update flag exists on Arm.
#[derive(Clone, Copy, Debug, Default)]
pub struct Assists(u32);

impl Assists {
    /// None is in force.
    pub const fn new() -> Self {
        Self(0)
    }

    /// Switches the runstate update flag on or off.
    pub const fn mark_runstate(&mut self, on: bool) {
        let bit = 1 << TYPE_RUNSTATE_UPDATE_FLAG;
        self.0 = if on { self.0 | bit } else { self.0 & !bit };
    }

    /// Whether updates of the runstate area are to be marked.
    pub const fn marks_runstate(self) -> bool {
        self.0 & 1 << TYPE_RUNSTATE_UPDATE_FLAG != 0
    }
}
