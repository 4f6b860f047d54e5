//! Time where user level cannot read the system counter: a counter of the board, and a virtual
//! machine.
//!
//! On the ZCU102 the kernel exports the system counter, but QEMU before 9.0 asks for the permission
//! of the physical *timer* when user level reads it, which the kernel does not give there; the read
//! then ends the protection domain. So time is told by one of the board's triple timer counters,
//! whose registers everybody who needs the time has mapped for reading, and by a page that says how
//! it goes with the system counter ([`timer_server_api::ClockPage`]).
//!
//! The timer server writes that page. It has a virtual machine of a dozen instructions that looks
//! at both counters, at EL1, where reading the virtual counter is always allowed, and tells what it
//! saw with an HVC. It runs eight times a second for about one count. Its priority is above those
//! of all who need the time, so the page is valid before they first run.
//!
//! # Soundness
//! Accesses to a timer's registers affect no Rust object. The clock page is made of atomics. The
//! program is copied into a page that nothing else uses, before the virtual machine starts, which
//! can reach only that page and a counter.
#![expect(
    unsafe_code,
    reason = "device registers and the program of a virtual machine"
)]

use core::arch::global_asm;
use core::fmt;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};

use hypervisor_core::host::Vcpu as _;
use mmio::{Mapped, Page, UniqueMmioPointer};
use timer_server::{Calibration, Sight};
use timer_server_api::{CLOCK_WORDS, ClockPage, Relation};
use topology::{caps, vaddr};

use crate::MessageInfo;
use crate::fault::Fault;
use crate::vcpu::{Time, VcpuRegs};

/// Counts after which the relation is refreshed: a quarter of the way round.
const REFRESH: u16 = 0x4000;
/// Reads of a counter that does not move after which the virtual machine gives up.
const PATIENCE: u64 = 0x1_0000;

// x0: address of the counter; x1: edges of it to wait for (0 counts as 1). Leaves the count after
// the last edge in x3, the virtual counter in x4, and in x5 how much patience was left: 0 if the
// counter stood still. x7 is no system call of seL4's.
global_asm!(
    r#"
    .section .rodata.clock_program, "a"
    .balign 4
    .globl clock_program
clock_program:
0:  mov     x5, #{patience}
1:  ldr     w2, [x0]
2:  ldr     w3, [x0]
    subs    x5, x5, #1
    b.eq    3f
    cmp     w3, w2
    b.eq    2b
    isb
    mrs     x4, cntvct_el0
    ldr     w6, [x0]
    cmp     w6, w3                  // Interrupted in between: look again.
    b.ne    1b
    subs    x1, x1, #1
    b.hi    0b
3:  mov     x7, #64
    hvc     #0
    b       0b
    .globl clock_program_end
clock_program_end:
    .text
"#,
    patience = const PATIENCE,
);

unsafe extern "C" {
    static clock_program: [u32; 0];
    static clock_program_end: [u32; 0];
}

/// The page of registers that is mapped at `vaddr`.
///
/// # Safety
/// A page of a device's registers is mapped there for as long as the program runs, and accesses to
/// it affect no Rust object.
unsafe fn registers(vaddr: u64) -> Mapped<'static> {
    let page = NonNull::new(vaddr as *mut Page).expect("regions do not lie at 0");
    // SAFETY: promised by the caller.
    Mapped::over(unsafe { UniqueMmioPointer::new(page) })
}

fn clock_page(vaddr: u64) -> ClockPage<'static> {
    // SAFETY: the generator maps a page there (its address is what it gave us), zeroed at first;
    // both sides use atomics only.
    ClockPage::new(unsafe { &*(vaddr as *const [AtomicU64; CLOCK_WORDS]) })
}

fn count() -> u16 {
    // SAFETY: where there is a clock page, the counter's registers are mapped too; reading the
    // count has no effect.
    let registers = unsafe { registers(vaddr::CLOCK_COUNTER) };
    ttc::Free::watch(registers).count()
}

/// Ticks of the system counter by the page at `page`; never less than what it was before.
pub(crate) fn now(page: u64) -> u64 {
    // Each refresh may move time by the error of the last one.
    static LAST: AtomicU64 = AtomicU64::new(0);
    let (relation, count) = clock_page(page).read(count);
    let now = relation.ticks_at(count);
    LAST.fetch_max(now, Ordering::Relaxed).max(now)
}

/// Why there is no time: what the virtual machine did instead of telling it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoTime {
    /// The counter does not count.
    StandsStill,
    /// The virtual machine stopped for another reason.
    Stopped(Fault),
}

impl fmt::Display for NoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StandsStill => f.write_str(
                "the board's counter stands still, so sleeping guests are not woken: \
                 is its clock on and its reset released (ZynqMP: CRL_APB.RST_LPD_IOU2)?",
            ),
            Self::Stopped(fault) => write!(
                f,
                "the virtual machine that reads the system counter stopped: {fault:x?}; sleeping guests are not woken"
            ),
        }
    }
}

