//! What is wrong with a domains file, and what to try.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Most errors, and most warnings, that are kept; further ones are only counted.
pub const MAX_DIAGNOSTICS: usize = 64;
/// Bytes of a text that are kept. An edit with a longer value is left out: half an edit mends
/// nothing.
const TEXT_MAX: usize = 240;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// No domain starts.
    Error,
    /// The domains start, but a guest may not get what was written.
    Warning,
}

/// Which rule of the binding was broken (dom0less-dt, by section), or which part of it is not
/// supported yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(
    missing_docs,
    reason = "each is named after the property or node that it is about"
)]
pub enum Rule {
    // The tree and the host.
    Fdt,
    Truncated,
    Nesting,
    NodeName,
    Cells,
    Status,
    Unknown,
    HostMemory,
    Board,
    ReservedMemory,
    StaticHeap,
    Heap,
    TooManyRanges,
    NotRam,
    Overlap,
    HeapTooSmall,
    // /chosen.
    NoDomain,
    TooManyDomains,
    Dom0,
    XenOptions,
    CpuPool,
    Xsm,
    // A domain.
    Name,
    Memory,
    Banks,
    MemoryMax,
    Cpus,
    Vpl011,
    NrSpis,
    StaticMem,
    StaticSum,
    BigPages,
    DirectMap,
    Enhanced,
    Console,
    Passthrough,
    Capabilities,
    P2mMemory,
    GrantVersion,
    GrantFrames,
    Maptrack,
    TrapUnmapped,
    Sve,
    LlcColors,
    Sci,
    V8r,
    Vcpu,
    CpuBudget,
    CpuPeriod,
    CpuMixed,
    CpuTurn,
    CpuSum,
    CpuLate,
    SharedMemoryRegion,
    SharedMemoryOwner,
    SharedMemoryPlace,
    StaticEvtchn,
    EvtchnLink,
    // Disks.
    DiskSource,
    DiskPart,
    DiskShared,
    DiskCount,
    DiskStore,
    // Network interfaces.
    NetNetwork,
    NetMac,
    NetCount,
    NetStore,
    NetUplink,
    PairDomains,
    PairEvents,
    PairGrants,
    // Modules.
    NoKernel,
    ModuleKind,
    ModuleTwice,
    ModuleReg,
    ModuleFile,
    FileMissing,
    FileSize,
    KernelFormat,
    Bootargs,
    KernelTooLarge,
    RamdiskOverlap,
    BankFull,
}

/// A change of the node that a mistake is in, which would mend it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Edit {
    /// Give the property this value, or add it with this value.
    Set {
        /// The property.
        property: &'static str,
        /// The value as a DTS has it; empty for a property without one.
        value: String,
    },
    /// Remove the property.
    Remove(&'static str),
    /// Remove the node.
    RemoveNode,
    /// Add a child node.
    AddNode(&'static str),
}

/// Another place that a mistake is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Path of the node.
    pub path: String,
    /// The property, where it is about one.
    pub property: Option<&'static str>,
    /// What is there, in words.
    pub note: String,
}

/// One mistake.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The rule.
    pub rule: Rule,
    /// Path of the node in the device tree.
    pub path: String,
    /// The property, where it is about one.
    pub property: Option<Cow<'static, str>>,
    /// The property's value as written, shortened; `None` where it is absent.
    pub value: Option<String>,
    /// What is wrong, in words.
    pub what: String,
    /// What to try; may be empty.
    pub hint: String,
    /// The change that `hint` is about, where it is one.
    pub edit: Option<Edit>,
    /// With what it collides, or what else it depends on.
    pub related: Option<Place>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}: {}: ", self.path)?;
        match (&self.property, &self.value) {
            (Some(property), Some(value)) if value.is_empty() => write!(f, "{property}: ")?,
            (Some(property), Some(value)) => write!(f, "{property} = {value}: ")?,
            (Some(property), None) => write!(f, "{property}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.what)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        Ok(())
    }
}

