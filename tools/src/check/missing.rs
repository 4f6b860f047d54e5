//! Why a module's file was not found.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::alike::alike;

/// Why there is no file `name` in `directories`, and what to try: what is wrong with the first
/// thing of this name, else where was looked, and which file there has a name much like it.
pub(super) fn why(name: &str, directories: &[PathBuf]) -> (String, String) {
    for path in directories.iter().map(|directory| directory.join(name)) {
        let what = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => "a directory",
            Ok(metadata) if !metadata.is_file() => "no regular file",
            Ok(_) => match File::open(&path) {
                Err(error) => {
                    let words = format!("the file \"{name}\" cannot be read: {error}");
                    return (words, format!("look at {}", path.display()));
                }
                Ok(_) => continue,
            },
            Err(_) => continue,
        };
        let hint = format!("name a file; {} is none", path.display());
        return (format!("\"{name}\" is {what}"), hint);
    }
    let looked: Vec<String> = directories.iter().map(|path| shown(path)).collect();
    let mut hint = format!(
        "put it next to the domains file, or name its directory with --files; looked in {}",
        looked.join(", ")
    );
    if let Some(like) = like(name, directories) {
        hint = format!("did you mean \"{like}\"? Else {hint}");
    }
    (format!("there is no file \"{name}\""), hint)
}

/// The name of a file in one of the directories that is much like `name`.
fn like(name: &str, directories: &[PathBuf]) -> Option<String> {
    // A name may have directories in it.
    let name = Path::new(name);
    let inner = name.parent()?;
    let name = name.file_name()?.to_str()?;
    let mut names: Vec<String> = directories
        .iter()
        .filter_map(|directory| fs::read_dir(or_here(&directory.join(inner))).ok())
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let like = alike(name, names.iter().map(String::as_str))?;
    inner.join(like).to_str().map(str::to_owned)
}

/// `directory`; an empty one is where the user is.
fn or_here(directory: &Path) -> &Path {
    match directory.as_os_str().is_empty() {
        true => Path::new("."),
        false => directory,
    }
}

/// A directory in words; that it is not there is why nothing was found in it.
fn shown(directory: &Path) -> String {
    let directory = or_here(directory);
    let name = directory.display();
    match directory.is_dir() {
        true => name.to_string(),
        false if directory.ends_with("build/guest/files") => {
            format!("{name} (not there yet: ./build.sh image makes it)")
        }
        false => format!("{name} (no such directory)"),
    }
}
