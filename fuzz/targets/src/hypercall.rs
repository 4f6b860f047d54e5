//! Hypercalls.

use hypervisor_core::hypercall::dispatch;
use hypervisor_core::hypercall::outcome::Outcome;

use crate::guest::{ARGS, value, with_guest};
use crate::input::Input;

/// How often a hypercall is executed again.
const MOST_ROUNDS: usize = 64;

/// Any registers over any memory: nothing but the guest's own memory is touched, and memory is
/// where its records say.
pub fn hypercall(data: &[u8]) {
    let mut input = Input::new(data);
    let flags: u8 = input.get();
    with_guest(flags & 1 != 0, flags & 2 != 0, |guest| {
        while let Some(operation) = input.operation() {
            match operation {
                // A word of an argument structure.
                0..0x60 => {
                    let word = value(&mut input);
                    guest.poke(ARGS + 8 * u64::from(operation), &word.to_le_bytes());
                }
                // 32-bit halves, as most structures have them.
                0x60..0x80 => {
                    let half = value(&mut input).to_le_bytes();
                    guest.poke(ARGS + 4 * u64::from(operation & 0x1f), &half[..4]);
                }
                0x80..0x90 => {
                    let at = value(&mut input);
                    let count = usize::from(operation & 15) + 1;
                    let bytes = input.bytes(count);
                    guest.poke(at, bytes);
                }
                _ => {
                    let nr = match operation {
                        0xff => input.get(),
                        // Numbers go up to 55; what lies above is refused like what lies between.
                        _ => u64::from(operation & 0x3f),
                    };
                    let mut args = [(); 5].map(|()| value(&mut input));
                    for _ in 0..MOST_ROUNDS {
                        match dispatch(&mut guest.vm, &mut guest.host, nr, args) {
                            Outcome::Continue { args: next }
                            | Outcome::ContinueLater { args: next, .. } => args = next,
                            Outcome::Stop(_) => return,
                            Outcome::Return(_)
                            | Outcome::Yield
                            | Outcome::Block
                            | Outcome::Retry => break,
                        }
                    }
                }
            }
        }
    });
}
