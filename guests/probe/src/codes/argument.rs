//! Argument structures, built by offset: each test sets the fields it is about.

/// Bytes of the largest structure that is built here.
const SIZE: usize = 160;

/// A structure in memory, aligned to 8 bytes.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub struct Arg([u8; SIZE]);

impl Arg {
    /// All zero.
    pub const fn new() -> Self {
        Self([0; SIZE])
    }

    /// Sets the bytes at `offset`; what lies outside is dropped.
    fn put(mut self, offset: usize, bytes: &[u8]) -> Self {
        if let Some(place) = self.0.get_mut(offset..offset + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self
    }

    /// Sets 16 bits.
    pub fn half(self, offset: usize, value: u16) -> Self {
        self.put(offset, &value.to_le_bytes())
    }

    /// Sets 32 bits.
    pub fn word(self, offset: usize, value: u32) -> Self {
        self.put(offset, &value.to_le_bytes())
    }

    /// Sets 64 bits.
    pub fn long(self, offset: usize, value: u64) -> Self {
        self.put(offset, &value.to_le_bytes())
    }

    /// Where it lies; the hypervisor may write there.
    pub fn at(&mut self) -> u64 {
        core::hint::black_box(self.0.as_mut_ptr()) as u64
    }

    fn get<const N: usize>(&self, offset: usize) -> [u8; N] {
        let mut bytes = [0; N];
        for (n, byte) in bytes.iter_mut().enumerate() {
            if let Some(at) = self.0.get(offset + n) {
                // SAFETY: a reference's target; volatile, because a hypercall has written it.
                *byte = unsafe { core::ptr::from_ref(at).read_volatile() };
            }
        }
        bytes
    }

    /// Reads 16 bits.
    pub fn get_half(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.get(offset))
    }

    /// Reads 16 bits with a sign: a status.
    pub fn get_status(&self, offset: usize) -> i64 {
        i64::from(i16::from_le_bytes(self.get(offset)))
    }

    /// Reads 32 bits.
    pub fn get_word(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.get(offset))
    }

    /// Reads 64 bits.
    pub fn get_long(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.get(offset))
    }
}
