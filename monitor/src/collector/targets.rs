//! Which namespaces a collection looks into.

use crate::metrics::Counters;
use crate::netns::Placement;
use crate::procfs::Process;
use crate::sampler::counters::NamedTarget;
use crate::sampler::namespace::Target;
use crate::sampler::places::HostNamespace;

/// The host's namespace, to be read like a container's.
pub(super) fn host_target<'a>(host: &HostNamespace, init: &'a Process) -> NamedTarget<'a> {
    NamedTarget {
        target: Target {
            inode: host.inode,
            process: init,
        },
        cookie: host.cookie,
    }
}

/// All namespaces that are looked into, and the host's behind them.
pub(super) fn targets<'a>(placement: &'a Placement, host: NamedTarget<'a>) -> Vec<NamedTarget<'a>> {
    let namespaces = placement.namespaces.iter();
    let namespaces = namespaces.filter(|namespace| placement.shows_any(namespace));
    let namespaces = namespaces.map(|namespace| NamedTarget {
        target: Target {
            inode: namespace.inode,
            process: &namespace.process,
        },
        cookie: namespace.cookie,
    });
    namespaces.chain([host]).collect()
}

/// The counters of the namespaces that were read, in the order of all: `None` for the others.
pub(super) fn in_place(
    placement: &Placement,
    read: Vec<Option<Counters>>,
) -> Vec<Option<Counters>> {
    let mut read = read.into_iter();
    let namespaces = placement.namespaces.iter();
    namespaces
        .map(|namespace| {
            let is_read = placement.shows_any(namespace);
            is_read.then(|| read.next().flatten()).flatten()
        })
        .collect()
}
