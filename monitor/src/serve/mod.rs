//! Handing the metrics out over HTTP.

pub mod http;
pub mod single_flight;

pub use http::{Site, router};
pub use single_flight::SingleFlight;
