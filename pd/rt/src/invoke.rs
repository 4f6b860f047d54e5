//! Raw invocations for the fault path.
//!
//! `sel4`'s wrappers for reading and writing a thread's registers copy all 36 of them in and out of
//! a structure; a fault needs a few. Here the words stay where the kernel puts them.

use sel4_microkit::with_msg_regs_mut;

/// Registers of a thread in the order of `seL4_UserContext` on AArch64 (libsel4,
/// sel4_arch_include/aarch64/sel4/sel4_arch/types.h).
pub const CONTEXT_LEN: usize = 36;
/// Position of the program counter.
pub const CONTEXT_PC: usize = 0;
/// Position of the stack pointer of EL0.
pub const CONTEXT_SP: usize = 1;
/// Position of SPSR.
pub const CONTEXT_SPSR: usize = 2;

/// Position of `x<n>` in the kernel's order, for `n` in `0..=30`.
pub const CONTEXT_X: [u8; 31] = {
    let order: [u8; 31] = [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18, 29, 30, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22,
        23, 24, 25, 26, 27, 28,
    ];
    let mut position = [0_u8; 31];
    let mut i = 0;
    while i < 31 {
        // The first three are pc, sp and spsr.
        position[order[i] as usize] = 3 + i as u8;
        i += 1;
    }
    position
};

fn call(cap: u64, label: u64, words: usize) -> sel4::MessageInfo {
    // `seL4_Call` is the same for every capability type; the type marker is of no consequence.
    sel4::cap::Endpoint::from_bits(cap).call(sel4::MessageInfo::new(label, 0, 0, words))
}

/// Reads the first `count` registers of thread `tcb` into `regs`, but for those with a bit in
/// `keep`; false if the kernel refused.
pub fn read_registers(tcb: u64, regs: &mut [u64; CONTEXT_LEN], count: usize, keep: u64) -> bool {
    with_msg_regs_mut(|mrs| {
        mrs[0] = 0; // neither suspend nor architecture flags
        mrs[1] = count as u64;
    });
    let info = call(tcb, sel4::sys::invocation_label::TCBReadRegisters.into(), 2);
    if info.label() != 0 {
        return false;
    }
    with_msg_regs_mut(|mrs| {
        for (i, (to, from)) in regs.iter_mut().zip(&mrs[..count]).enumerate() {
            if keep & (1 << i) == 0 {
                *to = *from;
            }
        }
    });
    true
}

/// Writes the first `count` registers of thread `tcb` and, with `resume`, makes it run: a thread
/// that waits for a fault reply then needs no reply any more.
pub fn write_registers(tcb: u64, regs: &[u64; CONTEXT_LEN], count: usize, resume: bool) -> bool {
    with_msg_regs_mut(|mrs| {
        mrs[0] = u64::from(resume);
        mrs[1] = count as u64;
        mrs[2..2 + count].copy_from_slice(&regs[..count]);
    });
    call(
        tcb,
        sel4::sys::invocation_label::TCBWriteRegisters.into(),
        2 + count,
    )
    .label()
        == 0
}

/// Tells the guest on the vCPU object `vcpu` that its processor is `mpidr`; false if the kernel
/// refused. `sel4` has that register for multicore kernels alone.
pub fn identify(vcpu: u64, mpidr: u64) -> bool {
    write_vcpu(
        vcpu,
        sel4::sys::seL4_VCPUReg::seL4_VCPUReg_VMPIDR_EL2,
        mpidr,
    )
}

/// Makes all system registers of the vCPU object `vcpu` what they are in a new one, in which
/// `SCTLR_EL1` is `sctlr`.
pub fn reset_vcpu(vcpu: u64, sctlr: u64) {
    for reg in 0..sel4::sys::seL4_VCPUReg::seL4_VCPUReg_Num {
        let value = match reg {
            sel4::sys::seL4_VCPUReg::seL4_VCPUReg_SCTLR => sctlr,
            _ => 0,
        };
        // The kernel refuses only numbers that do not exist.
        write_vcpu(vcpu, reg, value);
    }
}

/// Writes register `reg` of the vCPU object `vcpu`; false if the kernel refused.
fn write_vcpu(vcpu: u64, reg: u64, value: u64) -> bool {
    with_msg_regs_mut(|mrs| {
        mrs[0] = reg;
        mrs[1] = value;
    });
    let label = sel4::sys::invocation_label::ARMVCPUWriteReg;
    call(vcpu, label.into(), 2).label() == 0
}

