//! The loader image: Microkit's, with every copy made word by word and with module files.
//!
//! Microkit's loader copies eight bytes at a time only where source *and* destination are
//! multiples of eight, else byte by byte at five instructions each. Microkit's library puts the
//! regions behind one another without padding, so one segment of odd length (the initialiser has
//! some) makes all that follow slow. Here every region starts at a multiple of eight on both
//! sides. Format: `struct loader_data` and `struct region` in Microkit's `loader/src/loader.h`.

use untyped_plan::{Paddr, Span};

use crate::Error;

const HEADER_WORDS: usize = 8;
const REGION_WORDS: usize = 4;
const WORD: usize = 8;
/// Second word of the header: bytes of header, region table and data.
const SIZE_WORD: usize = 1;
/// Last word of the header: number of regions.
const COUNT_WORD: usize = 7;
const MAGIC: u64 = 0x5e14_dead_14de_5ead;
/// Type of a region with data.
const DATA: u64 = 1;

/// What the loader copies to one place.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    /// Where it goes.
    pub paddr: Paddr,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Region {
    fn span(&self) -> Option<Span> {
        Span::sized(self.paddr, self.bytes.len() as u64)
    }
    /// The same with both ends at multiples of a word, padded with zeroes.
    fn aligned(self) -> Self {
        let front = usize::try_from(self.paddr.0 % WORD as u64).unwrap_or(0);
        let mut bytes = vec![0; front];
        bytes.extend(self.bytes);
        bytes.resize(bytes.len().next_multiple_of(WORD), 0);
        Self {
            paddr: Paddr(self.paddr.0 - front as u64),
            bytes,
        }
    }
}

/// A loader image that Microkit's library wrote, taken apart.
pub(crate) struct LoaderImage {
    /// Code and data of the loader; the header follows at once.
    program: Vec<u8>,
    /// Where it is linked.
    link: Paddr,
    header: [u64; HEADER_WORDS],
    /// What it copies.
    pub regions: Vec<Region>,
}

fn word(bytes: &[u8], index: usize) -> Option<u64> {
    let at = index.checked_mul(WORD)?;
    let word = bytes.get(at..at + WORD)?;
    Some(u64::from_le_bytes(word.try_into().ok()?))
}

impl LoaderImage {
    /// Takes `image` apart, whose loader is `program_size` bytes linked at `link`.
    ///
    /// # Errors
    /// That it has another format than Microkit 2.3.0 writes.
    pub(crate) fn parse(image: &[u8], program_size: usize, link: Paddr) -> Result<Self, Error> {
        let parts = || {
            let (program, rest) = image.split_at_checked(program_size)?;
            let mut header = [0; HEADER_WORDS];
            for (i, to) in header.iter_mut().enumerate() {
                *to = word(rest, i)?;
            }
            let count = usize::try_from(header[COUNT_WORD]).ok()?;
            let data =
                rest.get((HEADER_WORDS + count.checked_mul(REGION_WORDS)?).checked_mul(WORD)?..)?;
            let mut regions = Vec::new();
            for i in 0..count {
                let field = |n| word(rest, HEADER_WORDS + i * REGION_WORDS + n);
                let (paddr, size, offset) = (field(0)?, field(1)?, field(2)?);
                let offset = usize::try_from(offset).ok()?;
                let end = offset.checked_add(usize::try_from(size).ok()?)?;
                regions.push(Region {
                    paddr: Paddr(paddr),
                    bytes: data.get(offset..end)?.to_vec(),
                });
            }
            (header[0] == MAGIC).then(|| Self {
                program: program.to_vec(),
                link,
                header,
                regions,
            })
        };
        parts().ok_or_else(|| {
            Error::new("the loader image is not of the format that Microkit 2.3.0 writes")
                .advise("use the SDK of Microkit 2.3.0")
        })
    }

    /// The image with every region aligned.
    ///
    /// # Errors
    /// Regions that overlap each other or the image itself.
    pub(crate) fn bytes(self) -> Result<Vec<u8>, Error> {
        let regions: Vec<Region> = self
            .regions
            .into_iter()
            .filter(|r| !r.bytes.is_empty())
            .map(Region::aligned)
            .collect();
        let head = self.program.len() + (HEADER_WORDS + regions.len() * REGION_WORDS) * WORD;
        // The header follows the loader, which may end at a multiple of four only.
        let base = self.link.0 + head as u64;
        let mut offset = base.next_multiple_of(WORD as u64) - base;
        let mut header = self.header;
        let mut table = Vec::new();
        let mut data = vec![0; usize::try_from(offset).unwrap_or(0)];
        for region in &regions {
            table.extend([region.paddr.0, region.bytes.len() as u64, offset, DATA]);
            data.extend_from_slice(&region.bytes);
            offset += region.bytes.len() as u64;
        }
        header[COUNT_WORD] = regions.len() as u64;
        header[SIZE_WORD] = (head - self.program.len()) as u64 + data.len() as u64;

        let mut image = self.program;
        for word in header.iter().chain(&table) {
            image.extend_from_slice(&word.to_le_bytes());
        }
        image.extend_from_slice(&data);
        check_overlaps(&regions, Span::sized(self.link, image.len() as u64))?;
        Ok(image)
    }
}

