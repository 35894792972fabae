//! What the unit tests of several modules make: containers and namespaces without a runtime.

use std::path::Path;
use std::sync::Arc;

use crate::container::{Container, Runtime};
use crate::netns::Namespace;
use crate::procfs::{ProcFs, Process};

/// A guard on this very process.
pub(crate) fn process() -> Arc<Process> {
    let procfs = ProcFs::open(Path::new("/proc")).unwrap();
    Arc::new(procfs.process(std::process::id()).unwrap())
}

/// A container, to be changed as a test needs it.
pub(crate) fn plain(id: &str, name: &str) -> Container {
    Container {
        id: id.to_owned(),
        name: name.to_owned(),
        image: String::new(),
        runtime: Runtime::Docker,
        pod: None,
        pod_labels: Arc::default(),
        sandbox: false,
        network_mode: String::new(),
        started: 0,
        process: process(),
    }
}

/// The same, as discovery hands it over.
pub(crate) fn container(id: &str, name: &str) -> Arc<Container> {
    Arc::new(plain(id, name))
}

/// A network namespace; the first member owns it.
pub(crate) fn namespace(
    inode: u64,
    cookie: Option<u64>,
    members: Vec<Arc<Container>>,
) -> Namespace {
    Namespace {
        inode,
        cookie,
        members,
        process: process(),
        link: Default::default(),
    }
}