/// Cleans the bytes `start..end` of address space `vspace`, which lie in one page, to the point of
/// unification and has instruction caches forget them; false if the kernel refused.
pub fn unify_instruction(vspace: u64, start: u64, end: u64) -> bool {
    with_msg_regs_mut(|mrs| {
        mrs[0] = start;
        mrs[1] = end;
    });
    let label = sel4::sys::invocation_label::ARMVSpaceUnify_Instruction;
    call(vspace, label.into(), 2).label() == 0
}

/// A protection domain's own fault endpoint (microkit-tool, `PD_FAULT_EP_CAP_IDX`).
pub const FAULT_ENDPOINT: u64 = 2;

/// Puts `word(i)` into message register `i` for each below `words`, as far as there are registers.
/// For tests.
pub fn fill_message(words: u64, mut word: impl FnMut(usize) -> u64) {
    with_msg_regs_mut(|mrs| {
        for (i, register) in mrs.iter_mut().enumerate().take(words as usize) {
            *register = word(i);
        }
    });
}

/// Calls over `channel` with whatever is in the message registers, with the capability at `cap`
/// sent along, and returns the reply's label. For tests of servers: nothing is checked.
pub fn call_with(channel: usize, label: u64, words: u64, cap: Option<u64>) -> u64 {
    let caps = usize::from(cap.is_some());
    if let Some(cap) = cap {
        sel4::with_ipc_buffer_mut(|buffer| buffer.caps_or_badges_mut()[0] = cap);
    }
    // The label has 52 bits.
    let info = sel4::MessageInfo::new(label & ((1 << 52) - 1), 0, caps, words as usize);
    let endpoint = sel4::cap::Endpoint::from_bits(topology::caps::CALL + channel as u64);
    endpoint.call(info).label()
}

/// Sends this protection domain's fault handler a message as if it had faulted, when it listens.
/// For tests of the handler.
pub fn pretend_fault(label: u64, words: u64) {
    let info = sel4::MessageInfo::new(label, 0, 0, words as usize);
    sel4::cap::Endpoint::from_bits(FAULT_ENDPOINT).send(info);
}

fn endpoint(slot: u64) -> sel4::cap::Endpoint {
    sel4::Cap::from_bits(slot)
}

fn plain(label: u64, words: u64) -> sel4::MessageInfo {
    sel4::MessageInfo::new(label, 0, 0, words as usize)
}

/// `seL4_Send` on the capability at `slot`, with whatever is in the message registers. For tests,
/// like those that follow.
pub fn send(slot: u64, label: u64, words: u64) {
    endpoint(slot).send(plain(label, words));
}

/// `seL4_NBSend`.
pub fn nb_send(slot: u64, label: u64, words: u64) {
    endpoint(slot).nb_send(plain(label, words));
}

/// `seL4_Call`; returns the reply's label.
pub fn call_slot(slot: u64, label: u64, words: u64) -> u64 {
    endpoint(slot).call(plain(label, words)).label()
}

/// `seL4_NBSendRecv`: sends to `slot` with this thread's time, and receives on its own endpoint.
pub fn nb_send_recv(slot: u64, label: u64, words: u64) {
    let input = endpoint(topology::caps::INPUT);
    let reply = sel4::cap::Reply::from_bits(topology::caps::REPLY);
    endpoint(slot).nb_send_recv(plain(label, words), input, reply);
}

/// `seL4_NBSendWait`: the same without a reply object.
pub fn nb_send_wait(slot: u64, label: u64, words: u64) {
    sel4::with_ipc_buffer_mut(|buffer| {
        buffer.inner_mut().seL4_NBSendWait(
            slot,
            plain(label, words).into_inner(),
            topology::caps::INPUT,
        );
    });
}

/// `seL4_Poll`, which is a receive that does not block.
pub fn poll(slot: u64) {
    sel4::cap::Notification::from_bits(slot).poll();
}

/// `seL4_Yield`: gives up the rest of this thread's time slice.
pub fn sched_yield() {
    sel4::r#yield();
}

/// `TCB_SetPriority` of thread `tcb` on the authority of thread `authority`; whether the kernel did
/// it.
pub fn set_priority(tcb: u64, authority: u64, priority: u8) -> bool {
    let authority = sel4::cap::Tcb::from_bits(authority);
    sel4::with_ipc_buffer_mut(|buffer| {
        buffer
            .inner_mut()
            .seL4_TCB_SetPriority(tcb, authority.bits(), priority.into())
            == 0
    })
}

/// `TCB_Suspend` and `TCB_Resume`.
pub fn suspend_and_resume(tcb: u64) {
    let tcb = sel4::cap::Tcb::from_bits(tcb);
    let _ = tcb.tcb_suspend();
    let _ = tcb.tcb_resume();
}
