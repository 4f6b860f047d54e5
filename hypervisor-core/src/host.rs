//! What the core needs from the machine or kernel it runs on.
//!
//! One object implements [`Host`] for one guest. Microkit, EL2 and sim each have one. It gives the
//! guest's vCPUs by number; [`on_vcpu::OnVcpu`] is the host as the vCPU that stopped sees it.

pub mod on_vcpu;

use core::fmt;

use block_server_api::DiskPort;
use console_api::ConsolePort;
use guest_mem::Window;
use hv_types::{FrameSize, Gpa, Gva, VcpuId, WindowAddr};
use memory_server_api::{MemoryServer, Slot};
use net_server_api::NetPort;
use peer_server_api::PeerPort;
use xenstore_server_api::{BackendStore, StorePort};

use crate::vcpu::idregs;

/// System registers of a vCPU that the core reads or writes (Arm ARM D19).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SysReg {
    /// `SCTLR_EL1`.
    Sctlr,
    /// `TTBR0_EL1`.
    Ttbr0,
    /// `TTBR1_EL1`.
    Ttbr1,
    /// `TCR_EL1`.
    Tcr,
    /// `VBAR_EL1`.
    Vbar,
    /// `ESR_EL1`.
    Esr,
    /// `FAR_EL1`.
    Far,
    /// `ELR_EL1`.
    Elr,
    /// `SPSR_EL1`.
    Spsr,
    /// `SP_EL0`.
    Sp0,
    /// `SP_EL1`.
    Sp1,
    /// `CNTV_CTL_EL0`.
    CntvCtl,
    /// `CNTV_CVAL_EL0`.
    CntvCval,
}

/// The registers of the vCPU that stopped. Reads may be lazy and writes deferred until it resumes.
pub trait Vcpu {
    /// General-purpose register `n` (0..=30); 31 reads as zero.
    fn x(&mut self, n: u8) -> u64;
    /// Sets register `n` (0..=30); 31 is ignored.
    fn set_x(&mut self, n: u8, value: u64);
    /// Program counter.
    fn pc(&mut self) -> Gva;
    /// Sets the program counter.
    fn set_pc(&mut self, pc: Gva);
    /// Processor state as an SPSR (`SPSR_EL2` layout).
    fn pstate(&mut self) -> u64;
    /// Sets the processor state.
    fn set_pstate(&mut self, pstate: u64);
    /// A system register.
    fn sysreg(&mut self, reg: SysReg) -> u64;
    /// Sets a system register.
    fn set_sysreg(&mut self, reg: SysReg, value: u64);
    /// What the processor's identification register `name` says; `None` where it cannot be read,
    /// because the host lets guests read them as they are. Asked only when a guest's read of one
    /// trapped.
    fn id_register(&mut self, name: idregs::Name) -> Option<u64>;
}

/// The virtual CPU interface of a vCPU: list registers that the host writes.
pub trait Interrupts {
    /// Number of list registers (4 on GIC-400 as seL4 uses it).
    const LIST_REGISTERS: usize;
    /// Makes interrupt `intid` pending in list register `lr`, which is free, with `priority`
    /// (0..=255, only bits 7:3 count), in group 0, asking for a maintenance interrupt at its EOI.
    /// False where the machine refused.
    fn inject(&mut self, lr: u8, intid: u16, priority: u8) -> bool;
    /// Whether [`Interrupts::recall`] can take anything back.
    fn can_recall(&mut self) -> bool {
        false
    }
    /// Takes the interrupt in list register `lr` back, which is free then; false where the guest
    /// has acknowledged or ended it, or the host cannot.
    fn recall(&mut self, lr: u8) -> bool {
        let _ = lr;
        false
    }
    /// Lets the virtual timer's interrupt fire again after [`crate::exit::Reason::VirtualTimer`].
    fn ack_vtimer(&mut self);
}

/// Time: the system counter, which is also what guests see as `CNTVCT_EL0`.
pub trait Clock {
    /// Ticks of the system counter.
    fn now(&self) -> u64;
    /// Ticks per second.
    fn frequency(&self) -> u64;
    /// Asks for [`crate::vm::Vm::on_wake`] at tick `deadline` or soon after; `None` cancels.
    fn wake_at(&mut self, deadline: Option<u64>);
}

/// Why a mapping could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// A page table is missing; map one with `map_*_table` and try again.
    MissingTable,
    /// Something is mapped there, or the capability is mapped elsewhere.
    Occupied,
    /// The slot holds no frame (revoked or never granted).
    NoFrame,
    /// Anything else.
    Refused,
}

