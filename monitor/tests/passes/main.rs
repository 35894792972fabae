//! probe
use anyhow::Result;
use container_monitor::ebpf::{Kernel, Passes};
use container_monitor::metrics::Schema;
use std::path::Path;

#[test]
fn probe() -> Result<()> {
    let start = std::time::Instant::now();
    let kernel = Kernel::read(Path::new("/sys"), true)?;
    eprintln!("btf {:?}", start.elapsed());
    let mut passes = Passes::load(&kernel)?;
    eprintln!("load {:?}", start.elapsed());
    let schema = Schema::new();
    let layout = passes.enable_counters(&kernel, schema.slots())?.clone();
    eprintln!(
        "counters {:?} missing {:?}",
        start.elapsed(),
        layout.missing()
    );
    for _ in 0..5 {
        let ns = passes.namespaces()?;
        eprintln!("{} namespaces {:?}", ns.namespaces.len(), ns.duration);
        let pass = passes.sockets(&ns.namespaces)?;
        eprintln!(
            "{:?} longest {:?} {:?} entries {}",
            pass.duration,
            pass.longest_slice,
            pass.trouble,
            pass.table.entries.len()
        );
        eprintln!("{:?}", ns.counters(0));
    }
    let ns = passes.namespaces()?;
    let pass = passes.sockets(&ns.namespaces)?;
    eprintln!("{:#?}", pass.table.listeners);
    for e in &pass.table.entries {
        eprintln!("{:?} {} {:?}", e.key, e.inode, e.counts);
    }
    Ok(())
}
