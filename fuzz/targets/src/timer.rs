//! Requests to the timer server.

use std::collections::BTreeMap;

use timer_server::{Deadlines, MAX_CLIENTS};
use timer_server_api::{MALFORMED, NEVER, OP_ARM};

use crate::input::Input;

/// Any clients, labels and words; the deadlines are those of a map.
pub fn timer_request(data: &[u8]) {
    let mut input = Input::new(data);
    let mut timers = Deadlines::new();
    let mut model: BTreeMap<usize, u64> = BTreeMap::new();
    while let Some(operation) = input.operation() {
        if operation & 0x80 == 0 {
            let client = usize::from(operation);
            let label = input.number();
            let count = usize::from(input.get::<u8>() % 4);
            let words: Vec<u64> = (0..count).map(|_| input.number()).collect();
            let answer = timers.on_request(client, label, &words);
            let understood = label == OP_ARM && count == 1 && client < MAX_CLIENTS;
            assert_eq!(answer, if understood { 0 } else { MALFORMED });
            if understood {
                model.insert(client, words[0]);
                model.retain(|_, at| *at != NEVER);
            }
        } else {
            let now = input.number();
            let due = model.iter().filter(|(_, at)| **at <= now);
            let expected = due.fold(0, |set, (client, _)| set | 1 << client);
            assert_eq!(timers.take_expired(now), expected);
            model.retain(|_, at| *at > now);
        }
        assert_eq!(timers.next(), model.values().min().copied());
    }
}
