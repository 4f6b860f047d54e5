//! `zazen completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Outcome, Zazen, say};

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
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Zazen::command(), "zazen", &mut script);
    say(&String::from_utf8_lossy(&script));
    Outcome::Good
}
