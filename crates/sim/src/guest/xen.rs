//! Hypercalls, and what a guest shares with the hypervisor.

use dt_server_api::XEN_LAYOUT;
use xen_abi::console::ring;
use xen_abi::memory::{ADD_TO_PHYSMAP, AddToPhysmap, space};
use xen_abi::number::{CONSOLE_IO, EVENT_CHANNEL_OP, HVC_IMMEDIATE, HVM_OP, MEMORY_OP};
use xen_abi::shared::shared_info;
use xen_abi::{event, hvm};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{ARGS, Guest, MOST_RETRIES, RAM, Ran, Way};

/// Where tests map shared_info: in the extended region, behind the RAM.
pub const SHARED_INFO: u64 = RAM + 0x1000_0000;
/// The PV console's page.
pub const CONSOLE_PAGE: u64 = XEN_LAYOUT.magic.raw();
/// What the registers hold that a hypercall must keep.
const PATTERN: u64 = 0x5a5a_0000_0000_0000;

impl Guest<'_> {
    /// Which way [`Guest::hvc`] takes.
    pub fn set_way(&mut self, way: Way) {
        self.vmm_mut().way = way;
    }

    /// Hypercall `nr` with `args` from x0 on; returns x0.
    ///
    /// Where the call waits for the console, time passes. Checks that no register changes that must
    /// not.
    ///
    /// # Panics
    /// If it does not return: the guest waits, stops, or takes an exception.
    pub fn hvc(&mut self, nr: u64, args: &[u64]) -> i64 {
        match self.try_hvc(nr, args) {
            Ran::Done => self.x(0).cast_signed(),
            other => panic!("hypercall {nr} {args:#x?}: {other:?}"),
        }
    }

    /// Hypercall `nr`; what became of it.
    pub fn try_hvc(&mut self, nr: u64, args: &[u64]) -> Ran {
        for n in 0..31 {
            self.set_x(n, PATTERN | u64::from(n));
        }
        for (n, value) in (0..).zip(args) {
            self.set_x(n, *value);
        }
        self.set_x(16, nr);
        let before: Vec<u64> = (0..31).map(|n| self.x(n)).collect();
        let way = self.vmm().way;
        let mut continued = false;
        for _ in 0..MOST_RETRIES {
            let ran = self.hvc_imm(HVC_IMMEDIATE, way);
            match ran {
                Ran::Again => continued = true,
                Ran::WaitingToRetry => {
                    // It may go on with the rest.
                    continued = true;
                    while !self.is_running() {
                        assert!(
                            self.sys.advance_to_next_event(),
                            "hypercall {nr} waits for nothing"
                        );
                    }
                }
                // Nothing is left of its registers.
                Ran::Restarts => return ran,
                _ => {
                    // Of the arguments only those of a call that was continued may have changed.
                    let first = if continued { 5 } else { 1 };
                    for n in first..31 {
                        assert_eq!(
                            self.x(n),
                            before[usize::from(n)],
                            "hypercall {nr} changed x{n}"
                        );
                    }
                    return ran;
                }
            }
        }
        panic!("hypercall {nr} {args:#x?} does not end");
    }

    /// Hypercall `nr` with `cmd` and a pointer to `arg`, which lies in the argument pages and is
    /// read back.
    pub fn op<T: IntoBytes + FromBytes + Immutable>(
        &mut self,
        nr: u64,
        cmd: u64,
        arg: &mut T,
    ) -> i64 {
        self.put(ARGS, arg);
        let result = self.hvc(nr, &[cmd, self.ptr(ARGS)]);
        *arg = self.get(ARGS);
        result
    }

    /// [`Guest::op`] where the answer does not matter.
    pub fn op_in<T: IntoBytes + FromBytes + Immutable>(
        &mut self,
        nr: u64,
        cmd: u64,
        mut arg: T,
    ) -> i64 {
        self.op(nr, cmd, &mut arg)
    }

    /// `XENMEM_add_to_physmap` of the guest itself.
    pub fn add_to_physmap(&mut self, space: u32, idx: u64, gfn: u64) -> i64 {
        let arg = AddToPhysmap {
            domid: 0x7ff0,
            size: 0,
            space,
            idx,
            gpfn: gfn,
        };
        self.op_in(MEMORY_OP, ADD_TO_PHYSMAP, arg)
    }

    /// Maps shared_info at [`SHARED_INFO`].
    ///
    /// # Panics
    /// If that fails.
    pub fn map_shared_info(&mut self) {
        assert_eq!(
            self.add_to_physmap(space::SHARED_INFO, 0, SHARED_INFO >> 12),
            0
        );
    }

    /// An HVM parameter.
    ///
    /// # Panics
    /// If there is none.
    pub fn param(&mut self, index: u32) -> u64 {
        let mut arg = hvm::HvmParam {
            domid: 0x7ff0,
            pad: 0,
            index,
            value: u64::MAX,
        };
        assert_eq!(
            self.op(HVM_OP, hvm::GET_PARAM, &mut arg),
            0,
            "parameter {index}"
        );
        arg.value
    }

    /// `console_io` write.
    pub fn console_io(&mut self, text: &[u8]) -> i64 {
        self.put(ARGS, text);
        self.hvc(CONSOLE_IO, &[0, text.len() as u64, self.ptr(ARGS)])
    }

    // Events.

    /// `EVTCHNOP_send`.
    pub fn send(&mut self, port: u32) -> i64 {
        self.op_in(EVENT_CHANNEL_OP, event::SEND, event::PortArg { port })
    }

    /// A pair of ports of the guest connected with each other: it gets what it sends on one as an
    /// event on the other.
    ///
    /// # Panics
    /// If they cannot be had.
    pub fn loopback(&mut self) -> (u32, u32) {
        let mut alloc = event::AllocUnbound {
            dom: 0x7ff0,
            remote_dom: 0x7ff0,
            port: 0,
        };
        assert_eq!(
            self.op(EVENT_CHANNEL_OP, event::ALLOC_UNBOUND, &mut alloc),
            0
        );
        let mut bind = event::BindInterdomain {
            remote_dom: 0x7ff0,
            remote_port: alloc.port,
            ..Default::default()
        };
        assert_eq!(
            self.op(EVENT_CHANNEL_OP, event::BIND_INTERDOMAIN, &mut bind),
            0
        );
        (alloc.port, bind.local_port)
    }

    fn event_bit(&self, bitmap: u16, port: u32) -> bool {
        let word: u64 = self.get(SHARED_INFO + u64::from(bitmap) + u64::from(port / 64) * 8);
        word >> (port % 64) & 1 != 0
    }

    /// Whether `port` is pending in shared_info at [`SHARED_INFO`].
    pub fn is_pending(&self, port: u32) -> bool {
        self.event_bit(shared_info::EVTCHN_PENDING, port)
    }

    /// Sets or clears the mask bit of `port` in shared_info.
    pub fn set_mask(&mut self, port: u32, masked: bool) {
        let at = SHARED_INFO + u64::from(shared_info::EVTCHN_MASK) + u64::from(port / 64) * 8;
        let word: u64 = self.get(at);
        let bit = 1 << (port % 64);
        self.put(at, &if masked { word | bit } else { word & !bit });
    }

    /// What an upcall handler does with the `vcpu_info` at `info`: clears the flag, takes the
    /// selector, clears the pending bits of the ports that are not masked, and returns those ports.
    pub fn take_events(&mut self, info: u64) -> Vec<u32> {
        self.put(info, &0u8);
        let mut selector: u64 = self.get(info + 8);
        self.put(info + 8, &0u64);
        let mut ports = Vec::new();
        while selector != 0 {
            let word = selector.trailing_zeros();
            selector &= selector - 1;
            let at = SHARED_INFO + u64::from(word) * 8;
            let pending: u64 = self.get(at + u64::from(shared_info::EVTCHN_PENDING));
            let masked: u64 = self.get(at + u64::from(shared_info::EVTCHN_MASK));
            let mut due = pending & !masked;
            self.put(
                at + u64::from(shared_info::EVTCHN_PENDING),
                &(pending & !due),
            );
            while due != 0 {
                ports.push(word * 64 + due.trailing_zeros());
                due &= due - 1;
            }
        }
        ports
    }

    // The PV console's ring.

    /// Puts into the out ring as much of `bytes` as fits; returns how much that was.
    pub fn ring_put(&mut self, bytes: &[u8]) -> usize {
        let (cons, prod): (u32, u32) = (
            self.ring_index(ring::OUT_CONS),
            self.ring_index(ring::OUT_PROD),
        );
        let room = (ring::OUT_SIZE - prod.wrapping_sub(cons)) as usize;
        let count = bytes.len().min(room);
        let mut at = prod;
        for byte in &bytes[..count] {
            self.put(
                CONSOLE_PAGE + u64::from(ring::OUT) + u64::from(at % ring::OUT_SIZE),
                byte,
            );
            at = at.wrapping_add(1);
        }
        self.put(CONSOLE_PAGE + u64::from(ring::OUT_PROD), &at);
        count
    }

    /// Takes everything from the in ring.
    pub fn ring_take(&mut self) -> Vec<u8> {
        let (mut cons, prod): (u32, u32) = (
            self.ring_index(ring::IN_CONS),
            self.ring_index(ring::IN_PROD),
        );
        let mut bytes = Vec::new();
        while cons != prod {
            bytes.push(
                self.get(CONSOLE_PAGE + u64::from(ring::IN) + u64::from(cons % ring::IN_SIZE)),
            );
            cons = cons.wrapping_add(1);
        }
        self.put(CONSOLE_PAGE + u64::from(ring::IN_CONS), &cons);
        bytes
    }

    /// An index of the ring, by its offset in the page.
    pub fn ring_index(&self, offset: u16) -> u32 {
        self.get(CONSOLE_PAGE + u64::from(offset))
    }

    /// Port of the PV console.
    pub fn console_port(&mut self) -> u32 {
        u32::try_from(self.param(hvm::param::CONSOLE_EVTCHN)).expect("a port")
    }

    /// Writes `bytes` to the PV console as a driver does: fills the ring, sends, and yields while
    /// it is full, which takes time.
    pub fn print(&mut self, bytes: &[u8]) {
        let port = self.console_port();
        let mut rest = bytes;
        while !rest.is_empty() {
            let count = self.ring_put(rest);
            rest = &rest[count..];
            assert_eq!(self.send(port), 0);
            if count == 0 {
                assert_eq!(
                    self.hvc(xen_abi::number::SCHED_OP, &[xen_abi::sched::YIELD, 0]),
                    0
                );
                self.sys.advance_to_next_event();
            }
        }
    }
}
