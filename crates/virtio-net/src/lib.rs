//! A virtio network device (Virtio 1.2, 5.1) behind virtio-mmio registers.
//!
//! Transport and queues are the `virtio-drivers` crate's. Its own network device is not used: it
//! does not tell what the device knows of a frame's checksum, raises an interrupt for each frame
//! sent, and looks at indices as [`virtio-blk`] says.
//!
//! Each frame has a buffer of its own, which is one descriptor: a header and then the frame. The
//! device hears all frames, whomever they are for: without `VIRTIO_NET_F_CTRL_RX` it does not sort
//! them out (5.1.6.5).
//!
//! [`virtio-blk`]: ../virtio_blk/index.html
//!
//! # Soundness
//! The one who makes a [`Net`] promises that the registers are a virtio-mmio device's and nobody
//! else's. Buffers lie in DMA memory that this crate alone has. A reference to a buffer's bytes is
//! made while the device does not have it: before it is added to a queue, or after it came back.
//! Which one came back is looked up by its descriptor in our own table, so a device that says
//! nonsense has us look at one of our buffers or none.
#![no_std]
#![expect(
    unsafe_code,
    reason = "this crate's purpose is to share memory with a device"
)]

mod header;

use core::marker::PhantomData;
use core::ptr::NonNull;

pub use header::Checksum;
pub use virtio_drivers::{BufferDirection, Error, Hal, PAGE_SIZE, PhysAddr};

use header::HEADER;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};

/// Bytes of a buffer.
const BUFFER: usize = 1536;
/// Bytes of the longest frame: a buffer without its header.
pub const MAX_FRAME: usize = BUFFER - HEADER;
/// Buffers in which the device puts frames.
const RECEIVES: usize = 128;
/// Buffers with frames for it.
const SENDS: usize = 64;
/// Pages of DMA memory that a device takes: buffers, and two for each queue's rings.
pub const DMA_PAGES: usize = (RECEIVES + SENDS) * BUFFER / PAGE_SIZE + 4;

const RECEIVE_QUEUE: u16 = 0;
const SEND_QUEUE: u16 = 1;

const _: () = assert!(((RECEIVES + SENDS) * BUFFER).is_multiple_of(PAGE_SIZE));

bitflags::bitflags! {
    /// Features that are used (Virtio 1.2, 5.1.3 and 6). Segmentation is nobody's here: who gives
    /// us frames has done it.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Feature: u64 {
        const GUEST_CHECKSUM = 1 << 1;
        const VERSION_1 = 1 << 32;
    }
}

/// A device.
pub struct Net<H: Hal> {
    transport: MmioTransport<'static>,
    receives: Buffers<H, RECEIVES>,
    sends: Buffers<H, SENDS>,
    /// The buffer of a frame that has come and was not taken, and the frame's bytes.
    waits: Option<(usize, usize)>,
    /// Buffers that are free for frames to the device.
    free: [u8; SENDS],
    free_count: usize,
    /// Buffers were given to the device that it was not told of.
    untold: (bool, bool),
}

/// A queue whose buffers lie one behind the other.
struct Buffers<H: Hal, const N: usize> {
    queue: VirtQueue<H, N>,
    first: NonNull<u8>,
    /// The buffer whose descriptor this is.
    of_token: [u8; N],
    hal: PhantomData<H>,
}

// SAFETY: the pointers are to memory that this device alone uses, whichever thread has it.
unsafe impl<H: Hal, const N: usize> Send for Buffers<H, N> {}

impl<H: Hal, const N: usize> Buffers<H, N> {
    fn new(queue: VirtQueue<H, N>, first: NonNull<u8>) -> Self {
        Self {
            queue,
            first,
            of_token: [0; N],
            hal: PhantomData,
        }
    }

    /// Buffer `index`, below N.
    ///
    /// # Safety
    /// The device does not have it, and nobody else has a reference to it.
    unsafe fn bytes<'a>(&self, index: usize) -> &'a mut [u8] {
        assert!(index < N, "there is no buffer {index}");
        // SAFETY: within the memory; the caller promises that it is ours alone.
        unsafe { core::slice::from_raw_parts_mut(self.first.add(index * BUFFER).as_ptr(), BUFFER) }
    }

    fn note(&mut self, token: u16, index: usize) {
        if let Some(slot) = self.of_token.get_mut(usize::from(token)) {
            #[expect(clippy::cast_possible_truncation, reason = "at most 128 buffers")]
            let index = index as u8;
            *slot = index;
        }
    }

    /// The buffer that came back next, with its descriptor.
    fn next(&self) -> Option<(u16, usize)> {
        let token = self.queue.peek_used()?;
        let index = *self.of_token.get(usize::from(token))?;
        Some((token, index.into()))
    }
}

