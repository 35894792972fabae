//! Samplers: each reads one source of the kernel's numbers for all containers at once.
//!
//! [`counters`] brings the counters of network namespaces, from the kernel's own or from the files
//! of `/proc` ([`namespace`]); [`tcp_states`] the sockets by state; [`transitions`] what the
//! attached eBPF program counted. Whose a number is says [`places`].

pub mod counters;
pub mod facts;
pub mod namespace;
pub mod places;
pub mod tcp_states;
pub mod transitions;
