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
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

const AFTER: &str = "\
Examples:
  zazen man ~/.local/share/man/man1 && man zazen-check";

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let directory = &arguments.directory;
    match pages(directory) {
        Ok(()) => Outcome::Good,
        Err(error) => {
            eprintln!(
                "error: manual pages cannot be written to {}: {error}",
                directory.display()
            );
            Outcome::Failed
        }
    }
}

/// Writes the page of `zazen` and those of its commands.
fn pages(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let mut zazen = Zazen::command().disable_help_subcommand(true);
    zazen.build();
    page(&zazen, directory)?;
    zazen
        .get_subcommands()
        .try_for_each(|command| page(command, directory))
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
        pages(&directory).unwrap();
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
