//! Formats of kernels.

use dt_server_api::kernel::{Image, NoKernel};

use crate::config::FileInfo;
use crate::diag::{Diagnostics, Rule};
use crate::node::At;

/// Bytes of memory that the kernel takes from the start of bank 0; reports what the loader does not
/// start, by the loader's own rule.
pub(crate) fn memory(at: &At<'_>, info: &FileInfo, d: &mut Diagnostics) -> Option<u64> {
    let Some(head) = &info.head else {
        return Some(info.size);
    };
    let refused = match Image::read(head, info.size) {
        Ok(image) => return Some(image.text_offset.saturating_add(image.size)),
        Err(refused) => refused,
    };
    let (what, hint) = if refused == NoKernel::BigEndian {
        (
            "the kernel is big-endian, which the Xen interface is not",
            "build it without CONFIG_CPU_BIG_ENDIAN",
        )
    } else if head.starts_with(&[0x1f, 0x8b]) {
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
