//! Random numbers for guests: `kaslr-seed` and `rng-seed` of each life's device tree.
//!
//! What there is at the machine's start is hashed into one key: a seed that firmware left, the
//! processor's random numbers, and the jitter of a counter against work. A stream cipher makes all
//! seeds from it, one after the other, so no two lives of any guests have the same, and a guest
//! learns nothing of another's from its own.
//!
//! What a guest gets depends on how good that was, because Linux counts `rng-seed` as 256 bits of
//! entropy. Firmware's seed and the processor's numbers are trusted. Jitter is measured, not
//! believed: see [`Jitter`]. Where it is not enough there is no `rng-seed`, and with next to
//! nothing no `kaslr-seed` either.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// Estimated bits for a `rng-seed`, which Linux takes for that many.
const FULL_BITS: u32 = 256;
/// Estimated bits for a `kaslr-seed`. Linux moves its kernel to one of some 2^16 places by it.
const SOME_BITS: u32 = 64;

/// How good the key is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quality {
    /// A source of random numbers gave some.
    Given,
    /// This many bits of timing jitter, carefully estimated.
    Estimated(u32),
}

/// What is known at the machine's start, hashed.
#[derive(Clone, Debug)]
pub struct Entropy {
    hash: Sha256,
    given: bool,
    bits: u32,
}

impl Default for Entropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy {
    /// Nothing yet.
    pub fn new() -> Self {
        let mut hash = Sha256::new();
        hash.update(b"zazen guest seeds 1");
        Self {
            hash,
            given: false,
            bits: 0,
        }
    }

    /// Random numbers of a real source: firmware's `rng-seed`, or the
    /// processor's. Fewer than 16 bytes do not count as such, but go in.
    pub fn give(&mut self, bytes: &[u8]) {
        self.mix(bytes);
        self.given |= bytes.len() >= 16;
    }

    /// Measured jitter.
    pub fn add(&mut self, jitter: &Jitter) {
        self.mix(&jitter.samples);
        self.bits = self.bits.saturating_add(jitter.bits());
    }

    /// What tells one start of the machine from the next and is no secret: a time, an address.
    /// Counts for nothing.
    pub fn mix(&mut self, bytes: &[u8]) {
        // With its length, so that no two sequences of parts are the same.
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    /// How good it is.
    pub const fn quality(&self) -> Quality {
        if self.given {
            Quality::Given
        } else {
            Quality::Estimated(self.bits)
        }
    }
}

/// Samples of how long a piece of work took, in ticks of a counter that has another clock than the
/// processor.
///
/// The estimate is the smaller one of two predictors in the manner of NIST SP 800-90B 6.3: the most
/// common value, and "the same as k samples ago" with the best k. The second sees through a machine
/// whose time is a function of the instructions it has executed (QEMU with `-icount`, a counter
/// divided from the processor's own clock), where samples differ and are known all the same. An
/// eighth of what they say is counted.
#[derive(Clone, Debug)]
pub struct Jitter {
    samples: Vec<u8>,
}

impl Jitter {
    /// Samples that are taken.
    pub const SAMPLES: usize = Self::COUNT as usize;
    const COUNT: u32 = 4096;
    /// The farthest sample to look back to.
    const LAGS: usize = 64;
    /// What is counted of the estimate: one in this many.
    const DISCOUNT: u32 = 8;
    /// Bytes that the work goes through.
    const ROOM: usize = 1024;

    /// Takes the samples: `now` reads the counter.
    pub fn measure(mut now: impl FnMut() -> u64) -> Self {
        // Not on the stack, which is small in a protection domain.
        let mut samples = vec![0_u8; Self::SAMPLES];
        let mut room = vec![0_u8; Self::ROOM];
        let mut before = now();
        let mut at = 0_usize;
        for sample in &mut samples {
            // Loads and stores whose addresses depend on what was loaded.
            for _ in 0..16 {
                let cell = &mut room[at % Self::ROOM];
                *cell = cell
                    .wrapping_mul(5)
                    .wrapping_add(before.to_le_bytes()[0] | 1);
                at = at.wrapping_mul(3).wrapping_add(usize::from(*cell) + 61);
            }
            core::hint::black_box(&room);
            let after = now();
            // The low bits are where jitter is.
            *sample = after.wrapping_sub(before).to_le_bytes()[0];
            before = after;
        }
        Self { samples }
    }

    /// All samples the same.
    #[cfg(test)]
    pub(crate) fn of(sample: u8) -> Self {
        Self {
            samples: vec![sample; Self::SAMPLES],
        }
    }

