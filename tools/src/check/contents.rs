//! What the files of modules are, from their contents: a kernel that no guest can be started with,
//! a RAM disk that no kernel unpacks. A person is told what the file is, and where it was found.

mod format;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use dt_server::Rule;
use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node, Property};

use self::format::{Format, Is};
use super::mistake::{Mistake, Severity};
use super::rules::HostRule;
use super::tree::{Source, subject};
use crate::files::HostFiles;

/// As much of a file as tells what it is: file systems say so at 1 KiB and at 64 KiB.
const HEAD: u64 = 0x1_1000;

/// Adds the findings about files whose contents are wrong, in place of the binding's rules about
/// a kernel's header.
pub(super) fn tell(
    tree: Fdt<'_>,
    files: &HostFiles,
    source: &mut Source<'_>,
    mistakes: &mut Vec<Mistake>,
) {
    let Some(chosen) = tree.find_node("/chosen") else {
        return;
    };
    let is = |node: &FdtNode<'_>, names: [&str; 2]| {
        let mut list = node.compatible().into_iter().flatten();
        list.any(|entry| names.contains(&entry))
    };
    for domain in chosen.children() {
        if !is(&domain, ["xen,domain", ""]) {
            continue;
        }
        for module in domain.children() {
            let name = module.property("zazen,file");
            let name = name.as_ref().and_then(|name| name.value_as::<&str>().ok());
            let Some(file) = name.and_then(|name| files.path(name)) else {
                continue;
            };
            let path = format!("/chosen/{}/{}", domain.name(), module.name());
            let Some(head) = head(&file) else { continue };
            let format = Format::of(&head);
            if is(&module, ["multiboot,kernel", "xen,linux-zimage"]) {
                kernel(&path, &file, &format, source, mistakes);
            } else if is(&module, ["multiboot,ramdisk", "xen,linux-initrd"]) {
                mistakes.extend(ramdisk(&path, &file, &format, source));
            }
        }
    }
}

fn head(file: &Path) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    let file = File::open(file).ok()?;
    file.take(HEAD).read_to_end(&mut head).ok()?;
    (!head.is_empty()).then_some(head)
}

/// A kernel that no loader of ours starts.
fn kernel(
    path: &str,
    file: &Path,
    format: &Format,
    source: &mut Source<'_>,
    mistakes: &mut Vec<Mistake>,
) {
    let is_told =
        |mistake: &&mut Mistake| mistake.rule == Rule::KernelFormat.info() && mistake.path == path;
    let message = format!(
        "{}: zazen,file: {} is {}",
        subject(path),
        file.display(),
        format.what
    );
    match (mistakes.iter_mut().find(is_told), format.is) {
        (Some(told), is) if is != Is::Kernel => {
            told.message = message;
            told.hint = format.for_kernel();
        }
        (None, Is::BigEndian) => mistakes.push(mistake(
            Rule::KernelFormat.info(),
            Severity::Error,
            path,
            message,
            &format.for_kernel(),
            source,
        )),
        _ => {}
    }
}

/// A RAM disk that is none.
fn ramdisk(path: &str, file: &Path, format: &Format, source: &mut Source<'_>) -> Option<Mistake> {
    if matches!(format.is, Is::Archive | Is::Compressed(_) | Is::FileSystem) {
        return None;
    }
    let message = format!(
        "{}: zazen,file: {} is {}, and neither a cpio archive nor a compressed one",
        subject(path),
        file.display(),
        format.what
    );
    Some(mistake(
        HostRule::RamdiskFormat.info(),
        Severity::Warning,
        path,
        message,
        format.for_ramdisk(),
        source,
    ))
}

fn mistake(
    rule: dt_server::RuleInfo,
    severity: Severity,
    path: &str,
    message: String,
    hint: &str,
    source: &mut Source<'_>,
) -> Mistake {
    Mistake {
        severity,
        at: source.place(path, Some("zazen,file")),
        path: path.to_owned(),
        property: Some(String::from("zazen,file")),
        ..Mistake::of_file(rule, message, hint)
    }
}
