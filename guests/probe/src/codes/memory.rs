//! memory_op: questions, and what is not for guests.

use super::argument::Arg;
use super::{Codes, NOBODIES, WILD, scratch};
use crate::xen::{SELF, call2, errno, nr};

fn op(cmd: u64, arg: u64) -> i64 {
    call2(nr::MEMORY, cmd, arg)
}

/// Runs the checks.
pub fn run(c: &mut Codes<'_>) {
    questions(c);
    exchange(c);
    topology(c);
    claim(c);
    resource(c);
    others(c);
}

fn questions(c: &mut Codes<'_>) {
    c.is("ram-page-start", op(2 | 1 << 6, 0), errno::INVAL);
    c.is("ram-page", i64::from(op(2, WILD) > 0), 1);
    for cmd in [3, 4, 14] {
        let ask = |dom: u16| op(cmd, Arg::new().half(0, dom).at());
        c.of("ask-start", cmd, op(cmd | 1 << 6, WILD), errno::INVAL);
        c.of("ask-wild", cmd, op(cmd, WILD), errno::FAULT);
        c.of("ask-null", cmd, op(cmd, 0), errno::FAULT);
        c.of("ask-self", cmd, i64::from(ask(SELF) > 0), 1);
        c.of("ask-own-id", cmd, ask(c.me), ask(SELF));
        c.of("ask-other", cmd, ask(c.other), errno::PERM);
        for dom in NOBODIES {
            c.of(
                "ask-nobody",
                u64::from(dom) << 8 | cmd,
                ask(dom),
                errno::SRCH,
            );
        }
    }
}

/// `xen_memory_exchange`: in @0, out @32 (each a reservation), nr_exchanged @64.
fn exchange(c: &mut Codes<'_>) {
    let list = [scratch::frame(0), WILD >> 12];
    let side = |arg: Arg, at: usize, list: u64, nr: u64, order: u32, dom: u16| {
        arg.long(at, list)
            .long(at + 8, nr)
            .word(at + 16, order)
            .half(at + 24, dom)
    };
    let at = list.as_ptr() as u64;
    let both = |list: u64, nr: u64, order: u32, dom: u16| {
        side(
            side(Arg::new(), 0, list, nr, order, dom),
            32,
            list,
            nr,
            order,
            dom,
        )
    };
    c.is("exchange-start", op(11 | 1 << 6, WILD), errno::INVAL);
    c.is("exchange-wild", op(11, WILD), errno::FAULT);
    c.is("exchange-nothing", op(11, both(0, 0, 0, 77).at()), 0);
    c.is(
        "exchange-order-10",
        op(11, both(at, 1, 10, SELF).at()),
        errno::PERM,
    );
    let orders = side(side(Arg::new(), 0, at, 1, 0, SELF), 32, at, 1, 12, SELF);
    c.is("exchange-order-12", op(11, { orders }.at()), errno::PERM);
    c.is(
        "exchange-past-end",
        op(11, both(at, 1, 0, SELF).long(64, 2).at()),
        errno::INVAL,
    );
    let ids = side(side(Arg::new(), 0, at, 1, 0, SELF), 32, at, 1, 0, c.me);
    c.is("exchange-two-ids", op(11, { ids }.at()), errno::INVAL);
    let sizes = side(side(Arg::new(), 0, at, 1, 0, SELF), 32, at, 2, 0, SELF);
    c.is("exchange-sizes", op(11, { sizes }.at()), errno::INVAL);
    c.is(
        "exchange-huge",
        op(11, both(at, u64::MAX, 1, SELF).at()),
        errno::INVAL,
    );
    c.is(
        "exchange-done",
        op(11, both(WILD, 3, 0, 77).long(64, 3).at()),
        0,
    );
    c.is(
        "exchange-node",
        op(
            11,
            both(at, 1, 0, SELF).word(32 + 20, 1 << 17 | 2 << 8).at(),
        ),
        errno::INVAL,
    );
    c.is(
        "exchange-nobody",
        op(11, both(at, 1, 0, 77).at()),
        errno::SRCH,
    );
    c.is(
        "exchange-other",
        op(11, both(at, 1, 0, c.other).at()),
        errno::PERM,
    );
    c.is(
        "exchange-list",
        op(11, both(WILD, 1, 0, SELF).at()),
        errno::FAULT,
    );
    c.is(
        "exchange-ram",
        op(11, both(at, 1, 0, SELF).at()),
        errno::OPNOTSUPP,
    );
    c.is(
        "exchange-hole",
        op(11, both(at + 8, 1, 0, SELF).at()),
        errno::INVAL,
    );
    c.is(
        "exchange-two",
        op(11, both(at, 2, 0, SELF).at()),
        errno::OPNOTSUPP,
    );
    let mut second = both(at, 2, 0, SELF).long(64, 1);
    c.is("exchange-second", op(11, second.at()), errno::INVAL);
    c.is("exchange-second-done", second.get_long(64) as i64, 1);
    let larger = side(side(Arg::new(), 0, at, 2, 0, SELF), 32, at, 1, 1, SELF);
    c.is("exchange-larger", op(11, { larger }.at()), errno::OPNOTSUPP);
}

