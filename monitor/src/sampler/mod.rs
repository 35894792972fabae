//! Samplers: each reads one source of the kernel's numbers for all containers at once.
//!
//! [`namespace`] reads the counter files of `/proc`, [`transitions`] the eBPF program's map. A
//! sampler that fills [`Counters`](crate::metrics::Counters) from another source than the files
//! stands beside [`namespace`] and takes the same place in a collection.

pub mod namespace;
pub mod transitions;
