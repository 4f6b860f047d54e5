//! Speed of the serial line.

/// Speed of the line; it is always 8 data bits, no parity, one stop bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line {
    /// Bits per second.
    pub baud: u32,
    /// Frequency of the UART's reference clock in Hz (24,000,000 on QEMU's virt board).
    pub clock_hz: u32,
}

/// The reference clock cannot be divided down to that speed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadLine(pub Line);

impl core::fmt::Display for BadLine {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Line { baud, clock_hz } = self.0;
        write!(
            f,
            "a UART clocked with {clock_hz} Hz cannot run at {baud} baud; try 115200 and check the clock"
        )
    }
}

/// Error of the speed that a receiver puts up with, as one part in this many: 3 %.
const TOLERANCE: u64 = 33;

/// The Cadence UART's `BAUDGEN` and `BAUDDIV` that come closest: `clock / (BAUDGEN * (BAUDDIV +
/// 1))`.
pub(crate) fn divisors(line: Line) -> Option<(u32, u32)> {
    let (baud, clock) = (u64::from(line.baud), u64::from(line.clock_hz));
    if baud == 0 {
        return None;
    }
    // BAUDDIV is from 4 to 255, BAUDGEN from 1 to 65,535 (0 would stop the clock).
    let candidates = (4..=255_u64).filter_map(|divider| {
        let generator = (clock + baud * (divider + 1) / 2) / (baud * (divider + 1));
        if !(1..=0xffff).contains(&generator) {
            return None;
        }
        let error = (clock / (generator * (divider + 1))).abs_diff(baud);
        Some((error, generator, divider))
    });
    let (error, generator, divider) = candidates.min()?;
    if error > baud / TOLERANCE {
        return None;
    }
    Some((u32::try_from(generator).ok()?, u32::try_from(divider).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors_come_close_or_are_refused() {
        for (baud, clock_hz) in [
            (115_200, 100_000_000),
            (9_600, 100_000_000),
            (921_600, 99_990_000),
            (115_200, 33_333_333),
        ] {
            let (generator, divider) = divisors(Line { baud, clock_hz }).unwrap();
            let real = clock_hz / (generator * (divider + 1));
            assert!(
                real.abs_diff(baud) * 100 < baud,
                "{baud}: {real}, {generator} {divider}"
            );
        }
        let refused = |baud, clock_hz| divisors(Line { baud, clock_hz }).is_none();
        assert!(refused(0, 100_000_000) && refused(115_200, 0));
        assert!(refused(30_000_000, 100_000_000) && refused(1, 4_000_000_000));
    }
}
