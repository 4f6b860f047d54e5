//! One machine: a QEMU process and its serial line.

use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use regex::bytes::Regex;

/// Why a test failed, for the person who reads the test's line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// What the end of a line becomes that the console took off the screen to bring it back later. It
/// is no line's end for a pattern, which would match half a line, and the next line begins behind
/// it.
pub const WITHDRAWN: &str = "\x1b[K\n";

/// What the serial line has said so far, filled by a thread of its own.
#[derive(Default)]
struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Without carriage returns. A line that the console took off the screen ends as [`WITHDRAWN`].
    bytes: Vec<u8>,
    ended: bool,
    /// How much of [`ERASES`] came last.
    erasing: usize,
    /// What may become, or is, a line of the debug kernel: not among `bytes` yet.
    kernel: Vec<u8>,
}

/// How the console takes a line off the screen.
const ERASES: &[u8] = b"\r\x1b[K";

/// How a line of the debug kernel begins and ends. It writes to the UART itself, in the middle of
/// a line of the console server if it comes so.
const KERNEL_BEGINS: &[u8] = b"\x1b[0m\x1b[1m<<";
const KERNEL_ENDS: &[u8] = b">>\x1b[0m\r\n";

impl State {
    /// Takes the next byte. The lines of a debug kernel are left out, so that the line which one
    /// of them came into is whole.
    fn take(&mut self, byte: u8) {
        self.kernel.push(byte);
        let begins = KERNEL_BEGINS.starts_with(&self.kernel);
        let goes_on = self.kernel.starts_with(KERNEL_BEGINS);
        if goes_on && self.kernel.ends_with(KERNEL_ENDS) {
            self.kernel.clear();
        } else if !begins && !goes_on {
            // The first byte begins none; a line of the kernel may begin behind it.
            let mut held = std::mem::take(&mut self.kernel).into_iter();
            held.by_ref().take(1).for_each(|byte| self.keep(byte));
            held.for_each(|byte| self.take(byte));
        }
    }

    fn keep(&mut self, byte: u8) {
        self.erasing = match ERASES.get(self.erasing) {
            Some(&expected) if expected == byte => self.erasing + 1,
            _ => usize::from(byte == b'\r'),
        };
        if byte != b'\r' {
            self.bytes.push(byte);
        }
        if self.erasing == ERASES.len() {
            self.erasing = 0;
            self.bytes.push(b'\n');
        }
    }
}

impl Output {
    /// Copies the serial line into memory and, as it came, into `log`.
    fn collect(&self, mut from: impl Read, mut log: File) {
        let mut chunk = [0; 4096];
        loop {
            let count = from.read(&mut chunk).unwrap_or(0);
            let taken = chunk.get(..count).unwrap_or_default();
            // The log is for people; a full disk must not change what a test says.
            let _ = log.write_all(taken);
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            for &byte in taken {
                state.take(byte);
            }
            state.ended = count == 0;
            drop(state);
            self.changed.notify_all();
            if count == 0 {
                return;
            }
        }
    }
}

/// A running machine. Dropping it ends it with SIGKILL: an idle machine that counts instructions
/// hears nothing else.
pub struct Machine {
    child: Child,
    input: ChildStdin,
    output: Arc<Output>,
    mark: usize,
    /// Protection domains stop as part of the test.
    faults_expected: bool,
}

impl Machine {
    /// Starts `command`, a line for the shell, which becomes QEMU; its serial line is on standard
    /// input and output. A copy of the output goes to `log`.
    ///
    /// # Errors
    /// The shell cannot be started or `log` not be written.
    pub fn start(command: &str, log: &Path) -> Result<Self, Failure> {
        let log = File::create(log)?;
        let mut child = Command::new("sh")
            .args(["-c", &format!("exec {command} 2>&1")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure("the machine has no serial line".into()));
        };
        let output = Arc::new(Output::default());
        let collector = Arc::clone(&output);
        thread::spawn(move || collector.collect(from, log));
        Ok(Self {
            child,
            input,
            output,
            mark: 0,
            faults_expected: false,
        })
    }

    /// Waits until the machine has said something or ended, for at most `within`.
    pub fn wait_for_output(&self, within: Duration) {
        let state = self
            .output
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let silent = |state: &mut State| state.bytes.is_empty() && !state.ended;
        // A test that needs more than the fact that something was said looks for it.
        let _ = self
            .output
            .changed
            .wait_timeout_while(state, within, silent);
    }

    /// A protection domain that stops no longer fails [`Machine::expect`]; that the console or the
    /// fault server does still does.
    pub fn expect_faults(&mut self) {
        self.faults_expected = true;
    }

    /// From here on, [`Machine::expect`] looks only at what comes later.
    pub fn mark(&mut self) {
        self.mark = self
            .output
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .bytes
            .len();
    }

    /// Types `text`.
    ///
    /// # Errors
    /// The machine is gone.
    pub fn send(&mut self, text: &str) -> Result<(), Failure> {
        self.input.write_all(text.as_bytes())?;
        self.input.flush()?;
        Ok(())
    }

