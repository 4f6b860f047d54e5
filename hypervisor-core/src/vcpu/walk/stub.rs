//! Finding out which hypercall an HVC was.
//!
//! The stock seL4 kernel reports an HVC without its immediate and without x16. Both usually stand
//! in the guest's text: `movz x16, #nr; hvc #imm`. Reading two words there is much cheaper than
//! asking the kernel for registers, if the walk to them can be saved: see [`Cache`].

use guest_mem::Window;
use hv_types::{Gpa, Gva, PAGE_SHIFT};
use xen_abi::number::HVC_IMMEDIATE;

use super::Regime;
use super::fault::{Access, Fault};
use crate::host::on_vcpu::VcpuHost;
use crate::memory::pages::Pages;

/// An HVC instruction and what its surroundings say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HvcSite {
    /// The immediate of the instruction: 0 is SMCCC, `0xEA1` is Xen.
    pub imm: u16,
    /// What the instruction before it put into x16, or `None` where it is neither `movz x16` nor
    /// `movz w16`: then x16 must be read.
    ///
    /// A guest that jumps past the `movz` with another x16 gets the hypercall that the `movz`
    /// names; no known guest does, and it is its own hypercall either way.
    pub nr: Option<u64>,
}

/// Why there is no HVC to be found at the PC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FetchError {
    /// The PC does not translate.
    Walk(Fault),
    /// The PC lies where the guest has no memory.
    NoMemory(Gpa),
    /// Another instruction is there (its word), or the PC is not aligned (word 0).
    NotHvc(u32),
}

/// Number of pages remembered; Linux has its stubs in one, PSCI in another.
const ENTRIES: usize = 4;

/// A guess is proved anew when it is older than this part of a second: 200 microseconds.
const PROOFS: u64 = 5000;

/// Pages of guest text that held HVC instructions, so that the next one there costs two loads.
///
/// An entry says "this virtual page was that physical page". Both words are read from guest memory
/// each time, and [`Pages`] is asked each time whether that is the guest's memory still. What may
/// have changed since is the translation:
///
/// * The guest has mapped another page there: the last entry of the walk is remembered with its
///   place and compared.
/// * The guest has other tables, or has switched the MMU off or on, as kexec does. Reading the
///   registers that tell costs more than the rest of a hypercall, and no exit comes with such a
///   change. So a Xen hypercall is believed for 200 microseconds after the page was proved, by a
///   walk or by x16, which is asked of the kernel then: it holds the number that the text names, or
///   the tables are walked and x16 is the number. A guest that changes its tables and executes an
///   HVC at the same address within that time, while its old page and the entry that led to it are
///   as they were and hold an HVC at the same offset, gets the call that stands in its old text.
///   Nobody but itself has a part in that.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    entries: [Option<Entry>; ENTRIES],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    page: Gva,
    at: Gpa,
    /// Where the last entry of the walk lies and what it was; none where the MMU was off.
    leaf: Option<(Gpa, u64)>,
    /// The tick until which the page is believed without another proof.
    proved: u64,
}

impl Entry {
    /// Whether the entry of the guest's tables that led here is as it was.
    #[inline]
    fn is_mapped<H: VcpuHost, P: Pages>(&self, host: &H, pages: &P) -> bool {
        self.leaf.is_none_or(|(at, was)| {
            let there = pages.readable(at, 8);
            there.is_some_and(|there| host.window().load_u64(there) == was)
        })
    }
}

impl Cache {
    /// Remembers nothing.
    pub const fn new() -> Self {
        Self {
            entries: [None; ENTRIES],
        }
    }

    fn slot(&mut self, page: Gva) -> &mut Option<Entry> {
        // Pages next to each other get different slots.
        match page.raw() >> PAGE_SHIFT & 3 {
            0 => &mut self.entries[0],
            1 => &mut self.entries[1],
            2 => &mut self.entries[2],
            _ => &mut self.entries[3],
        }
    }
}