    /// Bits of entropy that are counted.
    pub fn bits(&self) -> u32 {
        let mut counts = [0_u32; 256];
        for sample in &self.samples {
            counts[usize::from(*sample)] += 1;
        }
        let common = counts.into_iter().max().unwrap_or(0);
        let words = self.samples.as_chunks::<8>().0.iter();
        let words: Vec<u64> = words.map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let repeated = (1..=Self::LAGS)
            .map(|lag| {
                // As many as there would be of all samples.
                scaled(alike(&words, lag), Self::SAMPLES - lag)
            })
            .max()
            .unwrap_or(0);
        let predicted = common.max(repeated);
        // Each sample has -log2(predicted / SAMPLES) bits; in 256ths, rounded down.
        let each = log2_256(Self::COUNT).saturating_sub(log2_256(predicted) + 1);
        Self::COUNT * each / 256 / Self::DISCOUNT
    }
}

/// How many bytes are those `lag` places before them, at most 64. The bytes are those of `words`,
/// the lowest first. Eight are compared at a time: a quarter of a million comparisons are a part of
/// every boot.
fn alike(words: &[u64], lag: usize) -> usize {
    const LOW: u64 = u64::from_ne_bytes([0x7f; 8]);
    let (skip, shift) = (lag / 8, lag % 8 * 8);
    let later = words.get(skip..).unwrap_or(&[]);
    let highs = later.iter().skip(1).copied().chain([0]);
    let mut sum = 0_u64;
    let mut same = 0;
    for ((i, early), (low, high)) in words.iter().enumerate().zip(later.iter().zip(highs)) {
        let later = match shift {
            0 => *low,
            shift => low >> shift | high << (64 - shift),
        };
        let differ = early ^ later;
        // The top bit of each byte that is not zero: no byte carries into the next.
        let set = ((differ & LOW) + LOW) | differ | LOW;
        sum += !set >> 7;
        // A byte of the sum holds so many matches at most.
        if i % 255 == 254 {
            same += total(sum);
            sum = 0;
        }
    }
    same += total(sum);
    // Zeroes behind the last byte have been compared with the last that have a partner.
    let last = words.iter().rev().nth(skip).map(|word| word.to_le_bytes());
    let behind = last.iter().flatten().rev().take(lag % 8);
    same - behind.filter(|byte| **byte == 0).count()
}

/// The sum of the bytes of `word`.
fn total(word: u64) -> usize {
    word.to_ne_bytes().map(usize::from).iter().sum()
}

/// `same` of `of` as a share of all samples, rounded up.
fn scaled(same: usize, of: usize) -> u32 {
    u32::try_from((same * Jitter::SAMPLES).div_ceil(of)).unwrap_or(Jitter::COUNT)
}

/// 256 times the logarithm to base 2 of `value`, rounded down; 0 of 0.
fn log2_256(value: u32) -> u32 {
    let Some(whole) = value.checked_ilog2() else {
        return 0;
    };
    // The mantissa in [1, 2) with 31 bits after the point; each squaring gives a bit of the
    // fraction.
    let mut mantissa = u64::from(value) << (31 - whole);
    let mut result = whole;
    for _ in 0..8 {
        mantissa = (mantissa * mantissa) >> 31;
        result <<= 1;
        if mantissa >> 32 != 0 {
            mantissa >>= 1;
            result |= 1;
        }
    }
    result
}

/// The seeds of all lives of all guests.
pub struct Seeds {
    stream: ChaCha20Rng,
    quality: Quality,
}

/// The seeds of one life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LifeSeeds {
    /// `kaslr-seed`.
    pub kaslr: Option<u64>,
    /// `rng-seed`.
    pub rng: Option<[u8; 32]>,
}

impl Seeds {
    /// Seeds from what is known.
    pub fn new(entropy: Entropy) -> Self {
        let quality = entropy.quality();
        Self {
            stream: ChaCha20Rng::from_seed(entropy.hash.finalize().into()),
            quality,
        }
    }

    /// No seeds.
    pub fn none() -> Self {
        Self::new(Entropy::new())
    }

    /// The next life's.
    pub fn next_life(&mut self) -> LifeSeeds {
        let mut rng = [0; 32];
        let kaslr = self.stream.next_u64();
        self.stream.fill_bytes(&mut rng);
        let bits = match self.quality {
            Quality::Given => FULL_BITS,
            Quality::Estimated(bits) => bits,
        };
        LifeSeeds {
            kaslr: (bits >= SOME_BITS).then_some(kaslr),
            rng: (bits >= FULL_BITS).then_some(rng),
        }
    }
}

impl fmt::Debug for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the stream: its state is a secret.
        f.debug_struct("Seeds")
            .field("quality", &self.quality)
            .finish_non_exhaustive()
    }
}

