//! Random programs of a guest.

use hypervisor_core::host::SysReg;
use proptest::prelude::*;
use proptest::sample::select;
use sim::Way;
use sim::guest::insn::Width;
use sim::guest::stage1::{LINEAR, READ_ONLY, SCRAMBLED, UNMAPPED};
use sim::guest::{ARGS, CONSOLE_PAGE, FREE, GICC, GICD, RAM, SHARED_INFO, TEXT, UART};

/// One thing that a guest does, or that happens to it.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A hypercall with a random argument structure at `ARGS`.
    Call {
        nr: u64,
        cmd: u64,
        arg: Vec<u64>,
        third: u64,
    },
    /// A hypercall with random registers.
    Wild {
        nr: u64,
        args: [u64; 5],
    },
    Smc {
        args: [u64; 4],
    },
    Hvc {
        imm: u16,
        way: Way,
    },
    Store {
        at: u64,
        width: Width,
        value: u64,
    },
    Load {
        at: u64,
        width: Width,
    },
    /// Writes to memory without an exit, where there is any.
    Poke {
        at: u64,
        value: u64,
    },
    HvcAt {
        pc: u64,
    },
    CpuOn {
        number: u64,
    },
    Trap {
        esr: u32,
    },
    Wfi,
    SysReg {
        reg: SysReg,
        value: u64,
    },
    Pstate {
        value: u64,
    },
    Mmu {
        on: bool,
    },
    Gic,
    Acknowledge,
    End {
        intid: u16,
    },
    Timer {
        after: u64,
    },
    Pass {
        ticks: u64,
    },
    Type {
        keys: Vec<u8>,
    },
}

/// Where something is.
fn place() -> impl Strategy<Value = u64> {
    let bases = select(vec![
        ARGS,
        ARGS + 0x1000,
        FREE,
        FREE + 0x1000,
        FREE + 0x20_0000,
        TEXT,
        RAM,
        RAM + (16 << 20),
        SHARED_INFO,
        CONSOLE_PAGE,
        0x3800_0000,
        GICD,
        GICC,
        UART,
        0,
        LINEAR,
        LINEAR + 0x11_0000,
        SCRAMBLED,
        READ_ONLY,
        UNMAPPED,
        1 << 40,
        1 << 48,
        u64::MAX - 0xfff,
    ]);
    let offsets = prop_oneof![
        Just(0),
        0_u64..0x1000,
        select(vec![8, 0xff8, 0xffc, 0xfff, 0x400, 3072, 3076, 3080, 3084])
    ];
    (bases, offsets, any::<bool>()).prop_map(|(base, offset, below)| {
        if below {
            base.wrapping_sub(offset)
        } else {
            base.wrapping_add(offset)
        }
    })
}

/// A number at a boundary, or any.
fn number() -> impl Strategy<Value = u64> {
    let near_power =
        (0_u32..64, 0_u64..3).prop_map(|(n, off)| (1_u64 << n).wrapping_add(off).wrapping_sub(1));
    prop_oneof![4 => 0_u64..40, 2 => near_power, 2 => place(), 1 => gfn(), 1 => Just(0x7ff0), 1 => any::<u64>()]
}

/// A frame number, mostly one that means something.
fn gfn() -> impl Strategy<Value = u64> {
    let near = |at: u64| (0_u64..6).prop_map(move |n| (at >> 12) + n);
    prop_oneof![
        6 => near(FREE),
        2 => near(FREE + 0x20_0000),
        2 => near(RAM + (15 << 20)),
        1 => near(TEXT),
        1 => near(ARGS),
        2 => near(SHARED_INFO),
        1 => near(CONSOLE_PAGE),
        1 => near(0x3800_0000),
        1 => near(GICD),
        1 => place().prop_map(|at| at >> 12),
    ]
}

