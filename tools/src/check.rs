//! Reports every mistake in a domains file.
//!
//! The rules of the binding are the dt-server's ([`dt_server::Rule`]); what only the host can know
//! is added here: the source's syntax, and what the board has ([`HostRule`]). Each mistake has its
//! place in the source, the rule's stable code, and where there is one the change that mends it.

mod alike;
mod board;
mod cells;
mod contents;
mod decimal;
mod json;
mod missing;
mod mistake;
mod near;
mod partial;
mod rules;
mod show;
mod sources;
mod syntax;
mod tree;

pub use json::VERSION as JSON_VERSION;
pub use mistake::{Fix, Mistake, Related, Severity, TextEdit};
pub use rules::{HostRule, all as all_rules, link};
pub use show::Style;

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use ::board::Target;
use dt_server::{Config, Rule, survey};
use dtoolkit::fdt::Fdt;
use dtoolkit::{Node as _, Property as _};

use self::sources::Sources;
use self::tree::Source;
use crate::dtc::{self, DtcError, STDIN};
use crate::files::HostFiles;
use crate::load::MAGIC;
use crate::locate::Locations;

/// What is wrong with a domains file.
#[derive(Debug)]
pub struct Report {
    /// The file, as it was named.
    pub file: PathBuf,
    /// What it was checked for.
    pub target: Target,
    /// Errors, warnings, notes, in this order; each kind by its place.
    pub mistakes: Vec<Mistake>,
    /// Mistakes beyond those that are kept.
    pub dropped: usize,
    /// What the file says, if it has no errors.
    pub config: Option<Config>,
    /// Whether it could be looked at, at all.
    pub readable: bool,
    /// The files that it stands for: itself, those that it includes, and those of its modules that
    /// were found.
    pub inputs: Vec<PathBuf>,
    /// Where included files and files of modules are looked for first.
    directory: PathBuf,
    sources: Sources,
}

impl Report {
    /// How many mistakes of this severity there are.
    pub fn count(&self, severity: Severity) -> usize {
        self.mistakes
            .iter()
            .filter(|mistake| mistake.severity == severity)
            .count()
    }

    /// How many proposed changes are of included files.
    pub fn elsewhere(&self) -> usize {
        let file = self.file.to_string_lossy();
        let edits = self
            .mistakes
            .iter()
            .filter_map(|mistake| mistake.fix.as_ref()?.edit.as_ref());
        edits.filter(|edit| edit.at.file != file).count()
    }

    /// The changes that mend mistakes, applied to the text of the file itself (included files
    /// stay); those that would change what another one changes are left out.
    pub fn mended(&mut self) -> Option<String> {
        let file = self.file.to_string_lossy().into_owned();
        let edits = self
            .mistakes
            .iter()
            .filter_map(|mistake| mistake.fix.as_ref()?.edit.as_ref());
        let edits: Vec<TextEdit> = edits.filter(|edit| edit.at.file == file).cloned().collect();
        let text = self.sources.exact(&file)?;
        let mut placed: Vec<(usize, usize, String)> = edits
            .into_iter()
            .filter_map(|edit| {
                let (start, end) = sources::range(text, &edit.at)?;
                Some((start, end, edit.text))
            })
            .collect();
        placed.sort();
        placed.dedup();
        let mut mended = String::new();
        let mut done = 0;
        for (start, end, new) in placed {
            if start >= done {
                mended.push_str(&text[done..start]);
                mended.push_str(&new);
                done = end;
            }
        }
        mended.push_str(&text[done..]);
        Some(mended)
    }

    /// [`Report::mended`] again and again, because dtc stops at the first mistakes and the rules
    /// look at what dtc has read: the text that has the fewest errors, and what is wrong with it.
    pub fn mended_whole(&mut self, search: &[PathBuf]) -> Option<(String, Self)> {
        /// More than a person makes mistakes behind each other.
        const ROUNDS: usize = 32;
        let mut text = self.mended()?;
        let directory = self.directory.clone();
        let mut report = check_text(&text, &directory, search, self.target);
        for _ in 0..ROUNDS {
            let Some(next) = report.mended().filter(|next| *next != text) else {
                break;
            };
            let after = check_text(&next, &directory, search, self.target);
            let errors = |report: &Self| report.count(Severity::Error);
            // A syntax error may hide any number of other mistakes.
            let was_read = |report: &Self| {
                report
                    .mistakes
                    .iter()
                    .all(|m| !m.rule.code.starts_with("zazen::dts::"))
            };
            if was_read(&report) && (!was_read(&after) || errors(&after) > errors(&report)) {
                break;
            }
            (text, report) = (next, after);
        }
        Some((text, report))
    }

    fn new(file: PathBuf, directory: &Path, target: Target) -> Self {
        Self {
            file,
            directory: directory.to_path_buf(),
            target,
            mistakes: Vec::new(),
            dropped: 0,
            config: None,
            readable: true,
            inputs: Vec::new(),
            sources: Sources::default(),
        }
    }
}

