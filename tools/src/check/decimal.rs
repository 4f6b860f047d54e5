//! Numbers in decimal that were meant in hexadecimal: 40000000 is no address, 0x40000000 is.

use dt_server::{Rule, RuleInfo};

use super::mistake::{Mistake, Severity};
use super::rules::HostRule;
use super::tree::Source;

/// Digits that such a number has at least.
const DIGITS: usize = 4;

/// Says so where a mistake is about a property with such numbers and would not be there with the
/// other ones.
pub(super) fn tell(source: &mut Source<'_>, mistakes: &mut [Mistake]) {
    for mistake in mistakes {
        let Some(property) = mistake
            .property
            .clone()
            .filter(|_| is_about_memory(mistake.rule))
        else {
            continue;
        };
        let Some(at) = source.locations.property(&mistake.path, &property).cloned() else {
            continue;
        };
        // A RAM size meant in KiB is some MiB.
        let (unit, least) = match property.as_str() {
            "memory" | "zazen,memory-max" => (0x400, 64 << 10),
            _ => (0x1000, 1),
        };
        let Some(text) = source.sources.slice(&at).map(str::to_owned) else {
            continue;
        };
        let Some((new, first)) = rewritten(&text, unit, least) else {
            continue;
        };
        mistake.hint = format!("{first} is decimal: did you mean 0x{first}?");
        // A warning is no proof that something else was meant.
        let fix = source.replacement(&mistake.path, &property, new);
        mistake.fix = fix.filter(|_| mistake.severity == Severity::Error);
    }
}

fn is_about_memory(rule: RuleInfo) -> bool {
    let tree = [
        Rule::HostMemory,
        Rule::NotRam,
        Rule::StaticMem,
        Rule::StaticHeap,
        Rule::StaticSum,
        Rule::BigPages,
        Rule::Memory,
        Rule::MemoryMax,
        Rule::KernelTooLarge,
        Rule::RamdiskOverlap,
        Rule::BankFull,
    ];
    let host = [HostRule::BoardRam, HostRule::Device];
    tree.iter().any(|other| other.info() == rule) || host.iter().any(|other| other.info() == rule)
}

/// `text` with each number that is no multiple of `unit`, and would be one of `least` or more in
/// hexadecimal, in hexadecimal; and the first of these.
fn rewritten(text: &str, unit: u64, least: u64) -> Option<(String, String)> {
    let mut new = String::new();
    let mut first = None;
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text;
    while let Some(begin) = rest.find(is_of_word) {
        let (before, word) = rest.split_at(begin);
        let (word, after) = word.split_at(word.find(|c| !is_of_word(c)).unwrap_or(word.len()));
        new.push_str(before);
        if word.len() >= DIGITS && is_meant_in_hex(word, unit, least) {
            first = first.or_else(|| Some(word.to_owned()));
            new.push_str("0x");
        }
        new.push_str(word);
        rest = after;
    }
    new.push_str(rest);
    Some((new, first?))
}

fn is_meant_in_hex(word: &str, unit: u64, least: u64) -> bool {
    let decimal = word.parse::<u64>().ok();
    let hex = u64::from(u32::from_str_radix(word, 16).unwrap_or(0));
    let is_decimal = word.bytes().all(|byte| byte.is_ascii_digit()) && !word.starts_with('0');
    is_decimal
        && decimal.is_some_and(|number| number % unit != 0)
        && hex >= least
        && hex % unit == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_hexadecimal() {
        let of = |text| rewritten(text, 0x1000, 1);
        let (new, first) = of("reg = <0x0 40000000 0 80000000>;").unwrap();
        assert_eq!(new, "reg = <0x0 0x40000000 0 0x80000000>;");
        assert_eq!(first, "40000000");
        let memory = |text| rewritten(text, 0x400, 0x10000);
        assert_eq!(memory("memory = <0 30000>;").unwrap().1, "30000");
        for text in [
            "memory = <0 0x30000>;",
            "memory = <0 196608>;",
            "memory = <0 192>;",
            "memory = <0 3000>;",
            "memory = <0 1234567>;",
            "reg = <0 99999999999>;",
        ] {
            assert_eq!(memory(text), None, "{text}");
        }
    }
}
