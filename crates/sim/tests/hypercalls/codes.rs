//! Orders of errors and what is written, each seen on Xen 4.22 with the probe's set `codes`.

use super::*;

const EILSEQ: i64 = -84;
const EOVERFLOW: i64 = -75;
/// Frames end before this one with 40 address bits.
const BEYOND: u64 = 1 << 28;

/// A structure of 64-bit words at the argument page.
fn with(guest: &mut sim::Guest<'_>, nr: u64, cmd: u64, words: &[u64]) -> i64 {
    guest.put(ARGS, &[0u64; 20]);
    guest.put(ARGS, words);
    guest.hvc(nr, &[cmd, guest.ptr(ARGS), 1])
}

/// `domid` as the first half of a structure, `rest` above it.
fn first(domid: u16, rest: u64) -> u64 {
    u64::from(domid) | rest << 16
}

/// SM-22: what a guest asks with progress in the number that cannot be, and in which order it is
/// refused.
#[test]
fn progress_is_looked_at_first() {
    in_every_way(|guest| {
        for op in [2, 3, 4, 11, 14, 15, 24, 26, 27] {
            assert_eq!(guest.hvc(MEMORY_OP, &[op | 1 << 6, 8]), EINVAL, "{op}");
        }
        for op in [7, 23] {
            assert_eq!(guest.hvc(MEMORY_OP, &[op | 1 << 22, 8]), EDOM, "{op}");
        }
        for op in [0, 1, 6] {
            assert_eq!(guest.hvc(MEMORY_OP, &[op | 7 << 6, 8]), 7, "{op}");
        }
        for op in [18, 19] {
            assert_eq!(guest.hvc(MEMORY_OP, &[op, 8]), 0);
            assert_eq!(guest.hvc(MEMORY_OP, &[op | 1 << 6, 8]), ENOSYS);
            assert_eq!(guest.hvc(MEMORY_OP, &[op | 1 << 31, 8]), ENOSYS);
            assert_eq!(guest.hvc(MEMORY_OP, &[op | 1 << 32, 8]), 0, "32 bits");
        }
    });
}

#[test]
fn claims_topologies_resources_and_reserved_memory() {
    in_every_way(|guest| {
        let (me, other) = (guest.domid(), 3 - guest.domid());
        let claim = |guest: &mut sim::Guest<'_>, list, order, domid: u16| {
            with(guest, MEMORY_OP, 24, &[list, 1, order, u64::from(domid)])
        };
        for (list, order, domid, want) in [
            (8, 0, me, EINVAL),
            (0, 1, me, EINVAL),
            (0, 1 << 32, me, EINVAL),
            (0, 0, SELF, EINVAL),
            (0, 0, 77, EINVAL),
            (0, 0, me, EPERM),
            (0, 0, other, EPERM),
        ] {
            assert_eq!(
                claim(guest, list, order, domid),
                want,
                "{list} {order} {domid}"
            );
        }
        for (domid, pad, want) in [
            (77, 1, EINVAL),
            (77, 0, ESRCH),
            (other, 0, EPERM),
            (me, 0, EOPNOTSUPP),
            (SELF, 0, EOPNOTSUPP),
        ] {
            assert_eq!(with(guest, MEMORY_OP, 26, &[first(domid, pad)]), want);
        }
        for (domid, frame, want) in [
            (77, 1 << 32, EINVAL),
            (77, 0xffff_ffff, EINVAL),
            (77, 0, ESRCH),
            (SELF, 0, ESRCH),
            (me, 0, EPERM),
            (other, 0, EPERM),
        ] {
            let words = [first(domid, 1), 1, frame, 8];
            assert_eq!(
                with(guest, MEMORY_OP, 28, &words),
                want,
                "{domid} {frame:#x}"
            );
        }
        assert_eq!(with(guest, MEMORY_OP, 27, &[2]), EINVAL);
        assert_eq!(with(guest, MEMORY_OP, 27, &[1 | 9 << 32, 8]), 0);
        assert_eq!(guest.get::<u64>(ARGS), 1, "no entries");
    });
}

