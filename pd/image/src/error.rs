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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_follows_the_cause() {
        let error = Error::new("no SDK").advise("give --sdk");
        assert_eq!(error.to_string(), "no SDK\n  try: give --sdk");
    }
}
