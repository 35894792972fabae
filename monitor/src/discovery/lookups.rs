//! The containers of one session that are to be looked up, one by one.
//!
//! They wait in a queue that four look-ups at a time work off while the session goes on hearing
//! what its runtime says; what is asked for twice is looked up once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;

use anyhow::bail;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tracing::warn;

use super::Source;
use super::verify::Vanished;
use crate::container::Container;

/// Look-ups at a time.
const CONCURRENCY: usize = 4;

/// What became of a look-up.
pub(super) type Outcome = (String, anyhow::Result<Option<Container>>);

/// The queue.
#[derive(Default)]
pub(super) struct Lookups<'a> {
    /// Ids to look up, in order.
    queue: VecDeque<String>,
    /// Those of them that still are to be.
    waiting: HashSet<String>,
    /// Ids that are being looked up; true when it was asked for again meanwhile, so that the answer
    /// may be out of date.
    running: HashMap<String, bool>,
    futures: FuturesUnordered<Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>>,
    /// Ids of the first list that were not looked up yet; none before there is a list.
    first: Option<HashSet<String>>,
    /// Look-ups so far, by outcome: when all of the first list failed the runtime does not work.
    succeeded: usize,
    failed: usize,
    /// Ids whose look-up failed and was reported.
    reported: HashSet<String>,
    /// Ids whose process was not there once.
    vanished: HashSet<String>,
}

impl<'a> Lookups<'a> {
    /// Takes what a list gave: ids to look up, and of how many containers that need none the
    /// runtime has told before. One that is being looked up is not started over: where it hangs,
    /// it would be for ever.
    pub(super) fn take(&mut self, questions: Vec<String>, known: usize) {
        self.succeeded += known;
        if self.first.is_none() {
            self.first = Some(questions.iter().cloned().collect());
        }
        for id in questions {
            if !self.running.contains_key(&id) {
                self.enqueue(id);
            }
        }
    }

    /// Has a container looked up, also when it is being looked up already.
    pub(super) fn enqueue(&mut self, id: String) {
        if let Some(outdated) = self.running.get_mut(&id) {
            *outdated = true;
        } else if self.waiting.insert(id.clone()) {
            self.queue.push_back(id);
        }
    }

    /// Drops a container that ended; an answer that is under way is not believed.
    pub(super) fn forget(&mut self, id: &str) {
        self.waiting.remove(id);
        if let Some(first) = &mut self.first {
            first.remove(id);
        }
        if let Some(outdated) = self.running.get_mut(id) {
            *outdated = true;
        }
    }

    /// Forgets the failures of containers that are not listed any more.
    pub(super) fn retain_failures(&mut self, listed: impl Fn(&str) -> bool) {
        self.reported.retain(|id| listed(id));
        self.vanished.retain(|id| listed(id));
    }

    /// Starts as many as may run.
    pub(super) fn start<F>(&mut self, mut look_up: impl FnMut(String) -> F)
    where
        F: Future<Output = Outcome> + Send + 'a,
    {
        while self.running.len() < CONCURRENCY {
            let Some(id) = self.queue.pop_front() else {
                return;
            };
            if !self.waiting.remove(&id) {
                continue;
            }
            self.running.insert(id.clone(), false);
            self.futures.push(Box::pin(look_up(id)));
        }
    }

    /// The next that ends; `None` while none is running.
    pub(super) async fn next(&mut self) -> Option<Outcome> {
        self.futures.next().await
    }

