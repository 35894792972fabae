//! Where all containers stand.

use std::collections::HashSet;
use std::sync::Arc;

use super::link::LinkPair;
use crate::container::Container;
use crate::procfs::Process;

/// A container and the process that it is read through.
pub type Member = (Arc<Container>, Arc<Process>);

/// One network namespace with containers in it.
#[derive(Clone, Debug)]
pub struct Namespace {
    /// Its inode number; given to another one once this is gone.
    pub inode: u64,
    /// Its cookie, which no other namespace ever gets; `None` where the kernel has none.
    pub cookie: Option<u64>,
    /// All containers that share it; the first one owns it and lends it its name.
    pub members: Vec<Arc<Container>>,
    /// The process through which it is read.
    pub process: Arc<Process>,
    /// Its link to the host, where it has one.
    pub link: LinkPair,
}

impl Namespace {
    /// The container that owns the namespace: the pod's sandbox, the container that others
    /// joined, else the one that has been there longest.
    pub fn owner(&self) -> &Arc<Container> {
        &self.members[0]
    }
}

/// Where all containers stand.
#[derive(Debug, Default)]
pub struct Placement {
    /// The namespaces of containers, by inode number.
    pub namespaces: Vec<Namespace>,
    /// Inode number of the host's own network namespace.
    pub host_inode: u64,
    /// Containers in the host's own network namespace.
    pub host_network: Vec<Arc<Container>>,
    /// Containers whose own process has exited, and the one of theirs that is read instead.
    pub stand_ins: Vec<Member>,
    /// Containers that could not be looked at, though they run.
    pub errors: u64,
    /// Containers that are not published, by their address.
    pub hidden: HashSet<usize>,
}

impl Placement {
    /// Every container, those that are not published too.
    pub fn containers(&self) -> impl Iterator<Item = &Arc<Container>> {
        let namespaces = self.namespaces.iter();
        let members = namespaces.flat_map(|namespace| &namespace.members);
        members.chain(&self.host_network)
    }

    /// Leaves a container out of what is published. It keeps its place: what it owns is not given
    /// to others.
    pub fn hide(&mut self, container: &Arc<Container>) {
        self.hidden.insert(Arc::as_ptr(container).addr());
    }

    /// Whether a container is published.
    pub fn shows(&self, container: &Arc<Container>) -> bool {
        self.hidden.is_empty() || !self.hidden.contains(&Arc::as_ptr(container).addr())
    }

    /// Whether any container of a namespace is published; else it need not be looked into.
    pub fn shows_any(&self, namespace: &Namespace) -> bool {
        self.hidden.is_empty() || namespace.members.iter().any(|member| self.shows(member))
    }

    /// Whether what belongs to a namespace as a whole is published: where its owner is, or, since
    /// it stands under the pod's name, where any container of the pod is.
    pub fn shows_namespace(&self, namespace: &Namespace) -> bool {
        let owner = namespace.owner();
        self.shows(owner) || (owner.pod.is_some() && self.shows_any(namespace))
    }

    /// Every container that is published but pods' sandboxes, and the process through which it is
    /// read.
    pub fn workloads(&self) -> impl Iterator<Item = (&Arc<Container>, &Arc<Process>)> {
        let all = self.containers();
        let all = all.filter(|container| !container.sandbox && self.shows(container));
        all.map(|container| {
            let mut stand_ins = self.stand_ins.iter();
            let stand_in = stand_ins.find(|(exited, _)| Arc::ptr_eq(exited, container));
            (
                container,
                stand_in.map_or(&container.process, |(_, process)| process),
            )
        })
    }
}
