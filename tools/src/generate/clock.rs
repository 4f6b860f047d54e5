//! What the timer server and everybody who needs the time have on a board where user level cannot read the system counter.

use topology::pd::{self, priority, time};
use topology::vaddr;

use super::regions::region;
use crate::board::{Board, Timer};
use crate::system::{Map, Pd, Region, Vm};

/// Symbol of programs that need the time: the address of the page that tells it.
const PAGE_SYMBOL: &str = "zazen_clock_page";
const PAGE_SIZE: u64 = 0x1000;

/// The memory regions.
pub(super) fn regions(board: &Board) -> Vec<Region> {
    let Timer::Ttc { timer, counter, .. } = board.timer else {
        return Vec::new();
    };
    let device = |name, comment, start| Region {
        phys_addr: Some(start),
        ..region(name, comment, PAGE_SIZE)
    };
    vec![
        device(
            "timer",
            "Registers of the timer: the timer server alone.",
            timer.start,
        ),
        device(
            "clock_counter",
            "Registers of the counter that time is told by: written by the timer server alone.",
            counter.start,
        ),
        region(
            "clock_page",
            "How the counter and the system counter go together: written by the timer server alone.",
            PAGE_SIZE,
        ),
        region(
            "clock_code",
            "Program of the timer server's virtual machine, which reads the system counter.",
            PAGE_SIZE,
        ),
    ]
}

/// Gives the timer server the board's timer and its virtual machine.
pub(super) fn give_timer(server: &mut Pd, board: &Board) {
    let Timer::Ttc { .. } = board.timer else {
        return;
    };
    server.maps.extend(told_by("rw"));
    server.maps.extend([
        Map::device("timer", vaddr::TIMER_REGISTERS),
        Map::device("clock_code", vaddr::CLOCK_CODE),
    ]);
    server.vm = Some(Vm {
        name: pd::CLOCK_VM.to_owned(),
        priority: priority::CLOCK_VM,
        time: time::CLOCK_VM,
        maps: vec![
            Map::new("clock_code", vaddr::CLOCK_VM_CODE, "rx"),
            Map::uncached("clock_counter", vaddr::CLOCK_VM_COUNTER, "r"),
        ],
    });
}

/// Gives a client of the timer server the time.
pub(super) fn give_time(client: &mut Pd, board: &Board) {
    let Timer::Ttc { .. } = board.timer else {
        return;
    };
    client.maps.extend(told_by("r"));
}

/// What time is told by: page and counter.
fn told_by(perms: &'static str) -> [Map; 2] {
    [
        Map {
            vaddr_symbol: Some(PAGE_SYMBOL),
            ..Map::new("clock_page", vaddr::CLOCK_PAGE, perms)
        },
        Map::uncached("clock_counter", vaddr::CLOCK_COUNTER, perms),
    ]
}
