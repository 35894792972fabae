//! The daemon: wiring, signals, shutdown.

mod programs;
mod pushes;
mod sources;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aya_log::EbpfLogger;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use crate::cgroups::Cgroups;
use crate::collector::{Cadvisor, Collector, FileSamplers, Parts};
use crate::config::Config;
use crate::discovery::Inventory;
use crate::disk::DiskSampler;
use crate::ebpf::OBJECT_SOURCES;
use crate::filesystem::FilesystemSampler;
use crate::layer::LayerSampler;
use crate::layer::scanner::Scanner;
use crate::metrics::own::{BuildInfo, OwnMetrics};
use crate::metrics::owners::Owners;
use crate::metrics::{Exposition, HostFiles, Schema};
use crate::netns::visit;
use crate::procfs::{ProcFs, Process};
use crate::sampler::facts::FactReader;
use crate::sampler::tcp_states::{TcpStateSampler, TcpStatesMode};
use crate::sampler::transitions::TransitionSampler;
use crate::serve::web::Web;
use crate::serve::{Answers, Server, SingleFlight, Site, router};
use programs::Programs;
use pushes::Pushes;

/// How often a collection is made where nobody asks for one: it lets go of what is gone, from
/// guards to entries of the eBPF map.
const UPKEEP: Duration = Duration::from_secs(60);

/// How long open connections may take to end after a signal.
const DRAIN: Duration = Duration::from_secs(4);

/// What it means that the host's network namespace cannot be looked at.
const OUT_OF_REACH: &str = "cannot look at the host's network namespace through process 1 (run as \
     root, with CAP_SYS_PTRACE, and in a container with the host's pid namespace)";

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Something without which there is nothing to serve: a port that is taken, a proc file system
/// that cannot be read, or the eBPF program where it is required.
pub async fn run(mut config: Config) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(());
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let listeners = listen(&config.listen).await?;
    raise_file_limit();

    let procfs = ProcFs::open(&config.procfs).with_context(|| {
        format!(
            "cannot open the proc file system at {} (--path.procfs)",
            config.procfs.display()
        )
    })?;
    let procfs = Arc::new(procfs);
    warn_of_own_pid_namespace(&config.procfs);
    let cookies = visit::own_cookie().is_ok();
    // Before the programs are loaded, which is in vain without it.
    procfs
        .host_process()
        .and_then(|init| init.netns_inode())
        .context(OUT_OF_REACH)?;
    let mut schema = schema(&config, &procfs)?;
    if config.cadvisor {
        schema.add_cadvisor();
    }
    let owners = Arc::new(Owners::new(&schema, config.collectors()));
    let mut programs = Programs::load(&config, cookies)?;
    forward_warnings(programs.transitions.as_mut());

    let inventory = Inventory::new();
    sources::start(&config, &inventory, &procfs, &stopped);
    let cgroups = Cgroups::open(&config.sysfs);
    if !cgroups.are_there() && (config.transitions || config.tcp_states != TcpStatesMode::Off) {
        warn!(
            sysfs = %config.sysfs.display(),
            "no cgroup2 at fs/cgroup below sysfs: containers that share a network namespace are \
             not told apart"
        );
    }
    let init = Arc::new(procfs.host_process().context(OUT_OF_REACH)?);
    let file_samplers = file_samplers(&config, &init)?;
    let pushes = Pushes::new(std::mem::take(&mut config.push))?;
    let mut collector = Collector::new(Parts {
        file_samplers,
        cadvisor: config
            .cadvisor
            .then(|| Cadvisor::new(&schema, Arc::clone(&init))),
        tcp_states: TcpStateSampler::new(
            config.tcp_states,
            programs.finds_sockets,
            config.tcp_states_pace,
            &schema,
            &config.files,
        ),
        facts: FactReader::new(&schema, &config.files),
        cgroups,
        schema,
        procfs,

        inventory: Arc::clone(&inventory),
        scan: config.scan,
        host_network: config.host_network,
        limits: config.limits.clone(),
        files: config.files.clone(),
        wants_transitions: config.transitions,
        transitions: programs.transitions.take(),
        passes: programs.passes.take(),
        cookies,
        own: own_metrics()?.with_pushes(pushes.counts()),
        pod_labels: Arc::clone(&config.pod_labels),
    })
    .context(OUT_OF_REACH)?;
    programs.count(&mut collector, &config)?;
    // Parsing the kernel's BTF took tens of megabytes, which the allocator would keep.
    trim_heap();
    let site = Site {
        progress: collector.progress(),
        metrics: Arc::new(SingleFlight::new(move || collector.collect())),
        owners,
        answers: Arc::new(Answers::default()),
        timeout_offset: config.web.timeout_offset,
        inventory: Arc::clone(&inventory),
        telemetry_path: config.telemetry_path.as_str().into(),
    };
    tokio::spawn(upkeep(Arc::clone(&site.metrics)));
    let mut pushes = pushes.start(&site.metrics, &inventory, &stopped);
    let web = Arc::new(Web::new(config.web.file.take()));
    let router = router(site, Arc::clone(&web));
    let server = Server::new(router, web, config.web.max_connections);
    let mut servers = serve(listeners, &server, &config.telemetry_path, &stopped)?;
    tokio::spawn(sources::say_when_ready(inventory));

    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM, draining"),
        _ = interrupt.recv() => info!("SIGINT, draining"),
        Some(ended) = servers.join_next() => return ended.context("the server panicked"),
    }
    // No receiver is left only if no server is.
    let _ = stop.send(());
    let drained = async {
        while servers.join_next().await.is_some() {}
        while pushes.join_next().await.is_some() {}
    };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        warn!(
            "connections or pushes were not at their end after {} s, closing them",
            DRAIN.as_secs()
        );
    }
    Ok(())
}