    /// Waits until what came after the mark matches `pattern` (multi-line: `^` and `$` are line
    /// ends) and returns the groups, the whole match first.
    ///
    /// # Errors
    /// Time is over, the machine has ended or a protection domain has crashed; the failure shows
    /// the last lines.
    pub fn expect(&self, pattern: &str, within: Duration) -> Result<Vec<String>, Failure> {
        let expression =
            Regex::new(&format!("(?m){pattern}")).map_err(|error| Failure(error.to_string()))?;
        let deadline = Instant::now() + within;
        let mut state = self
            .output
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            let bytes = state.bytes.get(self.mark..).unwrap_or_default();
            if let Some(found) = expression.captures(bytes) {
                let text = |group: Option<regex::bytes::Match<'_>>| {
                    group.map_or_else(String::new, |m| {
                        String::from_utf8_lossy(m.as_bytes()).into_owned()
                    })
                };
                return Ok(found.iter().map(text).collect());
            }
            if let Some(crash) = crash(&state.bytes, self.faults_expected) {
                return Err(Failure(crash));
            }
            if state.ended {
                return Err(Failure(format!(
                    "the machine ended without /{pattern}/; {}",
                    tail(bytes)
                )));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure(format!(
                    "no /{pattern}/ within {} s; {}",
                    within.as_secs(),
                    tail(bytes)
                )));
            }
            state = self
                .output
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// What came after the mark.
    #[must_use]
    pub fn seen(&self) -> String {
        let state = self
            .output
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(state.bytes.get(self.mark..).unwrap_or_default()).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the fault server, or Microkit's monitor, said about a protection domain that faulted:
/// nothing good follows, but where the test wants the faults that the fault server tells.
fn crash(bytes: &[u8], expected: bool) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let told = text
        .lines()
        .find(|line| line.starts_with("fault_server: ") && line.contains(" stopped: "));
    if let Some(line) = told.filter(|_| !expected) {
        return Some(line.to_owned());
    }
    let (before, after) = text.split_once("MON|ERROR: faulting PD: ")?;
    let (domain, _) = after.split_once('\n')?;
    let last: Vec<_> = before
        .lines()
        .filter(|line| !line.starts_with("MON|ERROR"))
        .collect();
    let shown = last.get(last.len().saturating_sub(4)..).unwrap_or_default();
    Some(format!(
        "protection domain {domain} crashed:\n      {}",
        shown.join("\n      ")
    ))
}

/// The last lines of `bytes`, for a failure.
fn tail(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    if lines.is_empty() {
        return "nothing came".into();
    }
    let last = lines
        .get(lines.len().saturating_sub(8)..)
        .unwrap_or_default();
    format!("last lines:\n      {}", last.join("\n      "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(command: &str) -> Machine {
        let log = std::env::temp_dir().join(format!(
            "zazen-machine-{}-{:p}",
            std::process::id(),
            &raw const *command
        ));
        let machine = Machine::start(command, &log).expect("sh runs");
        std::fs::remove_file(log).expect("the log was made");
        machine
    }

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn an_answer_is_seen_after_the_mark_only() {
        let mut cat = machine("cat");
        cat.send("one\r\ntwo 2\n").unwrap();
        assert_eq!(cat.expect(r"^two (\d)$", SOON).unwrap(), ["two 2", "2"]);
        assert!(
            cat.expect("^one$", SOON).is_ok(),
            "carriage returns are dropped"
        );
        cat.mark();
        assert!(
            cat.expect("two", Duration::from_millis(50))
                .unwrap_err()
                .0
                .contains("nothing came")
        );
        cat.send("three\n").unwrap();
        assert!(cat.expect("three", SOON).is_ok());
        assert_eq!(cat.seen(), "three\n");
    }

    #[test]
    fn a_line_of_the_debug_kernel_leaves_the_line_whole_that_it_came_into() {
        let mut state = State::default();
        let bytes = b"\x1b[0m\x1b[0m\x1b[1m<<\x1b[0m\x1b[32mseL4(CPU 0)\x1b[0m\x1b[1m [f/1]: a>>b>>\x1b[0m\r\n";
        let mut all = b"server: one ".to_vec();
        all.extend_from_slice(bytes);
        all.extend_from_slice(b"line\r\n\x1b[1m<x\r\x1b[K");
        for byte in all {
            state.take(byte);
        }
        assert_eq!(
            String::from_utf8_lossy(&state.bytes),
            format!("server: one \x1b[0mline\n\x1b[1m<x{WITHDRAWN}")
        );
    }

    #[test]
    fn a_line_taken_off_the_screen_is_none() {
        let cat = machine(r"printf 'a: ha\r\033[Kb: x\r\na: half\r\n'; exec sleep 60 #");
        cat.expect("^b: x$", SOON).unwrap();
        assert!(cat.expect("^a: half$", SOON).is_ok());
        assert!(cat.seen().starts_with(&format!("a: ha{WITHDRAWN}b: x")));
        assert!(cat.expect("^a: ha$", Duration::from_millis(10)).is_err());
    }

    #[test]
    fn a_crash_is_told_at_once() {
        let crashed =
            machine(r#"sh -c "printf 'oops\nMON|ERROR: faulting PD: console\n'; exec sleep 60""#);
        let failure = crashed.expect("hello", SOON).unwrap_err();
        assert!(
            failure.0.contains("console crashed") && failure.0.contains("oops"),
            "{failure}"
        );
    }

    #[test]
    fn a_fault_that_the_fault_server_tells_is_a_crash_unless_it_is_wanted() {
        let mut crashed = machine(
            r#"sh -c "printf 'fault_server: vmm_a stopped: read of nothing\nhello\n'; exec sleep 60""#,
        );
        let failure = crashed.expect("goodbye", SOON).unwrap_err();
        assert!(failure.0.contains("vmm_a stopped"), "{failure}");
        crashed.expect_faults();
        assert!(crashed.expect("^hello$", SOON).is_ok());
    }

    #[test]
    fn a_machine_that_ends_is_told_from_one_that_is_slow() {
        let gone = machine("echo bye");
        let failure = gone.expect("hello", SOON).unwrap_err();
        assert!(
            failure.0.contains("ended") && failure.0.contains("bye"),
            "{failure}"
        );
        let slow = machine("sleep 60");
        let failure = slow.expect("hello", Duration::from_millis(50)).unwrap_err();
        assert!(failure.0.contains("within"), "{failure}");
    }
}
