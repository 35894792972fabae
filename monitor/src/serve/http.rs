//! The pages: the metrics, two for probes, and a list of them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use super::SingleFlight;
use super::scrape::{Answers, metrics};
use super::web::{Web, guard};
use crate::collector::Progress;
use crate::discovery::Inventory;
use crate::metrics::Exposition;
use crate::metrics::owners::Owners;

/// Path of the page that says that the process serves.
pub const HEALTH: &str = "/healthz";

/// What the pages show.
#[derive(Clone, Debug)]
pub struct Site {
    /// What a scrape shows.
    pub metrics: Arc<SingleFlight<Exposition>>,
    /// What it shows where the scrape cannot wait for all of it.
    pub progress: Arc<Progress>,
    /// Which collector a series is of.
    pub owners: Arc<Owners>,
    /// Forms of the metrics that are being made.
    pub answers: Arc<Answers>,
    /// How much sooner than whoever asks gives up there is an answer.
    pub timeout_offset: Duration,
    /// Decides readiness: the first discovery has ended.
    pub inventory: Arc<Inventory>,
    /// Path of the metrics.
    pub telemetry_path: Arc<str>,
}

/// The routes of all pages, behind what `web` demands.
pub fn router(site: Site, web: Arc<Web>) -> Router {
    Router::new()
        .route("/", get(index))
        .route(HEALTH, get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route(&site.telemetry_path, get(metrics))
        .with_state(site)
        .layer(from_fn_with_state(web, guard))
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
