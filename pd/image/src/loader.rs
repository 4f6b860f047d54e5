//! The loader image: Microkit's, with every copy made word by word, with module files, and with
//! code that each core executes before the kernel (`el2_traps`).
//!
//! Microkit's loader copies eight bytes at a time only where source *and* destination are
//! multiples of eight, else byte by byte at five instructions each. Microkit's library puts the
//! regions behind one another without padding, so one segment of odd length (the initialiser has
//! some) makes all that follow slow. Here every region starts at a multiple of eight on both
//! sides. Format: `struct loader_data` and `struct region` in Microkit's `loader/src/loader.h`.
//!
//! The code lies before the first region's data, in the block of 2 MiB in which the loader maps
//! itself.

use untyped_plan::{Paddr, Span};

use crate::{Error, el2_traps, elf};

const HEADER_WORDS: usize = 8;
const REGION_WORDS: usize = 4;
const WORD: usize = 8;
/// Second word of the header: bytes of header, region table and data.
const SIZE_WORD: usize = 1;
/// Third word of the header: where each core goes on when the loader is done, the kernel's entry in
/// Microkit's image.
const ENTRY_WORD: usize = 2;
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

/// What the loader's ELF file says.
#[derive(Clone, Copy)]
pub(crate) struct LoaderProgram {
    /// Where it is linked.
    pub link: Paddr,
    /// Bytes of code and data; the header follows at once.
    pub size: usize,
    /// From where to where it maps itself while it enters the kernel, in blocks of 2 MiB.
    pub mapped: (u64, u64),
    /// Entry of the kernel that goes with it.
    pub kernel_entry: u64,
}

/// A loader image that Microkit's library wrote, taken apart.
#[derive(Clone)]
pub(crate) struct LoaderImage {
    /// Code and data of the loader; the header follows at once.
    program: Vec<u8>,
    about: LoaderProgram,
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
    /// Takes `image` apart, whose loader is `about`.
    ///
    /// # Errors
    /// That it has another format than Microkit 2.3.0 writes, or another way into the kernel.
    pub(crate) fn parse(image: &[u8], about: LoaderProgram) -> Result<Self, Error> {
        let parsed = Self::parts(image, about).ok_or_else(|| {
            Error::new("the loader image is not of the format that Microkit 2.3.0 writes")
                .advise("use the SDK of Microkit 2.3.0")
        })?;
        let entry = about.kernel_entry.to_le_bytes();
        let elsewhere = parsed.program.windows(WORD).any(|word| word == entry);
        if parsed.header[ENTRY_WORD] != about.kernel_entry || elsewhere {
            return Err(Error::new(
                "the loader does not enter the kernel where its header says alone: traps cannot be set before it",
            )
            .advise("use the SDK of Microkit 2.3.0"));
        }
        Ok(parsed)
    }

    fn parts(image: &[u8], about: LoaderProgram) -> Option<Self> {
        let (program, rest) = image.split_at_checked(about.size)?;
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
            about,
            header,
            regions,
        })
    }

    /// The same image as an ELF file with a segment for each region, and with nothing left to copy.
    ///
    /// # Errors
    /// As [`LoaderImage::bytes`].
    pub(crate) fn executable(self) -> Result<Vec<u8>, Error> {
        let mut segments = self.regions;
        segments.retain(|region| !region.bytes.is_empty());
        let link = self.about.link;
        let loader = Self {
            program: self.program,
            about: self.about,
            header: self.header,
            regions: Vec::new(),
        };
        let bytes = loader.bytes()?;
        check_overlaps(&segments, Span::sized(link, bytes.len() as u64))?;
        segments.insert(0, Region { paddr: link, bytes });
        elf::executable(link.0, &segments)
    }

    /// The image with every region aligned, in which each core sets traps before it enters the
    /// kernel.
    ///
    /// # Errors
    /// Regions that overlap each other or the image itself; more regions than leave room for the
    /// code.
    pub(crate) fn bytes(self) -> Result<Vec<u8>, Error> {
        let regions: Vec<Region> = self
            .regions
            .into_iter()
            .filter(|r| !r.bytes.is_empty())
            .map(Region::aligned)
            .collect();
        let head = self.program.len() + (HEADER_WORDS + regions.len() * REGION_WORDS) * WORD;
        // The header follows the loader, which may end at a multiple of four only.
        let base = self.about.link.0 + head as u64;
        let padding = base.next_multiple_of(WORD as u64) - base;
        let mut header = self.header;
        let mut table = Vec::new();
        let mut data = vec![0; usize::try_from(padding).unwrap_or(0)];
        header[ENTRY_WORD] = base + padding;
        data.extend(el2_traps::code(self.header[ENTRY_WORD]));
        let mut offset = data.len() as u64;
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
        check_overlaps(&regions, Span::sized(self.about.link, image.len() as u64))?;
        check_entry(&image, self.about)?;
        Ok(image)
    }
}

