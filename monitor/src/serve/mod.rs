//! Handing the metrics out over HTTP.

mod connections;
pub mod http;
mod listen;
mod negotiate;
mod room;
mod scrape;
mod selection;
mod server;
pub mod single_flight;
pub mod web;

pub use http::{Site, router};
pub use listen::listen;
pub use scrape::Answers;
pub use server::Server;
pub use single_flight::SingleFlight;
