//! Which containers are published, where not all of them are.
//!
//! It is decided between finding out where containers stand and sampling them, so that what is
//! left out costs nothing, and by what does not change while a container lives, so that the same
//! ones stay from scrape to scrape. Who owns a namespace, and whose a socket is, does not depend
//! on it: what belongs to a container that is left out is left out with it, and moves to nobody.
//!
//! The limit of series is another one, see [`metrics::shorten`](crate::metrics::shorten): how many
//! series there are is known at the end.

pub mod selector;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crate::container::{Container, PodRef};
use crate::netns::Placement;
pub use selector::{Selector, SelectorError};

/// What is published.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Where there are any, containers have to match one of them.
    pub include: Vec<Selector>,
    /// Containers must match none of these.
    pub exclude: Vec<Selector>,
    /// How old they have to be.
    pub min_age: Duration,
    /// How many of those there may be, the oldest.
    pub containers: Option<usize>,
    /// How many series there may be, of the oldest.
    pub series: Option<u64>,
}

/// How many containers are left out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// By a selector.
    pub excluded: u64,
    /// They are not old enough.
    pub too_young: u64,
    /// There are too many older ones.
    pub limit: u64,
}

impl Limits {
    /// Hides what is not to be published of `placement`; `now` is in nanoseconds since the Unix
    /// epoch.
    ///
    /// A pod's sandbox is no workload: it stays as long as one of its pod's containers does, and
    /// is judged itself only while its pod has none.
    pub fn apply(&self, placement: &mut Placement, now: u64) -> LeftOut {
        let mut left_out = LeftOut::default();
        if self.is_none() {
            return left_out;
        }
        let all: Vec<Arc<Container>> = placement.containers().cloned().collect();
        let pods = |containers: &[Arc<Container>]| -> HashSet<PodRef> {
            containers.iter().filter_map(|one| pod_of(one)).collect()
        };
        let (sandboxes, workloads): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|container| container.sandbox);
        let with_workload = pods(&workloads);
        let has = |pods: &HashSet<PodRef>, container: &Container| {
            pod_of(container).is_some_and(|pod| pods.contains(&pod))
        };
        let (followers, lonely): (Vec<_>, Vec<_>) = sandboxes
            .into_iter()
            .partition(|sandbox| has(&with_workload, sandbox));

        let mut shown = Vec::new();
        for container in workloads.into_iter().chain(lonely) {
            let age = Duration::from_nanos(now.saturating_sub(container.started));
            if !self.selects(&container) {
                left_out.excluded += 1;
                placement.hide(&container);
            } else if age < self.min_age {
                left_out.too_young += 1;
                placement.hide(&container);
            } else {
                shown.push(container);
            }
        }
        if let Some(limit) = self.containers
            && shown.len() > limit
        {
            shown.sort_by(|one, other| age_order(one).cmp(&age_order(other)));
            for container in shown.drain(limit..) {
                left_out.limit += 1;
                placement.hide(&container);
            }
        }
        let shown = pods(&shown);
        for sandbox in followers.iter().filter(|sandbox| !has(&shown, sandbox)) {
            placement.hide(sandbox);
        }
        left_out
    }

    fn is_none(&self) -> bool {
        self.include.is_empty()
            && self.exclude.is_empty()
            && self.min_age.is_zero()
            && self.containers.is_none()
    }

    fn selects(&self, container: &Container) -> bool {
        let is_in =
            |selectors: &[Selector]| selectors.iter().any(|selector| selector.matches(container));
        (self.include.is_empty() || is_in(&self.include)) && !is_in(&self.exclude)
    }
}

/// What containers are sorted by, so that who is there longest comes first, and of those that
/// began together always the same one.
pub fn age_order(container: &Container) -> (u64, &str, &str) {
    (container.started, &container.id, &container.name)
}

/// The pod of a container, whichever of its containers it is.
fn pod_of(container: &Container) -> Option<PodRef> {
    let pod = container.pod.as_ref()?;
    Some(PodRef {
        container: String::new(),
        ..pod.clone()
    })
}

#[cfg(test)]
mod tests;
