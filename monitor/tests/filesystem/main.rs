//! File systems of containers: real mounts in mount namespaces of their own, with `df` as the
//! judge, and a real Docker container.

mod disk;
mod docker;
mod hanging;
mod hostile;
mod layer;
mod rights;
mod scene;
mod values;

/// Seconds that what takes a moment may take.
const SOON: std::time::Duration = std::time::Duration::from_secs(15);

/// What all these tests need.
fn needs() -> testkit::require::Need {
    testkit::require::root()?;
    for program in ["df", "mount", "umount", "unshare", "nsenter", "mkfs.ext4"] {
        testkit::require::program(program)?;
    }
    Ok(())
}
