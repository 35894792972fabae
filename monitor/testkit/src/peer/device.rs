//! The TUN device that leads to the peer: made, addressed and set up in the network namespace of
//! the calling thread, by ioctls. It is gone when its descriptor is closed.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketType};

use crate::wait;

/// The device's name, one a namespace.
const NAME: &str = "peer";
/// The kernel's own addresses on the device; the peer's are those that end in 2.
pub(super) const KERNEL_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(super) const KERNEL_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
pub(super) const PEER_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(super) const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);

/// Makes the device and gives its descriptor, which does not block: a read is one packet that the
/// kernel sent, a write one that it receives.
pub(super) fn create() -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let path = "/dev/net/tun";
    let device = rustix::fs::open(path, flags, Mode::empty());
    let device = device.with_context(|| format!("can't open {path}"))?;
    let mut tun = named();
    tun.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    ioctl(&device, libc::TUNSETIFF as libc::c_ulong, &tun).context("can't make a TUN device")?;

    let v4 = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let mut address = named();
    for (code, octets) in [
        (libc::SIOCSIFADDR, KERNEL_V4.octets()),
        (libc::SIOCSIFNETMASK, [255, 255, 255, 0]),
    ] {
        address.ifr_ifru.ifru_addr = sockaddr(octets);
        ioctl(&v4, code, &address).context("can't give the TUN device its IPv4 address")?;
    }
    let mut up = named();
    up.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    ioctl(&v4, libc::SIOCSIFFLAGS, &up).context("can't set the TUN device up")?;

    enable_ipv6()?;
    let v6 = rustix::net::socket(AddressFamily::INET6, SocketType::DGRAM, None)?;
    let index = rustix::net::netdevice::name_to_index(&v6, NAME)?;
    let address = libc::in6_ifreq {
        ifr6_addr: libc::in6_addr {
            s6_addr: KERNEL_V6.octets(),
        },
        ifr6_prefixlen: 64,
        ifr6_ifindex: index.cast_signed(),
    };
    ioctl(&v6, libc::SIOCSIFADDR, &address)
        .context("can't give the TUN device its IPv6 address")?;
    // Nobody is asked whether the address is a duplicate, but the kernel decides so in the
    // background: until then nothing can be bound to it.
    wait::until("an IPv6 address to use", Duration::from_secs(5), || {
        Ok(UdpSocket::bind((KERNEL_V6, 0)).ok().map(drop))
    })?;
    Ok(device)
}

/// Enables IPv6 in the namespace where its maker has it disabled, as Docker does.
fn enable_ipv6() -> Result<()> {
    for device in ["all", NAME] {
        let path = format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6");
        let disabled = std::fs::read_to_string(&path);
        let disabled = disabled.with_context(|| format!("can't read {path}: is there no IPv6?"))?;
        if disabled.trim() != "0" {
            std::fs::write(&path, "0").with_context(|| format!("can't write {path}"))?;
        }
    }
    Ok(())
}

/// A request about the device.
fn named() -> libc::ifreq {
    // SAFETY: `ifreq` is plain old data, for which all zeroes are a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(NAME.as_bytes()) {
        *to = *from as libc::c_char;
    }
    request
}

/// An IPv4 address as requests have it: a `sockaddr_in`, whose address follows the port.
fn sockaddr(octets: [u8; 4]) -> libc::sockaddr {
    let mut data = [0; 14];
    for (to, from) in data[2..].iter_mut().zip(octets) {
        *to = from as libc::c_char;
    }
    libc::sockaddr {
        sa_family: libc::AF_INET as libc::sa_family_t,
        sa_data: data,
    }
}

/// What the requests of this file carry. All of them are only read by the kernel, but for the
/// device's name, which `TUNSETIFF` writes back.
trait Request {}
impl Request for libc::ifreq {}
impl Request for libc::in6_ifreq {}

/// Makes one of the requests of this file.
fn ioctl<R: Request + Clone>(fd: &OwnedFd, code: libc::c_ulong, request: &R) -> Result<()> {
    let mut request = request.clone();
    // SAFETY: the descriptor is open, and `code` takes a request of this type (see the callers),
    // a copy that outlives the call and that nobody else reads.
    if unsafe { libc::ioctl(fd.as_raw_fd(), code as libc::Ioctl, &raw mut request) } != 0 {
        bail!(std::io::Error::last_os_error());
    }
    Ok(())
}
