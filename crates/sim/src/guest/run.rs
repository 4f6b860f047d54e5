//! Executing instructions.

use hv_types::{Gpa, Gva};
use hypervisor_core::exit::Reason;
use hypervisor_core::host::SysReg;

use super::insn::{self, Width};
use super::{Exception, Guest, OTHER_TEXTS, RN, RT, Ran, TEXT, TEXT_EACH, VECTORS, Way};
use crate::vcpu::Thread;

impl Guest<'_> {
    /// Lets happen what happens before an instruction; whether the vCPU runs.
    pub fn is_running(&mut self) -> bool {
        self.sys.settle();
        self.sys.fire_timers();
        self.cpu_ref().thread == Thread::Running
    }

    fn assert_running(&mut self) {
        let index = self.index;
        assert!(
            self.is_running(),
            "guest {index} cannot execute anything: {:?}, log {:?}",
            self.vmm().stopped(),
            self.vmm().host.log
        );
    }

    fn text(&self) -> Option<u64> {
        [TEXT]
            .into_iter()
            .chain(OTHER_TEXTS)
            .find(|at| self.is_mapped(*at))
    }

    /// Whether the guest has memory for its text.
    pub fn has_text(&self) -> bool {
        self.text().is_some()
    }

    /// Puts `words` into the text and the PC at the last of them; returns that PC.
    fn load_text(&mut self, words: &[u32]) -> u64 {
        let text = self.text().expect("the guest has memory for its text");
        let at = text + TEXT_EACH * (1 + u64::from(self.cpu.raw()));
        self.put(at, words);
        let pc = self.ptr(at + 4 * (words.len() as u64 - 1));
        self.set_pc(pc);
        self.set_sysreg(SysReg::Vbar, self.ptr(VECTORS));
        pc
    }

    /// The vCPU exits at the instruction at `pc`.
    fn exit(&mut self, pc: u64, exit: Reason) -> Ran {
        let lives = self.vmm().restarts();
        self.sys.exit(self.index, self.cpu, exit);
        let ended = self.vmm().vm().is_none() && self.vmm().stopped().is_none();
        if ended || self.vmm().restarts() != lives {
            return Ran::Restarts;
        }
        self.outcome(pc)
    }

    fn outcome(&self, pc: u64) -> Ran {
        if let Some(reason) = self.vmm().stopped() {
            return Ran::Stopped(reason);
        }
        let now = self.pc();
        match (self.cpu_ref().thread, now.wrapping_sub(pc)) {
            (Thread::Running, 0) => Ran::Again,
            (Thread::Running, 4) => Ran::Done,
            (Thread::Running, _) => Ran::Exception(self.exception(pc)),
            (_, 0) => Ran::WaitingToRetry,
            (_, 4) => Ran::Waiting,
            _ => panic!("the vCPU waits at {now:#x} after an instruction at {pc:#x}"),
        }
    }

    fn exception(&self, pc: u64) -> Exception {
        let vbar = self.sysreg(SysReg::Vbar);
        let vector = self.pc().wrapping_sub(vbar);
        assert!(
            vector < 0x800,
            "the PC went from {pc:#x} to {:#x}, no vector",
            self.pc()
        );
        Exception {
            vector,
            esr: self.sysreg(SysReg::Esr),
            far: self.sysreg(SysReg::Far),
            elr: self.sysreg(SysReg::Elr).wrapping_sub(pc).cast_signed(),
        }
    }

    /// Executes an instruction that traps with `esr`.
    pub fn trap(&mut self, word: u32, esr: u32) -> Ran {
        self.assert_running();
        let pc = self.load_text(&[insn::NOP, word]);
        self.exit(pc, Reason::Trap { esr })
    }

    /// `wfi`.
    pub fn wfi(&mut self) -> Ran {
        self.trap(insn::WFI, insn::ESR_WFI)
    }

    /// `wfe`.
    pub fn wfe(&mut self) -> Ran {
        self.trap(insn::WFE, insn::ESR_WFE)
    }

    /// `smc #imm`.
    pub fn smc_imm(&mut self, imm: u16) -> Ran {
        self.trap(insn::smc(imm), insn::esr_smc(imm))
    }

    /// `smc #0` with `args` from x0 on.
    pub fn smc(&mut self, args: &[u64]) -> Ran {
        for (n, value) in (0..).zip(args) {
            self.set_x(n, *value);
        }
        self.smc_imm(0)
    }

    /// `hvc #imm` with the registers as they are, made and reported as `way` says.
    pub fn hvc_imm(&mut self, imm: u16, way: Way) -> Ran {
        self.assert_running();
        let before = match (way, u16::try_from(self.x(16))) {
            (Way::Stub, Ok(nr)) => insn::movz_x16(nr),
            _ => insn::NOP,
        };
        let pc = self.load_text(&[before, insn::hvc(imm)]);
        if way == Way::Trap {
            self.set_pc(pc + 4);
            return self.exit(
                pc,
                Reason::Trap {
                    esr: insn::esr_hvc(imm),
                },
            );
        }
        self.exit(pc, Reason::Hvc)
    }

    /// The kernel reports an HVC at `pc`, whatever stands there; returns what became of it.
    pub fn hvc_at(&mut self, pc: u64) -> Ran {
        self.assert_running();
        self.set_sysreg(SysReg::Vbar, self.ptr(VECTORS));
        self.set_pc(pc);
        self.exit(pc, Reason::Hvc)
    }

    /// Fetches an instruction at `pc`, where stage 2 has nothing.
    pub fn fetch_fault_at(&mut self, pc: u64) -> Ran {
        self.assert_running();
        self.set_sysreg(SysReg::Vbar, self.ptr(VECTORS));
        self.set_pc(pc);
        let gpa = Gpa::new(
            self.stage1(pc, false)
                .expect("the guest's own tables map it"),
        );
        self.exit(
            pc,
            Reason::Abort {
                gpa,
                iss: insn::TRANSLATION_3,
                fetch: true,
            },
        )
    }

    /// The kernel reports something that the VMM does not know.
    pub fn exit_unknown(&mut self) -> Ran {
        self.assert_running();
        let pc = self.pc();
        self.exit(pc, Reason::Unknown { pc: Gva::new(pc) })
    }

    /// A load or store at guest virtual address `gva`; the value is in x4, a pair's second half in
    /// x5.
    pub fn access(&mut self, gva: u64, width: Width, store: bool) -> Ran {
        self.assert_running();
        let pc = self.load_text(&[insn::NOP, width.instruction(store, RT, RN)]);
        self.set_x(RN, gva);
        let gpa = self
            .stage1(gva, store)
            .unwrap_or_else(|| panic!("the guest's own tables do not map {gva:#x}"));
        let bytes = gpa..gpa + width.bytes() as u64;
        let mut faults = bytes.clone().find(|at| !self.is_present(*at));
        while let Some(at) = faults.filter(|at| self.is_absent(*at)) {
            // What the guest has not touched since a split comes, and the access is made again.
            let abort = Reason::Abort {
                gpa: Gpa::new(at),
                iss: width.iss(store, RT),
                fetch: false,
            };
            self.sys.exit(self.index, self.cpu, abort);
            assert!(self.is_present(at) && self.pc() == pc, "{at:#x}");
            // It may reach into a page that is away for good.
            faults = bytes.clone().find(|at| !self.is_present(*at));
        }
        let done = match faults {
            None if store => self.store_directly(gpa, width),
            None => self.load_directly(gpa, width),
            Some(at) => {
                let Some(value) = self.cpu_interface(gpa, store) else {
                    let exit = Reason::Abort {
                        gpa: Gpa::new(at),
                        iss: width.iss(store, RT),
                        fetch: false,
                    };
                    return self.exit(pc, exit);
                };
                if !store {
                    self.set_x(RT, value);
                }
                true
            }
        };
        assert!(done, "mapped memory can be accessed");
        if self.pc() == pc {
            self.set_pc(pc + 4);
        }
        Ran::Done
    }

    /// Executes `word`, a load or store at guest virtual address `gva` of which the syndrome says
    /// no more than its direction; nothing is mapped there. The registers are as they are.
    pub fn access_by(&mut self, word: u32, gva: u64, store: bool) -> Ran {
        let write = if store { insn::WNR } else { 0 };
        self.abort_by(word, gva, write | insn::TRANSLATION_3)
    }

    /// Executes `word`, maintenance of caches at `gva`, where nothing is mapped.
    pub fn maintain(&mut self, word: u32, gva: u64) -> Ran {
        self.abort_by(word, gva, insn::CM | insn::WNR | insn::TRANSLATION_3)
    }

    fn abort_by(&mut self, word: u32, gva: u64, iss: u32) -> Ran {
        self.assert_running();
        let pc = self.load_text(&[insn::NOP, word]);
        let gpa = self
            .stage1(gva, false)
            .unwrap_or_else(|| panic!("the guest's own tables do not map {gva:#x}"));
        assert!(!self.is_mapped(gpa), "{gpa:#x} is mapped: no exit");
        let gpa = Gpa::new(gpa);
        self.exit(
            pc,
            Reason::Abort {
                gpa,
                iss,
                fetch: false,
            },
        )
    }

    fn load_directly(&mut self, gpa: u64, width: Width) -> bool {
        let mut bytes = [0; 16];
        let done = self.try_read(gpa, &mut bytes[..width.bytes()]);
        let [low, high] =
            [0, 8].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes")));
        let value = if width == Width::SignedByte {
            (low << 56).cast_signed() >> 56
        } else {
            low.cast_signed()
        };
        self.set_x(RT, value.cast_unsigned());
        if width == Width::Pair {
            self.set_x(RT + 1, high);
        }
        done
    }

    fn store_directly(&mut self, gpa: u64, width: Width) -> bool {
        let bytes = [self.x(RT), self.x(RT + 1)].map(u64::to_le_bytes).concat();
        self.try_write(gpa, &bytes[..width.bytes()])
    }

    /// Loads from `gva`.
    ///
    /// # Panics
    /// If the load does not complete.
    pub fn load(&mut self, gva: u64, width: Width) -> u64 {
        let ran = self.access(gva, width, false);
        assert_eq!(ran, Ran::Done, "load of {width:?} at {gva:#x}");
        self.x(RT)
    }

    /// Stores to `gva`.
    ///
    /// # Panics
    /// If the store does not complete.
    pub fn store(&mut self, gva: u64, width: Width, value: u64) {
        let ran = self.try_store(gva, width, value);
        assert_eq!(ran, Ran::Done, "store of {width:?} at {gva:#x}");
    }

    /// Stores to `gva` and tells what became of it.
    pub fn try_store(&mut self, gva: u64, width: Width, value: u64) -> Ran {
        self.set_x(RT, value);
        self.access(gva, width, true)
    }
}
