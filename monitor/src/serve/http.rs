//! The pages: the metrics, two for probes, and a list of them.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::SingleFlight;
use crate::discovery::Inventory;
use crate::metrics::{CONTENT_TYPE, Exposition};

/// What the pages show.
#[derive(Clone, Debug)]
pub struct Site {
    /// What a scrape shows.
    pub metrics: Arc<SingleFlight<Exposition>>,
    /// Decides readiness: the first discovery has ended.
    pub inventory: Arc<Inventory>,
    /// Path of the metrics.
    pub telemetry_path: Arc<str>,
}

/// The routes of all pages.
pub fn router(site: Site) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route(&site.telemetry_path, get(metrics))
        .with_state(site)
}

async fn metrics(State(site): State<Site>) -> Response {
    match site.metrics.get().await {
        Some(exposition) => {
            let body = Bytes::from_owner(Text(exposition));
            ([(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
        }
        None => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "the collection failed, see the log\n",
        )
            .into_response(),
    }
}

async fn ready(State(site): State<Site>) -> Response {
    if site.inventory.is_settled() {
        "ready\n".into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for the first discovery\n",
        )
            .into_response()
    }
}

async fn index(State(site): State<Site>) -> Html<String> {
    let path = &site.telemetry_path;
    Html(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <title>container-monitor</title></head>\n<body>\n<h1>container-monitor {version}</h1>\n\
         <ul>\n<li><a href=\"{path}\">Metrics</a></li>\n<li><a href=\"/healthz\">Health</a></li>\n\
         <li><a href=\"/readyz\">Readiness</a></li>\n</ul>\n</body>\n</html>\n",
        version = env!("CARGO_PKG_VERSION"),
    ))
}

/// An exposition as the owner of its bytes, so that scrapes that share a collection share its
/// memory.
struct Text(Arc<Exposition>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.text().as_bytes()
    }
}
