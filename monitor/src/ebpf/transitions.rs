//! Counting TCP state transitions: the program is loaded, attached and read.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context as _, anyhow};
use aya::maps::{Array, HashMap, Map, MapError};
use aya::programs::{BtfTracePoint, Program, TracePoint};
use aya::{Ebpf, EbpfLoader, Endianness, include_bytes_aligned};
use aya_log::EbpfLogger;
use monitor_ebpf::{Key, KeyWords, Problems, ProblemsWords, Transitions, TransitionsWords};

use super::error::{load_error, one_line, os_error};
use super::offsets::{self, Globals, Resolver};
use super::options::{Attachment, LoadOptions};
use super::record::{Record, RecordError};
use super::{EbpfError, Kernel, TRACEPOINT, sys};

const OBJECT: &[u8] = include_bytes_aligned!("../../bpf/transitions.o");
/// For kernels without a ring buffer: the same, its warnings left out.
const OBJECT_WITHOUT_LOG: &[u8] = include_bytes_aligned!("../../bpf/transitions-nolog.o");

/// The attached program and its maps. Dropping it detaches the program.
#[derive(Debug)]
pub struct TransitionCounter {
    ebpf: Ebpf,
    attachment: Attachment,
    has_cookie: bool,
    transitions: Map,
    problems: Map,
}

type TransitionsMap<T> = HashMap<T, KeyWords, TransitionsWords>;

impl TransitionCounter {
    /// Loads and attaches the program.
    ///
    /// # Errors
    /// See [`EbpfError`].
    pub fn load(kernel: &Kernel, options: LoadOptions) -> Result<Self, EbpfError> {
        Self::try_load(kernel, options).map_err(|error| kernel.explain(error))
    }

    fn try_load(kernel: &Kernel, options: LoadOptions) -> Result<Self, EbpfError> {
        let mut resolver = Resolver::new(&kernel.btf);
        let shared = offsets::shared(&mut resolver, kernel.cookies)?;
        let own = offsets::transitions(&mut resolver)?;
        let record = Record::read(&kernel.sysfs).map(|record| record.globals());
        let object = if options.warnings {
            OBJECT
        } else {
            OBJECT_WITHOUT_LOG
        };
        let mut ebpf = {
            let mut loader = EbpfLoader::new();
            // The object has no CO-RE relocations; the loader need not keep the kernel's BTF.
            loader.btf(None);
            for globals in [Some(&shared), Some(&own), record.as_ref().ok()] {
                globals
                    .into_iter()
                    .for_each(|globals: &Globals| globals.apply(&mut loader));
            }
            loader.load(object).map_err(load_error)?
        };
        let attachment = attach(
            &mut ebpf,
            &kernel.btf_path,
            record.as_ref().err(),
            options.attachments,
        )?;
        let mut map = |name: &str| {
            ebpf.take_map(name)
                .ok_or_else(|| EbpfError::Load(format!("it has no map {name}")))
        };
        let (transitions, problems) = (map("TRANSITIONS")?, map("PROBLEMS")?);
        Ok(Self {
            ebpf,
            attachment,
            has_cookie: shared.get("NET_COOKIE") != 0,
            transitions,
            problems,
        })
    }

    /// How the program is attached.
    pub fn attachment(&self) -> Attachment {
        self.attachment
    }

    /// Whether [`Key::netns`] is a cookie; else it is an inode number.
    pub fn has_cookie(&self) -> bool {
        self.has_cookie
    }

