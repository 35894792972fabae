//! The machines that are emulated.

/// An architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Architecture {
    /// 64-bit x86.
    #[value(name = "amd64")]
    Amd64,
    /// 64-bit Arm.
    #[value(name = "arm64")]
    Arm64,
}

impl Architecture {
    /// Whether it is this machine's.
    pub(super) fn is_own(self) -> bool {
        self.rust() == std::env::consts::ARCH
    }

    /// Debian's name.
    pub(super) fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// Rust's name, which is the kernel's too (`uname -m`).
    pub(super) fn rust(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// The program that emulates it, and Debian's package of that.
    pub(super) fn emulator(self) -> (&'static str, &'static str) {
        match self {
            Self::Amd64 => ("qemu-system-x86_64", "qemu-system-x86"),
            Self::Arm64 => ("qemu-system-aarch64", "qemu-system-arm"),
        }
    }

    /// The emulator's options: two CPUs of a kind that every kernel of the table takes.
    pub(super) fn machine(self) -> &'static [&'static str] {
        match self {
            Self::Amd64 => &["-machine", "pc", "-cpu", "Nehalem"],
            Self::Arm64 => &["-machine", "virt", "-cpu", "cortex-a72"],
        }
    }

    /// The kernel's name of the first serial port.
    pub(super) fn console(self) -> &'static str {
        match self {
            Self::Amd64 => "ttyS0",
            Self::Arm64 => "ttyAMA0",
        }
    }
}
