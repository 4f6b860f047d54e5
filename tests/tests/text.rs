//! How wide text is: comments 100 columns, Markdown 120, so that a page can be read beside another.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Columns of a comment in a source file.
const COMMENT: usize = 100;
/// Columns of a line of Markdown.
const MARKDOWN: usize = 120;
/// What no editor wraps: a line that is one word.
fn is_one_word(text: &str) -> bool {
    !text
        .trim_start_matches(['/', '!', '#', '*', '-', ' '])
        .trim()
        .contains(' ')
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the repository")
        .to_path_buf()
}

/// Every file that is committed, or would be; nothing where there is no git.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let listed = match listed {
        Ok(output) if output.status.success() => output.stdout,
        _ => return Vec::new(),
    };
    String::from_utf8_lossy(&listed)
        .lines()
        .map(|name| root().join(name))
        .collect()
}

/// Numbers of the lines that are too wide, of a file with this extension.
fn too_wide(extension: &str, text: &str) -> Vec<usize> {
    let (markers, most): (&[&str], usize) = match extension {
        "rs" => (&["//"], COMMENT),
        "sh" | "toml" => (&["#"], COMMENT),
        "md" => (&[""], MARKDOWN),
        _ => return Vec::new(),
    };
    let mut fenced = false;
    let mut wide = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let start = line.trim_start();
        if extension == "md" && start.starts_with("```") {
            fenced = !fenced;
        }
        let words = start.trim_start_matches(['/', '!']).trim_start();
        // Tables are one line a row, and code is as it is typed or printed.
        let free = fenced || words.starts_with('|') || is_one_word(start);
        if !free
            && markers.iter().any(|marker| start.starts_with(marker))
            && line.chars().count() > most
        {
            wide.push(number + 1);
        }
    }
    wide
}

#[test]
fn comments_and_pages_are_wrapped() {
    let mut faults = Vec::new();
    for path in files() {
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        // What does not read as text is none.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let name = path.strip_prefix(root()).unwrap_or(&path).display();
        let wide = too_wide(&extension, &text);
        faults.extend(wide.into_iter().map(|line| format!("{name}:{line}")));
    }
    assert!(
        faults.is_empty(),
        "comments have {COMMENT} columns and Markdown has {MARKDOWN}; wrap: {faults:#?}"
    );
}

#[test]
fn what_is_too_wide_is_found() {
    let wide = "word ".repeat(30);
    assert_eq!(
        too_wide("rs", &format!("/// ok\n    // {wide}\nlet x = \"{wide}\";")),
        [2]
    );
    assert_eq!(too_wide("rs", &format!("//! | {wide} |")), [0; 0]);
    assert_eq!(too_wide("sh", &format!("# {wide}\necho {wide}")), [1]);
    let page = format!(
        "{wide}\n```\n{wide}\n```\n| {wide} |\nhttps://{}",
        "x".repeat(200)
    );
    assert_eq!(too_wide("md", &page), [1]);
}