/// Checks the domains file `path` for `target`: a DTB if it begins as one or is named `.dtb`, else
/// a DTS. `-` is standard input. Files that modules name are looked for next to it, then in each
/// directory of `search`.
pub fn check(path: &Path, search: &[PathBuf], target: impl Into<Target>) -> Report {
    let target = target.into();
    if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut bytes);
        return checked(
            PathBuf::from(STDIN),
            Path::new(""),
            read.map(|_| bytes),
            search,
            target,
        );
    }
    let directory = path.parent().unwrap_or(Path::new(""));
    checked(
        path.to_path_buf(),
        directory,
        fs::read(path),
        search,
        target,
    )
}

/// Checks `text` as a file in `directory`, which need not be there.
fn check_text(text: &str, directory: &Path, search: &[PathBuf], target: Target) -> Report {
    let bytes = text.as_bytes().to_vec();
    checked(PathBuf::from(STDIN), directory, Ok(bytes), search, target)
}

fn checked(
    file: PathBuf,
    directory: &Path,
    read: io::Result<Vec<u8>>,
    search: &[PathBuf],
    target: Target,
) -> Report {
    let board = target.board;
    let mut report = Report::new(file, directory, target);
    let Some((dtb, locations)) = compiled(read, &mut report) else {
        return report;
    };
    let directories = std::iter::once(directory.to_path_buf()).chain(search.iter().cloned());
    let directories: Vec<PathBuf> = directories.collect();
    let files = HostFiles::new(directories.clone(), false);
    let survey = survey(&dtb, &files, Some(target));
    let mut source = Source {
        locations: &locations,
        sources: &mut report.sources,
    };
    let diagnostics = match &survey.result {
        Ok(config) => &config.warnings,
        Err(diagnostics) => diagnostics,
    };
    report.dropped = diagnostics.dropped();
    let tree = Fdt::new(&dtb).ok();
    for found in diagnostics.iter() {
        let mut mistake = source.mistake(found);
        let name = tree
            .filter(|_| found.rule == Rule::FileMissing)
            .and_then(|tree| tree.find_node(&mistake.path)?.property("zazen,file"));
        if let Some(name) = name.as_ref().and_then(|name| name.value_as::<&str>().ok()) {
            let (what, hint) = missing::why(name, &directories);
            mistake.message = mistake.message.replace(found.what.as_str(), &what);
            mistake.hint = hint;
        }
        if found.rule == Rule::Fdt && std::str::from_utf8(&dtb).is_ok_and(|text| !text.is_empty()) {
            mistake.hint =
                String::from("this is text: name it .dts, and dtc will be asked to compile it");
        }
        report.mistakes.push(mistake);
    }
    let of_board = board::mistakes(&survey, tree, board, &mut source);
    report.mistakes.extend(of_board);
    if let Some(tree) = tree {
        let devices = partial::mistakes(tree, board, &files, &mut source);
        report.mistakes.extend(devices);
        cells::tell(tree, board, &mut source, &mut report.mistakes);
        contents::tell(tree, &files, &mut source, &mut report.mistakes);
        near::tell(tree, &report.file, &mut source, &mut report.mistakes);
    }
    decimal::tell(&mut source, &mut report.mistakes);
    report.inputs.extend(files.into_found().0.into_values());
    report.mistakes.sort_by_key(|mistake| {
        let at = mistake.at.as_ref().map(|at| (at.file.clone(), at.start));
        (mistake.severity, at)
    });
    if report.count(Severity::Error) == 0 {
        report.config = survey.result.ok();
    }
    report
}

/// The file as a DTB, and where in its source things are.
fn compiled(read: io::Result<Vec<u8>>, report: &mut Report) -> Option<(Vec<u8>, Locations)> {
    let path = report.file.clone();
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("{} cannot be read: {error}", path.display());
            let hint = match error.kind() {
                ErrorKind::IsADirectory => "name a file in it",
                _ => "check its name and where you are",
            };
            let mistake = Mistake::of_file(HostRule::Unreadable.info(), message, hint);
            report.mistakes.push(mistake);
            report.readable = false;
            return None;
        }
    };
    let named_dtb = path.extension().is_some_and(|extension| extension == "dtb");
    if named_dtb || bytes.starts_with(&MAGIC) {
        report.inputs.push(path);
        return Some((bytes, Locations::default()));
    }
    let is_text = path.as_os_str() == STDIN;
    let directory = report.directory.clone();
    if !is_text {
        report.inputs.push(path.clone());
    }
    let input = match is_text {
        true => dtc::Source::Text(&bytes, &directory),
        false => dtc::Source::File(&path),
    };
    let compiled = dtc::run(input, &["-O", "dtb"]);
    if compiled.is_ok() {
        report.inputs.extend(dtc::included(input));
    }
    let locations = match &compiled {
        Ok(_) => Locations::of(input),
        Err(_) => Locations::default(),
    };
    let file = path.to_string_lossy();
    if is_text {
        report.sources.set(&file, bytes.clone());
    }
    match compiled {
        Ok(dtb) => Some((dtb, locations)),
        Err(DtcError::Missing(message)) => {
            let mistake = Mistake::of_file(HostRule::NoCompiler.info(), message, "");
            report.mistakes.push(mistake);
            report.readable = false;
            None
        }
        Err(DtcError::Refused(said)) => {
            report.mistakes = syntax::mistakes(&said, &file, &bytes, &mut report.sources);
            None
        }
    }
}
