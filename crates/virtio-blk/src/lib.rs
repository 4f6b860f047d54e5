//! A virtio block device (Virtio 1.2, 5.2) behind virtio-mmio registers, with many requests under
//! way at once.
//!
//! Transport and queue are the `virtio-drivers` crate's. Its own block device is not used: it waits
//! for flushes, has room for five requests, and cannot discard.
//!
//! `VIRTIO_F_EVENT_IDX` is not asked for: the crate compares indices without regard to their end
//! (`VirtQueue::should_notify`), so a batch of requests across it would never begin.
//!
//! # Soundness
//! The one who makes a [`Blk`] promises that the registers are a virtio-mmio device's and nobody
//! else's; [`Blk::submit`]'s caller that the bytes are memory which the [`Hal`] can name to the
//! device, for as long as the request is under way, and no Rust object. The references that the
//! queue wants are made of these pointers and only turned into addresses. Headers and states of
//! requests lie in a page of DMA memory that this crate alone has; of each slot in use the device
//! reads the header and writes the state, and we look at it when the device has given it back.
#![no_std]
#![expect(
    unsafe_code,
    reason = "this crate's purpose is to share memory with a device"
)]

mod info;

use core::marker::PhantomData;
use core::ptr::NonNull;

pub use info::{Discard, Info};
pub use virtio_drivers::{BufferDirection, Error, Hal, PAGE_SIZE, PhysAddr};

use info::Feature;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most requests under way.
pub const REQUESTS: usize = 64;
/// Bytes of a sector, in which offsets and lengths count.
pub const SECTOR: usize = 512;

/// Descriptors: up to three for each request, in a power of two.
const DESCRIPTORS: usize = 256;
const QUEUE: u16 = 0;
/// What a slot's state is until the device has written it.
const NO_STATE: u8 = 0xff;

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Read sectors into the bytes.
    Read,
    /// Write the bytes to sectors.
    Write,
    /// What was done is on the medium when this is.
    Flush,
    /// Forget sectors.
    Discard,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// The device does not do that.
    Unsupported,
}

/// A request in DMA memory: the header of Virtio 1.2, 5.2.6, the segment of a discard, the state.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Slot {
    kind: u32,
    reserved: u32,
    sector: u64,
    discard_sector: u64,
    discard_count: u32,
    discard_flags: u32,
    state: u8,
    padding: [u8; 31],
}

const _: () = assert!(size_of::<Slot>() * REQUESTS == PAGE_SIZE);

/// Calls a method of the queue with what the device reads and what it writes of the request in slot
/// `$index`, behind other arguments. A macro, because the queue wants all references to live alike.
macro_rules! with_buffers {
    ($blk:expr, $index:expr, $pending:expr, $method:ident($($argument:expr),*)) => {{
        let slot = $blk.slots.add($index).cast::<u8>();
        let header = core::slice::from_raw_parts(slot.as_ptr(), 16);
        let discard = core::slice::from_raw_parts(slot.add(16).as_ptr(), 16);
        let state = core::slice::from_raw_parts_mut(slot.add(32).as_ptr(), 1);
        let queue = &mut $blk.queue;
        match ($pending.op, $pending.bytes) {
            (Op::Read, Some(mut bytes)) => {
                queue.$method($($argument,)* &[header], &mut [bytes.as_mut(), state])
            }
            (Op::Write, Some(bytes)) => {
                queue.$method($($argument,)* &[header, bytes.as_ref()], &mut [state])
            }
            (Op::Discard, _) => queue.$method($($argument,)* &[header, discard], &mut [state]),
            _ => queue.$method($($argument,)* &[header], &mut [state]),
        }
    }};
}

/// The bytes of a request, or that it has none.
type Bytes = Option<NonNull<[u8]>>;

#[derive(Clone, Copy)]
struct Pending {
    tag: u32,
    op: Op,
    bytes: Bytes,
}

/// A device.
pub struct Blk<H: Hal> {
    transport: MmioTransport<'static>,
    queue: VirtQueue<H, DESCRIPTORS>,
    info: Info,
    slots: NonNull<Slot>,
    pending: [Option<Pending>; REQUESTS],
    /// The slot of the request whose first descriptor this is.
    of_token: [u8; DESCRIPTORS],
    /// Something was submitted that the device was not told of.
    untold: bool,
    hal: PhantomData<H>,
}

