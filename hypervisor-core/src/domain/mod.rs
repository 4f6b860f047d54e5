//! The guest as a whole: who it is and who its neighbours are.

pub mod peers;