/// memory_op and what it points to, in the shape that it has.
fn memory_op() -> impl Strategy<Value = Step> {
    let domid = || prop_oneof![12 => Just(0x7ff0_u64), 2 => 0_u64..4, 1 => any::<u64>().prop_map(|n| n & 0xffff)];
    let extents = (
        select(vec![1_u64, 6]),
        prop::collection::vec(gfn(), 1..5),
        0_u64..11,
        domid(),
        prop_oneof![9 => Just(0_u64), 1 => number()],
    )
        .prop_map(|(cmd, gfns, order, domid, start)| {
            // The list follows the structure; `Call` puts its address in place of the marker.
            let mut arg = vec![
                super::LIST,
                gfns.len() as u64,
                if order > 9 { order } else { order % 2 * 9 },
                domid,
            ];
            arg.extend(gfns);
            Step::Call {
                nr: 12,
                cmd: cmd | start << 6,
                arg,
                third: 0,
            }
        });
    let add = (
        domid(),
        0_u64..7,
        prop_oneof![4 => 0_u64..4, 1 => number()],
        gfn(),
    )
        .prop_map(|(domid, space, idx, gfn)| Step::Call {
            nr: 12,
            cmd: 7,
            arg: vec![domid | space << 32, idx, gfn],
            third: 0,
        });
    let batch = (domid(), 0_u64..6, 0_u64..5, prop::collection::vec(gfn(), 8)).prop_map(
        |(domid, space, size, gfns)| {
            let mut arg = vec![
                domid | space << 16 | size << 32,
                super::LIST,
                super::LIST + 8,
                super::LIST + 16,
            ];
            arg.extend(gfns);
            Step::Call {
                nr: 12,
                cmd: 23,
                arg,
                third: 0,
            }
        },
    );
    let remove = (domid(), gfn()).prop_map(|(domid, gfn)| Step::Call {
        nr: 12,
        cmd: 15,
        arg: vec![domid, gfn],
        third: 0,
    });
    let other = (0_u64..64, prop::collection::vec(number(), 4)).prop_map(|(cmd, arg)| Step::Call {
        nr: 12,
        cmd,
        arg,
        third: 0,
    });
    prop_oneof![6 => extents, 4 => add, 1 => batch, 4 => remove, 1 => other]
}

/// Other hypercalls that understand what they are given.
fn sensible() -> impl Strategy<Value = Step> {
    let port = || prop_oneof![8 => 0_u64..12, 1 => number()];
    let event = (0_u64..15, port(), port(), port()).prop_map(|(cmd, a, b, c)| Step::Call {
        nr: 32,
        cmd,
        arg: vec![a | b << 32, c],
        third: 0,
    });
    let event_of_self = (0_u64..15, port()).prop_map(|(cmd, b)| Step::Call {
        nr: 32,
        cmd,
        arg: vec![0x7ff0 | 0x7ff0 << 16 | b << 32, 0],
        third: 0,
    });
    let vcpu_info = (
        gfn(),
        prop_oneof![4 => (0_u64..512).prop_map(|n| n * 8), 1 => number()],
    )
        .prop_map(|(gfn, offset)| Step::Call {
            nr: 24,
            cmd: 10,
            arg: vec![gfn, offset & 0xffff_ffff],
            third: 0,
        });
    let runstate = (select(vec![5_u64, 14]), place()).prop_map(|(cmd, at)| Step::Call {
        nr: 24,
        cmd,
        arg: vec![at],
        third: 0,
    });
    let param = (
        0_u64..2,
        prop_oneof![select(vec![0_u64, 1, 2, 17, 18, 28]), number()],
    )
        .prop_map(|(cmd, index)| Step::Call {
            nr: 34,
            cmd,
            arg: vec![0x7ff0 | index << 32, 5],
            third: 0,
        });
    let grant = (
        0_u64..14,
        prop::collection::vec(number(), 5),
        prop_oneof![6 => 0_u64..3, 1 => number()],
    )
        .prop_map(|(cmd, arg, third)| Step::Call {
            nr: 20,
            cmd,
            arg,
            third: third & 0x8000_00ff,
        });
    let copy =
        (gfn(), gfn(), 0_u64..4200, 0_u64..4200, 0_u64..4200).prop_map(|(from, to, a, b, len)| {
            Step::Call {
                nr: 20,
                cmd: 5,
                arg: vec![from, 0x7ff0 | a << 16, to, 0x7ff0 | b << 16, len & 0xffff],
                third: 1,
            }
        });
    let setup = (0_u64..70).prop_map(|n| Step::Call {
        nr: 20,
        cmd: 2,
        arg: vec![0x7ff0 | n << 32, 0, super::LIST],
        third: 1,
    });
    let print = prop::collection::vec(any::<u64>(), 1..20).prop_map(|arg| Step::Wild {
        nr: 18,
        args: [0, arg.len() as u64 * 8, ARGS, 0, 0],
    });
    // Two calls in a list.
    let list = (
        select(vec![12_u64, 17, 20, 24, 32, 34, 99, 13]),
        0_u64..24,
        place(),
        number(),
    )
        .prop_map(|(nr, cmd, at, count)| {
            let one = [nr, 0, cmd, at, count & 0xff, 0, 0, 0];
            Step::Call {
                nr: 13,
                cmd: super::LIST_ARG,
                arg: [one, one].concat(),
                third: 2,
            }
        });
    let poll = (prop::collection::vec(port(), 1..3), number()).prop_map(|(ports, timeout)| {
        let mut arg = vec![super::LIST, ports.len() as u64, timeout];
        arg.extend(ports);
        Step::Call {
            nr: 29,
            cmd: 3,
            arg,
            third: 0,
        }
    });
    let version = (0_u64..16, place()).prop_map(|(cmd, at)| Step::Wild {
        nr: 17,
        args: [cmd, at, 0, 0, 0],
    });
    prop_oneof![
        4 => event, 4 => event_of_self, 2 => vcpu_info, 2 => runstate, 1 => param, 3 => grant, 2 => copy, 1 => setup, 1 => print,
        2 => list, 1 => poll, 2 => version
    ]
}

