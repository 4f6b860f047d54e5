//! Amounts of memory that were written in another unit than the one that counts: which one that
//! was.

use alloc::format;
use alloc::string::String;

/// Least RAM that is proposed: a distribution's kernel for arm64 does not start in much less.
const LEAST: u64 = 128 << 20;
/// Room that is proposed beside the files: what a kernel makes of its memory at boot, and its first
/// programs.
const ROOM: u64 = 64 << 20;
/// RAM is proposed in multiples of this.
const STEP: u64 = 32 << 20;
/// Less RAM than this nobody means: no guest that is known runs in it.
const FEW: u64 = 16 << 20;

/// Bytes of RAM in which a guest whose files need `need` bytes, `ramdisk` of them for a RAM disk,
/// most likely runs: the files fit, what the kernel unpacks of them does, too, and there is room
/// for programs.
pub(crate) fn comfortable(need: u64, ramdisk: u64) -> Option<u64> {
    let unpacked = ramdisk.checked_mul(4)?;
    let all = need.checked_add(unpacked)?.checked_add(ROOM)?;
    all.max(LEAST).checked_next_multiple_of(STEP)
}

/// What `kib` KiB most likely are that are too few, the amount in KiB and in words: it has to be
/// `least` to `most` bytes.
pub(crate) fn too_few(kib: u64, least: u64, most: u64) -> Option<(u64, String)> {
    [(1024, "MiB"), (1024 * 1024, "GiB")]
        .into_iter()
        .find_map(|(factor, unit)| {
            let meant = kib.checked_mul(factor)?;
            let bytes = meant.checked_mul(1024)?;
            let fits = (least..=most).contains(&bytes);
            (fits && kib > 0).then(|| (meant, format!("{kib} {unit}")))
        })
}

/// What `kib` KiB most likely are that are more than `most` bytes: bytes. The amount in KiB and in
/// words.
pub fn too_many(kib: u64, most: u64) -> Option<(u64, String)> {
    let fits = kib.is_multiple_of(1 << 20) && (FEW..=most).contains(&kib);
    fits.then(|| (kib / 1024, format!("{} MiB in bytes", kib >> 20)))
}

/// What `kib` KiB most likely are that nobody means: MiB, or GiB where that would be nothing
/// either. In KiB.
pub(crate) fn too_few_for_anybody(kib: u64) -> Option<u64> {
    let few = FEW >> 10;
    match kib {
        0 => None,
        kib if kib < few >> 10 => kib.checked_mul(1 << 20),
        kib if kib < few => kib.checked_mul(1 << 10),
        _ => None,
    }
}

/// Bytes of an amount that is written with a unit: `64M`, `1 GiB`, `512k`.
pub fn amount(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_units() {
        assert_eq!(amount("64M"), Some(64 << 20));
        assert_eq!(amount("1GiB"), Some(1 << 30));
        assert_eq!(amount(" 512 kb "), Some(512 << 10));
        for text in [
            "",
            "64",
            "M",
            "64Q",
            "0x40M",
            "99999999999999999999G",
            "\u{e4}",
        ] {
            assert_eq!(amount(text), None, "{text}");
        }
    }

    #[test]
    fn the_unit_that_fits_is_meant() {
        const MIB: u64 = 1 << 20;
        let few = |kib| too_few(kib, 40 * MIB, 1024 * MIB).map(|(kib, _)| kib);
        assert_eq!(few(192), Some(192 * 1024));
        assert_eq!(few(1), Some(MIB));
        // Neither 2 MiB nor 2 GiB.
        assert_eq!(few(2), None);
        assert_eq!((few(0), few(u64::MAX)), (None, None));
        assert_eq!(too_many(192 * MIB, 1024 * MIB).unwrap().0, 192 * 1024);
        assert_eq!(too_many(192 * MIB + 4096, 1024 * MIB), None);
        // 2 GiB, and not 2 MiB in bytes.
        assert_eq!(too_many(2 * MIB, 1024 * MIB), None);
        let meant = [0, 1, 15, 16, 193, 16 << 10].map(too_few_for_anybody);
        let mib = |mib: u64| Some(mib << 10);
        assert_eq!(
            meant,
            [None, mib(1024), mib(15 * 1024), mib(16), mib(193), None]
        );
        assert_eq!(too_many(2048 * MIB, 1024 * MIB), None);
    }

    #[test]
    fn room_is_more_than_the_files() {
        assert_eq!(comfortable(4 << 20, 1 << 20), Some(128 << 20));
        assert_eq!(comfortable(100 << 20, 40 << 20), Some(352 << 20));
        assert_eq!(comfortable(u64::MAX, 1), None);
    }
}
