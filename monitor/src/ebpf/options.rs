//! How the program is loaded and attached: what the kernel's abilities decide, unless told.

use aya::maps::MapType;
use aya::sys::is_map_supported;

/// How the program is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// A typed raw tracepoint: direct loads.
    TpBtf,
    /// The plain tracepoint: probe reads.
    Tracepoint,
}

impl Attachment {
    /// What the log calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TpBtf => "tp_btf",
            Self::Tracepoint => "tracepoint",
        }
    }

    pub(super) fn program(self) -> &'static str {
        match self {
            Self::TpBtf => "transitions_btf",
            Self::Tracepoint => "transitions_tracepoint",
        }
    }
}

/// What [`TransitionCounter::load`](super::TransitionCounter::load) is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// The attachments to try, in this order.
    pub attachments: &'static [Attachment],
    /// Whether the program writes warnings; needs the kernel's ring buffer (Linux 5.8).
    pub warnings: bool,
}

impl Default for LoadOptions {
    /// The best that this kernel can do.
    fn default() -> Self {
        Self {
            attachments: &[Attachment::TpBtf, Attachment::Tracepoint],
            warnings: is_map_supported(MapType::RingBuf).unwrap_or(false),
        }
    }
}