/// The HVC instruction at the PC.
///
/// # Errors
/// [`FetchError`]; the vCPU cannot have executed an HVC there, or its tables have changed since.
pub fn fetch_hvc<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    cache: &mut Cache,
) -> Result<HvcSite, FetchError> {
    let pc = host.pc();
    if !pc.is_aligned(4) {
        return Err(FetchError::NotHvc(0));
    }
    let (page, offset) = (pc.page_base(), pc.page_offset());
    let slot = cache.slot(page);
    let mut x16 = None;
    if let Some(entry) = slot.as_mut().filter(|entry| entry.page == page)
        && entry.is_mapped(host, pages)
        && let Ok(site) = read_site(host, pages, Gpa::new(entry.at.raw() | offset), false)
    {
        match site {
            HvcSite {
                imm: HVC_IMMEDIATE,
                nr: Some(nr),
            } => {
                if host.now() < entry.proved {
                    return Ok(site);
                }
                let holds = host.x(16);
                if holds == nr {
                    entry.proved = proved_until(host);
                    return Ok(site);
                }
                x16 = Some(holds);
            }
            // Its number is asked of the kernel, and a call of SMCCC has its number in x0.
            HvcSite {
                imm: HVC_IMMEDIATE | IMM_SMCCC,
                ..
            } => return Ok(site),
            _ => {}
        }
    }
    let mut regime = Regime::new();
    let gpa = regime
        .translate(host, pages, pc, Access::Read)
        .map_err(FetchError::Walk)?;
    let uncached = regime.uncached(host);
    // Where the window does not show it yet.
    let _ = pages.readable_by(host, gpa, 4);
    let mut site = read_site(host, pages, gpa, uncached)?;
    *slot = Some(Entry {
        page,
        at: gpa.page_base(),
        leaf: regime.leaf(),
        proved: proved_until(host),
    });
    if x16.is_some() {
        site.nr = x16;
    }
    Ok(site)
}

/// Until when what is proved now is believed.
fn proved_until<H: VcpuHost>(host: &H) -> u64 {
    host.now().saturating_add(host.frequency() / PROOFS)
}

/// The instruction at the PC, walked afresh.
///
/// # Errors
/// [`FetchError::Walk`], [`FetchError::NoMemory`], or [`FetchError::NotHvc`] with word 0 for a PC
/// that is not aligned.
pub fn fetch_word<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    regime: &mut Regime,
) -> Result<u32, FetchError> {
    let pc = host.pc();
    if !pc.is_aligned(4) {
        return Err(FetchError::NotHvc(0));
    }
    let gpa = regime
        .translate(host, pages, pc, Access::Read)
        .map_err(FetchError::Walk)?;
    let there = pages
        .readable_by(host, gpa, 4)
        .ok_or(FetchError::NoMemory(gpa))?;
    if regime.uncached(host) {
        host.window().clean(there, 4);
    }
    Ok(host.window().load_u32(there))
}

/// Immediate of SMCCC calls.
const IMM_SMCCC: u16 = 0;

/// Reads the word at `gpa` and, on the same page, the one before it.
fn read_site<H: VcpuHost, P: Pages>(
    host: &H,
    pages: &P,
    gpa: Gpa,
    uncached: bool,
) -> Result<HvcSite, FetchError> {
    let window = host.window();
    let before = if gpa.page_offset() >= 4 { 4 } else { 0 };
    let first = Gpa::new(gpa.raw() - before);
    let there = pages
        .readable(first, before + 4)
        .ok_or(FetchError::NoMemory(gpa))?;
    if uncached {
        window.clean(there, before + 4);
    }
    let Some(at) = there.checked_add(before) else {
        return Err(FetchError::NoMemory(gpa));
    };
    let word = window.load_u32(at);
    let imm = decode_hvc(word).ok_or(FetchError::NotHvc(word))?;
    let nr = if before == 0 {
        None
    } else {
        decode_movz_x16(window.load_u32(there))
    };
    Ok(HvcSite { imm, nr })
}

/// The 16 bits at 20:5 of an instruction.
const fn imm16(word: u32) -> u16 {
    (word >> 5 & 0xffff) as u16
}

/// `HVC #imm16` (Arm ARM C6.2.133).
const fn decode_hvc(word: u32) -> Option<u16> {
    if word & 0xffe0_001f == 0xd400_0002 {
        Some(imm16(word))
    } else {
        None
    }
}

/// `MOVZ x16, #imm16` or `MOVZ w16, #imm16`, unshifted (Arm ARM C6.2.257).
fn decode_movz_x16(word: u32) -> Option<u64> {
    matches!(word & 0xffe0_001f, 0xd280_0010 | 0x5280_0010).then(|| u64::from(imm16(word)))
}
