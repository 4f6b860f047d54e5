//! Compiles, checks and completes a domains file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use board::Target;
use dt_server::{Config, Diagnostic, Diagnostics, parse_for};
use dtoolkit::fdt::Fdt;
use dtoolkit::model::{DeviceTree, DeviceTreeNode, DeviceTreeProperty};
use dtoolkit::{Node, Property};

use crate::dtc;
use crate::files::HostFiles;
use crate::locate::Locations;

/// The first bytes of a DTB (Devicetree Specification 0.4, 5.2).
pub(crate) const MAGIC: [u8; 4] = [0xd0, 0x0d, 0xfe, 0xed];

/// A domains file without mistakes.
#[derive(Debug)]
pub struct Loaded {
    /// The device tree as compiled.
    pub dtb: Vec<u8>,
    /// What it says.
    pub config: Config,
    /// Names of modules and the files that they stand for.
    pub files: BTreeMap<String, PathBuf>,
    /// Names of modules that no file was found for (only with [`Missing::Assume`]).
    pub missing: Vec<String>,
    /// Where in the source nodes and properties are.
    pub locations: Locations,
}

/// What happens if a file that a module names is nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// It is an error.
    Refuse,
    /// It is taken to be there; its size and format are not checked.
    Assume,
}

/// Why a domains file cannot be used.
#[derive(Debug)]
pub enum LoadError {
    /// It cannot be read or compiled; the text says why.
    Source(String),
    /// It has mistakes.
    Mistakes {
        /// The mistakes and warnings.
        diagnostics: Diagnostics,
        /// Where in the source they are.
        locations: Locations,
    },
}

impl fmt::Display for LoadError {
    /// Everything that is wrong, one line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(text) => writeln!(f, "error: {text}"),
            Self::Mistakes {
                diagnostics,
                locations,
            } => f.write_str(&describe(diagnostics, locations)),
        }
    }
}

impl core::error::Error for LoadError {}

/// `diagnostics`, one line each, with the source line in front where that is known.
pub fn describe(diagnostics: &Diagnostics, locations: &Locations) -> String {
    let line = |diagnostic: &Diagnostic| {
        let property = diagnostic.property.as_deref();
        match locations.find(&diagnostic.path, property) {
            Some(position) => format!("{position}: {diagnostic}\n"),
            None => format!("{diagnostic}\n"),
        }
    };
    let mut text: String = diagnostics.iter().map(line).collect();
    if diagnostics.dropped() > 0 {
        text.push_str(&format!("and {} more\n", diagnostics.dropped()));
    }
    text
}

/// Loads the domains file `path` for `target`: a DTB if it begins as one or is named `.dtb`, else a
/// DTS. Files that modules name are looked for next to it, then in each directory of `search`.
///
/// # Errors
/// [`LoadError`].
pub fn load(
    path: &Path,
    search: &[PathBuf],
    target: impl Into<Target>,
) -> Result<Loaded, LoadError> {
    load_with(path, search, target, Missing::Refuse)
}

/// [`load`] with a choice about files that are missing.
///
/// # Errors
/// [`LoadError`].
pub fn load_with(
    path: &Path,
    search: &[PathBuf],
    target: impl Into<Target>,
    missing: Missing,
) -> Result<Loaded, LoadError> {
    let bytes = fs::read(path);
    let bytes = bytes.map_err(|error| {
        LoadError::Source(format!("{} cannot be read: {error}", path.display()))
    })?;
    // As the checker sees it.
    let named_dtb = path.extension().is_some_and(|extension| extension == "dtb");
    let is_binary = named_dtb || bytes.starts_with(&MAGIC);
    let (dtb, locations) = if is_binary {
        (bytes, Locations::default())
    } else {
        (
            dtc::run(dtc::Source::File(path), &["-O", "dtb"])
                .map_err(|error| LoadError::Source(error.to_string()))?,
            Locations::of(dtc::Source::File(path)),
        )
    };
    let beside = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let directories = std::iter::once(beside)
        .chain(search.iter().cloned())
        .collect();
    let files = HostFiles::new(directories, missing == Missing::Assume);
    let config = match parse_for(&dtb, &files, Some(target)) {
        Ok(config) => config,
        Err(diagnostics) => {
            return Err(LoadError::Mistakes {
                diagnostics,
                locations,
            });
        }
    };
    let (files, missing) = files.into_found();
    Ok(Loaded {
        dtb,
        config,
        files,
        missing,
        locations,
    })
}

impl Loaded {
    /// The device tree for the image: `/chosen` names the board, and each module has its file's
    /// exact size in `zazen,size`.
    ///
    /// # Errors
    /// A file that has gone, in words.
    pub fn boot_dtb(&self) -> Result<Vec<u8>, String> {
        let size = self
            .dtb
            .get(4..8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u32::from_be_bytes);
        let tree = self
            .dtb
            .get(..size as usize)
            .ok_or("the device tree is cut off")?;
        let fdt = Fdt::new(tree).map_err(|error| error.to_string())?;
        let mut tree = DeviceTree::from_fdt(&fdt);
        if let Some(chosen) = tree.find_node_mut("/chosen") {
            let name = self.config.board.name;
            chosen.add_property(DeviceTreeProperty::new_unchecked(board::PROPERTY, name));
            if self.config.cores > 1 {
                let cores = u32::from(self.config.cores);
                let property = DeviceTreeProperty::new_unchecked(board::CORES_PROPERTY, cores);
                chosen.add_property(property);
            }
        }
        self.add_sizes(&mut tree.root)?;
        Ok(tree.to_dtb())
    }

    fn add_sizes(&self, node: &mut DeviceTreeNode) -> Result<(), String> {
        let shared = &*node;
        let file = Node::property(&shared, "zazen,file");
        let name = file.and_then(|file| file.value_as::<&str>().ok());
        if let Some(path) = name.and_then(|name| self.files.get(name)) {
            let metadata = fs::metadata(path);
            let metadata =
                metadata.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
            node.add_property(DeviceTreeProperty::new_unchecked(
                "zazen,size",
                metadata.len(),
            ));
        }
        node.children_mut()
            .try_for_each(|child| self.add_sizes(child))
    }
}
