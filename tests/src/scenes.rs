//! What is tested on booted images.

pub mod balloon;
pub mod budget;
pub mod compare;
pub mod crash;
pub mod fairness;
pub mod hostile;
pub mod lab;
pub mod memory;
pub mod probe;
pub mod processors;
pub mod reboot;
pub mod refused;
pub mod registers;
pub mod replaced;
pub mod shell;
pub mod smp;
pub mod store;
pub mod system_calls;
pub mod two_linux;
