//! A node of the tree together with its path, and typed reads of its properties that report what is
//! wrong.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dtoolkit::fdt::FdtNode;
use dtoolkit::{Node, Property, ToCellInt};

use crate::diag::{Diagnostic, Diagnostics, Edit, Hint, Rule, Severity};
use crate::range::Range;
use crate::text::{is_text_of_another_encoding, one_string, show, shown_name};

/// Most ranges one property may list (Xen's limit for memory banks).
pub(crate) const MAX_RANGES: usize = 256;

/// `#address-cells` and `#size-cells` in force for the children of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cells {
    pub(crate) address: u32,
    pub(crate) size: u32,
}

/// A node, its path, and the cells it sets for its children (inherited where it sets none, as Xen's
/// early scan does).
#[derive(Clone)]
pub(crate) struct At<'a> {
    pub(crate) node: FdtNode<'a>,
    pub(crate) path: String,
    pub(crate) cells: Cells,
}

impl<'a> At<'a> {
    pub(crate) fn root(node: FdtNode<'a>, d: &mut Diagnostics) -> Self {
        Self::with_cells(
            node,
            String::from("/"),
            Cells {
                address: 2,
                size: 1,
            },
            d,
        )
    }

    fn with_cells(node: FdtNode<'a>, path: String, inherited: Cells, d: &mut Diagnostics) -> Self {
        let mut at = Self {
            node,
            path,
            cells: inherited,
        };
        at.cells.address = at.cell_count("#address-cells", inherited.address, d);
        at.cells.size = at.cell_count("#size-cells", inherited.size, d);
        at
    }

    fn cell_count(&self, property: &'static str, inherited: u32, d: &mut Diagnostics) -> u32 {
        if !self.has(property) {
            return inherited;
        }
        match self.u32(property, Rule::Cells, d) {
            Some(cells @ 1..=2) => cells,
            Some(_) => {
                self.error(d, Rule::Cells, property, "must be 1 or 2", Hint::set("<2>"));
                inherited
            }
            None => inherited,
        }
    }

    /// Children whose cells matter; reports cells that are wrong.
    pub(crate) fn child(&self, node: FdtNode<'a>, d: &mut Diagnostics) -> Self {
        Self::with_cells(node, self.child_path(node), self.cells, d)
    }

    /// A child that has no children with addresses (modules, vCPUs): its cells are not looked at.
    pub(crate) fn leaf(&self, node: FdtNode<'a>) -> Self {
        Self {
            node,
            path: self.child_path(node),
            cells: self.cells,
        }
    }

    fn child_path(&self, node: FdtNode<'a>) -> String {
        let parent = if self.path == "/" { "" } else { &self.path };
        format!("{parent}/{}", shown_name(node.name()))
    }

    pub(crate) fn has(&self, property: &str) -> bool {
        self.bytes(property).is_some()
    }

    pub(crate) fn bytes(&self, property: &str) -> Option<&'a [u8]> {
        self.node
            .property(property)
            .and_then(|found| found.value_as::<&'a [u8]>().ok())
    }

    /// Whether `compatible` lists one of `names`.
    pub(crate) fn is_compatible(&self, names: &[&str]) -> bool {
        self.node
            .compatible()
            .is_some_and(|mut list| list.any(|entry| names.contains(&entry)))
    }

    /// Whether `status` is absent, "ok" or "okay".
    pub(crate) fn is_okay(&self) -> bool {
        self.bytes("status")
            .is_none_or(|value| value == b"okay\0" || value == b"ok\0")
    }

    /// A property of one cell; `None` where it is absent or, reported, of another length.
    pub(crate) fn u32(
        &self,
        property: &'static str,
        rule: Rule,
        d: &mut Diagnostics,
    ) -> Option<u32> {
        let value = self.bytes(property)?;
        let cell = value.try_into().ok().map(u32::from_be_bytes);
        if cell.is_none() {
            let what = match value.len() {
                0 => String::from("has no value, but must be one number of 32 bits"),
                length => format!("must be one number of 32 bits, not {length} bytes"),
            };
            self.error(
                d,
                rule,
                property,
                what,
                format!("write {property} = <number>"),
            );
        }
        cell
    }

