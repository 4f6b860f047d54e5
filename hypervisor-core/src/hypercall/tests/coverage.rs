//! The table against the dispatcher and against SUPPORT.md.

use std::fmt::Write as _;
use std::path::PathBuf;

use hv_types::Gva;
use xen_abi::{Errno, GuestHandle, grant, memory, number, toolstack};

use super::{BUF, DOMID, ENOSYS, Guest, RAM};
use crate::hypercall::ROWS;
use crate::hypercall::outcome::Outcome;
use crate::hypercall::row::{Row, Status};

const BEGIN: &str = "<!-- coverage:begin -->\n";
const END: &str = "<!-- coverage:end -->";

/// Calls the row's operation with an argument that is readable and names the caller's own domain.
fn try_out(row: &Row) -> Outcome {
    let mut guest = Guest::new();
    guest.fill(BUF, 256, 0);
    guest.put(BUF, &DOMID);
    match (row.number, row.cmd) {
        (number::MEMORY_OP, Some(memory::CLAIM_PAGES)) => {
            guest.put(
                BUF,
                &memory::Reservation {
                    domid: DOMID,
                    ..Default::default()
                },
            );
        }
        (number::MEMORY_OP, Some(memory::EXCHANGE)) => {
            let side = memory::Reservation {
                extent_start: GuestHandle::new(Gva::new(BUF + 0x80)),
                nr_extents: 1,
                domid: DOMID,
                ..Default::default()
            };
            let request = memory::Exchange {
                input: side,
                output: side,
                nr_exchanged: 0,
            };
            guest.put(BUF, &request);
            guest.put(BUF + 0x80, &(RAM >> 12));
        }
        (number::PLATFORM_OP, _) => guest.put::<u32>(BUF + 4, &toolstack::PLATFORM_OP_VERSION),
        (number::SYSCTL, _) => guest.put::<u32>(BUF + 4, &toolstack::SYSCTL_VERSION),
        (number::DOMCTL, _) => guest.put::<u32>(BUF + 4, &toolstack::DOMCTL_VERSION),
        (number::GRANT_TABLE_OP, Some(grant::SET_VERSION)) => guest.put::<u32>(BUF, &1),
        _ => {}
    }
    let cmd = row.cmd.unwrap_or(BUF);
    match row.number {
        // (cmd, type)
        number::VM_ASSIST => guest.call(row.number, &[cmd, 5]),
        // (cmd, vcpu, arg)
        number::VCPU_OP => guest.call(row.number, &[cmd, 0, BUF]),
        // (cmd, count, buffer)
        number::CONSOLE_IO => guest.call(row.number, &[cmd, 1, BUF]),
        // (list, count)
        number::MULTICALL => guest.call(row.number, &[BUF, 1]),
        // (cmd, arg, count)
        _ => guest.call(row.number, &[cmd, BUF, 1]),
    }
}

#[test]
fn rows_are_sorted_and_unique() {
    for pair in ROWS.windows(2) {
        let key = |row: &Row| (row.number, row.cmd);
        assert!(
            key(&pair[0]) < key(&pair[1]),
            "{:?} before {:?}",
            pair[0],
            pair[1]
        );
    }
}

#[test]
fn every_row_has_words() {
    let silent: Vec<_> = ROWS
        .iter()
        .filter(|row| !row.about.ends_with('.'))
        .map(|row| (row.name, row.cmd_name))
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn every_row_is_what_the_dispatcher_does() {
    let mut wrong = String::new();
    for row in ROWS {
        let outcome = try_out(row);
        let right = match row.status {
            Status::Done | Status::Partly(_) => outcome != Outcome::Return(ENOSYS),
            Status::Error(errno) | Status::Later(errno) => {
                outcome == Outcome::Return(errno.as_i64())
            }
        };
        if !right {
            let _ = writeln!(
                wrong,
                "{} {} gives {outcome:?}, table {:?}",
                row.name, row.cmd_name, row.status
            );
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn operations_without_a_row_do_not_exist() {
    let mut wrong = String::new();
    for nr in 0..64 {
        let family: Vec<&Row> = ROWS.iter().filter(|row| row.number == nr).collect();
        if family.first().is_some_and(|row| row.cmd.is_none()) {
            continue;
        }
        for cmd in (0..64).filter(|cmd| !family.iter().any(|row| row.cmd == Some(*cmd))) {
            let mut guest = Guest::new();
            guest.put(BUF, &DOMID);
            let expected = if nr == number::VCPU_OP {
                Errno::Einval
            } else {
                Errno::Enosys
            };
            let args = match nr {
                number::VM_ASSIST => [cmd, 5, 0],
                number::VCPU_OP => [cmd, 0, BUF],
                _ => [cmd, BUF, 1],
            };
            let outcome = guest.call(nr, &args);
            if outcome != Outcome::from(expected) {
                let _ = writeln!(wrong, "{nr} {cmd} gives {outcome:?}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn minus(errno: Errno) -> String {
    format!("-{errno:?}").to_uppercase()
}

/// The table of SUPPORT.md.
fn coverage_markdown() -> String {
    let mut out = String::from("| Hypercall | Operation | Answer |\n|---|---|---|\n");
    let mut last = u64::MAX;
    for row in ROWS {
        let call = if row.number == last {
            String::new()
        } else {
            format!("{} {}", row.number, row.name)
        };
        let operation = row
            .cmd
            .map_or(String::new(), |cmd| format!("{cmd} {}", row.cmd_name));
        let answer = match row.status {
            Status::Done => "supported".into(),
            Status::Partly(how_far) => how_far.into(),
            Status::Error(errno) => minus(errno),
            Status::Later(errno) => format!("later; {} until then", minus(errno)),
        };
        let _ = writeln!(out, "| {call} | {operation} | {answer} |");
        last = row.number;
    }
    out
}

/// Run with `ZAZEN_WRITE_COVERAGE=1` to write the table instead of comparing it.
#[test]
fn support_md_shows_the_table() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../SUPPORT.md");
    let text =
        std::fs::read_to_string(&path).expect("SUPPORT.md beside the workspace's Cargo.toml");
    let (before, rest) = text
        .split_once(BEGIN)
        .expect("the mark where the table begins");
    let (table, after) = rest.split_once(END).expect("the mark where the table ends");
    let now = coverage_markdown();
    if std::env::var_os("ZAZEN_WRITE_COVERAGE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{now}{END}{after}"))
            .expect("SUPPORT.md is writable");
        return;
    }
    assert!(
        table == now,
        "SUPPORT.md does not show the rows of the hypercalls; write it with\n\
         ZAZEN_WRITE_COVERAGE=1 cargo test -p hypervisor-core support_md"
    );
}
