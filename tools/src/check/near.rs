//! Root nodes with a misspelt name, and overlays, which have none of the expected nodes.

use std::path::Path;

use dt_server::Rule;
use dtoolkit::Node;
use dtoolkit::fdt::Fdt;

use super::alike::alike;
use super::mistake::{Fix, Mistake, Severity, TextEdit};
use super::sources::point;
use super::tree::Source;
use crate::locate::Span;

/// Names that the rules look for.
const NAMES: [&str; 3] = ["chosen", "memory", "reserved-memory"];

/// Warns of nodes with such a name, and says where a file says that it is an overlay.
pub(super) fn tell(
    tree: Fdt<'_>,
    file: &Path,
    source: &mut Source<'_>,
    mistakes: &mut Vec<Mistake>,
) {
    for node in tree.root().children() {
        let name = node.name_without_address();
        let Some(meant) = alike(name, NAMES.into_iter()).filter(|meant| *meant != name) else {
            continue;
        };
        let path = format!("/{}", node.name());
        let at = source.place(&path, None);
        let fix = at.clone().map(|at| {
            let whole = node.name().replacen(name, meant, 1);
            Fix {
                summary: format!(
                    "replace `{}` by `{whole}` in line {}",
                    node.name(),
                    at.start.line
                ),
                edit: Some(TextEdit { at, text: whole }),
            }
        });
        // Other findings about it follow from its name.
        mistakes.retain(|mistake| mistake.path != path || mistake.severity == Severity::Error);
        mistakes.push(Mistake {
            severity: Severity::Warning,
            at,
            path: path.clone(),
            fix,
            ..Mistake::of_file(
                Rule::Unknown.info(),
                format!("{path}: no node of this name is known here, and it is ignored"),
                &format!("did you mean {meant}?"),
            )
        });
    }
    let overlay = mistakes
        .iter_mut()
        .find(|mistake| mistake.rule == Rule::NoDomain.info() && mistake.path == "/");
    if let Some(mistake) = overlay {
        mistake.at = plugin(&file.to_string_lossy(), source).or_else(|| mistake.at.take());
    }
}

/// Where a source says that it is an overlay.
fn plugin(file: &str, source: &mut Source<'_>) -> Option<Span> {
    const MARK: &str = "/plugin/";
    let text = source.sources.text(file)?;
    let start = text.find(MARK)?;
    Some(Span {
        file: file.to_owned(),
        start: point(text, start),
        end: point(text, start + MARK.len()),
    })
}
