//! What every request passes through: who may ask, how often, and what is added to the answer.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::users::Denied;
use super::{Web, WebConfig};
use crate::serve::http::HEALTH;

/// Lets a request through, or not. The page for health probes is for everybody: a kubelet has no
/// password.
pub async fn guard(State(web): State<Arc<Web>>, request: Request, next: Next) -> Response {
    let config = web.current().await;
    let refusal = match request.uri().path() {
        HEALTH => None,
        _ => {
            refusal(
                &config,
                request.headers().get(header::AUTHORIZATION).cloned(),
            )
            .await
        }
    };
    let mut response = match refusal {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    for (name, value) in config.headers() {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

async fn refusal(config: &WebConfig, authorization: Option<HeaderValue>) -> Option<Response> {
    if let Some(rate) = &config.rate
        && !rate.admits(Instant::now())
    {
        return Some(StatusCode::TOO_MANY_REQUESTS.into_response());
    }
    let users = config.users.as_ref()?;
    match users.check(authorization.as_ref()).await.err()? {
        Denied::Wrong => Some(said(
            StatusCode::UNAUTHORIZED,
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"container-monitor\""),
        )),
        Denied::Busy => Some(said(
            StatusCode::SERVICE_UNAVAILABLE,
            header::RETRY_AFTER,
            HeaderValue::from_static("1"),
        )),
    }
}

fn said(status: StatusCode, name: HeaderName, value: HeaderValue) -> Response {
    let reason = status.canonical_reason().unwrap_or_default();
    (status, [(name, value)], format!("{reason}\n")).into_response()
}