fn width() -> impl Strategy<Value = Width> {
    select(vec![
        Width::Byte,
        Width::Half,
        Width::Word,
        Width::Word,
        Width::Word,
        Width::Double,
        Width::SignedByte,
        Width::Pair,
    ])
}

fn sysreg() -> impl Strategy<Value = SysReg> {
    select(vec![
        SysReg::Sctlr,
        SysReg::Ttbr0,
        SysReg::Ttbr1,
        SysReg::Tcr,
        SysReg::CntvCtl,
        SysReg::CntvCval,
        SysReg::Spsr,
    ])
}

/// A step.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    let wild = (
        prop_oneof![0_u64..48, number()],
        prop::array::uniform5(number()),
    )
        .prop_map(|(nr, args)| Step::Wild { nr, args });
    let shared = prop_oneof![
        place(),
        (0_u64..1088).prop_map(|n| SHARED_INFO + n),
        select(vec![3072_u64, 3076, 3080, 3084, 3088]).prop_map(|n| CONSOLE_PAGE + n),
        (0_u64..0x1000).prop_map(|n| FREE + n),
    ];
    let distributor = (0_u64..0x400).prop_map(|n| GICD + 4 * n);
    let device = || prop_oneof![3 => distributor.clone(), 1 => (0_u64..0x100).prop_map(|n| UART + n), 2 => place()];
    prop_oneof![
        16 => memory_op(),
        14 => sensible(),
        8 => wild,
        2 => prop::array::uniform4(number()).prop_map(|args| Step::Smc { args }),
        1 => (select(vec![0_u16, 1, 0xea1, 0x1234]), select(Way::ALL.to_vec())).prop_map(|(imm, way)| Step::Hvc { imm, way }),
        5 => (device(), width(), number()).prop_map(|(at, width, value)| Step::Store { at, width, value }),
        4 => (device(), width()).prop_map(|(at, width)| Step::Load { at, width }),
        6 => (shared, number()).prop_map(|(at, value)| Step::Poke { at, value }),
        2 => place().prop_map(|pc| Step::HvcAt { pc }),
        2 => any::<u32>().prop_map(|esr| Step::Trap { esr }),
        2 => (0_u64..4).prop_map(|number| Step::CpuOn { number }),
        2 => Just(Step::Wfi),
        1 => (sysreg(), number()).prop_map(|(reg, value)| Step::SysReg { reg, value }),
        1 => number().prop_map(|value| Step::Pstate { value }),
        2 => any::<bool>().prop_map(|on| Step::Mmu { on }),
        2 => Just(Step::Gic),
        3 => Just(Step::Acknowledge),
        3 => (select(vec![27_u16, 31, 32, 0, 1, 1023])).prop_map(|intid| Step::End { intid }),
        2 => (0_u64..10_000).prop_map(|after| Step::Timer { after }),
        2 => (0_u64..1_000_000).prop_map(|ticks| Step::Pass { ticks }),
        1 => prop::collection::vec(any::<u8>(), 1..20).prop_map(|keys| Step::Type { keys }),
    ]
}
