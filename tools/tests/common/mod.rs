//! What the tests share.

use std::io::Write;
use std::process::Command;

/// Whether dtc is there; tells where nobody can overlook it that `test` is skipped if not.
pub(crate) fn has_dtc(test: &str) -> bool {
    let there = Command::new("dtc").arg("--version").output().is_ok();
    if !there {
        // Not eprintln: that is shown for failed tests only.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED {test}: dtc is missing (Debian: device-tree-compiler)"
        );
    }
    there
}
