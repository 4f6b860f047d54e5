//! Writes a system as Microkit's XML.

use std::fmt::Write;

use crate::system::{Channel, End, Map, Pd, Region, System};

/// The system description; `about` is the comment at its top.
pub(crate) fn write(system: &System, about: &str) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    comment(&mut xml, 0, about);
    xml.push_str("<system>\n");
    for region in &system.regions {
        write_region(&mut xml, region);
    }
    for pd in system.pds.iter().filter(|pd| pd.parent.is_none()) {
        xml.push('\n');
        write_pd(&mut xml, 1, pd, &system.pds);
    }
    xml.push('\n');
    for channel in &system.channels {
        write_channel(&mut xml, channel);
    }
    xml.push_str("</system>\n");
    xml
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn line(xml: &mut String, depth: usize, text: &str) {
    let _ = writeln!(xml, "{:1$}{text}", "", depth * 4);
}

/// A comment, wrapped to one line for each line of `text`; two hyphens in a row would end it.
fn comment(xml: &mut String, depth: usize, text: &str) {
    let text = text.replace("--", "-");
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.as_mut_slice() {
        [] => {}
        [one] => line(xml, depth, &format!("<!-- {one} -->")),
        many => {
            line(xml, depth, "<!--");
            for text in many {
                line(xml, depth + 1, text);
            }
            line(xml, depth, "-->");
        }
    }
}

fn attributes(list: &[(&str, Option<String>)]) -> String {
    let present = list
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    present
        .map(|(name, value)| format!(" {name}=\"{}\"", escape(value)))
        .collect()
}

fn hex(number: u64) -> String {
    format!("{number:#x}")
}

fn flag(set: bool, text: &str) -> Option<String> {
    set.then(|| text.to_owned())
}

fn write_region(xml: &mut String, region: &Region) {
    comment(xml, 1, &region.comment);
    let list = attributes(&[
        ("name", Some(region.name.clone())),
        ("size", region.size.map(hex)),
        ("page_size", region.page_size.map(hex)),
        ("phys_addr", region.phys_addr.map(hex)),
        ("prefill_path", region.prefill.clone()),
    ]);
    line(xml, 1, &format!("<memory_region{list} />"));
}

fn write_map(xml: &mut String, depth: usize, map: &Map) {
    let list = attributes(&[
        ("mr", Some(map.region.clone())),
        ("vaddr", Some(hex(map.vaddr))),
        ("perms", Some(map.perms.to_owned())),
        ("cached", flag(!map.cached, "false")),
        ("setvar_size", map.size_symbol.map(str::to_owned)),
        ("setvar_vaddr", map.vaddr_symbol.map(str::to_owned)),
    ]);
    line(xml, depth, &format!("<map{list} />"));
}

/// A protection domain with its children among `all`.
fn write_pd(xml: &mut String, depth: usize, pd: &Pd, all: &[Pd]) {
    comment(xml, depth, &pd.comment);
    let list = attributes(&[
        ("name", Some(pd.name.clone())),
        ("id", pd.parent.as_ref().map(|(_, id)| id.to_string())),
        ("priority", Some(pd.priority.to_string())),
        ("budget", Some(pd.time.budget.to_string())),
        ("period", Some(pd.time.period.to_string())),
        ("stack_size", Some(hex(pd.stack))),
        ("cpu", pd.core.map(|core| core.to_string())),
    ]);
    line(xml, depth, &format!("<protection_domain{list}>"));
    line(
        xml,
        depth + 1,
        &format!("<program_image path=\"{}\" />", escape(&pd.image)),
    );
    for map in &pd.maps {
        write_map(xml, depth + 1, map);
    }
    for (irq, id) in &pd.irqs {
        line(
            xml,
            depth + 1,
            &format!("<irq irq=\"{irq}\" id=\"{id}\" />"),
        );
    }
    if let Some(vm) = &pd.vm {
        let list = attributes(&[
            ("name", Some(vm.name.clone())),
            ("priority", Some(vm.priority.to_string())),
            ("budget", Some(vm.time.budget.to_string())),
            ("period", Some(vm.time.period.to_string())),
        ]);
        line(xml, depth + 1, &format!("<virtual_machine{list}>"));
        for (id, core) in &vm.vcpus {
            let core = core.map(|core| core.to_string());
            let list = attributes(&[("id", Some(id.to_string())), ("cpu", core)]);
            line(xml, depth + 2, &format!("<vcpu{list} />"));
        }
        for map in &vm.maps {
            write_map(xml, depth + 2, map);
        }
        line(xml, depth + 1, "</virtual_machine>");
    }
    let is_child = |child: &&Pd| matches!(&child.parent, Some((parent, _)) if *parent == pd.name);
    for child in all.iter().filter(is_child) {
        xml.push('\n');
        write_pd(xml, depth + 1, child, all);
    }
    line(xml, depth, "</protection_domain>");
}

fn write_channel(xml: &mut String, channel: &Channel) {
    line(xml, 1, "<channel>");
    for End { pd, id, pp, notify } in [&channel.a, &channel.b] {
        let list = attributes(&[
            ("pd", Some(pd.clone())),
            ("id", Some(id.to_string())),
            ("pp", flag(*pp, "true")),
            ("notify", flag(!notify, "false")),
        ]);
        line(xml, 2, &format!("<end{list} />"));
    }
    line(xml, 1, "</channel>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_cannot_break_out() {
        let mut xml = String::new();
        comment(&mut xml, 0, "a --> b");
        assert_eq!(xml, "<!-- a -> b -->\n");
        assert_eq!(
            attributes(&[("x", Some("a\"<&>".into())), ("y", None)]),
            " x=\"a&quot;&lt;&amp;&gt;\""
        );
    }
}