/// That each core executes the code of `el2_traps` before the kernel: looked up in the finished
/// image as the loader does.
fn check_entry(image: &[u8], about: LoaderProgram) -> Result<(), Error> {
    let entry = image
        .get(about.size..)
        .and_then(|header| word(header, ENTRY_WORD));
    let code = entry
        .and_then(|entry| usize::try_from(entry.checked_sub(about.link.0)?).ok())
        .and_then(|at| image.get(at..));
    let (Some(entry), Some(code)) = (entry, code) else {
        return Err(Error::new("the loader's header leads out of the image"));
    };
    if !el2_traps::is_mapped(Paddr(entry), el2_traps::size(), about.mapped) {
        return Err(Error::new(format!(
            "the code that sets traps before the kernel would lie at {entry:#x}, which the loader does not map"
        ))
        .advise("fewer regions of memory with contents"));
    }
    if el2_traps::target(code) != Some(about.kernel_entry) {
        return Err(Error::new(
            "the image does not enter the kernel through the code that sets traps",
        ));
    }
    Ok(())
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
    const ENTRY: u64 = 0x80_6000_0000;

    fn about(size: usize) -> LoaderProgram {
        LoaderProgram {
            link: Paddr(LINK),
            size,
            mapped: (LINK, LINK + size as u64),
            kernel_entry: ENTRY,
        }
    }

    fn parse(image: &[u8], size: usize) -> Result<LoaderImage, Error> {
        LoaderImage::parse(image, about(size))
    }

    /// An image as Microkit's library writes it: regions without padding.
    fn image(program: usize, regions: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut image = vec![0xaa; program];
        let data: usize = regions.iter().map(|(_, bytes)| bytes.len()).sum();
        let size = (HEADER_WORDS + regions.len() * REGION_WORDS) * WORD + data;
        let count = regions.len() as u64;
        let header = [MAGIC, size as u64, ENTRY, 12, 13, 14, 15, count];
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
    fn every_region_is_copied_word_by_word_and_each_core_goes_through_the_code() {
        for program in [0x1010, 0x1014] {
            let regions = [
                (0x6000_0000, vec![1; 13]),
                (0x6000_1003, vec![2; 9]),
                (0x6000_2000, vec![3; 16]),
            ];
            let parsed = parse(&image(program, &regions), program).unwrap();
            let bytes = parsed.bytes().unwrap();
            let rest = &bytes[program..];
            let count = usize::try_from(word(rest, COUNT_WORD).unwrap()).unwrap();
            assert_eq!(count, 3);
            assert_eq!(word(rest, SIZE_WORD), Some(rest.len() as u64));
            assert_eq!(word(rest, 3), Some(12));
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
            let entry = word(rest, ENTRY_WORD).unwrap();
            assert_eq!(entry % 8, 0);
            let code = &bytes[usize::try_from(entry - LINK).unwrap()..];
            assert_eq!(el2_traps::target(code), Some(ENTRY));
        }
    }

    #[test]
    fn regions_over_each_other_or_the_image_are_refused() {
        let regions = [(0x6000_0000, vec![1; 16]), (0x6000_0008, vec![2; 16])];
        let parsed = parse(&image(0x1000, &regions), 0x1000).unwrap();
        assert!(
            parsed
                .bytes()
                .unwrap_err()
                .to_string()
                .contains("0x60000000..0x60000010")
        );
        let parsed = parse(&image(0x1000, &[(LINK + 0x800, vec![1; 16])]), 0x1000).unwrap();
        assert!(
            parsed
                .bytes()
                .unwrap_err()
                .to_string()
                .contains("its own image")
        );
    }

    #[test]
    fn in_the_elf_file_nothing_is_left_to_copy() {
        use object::{Object as _, ObjectSegment as _};
        let regions = [(0x6000_0003, vec![1; 13]), (0x5e00_0000, vec![2; 9])];
        let parsed = parse(&image(0x1000, &regions), 0x1000).unwrap();
        let file = parsed.executable().unwrap();
        let read = object::File::parse(&*file).unwrap();
        assert_eq!(read.entry(), LINK);
        let segments: Vec<_> = read
            .segments()
            .map(|segment| (segment.address(), segment.data().unwrap()))
            .collect();
        let (link, loader) = segments[0];
        assert_eq!(link, LINK);
        assert_eq!(word(&loader[0x1000..], COUNT_WORD), Some(0));
        assert!(check_entry(loader, about(0x1000)).is_ok());
        let rest = regions.each_ref().map(|(at, bytes)| (*at, &bytes[..]));
        assert_eq!(segments[1..], rest);
        // What would lie over each other is refused as in the other image.
        let over = [(LINK + 0x800, vec![1; 16])];
        let parsed = parse(&image(0x1000, &over), 0x1000).unwrap();
        assert!(parsed.executable().is_err());
    }

    #[test]
    fn another_format_is_refused() {
        assert!(parse(&[0; 64], 0x1000).is_err());
        assert!(parse(&[0; 0x2000], 0x1000).is_err());
        let mut cut = image(0x1000, &[(0x6000_0000, vec![1; 100])]);
        cut.truncate(cut.len() - 1);
        assert!(parse(&cut, 0x1000).is_err());
    }

    #[test]
    fn a_loader_with_another_way_into_the_kernel_is_refused() {
        let regions = [(0x6000_0000, vec![1; 16])];
        let good = image(0x1000, &regions);
        let mut other = good.clone();
        other[0x1000 + ENTRY_WORD * WORD] ^= 8;
        let mut second = good.clone();
        second[0x124..0x12c].copy_from_slice(&ENTRY.to_le_bytes());
        for image in [other, second] {
            let error = parse(&image, 0x1000).err().unwrap().to_string();
            assert!(error.contains("traps cannot be set"), "{error}");
        }
        assert!(parse(&good, 0x1000).is_ok());
    }

    #[test]
    fn an_image_whose_cores_would_not_execute_the_code_is_refused() {
        let regions = [(0x6000_0000, vec![1; 16])];
        let good = parse(&image(0x1000, &regions), 0x1000)
            .unwrap()
            .bytes()
            .unwrap();
        assert!(check_entry(&good, about(0x1000)).is_ok());
        let entry_at = 0x1000 + ENTRY_WORD * WORD;
        for entry in [ENTRY, 0, LINK, LINK + good.len() as u64, u64::MAX] {
            let mut bad = good.clone();
            bad[entry_at..entry_at + WORD].copy_from_slice(&entry.to_le_bytes());
            assert!(check_entry(&bad, about(0x1000)).is_err(), "{entry:#x}");
        }
        let mut damaged = good.clone();
        let code = usize::try_from(word(&good[0x1000..], ENTRY_WORD).unwrap() - LINK).unwrap();
        damaged[code + 12] ^= 1;
        assert!(check_entry(&damaged, about(0x1000)).is_err());
        let elsewhere = LoaderProgram {
            mapped: (LINK + (1 << 21), LINK + (1 << 21)),
            ..about(0x1000)
        };
        let error = check_entry(&good, elsewhere).unwrap_err().to_string();
        assert!(error.contains("does not map"), "{error}");
    }
}
