//! Formats of kernels.

use crate::config::FileInfo;
use crate::diag::{Diagnostics, Rule};
use crate::node::At;

/// Bytes of memory that the kernel takes from the start of bank 0; reports formats that the loader does not know.
/// (arm64 boot protocol: text_offset at 8, image_size at 16, magic at 56.)
pub(crate) fn memory(at: &At<'_>, info: &FileInfo, d: &mut Diagnostics) -> Option<u64> {
    let Some(head) = &info.head else {
        return Some(info.size);
    };
    let word = |offset: usize| -> u64 {
        head.get(offset..offset + 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    };
    if head[56..60] == *b"ARM\x64" && info.size >= 64 {
        return Some(word(8).saturating_add(word(16).max(info.size)));
    }
    let (what, hint) = if head.starts_with(&[0x1f, 0x8b]) {
        (
            "the kernel is compressed with gzip, which is not supported yet",
            "unpack it: gunzip -c FILE > Image",
        )
    } else if head.starts_with(b"MZ") && head[4..8] == *b"zimg" {
        (
            "the kernel is a compressed EFI image, which is not supported",
            "use the file arch/arm64/boot/Image",
        )
    } else if head.starts_with(&[0x27, 0x05, 0x19, 0x56]) {
        (
            "the kernel is a legacy uImage, which is not supported",
            "use the file that mkimage was given",
        )
    } else {
        (
            "the file is no arm64 Linux Image (no magic number \"ARM\\x64\" at byte 56)",
            "use arch/arm64/boot/Image",
        )
    };
    at.error(d, Rule::KernelFormat, "zazen,file", what, hint);
    None
}
