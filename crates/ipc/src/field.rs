//! Fields of requests.

use hv_types::{Gfn, Gpa, VcpuId};

/// Where a request is written.
#[derive(Debug)]
pub struct Writer<'w> {
    words: &'w mut [u64],
    used: usize,
}

impl<'w> Writer<'w> {
    /// Writes from the first word of `words` on.
    pub fn new(words: &'w mut [u64]) -> Self {
        Self { words, used: 0 }
    }

    /// Appends a word; one that there is no room for is a bug of the caller and dropped.
    #[inline]
    pub fn word(&mut self, word: u64) {
        if let Some(place) = self.words.get_mut(self.used) {
            *place = word;
            self.used += 1;
        }
    }

    /// The words that were written.
    #[inline]
    pub fn written(self) -> &'w [u64] {
        let Self { words, used } = self;
        words.get(..used).unwrap_or(&[])
    }
}

/// What is left of a message.
#[derive(Debug)]
pub struct Reader<'w>(&'w [u64]);

impl<'w> Reader<'w> {
    /// Reads `words` from the first on.
    pub fn new(words: &'w [u64]) -> Self {
        Self(words)
    }

    /// The next word.
    #[inline]
    pub fn word(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next `count` words.
    #[inline]
    pub fn words(&mut self, count: usize) -> Option<&'w [u64]> {
        let (words, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(words)
    }

    /// The next field.
    #[inline]
    pub fn field<T: Field>(&mut self) -> Option<T> {
        T::take(self)
    }

    /// Whether nothing is left.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One or more words of a request.
pub trait Field: Sized {
    /// Appends it to a message.
    fn put(&self, writer: &mut Writer<'_>);
    /// Takes it from a message; `None` where there is none, or a word has a value that it cannot
    /// have.
    fn take(reader: &mut Reader<'_>) -> Option<Self>;
}

impl Field for u64 {
    #[inline]
    fn put(&self, writer: &mut Writer<'_>) {
        writer.word(*self);
    }
    #[inline]
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        reader.word()
    }
}

macro_rules! narrow {
    ($($ty:ty),*) => {$(
        impl Field for $ty {
            #[inline]
            fn put(&self, writer: &mut Writer<'_>) {
                writer.word(u64::from(*self));
            }
            #[inline]
            fn take(reader: &mut Reader<'_>) -> Option<Self> {
                reader.word()?.try_into().ok()
            }
        }
    )*};
}

narrow!(u8, u16, u32);

impl Field for bool {
    #[inline]
    fn put(&self, writer: &mut Writer<'_>) {
        writer.word(u64::from(*self));
    }
    #[inline]
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.word()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

macro_rules! address {
    ($($ty:ty),*) => {$(
        impl Field for $ty {
            #[inline]
            fn put(&self, writer: &mut Writer<'_>) {
                writer.word(self.raw());
            }
            #[inline]
            fn take(reader: &mut Reader<'_>) -> Option<Self> {
                reader.word().map(Self::new)
            }
        }
    )*};
}

address!(Gfn, Gpa);

impl Field for VcpuId {
    #[inline]
    fn put(&self, writer: &mut Writer<'_>) {
        writer.word(self.raw().into());
    }
    #[inline]
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        reader.word().and_then(Self::new)
    }
}

/// The last field of a request, which may be missing.
impl<A: Field, B: Field> Field for Option<(A, B)> {
    #[inline]
    fn put(&self, writer: &mut Writer<'_>) {
        if let Some((a, b)) = self {
            a.put(writer);
            b.put(writer);
        }
    }
    #[inline]
    fn take(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.is_empty() {
            return Some(None);
        }
        Some(Some((reader.field()?, reader.field()?)))
    }
}
