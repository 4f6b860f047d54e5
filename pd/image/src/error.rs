//! Errors in the user's words.

use core::fmt;

/// What went wrong, with what, and what to try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    what: String,
    advice: Option<String>,
}

impl Error {
    /// An error that says `what` happened to which object.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            advice: None,
        }
    }
    /// Adds what the user can try.
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "\n  try: {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// `bytes` as a number that people read.
pub fn human(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (size, unit) in UNITS {
        if bytes >= size {
            return if bytes.is_multiple_of(size) {
                format!("{} {unit}", bytes / size)
            } else {
                format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size)
            };
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(human(0), "0 bytes");
        assert_eq!(human(4096), "4 KiB");
        assert_eq!(human(5 << 20 | 1 << 19), "5.5 MiB");
        assert_eq!(human(2 << 30), "2 GiB");
    }

    #[test]
    fn advice_follows_the_cause() {
        let error = Error::new("no SDK").advise("give --sdk");
        assert_eq!(error.to_string(), "no SDK\n  try: give --sdk");
    }
}
