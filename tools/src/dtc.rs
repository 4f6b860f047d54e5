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

/// What dtc is to read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    /// A file.
    File(&'a Path),
    /// A text, which dtc calls [`STDIN`]; what it includes is looked for in the directory.
    #[cfg(feature = "cli")]
    Text(&'a [u8], &'a Path),
}

/// What dtc calls its standard input.
#[cfg(feature = "cli")]
pub(crate) const STDIN: &str = "<stdin>";

/// Runs dtc on `source` and returns what it writes.
///
/// # Errors
/// What dtc says, or that it is missing.
pub(crate) fn run(source: Source<'_>, arguments: &[&str]) -> Result<Vec<u8>, DtcError> {
    let mut command = Command::new("dtc");
    command.args(["-q", "-I", "dts"]).args(arguments);
    // A file's name may begin with a dash.
    let output = match source {
        Source::File(path) => command.arg("--").arg(path).output(),
        #[cfg(feature = "cli")]
        Source::Text(text, directory) => {
            let directory = match directory.as_os_str().is_empty() {
                true => Path::new("."),
                false => directory,
            };
            command.arg("-i").arg(directory).args(["--", "-"]);
            piped(&mut command, text)
        }
    };
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

/// Runs `command` with `text` as its standard input.
#[cfg(feature = "cli")]
fn piped(command: &mut Command, text: &[u8]) -> std::io::Result<std::process::Output> {
    use std::io::Write;
    use std::process::Stdio;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let stdin = child.stdin.take();
    std::thread::scope(|scope| {
        // dtc may stop reading at the first mistake; what it says then is the answer.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(text)));
        child.wait_with_output()
    })
}