#[test]
fn an_exchange_is_looked_at_up_to_its_first_frame() {
    in_every_way(|guest| {
        let list = ARGS + 0x400;
        guest.put(list, &[FREE >> 12, BEYOND]);
        let at = guest.ptr(list);
        // Each side: list, extents, order and domain.
        let both = |a: [u64; 4], b: [u64; 4], done: u64| {
            [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], done]
        };
        let own = u64::from(SELF);
        let me = u64::from(guest.domid());
        let one = [at, 1, 0, own];
        for (words, want) in [
            (both([at, 1, 10, own], [at, 1, 10, own], 0), EPERM),
            (both(one, [at, 1, 12, own], 0), EPERM),
            (both(one, one, 2), EINVAL),
            (both(one, [at, 1, 0, me], 0), EINVAL),
            (both(one, [at, 2, 0, own], 0), EINVAL),
            (
                both([at, u64::MAX, 1, own], [at, u64::MAX, 1, own], 0),
                EINVAL,
            ),
            (both([8, 0, 0, 77], [8, 0, 0, 77], 0), 0),
            (both([8, 3, 0, 77], [8, 3, 0, 77], 3), 0),
            (both(one, [at, 1, (1 << 17 | 2 << 8) << 32, own], 0), EINVAL),
            (both([at, 1, 0, 77], [at, 1, 0, 77], 0), ESRCH),
            (both([8, 1, 0, own], [8, 1, 0, own], 0), EFAULT),
            (both(one, one, 0), EOPNOTSUPP),
            (both([at, 2, 0, own], [at, 1, 1, own], 0), EOPNOTSUPP),
            (both([at, 2, 0, own], [at, 2, 0, own], 1), EINVAL),
        ] {
            assert_eq!(with(guest, MEMORY_OP, 11, &words), want, "{words:x?}");
            assert_eq!(guest.get::<u64>(ARGS + 64), words[8], "how far it came");
        }
    });
}

#[test]
fn ranges_and_device_pages_of_the_physmap() {
    in_every_way(|guest| {
        let other = 3 - guest.domid();
        let gfn = FREE >> 12;
        let add = |guest: &mut sim::Guest<'_>, start: u64, words: [u64; 3]| {
            with(guest, MEMORY_OP, 7 | start << 6, &words)
        };
        let range = |size: u64| first(SELF, size) | 3 << 32;
        for (start, words, want) in [
            (0, [range(0), 0, gfn], 0),
            (4, [range(4), 0, gfn], 0),
            (5, [range(4), 0, gfn], EILSEQ),
            (5, [range(4), 0, u64::MAX - 1], EILSEQ),
            (0, [range(2), 0, u64::MAX - 1], EOVERFLOW),
            (0, [range(2), u64::MAX, gfn], EOVERFLOW),
            (0, [range(1), 0, gfn], ENOSYS),
            (0, [range(1), 0, u64::MAX], EINVAL),
            (0, [first(other, 0) | 5 << 32, 0, gfn], EACCES),
            (0, [first(SELF, 0) | 5 << 32, 0, u64::MAX], EACCES),
            (0, [first(77, 0) | 5 << 32, 0, gfn], ESRCH),
            (0, [first(SELF, 0), 1, BEYOND], EINVAL),
            // An index of the grant table has 32 bits.
            (0, [first(SELF, 0) | 1 << 32, 1 << 32, gfn], 0),
            (0, [first(SELF, 0) | 1 << 32, 0xffff_ffff, gfn], EINVAL),
        ] {
            assert_eq!(add(guest, start, words), want, "{start} {words:x?}");
        }
    });
}

/// EX-16: what covers a page of the hypervisor's frees it to be mapped again.
#[test]
fn pages_of_the_hypervisor_over_each_other() {
    in_every_way(|guest| {
        let gfn = FREE >> 12;
        assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, gfn), 0);
        assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, gfn + 1), EBUSY);
        assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 1, gfn), 0);
        assert_eq!(guest.add_to_physmap(space::GRANT_TABLE, 0, gfn + 1), 0);
        assert_eq!(decrease(guest, &[gfn]), 0, "what is no RAM is not given up");
        assert_eq!(remove(guest, gfn), 0);
    });
}

