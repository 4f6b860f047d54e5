//! `zazen`: see [`zazen_tools::command`].

use std::process::ExitCode;

use clap::Parser;
use zazen_tools::command::Zazen;

fn main() -> ExitCode {
    Zazen::parse().run().into()
}
