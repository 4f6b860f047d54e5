//! Finds the files that modules name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

use dt_server::{FileInfo, Files};

/// Files in a list of directories; the first directory that has one counts.
pub(crate) struct HostFiles {
    directories: Vec<PathBuf>,
    /// How missing files are treated: as missing, or as files of one page.
    assume: bool,
    found: RefCell<BTreeMap<String, PathBuf>>,
    missing: RefCell<Vec<String>>,
}

impl HostFiles {
    pub(crate) fn new(directories: Vec<PathBuf>, assume: bool) -> Self {
        Self {
            directories,
            assume,
            found: RefCell::default(),
            missing: RefCell::default(),
        }
    }

    /// The files that were asked for: those found, and names of those that were not.
    pub(crate) fn into_found(self) -> (BTreeMap<String, PathBuf>, Vec<String>) {
        let mut missing = self.missing.into_inner();
        missing.sort();
        missing.dedup();
        (self.found.into_inner(), missing)
    }

    /// Where the file is.
    #[cfg(feature = "cli")]
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.find(name).map(|(path, _)| path)
    }

    fn find(&self, name: &str) -> Option<(PathBuf, FileInfo)> {
        self.directories
            .iter()
            .map(|directory| directory.join(name))
            .find_map(|path| {
                // Checked before it is opened, because opening a pipe waits for a writer.
                let metadata = fs::metadata(&path).ok()?;
                if !metadata.is_file() {
                    return None;
                }
                let mut file = File::open(&path).ok()?;
                let mut head = [0; 64];
                let mut filled = 0;
                while filled < head.len() {
                    match file.read(&mut head[filled..]) {
                        Ok(0) => break,
                        Ok(count) => filled += count,
                        Err(_) => return None,
                    }
                }
                Some((
                    path,
                    FileInfo {
                        size: metadata.len(),
                        head: Some(head),
                    },
                ))
            })
    }
}

impl Files for HostFiles {
    fn probe(&self, name: &str) -> Option<FileInfo> {
        if let Some((path, info)) = self.find(name) {
            self.found.borrow_mut().insert(name.to_owned(), path);
            return Some(info);
        }
        self.missing.borrow_mut().push(name.to_owned());
        self.assume.then_some(FileInfo {
            size: 0x1000,
            head: None,
        })
    }
}
