//! Wild arguments of hypercalls.

use super::*;

#[test]
fn wild_pointers_everywhere() {
    attack(|guest| {
        for at in wild(guest) {
            for nr in 0..48 {
                for cmd in 0..32 {
                    // Stopping is not an accident.
                    if nr == SCHED_OP && matches!(cmd, sched::BLOCK) {
                        continue;
                    }
                    let ran = guest.try_hvc(nr, &[cmd, at, at, at, at]);
                    assert_eq!(ran, Ran::Done, "hypercall {nr} op {cmd} at {at:#x}");
                }
            }
        }
    });
}

#[test]
fn wild_pointers_within_arguments() {
    attack(|guest| {
        for at in wild(guest) {
            let handle = GuestHandle::new(Gva::new(at));
            let batch = AddToPhysmapBatch {
                domid: SELF,
                space: 1,
                size: 3,
                foreign_domid: 0,
                idxs: handle,
                gpfns: handle,
                errs: handle,
            };
            assert_eq!(
                guest.op_in(MEMORY_OP, memory::ADD_TO_PHYSMAP_BATCH, batch),
                EFAULT,
                "{at:#x}"
            );
            let poll = sched::Poll {
                ports: handle,
                nr_ports: 3,
                pad: 0,
                timeout: 0,
            };
            assert_eq!(guest.op_in(SCHED_OP, sched::POLL, poll), EFAULT, "{at:#x}");
            let list = Reservation {
                extent_start: handle,
                nr_extents: 5,
                extent_order: 0,
                mem_flags: 0,
                domid: SELF,
                pad: [0; 6],
            };
            for op in [memory::DECREASE_RESERVATION, memory::POPULATE_PHYSMAP] {
                assert_eq!(guest.op_in(MEMORY_OP, op, list), 0, "{at:#x}");
            }
            // Where a runstate area lies is not checked; nothing is written there.
            guest.put(ARGS, &RegisterRunstate { addr: handle });
            assert_eq!(
                guest.hvc(
                    VCPU_OP,
                    &[REGISTER_RUNSTATE_MEMORY_AREA, 0, guest.ptr(ARGS)]
                ),
                0,
                "{at:#x}"
            );
            guest.hvc(SCHED_OP, &[sched::YIELD, 0]);
        }
    });
}

#[test]
fn bad_numbers_of_everything() {
    attack(|guest| {
        // Close to the end of RAM, so that endless arrays end soon.
        let last = RAM + (16 << 20) - 4096;
        let at = guest.ptr(last);
        let numbers = [
            2,
            63,
            64,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_ffff,
            1 << 32,
            1 << 63,
            u64::MAX,
        ];
        for nr in [12, 13, 17, 18, 20, 21, 24, 29, 32, 34]
            .into_iter()
            .chain(numbers)
        {
            for cmd in numbers {
                for count in numbers {
                    guest.put(last, &[0xff_u8; 128]);
                    // A console that is given 2 GiB to print takes its time; a shutdown is obeyed.
                    if nr == CONSOLE_IO || (nr, cmd) == (SCHED_OP, sched::SHUTDOWN) {
                        continue;
                    }
                    let ran = guest.try_hvc(nr, &[cmd, at, count]);
                    assert!(
                        matches!(ran, Ran::Done),
                        "{nr:#x} {cmd:#x} {count:#x}: {ran:?}"
                    );
                }
            }
        }
    });
}

#[test]
fn console_io_with_a_count_beyond_all_memory_ends_with_efault() {
    attack(|guest| {
        // All of it up to the end of RAM is printed, in pieces.
        let end = guest.ptr(RAM + (16 << 20) - 4096);
        for count in [0xffff_ffff, 0x8000_0000, 5000] {
            assert_eq!(
                guest.hvc(CONSOLE_IO, &[0, count, end]),
                EFAULT,
                "{count:#x}"
            );
        }
    });
}

#[test]
fn events_to_strangers_go_nowhere() {
    attack(|guest| {
        for port in (0..1100)
            .chain([4095, 4096, u32::MAX])
            .filter(|port| *port != 1)
        {
            let sent = guest.op_in(EVENT_CHANNEL_OP, SEND, PortArg { port });
            assert_eq!(sent, common::EINVAL, "{port}");
        }
    });
}
