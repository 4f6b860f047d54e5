//! QEMU's debugger port: system registers of each core, which no program below EL2 can read.
//!
//! The protocol is gdb's remote serial protocol (packets `$data#sum`, acknowledged by `+`), the
//! registers and their numbers come from the description that QEMU makes of its processor.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::machine::Failure;

/// Where a machine's debugger port is.
#[derive(Clone, Debug)]
pub struct Port(PathBuf);

impl Port {
    /// A port at `path`, which must not exist yet.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        // What an earlier machine left.
        let _ = std::fs::remove_file(path);
        Self(path.to_path_buf())
    }

    /// QEMU's options for it.
    #[must_use]
    pub fn options(&self) -> String {
        format!("-gdb 'unix:{},server=on,wait=off'", self.0.display())
    }
}

/// A machine that stands still while this exists.
#[derive(Debug)]
pub struct Debugger {
    stream: UnixStream,
    /// The description of all system registers.
    description: String,
}

impl Debugger {
    /// Stops the machine behind `port` to look at it.
    ///
    /// # Errors
    /// Nobody answers there.
    pub fn attach(port: &Port) -> Result<Self, Failure> {
        let stream = UnixStream::connect(&port.0)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut debugger = Self {
            stream,
            description: String::new(),
        };
        // QEMU numbers the registers when it is asked for the first of its descriptions.
        debugger.document("target.xml")?;
        debugger.description = debugger.document("system-registers.xml")?;
        Ok(debugger)
    }

    /// Names of the cores.
    ///
    /// # Errors
    /// The machine does not answer.
    pub fn cores(&mut self) -> Result<Vec<String>, Failure> {
        let mut cores = Vec::new();
        let mut question = "qfThreadInfo";
        loop {
            let answer = self.ask(question)?;
            let Some(more) = answer.strip_prefix('m') else {
                return Ok(cores);
            };
            cores.extend(more.split(',').map(str::to_owned));
            question = "qsThreadInfo";
        }
    }

    /// System register `name` of `core`.
    ///
    /// # Errors
    /// There is none of that name; the machine does not answer.
    pub fn register(&mut self, core: &str, name: &str) -> Result<u64, Failure> {
        let number = number_of(&self.description, name)
            .ok_or_else(|| Failure(format!("the processor has no {name}")))?;
        self.ask(&format!("Hg{core}"))?;
        let answer = self.ask(&format!("p{number:x}"))?;
        value(&answer).ok_or_else(|| Failure(format!("{name} of core {core}: {answer}")))
    }

    fn document(&mut self, name: &str) -> Result<String, Failure> {
        let mut text = String::new();
        loop {
            let part = self.ask(&format!("qXfer:features:read:{name}:{:x},800", text.len()))?;
            match part.split_at_checked(1) {
                Some(("m", more)) => text.push_str(more),
                Some(("l", rest)) => {
                    text.push_str(rest);
                    return Ok(text);
                }
                _ => return Err(Failure(format!("no {name}: {part}"))),
            }
        }
    }

    fn ask(&mut self, question: &str) -> Result<String, Failure> {
        self.stream.write_all(packet(question).as_bytes())?;
        loop {
            let answer = self.packet()?;
            // That the machine has stopped, because we are here, comes unasked.
            if !answer.starts_with(['T', 'S']) {
                return Ok(answer);
            }
        }
    }

    /// The next packet, acknowledged.
    fn packet(&mut self) -> Result<String, Failure> {
        let mut byte = [0];
        while byte != [b'$'] {
            self.stream.read_exact(&mut byte)?;
        }
        let mut data = Vec::new();
        loop {
            self.stream.read_exact(&mut byte)?;
            match byte {
                [b'#'] => break,
                // The next byte is escaped.
                [b'}'] => {
                    self.stream.read_exact(&mut byte)?;
                    data.push(byte[0] ^ 0x20);
                }
                [other] => data.push(other),
            }
        }
        let mut sum = [0; 2];
        self.stream.read_exact(&mut sum)?;
        self.stream.write_all(b"+")?;
        Ok(String::from_utf8_lossy(&data).into_owned())
    }
}

fn packet(data: &str) -> String {
    let sum = data.bytes().fold(0_u8, u8::wrapping_add);
    format!("${data}#{sum:02x}")
}

/// The number of register `name` in a description.
fn number_of(description: &str, name: &str) -> Option<u32> {
    let (_, after) = description.split_once(&format!("name=\"{name}\""))?;
    let (tag, _) = after.split_once("/>")?;
    let (_, number) = tag.split_once("regnum=\"")?;
    number.split_once('"')?.0.parse().ok()
}

/// The bytes of a register, lowest first, as hexadecimal digits.
fn value(digits: &str) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 || !digits.len().is_multiple_of(2) {
        return None;
    }
    (0..digits.len()).step_by(2).try_fold(0, |value, at| {
        let byte = u64::from_str_radix(digits.get(at..at + 2)?, 16).ok()?;
        Some(value | byte << (at * 4))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_have_their_sum() {
        assert_eq!(packet("g"), "$g#67");
        assert_eq!(packet("qfThreadInfo"), "$qfThreadInfo#bb");
    }

    #[test]
    fn registers_are_found_by_name_and_read_lowest_byte_first() {
        let description = "<reg name=\"DBGBVR\" bitsize=\"64\" regnum=\"70\" group=\"cp_regs\"/>\
            <reg name=\"MDCR_EL2\" bitsize=\"64\" regnum=\"71\" group=\"cp_regs\"/>";
        assert_eq!(number_of(description, "MDCR_EL2"), Some(71));
        assert_eq!(number_of(description, "MDCR"), None);
        assert_eq!(value("664e080000000000"), Some(0x8_4e66));
        assert_eq!(value("664e0800"), Some(0x8_4e66));
        for wrong in ["", "E01", "xx", "00112233445566778899"] {
            assert_eq!(value(wrong), None, "{wrong}");
        }
    }
}
