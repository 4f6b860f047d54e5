//! The loop of the wiper: a notification, one object of what has come, a notification back.

use sel4::{ObjectBlueprint, ObjectBlueprintArm, cap};
use sel4_microkit::{Channel, Handler, Infallible, Never};
use topology::{caps, channel};

/// The wiper; see the program's documentation.
#[derive(Debug)]
pub struct Wiper(());

impl Wiper {
    /// The wiper of this protection domain.
    pub const fn take() -> Self {
        Self(())
    }
}

impl Handler for Wiper {
    type Error = Infallible;

    fn run(&mut self) -> Result<Never, Infallible> {
        let given = cap::Notification::from_bits(caps::INPUT);
        let untyped: cap::Untyped =
            sel4::Cap::from_bits(caps::cptr(caps::WIPER_ROOT, caps::WIPER_UNTYPED));
        let cnode: cap::CNode = sel4::Cap::from_bits(caps::WIPER_LEAF);
        let page = ObjectBlueprint::Arch(ObjectBlueprintArm::SmallPage);
        loop {
            given.wait();
            let into = cnode.absolute_cptr_for_self();
            // Refused if the memory server has taken the untyped back meanwhile.
            if untyped
                .untyped_retype(&page, &into, caps::WIPER_MADE as usize, 1)
                .is_ok()
            {
                Channel::new(channel::WIPER_MEMORY).notify();
            }
        }
    }
}

/// The program of the wiper.
#[macro_export]
macro_rules! wiper {
    () => {
        $crate::sel4_microkit::declare_protection_domain!(init = $crate::wiper::Wiper::take);
    };
}