impl<H: Hal> Net<H> {
    /// The device with registers at `registers`, `size` bytes of them, reset and started.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where there is no network device of Virtio 1.0 or later, or what went
    /// wrong with it.
    ///
    /// # Safety
    /// The registers are those of a virtio-mmio slot, mapped for as long as the program runs, and
    /// nobody else uses them.
    pub unsafe fn new(registers: NonNull<u8>, size: usize) -> Result<Self, Error> {
        let header = registers.cast::<VirtIOHeader>();
        // SAFETY: promised by the caller.
        let transport = unsafe { MmioTransport::new(header, size) };
        let mut transport = transport.map_err(|_| Error::Unsupported)?;
        if transport.device_type() != DeviceType::Network {
            return Err(Error::Unsupported);
        }
        let features = transport.begin_init(Feature::all());
        // Headers of earlier devices are shorter.
        if !features.contains(Feature::VERSION_1) {
            return Err(Error::Unsupported);
        }
        let receives = VirtQueue::new(&mut transport, RECEIVE_QUEUE, false, false)?;
        let mut sends = VirtQueue::new(&mut transport, SEND_QUEUE, false, false)?;
        // What was sent is looked after when a buffer is wanted.
        sends.set_dev_notify(false);
        let pages = |count: usize| count * BUFFER / PAGE_SIZE;
        let (_, first) = H::dma_alloc(pages(RECEIVES), BufferDirection::Both);
        let receives = Buffers::new(receives, first);
        let (_, first) = H::dma_alloc(pages(SENDS), BufferDirection::Both);
        let sends = Buffers::new(sends, first);
        transport.finish_init();
        let mut net = Self {
            transport,
            receives,
            sends,
            waits: None,
            #[expect(clippy::cast_possible_truncation, reason = "64 buffers")]
            free: core::array::from_fn(|index| index as u8),
            free_count: SENDS,
            untold: (false, false),
        };
        for index in 0..RECEIVES {
            net.give(index);
        }
        net.kick();
        Ok(net)
    }

    /// Gives the device a buffer for a frame.
    fn give(&mut self, index: usize) {
        // SAFETY: the device has given it back, or never had it.
        let bytes = unsafe { self.receives.bytes(index) };
        // SAFETY: nobody looks at it until the device has given it back.
        if let Ok(token) = unsafe { self.receives.queue.add(&[], &mut [bytes]) } {
            self.receives.note(token, index);
            self.untold.0 = true;
        }
    }

    /// Takes a frame that has come, if there is one and `take` wants it: it gets the frame, and
    /// says `false` if the frame is to stay. Whether one was taken.
    pub fn receive(&mut self, take: impl FnOnce(&[u8], Checksum) -> bool) -> bool {
        let Some((index, len)) = self.waits.or_else(|| self.come()) else {
            return false;
        };
        self.waits = Some((index, len));
        // SAFETY: the device has given it back.
        let bytes = unsafe { self.receives.bytes(index) };
        let (header, frame) = bytes.split_at(HEADER);
        let frame = frame.get(..len).unwrap_or_default();
        if !take(frame, header::checksum(header, len)) {
            return false;
        }
        self.waits = None;
        self.give(index);
        true
    }

    /// The buffer of the next frame that has come, and the frame's bytes.
    fn come(&mut self) -> Option<(usize, usize)> {
        let (token, index) = self.receives.next()?;
        // SAFETY: the device has given it back: it is next in its used ring.
        let bytes = unsafe { self.receives.bytes(index) };
        // SAFETY: the buffer that it was added with.
        let used = unsafe { self.receives.queue.pop_used(token, &[], &mut [bytes]) };
        let used = usize::try_from(used.ok()?).unwrap_or(BUFFER);
        Some((index, used.saturating_sub(HEADER).min(MAX_FRAME)))
    }

    /// Sends a frame of `len` bytes, at most [`MAX_FRAME`], which `fill` writes. `false` where
    /// there is no room: then the device raises its interrupt when there is some.
    pub fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        if self.free_count == 0 {
            self.reclaim();
        }
        if self.free_count == 0 {
            self.sends.queue.set_dev_notify(true);
            // What came back before that raises nothing.
            self.reclaim();
            if self.free_count == 0 {
                return false;
            }
            self.sends.queue.set_dev_notify(false);
        }
        let index = usize::from(self.free[self.free_count - 1]);
        // SAFETY: it is free.
        let bytes = unsafe { self.sends.bytes(index) };
        let (header, frame) = bytes.split_at_mut(HEADER);
        let Some(frame) = frame.get_mut(..len) else {
            return false;
        };
        header.fill(0);
        fill(frame);
        let Some(bytes) = bytes.get(..HEADER + len) else {
            return false;
        };
        // SAFETY: nobody writes to it until the device has given it back.
        let Ok(token) = (unsafe { self.sends.queue.add(&[bytes], &mut []) }) else {
            return false;
        };
        self.free_count -= 1;
        self.sends.note(token, index);
        self.untold.1 = true;
        true
    }

    /// Takes back buffers of frames that were sent.
    fn reclaim(&mut self) {
        while let Some((token, index)) = self.sends.next() {
            // SAFETY: the device has given it back.
            let bytes = unsafe { self.sends.bytes(index) };
            // SAFETY: the buffer that it was added with; its length is the descriptor's.
            if unsafe { self.sends.queue.pop_used(token, &[bytes], &mut []) }.is_err() {
                return;
            }
            if let Some(slot) = self.free.get_mut(self.free_count) {
                #[expect(clippy::cast_possible_truncation, reason = "64 buffers")]
                let index = index as u8;
                *slot = index;
                self.free_count += 1;
            }
        }
    }

    /// Tells the device of buffers that it was given.
    pub fn kick(&mut self) {
        let (receives, sends) = core::mem::take(&mut self.untold);
        if receives && self.receives.queue.should_notify() {
            self.transport.notify(RECEIVE_QUEUE);
        }
        if sends && self.sends.queue.should_notify() {
            self.transport.notify(SEND_QUEUE);
        }
    }

    /// The interrupt has come: the device may raise it again. To be called before [`Net::receive`].
    pub fn acknowledge(&mut self) {
        self.transport.ack_interrupt();
    }
}
