//! What the log says of a push: where it goes, and once what goes wrong.

use std::io;

use tracing::{debug, info, warn};

/// What goes wrong: as long as it is the same, it is said once. The text of an answer is no part
/// of it, which may have a time or a number in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A collection cannot be written down.
    Encoding,
    /// There is no answer; an error's step, and what the system calls it.
    NoAnswer(String, Option<io::ErrorKind>),
    /// There is one, and it is not taken.
    Status(u16),
    /// Some samples are not taken.
    Rejected,
}

impl Trouble {
    pub(super) fn no_answer(error: &anyhow::Error) -> Self {
        let system = error.chain().find_map(|cause| cause.downcast_ref());
        Self::NoAnswer(error.to_string(), system.map(io::Error::kind))
    }
}

/// The lines of one push.
#[derive(Debug)]
pub(super) struct Log {
    receiver: &'static str,
    target: String,
    /// What stands there of the trouble that lasts.
    said: Option<Trouble>,
    /// The last collection of which samples were not taken, where that is the trouble: others of
    /// it may well be.
    lost_of: Option<u64>,
    /// It stands there that samples are given up, and the queue was not empty since.
    overflows: bool,
}

impl Log {
    /// Of what is sent to `receiver` at `target`, where no secret is.
    pub(super) fn new(receiver: &'static str, target: String) -> Self {
        Self {
            receiver,
            target,
            said: None,
            lost_of: None,
            overflows: false,
        }
    }

    /// Says that samples of a collection are not taken, once as long as it is for the same reason.
    pub(super) fn lost(&mut self, collection: u64, trouble: Trouble, reason: &str) {
        self.trouble(trouble, reason);
        self.lost_of = Some(collection);
    }

    /// A batch of a collection was taken, the last one or not.
    pub(super) fn taken(&mut self, collection: u64, is_last: bool) {
        match self.lost_of {
            Some(lost_of) if !is_last || lost_of == collection => {}
            _ => self.well(),
        }
    }

    /// Says what is wrong, once as long as it is the same.
    pub(super) fn trouble(&mut self, trouble: Trouble, reason: &str) {
        let Self {
            receiver, target, ..
        } = &*self;
        if self.said.as_ref() == Some(&trouble) {
            debug!(receiver, target, reason, "push failed again");
            return;
        }
        warn!(receiver, target, reason, "push failed");
        self.said = Some(trouble);
        self.lost_of = None;
    }

    fn well(&mut self) {
        self.lost_of = None;
        if self.said.take().is_some() {
            info!(
                receiver = self.receiver,
                target = self.target,
                "push is taken again"
            );
        }
    }

    /// Samples had to go for newer ones.
    pub(super) fn overflow(&mut self, samples: u64) {
        if !std::mem::replace(&mut self.overflows, true) {
            warn!(
                receiver = self.receiver,
                target = self.target,
                samples,
                "more waits to be pushed than is kept, the oldest samples are given up"
            );
        }
    }

    /// Nothing waits any more.
    pub(super) fn empty(&mut self) {
        self.overflows = false;
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn errors_are_the_same_or_not() {
        let error = |kind: io::ErrorKind, text: &str, step: &'static str| {
            let error = Err::<(), _>(io::Error::new(kind, text.to_owned()));
            Trouble::no_answer(&error.context(step).unwrap_err())
        };
        let refused = error(io::ErrorKind::ConnectionRefused, "1", "cannot connect");
        assert_eq!(
            refused,
            error(io::ErrorKind::ConnectionRefused, "2", "cannot connect")
        );
        assert_ne!(
            refused,
            error(io::ErrorKind::TimedOut, "1", "cannot connect")
        );
        assert_ne!(
            refused,
            error(io::ErrorKind::ConnectionRefused, "1", "no answer")
        );
    }

    /// One batch of each collection is refused: that lasts as long as no collection is whole.
    #[test]
    fn a_part_that_is_taken_is_no_end_of_the_trouble() {
        let mut log = Log::new("OTLP", "target".to_owned());
        for collection in 1..4 {
            log.taken(collection, false);
            assert_eq!(log.said.is_some(), collection > 1);
            log.lost(collection, Trouble::Status(413), "too large");
            log.taken(collection, true);
            assert_eq!(log.said, Some(Trouble::Status(413)));
        }
        log.taken(4, false);
        assert!(log.said.is_some());
        log.taken(4, true);
        assert_eq!(log.said, None);
        // What is sent again has ended when it is taken.
        log.trouble(Trouble::Status(503), "later");
        log.taken(5, false);
        assert_eq!(log.said, None);
    }
}