/// `xen_vnuma_topology_info`: domid @0, pad @2.
fn topology(c: &mut Codes<'_>) {
    c.is("vnuma-start", op(26 | 1 << 6, WILD), errno::INVAL);
    c.is("vnuma-wild", op(26, WILD), errno::FAULT);
    c.is(
        "vnuma-pad",
        op(26, Arg::new().half(0, 77).half(2, 1).at()),
        errno::INVAL,
    );
    c.is(
        "vnuma-nobody",
        op(26, Arg::new().half(0, 77).at()),
        errno::SRCH,
    );
    c.is(
        "vnuma-other",
        op(26, Arg::new().half(0, c.other).at()),
        errno::PERM,
    );
    c.is(
        "vnuma-self",
        op(26, Arg::new().half(0, SELF).at()),
        errno::OPNOTSUPP,
    );
    c.is(
        "vnuma-own-id",
        op(26, Arg::new().half(0, c.me).at()),
        errno::OPNOTSUPP,
    );
}

/// A reservation without list, order and flags.
fn claim(c: &mut Codes<'_>) {
    let of = |dom: u16| Arg::new().long(8, 1).half(24, dom);
    c.is("claim-start", op(24 | 1 << 6, WILD), errno::INVAL);
    c.is("claim-wild", op(24, WILD), errno::FAULT);
    c.is("claim-list", op(24, of(1).long(0, 8).at()), errno::INVAL);
    c.is("claim-order", op(24, of(1).word(16, 1).at()), errno::INVAL);
    c.is("claim-flags", op(24, of(1).word(20, 1).at()), errno::INVAL);
    c.is("claim-self", op(24, of(SELF).at()), errno::INVAL);
    c.is("claim-nobody", op(24, of(77).at()), errno::INVAL);
    c.is("claim-own-id", op(24, of(c.me).at()), errno::PERM);
    c.is("claim-other", op(24, of(c.other).at()), errno::PERM);
}

/// `xen_mem_acquire_resource`: domid @0, type @2, id @4, nr_frames @8, pad @12, frame @16, list
/// @24.
fn resource(c: &mut Codes<'_>) {
    let of = |dom: u16| Arg::new().half(0, dom).half(2, 1).word(8, 1).long(24, 8);
    c.is("resource-wild", op(28, WILD), errno::FAULT);
    c.is("resource-wild-start", op(28 | 1 << 6, WILD), errno::FAULT);
    c.is(
        "resource-pad",
        op(28, of(77).word(12, 1).at()),
        errno::INVAL,
    );
    c.is(
        "resource-frame",
        op(28, of(77).long(16, 1 << 32).at()),
        errno::INVAL,
    );
    c.is(
        "resource-sum",
        op(28, of(77).long(16, 0xffff_ffff).at()),
        errno::INVAL,
    );
    c.is("resource-self", op(28, of(SELF).at()), errno::SRCH);
    c.is("resource-nobody", op(28, of(77).at()), errno::SRCH);
    c.is("resource-own-id", op(28, of(c.me).at()), errno::PERM);
    c.is("resource-other", op(28, of(c.other).at()), errno::PERM);
    c.is(
        "resource-other-type",
        op(28, of(c.other).half(2, 99).at()),
        errno::PERM,
    );
}

fn others(c: &mut Codes<'_>) {
    for cmd in [5, 8, 9, 10, 12, 13, 16, 17, 20, 21, 22, 25] {
        c.of("no-operation", cmd, op(cmd, Arg::new().at()), errno::NOSYS);
    }
    for cmd in 29..64 {
        c.of("unknown-operation", cmd, op(cmd, WILD), errno::NOSYS);
    }
    for cmd in [18, 19] {
        c.of("sharing-pages", cmd, op(cmd, WILD), 0);
        c.of(
            "sharing-pages-start",
            cmd,
            op(cmd | 1 << 6, WILD),
            errno::NOSYS,
        );
        c.of("sharing-pages-32", cmd, op(cmd | 1 << 32, WILD), 0);
    }
    // xen_reserved_device_memory_map: flags @0, nr_entries @4, buffer @8, dev @16.
    c.is("rdm-start", op(27 | 1 << 6, WILD), errno::INVAL);
    c.is("rdm-wild", op(27, WILD), errno::FAULT);
    c.is(
        "rdm-flags",
        op(27, Arg::new().word(0, 2).at()),
        errno::INVAL,
    );
    let mut map = Arg::new().word(0, 1).word(4, 9);
    c.is("rdm", op(27, map.at()), 0);
    c.is("rdm-entries", i64::from(map.get_word(4)), 0);
}
