//! One virtual CPU: its timers, its translations, the exceptions that it takes.

pub mod inject;
pub mod ptimer;
pub mod time;
pub mod vtimer;
pub mod walk;
