//! Typing at a guest's shell through the console server.

use crate::machine::{Failure, Machine};
use crate::scenes::lab::PATIENCE;

/// More than there are stops on the way around: guests and the console's own monitor.
const STOPS: usize = 10;

/// Moves the input to `guest`: Ctrl-a three times until the console says so.
///
/// # Errors
/// The console says nothing, or never this guest's name.
pub fn focus(machine: &mut Machine, guest: &str) -> Result<(), Failure> {
    for _ in 0..STOPS {
        machine.mark();
        machine.send("\u{1}\u{1}\u{1}")?;
        let now = machine.expect(r"\*\*\* Input goes to ([^ ]+) ", PATIENCE)?;
        if now.get(1).is_some_and(|name| name == guest) {
            return Ok(());
        }
    }
    Err(Failure(format!("Ctrl-a never gave the input to {guest}")))
}

/// Runs `command` in `guest`'s shell and returns what the serial line showed until it was done.
///
/// # Errors
/// As [`focus`]; the shell does not answer.
pub fn ask(machine: &mut Machine, guest: &str, command: &str) -> Result<String, Failure> {
    focus(machine, guest)?;
    machine.mark();
    // The shell computes the sum, so the echo of what we type is not taken for the answer.
    machine.send(&format!(
        "{command}; echo \"end $((40 + 2)) of $(hostname)\"\n"
    ))?;
    // The whole line: what is not ended is shown again when the input comes back, and would answer
    // the next question.
    machine.expect(&format!("end 42 of {guest}\n"), PATIENCE)?;
    Ok(machine.seen())
}

/// What `guest` answers to `command`, its words with a space between them.
///
/// # Errors
/// As [`ask`].
pub fn says(machine: &mut Machine, guest: &str, command: &str) -> Result<String, Failure> {
    let line = format!("echo \"it says\"\": $({command} 2>&1 | tr '\\n' ' ')\"");
    let seen = ask(machine, guest, &line)?;
    let found = seen.lines().find_map(|line| line.split("it says: ").nth(1));
    match found {
        Some(said) => Ok(said.split_whitespace().collect::<Vec<_>>().join(" ")),
        None => Err(Failure(format!("no answer in:\n{seen}"))),
    }
}