#[test]
fn status_writes_what_a_state_has() {
    in_every_way(|guest| {
        let me = u32::from(guest.domid());
        let mut alloc = AllocUnbound {
            dom: SELF,
            remote_dom: SELF,
            port: 0,
        };
        guest.op(EVENT_CHANNEL_OP, event::ALLOC_UNBOUND, &mut alloc);
        let ask = |guest: &mut sim::Guest<'_>, port| {
            let mut status = Status {
                dom: SELF,
                port,
                status: 9,
                vcpu: 9,
                dom_or_irq: u32::MAX,
                remote_port: u32::MAX,
                ..Status::default()
            };
            let got = guest.op(EVENT_CHANNEL_OP, event::STATUS, &mut status);
            (got, status.status, status.dom_or_irq, status.remote_port)
        };
        assert_eq!(ask(guest, alloc.port), (0, 1, 0xffff_0000 | me, u32::MAX));
        let mut bind = BindInterdomain {
            remote_dom: SELF,
            remote_port: alloc.port,
            ..BindInterdomain::default()
        };
        guest.op(EVENT_CHANNEL_OP, event::BIND_INTERDOMAIN, &mut bind);
        let (near, far) = (bind.local_port, alloc.port);
        assert_eq!(ask(guest, near), (0, 2, 0xffff_0000 | me, far));
        let mut ipi = BindIpi::default();
        guest.op(EVENT_CHANNEL_OP, event::BIND_IPI, &mut ipi);
        assert_eq!(ask(guest, ipi.port), (0, 5, u32::MAX, u32::MAX));
        let mut virq = BindVirq {
            virq: 7,
            ..BindVirq::default()
        };
        assert_eq!(guest.op(EVENT_CHANNEL_OP, event::BIND_VIRQ, &mut virq), 0);
        assert_eq!(ask(guest, virq.port), (0, 4, 7, u32::MAX));
        assert_eq!(ask(guest, 0), (0, 0, u32::MAX, u32::MAX));
        assert_eq!(ask(guest, 63), (0, 0, u32::MAX, u32::MAX));
        assert_eq!(ask(guest, 64).0, EINVAL, "there is no room for it yet");
        for remote_dom in [0, 77, 0x7ff1] {
            let alloc = AllocUnbound {
                remote_dom,
                ..alloc
            };
            assert_eq!(
                guest.op_in(EVENT_CHANNEL_OP, event::ALLOC_UNBOUND, alloc),
                ESRCH
            );
        }
        let remote_dom = 3 - guest.domid();
        let alloc = AllocUnbound {
            remote_dom,
            ..alloc
        };
        assert_eq!(
            guest.op_in(EVENT_CHANNEL_OP, event::ALLOC_UNBOUND, alloc),
            EPERM
        );
    });
}

#[test]
fn a_multicall_writes_results_alone() {
    in_every_way(|guest| {
        // xen_version(extraversion) writes its 16 bytes over args[4] and args[5] of its own entry.
        let own = guest.ptr(ARGS + 48);
        guest.put(
            ARGS,
            &[XEN_VERSION, 0x55, version::EXTRAVERSION, own, 0, 0, 0, 0],
        );
        assert_eq!(guest.hvc(MULTICALL, &[guest.ptr(ARGS), 1]), 0);
        let entry = guest.get::<[u64; 8]>(ARGS);
        assert_eq!((entry[1], entry[3]), (0, own));
        assert_ne!((entry[6], entry[7]), (0, 0));
        // The count has 64 bits: what lies behind the list is looked at.
        assert_eq!(guest.hvc(MULTICALL, &[8, 1 << 32]), EFAULT);
    });
}

#[test]
fn polls_take_bound_ports_only() {
    in_every_way(|guest| {
        let (a, b) = guest.loopback();
        let poll = |guest: &mut sim::Guest<'_>, ports: [u32; 2], count: u64| {
            guest.put(ARGS + 0x200, &ports);
            let at = guest.ptr(ARGS + 0x200);
            with(guest, SCHED_OP, sched::POLL, &[at, count, 1])
        };
        for bad in [0, 60, 64, 1023, 4096, u32::MAX] {
            assert_eq!(poll(guest, [bad, 0], 1), EINVAL, "{bad}");
        }
        assert_eq!(poll(guest, [a, b], 2), 0);
        assert_eq!(poll(guest, [a, b], 129), EINVAL);
        assert_eq!(guest.send(a), 0);
        assert_eq!(
            poll(guest, [b, 60], 2),
            0,
            "the look ends at what is pending"
        );
    });
}
