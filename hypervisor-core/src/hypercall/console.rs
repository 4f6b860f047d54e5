//! console_io (public/xen.h): the emergency console, usable from a guest's first instruction
//! (GM-22).
//!
//! It shares the guest's stream with the PV console and the virtual UART. Line buffering, the name
//! in front and the treatment of control characters are the console server's.

use hv_types::Gva;
use xen_abi::Errno::{self, Enosys};
use xen_abi::console;

use super::outcome::Outcome;
use super::row::Status::Done;
use super::row::family;
use crate::host::on_vcpu::VcpuHost;
use crate::memory::guest_ptr::Copier;
use crate::memory::pages::Pages;
use console_api::ConsolePort;

/// Bytes done in one exit; more are a continuation, so that a guest that asks for 4 GiB stays
/// interruptible.
const CHUNK: usize = 128;

family! {
    /// console_io(cmd, count, buffer).
    ///
    /// - 0, write: returns 0. What is neither printable nor newline nor tab is dropped, as in Xen;
    ///   bytes from 0x80 on pass, because text is UTF-8 today. Where the console has no room the
    ///   guest executes the call again for the rest, once there is some; nothing is lost.
    /// - 1, read: returns the number of bytes typed for this guest, at most `count` and at most
    ///   128; 0 if there are none.
    ///
    /// Errors: `-EFAULT` for a buffer that is no guest memory (a write may have printed what lies
    /// before), `-E2BIG` for a read of more than 2^31 - 1, `-ENOSYS` for any other command.
    ///
    /// `held` is a byte that was read from the console and has not found its way to the guest.
    CONSOLE_IO "console_io"
    fn console_io<H: VcpuHost, P: Pages>(host: &mut H, pages: &P, held: &mut Option<u8>, args: [u64; 5]);
    match args[0], else Enosys;
    console::WRITE { "write", Done, "Writes text to the hypervisor's console: early boot messages.",
        write(host, pages, args) }
    console::READ { "read", Done, "Reads what was typed at the hypervisor's console.",
        read(host, pages, held, args) }
}

fn write<H: VcpuHost, P: Pages>(host: &mut H, pages: &P, args: [u64; 5]) -> Outcome {
    let [cmd, count, buffer, a3, a4] = args;
    if count == 0 {
        return Outcome::Return(0);
    }
    let mut bytes = [0; CHUNK];
    let chunk = usize::try_from(count).map_or(CHUNK, |n| n.min(CHUNK));
    let bytes = bytes.get_mut(..chunk).unwrap_or(&mut []);
    if let Err(errno) = Copier::new().read_bytes(host, pages, Gva::new(buffer), bytes) {
        return errno.into();
    }
    let taken = print(host.console(), bytes);
    let done = taken as u64;
    if done == count {
        return Outcome::Return(0);
    }
    if taken == 0 {
        return Outcome::Retry;
    }
    // Within the buffer, which was readable up to here: no overflow.
    let buffer = buffer.wrapping_add(done);
    Outcome::Continue {
        args: [cmd, count - done, buffer, a3, a4],
    }
}

/// Writes the printable ones of `bytes`; returns how many of `bytes` are done with.
fn print(port: &mut impl ConsolePort, bytes: &[u8]) -> usize {
    let mut done = 0;
    for run in bytes.split_inclusive(|&b| !is_printable(b)) {
        let text = match run.split_last() {
            Some((&last, text)) if !is_printable(last) => text,
            _ => run,
        };
        let taken = if text.is_empty() { 0 } else { port.write(text) };
        if taken < text.len() {
            return done + taken;
        }
        done += run.len();
    }
    done
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\t' | 0x20..=0x7e | 0x80..)
}

fn read<H: VcpuHost, P: Pages>(
    host: &mut H,
    pages: &P,
    held: &mut Option<u8>,
    args: [u64; 5],
) -> Result<i64, Errno> {
    let [_, count, buffer, ..] = args;
    if count > 0x7fff_ffff {
        return Err(Errno::E2big);
    }
    let want = usize::try_from(count).map_or(CHUNK, |n| n.min(CHUNK));
    let mut guest = Copier::new();
    let mut bytes = [0; CHUNK];
    // What was read from the console cannot be put back, but a bad buffer is an error only where
    // there is something to put into it: one byte is held for that.
    if held.is_none() && want > 0 {
        let mut byte = [0];
        *held = (host.console().read(&mut byte) > 0).then_some(byte[0]);
    }
    let Some(first) = *held else {
        return Ok(0);
    };
    guest.check_writable(host, pages, Gva::new(buffer), want as u64)?;
    let Some((place, rest)) = bytes.get_mut(..want).and_then(|b| b.split_first_mut()) else {
        return Ok(0);
    };
    (*place, *held) = (first, None);
    let got = 1 + host.console().read(rest).min(rest.len());
    let bytes = bytes.get(..got).unwrap_or(&[]);
    guest.write_bytes(host, pages, Gva::new(buffer), bytes)?;
    i64::try_from(got).map_err(|_| Errno::E2big)
}

#[cfg(test)]
mod tests;
