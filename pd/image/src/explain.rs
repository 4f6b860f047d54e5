//! Allocation errors in the user's words.

use microkit_tool::capdl::CapDLSpecContainer;
use untyped_plan::{AllocError, Chunk, human};

use crate::error::Error;

/// An allocation error with the object's name.
pub(crate) fn explain(
    error: &AllocError,
    container: &CapDLSpecContainer,
    objects: &[untyped_plan::Object],
) -> Error {
    let name = |i: usize| {
        let named = container.spec.objects.get(i);
        named
            .and_then(|named| named.name.clone())
            .unwrap_or_else(|| format!("object {i}"))
    };
    let at = |i: usize| {
        let object = objects.get(i);
        let chunk = object.and_then(|o| {
            Some(Chunk {
                paddr: o.paddr?,
                bits: o.bits?,
            })
        });
        chunk
            .map(|chunk| format!(" at {}", chunk.span()))
            .unwrap_or_default()
    };
    match *error {
        AllocError::NoRoom { first, count, bits } => Error::new(format!(
            "the kernel's memory is too small: no room for '{}' and {} more objects of {}, {} in all",
            name(first),
            count - 1,
            human(1 << bits),
            human((count as u64) << bits)
        ))
        .advise("less heap, fewer or smaller domains, or guest RAM outside the kernel's memory (xen,static-mem)"),
        AllocError::Uncovered(i) => Error::new(format!(
            "'{}'{} does not lie in memory that the kernel hands over",
            name(i),
            at(i)
        ))
        .advise("another address: this range is the kernel's own, the initial task's, or crosses the border of two regions"),
        AllocError::Occupied(i) => {
            Error::new(format!("'{}'{} overlaps what lies before it, or is not aligned to its size", name(i), at(i)))
                .advise("ranges of the domains file and memory regions with phys_addr must not overlap")
        }
        AllocError::Unsorted(i) => Error::new(format!("internal error: '{}' is out of order", name(i))),
    }
}
