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
    /// dtc refuses the source: its messages, one line for each mistake.
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

/// The files that `source` includes, in whatever way; none where dtc cannot tell.
#[cfg(feature = "cli")]
pub(crate) fn included(source: Source<'_>) -> Vec<std::path::PathBuf> {
    // dtc writes a rule of make: what is made, a colon, and what it is made of.
    let rule = run(
        source,
        &["-O", "dtb", "-o", "/dev/null", "-d", "/dev/stdout"],
    );
    let rule = rule.unwrap_or_default();
    let rule = String::from_utf8_lossy(&rule).into_owned();
    let names = rule.split_once(':').map_or("", |(_, names)| names);
    let own = match source {
        Source::File(path) => path.to_string_lossy().into_owned(),
        Source::Text(..) => String::from(STDIN),
    };
    let mut files = names_in(names.trim(), |name| Path::new(name).exists());
    files.retain(|file| *file != own && file != "-");
    files.into_iter().map(Into::into).collect()
}

/// File names in a make rule. Some versions of dtc escape blanks and others do not; then the
/// longest name that `exists` is taken, or a single word.
#[cfg(feature = "cli")]
fn names_in(text: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let words: Vec<String> = text
        .replace("\\ ", "\0")
        .split_ascii_whitespace()
        .map(|word| word.replace('\0', " "))
        .collect();
    let mut names = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let mut lengths = 1..=words.len() - at;
        let found = lengths.find(|length| exists(&words[at..at + length].join(" ")));
        let length = found.unwrap_or(1);
        names.push(words[at..at + length].join(" "));
        at += length;
    }
    names
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

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;

    #[test]
    fn names_have_blanks() {
        let of = |text| names_in(text, |name| ["a.dts", "b c.dtsi"].contains(&name));
        assert_eq!(of("a.dts b c.dtsi d"), ["a.dts", "b c.dtsi", "d"]);
        assert_eq!(of("b\\ c.dtsi a.dts"), ["b c.dtsi", "a.dts"]);
        assert_eq!(of(""), [""; 0]);
    }
}
