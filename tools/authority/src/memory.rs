//! Which memory a frame or untyped is part of, by the names that Microkit and the image builder
//! give their objects.

use core::fmt;

use untyped_plan::Span;

use crate::spec::{Id, Kind, Object, Spec};

/// What a piece of memory is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum What {
    /// Untyped: RAM of the domain named and of no other.
    Static(String),
    /// Untyped: page tables of the domain named.
    Tables(String),
    /// Untyped: RAM and extra pages of any domain.
    Heap,
    /// Untyped: static shared memory, of the domains named and of no other.
    Shared {
        /// Its name.
        id: String,
        /// Who has it.
        domains: Vec<String>,
    },
    /// Untyped that the image builder did not name.
    Untyped(String),
    /// A memory region of the system description.
    Region(String),
    /// Program of a protection domain (PD).
    Program(String),
    /// Pages of their program that VMMs have together.
    VmmProgram,
    /// Stack of a PD.
    Stack(String),
    /// IPC buffer of a thread.
    IpcBuffer(String),
    /// Anything else.
    Other(String),
}

impl What {
    /// What `object` is part of; only frames and untypeds are memory.
    pub fn of(object: &Object) -> Option<Self> {
        let name = &object.name;
        match object.kind {
            Kind::Untyped => Some(Self::untyped(name)),
            Kind::Frame => Some(Self::frame(name)),
            _ => None,
        }
    }

    fn untyped(name: &str) -> Self {
        let ours = name.strip_prefix("untyped_zazen_");
        let purpose = ours.and_then(|rest| rest.split_once('_')).map(|p| p.1);
        match purpose.map(|purpose| purpose.split_once('_').unwrap_or((purpose, ""))) {
            Some(("static", domain)) => Self::Static(domain.to_owned()),
            Some(("tables", domain)) => Self::Tables(domain.to_owned()),
            Some(("heap", "")) => Self::Heap,
            // Neither `/` nor `:` can be in the name of a domain.
            Some(("shared", shared)) => match shared.split_once(':') {
                Some((domains, id)) => Self::Shared {
                    id: id.to_owned(),
                    domains: domains.split('/').map(str::to_owned).collect(),
                },
                None => Self::Untyped(name.to_owned()),
            },
            _ => Self::Untyped(name.to_owned()),
        }
    }

    fn frame(name: &str) -> Self {
        let rest = name.strip_prefix("frame_").unwrap_or(name);
        if let Some(thread) = rest.strip_prefix("ipcbuf_") {
            return Self::IpcBuffer(thread.to_owned());
        }
        // Microkit numbers the frames of a region with nine digits.
        let series = match rest.rsplit_once('_') {
            Some((series, digits)) if digits.bytes().all(|b| b.is_ascii_digit()) => series,
            _ => rest,
        };
        if let Some(region) = series.strip_prefix("mr_") {
            Self::Region(region.to_owned())
        } else if series == "zazen_vmms" {
            Self::VmmProgram
        } else if let Some(pd) = series.strip_prefix("elf_") {
            Self::Program(pd.to_owned())
        } else if let Some(pd) = series.strip_suffix("_stack") {
            Self::Stack(pd.to_owned())
        } else {
            Self::Other(series.to_owned())
        }
    }

    /// Whether it is untyped memory.
    pub fn is_untyped(&self) -> bool {
        matches!(
            self,
            Self::Static(_) | Self::Tables(_) | Self::Heap | Self::Shared { .. } | Self::Untyped(_)
        )
    }

    /// The region's name, if it is a region of the system description.
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Region(name) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Static(domain) => format!("static RAM of {domain}"),
            Self::Tables(domain) => format!("page tables of {domain}"),
            Self::Heap => "heap".to_owned(),
            Self::Shared { id, domains } => {
                format!("shared memory {id} of {}", domains.join(", "))
            }
            Self::Untyped(name) | Self::Region(name) | Self::Other(name) => name.clone(),
            Self::Program(pd) => format!("program of {pd}"),
            Self::VmmProgram => "program of all VMMs".to_owned(),
            Self::Stack(pd) => format!("stack of {pd}"),
            Self::IpcBuffer(thread) => format!("IPC buffer of {thread}"),
        };
        f.pad(&text)
    }
}

/// All frames, or all untypeds, of one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Memory {
    /// What it is.
    pub what: What,
    /// The objects.
    pub objects: Vec<Id>,
    /// Bytes of them together.
    pub bytes: u64,
    /// Where they lie as far as the specification says so: ascending, adjacent ones joined.
    pub spans: Vec<Span>,
}

/// The memory in `spec`: untyped memory first, then by name.
pub(crate) fn memories(spec: &Spec) -> Vec<Memory> {
    let mut by_what = std::collections::BTreeMap::<What, Vec<Id>>::new();
    for (id, object) in spec.objects() {
        if let Some(what) = What::of(object) {
            by_what.entry(what).or_default().push(id);
        }
    }
    by_what
        .into_iter()
        .map(|(what, objects)| {
            let all = || objects.iter().filter_map(|&id| spec.get(id));
            Memory {
                bytes: all().map(Object::bytes).fold(0, u64::saturating_add),
                spans: join(all().filter_map(Object::span).collect()),
                what,
                objects: objects.clone(),
            }
        })
        .collect()
}

/// `spans` in order, adjacent ones joined.
pub(crate) fn join(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort();
    let mut joined: Vec<Span> = Vec::new();
    for span in spans {
        match joined.last_mut() {
            Some(last) if last.end() == span.start() => {
                *last = Span::new(last.start(), span.end()).unwrap_or(span);
            }
            _ => joined.push(span),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_it_is() {
        for (name, text) in [
            ("frame_mr_console_linux1_000000003", "console_linux1"),
            (
                "frame_mr_module_initrd.cpio_000000000",
                "module_initrd.cpio",
            ),
            ("frame_elf_vmm_linux1_000000041", "program of vmm_linux1"),
            ("frame_zazen_vmms_000000041", "program of all VMMs"),
            ("frame_vmm_linux1_stack_000000001", "stack of vmm_linux1"),
            ("frame_ipcbuf_linux1_0", "IPC buffer of linux1_0"),
            ("frame_strange", "strange"),
        ] {
            assert_eq!(What::frame(name).to_string(), text);
        }
        for (name, text) in [
            ("untyped_zazen_000_static_linux_1", "static RAM of linux_1"),
            ("untyped_zazen_004_tables_a", "page tables of a"),
            ("untyped_zazen_006_heap", "heap"),
            (
                "untyped_zazen_007_shared_linux_1/b:a:c_d",
                "shared memory a:c_d of linux_1, b",
            ),
            ("untyped_zazen_007_shared_a", "untyped_zazen_007_shared_a"),
            ("untyped_zazen_006", "untyped_zazen_006"),
            ("untyped_extra_heap", "untyped_extra_heap"),
        ] {
            assert_eq!(What::untyped(name).to_string(), text);
        }
    }
}
