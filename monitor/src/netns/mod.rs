//! Network namespaces: who owns which, and what is read of each.

pub mod visit;