    /// The reader of the program's warnings, once; `None` where the kernel has no ring buffer.
    pub fn take_logger(&mut self) -> Option<EbpfLogger<&'static dyn log::Log>> {
        EbpfLogger::init(&mut self.ebpf).ok()
    }

    /// All that has been counted.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn read(&self) -> io::Result<Vec<(Key, Transitions)>> {
        let Map::HashMap(data) = &self.transitions else {
            return Err(io::Error::other("TRANSITIONS is no hash map"));
        };
        let mut entries = Vec::new();
        let result = sys::for_each_entry(
            data.fd().as_fd(),
            |key: KeyWords, value: TransitionsWords| {
                entries.push((key.into(), value.into()));
            },
        );
        match result {
            Err(error) if sys::has_no_batches(&error) => self.read_one_by_one(),
            result => result.map(|()| entries),
        }
    }

    fn read_one_by_one(&self) -> io::Result<Vec<(Key, Transitions)>> {
        let map = TransitionsMap::try_from(&self.transitions).map_err(io::Error::other)?;
        map.iter()
            .map(|entry| entry.map(|(key, value)| (key.into(), value.into())))
            .collect::<Result<_, MapError>>()
            .map_err(io::Error::other)
    }

    /// Removes a key, whose namespace or cgroup is gone, and gives what it has counted up to now;
    /// `None` where there is no such key.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn take(&mut self, key: Key) -> io::Result<Option<Transitions>> {
        let mut map = TransitionsMap::try_from(&mut self.transitions).map_err(io::Error::other)?;
        let words = KeyWords::from(key);
        let last = match map.get(&words, 0) {
            Ok(last) => last,
            Err(MapError::KeyNotFound) => return Ok(None),
            Err(error) => return Err(io::Error::other(error)),
        };
        map.remove(&words).map_err(io::Error::other)?;
        Ok(Some(last.into()))
    }

    /// What the program could not count.
    ///
    /// # Errors
    /// Whatever the kernel says.
    pub fn problems(&self) -> io::Result<Problems> {
        let map = Array::<_, ProblemsWords>::try_from(&self.problems).map_err(io::Error::other)?;
        map.get(&0, 0).map(Into::into).map_err(io::Error::other)
    }

    /// Events that the program never saw, because an interrupt brought them while it was running
    /// on the same CPU; `None` where the kernel cannot say.
    pub fn missed(&self) -> Option<u64> {
        let program = self.ebpf.program(self.attachment.program())?;
        sys::recursion_misses(program.fd().ok()?.as_fd()).ok()?
    }
}

/// Attaches the first program that the kernel takes.
fn attach(
    ebpf: &mut Ebpf,
    btf: &Path,
    no_record: Option<&RecordError>,
    attachments: &[Attachment],
) -> Result<Attachment, EbpfError> {
    let mut refusals = Vec::new();
    for &attachment in attachments {
        let result = match attachment {
            Attachment::TpBtf => attach_tp_btf(ebpf, btf),
            Attachment::Tracepoint => match no_record {
                None => attach_tracepoint(ebpf),
                Some(error) => Err(anyhow!("{error}")),
            },
        };
        match result {
            Ok(()) => return Ok(attachment),
            Err(error) if os_error(error.as_ref()) == Some(libc::EPERM) => {
                return Err(EbpfError::NotPermitted);
            }
            Err(error) => {
                refusals.push(format!("as {}: {}", attachment.as_str(), one_line(&error)));
            }
        }
    }
    Err(EbpfError::Attach(refusals.join("; ")))
}

fn attach_tp_btf(ebpf: &mut Ebpf, btf: &Path) -> anyhow::Result<()> {
    let btf = aya::Btf::parse_file(btf, Endianness::default())?;
    let program: &mut BtfTracePoint = program(ebpf, Attachment::TpBtf)?.try_into()?;
    program.load(TRACEPOINT, &btf)?;
    program.attach()?;
    Ok(())
}

fn attach_tracepoint(ebpf: &mut Ebpf) -> anyhow::Result<()> {
    let program: &mut TracePoint = program(ebpf, Attachment::Tracepoint)?.try_into()?;
    program.load()?;
    program.attach("sock", TRACEPOINT)?;
    Ok(())
}

fn program(ebpf: &mut Ebpf, attachment: Attachment) -> anyhow::Result<&mut Program> {
    let name = attachment.program();
    ebpf.program_mut(name)
        .with_context(|| format!("the object has no program {name}"))
}

#[cfg(test)]
mod tests;
