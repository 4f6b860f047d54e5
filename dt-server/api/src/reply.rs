//! Replies of the dt-server: what it writes and what its client reads.

use crate::record::DomainRecord;
use crate::wire::{Error, Message, RECORD_MAX};

/// A refusal.
pub fn error(error: Error) -> Message {
    Message::empty(error as u64)
}

/// Answer to [`crate::Request::Record`]; [`Error::TooLarge`] where the encoding exceeds
/// [`RECORD_MAX`] bytes.
pub fn record(record: &DomainRecord) -> Message {
    let mut buffer = [0; RECORD_MAX];
    match postcard::to_slice(record, &mut buffer) {
        Ok(encoded) => bytes(encoded),
        Err(_) => error(Error::TooLarge),
    }
}

/// Answer to [`crate::Request::WriteTree`].
pub fn size(bytes: u32) -> Message {
    let mut message = Message::empty(0);
    // The first word always fits.
    let _ = message.words.push(u64::from(bytes));
    message
}

/// Answer to [`crate::Request::ReadTree`]: `bytes`, or as many of them as one message holds
/// ([`RECORD_MAX`]).
pub fn bytes(bytes: &[u8]) -> Message {
    let bytes = bytes.get(..RECORD_MAX).unwrap_or(bytes);
    let mut message = Message::empty(0);
    let _ = message.words.push(bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        // RECORD_MAX leaves room for exactly this.
        let _ = message.words.push(u64::from_le_bytes(word));
    }
    message
}

fn refused(message: &Message) -> Result<(), Error> {
    match message.label {
        0 => Ok(()),
        raw => Err(Error::from_raw(raw).unwrap_or(Error::Malformed)),
    }
}

/// Reads the answer to [`crate::Request::WriteTree`].
///
/// # Errors
/// The server's refusal, or [`Error::Malformed`].
pub fn read_size(message: &Message) -> Result<u32, Error> {
    refused(message)?;
    match message.words.as_slice() {
        [size] => u32::try_from(*size).map_err(|_| Error::Malformed),
        _ => Err(Error::Malformed),
    }
}

/// Reads bytes into the front of `into` and returns how many there were.
///
/// # Errors
/// The server's refusal, or [`Error::Malformed`] where the count does not belong to the number of
/// words or exceeds `into`, or padding is not zero.
pub fn read_bytes(message: &Message, into: &mut [u8]) -> Result<usize, Error> {
    refused(message)?;
    let (count, words) = message.words.split_first().ok_or(Error::Malformed)?;
    let count = usize::try_from(*count).map_err(|_| Error::Malformed)?;
    if count.div_ceil(8) != words.len() {
        return Err(Error::Malformed);
    }
    let into = into.get_mut(..count).ok_or(Error::Malformed)?;
    for (chunk, word) in into.chunks_mut(8).zip(words) {
        let word = word.to_le_bytes();
        let (data, padding) = word.split_at(chunk.len());
        if padding.iter().any(|byte| *byte != 0) {
            return Err(Error::Malformed);
        }
        chunk.copy_from_slice(data);
    }
    Ok(count)
}

/// Reads the answer to [`crate::Request::Record`].
///
/// # Errors
/// The server's refusal, or [`Error::Malformed`] where the bytes are not exactly one record.
pub fn read_record(message: &Message) -> Result<DomainRecord, Error> {
    let mut buffer = [0; RECORD_MAX];
    let count = read_bytes(message, &mut buffer)?;
    let encoded = buffer.get(..count).ok_or(Error::Malformed)?;
    // take_from_bytes, because from_bytes tolerates bytes after the record.
    match postcard::take_from_bytes(encoded) {
        Ok((record, [])) => Ok(record),
        _ => Err(Error::Malformed),
    }
}
