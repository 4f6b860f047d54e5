//! Both windows behave as a plain byte array does.
#![expect(
    unsafe_code,
    reason = "a RawWindow needs memory that is promised to be its own"
)]

use guest_mem::{RawWindow, VecWindow, Window};
use hv_types::WindowAddr;
use proptest::prelude::*;

const LEN: usize = 0x2000;

#[repr(align(4096))]
struct Memory([u8; LEN]);

/// Runs `check` on a window of each kind with `LEN` zeroed bytes from address 0.
fn on_both(check: impl Fn(&dyn Fn(WindowAddr, &mut [u8]), &dyn Ops)) {
    let vec = VecWindow::new().with(WindowAddr::new(0), LEN as u64);
    check(&|at, into| vec.read(at, into), &vec);
    let mut memory = Box::new(Memory([0; LEN]));
    // SAFETY: the box outlives the window, is page-aligned, and is not touched otherwise meanwhile.
    let raw = unsafe { RawWindow::new(memory.0.as_mut_ptr(), LEN as u64) };
    check(&|at, into| raw.read(at, into), &raw);
}

/// `Window` has generic methods; this is the part of it that can be a trait object.
trait Ops {
    fn put(&self, at: u64, from: &[u8]);
    fn clear(&self, at: u64, len: u64);
    fn move_(&self, from: u64, to: u64, len: u64);
    fn words(&self, at: u64) -> [u64; 12];
}

impl<W: Window> Ops for W {
    fn put(&self, at: u64, from: &[u8]) {
        self.write(WindowAddr::new(at), from);
        self.clean(WindowAddr::new(at), from.len() as u64);
    }
    fn clear(&self, at: u64, len: u64) {
        self.zero(WindowAddr::new(at), len);
    }
    fn move_(&self, from: u64, to: u64, len: u64) {
        self.copy(WindowAddr::new(from), WindowAddr::new(to), len);
    }
    fn words(&self, at: u64) -> [u64; 12] {
        let (low, high) = (WindowAddr::new(at), WindowAddr::new(at + 4));
        self.store_u64(low, 0x1122_3344_5566_7788);
        let halves = [self.load_u32(low), self.load_u32(high)];
        self.store_u32(high, 0xaabb_ccdd);
        [
            halves[0].into(),
            halves[1].into(),
            self.load_u64(low),
            self.fetch_or_u64(low, 0xf),
            self.fetch_and_u64(low, !0xff00),
            self.load_u64(low),
            self.swap_u8(WindowAddr::new(at + 5), 0x99).into(),
            self.load_u8(WindowAddr::new(at + 5)).into(),
            self.compare_exchange_u32(high, 1, 2).unwrap_err().into(),
            self.compare_exchange_u32(high, 0xaabb_99dd, 7)
                .unwrap()
                .into(),
            self.load_u32(high).into(),
            self.load_u64(low),
        ]
    }
}

#[test]
fn words_are_little_endian_and_atomics_return_what_was_there() {
    on_both(|_, ops| {
        assert_eq!(
            ops.words(0x1ff8),
            [
                0x5566_7788,
                0x1122_3344,
                0xaabb_ccdd_5566_7788,
                0xaabb_ccdd_5566_7788,
                0xaabb_ccdd_5566_778f,
                0xaabb_ccdd_5566_008f,
                0xcc,
                0x99,
                0xaabb_99dd,
                0xaabb_99dd,
                7,
                0x7_5566_008f,
            ]
        );
    });
}

#[test]
#[should_panic(expected = "not in the window")]
fn raw_window_stops_at_its_end() {
    let mut memory = Box::new(Memory([0; LEN]));
    // SAFETY: as in `on_both`.
    let raw = unsafe { RawWindow::new(memory.0.as_mut_ptr(), LEN as u64) };
    raw.write(WindowAddr::new(LEN as u64 - 3), &[0; 4]);
}

#[test]
#[should_panic(expected = "not aligned")]
fn raw_window_refuses_words_across_a_boundary() {
    let mut memory = Box::new(Memory([0; LEN]));
    // SAFETY: as in `on_both`.
    let raw = unsafe { RawWindow::new(memory.0.as_mut_ptr(), LEN as u64) };
    raw.load_u64(WindowAddr::new(4));
}

#[test]
#[should_panic(expected = "is a hole")]
fn vec_window_has_holes() {
    VecWindow::new()
        .with(WindowAddr::new(0x1000), 0x1000)
        .load_u8(WindowAddr::new(0xfff));
}

#[derive(Clone, Debug)]
enum Step {
    Write { at: usize, from: usize, len: usize },
    Zero { at: usize, len: usize },
    Copy { from: usize, to: usize, len: usize },
}

fn step() -> impl Strategy<Value = Step> {
    // Lengths around the thresholds of the copy loops, offsets of every alignment.
    let len = prop_oneof![0..40usize, 100..400usize];
    let at = 0..LEN / 2 - 400;
    prop_oneof![
        (at.clone(), 0..16usize, len.clone()).prop_map(|(at, from, len)| Step::Write {
            at,
            from,
            len
        }),
        (at.clone(), len.clone()).prop_map(|(at, len)| Step::Zero { at, len }),
        (at.clone(), at, len).prop_map(|(from, to, len)| Step::Copy {
            from,
            to: to + LEN / 2,
            len
        }),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_byte_array(steps in prop::collection::vec(step(), 1..20), offset in 0..16usize) {
        on_both(|read, ops| {
            let mut model = [0u8; LEN];
            let source: Vec<u8> = (0..=250).cycle().take(500).collect();
            for step in &steps {
                match *step {
                    Step::Write { at, from, len } => {
                        ops.put(at as u64, &source[from..from + len]);
                        model[at..at + len].copy_from_slice(&source[from..from + len]);
                    }
                    Step::Zero { at, len } => {
                        ops.clear(at as u64, len as u64);
                        model[at..at + len].fill(0);
                    }
                    Step::Copy { from, to, len } => {
                        ops.move_(from as u64, to as u64, len as u64);
                        model.copy_within(from..from + len, to);
                    }
                }
            }
            let mut all = vec![0; LEN + 16];
            read(WindowAddr::new(0), &mut all[offset..offset + LEN]);
            assert!(all[offset..offset + LEN] == model[..]);
        });
    }
}
