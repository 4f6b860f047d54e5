//! Ticks of the system counter and nanoseconds.
//!
//! System time, as the ABI means it, is the time since the counter was 0: guests see the same
//! counter as `CNTVCT_EL0`, so they can compute it themselves.

const NANOS: u64 = 1_000_000_000;

/// Nanoseconds that `ticks` at `frequency` a second are, rounded down; `u64::MAX` where they do not
/// fit.
pub(crate) fn ticks_to_ns(ticks: u64, frequency: u64) -> u64 {
    scale(ticks, frequency.max(1), NANOS, 0)
}

/// Ticks at `frequency` a second that `ns` are, rounded up; `u64::MAX` where they do not fit.
pub(crate) fn ns_to_ticks(ns: u64, frequency: u64) -> u64 {
    scale(ns, NANOS, frequency.max(1), NANOS - 1)
}

/// The earlier of two deadlines, of which either may not exist. An iterator over them costs as much
/// as what a guest's sleep needs otherwise.
pub(crate) const fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if a < b { a } else { b }),
        (Some(one), None) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}

/// `value * to / from` where the part below one second is first increased by `round`.
fn scale(value: u64, from: u64, to: u64, round: u64) -> u64 {
    let part = (value % from).saturating_mul(to).saturating_add(round) / from;
    (value / from).saturating_mul(to).saturating_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earlier_deadline_counts_where_there_is_one() {
        assert_eq!(earliest(Some(1), Some(2)), Some(1));
        assert_eq!(earliest(Some(2), Some(1)), Some(1));
        assert_eq!(earliest(None, Some(0)), Some(0));
        assert_eq!(earliest(Some(0), None), Some(0));
        assert_eq!(earliest(None, None), None);
    }

    #[test]
    fn there_and_back() {
        let f = 62_500_000;
        assert_eq!(ticks_to_ns(1, f), 16);
        assert_eq!(ticks_to_ns(f * 7 + 3, f), 7_000_000_048);
        assert_eq!(ns_to_ticks(7_000_000_048, f), f * 7 + 3);
        assert_eq!(ns_to_ticks(1, f), 1, "a deadline is not early");
        assert_eq!(ns_to_ticks(0, f), 0);
        assert_eq!(ticks_to_ns(u64::MAX, f), u64::MAX);
        assert_eq!(ns_to_ticks(u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(ticks_to_ns(5, 0), 5 * NANOS, "no division by zero");
    }
}
