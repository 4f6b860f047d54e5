//! `zazen check`.

use clap::Args;

use super::{DomainsFile, Outcome};
use crate::load::{LoadError, describe, load};
use crate::{generate, limits};

/// Tell every mistake in a domains file
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    domains: DomainsFile,
}

pub(super) fn run(arguments: &Arguments) -> Outcome {
    let DomainsFile { file, files, board } = &arguments.domains;
    let loaded = match load(file, files, board) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprint!("{error}");
            return match error {
                LoadError::Source(_) => Outcome::Failed,
                LoadError::Mistakes { .. } => Outcome::Bad,
            };
        }
    };
    eprint!("{}", describe(&loaded.config.warnings, &loaded.locations));
    let broken = limits::check(&generate::system(&loaded.config, board));
    if !broken.is_empty() {
        eprint!("{}", generate::GenerateError::Limits(broken));
        return Outcome::Bad;
    }
    for domain in &loaded.config.domains {
        let record = &domain.record;
        let source = if record.is_static {
            "static memory"
        } else {
            "heap"
        };
        println!(
            "domain {}: {}, {} MiB from {source}",
            record.domid,
            record.name,
            domain.ram() >> 20
        );
    }
    Outcome::Good
}