    /// Tells the source what came out, or asks again where that is out of date.
    pub(super) fn settle(
        &mut self,
        (id, outcome): Outcome,
        source: &Source,
        endpoint: &impl std::fmt::Display,
    ) {
        if self.running.remove(&id) == Some(true) {
            self.enqueue(id);
            return;
        }
        if let Some(first) = &mut self.first {
            first.remove(&id);
        }
        match outcome {
            Ok(found) => {
                self.succeeded += 1;
                self.reported.remove(&id);
                self.vanished.remove(&id);
                match found {
                    Some(container) => source.upsert_as(id, container),
                    None => source.remove(&id),
                }
            }
            // What was known of it stays, and a later list tries again.
            Err(error) => {
                self.failed += 1;
                // Where others are described it has most likely ended, which the runtime will know
                // when it is asked for the second time.
                let is_expected = error.is::<Vanished>()
                    && self.succeeded > 0
                    && self.vanished.insert(id.clone());
                if !is_expected && self.reported.insert(id.clone()) {
                    warn!("{endpoint}: container {id} cannot be looked up: {error:#}");
                }
            }
        }
    }

    /// Whether all of the first list were looked up.
    ///
    /// # Errors
    /// Each of them failed.
    pub(super) fn first_is_done(&self) -> anyhow::Result<bool> {
        if !self.first.as_ref().is_some_and(HashSet::is_empty) {
            return Ok(false);
        }
        if self.succeeded == 0 && self.failed > 0 {
            bail!("it has containers and describes none of them");
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::{Lookups, Vanished};
    use crate::discovery::Inventory;
    use crate::testing::plain;

    fn ids(lookups: &mut Lookups<'_>) -> Vec<String> {
        let mut started = Vec::new();
        lookups.start(|id| {
            started.push(id.clone());
            std::future::ready((id, Ok(None)))
        });
        started
    }

    #[test]
    fn each_is_looked_up_once_and_those_that_ended_are_not() {
        let source = Inventory::new().add_source("x");
        let mut lookups = Lookups::default();
        let names = ["a", "b", "c", "d", "e", "f"].map(str::to_owned);
        lookups.take(names.to_vec(), 0);
        lookups.take(names.to_vec(), 0);
        lookups.forget("b");
        assert_eq!(ids(&mut lookups), ["a", "c", "d", "e"]);
        assert_eq!(ids(&mut lookups), [""; 0]);
        // Asked for again while it is looked up: once more.
        lookups.take(vec!["a".to_owned()], 0);
        lookups.enqueue("c".to_owned());
        lookups.settle(("a".to_owned(), Ok(None)), &source, &"x");
        lookups.settle(("c".to_owned(), Ok(None)), &source, &"x");
        assert_eq!(ids(&mut lookups), ["f", "c"]);
    }

    #[test]
    fn the_first_list_is_done_when_all_of_it_were_looked_up() {
        let source = Inventory::new().add_source("x");
        let mut lookups = Lookups::default();
        assert!(!lookups.first_is_done().unwrap());
        lookups.take(vec!["a".to_owned(), "b".to_owned()], 0);
        let no = |id: &str| (id.to_owned(), Err(anyhow!("no")));
        lookups.settle(no("a"), &source, &"x");
        assert!(!lookups.first_is_done().unwrap());
        lookups.forget("b");
        // All that was described failed.
        lookups.first_is_done().unwrap_err();
        lookups.take(vec!["c".to_owned()], 0);
        let found = ("c".to_owned(), Ok(Some(plain("c", "c"))));
        lookups.settle(found, &source, &"x");
        assert!(lookups.first_is_done().unwrap());
        assert_eq!(source.ids(), ["c"]);
    }

    #[test]
    fn a_process_that_vanished_is_news_the_second_time() {
        let source = Inventory::new().add_source("x");
        let mut lookups = Lookups::default();
        let gone = |id: &str| (id.to_owned(), Err(Vanished.into()));
        // Nothing is described at all: the pids are of another namespace.
        lookups.settle(gone("a"), &source, &"x");
        assert!(lookups.reported.contains("a"));
        lookups.take(Vec::new(), 1);
        lookups.settle(gone("b"), &source, &"x");
        assert!(!lookups.reported.contains("b"));
        lookups.settle(gone("b"), &source, &"x");
        assert!(lookups.reported.contains("b"));
        lookups.retain_failures(|id| id == "b");
        assert!(!lookups.reported.contains("a") && lookups.vanished.contains("b"));
    }
}