// SAFETY: the pointers are to memory that this device alone uses, whichever thread has it.
unsafe impl<H: Hal> Send for Blk<H> {}

impl<H: Hal> Blk<H> {
    /// The device with registers at `registers`, `size` bytes of them, reset and started.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where there is no block device, or what went wrong with it.
    ///
    /// # Safety
    /// The registers are those of a virtio-mmio slot, mapped for as long as the program runs, and
    /// nobody else uses them.
    pub unsafe fn new(registers: NonNull<u8>, size: usize) -> Result<Self, Error> {
        let header = registers.cast::<VirtIOHeader>();
        // SAFETY: promised by the caller.
        let transport = unsafe { MmioTransport::new(header, size) };
        let mut transport = transport.map_err(|_| Error::Unsupported)?;
        if transport.device_type() != DeviceType::Block {
            return Err(Error::Unsupported);
        }
        let features = transport.begin_init(Feature::all());
        let info = Info::read(&transport, features)?;
        let queue = VirtQueue::new(&mut transport, QUEUE, false, false)?;
        let (_, slots) = H::dma_alloc(1, BufferDirection::Both);
        transport.finish_init();
        Ok(Self {
            transport,
            queue,
            info,
            slots: slots.cast(),
            pending: [None; REQUESTS],
            of_token: [0; DESCRIPTORS],
            untold: false,
            hal: PhantomData,
        })
    }

    /// What the device is.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Queues a request for `count` sectors from `sector`; `tag` comes back. `false` where there is
    /// no room. Of what is to be discarded only as much is as the device takes at once.
    ///
    /// # Safety
    /// `bytes`, given for [`Op::Read`] and [`Op::Write`] alone, are `count` sectors long, and as
    /// the crate's documentation says.
    pub unsafe fn submit(
        &mut self,
        tag: u32,
        op: Op,
        sector: u64,
        count: u32,
        bytes: Bytes,
    ) -> bool {
        let Some(index) = self.pending.iter().position(Option::is_none) else {
            return false;
        };
        let most = self.info.discard.map_or(0, |discard| discard.most);
        let header = Slot {
            kind: match op {
                Op::Read => 0,
                Op::Write => 1,
                Op::Flush => 4,
                Op::Discard => 11,
            },
            reserved: 0,
            sector: if matches!(op, Op::Read | Op::Write) {
                sector
            } else {
                0
            },
            discard_sector: sector,
            discard_count: count.min(most),
            discard_flags: 0,
            state: NO_STATE,
            padding: [0; 31],
        };
        // SAFETY: the slot is within the page and the device has given it back.
        unsafe { self.slots.add(index).write(header) };
        let pending = Pending { tag, op, bytes };
        // SAFETY: slot and bytes stay until the device has given them back, and nobody looks.
        let token = unsafe { with_buffers!(self, index, pending, add()) };
        let Ok(token) = token else {
            return false;
        };
        if let Some(slot) = self.of_token.get_mut(usize::from(token)) {
            #[expect(clippy::cast_possible_truncation, reason = "below REQUESTS")]
            let index = index as u8;
            *slot = index;
        }
        self.pending[index] = Some(pending);
        self.untold = true;
        true
    }

    /// Tells the device of what was queued.
    pub fn kick(&mut self) {
        if core::mem::take(&mut self.untold) && self.queue.should_notify() {
            self.transport.notify(QUEUE);
        }
    }

    /// A request that has ended.
    pub fn take(&mut self) -> Option<(u32, Outcome)> {
        let token = self.queue.peek_used()?;
        let index = usize::from(*self.of_token.get(usize::from(token))?);
        let pending = self.pending.get_mut(index)?.take()?;
        // SAFETY: the buffers that this request was added with.
        let popped = unsafe { with_buffers!(self, index, pending, pop_used(token)) };
        // SAFETY: the slot is within the page; the device has given it back.
        let state = unsafe { (&raw const (*self.slots.add(index).as_ptr()).state).read_volatile() };
        let outcome = match (popped, state) {
            (Ok(_), 0) => Outcome::Done,
            (Ok(_), 2) => Outcome::Unsupported,
            _ => Outcome::Failed,
        };
        Some((pending.tag, outcome))
    }

    /// The interrupt has come: the device may raise it again. To be called before [`Blk::take`].
    pub fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
}
