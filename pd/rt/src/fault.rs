//! Fault messages of a vCPU.

use sel4_microkit::{MessageInfo, with_msg_regs};

/// A stage-2 abort.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Faulted {
    /// PC of the vCPU, at the instruction.
    pub pc: u64,
    /// Guest physical address.
    pub address: u64,
    /// ISS of the syndrome.
    pub iss: u32,
    /// An instruction fetch.
    pub fetch: bool,
}

/// Why a vCPU stopped, as the kernel's message says (libsel4, `seL4_Fault`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// An HVC on the stock kernel; x0..x7, PC and SPSR are in the message.
    UnknownSyscall,
    /// An HVC that the kernel took for a call on a capability that is not there.
    Cap {
        /// PC, at the HVC.
        pc: u64,
    },
    /// A trap with its syndrome.
    Vcpu {
        /// `ESR_EL2`.
        hsr: u32,
    },
    /// A stage-2 abort.
    Vm(Faulted),
    /// An EOI maintenance interrupt.
    Maintenance {
        /// List register, where the kernel knew it.
        lr: Option<u8>,
    },
    /// A virtual private peripheral interrupt.
    Vppi {
        /// INTID.
        irq: u64,
    },
    /// An exception that the kernel takes for a native thread's.
    User {
        /// PC.
        pc: u64,
    },
    /// A debug exception; only BRK is possible (kernels with the hardware debug API;
    /// others report [`Fault::Vcpu`]).
    Debug {
        /// PC.
        pc: u64,
    },
    /// Anything else.
    Other,
}

impl Fault {
    /// Reads the message that `info` describes from the message registers.
    pub fn decode(info: &MessageInfo) -> Self {
        use sel4::sys::seL4_Fault_tag as tag;
        with_msg_regs(|mrs| {
            sel4::sel4_cfg_wrap_match! {
                match info.label() {
                    tag::seL4_Fault_UnknownSyscall => Self::UnknownSyscall,
                    tag::seL4_Fault_VMFault => Self::Vm(Faulted {
                        pc: mrs[0],
                        address: mrs[1],
                        iss: mrs[3] as u32 & 0x1ff_ffff,
                        fetch: mrs[2] != 0,
                    }),
                    tag::seL4_Fault_VCPUFault => Self::Vcpu { hsr: mrs[0] as u32 },
                    tag::seL4_Fault_VGICMaintenance => Self::Maintenance {
                        lr: u8::try_from(mrs[0]).ok().filter(|_| mrs[0] < 64),
                    },
                    tag::seL4_Fault_VPPIEvent => Self::Vppi { irq: mrs[0] },
                    tag::seL4_Fault_CapFault => Self::Cap { pc: mrs[0] },
                    tag::seL4_Fault_UserException => Self::User { pc: mrs[0] },
                    #[sel4_cfg(HARDWARE_DEBUG_API)]
                    tag::seL4_Fault_DebugException => Self::Debug { pc: mrs[0] },
                    _ => Self::Other,
                }
            }
        })
    }
}