async fn listen(addresses: &[SocketAddr]) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = crate::serve::listen(*address).await.map_err(|error| {
            let way_out = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    " (another process has it; choose another port with --web.listen-address)"
                }
                io::ErrorKind::AddrNotAvailable => " (no interface of this machine has it)",
                io::ErrorKind::PermissionDenied => " (ports below 1024 are for root)",
                _ => "",
            };
            anyhow::anyhow!("cannot listen on {address}: {error}{way_out}")
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

fn serve(
    listeners: Vec<TcpListener>,
    server: &Server,
    path: &str,
    stopped: &watch::Receiver<()>,
) -> anyhow::Result<JoinSet<()>> {
    let mut servers = JoinSet::new();
    for listener in listeners {
        let address = listener
            .local_addr()
            .context("cannot tell the address listened on")?;
        info!(%address, %path, "listening");
        servers.spawn(server.clone().run(listener, stopped.clone()));
    }
    Ok(servers)
}

async fn upkeep(collections: Arc<SingleFlight<Exposition>>) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        if collections.idle_for() >= UPKEEP {
            collections.get().await;
        }
    }
}

/// Waits for the signal to stop.
async fn until(mut stopped: watch::Receiver<()>) {
    // An error says that the daemon is gone: then too it is time to stop.
    let _ = stopped.changed().await;
}

/// Carries the program's warnings into the log.
fn forward_warnings(sampler: Option<&mut TransitionSampler>) {
    let Some(logger) = sampler.and_then(|sampler| sampler.counter_mut().take_logger()) else {
        return;
    };
    // SAFETY: the logger owns its ring buffer's descriptor, and has the same one until it is dropped.
    let logger = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
    match logger {
        Ok(logger) => {
            tokio::spawn(follow_warnings(logger));
        }
        Err(error) => debug!(%error, "the eBPF program's warnings are not shown"),
    }
}

async fn follow_warnings(mut logger: AsyncFd<EbpfLogger<&'static dyn log::Log>>) {
    while let Ok(mut ready) = logger.readable_mut().await {
        ready.get_inner_mut().flush();
        ready.clear_ready();
    }
}

