//! The triple timer counter (TTC) of Zynq and ZynqMP (UG1085 chapter 14, register names as in
//! UG1087 module TTC).
//!
//! Counter 0 of a TTC, counting 16 bits of a clock divided by 2^10: on Zynq the counter has no
//! more, on ZynqMP it has 32, of which interval mode makes 16. At 100 MHz a count is about 10 us
//! and 2^16 of them 0.67 s.
#![no_std]
#![forbid(unsafe_code)]

use mmio::Registers;

const CLOCK_CONTROL: usize = 0x00;
const COUNTER_CONTROL: usize = 0x0c;
const COUNTER_VALUE: usize = 0x18;
const INTERVAL: usize = 0x24;
const INTERRUPT: usize = 0x54;
const INTERRUPT_ENABLE: usize = 0x60;

/// Offset of the register that [`Free`] counts in.
pub const VALUE_OFFSET: usize = COUNTER_VALUE;

/// `Clock_Control`: prescaler on, the bus clock divided by 2^(9 + 1).
const PRESCALED: u32 = 9 << 1 | 1;
/// `Counter_Control`: stopped.
const DISABLE: u32 = 1 << 0;
/// Counts up to the interval register and starts again.
const INTERVAL_MODE: u32 = 1 << 1;
/// Starts at 0; ends by itself.
const RESET: u32 = 1 << 4;
/// No waveform on the pin.
const NO_WAVE: u32 = 1 << 5;
/// `Interrupt_Register`, which reading clears, and `Interrupt_Enable`: the interval is over.
const INTERVAL_OVER: u32 = 1 << 0;

fn run<R: Registers>(registers: &mut R, interval: u16, interrupts: u32) {
    registers.write(COUNTER_CONTROL, DISABLE | NO_WAVE);
    registers.write(CLOCK_CONTROL, PRESCALED);
    registers.write(INTERVAL, u32::from(interval));
    registers.read(INTERRUPT);
    registers.write(INTERRUPT_ENABLE, interrupts);
    registers.write(COUNTER_CONTROL, INTERVAL_MODE | RESET | NO_WAVE);
}

/// A counter that counts for ever and raises no interrupt.
#[derive(Debug)]
pub struct Free<R>(R);

impl<R: Registers> Free<R> {
    /// Starts counting at 0.
    pub fn start(mut registers: R) -> Self {
        run(&mut registers, u16::MAX, 0);
        Self(registers)
    }
    /// A counter that another PD has started, through registers that may be mapped for reading
    /// only.
    pub const fn watch(registers: R) -> Self {
        Self(registers)
    }
    /// The count, modulo 2^16.
    pub fn count(&mut self) -> u16 {
        let [low, high, ..] = self.0.read(COUNTER_VALUE).to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}

/// A counter that raises its interrupt after a time.
#[derive(Debug)]
pub struct OneShot<R>(R);

impl<R: Registers> OneShot<R> {
    /// The timer, stopped.
    pub fn new(mut registers: R) -> Self {
        registers.write(COUNTER_CONTROL, DISABLE | NO_WAVE);
        registers.write(INTERRUPT_ENABLE, 0);
        registers.read(INTERRUPT);
        Self(registers)
    }
    /// Raises the interrupt after `counts` (at least 1), and no more for what was set before. It
    /// comes again each time that many counts have passed, until something else is set.
    pub fn set(&mut self, counts: u16) {
        run(&mut self.0, counts.max(1), INTERVAL_OVER);
    }
    /// Takes the interrupt away; returns whether it was raised.
    pub fn ack(&mut self) -> bool {
        self.0.read(INTERRUPT) & INTERVAL_OVER != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counter 0 of a TTC with a clock of its own: [`Model::pass`] lets input clocks go by.
    #[derive(Default)]
    struct Model {
        clock: u32,
        control: u32,
        interval: u32,
        clocks: u64,
        raised: u32,
        enabled: u32,
    }

    impl Model {
        fn divider(&self) -> u64 {
            if self.clock & 1 == 0 {
                1
            } else {
                2 << (self.clock >> 1 & 0xf)
            }
        }
        fn period(&self) -> u64 {
            assert_ne!(
                self.control & INTERVAL_MODE,
                0,
                "the full 32 bits are not used"
            );
            u64::from(self.interval) + 1
        }
        fn pass(&mut self, clocks: u64) {
            if self.control & DISABLE != 0 {
                return;
            }
            let before = self.clocks / self.divider() / self.period();
            self.clocks += clocks;
            if self.clocks / self.divider() / self.period() != before {
                self.raised |= INTERVAL_OVER;
            }
        }
        fn line(&self) -> bool {
            self.raised & self.enabled != 0
        }
    }

    impl Registers for &mut Model {
        fn read(&mut self, offset: usize) -> u32 {
            match offset {
                COUNTER_VALUE => {
                    u32::try_from(self.clocks / self.divider() % self.period()).unwrap()
                }
                INTERRUPT => core::mem::take(&mut self.raised),
                _ => panic!("read of {offset:#x}"),
            }
        }
        fn write(&mut self, offset: usize, value: u32) {
            match offset {
                CLOCK_CONTROL => self.clock = value,
                COUNTER_CONTROL => {
                    if value & RESET != 0 {
                        self.clocks = 0;
                    }
                    self.control = value & !RESET;
                }
                INTERVAL => self.interval = value,
                INTERRUPT_ENABLE => self.enabled = value,
                _ => panic!("write of {offset:#x}"),
            }
        }
    }

    #[test]
    fn a_free_counter_counts_1024_clocks_at_a_time_modulo_65536_without_interrupts() {
        let mut model = Model::default();
        assert_eq!(Free::start(&mut model).count(), 0);
        model.pass(1023);
        assert_eq!(Free::watch(&mut model).count(), 0);
        model.pass(1);
        assert_eq!(Free::watch(&mut model).count(), 1);
        model.pass(1024 * 65_535);
        assert_eq!(Free::watch(&mut model).count(), 0);
        assert!(!model.line());
    }

    #[test]
    fn a_timer_fires_after_its_time_and_a_new_time_replaces_the_old() {
        let mut model = Model::default();
        OneShot::new(&mut model);
        model.pass(1 << 40);
        assert!(!model.line(), "stopped");
        OneShot(&mut model).set(10);
        model.pass(1024 * 10);
        assert!(!model.line());
        OneShot(&mut model).set(20);
        model.pass(1024 * 20);
        assert!(!model.line());
        model.pass(1024);
        assert!(model.line());
        assert!(OneShot(&mut model).ack());
        assert!(!model.line());
        assert!(!OneShot(&mut model).ack());
    }

    #[test]
    fn no_time_at_all_is_the_shortest() {
        let mut model = Model::default();
        OneShot::new(&mut model).set(0);
        model.pass(1024 * 2);
        assert!(model.line());
    }
}
