//! What is different between the block server and a driver.
//!
//! The driver is the server here and the block server its only client: requests name the driver's
//! devices instead of disks, and offsets count in all areas that bytes may come from and go to, one
//! after the other, [`crate::DATA_SIZE`] bytes for each. The driver has none of these areas mapped:
//! it knows their physical addresses and no other, and names them to the device.

use crate::request::Request;

/// Areas: the data area of each domain, by its number from 0, and the block server's own buffer.
pub const AREAS: usize = 9;
/// The block server's own buffer among them.
pub const OWN: usize = AREAS - 1;
/// Bytes of all areas in a row.
#[expect(clippy::cast_possible_truncation, reason = "nine")]
pub const DATA_SIZE: u32 = AREAS as u32 * crate::DATA_SIZE;

/// The offset of byte `at` of area `area`; `None` where there is no such byte.
#[must_use]
pub fn offset(area: usize, at: u32) -> Option<u32> {
    let area = u32::try_from(area).ok()?;
    let offset = area.checked_mul(crate::DATA_SIZE)?.checked_add(at)?;
    (at < crate::DATA_SIZE && offset < DATA_SIZE).then_some(offset)
}

/// The area of `request`, which moves data, and its first byte there; `None` where not all its
/// bytes lie in one.
#[must_use]
pub fn area(request: &Request) -> Option<(usize, u32)> {
    let (area, at) = (
        request.offset / crate::DATA_SIZE,
        request.offset % crate::DATA_SIZE,
    );
    let fits = at.checked_add(request.bytes())? <= crate::DATA_SIZE;
    let area = usize::try_from(area).ok().filter(|area| *area < AREAS)?;
    fits.then_some((area, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Op, SECTOR};

    fn request(offset: u32, count: u32) -> Request {
        Request {
            id: 1,
            disk: 0,
            op: Op::Read,
            offset,
            sector: 0,
            count,
        }
    }

    #[test]
    fn an_offset_comes_back_as_its_area() {
        for (at, count) in [(0, 1), (SECTOR, 8), (crate::DATA_SIZE - SECTOR, 1)] {
            for number in 0..AREAS {
                let offset = offset(number, at).unwrap();
                assert_eq!(area(&request(offset, count)), Some((number, at)));
            }
        }
        assert_eq!(offset(AREAS, 0), None);
        assert_eq!(offset(0, crate::DATA_SIZE), None);
        assert_eq!(offset(usize::MAX, 0), None);
    }

    #[test]
    fn bytes_of_two_areas_are_nobodys() {
        let last = crate::DATA_SIZE - SECTOR;
        assert_eq!(area(&request(last, 2)), None);
        assert_eq!(area(&request(DATA_SIZE, 1)), None);
        assert_eq!(area(&request(0, u32::MAX)), None);
    }
}