/// Says so where the processes of the host are not to be seen: the likeliest mistake with a
/// container, and without a word nothing would look wrong but that nothing is found.
fn warn_of_own_pid_namespace(procfs: &Path) {
    if is_hosts_pid_namespace(procfs) == Some(false) {
        warn!(
            "{} is not of the host's pid namespace: containers outside of this one are not found \
             (docker run --pid host, hostPID: true)",
            procfs.display()
        );
    }
}

/// Whether a proc file system shows the host's processes; `None` where that cannot be told.
pub(crate) fn is_hosts_pid_namespace(procfs: &Path) -> Option<bool> {
    use std::os::unix::fs::MetadataExt as _;
    // Where process 1 is out of reach, ours is in the same one or we would be process 1's.
    let namespace = ["1/ns/pid", "self/ns/pid"]
        .iter()
        .find_map(|path| std::fs::metadata(procfs.join(path)).ok())?;
    Some(namespace.ino() == INITIAL_PID_NAMESPACE)
}

/// `PROC_PID_INIT_INO` of `include/linux/proc_ns.h`.
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// The tables, with the fields that were asked for.
fn schema(config: &Config, procfs: &ProcFs) -> anyhow::Result<Schema> {
    let Some(fields) = &config.netstat_fields else {
        return Ok(Schema::new());
    };
    let init = procfs.host_process().context("cannot open process 1")?;
    let (snmp, snmp6, netstat) = (
        read(&init, c"net/snmp"),
        read(&init, c"net/snmp6"),
        read(&init, c"net/netstat"),
    );
    let files = HostFiles {
        snmp: &snmp,
        snmp6: &snmp6,
        netstat: &netstat,
    };
    let schema = Schema::with_more(fields, &files)
        .context("cannot learn the names of the fields from the host's own files")?;
    if schema.slots().len() == Schema::new().slots().len() {
        warn!(%fields, "--collector.netstat.fields matches no further field of this kernel");
    }
    Ok(schema)
}

/// What asks containers' files; `init` is a process of the host.
fn file_samplers(config: &Config, init: &Arc<Process>) -> anyhow::Result<FileSamplers> {
    let rules = config.filesystem.as_ref();
    let scanner = config
        .layer_budget
        .map(|budget| Scanner::start(Arc::clone(init), budget))
        .transpose()
        .context("cannot start the thread that scans writable layers")?;
    Ok(FileSamplers {
        filesystems: rules.map(|rules| FilesystemSampler::new(rules.clone(), Arc::clone(init))),
        layers: scanner.map(|scanner| {
            let layers = LayerSampler::new(scanner, Arc::clone(init));
            if config.cadvisor {
                layers.with_holders()
            } else {
                layers
            }
        }),
        disks: config
            .disk_io
            .then(|| DiskSampler::new(&config.sysfs, Arc::clone(init))),
    })
}

/// A file of a process, empty where there is none.
fn read(process: &Process, path: &std::ffi::CStr) -> Vec<u8> {
    let mut text = Vec::new();
    if let Err(error) = process.read(path, &mut text) {
        debug!(?path, %error, "not read");
    }
    text
}

fn own_metrics() -> anyhow::Result<OwnMetrics> {
    OwnMetrics::new(BuildInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: option_env!("CONTAINER_MONITOR_REVISION")
            .unwrap_or_default()
            .to_owned(),
        ebpf_object: OBJECT_SOURCES.trim().to_owned(),
    })
    .context("cannot register the process metrics")
}

/// A guard is open for every container, and the usual limit of 1,024 is soon reached.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    ) {
        debug!(%error, "cannot raise the limit of open files");
    }
}

/// Gives freed memory back to the kernel.
fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it only walks the allocator's own free lists.
    unsafe {
        libc::malloc_trim(0);
    }
}
