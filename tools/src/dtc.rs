//! The device-tree compiler.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// Why dtc gives nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum DtcError {
    /// It cannot be started; the text says why and what to do.
    Missing(String),
    /// It does not like the source; its words, a line for each mistake.
    Refused(String),
}

impl fmt::Display for DtcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(text) | Self::Refused(text) => f.write_str(text),
        }
    }
}

/// Runs dtc on `source` and returns what it writes.
///
/// # Errors
/// What dtc says, or that it is missing.
pub(crate) fn run(source: &Path, arguments: &[&str]) -> Result<Vec<u8>, DtcError> {
    let output = Command::new("dtc")
        .args(["-q", "-I", "dts"])
        .args(arguments)
        .arg(source)
        .output();
    let output = output.map_err(|error| {
        DtcError::Missing(match error.kind() {
            ErrorKind::NotFound => String::from(
                "the device-tree compiler dtc is missing; install it (Debian: apt install device-tree-compiler)",
            ),
            _ => format!("dtc cannot be started: {error}"),
        })
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // What dtc says after the mistakes: that there were some.
    let end = [
        "FATAL ERROR: Unable to parse",
        "FATAL ERROR: Syntax error parsing",
        "ERROR: Input tree has errors",
    ];
    let said: Vec<&str> = said
        .lines()
        .filter(|line| !end.iter().any(|end| line.starts_with(end)))
        .collect();
    Err(DtcError::Refused(said.join("\n")))
}
