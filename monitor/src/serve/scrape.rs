//! The metrics page: in which form, of which collectors, and until when.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tracing::debug;

use super::http::Site;
use super::negotiate::{self, Coding, Format};
use super::selection::selection;
use crate::metrics::owners::{Owners, Selection};
use crate::metrics::{CONTENT_TYPE, Exposition, openmetrics};

/// How long Prometheus waits, in seconds.
const TIMEOUT: &str = "X-Prometheus-Scrape-Timeout-Seconds";

/// A form of the metrics.
type Form = (Format, Coding, Selection);

/// Answers that are being made, so that scrapes that share a collection share them too.
#[derive(Debug, Default)]
pub struct Answers(Mutex<Latest>);

#[derive(Debug, Default)]
struct Latest {
    of: Weak<Exposition>,
    /// Held by those who wait for them alone: nothing lives on until the next scrape.
    forms: HashMap<Form, Weak<OnceCell<Bytes>>>,
}

/// `GET` of the metrics.
pub(super) async fn metrics(State(site): State<Site>, request: Request) -> Response {
    let asked = Instant::now();
    let headers = request.headers();
    let selection = match selection(request.uri().query(), &site.owners) {
        Ok(selection) => selection,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    let (format, escaping) = negotiate::format(headers);
    let Some(coding) = negotiate::coding(headers) else {
        let said = "there are the codings gzip, zstd and identity\n";
        return (StatusCode::NOT_ACCEPTABLE, said).into_response();
    };
    let exposition = match deadline(headers, site.timeout_offset) {
        None => site.metrics.get().await,
        Some(after) => match timeout_at(asked + after, site.metrics.get()).await {
            Ok(exposition) => exposition,
            Err(_) => site.progress.partial().map(Arc::new),
        },
    };
    let Some(exposition) = exposition else {
        return failed();
    };
    let form = (format, coding, selection);
    match site.answers.get(&exposition, form, &site.owners).await {
        Some(body) => answer(body, format, escaping, coding),
        None => failed(),
    }
}

fn failed() -> Response {
    let said = "the collection failed, see the log\n";
    (StatusCode::INTERNAL_SERVER_ERROR, said).into_response()
}

fn answer(body: Bytes, format: Format, escaping: Option<&'static str>, coding: Coding) -> Response {
    let mut media = match format {
        Format::Text => CONTENT_TYPE.to_owned(),
        Format::OpenMetrics => openmetrics::CONTENT_TYPE.to_owned(),
    };
    if let Some(escaping) = escaping {
        media.push_str("; escaping=");
        media.push_str(escaping);
    }
    let mut response = body.into_response();
    let headers = response.headers_mut();
    if let Ok(media) = HeaderValue::try_from(media) {
        headers.insert(header::CONTENT_TYPE, media);
    }
    let vary = HeaderValue::from_static("Accept, Accept-Encoding");
    headers.insert(header::VARY, vary);
    if let Some(name) = coding.name() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    }
    response
}

/// How long the answer may take: a little less than whoever asks waits. As in other exporters,
/// where the offset leaves nothing, it is not taken off, and what is no number says nothing.
fn deadline(headers: &HeaderMap, offset: Duration) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let seconds: f64 = text.trim().parse().ok()?;
    // Beyond a year it is none, and the sum with a moment might not be one.
    let limit = Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|limit| !limit.is_zero() && *limit < Duration::from_secs(365 * 86_400))?;
    Some(match limit.checked_sub(offset) {
        Some(left) if !left.is_zero() => left,
        _ => limit,
    })
}

impl Answers {
    /// The exposition in a form, made once for all who want it now.
    async fn get(
        &self,
        exposition: &Arc<Exposition>,
        form: Form,
        owners: &Arc<Owners>,
    ) -> Option<Bytes> {
        if form == (Format::Text, Coding::Identity, Selection::All) {
            return Some(Bytes::from_owner(Text(Arc::clone(exposition))));
        }
        let cell = self.cell(exposition, &form);
        let made = cell.get_or_try_init(|| {
            let (exposition, owners) = (Arc::clone(exposition), Arc::clone(owners));
            spawn_blocking(move || make(&exposition, &form, &owners))
        });
        match made.await {
            Ok(body) => Some(body.clone()),
            Err(error) => {
                debug!(%error, "an answer could not be made");
                None
            }
        }
    }

    fn cell(&self, exposition: &Arc<Exposition>, form: &Form) -> Arc<OnceCell<Bytes>> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.of.as_ptr() != Arc::as_ptr(exposition) {
            *latest = Latest {
                of: Arc::downgrade(exposition),
                forms: HashMap::new(),
            };
        }
        if let Some(cell) = latest.forms.get(form).and_then(Weak::upgrade) {
            return cell;
        }
        latest.forms.retain(|_, cell| cell.strong_count() > 0);
        let cell = Arc::default();
        latest.forms.insert(form.clone(), Arc::downgrade(&cell));
        cell
    }
}

fn make(exposition: &Exposition, (format, coding, selection): &Form, owners: &Owners) -> Bytes {
    let text = match format {
        Format::Text => match selection {
            Selection::All => return compressed(exposition.text().as_bytes(), *coding),
            Selection::Only(_) => owners.text(exposition, selection),
        },
        Format::OpenMetrics => openmetrics::write(exposition, selection, owners),
    };
    match coding {
        Coding::Identity => text.into(),
        _ => compressed(text.as_bytes(), *coding),
    }
}

fn compressed(text: &[u8], coding: Coding) -> Bytes {
    use std::io::Write as _;
    match coding {
        Coding::Identity => Bytes::copy_from_slice(text),
        Coding::Gzip => {
            let level = flate2::Compression::new(GZIP_LEVEL);
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            // Writing to memory does not fail.
            let written = encoder.write_all(text).and_then(|()| encoder.finish());
            written.unwrap_or_default().into()
        }
        Coding::Zstd => zstd::bulk::compress(text, ZSTD_LEVEL)
            .unwrap_or_default()
            .into(),
    }
}

/// Metrics repeat themselves so much that more than a little effort gains nothing: the figures are
/// in the tests' log (`compression_pays`).
const GZIP_LEVEL: u32 = 2;
const ZSTD_LEVEL: i32 = 1;

/// An exposition as the owner of its bytes, so that scrapes that share a collection share its
/// memory.
struct Text(Arc<Exposition>);

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.0.text().as_bytes()
    }
}

#[cfg(test)]
mod tests;
