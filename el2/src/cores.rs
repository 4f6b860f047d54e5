//! The cores of the machine: the lock that all share, and what one has another do.
//!
//! Whoever is at EL2 has the lock, but while it waits: for a guest that runs, for an interrupt, or
//! for the lock. With one core there is none.
//!
//! A vCPU is on one core for ever, and its registers stay in the processor there until another
//! vCPU's are loaded. Another core that needs them has them [put back](put_back): it sends an
//! interrupt, which no guest can mask, and the vCPU's core, which then waits for the lock or comes
//! to do so, stores them. Who asks waits with the lock, for as long as leaving a guest takes.
//!
//! # Soundness
//! A vCPU whose registers are to be put back is lent to its core for that time, by pointer.
//! [`Own`] gives each core that is started a stack of its own, and `start.rs` enters it there once.
//! What the words below mean is said by the modules that use them; they are atomic.
#![expect(
    unsafe_code,
    reason = "cores lend each other vCPUs, and start each other"
)]

use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use el2_boot::plan::{CORE_STACK, GUARD};
use el2_schedule::TicketLock;
use smccc::psci;
use topology::cores::MAX;

use crate::gich::Interface;
use crate::own::Own;
use crate::vcpu::Vcpu;
use crate::{cpu, gicd};

/// The lock.
static LOCK: TicketLock = TicketLock::new();
/// Whether several cores run, or are about to. Written once, before they do.
static SEVERAL: AtomicBool = AtomicBool::new(false);

/// What others want of a core.
struct Mail {
    /// An interrupt is on its way.
    rung: AtomicBool,
    /// Domains that may want to run there, or stop, a bit each.
    domains: AtomicU32,
    /// The vCPU whose registers are to be put back, which are in its processor.
    put_back: AtomicPtr<Vcpu>,
    /// The bit of its interface to the GIC; 0 until it has one.
    interface: AtomicU8,
}

static MAIL: [Mail; MAX as usize] = [const {
    Mail {
        rung: AtomicBool::new(false),
        domains: AtomicU32::new(0),
        put_back: AtomicPtr::new(core::ptr::null_mut()),
        interface: AtomicU8::new(0),
    }
}; MAX as usize];

/// Where the stacks of the cores end; 0 for the first, whose stack ends where the image does.
/// `start.rs` reads it when a core faults.
pub(crate) static STACK_ENDS: [AtomicU64; MAX as usize] =
    [const { AtomicU64::new(0) }; MAX as usize];

fn mail(core: u8) -> &'static Mail {
    &MAIL[usize::from(core % MAX)]
}

/// Whether several cores run.
#[inline]
pub(crate) fn several() -> bool {
    SEVERAL.load(Relaxed)
}

/// Takes the lock, for core `core`. Who has it may want the registers of the vCPU that has the
/// processor: returns whether they were put back meanwhile.
pub(crate) fn lock(core: u8) -> bool {
    let mut lost = false;
    LOCK.lock(|| {
        lost |= put_back_if_wanted(core);
        cpu::relax();
    });
    lost
}

/// Gives the lock back.
pub(crate) fn unlock() {
    LOCK.unlock();
}

/// Has core `core` leave its guest, or its sleep, and come for the lock.
pub(crate) fn ring(core: u8) {
    let mail = mail(core);
    if !mail.rung.swap(true, Relaxed) {
        gicd::interrupt(mail.interface.load(Relaxed));
    }
}

/// Has core `core` look at domain `domain`.
pub(crate) fn tell(core: u8, domain: usize) {
    mail(core).domains.fetch_or(1 << (domain % 32), Relaxed);
    ring(core);
}

/// The interrupt has come to core `core`: the domains that it is to look at.
pub(crate) fn take_mail(core: u8) -> u32 {
    let mail = mail(core);
    mail.rung.store(false, Relaxed);
    mail.domains.swap(0, Relaxed)
}

