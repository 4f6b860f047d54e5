//! `zazen man`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{Outcome, Zazen};

/// Write manual pages, one for each command, into a directory
#[derive(Args, Debug)]
#[command(after_long_help = AFTER)]
pub struct Arguments {
    /// The directory; it is made if it is not there
    ///
    /// Where it is a tree of manual pages, because it is called man or has a directory man1, the
    /// pages go into its man1.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

const AFTER: &str = "\
Examples:
  zazen man ~/.local/share/man && man zazen-check";

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let directory = &section(&arguments.directory);
    match pages(directory) {
        Ok(count) => {
            eprintln!("{count} manual pages written to {}", directory.display());
            Outcome::Good
        }
        Err(error) => {
            eprintln!(
                "error: manual pages cannot be written to {}: {error}",
                directory.display()
            );
            Outcome::Failed
        }
    }
}

/// Where pages of section 1 belong, if `directory` holds manual pages.
fn section(directory: &Path) -> PathBuf {
    let inner = directory.join("man1");
    match directory.ends_with("man") || inner.is_dir() {
        true => inner,
        false => directory.to_path_buf(),
    }
}

/// Writes the page of `zazen` and those of its commands; returns how many.
fn pages(directory: &Path) -> io::Result<usize> {
    fs::create_dir_all(directory)?;
    let mut zazen = Zazen::command().disable_help_subcommand(true);
    zazen.build();
    page(&zazen, directory)?;
    let mut count = 1;
    for command in zazen.get_subcommands() {
        page(command, directory)?;
        count += 1;
    }
    Ok(count)
}

/// One page. What stands below the options in the help are sections of their own here.
fn page(command: &Command, directory: &Path) -> io::Result<()> {
    let version = concat!("zazen ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).source(version).manual("Zazen");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let more = command.get_after_long_help();
    sections(
        &more.map(ToString::to_string).unwrap_or_default(),
        &mut text,
    )?;
    fs::write(directory.join(man.get_filename()), text)
}

/// `Heading:` and the indented lines below it, as sections with the lines as they are.
fn sections(text: &str, out: &mut impl Write) -> io::Result<()> {
    let mut open = false;
    for line in text.lines() {
        let heading = line.strip_suffix(':').filter(|_| !line.starts_with(' '));
        if let Some(heading) = heading {
            if open {
                writeln!(out, ".fi")?;
            }
            writeln!(out, ".SH {}\n.nf", heading.to_uppercase())?;
            open = true;
        } else {
            writeln!(out, "{}", roff(line.strip_prefix("  ").unwrap_or(line)))?;
        }
    }
    if open {
        writeln!(out, ".fi")?;
    }
    Ok(())
}

/// A line of text as roff has it.
fn roff(line: &str) -> String {
    let escaped = line.replace('\\', "\\e").replace('-', "\\-");
    // At the beginning of a line these would be requests.
    match escaped.starts_with(['.', '\'']) {
        true => format!("\\&{escaped}"),
        false => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_becomes_sections() {
        let mut out = Vec::new();
        sections("Exit status:\n  0  a-b\n\nFiles:\n  .x  c\\d", &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert_eq!(
            out,
            ".SH EXIT STATUS\n.nf\n0  a\\-b\n\n.fi\n.SH FILES\n.nf\n\\&.x  c\\ed\n.fi\n"
        );
    }

    #[test]
    fn every_command_has_a_page() {
        let directory = std::env::temp_dir().join(format!("zazen-man-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("other.1"), "").unwrap();
        assert_eq!(section(&directory), directory);
        let count = pages(&directory).unwrap();
        // What is there already stays, and pages are written anew.
        fs::remove_file(directory.join("other.1")).unwrap();
        assert_eq!(pages(&directory).unwrap(), count);
        fs::create_dir(directory.join("man1")).unwrap();
        assert_eq!(section(&directory), directory.join("man1"));
        assert_eq!(section(Path::new("/a/man")), Path::new("/a/man/man1"));
        fs::remove_dir(directory.join("man1")).unwrap();
        let mut names: Vec<String> = fs::read_dir(&directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let check = fs::read_to_string(directory.join("zazen-check.1")).unwrap();
        let _ = fs::remove_dir_all(&directory);
        let of = [
            "check",
            "completions",
            "explain",
            "generate",
            "inspect",
            "man",
        ];
        let mut wanted: Vec<String> = of.iter().map(|name| format!("zazen-{name}.1")).collect();
        wanted.push(String::from("zazen.1"));
        assert_eq!(names, wanted);
        for section in [
            "NAME",
            "SYNOPSIS",
            "OPTIONS",
            "EXIT STATUS",
            "EXAMPLES",
            "SEE ALSO",
        ] {
            assert!(check.contains(&format!(".SH {section}\n")), "{section}");
        }
        assert!(!check.contains(".SH EXTRA"));
    }
}
