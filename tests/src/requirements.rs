//! The requirements on memory, and which code and which tests carry their numbers.
//!
//! [`list`] names each requirement in a few words. [`scan()`] finds the numbers in the sources:
//! code that implements one names it in a comment, a test that shows one names it at the start of
//! its doc comment (`/// SM-4, SM-22: …`) or at the end of its name (`…_sm_4`). [`table()`] makes
//! of both what docs/requirements.md holds.

pub mod list;
pub mod scan;
pub mod table;

pub use list::{Level, REQUIREMENTS, Requirement};
pub use scan::{Found, scan};
pub use table::{gaps, table};
