//! What waits to be sent, and how much of it.

use std::collections::VecDeque;

use crate::push::Batch;

/// Bodies that wait, in bytes, at most, but for a collection that has more by itself; then the
/// oldest are given up.
const MAX_WAITING: usize = 8 << 20;

/// A batch with the number of its collection.
pub(super) type Numbered = (u64, Batch);

/// What waits, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    batches: VecDeque<Numbered>,
    collections: u64,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether a batch of a collection waits.
    pub(super) fn has_of(&self, number: u64) -> bool {
        let front = self.batches.front();
        front.is_some_and(|(waiting, _)| *waiting == number)
    }

    /// Adds a collection; gives the samples of what had to go for it.
    pub(super) fn push(&mut self, batches: Vec<Batch>) -> u64 {
        self.collections += 1;
        let number = self.collections;
        let batches = batches.into_iter().map(|batch| (number, batch));
        self.batches.extend(batches);
        self.fit()
    }

    /// The oldest batch, which is the caller's then.
    pub(super) fn pop(&mut self) -> Option<Numbered> {
        self.batches.pop_front()
    }

    /// Takes the oldest batch back, which was not sent; gives the samples of what had to go.
    pub(super) fn push_back(&mut self, batch: Numbered) -> u64 {
        self.batches.push_front(batch);
        self.fit()
    }

    /// Keeps the bound. No batch goes for one of its own collection: a receiver that takes
    /// everything gets all of it, however much it is.
    fn fit(&mut self) -> u64 {
        let newest = self.batches.back().map(|(number, _)| *number);
        let bodies = self.batches.iter().map(|(_, batch)| batch.body.len());
        let mut waiting: usize = bodies.sum();
        let mut given_up = 0;
        while waiting > MAX_WAITING
            && self.batches.front().map(|(number, _)| *number) != newest
            && let Some((_, oldest)) = self.batches.pop_front()
        {
            waiting -= oldest.body.len();
            given_up += oldest.samples;
        }
        given_up
    }
}

#[cfg(test)]
mod tests;
