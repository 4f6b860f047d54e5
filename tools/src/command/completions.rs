//! `zazen completions`.

use std::io::stdout;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Outcome, Zazen};

/// Write completions for a shell to standard output
#[derive(Args, Debug)]
#[command(after_long_help = AFTER)]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

const AFTER: &str = "\
Examples:
  zazen completions bash > ~/.local/share/bash-completion/completions/zazen
  zazen completions zsh > ~/.zfunc/_zazen      (with ~/.zfunc in fpath)
  zazen completions fish > ~/.config/fish/completions/zazen.fish";

pub(super) fn run(arguments: &Arguments) -> Outcome {
    clap_complete::generate(
        arguments.shell,
        &mut Zazen::command(),
        "zazen",
        &mut stdout(),
    );
    Outcome::Good
}
