//! The PV console's page.

use std::collections::VecDeque;

use console_api::ConsolePort;
use guest_mem::{VecWindow, Window};
use hv_types::{Gfn, PAGE_SIZE, Port, WindowAddr};
use hypervisor_core::device::pv_console::PvConsole;
use memory_server_api::Extra;
use xen_abi::console::ring::{IN, IN_CONS, IN_PROD, IN_SIZE, OUT, OUT_CONS, OUT_PROD, OUT_SIZE};

use crate::input::Input;

/// A console that takes `room` bytes and has `input`.
struct End {
    out: Vec<u8>,
    room: usize,
    input: VecDeque<u8>,
}

impl ConsolePort for End {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room);
        self.room -= taken;
        self.out.extend(&bytes[..taken]);
        taken
    }
    fn read(&mut self, into: &mut [u8]) -> usize {
        let got = into.len().min(self.input.len());
        for (to, from) in into.iter_mut().zip(self.input.drain(..got)) {
            *to = from;
        }
        got
    }
    fn room(&self) -> usize {
        self.room
    }
}

fn at(offset: u16) -> WindowAddr {
    WindowAddr::extra(Extra::Console.index(), offset)
}

/// A guest that writes anything into its page: what is taken is what it put there, at most a ring
/// of it, and nothing but the input ring and the backend's two indices is changed.
pub fn pv_console(data: &[u8]) {
    let mut input = Input::new(data);
    let window = VecWindow::new().with(at(0), PAGE_SIZE);
    let mut ring = PvConsole::new(Gfn::new(0x39000), Port(1));
    ring.connect(&window);
    let mut end = End {
        out: Vec::new(),
        room: 0,
        input: VecDeque::new(),
    };
    while let Some(operation) = input.operation() {
        match operation % 6 {
            0 => {
                let word = [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD][usize::from(operation >> 6)];
                let value = u32::try_from(input.number() & 0xffff_ffff).unwrap_or(0);
                window.store_u32(at(word), value);
            }
            1 => {
                // Goes on writing, as an honest guest does.
                let count = input.get::<u8>();
                let prod = window.load_u32(at(OUT_PROD));
                for n in 0..u32::from(count) {
                    let offset =
                        u16::try_from(prod.wrapping_add(n) % OUT_SIZE).expect("below 2048");
                    window.write(at(OUT + offset), &n.to_le_bytes()[..1]);
                }
                window.store_u32(at(OUT_PROD), prod.wrapping_add(u32::from(count)));
            }
            2 => {
                let offset = input.get::<u16>() % 4096;
                let count = usize::from(input.get::<u8>()).min(4096 - usize::from(offset));
                window.write(at(offset), input.bytes(count));
            }
            3 => end.room = usize::from(input.get::<u16>()),
            4 => {
                let count = usize::from(input.get::<u8>());
                end.input.extend(input.bytes(count));
            }
            _ => pump(&mut ring, &window, &mut end),
        }
    }
    pump(&mut ring, &window, &mut end);
}

fn page(window: &VecWindow) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    window.read(at(0), &mut bytes);
    bytes
}

fn pump(ring: &mut PvConsole, window: &VecWindow, end: &mut End) {
    let words = || [IN_CONS, IN_PROD, OUT_CONS, OUT_PROD].map(|word| window.load_u32(at(word)));
    let before = page(window);
    let [in_cons, in_prod, out_cons, out_prod] = words();
    let typed: Vec<u8> = end.input.iter().copied().collect();
    end.out.clear();
    let moved = ring.pump(window, end, true);
    if let Some(broken) = ring.take_broken() {
        assert!(!broken.to_string().is_empty());
    }
    let after = page(window);
    let [_, in_prod_after, out_cons_after, _] = words();

    let taken = u32::try_from(end.out.len()).expect("at most a ring");
    let given = u32::try_from(typed.len() - end.input.len()).expect("at most a ring");
    assert_eq!(out_cons_after, out_cons.wrapping_add(taken));
    assert_eq!(in_prod_after, in_prod.wrapping_add(given));
    assert_eq!(moved, taken + given != 0);
    // A pair that cannot be is not used; a pair that can be is never overrun.
    let (used_out, used_in) = (
        out_prod.wrapping_sub(out_cons),
        in_prod.wrapping_sub(in_cons),
    );
    assert!(taken <= if used_out <= OUT_SIZE { used_out } else { 0 });
    assert!(given <= IN_SIZE.saturating_sub(used_in));
    for (n, byte) in (0..taken).zip(&end.out) {
        let index = out_cons.wrapping_add(n) % OUT_SIZE;
        assert_eq!(before[usize::from(OUT) + index as usize], *byte);
    }
    let mut expected = before;
    for (n, byte) in (0..given).zip(&typed) {
        expected[usize::from(IN) + (in_prod.wrapping_add(n) % IN_SIZE) as usize] = *byte;
    }
    for (word, value) in [(IN_PROD, in_prod_after), (OUT_CONS, out_cons_after)] {
        expected[usize::from(word)..][..4].copy_from_slice(&value.to_le_bytes());
    }
    assert_eq!(after, expected, "something else changed");
}