/// A bounded list of mistakes, errors and warnings apart, in the order found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Diagnostics {
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    dropped_errors: usize,
    dropped_warnings: usize,
}

impl Diagnostics {
    /// The errors that were kept.
    pub fn errors(&self) -> &[Diagnostic] {
        &self.errors
    }
    /// The warnings that were kept.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
    /// Errors, then warnings.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.errors.iter().chain(&self.warnings)
    }
    /// Whether there is neither error nor warning.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty() && self.warnings.is_empty()
    }
    /// Whether there is an error.
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }
    /// Errors and warnings that were found but not kept.
    pub fn dropped(&self) -> usize {
        self.dropped_errors.saturating_add(self.dropped_warnings)
    }

    /// Errors found so far, kept or not.
    pub(crate) fn error_count(&self) -> usize {
        self.errors.len().saturating_add(self.dropped_errors)
    }

    /// Counts errors that are dropped because the list is full.
    pub(crate) fn drop_errors(&mut self, count: usize) {
        self.dropped_errors = self.dropped_errors.saturating_add(count);
    }

    pub(crate) fn push(&mut self, mut diagnostic: Diagnostic) {
        for text in [
            &mut diagnostic.path,
            &mut diagnostic.what,
            &mut diagnostic.hint,
        ] {
            shorten(text);
        }
        if let Some(value) = &mut diagnostic.value {
            shorten(value);
        }
        if let Some(place) = &mut diagnostic.related {
            shorten(&mut place.path);
            shorten(&mut place.note);
        }
        diagnostic.edit = diagnostic
            .edit
            .filter(|edit| !matches!(edit, Edit::Set { value, .. } if value.len() > TEXT_MAX));
        let (list, dropped) = match diagnostic.severity {
            Severity::Error => (&mut self.errors, &mut self.dropped_errors),
            Severity::Warning => (&mut self.warnings, &mut self.dropped_warnings),
        };
        if list.len() < MAX_DIAGNOSTICS {
            list.push(diagnostic);
        } else {
            *dropped = dropped.saturating_add(1);
        }
    }
}

impl fmt::Display for Diagnostics {
    /// One line for each, and one for those that were dropped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for diagnostic in self.iter() {
            writeln!(f, "{diagnostic}")?;
        }
        if self.dropped() > 0 {
            writeln!(
                f,
                "and {} more errors, {} more warnings",
                self.dropped_errors, self.dropped_warnings
            )?;
        }
        Ok(())
    }
}

fn shorten(text: &mut String) {
    if text.len() > TEXT_MAX {
        let mut end = TEXT_MAX;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
}

/// What to try, in words or as a change of the property that a mistake is about.
pub(crate) enum Hint {
    Say(String),
    Set(String),
    Remove,
    /// Words, and the change that they are about.
    Do(String, Edit),
}

impl Hint {
    /// Give the property the value `value`.
    pub(crate) fn set(value: impl Into<String>) -> Self {
        Self::Set(value.into())
    }

    /// The words and the change for a mistake about `property`.
    pub(crate) fn resolve(self, property: Option<&'static str>) -> (String, Option<Edit>) {
        match (self, property) {
            (Self::Say(text), _) => (text, None),
            (Self::Do(text, edit), _) => (text, Some(edit)),
            (Self::Remove, property) => (String::from("remove it"), property.map(Edit::Remove)),
            (Self::Set(value), Some(property)) => {
                let equals = if value.is_empty() { "" } else { " = " };
                (
                    format!("write {property}{equals}{value}"),
                    Some(Edit::Set { property, value }),
                )
            }
            (Self::Set(value), None) => (value, None),
        }
    }
}

impl From<&str> for Hint {
    fn from(text: &str) -> Self {
        Self::Say(String::from(text))
    }
}

impl From<String> for Hint {
    fn from(text: String) -> Self {
        Self::Say(text)
    }
}