/// Has core `core`, which is another one, put back the registers of `vcpu`, which has its
/// processor. The caller has the lock, and lends the vCPU until this returns.
#[cold]
#[inline(never)]
pub(crate) fn put_back(core: u8, vcpu: &mut Vcpu) {
    let mail = mail(core);
    mail.put_back.store(vcpu, Release);
    mail.rung.store(true, Relaxed);
    gicd::interrupt(mail.interface.load(Relaxed));
    while !mail.put_back.load(Acquire).is_null() {
        cpu::relax();
    }
}

/// Puts back the registers of the vCPU that has the processor of this core, which is `core`, if
/// somebody wants that, who waits with the lock until it is done; whether it was done.
fn put_back_if_wanted(core: u8) -> bool {
    let mail = mail(core);
    let vcpu = mail.put_back.load(Acquire);
    if vcpu.is_null() {
        return false;
    }
    // SAFETY: lent by `put_back`, which waits; the vCPU is the one that has this processor, as it
    // is nobody else's core.
    unsafe { (*vcpu).unload() };
    // An interrupt that stays in a list register is one of nobody, and keeps the core awake.
    Interface::new().load();
    mail.put_back.store(core::ptr::null_mut(), Release);
    true
}

/// This core, which is `core`, takes interrupts from others.
pub(crate) fn listen(core: u8) {
    mail(core).interface.store(gicd::interface(), Relaxed);
}

/// What a core that is started reads before it has translation; `start.rs` knows the offsets.
#[repr(C)]
struct First {
    /// `TTBR0_EL2`.
    tables: u64,
    /// Where its stack ends.
    stack: u64,
    /// Its number.
    number: u64,
}

unsafe extern "C" {
    fn secondary_start();
}

/// Stacks of the cores that are to be started.
#[derive(Debug)]
pub(crate) struct Stacks {
    /// First byte of the first one's guard page.
    start: u64,
    count: u8,
}

impl Stacks {
    /// Bytes of a stack with its guard page.
    const BYTES: u64 = GUARD + CORE_STACK;

    /// Stacks of `cores` cores but the first.
    pub(crate) fn new(own: &mut Own, cores: u8) -> Self {
        let count = cores.saturating_sub(1);
        let bytes = usize::try_from(Self::BYTES * u64::from(count));
        let start = own.raw(bytes.expect("an address has 64 bits")) as u64;
        Self { start, count }
    }

    /// The guard pages, which are not to be mapped, ascending.
    pub(crate) fn guards(&self) -> impl Iterator<Item = u64> {
        let start = self.start;
        (0..u64::from(self.count)).map(move |n| start + n * Self::BYTES)
    }

    /// Starts the cores, which find the caller with the lock and wait for it. They translate by
    /// the tables at `tables`.
    ///
    /// # Panics
    /// If firmware starts fewer.
    pub(crate) fn start(&self, own: &mut Own, tables: u64) {
        if self.count == 0 {
            return;
        }
        assert!(
            cpu::number() == 0,
            "the boot loader started core {}; an image for several cores is to be started on core 0",
            cpu::number()
        );
        listen(0);
        lock(0);
        SEVERAL.store(true, Relaxed);
        for number in 1..=self.count {
            let stack = self.start + Self::BYTES * u64::from(number);
            STACK_ENDS[usize::from(number)].store(stack, Relaxed);
            let first = own.value(|| First {
                tables,
                stack,
                number: u64::from(number),
            });
            let first: *const First = first;
            // SAFETY: the structure is the host's own memory; cleaning it changes no value. The
            // core reads it without caches.
            unsafe { cpu::clean(first as u64, size_of::<First>() as u64) };
            let entry = secondary_start as *const () as u64;
            let started = psci::cpu_on::<smccc::Smc>(cpu::affinity(number), entry, first as u64);
            assert!(
                started.is_ok(),
                "firmware does not start core {number} of the {} that the image is for ({started:?}); pack it with fewer --cores, or give QEMU -smp {}",
                self.count + 1,
                self.count + 1
            );
        }
    }
}
