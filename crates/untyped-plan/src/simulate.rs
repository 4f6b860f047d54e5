//! The allocation that Microkit's capDL initialiser will do at boot, done beforehand.
//!
//! Follows `create_objects` of rust-sel4's `sel4-capdl-initializer`: untypeds in ascending
//! order; objects with a physical address in ascending order; the gaps between them are filled
//! with the largest object without an address that fits. The Microkit tool has a simulation
//! too, but it counts neither untypeds nor the frames that lie ready in the initial task's
//! image, so its addresses are not the ones that the initialiser arrives at.

use core::fmt;

use crate::{BootUntyped, Chunk, Paddr};

/// What the initialiser has to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Object {
    /// Where it must lie, if that matters.
    pub paddr: Option<Paddr>,
    /// log2 of its size; `None` for objects that take no memory (interrupt handlers).
    pub bits: Option<u8>,
    /// A frame of the initial task's own image: there already.
    pub embedded: bool,
}

/// Where an object will be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Index of the boot untyped that it is made from.
    pub untyped: usize,
    /// Its address.
    pub paddr: Paddr,
}

/// The result of a simulation without error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Simulation {
    /// For each object, in order; `None` for those that take no memory of the untypeds.
    pub placements: Vec<Option<Placement>>,
    /// For each boot untyped, whether anything is made from it.
    pub touched: Vec<bool>,
}

impl Simulation {
    /// Bytes that the kernel zeroes while the initialiser runs: all of every normal untyped that
    /// anything is made from, because a boot untyped counts as used up to its end.
    pub fn zeroed(&self, boot: &[BootUntyped]) -> u64 {
        boot.iter()
            .zip(&self.touched)
            .filter(|(untyped, touched)| **touched && !untyped.device)
            .map(|(untyped, _)| untyped.chunk.size())
            .sum()
    }
}

/// Why the initialiser would stop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AllocError {
    /// Objects with an address must come first and ascend, the others must descend in size; this
    /// one does not.
    Unsorted(usize),
    /// The object's range lies in no boot untyped.
    Uncovered(usize),
    /// The object's range begins where an earlier object still lies, or at an address that is no
    /// multiple of its size.
    Occupied(usize),
    /// No room is left for `count` objects of `2^bits` bytes, `first` being the first of them.
    NoRoom {
        /// Index of the first object without a place.
        first: usize,
        /// How many of that size have none.
        count: usize,
        /// log2 of their size.
        bits: u8,
    },
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsorted(i) => write!(f, "object {i} is out of order"),
            Self::Uncovered(i) => write!(f, "object {i} lies outside all untyped memory"),
            Self::Occupied(i) => write!(
                f,
                "object {i} lies where another object is, or is not aligned"
            ),
            Self::NoRoom { first, count, bits } => {
                write!(
                    f,
                    "no room for {count} objects of 2^{bits} bytes, the first is {first}"
                )
            }
        }
    }
}

/// Objects of one size that wait for a place: indices `next..end`.
#[derive(Clone, Copy, Default)]
struct Queue {
    next: usize,
    end: usize,
}

/// Runs the initialiser's algorithm over `objects` in specification order.
///
/// # Errors
/// What would stop the initialiser.
pub fn simulate(objects: &[Object], boot: &[BootUntyped]) -> Result<Simulation, AllocError> {
    let fixed = objects.partition_point(|object| object.paddr.is_some());
    check_order(objects, fixed)?;
    let mut queues = queues(objects, fixed);
    let mut result = Simulation {
        placements: vec![None; objects.len()],
        touched: vec![false; boot.len()],
    };

    let mut order: Vec<usize> = (0..boot.len()).collect();
    order.sort_by_key(|&i| boot[i].chunk.paddr);
    for (i, object) in objects[..fixed].iter().enumerate() {
        let inside = chunk_of(object)
            .is_some_and(|chunk| boot.iter().any(|b| b.span().contains(chunk.span())));
        if !inside {
            return Err(AllocError::Uncovered(i));
        }
    }

    let mut next_fixed = 0;
    for index in order {
        let untyped = boot[index];
        let (start, end) = (untyped.span().start().0, untyped.span().end().0);
        let mut at = start;
        loop {
            let wanted = objects[..fixed].get(next_fixed).and_then(chunk_of);
            let target = wanted.map_or(end, |chunk| chunk.paddr.0.min(end));
            let stops_at_fixed = target < end;
            while at < target {
                let most = (at - start).trailing_zeros().min((target - at).ilog2());
                let placed = if untyped.device {
                    None
                } else {
                    take(objects, &mut queues, most)
                };
                if let Some((object, bits)) = placed {
                    result.placements[object] = Some(Placement {
                        untyped: index,
                        paddr: Paddr(at),
                    });
                    result.touched[index] = true;
                    at += 1 << bits;
                } else if stops_at_fixed {
                    // A dummy moves the watermark towards the address that is wanted.
                    result.touched[index] = true;
                    at += 1 << most;
                } else {
                    at = target;
                }
            }
            let (true, Some(chunk)) = (stops_at_fixed, wanted) else {
                break;
            };
            if chunk.paddr.0 != at || at % chunk.size() != 0 {
                return Err(AllocError::Occupied(next_fixed));
            }
            result.placements[next_fixed] = Some(Placement {
                untyped: index,
                paddr: Paddr(at),
            });
            result.touched[index] = true;
            at += chunk.size();
            next_fixed += 1;
        }
    }

    // The largest first: that is the one to tell the user about.
    for (bits, queue) in queues.iter().enumerate().rev() {
        let waiting = objects.iter().take(queue.end).skip(queue.next);
        let count = waiting.filter(|object| !object.embedded).count();
        if count > 0 {
            let bits = u8::try_from(bits).expect("at most 63");
            return Err(AllocError::NoRoom {
                first: queue.next,
                count,
                bits,
            });
        }
    }
    Ok(result)
}

fn chunk_of(object: &Object) -> Option<Chunk> {
    Some(Chunk {
        paddr: object.paddr?,
        bits: object.bits?,
    })
}

fn check_order(objects: &[Object], fixed: usize) -> Result<(), AllocError> {
    let key = |object: &Object| match object.paddr {
        Some(paddr) => (0, paddr.0),
        None => (1, 64 - u64::from(object.bits.unwrap_or(0))),
    };
    for (i, pair) in objects.windows(2).enumerate() {
        if key(&pair[0]) > key(&pair[1]) {
            return Err(AllocError::Unsorted(i + 1));
        }
    }
    match objects[..fixed]
        .iter()
        .position(|object| object.bits.is_none())
    {
        Some(i) => Err(AllocError::Unsorted(i)),
        None => Ok(()),
    }
}

fn queues(objects: &[Object], fixed: usize) -> [Queue; 64] {
    let mut queues = [Queue::default(); 64];
    for (i, object) in objects.iter().enumerate().skip(fixed) {
        if let Some(queue) = object
            .bits
            .and_then(|bits| queues.get_mut(usize::from(bits)))
        {
            if queue.end == 0 {
                queue.next = i;
            }
            queue.end = i + 1;
        }
    }
    queues
}

/// The next object of the largest size up to `2^most`.
fn take(objects: &[Object], queues: &mut [Queue; 64], most: u32) -> Option<(usize, u32)> {
    for bits in (0..=most.min(63)).rev() {
        let queue = &mut queues[bits as usize];
        while queue.next < queue.end && objects[queue.next].embedded {
            queue.next += 1;
        }
        if queue.next < queue.end {
            queue.next += 1;
            return Some((queue.next - 1, bits));
        }
    }
    None
}

#[cfg(test)]
mod tests;