/// Mapping of granted frames, by slot of the grant CNode.
pub trait Stage2 {
    /// Maps a frame at `gpa` for the guest: read, write and execute, Normal write-back.
    ///
    /// # Errors
    /// [`MapError`]; nothing changed.
    fn map_guest(&mut self, slot: Slot, gpa: Gpa, size: FrameSize) -> Result<(), MapError>;
    /// Maps a page at `gpa` for the guest, not to be written: read and execute, Normal write-back.
    ///
    /// # Errors
    /// [`MapError`]; nothing changed.
    fn map_guest_read_only(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError>;
    /// Maps a frame into the VMM's window: read and write.
    ///
    /// # Errors
    /// [`MapError`]; nothing changed.
    fn map_window(&mut self, slot: Slot, at: WindowAddr, size: FrameSize) -> Result<(), MapError>;
    /// Removes the mapping of the capability in `slot`, wherever it is.
    ///
    /// # Errors
    /// [`MapError::NoFrame`].
    fn unmap(&mut self, slot: Slot) -> Result<(), MapError>;
    /// Installs a page table on the guest's path to `gpa`.
    ///
    /// # Errors
    /// [`MapError::Occupied`] where no level is missing; [`MapError::NoFrame`] for a slot without a
    /// table.
    fn map_guest_table(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError>;
    /// Installs a page table on the window's path to `at`.
    ///
    /// # Errors
    /// As [`Stage2::map_guest_table`].
    fn map_window_table(&mut self, slot: Slot, at: WindowAddr) -> Result<(), MapError>;
}

/// A host that has a part of its own for mappings, and is a [`Stage2`] by it.
pub trait MapsBy {
    /// The part.
    type Mapper: Stage2;
    /// Returns the mapper.
    fn mapper(&mut self) -> &mut Self::Mapper;
}

impl<T: MapsBy> Stage2 for T {
    #[inline]
    fn map_guest(&mut self, slot: Slot, gpa: Gpa, size: FrameSize) -> Result<(), MapError> {
        self.mapper().map_guest(slot, gpa, size)
    }
    #[inline]
    fn map_guest_read_only(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        self.mapper().map_guest_read_only(slot, gpa)
    }
    #[inline]
    fn map_window(&mut self, slot: Slot, at: WindowAddr, size: FrameSize) -> Result<(), MapError> {
        self.mapper().map_window(slot, at, size)
    }
    #[inline]
    fn unmap(&mut self, slot: Slot) -> Result<(), MapError> {
        self.mapper().unmap(slot)
    }
    #[inline]
    fn map_guest_table(&mut self, slot: Slot, gpa: Gpa) -> Result<(), MapError> {
        self.mapper().map_guest_table(slot, gpa)
    }
    #[inline]
    fn map_window_table(&mut self, slot: Slot, at: WindowAddr) -> Result<(), MapError> {
        self.mapper().map_window_table(slot, at)
    }
}

/// Everything the core needs for one guest.
pub trait Host: Clock + Stage2 {
    /// A vCPU: its registers and its interrupt interface.
    type Vcpu: Vcpu + Interrupts;
    /// Whether exits of the boot CPU, the only vCPU that most guests have, have code of their own,
    /// compiled for its number. That makes an exit a little cheaper and the program larger.
    const BOOT_APART: bool = true;
    /// Guest memory.
    type Window: Window;
    /// Client of the memory server.
    type Memory: MemoryServer;
    /// The guest's console stream.
    type Console: ConsolePort;
    /// The guest's connection to the store.
    type Store: StorePort + BackendStore;
    /// The guest's disks.
    type Disks: DiskPort;
    /// The guest's network interfaces.
    type Nets: NetPort;
    /// The guest's event channels to other domains.
    type Peers: PeerPort;

    /// The vCPU of that number.
    fn vcpu(&mut self, id: VcpuId) -> &mut Self::Vcpu;
    /// Guest memory.
    fn window(&self) -> &Self::Window;
    /// The memory server.
    fn memory(&mut self) -> &mut Self::Memory;
    /// The guest's console stream.
    fn console(&mut self) -> &mut Self::Console;
    /// Guest memory and the console stream at once, for moving bytes between them.
    fn window_and_console(&mut self) -> (&Self::Window, &mut Self::Console);
    /// The guest's connection to the store.
    fn store(&mut self) -> &mut Self::Store {
        self.window_and_store().1
    }
    /// Guest memory and the connection to the store at once, for moving bytes between them.
    fn window_and_store(&mut self) -> (&Self::Window, &mut Self::Store);
    /// The guest's disks.
    fn disks(&mut self) -> &mut Self::Disks {
        self.window_and_disks().1
    }
    /// Guest memory and the disks at once, for moving bytes between them.
    fn window_and_disks(&mut self) -> (&Self::Window, &mut Self::Disks);
    /// The guest's network interfaces.
    fn nets(&mut self) -> &mut Self::Nets {
        self.window_and_nets().1
    }
    /// Guest memory and the network interfaces at once, for moving bytes between them.
    fn window_and_nets(&mut self) -> (&Self::Window, &mut Self::Nets);
    /// The guest's event channels to other domains.
    fn peers(&mut self) -> &mut Self::Peers {
        self.window_and_peers().1
    }
    /// Guest memory and the event channels to other domains at once.
    fn window_and_peers(&mut self) -> (&Self::Window, &mut Self::Peers);
    /// Writes a line to the VMM's log (rate-limited by the host where a guest can cause it).
    fn log(&mut self, line: fmt::Arguments<'_>);
    /// Gives `vcpu`, which is stopped and has run before, the system registers, the interrupt
    /// interface (list registers, active and masked priorities), the timer and the vector registers
    /// (q0..q31, `FPCR`, `FPSR`) of its first start.
    ///
    /// The page of guest RAM at `at`, which the window shows at `there`, is lent for that: it is
    /// zero, nothing has been loaded to it, and it is zero again afterwards.
    ///
    /// # Errors
    /// The memory server's refusal, where that takes memory; [`memory_server_api::Error::Kernel`]
    /// where the kernel refused.
    fn renew_vcpu(
        &mut self,
        vcpu: VcpuId,
        at: Gpa,
        there: WindowAddr,
    ) -> Result<(), memory_server_api::Error>;
    /// Has instruction caches forget what they know of `len` bytes (at least one) of guest RAM from
    /// `at` on, which were written and cleaned to the point of coherency and are about to be
    /// executed.
    fn sync_instructions(&mut self, at: Gpa, len: u64);
    /// Starts `vcpu` at `pc` with `x0`, EL1h, all exceptions masked, MMU and caches off.
    fn start(&mut self, vcpu: VcpuId, pc: Gva, x0: u64);
}
