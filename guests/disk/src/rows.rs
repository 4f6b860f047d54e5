//! What operations cost: `bench: disk_NAME N`, in instructions, of everything that runs meanwhile.
//!
//! The disk must answer at once, so that no time passes in which nothing is executed.

use core::ffi::CStr;

use crate::line::say;
use crate::sys::{self, Event, Iocb};

/// Instructions in a tick of the 62.5 MHz counter under `-icount shift=0`.
const PER_TICK: u64 = 16;
/// Bytes of a request at a random place.
const PAGE: usize = 4096;
/// Requests of that kind that are counted.
const REQUESTS: u64 = 4096;
/// Requests that are done before, so that what is made once is there.
const WARM: u64 = 256;
/// Most of them under way at once.
const DEPTH: usize = 32;
/// Bytes of the disk that are used.
const SPAN: u64 = 128 << 20;
/// Bytes of a request in order, and how many of these there are.
const LARGE: usize = 1 << 20;
const LARGES: u64 = 64;
/// Reads of the store.
const STORE_READS: u64 = 256;

/// What is read and written: no other process sees it.
#[repr(align(4096))]
struct Buffer([u8; LARGE]);

static mut BUFFER: Buffer = Buffer([0; LARGE]);

type Done = Result<(), &'static str>;

/// Runs all rows on `device`; with `store`, the file of that name is xenstore.
pub fn run(device: &CStr, store: Option<&CStr>) -> Done {
    let file = u64::try_from(sys::open(device, sys::BOTH | sys::DIRECT))
        .map_err(|_| "the disk cannot be opened")?;
    let context = sys::io_setup(DEPTH as u64).ok_or("no asynchronous I/O")?;
    for (name, op, depth) in [
        ("disk_read_1", sys::AIO_READ, 1),
        ("disk_write_1", sys::AIO_WRITE, 1),
        ("disk_read_32", sys::AIO_READ, DEPTH),
        ("disk_write_32", sys::AIO_WRITE, DEPTH),
    ] {
        random(context, file, op, depth, WARM)?;
        let ticks = random(context, file, op, depth, REQUESTS)?;
        row(name, ticks * PER_TICK / REQUESTS);
    }
    in_order(file)?;
    store.map_or(Ok(()), store_reads)
}

fn row(name: &str, value: u64) {
    say(format_args!("bench: {name} {value}\n"));
}

/// Ticks in which `count` requests are done at random places, `depth` of them under way.
fn random(
    context: u64,
    file: u64,
    opcode: u16,
    depth: usize,
    count: u64,
) -> Result<u64, &'static str> {
    let mut place = 0x9e37_79b9_7f4a_7c15u64;
    let mut iocb = |slot: usize| {
        place ^= place << 13;
        place ^= place >> 7;
        place ^= place << 17;
        // A page of the buffer for each request under way.
        let buffer = (&raw mut BUFFER) as u64 + (slot * PAGE) as u64;
        Iocb {
            data: slot as u64,
            key: 0,
            flags: 0,
            opcode,
            priority: 0,
            file: file as u32,
            buffer,
            bytes: PAGE as u64,
            offset: (place % (SPAN / PAGE as u64) * PAGE as u64) as i64,
            reserved: 0,
            more_flags: 0,
            eventfd: 0,
        }
    };
    let mut iocbs: [Iocb; DEPTH] = core::array::from_fn(&mut iocb);
    let mut events = [Event {
        data: 0,
        iocb: 0,
        result: 0,
        more: 0,
    }; DEPTH];
    // Slots that are free.
    let mut free: [usize; DEPTH] = core::array::from_fn(|slot| slot);
    let mut frees = depth;
    let (mut begun, mut done) = (0, 0);
    let start = sys::counter();
    while done < count {
        let now = frees.min((count - begun) as usize);
        if now > 0 {
            let mut list = [core::ptr::null::<Iocb>(); DEPTH];
            for place in &mut list[..now] {
                frees -= 1;
                let slot = free[frees];
                iocbs[slot] = iocb(slot);
                *place = &raw const iocbs[slot];
            }
            // SAFETY: each slot has a page of the buffer, which nothing else reads or writes.
            let taken = unsafe { sys::io_submit(context, &list[..now]) };
            if taken != now as i64 {
                return Err("requests are not taken");
            }
            begun += now as u64;
        }
        let came = sys::io_getevents(context, &mut events[..depth]);
        let came = usize::try_from(came).map_err(|_| "no events")?;
        for event in &events[..came] {
            if event.result != PAGE as i64 {
                return Err("a request failed");
            }
            free[frees] = event.data as usize;
            frees += 1;
        }
        done += came as u64;
    }
    Ok(sys::counter() - start)
}

/// Large requests in order, past the page cache: instructions for each KiB.
fn in_order(file: u64) -> Done {
    // SAFETY: no request of [`random`] is under way, and this program has one thread.
    let Buffer(buffer) = unsafe { (&raw mut BUFFER).as_mut() }.ok_or("no buffer")?;
    for (name, writes) in [("disk_direct_read", false), ("disk_direct_write", true)] {
        let start = sys::counter();
        for number in 0..LARGES {
            let offset = number * LARGE as u64;
            let done = match writes {
                true => sys::write_at(file, buffer, offset),
                false => sys::read_at(file, buffer, offset),
            };
            if done != LARGE as i64 {
                return Err("a large request failed");
            }
        }
        let ticks = sys::counter() - start;
        row(name, ticks * PER_TICK / (LARGES * LARGE as u64 / 1024));
    }
    Ok(())
}

/// Reads of a node of the store, by way of Linux's device for it (public/io/xs_wire.h).
fn store_reads(store: &CStr) -> Done {
    const REQUEST: &[u8; 22] = b"\x02\0\0\0\x01\0\0\0\0\0\0\0\x06\0\0\0domid\0";
    let file =
        u64::try_from(sys::open(store, sys::BOTH)).map_err(|_| "the store cannot be opened")?;
    let once = || {
        let mut answer = [0; 64];
        sys::write(file, REQUEST);
        // A header of 16 bytes, whose first word is the request's again, and the value.
        let header = sys::read(file, &mut answer[..16]);
        let value = sys::read(file, &mut answer[16..]);
        let right = header == 16 && value > 0 && answer[0] == REQUEST[0];
        if right {
            Ok(())
        } else {
            Err("the store does not answer")
        }
    };
    once()?;
    let start = sys::counter();
    for _ in 0..STORE_READS {
        once()?;
    }
    let ticks = sys::counter() - start;
    row("store_read", ticks * PER_TICK / STORE_READS);
    Ok(())
}
