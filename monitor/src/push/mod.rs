//! Collections that are sent rather than asked for: to open-falcon and over OTLP.
//!
//! A push is made from the same [`Exposition`] as a scrape, by the same
//! single flight, so that both show the same numbers. [`driver`] has the interval, the queue, its
//! bound and the retries; [`falcon`] and [`otlp`] say what is sent and what an answer means.

mod client;
pub mod counts;
pub mod driver;
pub mod falcon;
mod lookup;
pub mod otlp;
mod target;

use std::time::{Duration, SystemTime};

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};

use crate::metrics::Exposition;
pub use target::{Target, TargetError, shown};

/// One request's worth of samples, ready to be sent.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The body.
    pub body: Bytes,
    /// The samples in it.
    pub samples: u64,
}

/// What a collection became.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// What is to be sent, in order.
    pub batches: Vec<Batch>,
    /// Samples that cannot be expressed.
    pub dropped: u64,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The batch was taken, but for so many samples, for the reason beside them.
    Taken {
        /// Samples that were not taken.
        rejected: u64,
        /// What the receiver says about them.
        reason: String,
    },
    /// It will not be taken at another time either.
    Refused,
    /// It may be taken later, at the earliest after the time the receiver gave.
    Later(Option<Duration>),
}

/// A receiver's answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// `Retry-After`, in whichever of its forms.
    pub retry_after: Option<Duration>,
    /// Its body, as far as it was read.
    pub body: Bytes,
}

/// A protocol.
pub trait Protocol: Send + Sync + 'static {
    /// How it is called in the log.
    const NAME: &'static str;

    /// The headers of every request.
    fn headers(&self) -> &[(HeaderName, HeaderValue)];

    /// Writes a collection that was made at `time`.
    fn encode(&self, exposition: &Exposition, time: SystemTime) -> Encoded;

    /// Reads an answer.
    fn verdict(&self, answer: &Answer) -> Verdict;
}