/// The timer server's side: the timer, the counter and the virtual machine.
#[derive(Debug)]
pub struct CounterTimer {
    timer: ttc::OneShot<Mapped<'static>>,
    page: ClockPage<'static>,
    vcpu: VcpuRegs,
    calibration: Calibration,
    relation: Option<Relation>,
    deadline: Option<u64>,
    /// When the relation is to be refreshed; `None` while the virtual machine runs.
    refresh_at: Option<u64>,
}

impl CounterTimer {
    /// Starts the counter and the virtual machine; `page` is where the clock page is. Taken once,
    /// by the timer server.
    pub(crate) fn take(page: u64) -> Self {
        // SAFETY: the generator maps these where it maps a clock page, in the timer server
        // writable.
        let (counter, timer) = unsafe {
            (
                registers(vaddr::CLOCK_COUNTER),
                registers(vaddr::TIMER_REGISTERS),
            )
        };
        ttc::Free::start(counter);
        place_program();
        let mut vcpu = VcpuRegs::new(caps::VMM_VCPU_TCB, caps::VMM_VCPU, Time::Kept);
        vcpu.start(
            vaddr::CLOCK_VM_CODE,
            vaddr::CLOCK_VM_COUNTER + ttc::VALUE_OFFSET as u64,
        );
        vcpu.resume();
        Self {
            timer: ttc::OneShot::new(timer),
            page: clock_page(page),
            vcpu,
            calibration: Calibration::new(),
            relation: None,
            deadline: None,
            refresh_at: None,
        }
    }

    /// Fires at tick `deadline` or somewhat before, and from time to time for its own sake.
    pub(crate) fn set(&mut self, deadline: Option<u64>) {
        self.deadline = deadline;
        let Some(relation) = self.relation else {
            return;
        };
        let now = relation.ticks_at(count());
        let counts = [self.deadline, self.refresh_at]
            .into_iter()
            .flatten()
            .map(|at| relation.counts(at.saturating_sub(now), REFRESH))
            .min();
        self.timer.set(counts.unwrap_or(REFRESH));
    }

    /// The timer's interrupt came: takes it away, and refreshes the relation where it is time.
    pub(crate) fn on_interrupt(&mut self) {
        self.timer.ack();
        let Some(relation) = self.relation else {
            return;
        };
        let now = relation.ticks_at(count());
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = None;
            let reply = self.look(0);
            debug_assert!(reply.is_none(), "a parked vCPU owes no reply");
        }
    }

    /// Lets the virtual machine look after `edges` edges.
    fn look(&mut self, edges: u16) -> Option<MessageInfo> {
        self.vcpu.set_x(1, edges.into());
        self.vcpu.set_pc(hv_types::Gva::new(vaddr::CLOCK_VM_CODE));
        self.vcpu.resume()
    }

    /// The virtual machine stopped. Returns the reply to it, if it is to run on.
    ///
    /// # Errors
    /// [`NoTime`]; it does not run again.
    pub fn on_vcpu(&mut self, info: &MessageInfo) -> Result<Option<MessageInfo>, NoTime> {
        /// Exception class of an HVC from AArch64, which a kernel that passes HVCs on reports.
        const HVC: u32 = 0x16;
        match Fault::decode(info) {
            Fault::UnknownSyscall => self.vcpu.stopped_in_syscall(),
            Fault::Vcpu { hsr } if hsr >> 26 == HVC => self.vcpu.stopped_in_fault(None),
            fault => {
                self.vcpu.park();
                return Err(NoTime::Stopped(fault));
            }
        }
        if self.vcpu.x(5) == 0 {
            self.vcpu.park();
            return Err(NoTime::StandsStill);
        }
        let [low, high, ..] = self.vcpu.x(3).to_le_bytes();
        let sight = Sight {
            ticks: self.vcpu.x(4),
            count: u16::from_le_bytes([low, high]),
        };
        let Some(relation) = self.calibration.see(sight) else {
            return Ok(self.look(Calibration::first_distance()));
        };
        self.vcpu.park();
        self.page.publish(relation);
        self.relation = Some(relation);
        self.refresh_at = Some(relation.ticks_at(sight.count.wrapping_add(REFRESH)));
        self.set(self.deadline);
        Ok(None)
    }
}

/// Copies the program into the page that the virtual machine executes.
fn place_program() {
    // SAFETY: the two symbols are the program's beginning and end; the page is mapped uncached and
    // writable, nothing else is in it, and the virtual machine has not started.
    unsafe {
        let first = (&raw const clock_program).cast::<u32>();
        let words = (&raw const clock_program_end)
            .cast::<u32>()
            .offset_from_unsigned(first);
        for word in 0..words {
            (vaddr::CLOCK_CODE as *mut u32)
                .add(word)
                .write_volatile(first.add(word).read());
        }
        core::arch::asm!("dsb sy", options(nostack, preserves_flags));
    }
}
