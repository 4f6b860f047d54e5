//! Sizes in words.

/// `bytes` as a number that people read.
pub fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (size, unit) in UNITS {
        if bytes >= size {
            return if bytes.is_multiple_of(size) {
                format!("{} {unit}", bytes / size)
            } else {
                format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size)
            };
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(human(0), "0 bytes");
        assert_eq!(human(4096), "4 KiB");
        assert_eq!(human(5 << 20 | 1 << 19), "5.5 MiB");
        assert_eq!(human(2 << 30), "2 GiB");
    }
}
