//! console_io as a guest with its MMU off makes it.
#![allow(clippy::cast_possible_truncation, reason = "test data")]

use guest_mem::Window;
use hv_types::WindowAddr;

use super::{CHUNK, read, write};
use crate::fake::{FakeHost, FakePages, RAM};
use crate::hypercall::Outcome;
use xen_abi::Errno;

const SIZE: u64 = 0x4000;

fn rig() -> (FakeHost, FakePages) {
    (FakeHost::new(SIZE), FakePages::new(SIZE))
}

fn put(host: &FakeHost, at: u64, bytes: &[u8]) {
    host.window.write(WindowAddr::new(at), bytes);
}

/// Executes the HVC until it returns; `Err` when it waits for the console.
fn run(host: &mut FakeHost, pages: &FakePages, args: &mut [u64; 5]) -> Result<i64, ()> {
    for _ in 0..10_000 {
        match write(host, pages, *args) {
            Outcome::Return(result) => return Ok(result),
            Outcome::Continue { args: next } => {
                assert!(next[1] < args[1], "no progress");
                *args = next;
            }
            Outcome::Retry => return Err(()),
            other => panic!("{other:?}"),
        }
    }
    panic!("never returns");
}

#[test]
fn writes_text_and_returns_0() {
    let (mut host, pages) = rig();
    put(&host, RAM, b"Linux\tversion\n");
    assert_eq!(
        write(&mut host, &pages, [0, 14, RAM, 0, 0]),
        Outcome::Return(0)
    );
    assert_eq!(host.console.out, b"Linux\tversion\n");
    assert_eq!(
        write(&mut host, &pages, [0, 0, 0xdead_0000, 0, 0]),
        Outcome::Return(0)
    );
}

#[test]
fn drops_what_is_not_printable() {
    let (mut host, pages) = rig();
    let text = "\0a\r\n\x1b[31mb\x7f\x08\x07 é\n\0".as_bytes();
    put(&host, RAM, text);
    assert_eq!(
        write(&mut host, &pages, [0, text.len() as u64, RAM, 0, 0]),
        Outcome::Return(0)
    );
    assert_eq!(host.console.out, "a\n[31mb é\n".as_bytes());
    host.console.out.clear();
    put(&host, RAM, b"\0\0\0");
    assert_eq!(
        write(&mut host, &pages, [0, 3, RAM, 0, 0]),
        Outcome::Return(0)
    );
    assert_eq!(host.console.out, b"");
}

#[test]
fn a_long_buffer_continues_and_crosses_pages() {
    let (mut host, pages) = rig();
    let text: Vec<u8> = (0..5000u32).map(|n| b' ' + (n % 90) as u8).collect();
    put(&host, RAM + 0xff0, &text);
    let mut args = [0, 5000, RAM + 0xff0, 3, 4];
    let first = write(&mut host, &pages, args);
    let chunk = CHUNK as u64;
    assert_eq!(
        first,
        Outcome::Continue {
            args: [0, 5000 - chunk, RAM + 0xff0 + chunk, 3, 4]
        }
    );
    let Outcome::Continue { args: next } = first else {
        unreachable!()
    };
    args = next;
    assert_eq!(run(&mut host, &pages, &mut args), Ok(0));
    assert_eq!(host.console.out, text);
}

#[test]
fn a_full_console_is_waited_for_and_nothing_is_lost() {
    let (mut host, pages) = rig();
    let text: Vec<u8> = (0..1000u32)
        .map(|n| if n % 7 == 3 { 0 } else { b'a' + (n % 26) as u8 })
        .collect();
    put(&host, RAM, &text);
    let mut args = [0, 1000, RAM, 0, 0];
    let mut waits = 0;
    host.console.room = 0;
    while run(&mut host, &pages, &mut args) == Err(()) {
        waits += 1;
        assert!(waits < 1000);
        // Room for an awkward number of bytes, then a notification.
        host.console.room = 13;
    }
    assert_eq!(waits, 66, "858 printable bytes, 13 at a time");
    let want: Vec<u8> = text.into_iter().filter(|&b| b != 0).collect();
    assert_eq!(host.console.out, want);
}

#[test]
fn a_buffer_that_is_no_memory_faults() {
    let (mut host, pages) = rig();
    let fault = Outcome::Return(Errno::Efault.as_i64());
    assert_eq!(write(&mut host, &pages, [0, 1, 0x1000, 0, 0]), fault);
    assert_eq!(write(&mut host, &pages, [0, 8, u64::MAX - 3, 0, 0]), fault);
    // What lies before the end of memory is printed; a count of 2^32 - 1 ends there.
    put(&host, RAM + SIZE - 256, &[b'z'; 256]);
    let mut args = [0, 0xffff_ffff, RAM + SIZE - 256, 0, 0];
    assert_eq!(
        run(&mut host, &pages, &mut args),
        Ok(Errno::Efault.as_i64())
    );
    assert_eq!(host.console.out, [b'z'; 256]);
}

#[test]
fn reads_what_was_typed() {
    let (mut host, pages) = rig();
    assert_eq!(
        read(&mut host, &pages, &mut None, [1, 100, RAM, 0, 0]),
        Ok(0)
    );
    host.console.input.extend(b"ls\r");
    assert_eq!(
        read(&mut host, &pages, &mut None, [1, 2, RAM + 0xfff, 0, 0]),
        Ok(2)
    );
    assert_eq!(
        read(&mut host, &pages, &mut None, [1, 100, RAM, 0, 0]),
        Ok(1)
    );
    let mut got = [0; 2];
    host.window.read(WindowAddr::new(RAM + 0xfff), &mut got);
    assert_eq!(
        (&got, host.window.load_u8(WindowAddr::new(RAM))),
        (b"ls", b'\r')
    );
    host.console.input.extend([b'x'; 1000]);
    assert_eq!(
        read(&mut host, &pages, &mut None, [1, 0x7fff_ffff, RAM, 0, 0]),
        Ok(CHUNK as i64)
    );
}

#[test]
fn a_read_that_fails_takes_nothing() {
    let (mut host, pages) = rig();
    host.console.input.extend(b"ls\r");
    assert_eq!(
        read(&mut host, &pages, &mut None, [1, 0x8000_0000, RAM, 0, 0]),
        Err(Errno::E2big)
    );
    let mut held = None;
    for bad in [0x1000, RAM + SIZE - 5] {
        assert_eq!(
            read(&mut host, &pages, &mut held, [1, 10, bad, 0, 0]),
            Err(Errno::Efault)
        );
    }
    assert_eq!(
        read(&mut host, &pages, &mut held, [1, 0, 0x1000, 0, 0]),
        Ok(0),
        "nothing is wanted"
    );
    // Nothing is lost, and without input nothing is wrong with the buffer.
    assert_eq!(
        read(&mut host, &pages, &mut held, [1, 10, RAM, 0, 0]),
        Ok(3)
    );
    assert_eq!(
        read(&mut host, &pages, &mut held, [1, 10, 0x1000, 0, 0]),
        Ok(0)
    );
}
