//! The device-tree compiler.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// Runs dtc on `source` and returns what it writes.
///
/// # Errors
/// What dtc says, or that it is missing.
pub(crate) fn run(source: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let output = Command::new("dtc")
        .args(["-q", "-I", "dts"])
        .args(arguments)
        .arg(source)
        .output();
    let output = output.map_err(|error| match error.kind() {
        ErrorKind::NotFound => String::from(
            "the device-tree compiler dtc is missing; install it (Debian: apt install device-tree-compiler)",
        ),
        _ => format!("dtc cannot be started: {error}"),
    })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("FATAL ERROR: Unable to parse"))
        .collect();
    Err(said.join("\n"))
}
