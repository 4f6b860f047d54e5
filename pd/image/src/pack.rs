//! Putting the specification into the initial task.
//!
//! Like `pack_spec_into_initial_task` of Microkit's library with two differences: nothing is
//! deflated (inflating costs far more instructions than copying), and the initial task's size is
//! a multiple of 64 KiB, so that one object more or less does not move all memory behind it.

use microkit_tool::capdl::CapDLSpecContainer;
use microkit_tool::capdl::initialiser::CapDLInitialiser;
use microkit_tool::capdl::spec::FillContent;
use microkit_tool::elf::ElfFile;
use microkit_tool::sel4::{Config, PageSize};

const PAGE: u64 = PageSize::Small as u64;
/// What the size of the initial task is a multiple of.
pub(crate) const GRANULE: u64 = 0x1_0000;

/// Adds the specification and the frames that lie ready in the image to `initialiser`.
pub(crate) fn pack(
    config: &Config,
    config_name: &str,
    container: &CapDLSpecContainer,
    elfs: &[ElfFile],
    initialiser: &mut CapDLInitialiser,
) -> Result<(), crate::Error> {
    let granule_bits = u8::try_from(config.object_sizes.small_page).unwrap_or(12);
    let (mut spec, frames) = container.spec.embed_fill(
        granule_bits,
        |_| true,
        |content, into: &mut [u8]| {
            let bytes = match content {
                FillContent::ElfContent(elf) => &elfs[elf.elf_id].segments[elf.elf_seg_idx].data()
                    [elf.elf_seg_data_range.clone()],
                FillContent::BytesContent(content) => &content.bytes,
            };
            into.copy_from_slice(bytes);
            // Not to be deflated.
            false
        },
    );
    if !config_name.ends_with("debug") {
        // Only a debug kernel prints names.
        for named in &mut spec.objects {
            named.name = None;
        }
    }
    spec.cache_orig_cap_slots();
    spec.set_log_level(initialiser.log_level as u8);
    let bytes = spec.to_bytes().map_err(|error| {
        crate::Error::new(format!("the specification cannot be encoded: {error}"))
    })?;
    let mut frames: Vec<u8> = frames.into_iter().flatten().collect();
    let start = initialiser.image_bound().start;
    let spec_end = initialiser.elf.next_vaddr(PageSize::Small) + bytes.len() as u64;
    let padding = padding(start, spec_end, frames.len() as u64);
    frames.resize(frames.len() + usize::try_from(padding).unwrap_or(0), 0);
    initialiser.add_spec(bytes, frames);
    Ok(())
}

/// Bytes to add to the frames so that the image is a whole number of granules: after the
/// frames come a page that Microkit leaves out and one with the program headers.
fn padding(start: u64, spec_end: u64, frames: u64) -> u64 {
    let frames_at = (spec_end + PAGE) / PAGE * PAGE;
    let end = frames_at + frames + 2 * PAGE - start;
    end.next_multiple_of(GRANULE) - end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_whole_granules() {
        for (spec_end, frames) in [(0x24_1234, 0x3000), (0x24_1000, 0x1_0000), (0x24_ffff, 0)] {
            let end =
                (spec_end + PAGE) / PAGE * PAGE + frames + padding(0x20_0000, spec_end, frames);
            assert_eq!((end + 2 * PAGE - 0x20_0000) % GRANULE, 0);
        }
    }
}