    /// A property that is one string; `None` where it is absent or, reported, something else.
    pub(crate) fn str(
        &self,
        property: &'static str,
        rule: Rule,
        d: &mut Diagnostics,
    ) -> Option<&'a str> {
        let value = self.bytes(property)?;
        let text = one_string(value);
        if text.is_none() {
            let (what, hint) = if is_text_of_another_encoding(value) {
                ("is not in UTF-8", String::from("save the file in UTF-8"))
            } else {
                ("must be one string", format!("write {property} = \"text\""))
            };
            self.error(d, rule, property, what, hint);
        }
        text
    }

    /// A list of (address, size) in `cells`; reports what is no such list, and entries that are
    /// empty or wrap.
    pub(crate) fn ranges(
        &self,
        property: &'static str,
        cells: Cells,
        rule: Rule,
        d: &mut Diagnostics,
    ) -> Vec<Range> {
        let mut ranges = Vec::new();
        let Some(found) = self.node.property(property) else {
            return ranges;
        };
        let fields = [cells.address as usize, cells.size as usize];
        let entries = match found.as_prop_encoded_array(fields) {
            Ok(entries) if !found.value().is_empty() => entries,
            _ => {
                let value = found.value();
                let (what, hint) = if value.is_empty() {
                    (
                        String::from("has no value"),
                        "give an address and a size, or remove it",
                    )
                } else if one_string(value).is_some() {
                    (
                        String::from("is text, but must be a list of (address, size)"),
                        "write numbers in <>, without quotes",
                    )
                } else {
                    (
                        format!(
                            "{} bytes are no list of (address, size) with {} address and {} size cells",
                            value.len(),
                            cells.address,
                            cells.size
                        ),
                        "the cells of the node above the one with this property count, not its own",
                    )
                };
                self.error(d, rule, property, what, hint);
                return ranges;
            }
        };
        for [address, size] in entries {
            if ranges.len() == MAX_RANGES {
                let what = format!("lists more than {MAX_RANGES} ranges");
                self.error(
                    d,
                    Rule::TooManyRanges,
                    property,
                    what,
                    "join ranges that touch",
                );
                break;
            }
            let (Ok(start), Ok(size)) = (address.to_int::<u64>(), size.to_int::<u64>()) else {
                continue;
            };
            match Range::new(start, size) {
                Some(range) => ranges.push(range),
                // A host's tree may describe banks that this machine has not; Xen passes them over,
                // too.
                None if size == 0 && rule == Rule::HostMemory => {}
                None if size == 0 => {
                    let what = format!("the range at {start:#x} is empty: its size is 0");
                    let hint = "entries are <address size>: give a size, or remove the entry";
                    self.error(d, rule, property, what, hint);
                }
                None => {
                    let what = format!("{start:#x} with {size:#x} bytes passes the end of 64 bits");
                    self.error(d, rule, property, what, "entries are <address size>");
                }
            }
        }
        ranges
    }

    /// Whether the flag `property` is there; warns of a value, which Xen does not look at: `<0>`
    /// does not switch it off.
    pub(crate) fn flag(&self, property: &'static str, rule: Rule, d: &mut Diagnostics) -> bool {
        let Some(value) = self.bytes(property) else {
            return false;
        };
        if !value.is_empty() {
            let what = "is switched on by being there, whatever its value";
            let hint = Hint::Do(
                format!("write {property}; for on, and remove it for off"),
                Edit::Set {
                    property,
                    value: String::new(),
                },
            );
            // Whoever writes 0 means off.
            let hint = match value.iter().all(|byte| *byte == 0) {
                true => Hint::Do(
                    String::from("remove it if it is to be off"),
                    Edit::Remove(property),
                ),
                false => hint,
            };
            self.warn(d, rule, Some(property), what, hint);
        }
        true
    }

    /// Reports an error about `property`.
    pub(crate) fn error(
        &self,
        d: &mut Diagnostics,
        rule: Rule,
        property: &'static str,
        what: impl Into<String>,
        hint: impl Into<Hint>,
    ) {
        d.push(self.diagnostic(
            Severity::Error,
            rule,
            Some(property),
            what.into(),
            hint.into(),
        ));
    }

    /// Reports an error about the node.
    pub(crate) fn node_error(
        &self,
        d: &mut Diagnostics,
        rule: Rule,
        what: impl Into<String>,
        hint: impl Into<Hint>,
    ) {
        d.push(self.diagnostic(Severity::Error, rule, None, what.into(), hint.into()));
    }

    /// Reports a warning about `property`, or about the node.
    pub(crate) fn warn(
        &self,
        d: &mut Diagnostics,
        rule: Rule,
        property: Option<&'static str>,
        what: impl Into<String>,
        hint: impl Into<Hint>,
    ) {
        d.push(self.diagnostic(Severity::Warning, rule, property, what.into(), hint.into()));
    }

    /// Warns of the unknown property `name`.
    pub(crate) fn unknown_property(&self, name: &str, d: &mut Diagnostics) {
        let what = "is not known here and is ignored";
        let hint = Hint::from("check its spelling");
        let mut diagnostic =
            self.diagnostic(Severity::Warning, Rule::Unknown, None, what.into(), hint);
        diagnostic.property = Some(Cow::Owned(String::from(shown_name(name))));
        diagnostic.value = self.bytes(name).map(show);
        d.push(diagnostic);
    }

    /// A mistake to be completed by the caller; see [`At::error`].
    pub(crate) fn diagnostic(
        &self,
        severity: Severity,
        rule: Rule,
        property: Option<&'static str>,
        what: String,
        hint: Hint,
    ) -> Diagnostic {
        let value = property.and_then(|name| self.bytes(name)).map(show);
        let (hint, edit) = hint.resolve(property);
        Diagnostic {
            severity,
            rule,
            path: self.path.clone(),
            property: property.map(Cow::Borrowed),
            value,
            what,
            hint,
            edit,
            related: None,
        }
    }
}