fn check_overlaps(regions: &[Region], image: Option<Span>) -> Result<(), Error> {
    let spans: Vec<Span> = image
        .into_iter()
        .chain(regions.iter().filter_map(Region::span))
        .collect();
    for (i, a) in spans.iter().enumerate() {
        for b in &spans[i + 1..] {
            if a.intersection(*b).is_some() {
                return Err(Error::new(format!(
                    "the loader would copy to {b}, where {} lies",
                    if i == 0 { format!("its own image ({a})") } else { format!("{a}") }
                ))
                .advise("a board or an image with more room between the kernel and the loader; large files need RAM outside the kernel's memory"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: u64 = 0x7000_0000;

    /// An image as Microkit's library writes it: regions without padding.
    fn image(program: usize, regions: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut image = vec![0xaa; program];
        let data: usize = regions.iter().map(|(_, bytes)| bytes.len()).sum();
        let size = (HEADER_WORDS + regions.len() * REGION_WORDS) * WORD + data;
        let header = [MAGIC, size as u64, 11, 12, 13, 14, 15, regions.len() as u64];
        let mut offset = 0;
        let mut words = header.to_vec();
        for (paddr, bytes) in regions {
            words.extend([*paddr, bytes.len() as u64, offset, DATA]);
            offset += bytes.len() as u64;
        }
        image.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        regions.iter().for_each(|(_, bytes)| image.extend(bytes));
        image
    }

    #[test]
    fn every_region_is_copied_word_by_word() {
        for program in [0x1010, 0x1014] {
            let regions = [
                (0x6000_0000, vec![1; 13]),
                (0x6000_1003, vec![2; 9]),
                (0x6000_2000, vec![3; 16]),
            ];
            let parsed =
                LoaderImage::parse(&image(program, &regions), program, Paddr(LINK)).unwrap();
            let bytes = parsed.bytes().unwrap();
            let rest = &bytes[program..];
            let count = usize::try_from(word(rest, COUNT_WORD).unwrap()).unwrap();
            assert_eq!(count, 3);
            assert_eq!(word(rest, SIZE_WORD), Some(rest.len() as u64));
            assert_eq!(word(rest, 2), Some(11));
            let data = (HEADER_WORDS + count * REGION_WORDS) * WORD;
            for (i, (paddr, content)) in regions.iter().enumerate() {
                let field = |n| word(rest, HEADER_WORDS + i * REGION_WORDS + n).unwrap();
                let source = LINK + program as u64 + data as u64 + field(2);
                assert_eq!(
                    (source % 8, field(0) % 8, field(1) % 8),
                    (0, 0, 0),
                    "region {i}"
                );
                let at = data + usize::try_from(field(2) + (paddr - field(0))).unwrap();
                assert_eq!(&rest[at..at + content.len()], &content[..], "region {i}");
            }
        }
    }

    #[test]
    fn regions_over_each_other_or_the_image_are_refused() {
        let regions = [(0x6000_0000, vec![1; 16]), (0x6000_0008, vec![2; 16])];
        let parsed = LoaderImage::parse(&image(0x1000, &regions), 0x1000, Paddr(LINK)).unwrap();
        assert!(
            parsed
                .bytes()
                .unwrap_err()
                .to_string()
                .contains("0x60000000..0x60000010")
        );
        let parsed = LoaderImage::parse(
            &image(0x1000, &[(LINK + 0x800, vec![1; 16])]),
            0x1000,
            Paddr(LINK),
        )
        .unwrap();
        assert!(
            parsed
                .bytes()
                .unwrap_err()
                .to_string()
                .contains("its own image")
        );
    }

    #[test]
    fn another_format_is_refused() {
        assert!(LoaderImage::parse(&[0; 64], 0x1000, Paddr(LINK)).is_err());
        assert!(LoaderImage::parse(&[0; 0x2000], 0x1000, Paddr(LINK)).is_err());
        let mut cut = image(0x1000, &[(0x6000_0000, vec![1; 100])]);
        cut.truncate(cut.len() - 1);
        assert!(LoaderImage::parse(&cut, 0x1000, Paddr(LINK)).is_err());
    }
}