/// What guests get, in a line.
impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.quality {
            Quality::Given => f.write_str(
                "guests get kaslr-seed and rng-seed, from random numbers of firmware or the processor",
            ),
            Quality::Estimated(bits @ FULL_BITS..) => write!(
                f,
                "guests get kaslr-seed and rng-seed, from timing jitter alone: {bits} bits by a careful estimate, no certified source"
            ),
            Quality::Estimated(bits @ SOME_BITS..) => write!(
                f,
                "guests get kaslr-seed, and no rng-seed: {bits} bits of timing jitter, which is weak"
            ),
            Quality::Estimated(bits) => write!(
                f,
                "guests get no random seeds: neither firmware nor the processor has any, and time tells too little ({bits} bits of jitter)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Seeds {
        let mut entropy = Entropy::new();
        entropy.give(&[7; 32]);
        Seeds::new(entropy)
    }

    /// A source for tests that looks like noise.
    fn noise(state: &mut u64) -> u64 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    }

    #[test]
    fn no_two_lives_have_the_same() {
        let mut seeds = given();
        let lives: alloc::vec::Vec<_> = (0..1000).map(|_| seeds.next_life()).collect();
        for (index, life) in lives.iter().enumerate() {
            assert!(life.kaslr.is_some() && life.rng.is_some());
            for other in &lives[..index] {
                assert_ne!(life.kaslr, other.kaslr);
                assert_ne!(life.rng, other.rng);
            }
        }
        // The same machine at another start.
        let mut entropy = Entropy::new();
        entropy.give(&[8; 32]);
        assert_ne!(lives[0], Seeds::new(entropy).next_life());
    }

    #[test]
    fn parts_do_not_run_together() {
        let key = |parts: &[&[u8]]| {
            let mut entropy = Entropy::new();
            for part in parts {
                entropy.mix(part);
            }
            entropy.give(&[0; 16]);
            Seeds::new(entropy).next_life()
        };
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
    }

    #[test]
    fn what_is_no_secret_counts_for_nothing() {
        let mut entropy = Entropy::new();
        entropy.mix(&[1; 64]);
        entropy.give(&[1; 15]);
        assert_eq!(entropy.quality(), Quality::Estimated(0));
        assert_eq!(Seeds::new(entropy).next_life(), LifeSeeds::default());
        assert_eq!(Seeds::none().next_life(), LifeSeeds::default());
    }

    #[test]
    fn a_clock_that_follows_the_instructions_has_no_jitter() {
        // 37 ns of work and a counter of 62.5 MHz: samples of 2 and 3 ticks, in a pattern.
        for work in [37_u64, 16, 100, 333, 1001] {
            let mut time = 0;
            let jitter = Jitter::measure(|| {
                time += work;
                time / 16
            });
            assert_eq!(jitter.bits(), 0, "{work}");
        }
    }

    #[test]
    fn a_rare_interrupt_is_not_much_jitter() {
        let mut state = 88_172_645_463_325_252;
        let mut time = 0;
        let mut count = 0;
        let jitter = Jitter::measure(|| {
            count += 1;
            time += 10;
            if count % 97 == 0 {
                time += noise(&mut state) & 0xff;
            }
            time
        });
        assert!(jitter.bits() < SOME_BITS, "{}", jitter.bits());
    }

    #[test]
    fn noise_is_counted_with_care() {
        let mut state = 88_172_645_463_325_252;
        let mut bits = |mask: u64| {
            let mut time = 0;
            Jitter::measure(|| {
                time += 100 + (noise(&mut state) >> 20 & mask);
                time
            })
            .bits()
        };
        // One bit in each sample is at most 4096; an eighth, less what the predictors find by
        // chance.
        let one = bits(1);
        assert!((380..=512).contains(&one), "{one}");
        let eight = bits(0xff);
        assert!((1500..=4096).contains(&eight), "{eight}");
        assert!(one < eight);
        assert_eq!(Jitter::of(9).bits(), 0);
    }

    #[test]
    fn weak_jitter_gives_no_rng_seed() {
        for (bits, kaslr, rng) in [
            (63, false, false),
            (64, true, false),
            (255, true, false),
            (256, true, true),
        ] {
            let mut seeds = Seeds::none();
            seeds.quality = Quality::Estimated(bits);
            let life = seeds.next_life();
            assert_eq!((life.kaslr.is_some(), life.rng.is_some()), (kaslr, rng));
        }
    }

    #[test]
    fn words_say_where_it_comes_from() {
        assert_eq!(
            alloc::format!("{}", given()),
            "guests get kaslr-seed and rng-seed, from random numbers of firmware or the processor"
        );
        assert!(alloc::format!("{}", Seeds::none()).starts_with("guests get no random seeds"));
        assert!(!alloc::format!("{:?}", given()).contains("stream"));
    }

    #[test]
    fn logarithms() {
        for (value, expected) in [
            (0, 0),
            (1, 0),
            (2, 256),
            (3, 405),
            (4096, 3072),
            (4095, 3071),
        ] {
            assert_eq!(log2_256(value), expected, "{value}");
        }
    }

    #[test]
    fn words_are_compared_as_their_bytes_are() {
        let mut state = 0x9e37_79b9_7f4a_7c15;
        // Few values, so that many bytes are alike, zero among them, and more than fit in a byte.
        let words: Vec<u64> = (0..600)
            .map(|_| noise(&mut state) & 0x8101_8001_0180_8181)
            .collect();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for lag in 0..=64 {
            let pairs = bytes.iter().zip(&bytes[lag..]);
            let one_by_one = pairs.filter(|(old, new)| old == new).count();
            assert_eq!(alike(&words, lag), one_by_one, "{lag}");
        }
    }
}
