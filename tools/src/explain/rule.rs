//! Rules of `zazen check` by their codes.

use dt_server::{NODES, Rule};

use crate::check::{all_rules, link};

/// `what` as the code of a rule, with or without `zazen::` in front.
pub(super) fn explain(what: &str) -> Option<String> {
    let all = all_rules();
    let rule = all
        .iter()
        .find(|rule| rule.code == what || rule.code.strip_prefix("zazen::") == Some(what))?;
    let mut text = format!("{}: {}.\n", rule.code, rule.title);
    if !rule.text.is_empty() {
        text.push_str(&format!("{}\n", rule.text));
    }
    let known = Rule::ALL
        .iter()
        .find(|known| known.info().code == rule.code);
    let properties: Vec<&str> = NODES
        .iter()
        .flat_map(|node| node.properties)
        .filter(|property| known.is_some_and(|known| property.rules.contains(known)))
        .map(|property| property.name)
        .collect();
    if !properties.is_empty() {
        text.push_str(&format!("Properties: {}.\n", properties.join(", ")));
    }
    text.push_str(&format!("See {}.\n", link(rule.code)));
    Some(text)
}
