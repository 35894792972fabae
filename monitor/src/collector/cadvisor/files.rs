//! Containers' files under the names of cAdvisor, from what the collectors of files found.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{CadvisorSample, named};
use crate::collector::files::FileSamples;
use crate::container::Container;
use crate::metrics::CadvisorFilesRow;
use crate::netns::Placement;

impl CadvisorSample {
    /// Gives labels to every container but sandboxes; `paths` are those of their cgroups.
    pub(super) fn name_workloads(&mut self, placement: &Placement, paths: Vec<String>) {
        let mut taken = HashSet::new();
        for ((container, _), path) in placement.workloads().zip(paths) {
            let pod = container.pod.as_ref();
            let own = pod.map_or("", |pod| &pod.container);
            let labels = named(container, path, own);
            // Without an id they may look alike, and then have no files of their own either.
            if taken.insert(labels.clone()) {
                let named = (Arc::clone(container), labels.labels());
                self.workloads.insert(address(container), named);
            }
        }
    }

    /// Adds what was found of containers' files.
    pub(in crate::collector) fn add_files(&mut self, found: &FileSamples<'_>) {
        let workloads = &self.workloads;
        let mut rows: BTreeMap<usize, CadvisorFilesRow> = BTreeMap::new();
        let mut row = |container: &Arc<Container>, fill: &dyn Fn(&mut CadvisorFilesRow)| {
            let address = address(container);
            if let Some((_, labels)) = workloads.get(&address) {
                fill(rows.entry(address).or_insert_with(|| CadvisorFilesRow {
                    labels: labels.clone(),
                    ..CadvisorFilesRow::default()
                }));
            }
        };
        if let Some(layers) = &found.layers {
            for (container, holder) in &layers.holders {
                row(container, &|row| {
                    row.holder = Some((Arc::clone(&holder.label), holder.usage));
                });
            }
            for (container, scan) in &layers.containers {
                row(container, &|row| row.layer = Some(scan.totals.bytes));
            }
        }
        for (container, traffic) in found.disks.iter().flat_map(|disks| &disks.containers) {
            row(container, &|row| row.traffic.clone_from(traffic));
        }
        self.files = rows.into_values().collect();
    }
}

fn address(container: &Arc<Container>) -> usize {
    Arc::as_ptr(container).addr()
}
