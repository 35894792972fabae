//! The part of a collection that has nothing to do with the network: file systems, writable
//! layers, disks. It runs beside the rest, on threads of its own.

use std::thread;
use std::time::Duration;

use super::join;
use super::report::Errors;
use crate::disk::{DiskSample, DiskSampler};
use crate::filesystem::{FilesystemSample, FilesystemSampler};
use crate::layer::{LayerSample, LayerSampler};
use crate::metrics::own::OwnStatus;
use crate::metrics::tables;
use crate::netns::Placement;
use crate::snapshot::Snapshot;

/// Name of the collector of containers' file systems.
pub const FILESYSTEM: &str = "filesystem";

/// Name of the collector of containers' writable layers.
pub const WRITABLE_LAYER: &str = "writable-layer";

/// Name of the collector of what containers read and write.
pub const DISK_IO: &str = "disk-io";

/// What asks containers' files, each where it is wanted.
#[derive(Debug, Default)]
pub struct FileSamplers {
    /// How full their file systems are.
    pub filesystems: Option<FilesystemSampler>,
    /// How big their writable layers are.
    pub layers: Option<LayerSampler>,
    /// What they read and write.
    pub disks: Option<DiskSampler>,
}

/// What one collection found.
#[derive(Debug)]
pub(super) struct FileSamples<'a> {
    filesystems: Option<FilesystemSample<'a>>,
    pub(super) layers: Option<LayerSample<'a>>,
    pub(super) disks: Option<DiskSample<'a>>,
    layer_inodes: Option<u64>,
}

impl FileSamplers {
    /// The collectors that are wanted.
    pub(super) fn collectors(&self) -> impl Iterator<Item = &'static str> {
        [
            (self.filesystems.is_some(), FILESYSTEM),
            (self.layers.is_some(), WRITABLE_LAYER),
            (self.disks.is_some(), DISK_IO),
        ]
        .into_iter()
        .filter_map(|(is_wanted, name)| is_wanted.then_some(name))
    }

    /// Asks. It wants a thread of its own ([`DiskSampler::sample`]).
    pub(super) fn sample<'a>(&mut self, placement: &'a Placement) -> FileSamples<'a> {
        let Self {
            filesystems,
            layers,
            disks,
        } = self;
        thread::scope(|scope| {
            // It takes the longest.
            let filesystems = filesystems
                .as_mut()
                .map(|sampler| scope.spawn(|| sampler.sample(placement)));
            FileSamples {
                layers: layers.as_mut().map(|sampler| sampler.sample(placement)),
                layer_inodes: layers.as_ref().map(LayerSampler::inodes),
                disks: disks.as_mut().map(|sampler| sampler.sample(placement)),
                filesystems: filesystems.map(join),
            }
        })
    }
}

impl FileSamples<'_> {
    /// Puts everything under its names, and tells how it went.
    pub(super) fn add_to(
        self,
        snapshot: &mut Snapshot,
        errors: &mut Errors,
        status: &mut OwnStatus,
    ) {
        let mut report = |name, found: usize, failed: u64, took: Duration| {
            // One container that fails is an error; the collector has failed when all do.
            let success = failed == 0 || found > 0;
            status
                .collectors
                .push(errors.row(name, success, took, failed));
        };
        if let Some(sample) = self.filesystems {
            let found = sample.containers.len();
            report(FILESYSTEM, found, sample.errors, sample.duration);
            snapshot.dropped += sample.left_out * tables::filesystem::METRICS.len() as u64;
            snapshot.add_filesystems(sample);
        }
        if let Some(sample) = self.layers {
            let found = sample.containers.len();
            report(WRITABLE_LAYER, found, sample.errors, sample.duration);
            snapshot.add_layers(sample);
        }
        if let Some(sample) = self.disks {
            let found = sample.containers.len();
            report(DISK_IO, found, sample.errors, sample.duration);
            snapshot.add_disks(sample);
        }
        status.layer_inodes = self.layer_inodes;
    }
}
